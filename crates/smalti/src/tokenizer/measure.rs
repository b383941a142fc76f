//! How well a tokenizer does on the validation split.

use super::network::Tokenizer;
use super::train::TokenizerJob;
use crate::checkpoint::{host_codes, host_values};
use crate::data::{square, squares, to_image};
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

/// Sends square `pictures` (bytes) through `tokenizer`.
pub(super) fn measure(
    tokenizer: &Tokenizer,
    job: &TokenizerJob,
    pictures: &[Vec<u8>],
    device: &Device,
) -> Measured {
    let device = device.clone().inner();
    let size = job.recipe.training.size;
    let (mut codes, mut reconstructions) = (Vec::new(), Vec::new());
    let mut sums = Sums::default();
    for chunk in pictures.chunks(job.recipe.training.batch) {
        let pixels = squares(chunk, size, &device);
        let quantized = tokenizer.encode(pixels.clone());
        let reconstruction = tokenizer.decode(quantized.latent).clamp(-1.0, 1.0);
        codes.extend(host_codes(quantized.codes));
        sums.add(job, pixels, reconstruction.clone());
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
    let figures = CodeUsage::of(&codes, job.recipe.network.codebook_size);
    let count = pictures.len() as f64;
    let mut metrics = Metrics::default();
    metrics.push("pixel_loss", sums.absolute / count);
    metrics.push("psnr", sums.psnr / count);
    if job.lpips.is_some() {
        metrics.push("p_loss", sums.perceptual / count);
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

impl Sums {
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
