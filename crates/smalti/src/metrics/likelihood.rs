//! How probable pictures are to a prior: the mean over codes, how it lies over pictures and over positions, and what
//! to compare it with.

use super::bootstrap::{BootstrapSettings, Interval, bootstrap_mean};
use super::histogram::CodeHistogram;
use crate::error::{Error, Result};
use serde::Serialize;
use std::f64::consts::LN_2;

/// Adds up over pictures; one number of each is kept.
#[derive(Debug, Clone)]
pub struct LikelihoodMeter {
    /// Mean nats per code of every picture.
    pictures: Vec<f64>,
    /// Of every position the sum over pictures, and of squares.
    sums: Vec<[f64; 2]>,
    codes: CodeHistogram,
}

/// How probable pictures are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LikelihoodFigures {
    pub pictures: usize,
    pub codes_per_picture: usize,
    /// Minus the log-probability, the mean over codes.
    pub nats_per_code: f64,
    /// Where it lies if other pictures were measured; none of too few pictures.
    pub interval: Option<Interval>,
    pub bits_per_code: f64,
    /// Bits of all codes of a picture for each of its pixels: what the picture's codes would take in a file. It is no
    /// likelihood of the pixels, which the codes do not determine.
    pub bits_per_pixel: f64,
    /// The same for each number of a picture, three to a pixel.
    pub bits_per_dimension: f64,
    /// What knowing nothing costs, in nats per code: the logarithm of the number of codes.
    pub log_codebook_size: f64,
    /// What knowing the frequencies of these very codes costs, in nats per code.
    pub unigram_entropy: f64,
    /// Nats of every position, in the order in which the prior draws.
    pub by_position: Vec<f64>,
    /// The standard error of each of these; none of too few pictures.
    pub error_by_position: Option<Vec<f64>>,
}

impl LikelihoodMeter {
    /// For pictures of so many codes, each below `codebook_size`.
    ///
    /// # Errors
    /// Pictures without codes, or no codes to choose from.
    pub fn new(codes_per_picture: usize, codebook_size: usize) -> Result<Self> {
        if codes_per_picture == 0 || codebook_size == 0 {
            return Err(Error::input("there are no codes to measure"));
        }
        Ok(Self {
            pictures: Vec::new(),
            sums: vec![[0.0; 2]; codes_per_picture],
            codes: CodeHistogram::new(codebook_size),
        })
    }

    /// Adds a picture: the nats of its codes in the order of the prior, and its codes in any order.
    ///
    /// # Errors
    /// Another number of either than a picture has, nats that are not finite, or codes outside of the codebook; nothing
    /// is added then.
    pub fn add(&mut self, nats: &[f64], codes: &[i64]) -> Result<()> {
        let wanted = self.sums.len();
        if nats.len() != wanted || codes.len() != wanted {
            return Err(Error::input(format!(
                "{} nats of {} codes are not those of a picture of {wanted}",
                nats.len(),
                codes.len()
            )));
        }
        if let Some(place) = nats.iter().position(|value| !value.is_finite()) {
            return Err(Error::input(format!(
                "code {place} of picture {} (both counted from 0) costs {} nats: look at the prior's weights",
                self.pictures.len(),
                nats[place]
            )));
        }
        self.codes.add(codes)?;
        for (sums, value) in self.sums.iter_mut().zip(nats) {
            sums[0] += value;
            sums[1] += value * value;
        }
        self.pictures.push(nats.iter().sum::<f64>() / wanted as f64);
        Ok(())
    }

    /// How often each code occurred.
    pub fn codes(&self) -> &CodeHistogram {
        &self.codes
    }

    /// The figures of the pictures so far, of which each has so many `pixels` of three numbers.
    ///
    /// # Errors
    /// No pictures, or settings that make no sense.
    pub fn figures(
        &self,
        pixels: usize,
        settings: &BootstrapSettings,
    ) -> Result<LikelihoodFigures> {
        let interval = bootstrap_mean(&self.pictures, settings)?;
        let (count, codes) = (self.pictures.len() as f64, self.sums.len());
        let nats_per_code = self.pictures.iter().sum::<f64>() / count;
        let bits_per_code = nats_per_code / LN_2;
        let bits_per_pixel = bits_per_code * codes as f64 / pixels.max(1) as f64;
        let errors = interval.is_some();
        let error = |&[sum, squares]: &[f64; 2]| {
            let scatter = (squares - sum * sum / count).max(0.0);
            (scatter / (count - 1.0).max(1.0) / count).sqrt()
        };
        Ok(LikelihoodFigures {
            pictures: self.pictures.len(),
            codes_per_picture: codes,
            nats_per_code,
            interval,
            bits_per_code,
            bits_per_pixel,
            bits_per_dimension: bits_per_pixel / 3.0,
            log_codebook_size: (self.codes.counts().len() as f64).ln(),
            unigram_entropy: self.codes.figures().entropy * LN_2,
            by_position: self.sums.iter().map(|sums| sums[0] / count).collect(),
            error_by_position: errors.then(|| self.sums.iter().map(error).collect()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_by_hand() {
        let mut meter = LikelihoodMeter::new(2, 8).unwrap();
        for _ in 0..4 {
            meter.add(&[1.0, 3.0], &[0, 1]).unwrap();
            meter.add(&[2.0, 6.0], &[2, 3]).unwrap();
        }
        let found = meter.figures(4, &BootstrapSettings::default()).unwrap();
        assert_eq!((found.pictures, found.codes_per_picture), (8, 2));
        assert_eq!(found.nats_per_code, 3.0);
        assert_eq!(
            found.interval.as_ref().map(|found| found.estimate),
            Some(3.0)
        );
        assert!((found.bits_per_code - 3.0 / LN_2).abs() < 1e-12);
        assert!((found.bits_per_pixel - 3.0 / LN_2 * 2.0 / 4.0).abs() < 1e-12);
        assert!((found.bits_per_dimension - 3.0 / LN_2 * 2.0 / 12.0).abs() < 1e-12);
        assert!((found.log_codebook_size - 8_f64.ln()).abs() < 1e-12);
        assert!((found.unigram_entropy - 4_f64.ln()).abs() < 1e-12);
        assert_eq!(found.by_position, [1.5, 4.5]);
        // Eight values, half of them 1 (and 3) above the others: squares of differences from the mean add up to 2 (and
        // 18), over 7 · 8.
        let expected = [2.0_f64, 18.0].map(|squares| (squares / 56.0).sqrt());
        for (error, expected) in found.error_by_position.unwrap().iter().zip(expected) {
            assert!((error - expected).abs() < 1e-12, "{error}");
        }
    }

    #[test]
    fn what_is_no_picture_is_refused_whole() {
        assert!(LikelihoodMeter::new(0, 8).is_err());
        let mut meter = LikelihoodMeter::new(2, 8).unwrap();
        let error = meter.figures(12, &BootstrapSettings::default());
        assert!(error.is_err(), "nothing was measured");
        assert!(meter.add(&[1.0], &[0, 1]).is_err());
        let error = meter.add(&[1.0, f64::NAN], &[0, 1]).unwrap_err();
        assert!(error.to_string().contains("code 1 of picture 0"));
        assert!(meter.add(&[1.0, 1.0], &[0, 8]).is_err());
        meter.add(&[1.0, 1.0], &[0, 7]).unwrap();
        let found = meter.figures(12, &BootstrapSettings::default()).unwrap();
        assert_eq!((found.pictures, found.nats_per_code), (1, 1.0));
        assert!(found.interval.is_none() && found.error_by_position.is_none());
    }
}
