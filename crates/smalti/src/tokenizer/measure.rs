//! How well a tokenizer does on the validation split.

use super::network::Tokenizer;
use super::train::TokenizerJob;
use crate::checkpoint::host_values;
use crate::data::{square, squares, to_image};
use crate::metrics::ReconstructionMeter;
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

/// Sends square `pictures` (bytes) through `tokenizer`.
pub(super) fn measure(
    tokenizer: &Tokenizer,
    job: &TokenizerJob,
    pictures: &[Vec<u8>],
    device: &Device,
) -> Measured {
    let device = device.clone().inner();
    let size = job.recipe.training.size;
    let codebook_size = job.recipe.network.codebook_size;
    let mut meter = ReconstructionMeter::new(tokenizer, codebook_size, job.lpips.as_ref());
    let mut reconstructions = Vec::new();
    for chunk in pictures.chunks(job.recipe.training.batch) {
        let reconstruction = meter.add(squares(chunk, size, &device));
        if reconstructions.len() < SHOWN {
            let values = host_values(reconstruction);
            reconstructions.extend(
                values
                    .chunks(size * size * 3)
                    .map(|picture| to_image(picture, size, size)),
            );
        }
    }
    reconstructions.truncate(SHOWN);
    let figures = meter.figures();
    let mut metrics = Metrics::default();
    metrics.push("pixel_loss", figures.pixel_loss);
    metrics.push("psnr", figures.psnr);
    if let Some(lpips) = figures.lpips {
        metrics.push("p_loss", lpips);
    }
    metrics.push("usage_validation", figures.usage);
    metrics.push("perplexity_validation", figures.perplexity);
    Measured {
        metrics,
        inputs: pictures
            .iter()
            .take(SHOWN)
            .map(|picture| square(picture, size))
            .collect(),
        reconstructions,
    }
}
