//! How well a tokenizer gives pictures back: pixel error, PSNR, LPIPS, SSIM and MS-SSIM per picture, and how much of the
//! codebook it uses for them.

use super::bootstrap::{BootstrapSettings, Interval, bootstrap_mean};
use super::histogram::CodeHistogram;
use super::ms_ssim::{self, ms_ssim};
use super::ssim::{SsimWindow, ssim};
use crate::checkpoint::{host_codes, host_values};
use crate::data::to_image;
use crate::error::{Error, Result};
use crate::tokenizer::{Lpips, Tokenizer};
use crate::training::UsageFigures;
use burn::tensor::Tensor;
use image::RgbImage;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

/// Adds up over batches; a few numbers are kept of every picture.
pub struct ReconstructionMeter<'a> {
    tokenizer: &'a Tokenizer,
    lpips: Option<&'a Lpips>,
    similarity: bool,
    counts: Vec<u32>,
    pictures: Vec<Likeness>,
}

/// How near one reconstruction is to its picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Likeness {
    /// Mean absolute difference of pixels in [-1, 1].
    pub pixel_loss: f64,
    /// Of pixels in [-1, 1], reconstructions clamped, in decibels.
    pub psnr: f64,
    pub lpips: Option<f64>,
    /// With the Gaussian window. Absent where it was not asked for, or the picture is smaller than the window.
    pub ssim: Option<f64>,
    /// Absent where it was not asked for, or a side is below 161 pixels.
    pub ms_ssim: Option<f64>,
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
    pub ssim: Option<f64>,
    pub ms_ssim: Option<f64>,
    pub codes: usize,
    pub codebook_size: usize,
    /// The share of the codebook that occurs.
    pub usage: f64,
    /// `exp` of the entropy of the codes' frequencies.
    pub perplexity: f64,
}

/// Where the means lie; no intervals of too few files.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReconstructionIntervals {
    pub pixel_loss: Option<Interval>,
    pub psnr: Option<Interval>,
    pub lpips: Option<Interval>,
    pub ssim: Option<Interval>,
    pub ms_ssim: Option<Interval>,
}

impl<'a> ReconstructionMeter<'a> {
    /// Measures `tokenizer`, whose codes are below `codebook_size`.
    pub fn new(tokenizer: &'a Tokenizer, codebook_size: usize, lpips: Option<&'a Lpips>) -> Self {
        Self {
            tokenizer,
            lpips,
            similarity: false,
            counts: vec![0; codebook_size],
            pictures: Vec::new(),
        }
    }

    /// Also SSIM and MS-SSIM, which take longer than all the rest but the networks.
    pub fn with_similarity(self) -> Self {
        Self {
            similarity: true,
            ..self
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
        let absolute = means(difference.clone().abs());
        let squared = means(difference.square());
        let mut measured: Vec<Likeness> = absolute
            .zip(squared)
            .map(|(pixel_loss, squared_error)| Likeness {
                pixel_loss,
                psnr: psnr(squared_error),
                ..Likeness::default()
            })
            .collect();
        if self.similarity {
            add_similarity(&mut measured, pixels.clone(), reconstruction.clone());
        }
        if let Some(lpips) = self.lpips {
            let distances = host_values(lpips.distance(pixels, reconstruction));
            for (likeness, distance) in measured.iter_mut().zip(distances) {
                likeness.lpips = Some(f64::from(distance));
            }
        }
        self.pictures.extend(measured);
        decoded
    }

    /// Of every picture, in the order in which they were added.
    pub fn likenesses(&self) -> &[Likeness] {
        &self.pictures
    }

    /// How often each code occurred.
    pub fn histogram(&self) -> CodeHistogram {
        CodeHistogram::of_counts(self.counts.iter().map(|&count| u64::from(count)).collect())
    }

    pub fn figures(&self) -> ReconstructionFigures {
        let count = self.pictures.len().max(1) as f64;
        let sum = |value: &dyn Fn(&Likeness) -> f64| self.pictures.iter().map(value).sum::<f64>();
        let mean = |value: &dyn Fn(&Likeness) -> Option<f64>| {
            let values: Option<Vec<f64>> = self.pictures.iter().map(value).collect();
            let values = values.filter(|values| !values.is_empty())?;
            Some(values.iter().sum::<f64>() / values.len() as f64)
        };
        let usage = UsageFigures::of_counts(&self.counts);
        ReconstructionFigures {
            pictures: self.pictures.len(),
            pixel_loss: sum(&|picture| picture.pixel_loss) / count,
            psnr: sum(&|picture| picture.psnr) / count,
            lpips: mean(&|picture| picture.lpips),
            ssim: mean(&|picture| picture.ssim),
            ms_ssim: mean(&|picture| picture.ms_ssim),
            codes: self.counts.iter().map(|&count| count as usize).sum(),
            codebook_size: self.counts.len(),
            usage: usage.usage,
            perplexity: usage.perplexity,
        }
    }

    /// Where the means lie. `sources` says of each picture that was added which file it was cut from: several squares
    /// of one file are alike, so files are resampled and not squares, and every file counts once.
    ///
    /// # Errors
    /// Another number of sources than of pictures, none at all, figures that are not finite, or settings that make no
    /// sense.
    pub fn intervals(
        &self,
        sources: &[usize],
        settings: &BootstrapSettings,
    ) -> Result<ReconstructionIntervals> {
        if sources.len() != self.pictures.len() {
            return Err(Error::input(format!(
                "{} sources for {} pictures",
                sources.len(),
                self.pictures.len()
            )));
        }
        let interval = |value: fn(&Likeness) -> f64| {
            let values: Vec<f64> = self.pictures.iter().map(value).collect();
            bootstrap_mean(&means_by_source(&values, sources), settings)
        };
        let optional = |value: fn(&Likeness) -> Option<f64>| {
            let values: Option<Vec<f64>> = self.pictures.iter().map(value).collect();
            match values {
                Some(values) => bootstrap_mean(&means_by_source(&values, sources), settings),
                None => Ok(None),
            }
        };
        Ok(ReconstructionIntervals {
            pixel_loss: interval(|picture| picture.pixel_loss)?,
            psnr: interval(|picture| picture.psnr)?,
            lpips: optional(|picture| picture.lpips)?,
            ssim: optional(|picture| picture.ssim)?,
            ms_ssim: optional(|picture| picture.ms_ssim)?,
        })
    }
}

/// SSIM and MS-SSIM of pictures `[n, h, w, c]`, where they are large enough. Of pixels that are not finite they are NaN.
fn add_similarity(measured: &mut [Likeness], pixels: Tensor<4>, reconstruction: Tensor<4>) {
    let [_, height, width, channels] = pixels.dims();
    let (shape, side) = ([height, width, channels], height.min(width));
    let (left, right) = (host_values(pixels), host_values(reconstruction));
    let length = height * width * channels;
    let pairs = left.par_chunks(length).zip(right.par_chunks(length));
    let window = SsimWindow::Gaussian;
    measured
        .par_iter_mut()
        .zip(pairs)
        .for_each(|(likeness, (left, right))| {
            // With shapes that fit, only pixels that are not finite are refused.
            if side >= window.side() {
                likeness.ssim = Some(ssim(left, right, shape, window).unwrap_or(f64::NAN));
            }
            if side >= ms_ssim::LEAST {
                likeness.ms_ssim = Some(ms_ssim(left, right, shape).unwrap_or(f64::NAN));
            }
        });
}

/// The mean of the values of each source.
fn means_by_source(values: &[f64], sources: &[usize]) -> Vec<f64> {
    let mut sums: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
    for (value, &source) in values.iter().zip(sources) {
        let (sum, count) = sums.entry(source).or_default();
        *sum += value;
        *count += 1;
    }
    let means = sums.values().map(|(sum, count)| sum / *count as f64);
    means.collect()
}

/// Of a picture with this mean squared error, over the range of 2 that [-1, 1] spans; at most 120 dB. What is no number
/// stays none.
pub fn psnr(squared_error: f64) -> f64 {
    let least = 4e-12;
    // Not `max`, which would make a perfect picture of what is no number.
    let squared_error = if squared_error < least {
        least
    } else {
        squared_error
    };
    10.0 * (4.0 / squared_error).log10()
}

/// Pictures `[n, h, w, 3]` in [-1, 1] as files would have them: clamped, and rounded to 8 bits.
pub fn images(pixels: Tensor<4>) -> Vec<RgbImage> {
    let [_, height, width, channels] = pixels.dims();
    let values = host_values(pixels);
    values
        .chunks_exact(height * width * channels)
        .map(|picture| to_image(picture, height, width))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Shape, TensorData};

    #[test]
    fn decibels() {
        assert!((psnr(0.04) - 20.0).abs() < 1e-12);
        assert!((psnr(0.0) - 120.0).abs() < 1e-9);
        assert!(psnr(f64::NAN).is_nan());
    }

    fn pictures(shape: [usize; 4], level: impl Fn(usize) -> f32) -> Tensor<4> {
        let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(level).collect();
        Tensor::from_data(TensorData::new(values, Shape::from(shape)), &Device::flex())
    }

    #[test]
    fn similarity_is_measured_where_pictures_are_large_enough() {
        let wave = |place: usize| (place as f32 * 0.37).sin();
        for (side, has_ssim, has_ms_ssim) in
            [(8, false, false), (12, true, false), (161, true, true)]
        {
            let picture = pictures([2, side, side, 1], wave);
            let mut measured = vec![Likeness::default(); 2];
            add_similarity(&mut measured, picture.clone(), picture);
            for likeness in measured {
                let near = |value: Option<f64>| value.map(|value| (value - 1.0).abs() < 1e-9);
                assert_eq!(near(likeness.ssim), has_ssim.then_some(true));
                assert_eq!(near(likeness.ms_ssim), has_ms_ssim.then_some(true));
            }
        }
        let broken = pictures([1, 12, 12, 1], |_| f32::NAN);
        let mut measured = vec![Likeness::default()];
        add_similarity(&mut measured, broken.clone(), broken);
        assert!(measured[0].ssim.is_some_and(f64::is_nan));
    }

    #[test]
    fn squares_of_one_file_count_together() {
        let means = means_by_source(&[1.0, 10.0, 3.0, 20.0, 5.0], &[4, 2, 4, 2, 4]);
        assert_eq!(means, [15.0, 3.0]);
    }

    #[test]
    fn pictures_are_rounded() {
        let found = images(pictures([2, 1, 1, 3], |place| place as f32 - 2.0));
        assert_eq!(found[0].as_raw(), &[0, 0, 128]);
        assert_eq!(found[1].as_raw(), &[255, 255, 255]);
    }
}
