//! How well a tokenizer gives pictures back: pixel error, PSNR and LPIPS per picture, and how much of the codebook it uses
//! for them.

use crate::checkpoint::{host_codes, host_values};
use crate::tokenizer::{Lpips, Tokenizer};
use crate::training::UsageFigures;
use burn::tensor::Tensor;
use serde::Serialize;

/// Adds up over batches; memory does not grow with their number.
pub struct ReconstructionMeter<'a> {
    tokenizer: &'a Tokenizer,
    lpips: Option<&'a Lpips>,
    counts: Vec<u32>,
    pictures: usize,
    absolute: f64,
    psnr: f64,
    perceptual: f64,
}

/// Means over pictures, and the use of the codebook over all of them together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReconstructionFigures {
    pub pictures: usize,
    /// Mean absolute difference of pixels in [-1, 1].
    pub pixel_loss: f64,
    /// Of pixels in [-1, 1], reconstructions clamped; the mean of the pictures' own values, in decibels.
    pub psnr: f64,
    pub lpips: Option<f64>,
    pub codes: usize,
    pub codebook_size: usize,
    /// The share of the codebook that occurs.
    pub usage: f64,
    /// `exp` of the entropy of the codes' frequencies.
    pub perplexity: f64,
}

impl<'a> ReconstructionMeter<'a> {
    /// Measures `tokenizer`, whose codes are below `codebook_size`.
    pub fn new(tokenizer: &'a Tokenizer, codebook_size: usize, lpips: Option<&'a Lpips>) -> Self {
        Self {
            tokenizer,
            lpips,
            counts: vec![0; codebook_size],
            pictures: 0,
            absolute: 0.0,
            psnr: 0.0,
            perceptual: 0.0,
        }
    }

    /// Sends pictures `[n, h, w, c]` in [-1, 1] through the tokenizer and measures them; returns what the decoder gave.
    pub fn add(&mut self, pixels: Tensor<4>) -> Tensor<4> {
        let quantized = self.tokenizer.encode(pixels.clone());
        let decoded = self.tokenizer.decode(quantized.latent);
        let reconstruction = decoded.clone().clamp(-1.0, 1.0);
        for code in host_codes(quantized.codes) {
            self.counts[code as usize] += 1;
        }
        let [count, height, width, channels] = pixels.dims();
        let difference =
            (pixels.clone() - reconstruction.clone()).reshape([count, height * width * channels]);
        let means = |values: Tensor<2>| host_values(values.mean_dim(1)).into_iter().map(f64::from);
        self.pictures += count;
        self.absolute += means(difference.clone().abs()).sum::<f64>();
        self.psnr += means(difference.square()).map(psnr).sum::<f64>();
        if let Some(lpips) = self.lpips {
            let distances = host_values(lpips.distance(pixels, reconstruction));
            self.perceptual += distances.into_iter().map(f64::from).sum::<f64>();
        }
        decoded
    }

    pub fn figures(&self) -> ReconstructionFigures {
        let mean = |sum: f64| sum / self.pictures.max(1) as f64;
        let usage = UsageFigures::of_counts(&self.counts);
        ReconstructionFigures {
            pictures: self.pictures,
            pixel_loss: mean(self.absolute),
            psnr: mean(self.psnr),
            lpips: self.lpips.map(|_| mean(self.perceptual)),
            codes: self.counts.iter().map(|&count| count as usize).sum(),
            codebook_size: self.counts.len(),
            usage: usage.usage,
            perplexity: usage.perplexity,
        }
    }
}

/// Of a picture with this mean squared error, over the range of 2 that [-1, 1] spans; at most 120 dB.
pub fn psnr(squared_error: f64) -> f64 {
    10.0 * (4.0 / squared_error.max(4e-12)).log10()
}
