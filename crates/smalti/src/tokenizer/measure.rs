//! How well a tokenizer does on the validation split.

use super::network::Tokenizer;
use super::train::TokenizerJob;
use crate::checkpoint::host_values;
use crate::data::{KindName, LabelAgreement, Raster, labels_of, picture_of, tensor_of};
use crate::metrics::{ReconstructionFigures, ReconstructionMeter};
use crate::training::Metrics;
use burn::tensor::Device;
use image::RgbImage;

/// Pictures that are shown in the grids.
const SHOWN: usize = 16;

/// Figures of the split, and its first pictures before and after.
pub(super) struct Measured {
    pub(super) metrics: Metrics,
    pub(super) inputs: Vec<RgbImage>,
    pub(super) reconstructions: Vec<RgbImage>,
}

/// Sends square `pictures`, or label maps or depth, through `tokenizer`.
pub(super) fn measure(
    tokenizer: &Tokenizer,
    job: &TokenizerJob,
    pictures: &[Raster],
    device: &Device,
) -> Measured {
    let device = device.clone().inner();
    let size = job.recipe.training.size;
    let kind = pictures.first().map_or(KindName::Pictures, Raster::kind);
    let channels = pictures.first().map_or(3, Raster::channels);
    let codebook_size = job.recipe.network.codes();
    let mut meter = ReconstructionMeter::new(tokenizer, codebook_size, job.lpips.as_ref());
    let mut agreement = LabelAgreement::new(channels);
    let mut reconstructions = Vec::new();
    for chunk in pictures.chunks(job.recipe.training.batch) {
        let values = host_values(meter.add(tensor_of(chunk, &device)));
        for (truth, values) in chunk.iter().zip(values.chunks(size * size * channels)) {
            if let Raster::Labels { map, .. } = truth {
                agreement.add(map.as_raw(), &labels_of(values, channels));
            }
            if reconstructions.len() < SHOWN {
                reconstructions.push(picture_of(values, size, size, kind));
            }
        }
    }
    let figures = meter.figures();
    let mut metrics = Metrics::default();
    match kind {
        KindName::Labels => {
            metrics.push("pixel_accuracy", agreement.pixel_accuracy());
            metrics.push("mean_iou", agreement.mean_iou());
        }
        KindName::Pictures | KindName::Depth => push_distances(&figures, &mut metrics),
    }
    metrics.push("usage_validation", figures.usage);
    metrics.push("perplexity_validation", figures.perplexity);
    let shown = pictures.iter().take(SHOWN);
    Measured {
        metrics,
        inputs: shown.map(Raster::to_image).collect(),
        reconstructions,
    }
}

fn push_distances(figures: &ReconstructionFigures, metrics: &mut Metrics) {
    metrics.push("pixel_loss", figures.pixel_loss);
    metrics.push("psnr", figures.psnr);
    if let Some(lpips) = figures.lpips {
        metrics.push("p_loss", lpips);
    }
}
