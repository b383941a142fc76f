//! The Inception score: `exp` of the mutual information of picture and class, as a classifier sees them (Salimans et
//! al., "Improved Techniques for Training GANs", 2016). It knows no reference: a high score says that pictures are
//! clearly of a class and that all classes occur, not that the pictures are right.

use super::rows::FeatureRows;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Adds up over pictures in constant memory. The score is the mean over several parts of the pictures, to which they
/// are dealt in turn: so pictures may come class by class.
#[derive(Debug, Clone)]
pub struct InceptionScoreMeter {
    classes: usize,
    pictures: usize,
    splits: Vec<Split>,
}

/// What is known of a part of the pictures.
#[derive(Debug, Clone)]
struct Split {
    pictures: usize,
    /// The sum of the probabilities of every class.
    probabilities: Vec<f64>,
    /// The sum of p ln p over pictures and classes.
    information: f64,
}

/// Mean and standard deviation over the parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InceptionScore {
    pub mean: f64,
    pub standard_deviation: f64,
    pub pictures: usize,
    pub splits: usize,
}

impl InceptionScoreMeter {
    /// For a classifier of so many classes. Ten splits are usual.
    ///
    /// # Errors
    /// [`Error::Input`] for no classes or no splits.
    pub fn new(classes: usize, splits: usize) -> Result<Self> {
        if classes == 0 || splits == 0 {
            return Err(Error::input(format!(
                "an Inception score takes at least one class and one split, not {classes} and {splits}"
            )));
        }
        let split = Split {
            pictures: 0,
            probabilities: vec![0.0; classes],
            information: 0.0,
        };
        Ok(Self {
            classes,
            pictures: 0,
            splits: vec![split; splits],
        })
    }

    /// Adds pictures: their logits `[n, classes]`, row-major.
    ///
    /// # Errors
    /// [`Error::Input`] where the last row is not whole, or a number is not finite; the message names the picture, and
    /// nothing is added.
    pub fn add(&mut self, logits: &[f32]) -> Result<()> {
        FeatureRows::new(logits, self.classes, self.pictures)?;
        let splits = self.splits.len();
        for row in logits.chunks_exact(self.classes) {
            self.splits[self.pictures % splits].add(row);
            self.pictures += 1;
        }
        Ok(())
    }

    /// The score of the pictures so far.
    ///
    /// # Errors
    /// [`Error::Input`] where there are fewer pictures than splits.
    pub fn score(&self) -> Result<InceptionScore> {
        let splits = self.splits.len();
        if self.pictures < splits {
            return Err(Error::input(format!(
                "{} pictures cannot be divided into {splits} splits: ask for fewer",
                self.pictures
            )));
        }
        let scores: Vec<f64> = self.splits.iter().map(Split::score).collect();
        let mean = scores.iter().sum::<f64>() / splits as f64;
        let squares = scores.iter().map(|score| (score - mean).powi(2));
        Ok(InceptionScore {
            mean,
            standard_deviation: (squares.sum::<f64>() / splits as f64).sqrt(),
            pictures: self.pictures,
            splits,
        })
    }
}

impl Split {
    fn add(&mut self, logits: &[f32]) {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shifted = |&logit: &f32| f64::from(logit) - f64::from(largest);
        let sum: f64 = logits.iter().map(|logit| shifted(logit).exp()).sum();
        let logarithm = sum.ln();
        for (total, logit) in self.probabilities.iter_mut().zip(logits) {
            let log_probability = shifted(logit) - logarithm;
            let probability = log_probability.exp();
            *total += probability;
            self.information += probability * log_probability;
        }
        self.pictures += 1;
    }

    /// `exp` of the mean of Σ p (ln p − ln q), where q is the mean of p.
    fn score(&self) -> f64 {
        let pictures = self.pictures as f64;
        let shares = self.probabilities.iter().map(|sum| sum / pictures);
        let entropy: f64 = shares.filter(|&q| q > 0.0).map(|q| -q * q.ln()).sum();
        (self.information / pictures + entropy).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(logits: &[f32], classes: usize, splits: usize) -> InceptionScore {
        let mut meter = InceptionScoreMeter::new(classes, splits).unwrap();
        meter.add(logits).unwrap();
        meter.score().unwrap()
    }

    /// Certain of every class in turn: as many as there are classes. Certain of one, or of none: one.
    #[test]
    fn known_answers() {
        let certain: Vec<f32> = (0..16)
            .map(|place| if place % 5 == 0 { 5000.0 } else { 0.0 })
            .collect();
        let all = score(&certain, 4, 1);
        assert!((all.mean - 4.0).abs() < 1e-12);
        assert_eq!((all.pictures, all.splits), (4, 1));
        assert!((score(&certain[..4].repeat(6), 4, 2).mean - 1.0).abs() < 1e-12);
        assert!((score(&[0.3; 24], 4, 3).mean - 1.0).abs() < 1e-12);
    }

    /// Half of class 0 and half undecided between two.
    #[test]
    fn a_score_by_hand() {
        let found = score(&[100.0, 0.0, 1.0, 1.0], 2, 1).mean;
        let half = 0.5_f64;
        let information = 0.5 * half.ln();
        let entropy = -0.75 * 0.75_f64.ln() - 0.25 * 0.25_f64.ln();
        assert!((found - (information + entropy).exp()).abs() < 1e-12);
    }

    #[test]
    fn pictures_are_dealt_to_the_splits_in_turn() {
        let logits: Vec<f32> = (0..60)
            .map(|index| (index as f32 * 1.7).sin() * 3.0)
            .collect();
        let dealt = |start: usize| {
            let rows = logits.chunks(3).skip(start).step_by(2);
            score(&rows.flatten().copied().collect::<Vec<f32>>(), 3, 1).mean
        };
        let (even, odd) = (dealt(0), dealt(1));
        let mut meter = InceptionScoreMeter::new(3, 2).unwrap();
        for batch in logits.chunks(3 * 7) {
            meter.add(batch).unwrap();
        }
        let found = meter.score().unwrap();
        assert!((found.mean - (even + odd) / 2.0).abs() < 1e-12);
        assert!((found.standard_deviation - (even - odd).abs() / 2.0).abs() < 1e-12);
    }

    #[test]
    fn what_has_no_score_is_refused() {
        assert!(InceptionScoreMeter::new(0, 10).is_err());
        assert!(InceptionScoreMeter::new(10, 0).is_err());
        let mut meter = InceptionScoreMeter::new(2, 3).unwrap();
        meter.add(&[0.0; 4]).unwrap();
        let error = meter.add(&[0.0, 1.0, f32::NAN, 0.0]).unwrap_err();
        assert!(error.to_string().contains("picture 3"));
        let error = meter.score().unwrap_err().to_string();
        assert!(error.contains("2 pictures cannot be divided into 3 splits"));
    }
}
