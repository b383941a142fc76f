//! How well a tokenizer does on the validation split.

use super::network::Tokenizer;
use super::train::TokenizerJob;
use crate::checkpoint::{host_codes, host_values};
use crate::data::{KindName, LabelAgreement, Raster, labels_of, picture_of, tensor_of};
use crate::training::{CodeUsage, Metrics};
use burn::tensor::{Device, Tensor};
use image::RgbImage;

/// Pictures that are shown in the grids.
const SHOWN: usize = 16;

/// Figures of the split, and its first pictures before and after.
pub(super) struct Measured {
    pub(super) metrics: Metrics,
    pub(super) inputs: Vec<RgbImage>,
    pub(super) reconstructions: Vec<RgbImage>,
}

/// Sums over pictures, to be divided by their number.
#[derive(Default)]
struct Sums {
    absolute: f64,
    psnr: f64,
    perceptual: f64,
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
    let (mut codes, mut reconstructions) = (Vec::new(), Vec::new());
    let mut sums = Sums::default();
    let mut agreement = LabelAgreement::new(channels);
    for chunk in pictures.chunks(job.recipe.training.batch) {
        let pixels = tensor_of(chunk, &device);
        let quantized = tokenizer.encode(pixels.clone());
        let mut reconstruction = tokenizer.decode(quantized.latent);
        codes.extend(host_codes(quantized.codes));
        if kind != KindName::Labels {
            reconstruction = reconstruction.clamp(-1.0, 1.0);
            sums.add(job, pixels, reconstruction.clone());
        }
        if kind == KindName::Labels || reconstructions.len() < SHOWN {
            let values = host_values(reconstruction);
            for (truth, values) in chunk.iter().zip(values.chunks(size * size * channels)) {
                if let Raster::Labels { map, .. } = truth {
                    agreement.add(map.as_raw(), &labels_of(values, channels));
                }
                if reconstructions.len() < SHOWN {
                    reconstructions.push(picture_of(values, size, size, kind));
                }
            }
        }
    }
    let figures = CodeUsage::of(&codes, job.recipe.network.codebook_size);
    let mut metrics = Metrics::default();
    match kind {
        KindName::Labels => {
            metrics.push("pixel_accuracy", agreement.pixel_accuracy());
            metrics.push("mean_iou", agreement.mean_iou());
        }
        KindName::Pictures | KindName::Depth => {
            sums.report(job, pictures.len() as f64, &mut metrics);
        }
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

impl Sums {
    fn report(&self, job: &TokenizerJob, count: f64, metrics: &mut Metrics) {
        metrics.push("pixel_loss", self.absolute / count);
        metrics.push("psnr", self.psnr / count);
        if job.lpips.is_some() {
            metrics.push("p_loss", self.perceptual / count);
        }
    }

    fn add(&mut self, job: &TokenizerJob, pixels: Tensor<4>, reconstruction: Tensor<4>) {
        let [count, height, width, channels] = pixels.dims();
        let difference =
            (pixels.clone() - reconstruction.clone()).reshape([count, height * width * channels]);
        let means = |values: Tensor<2>| host_values(values.mean_dim(1)).into_iter().map(f64::from);
        self.absolute += means(difference.clone().abs()).sum::<f64>();
        self.psnr += means(difference.square()).map(psnr).sum::<f64>();
        if let Some(lpips) = &job.lpips {
            let distances = host_values(lpips.distance(pixels, reconstruction));
            self.perceptual += distances.into_iter().map(f64::from).sum::<f64>();
        }
    }
}

/// Of a picture with this mean squared error, over the range of 2 that [-1, 1] spans; at most 120 dB.
fn psnr(squared_error: f64) -> f64 {
    10.0 * (4.0 / squared_error.max(4e-12)).log10()
}
