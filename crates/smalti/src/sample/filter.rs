//! What becomes of logits before a code is drawn: temperature, top-k, top-p, min-p.

use crate::error::{Error, Result};
use rand::{Rng, RngExt};

/// The usual controls. They apply in the order temperature, top-k, top-p (taming/modules/transformer/mingpt.py,
/// `sample_with_past`), min-p.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filter {
    /// Logits are divided by it; below 1 sharpens.
    pub temperature: f64,
    /// Only the k largest logits stay, ties with the k-th included. 1 is greedy.
    pub top_k: Option<usize>,
    /// Only the smallest set of codes whose probability reaches p stays.
    pub top_p: Option<f64>,
    /// Only codes stay that are at least this many times as probable as the most probable one (Nguyen et al., 2024).
    pub min_p: Option<f64>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: None,
            min_p: None,
        }
    }
}

impl Filter {
    /// Always the most probable code.
    pub const GREEDY: Self = Self {
        temperature: 1.0,
        top_k: Some(1),
        top_p: None,
        min_p: None,
    };

    /// Says what is wrong with values out of range.
    pub fn check(&self) -> Result<()> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(Error::input(format!(
                "--temperature is {}; it must be above 0 (for the most probable code, use --top-k 1)",
                self.temperature
            )));
        }
        if self.top_k == Some(0) {
            return Err(Error::input(
                "--top-k is 0; it must be at least 1 (leave it out to keep all codes)",
            ));
        }
        if let Some(p) = self.top_p
            && !(p > 0.0 && p <= 1.0)
        {
            return Err(Error::input(format!(
                "--top-p is {p}; it must be above 0 and at most 1"
            )));
        }
        if let Some(p) = self.min_p
            && !(0.0..=1.0).contains(&p)
        {
            return Err(Error::input(format!(
                "--min-p is {p}; it must be from 0 to 1"
            )));
        }
        Ok(())
    }

    /// Draws an index of `logits`. A NaN is never drawn.
    pub fn draw(&self, logits: &[f32], random: &mut impl Rng) -> usize {
        if self.top_k == Some(1) {
            return greedy(logits);
        }
        let weights = self.weights(logits);
        let total: f64 = weights.iter().sum();
        let mut left = random.random::<f64>() * total;
        for (index, &weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 && weight > 0.0 {
                return index;
            }
        }
        greedy(logits)
    }

    /// Probabilities, up to a common factor, of each code.
    fn weights(&self, logits: &[f32]) -> Vec<f64> {
        let value = |logit: &f32| {
            if logit.is_nan() {
                f64::NEG_INFINITY
            } else {
                f64::from(*logit)
            }
        };
        let mut scaled: Vec<f64> = logits
            .iter()
            .map(|logit| value(logit) / self.temperature)
            .collect();
        if let Some(k) = self.top_k {
            keep_largest(&mut scaled, k);
        }
        let largest = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut weights: Vec<f64> = scaled
            .iter()
            .map(|&logit| (logit - largest).exp())
            .collect();
        if let Some(p) = self.top_p {
            keep_nucleus(&mut weights, p);
        }
        // The largest weight is 1.
        let least = self.min_p.unwrap_or(0.0);
        for weight in weights.iter_mut().filter(|weight| **weight < least) {
            *weight = 0.0;
        }
        weights
    }
}

/// The first of the largest logits.
fn greedy(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, &logit) in logits.iter().enumerate() {
        if logit > logits[best] || logits[best].is_nan() {
            best = index;
        }
    }
    best
}

fn keep_largest(logits: &mut [f64], k: usize) {
    if k >= logits.len() {
        return;
    }
    let mut sorted = logits.to_vec();
    let (_, &mut threshold, _) = sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    for logit in logits.iter_mut().filter(|logit| **logit < threshold) {
        *logit = f64::NEG_INFINITY;
    }
}

/// Keeps the most probable codes up to and including the one that makes their sum exceed `p`.
fn keep_nucleus(weights: &mut [f64], p: f64) {
    let total: f64 = weights.iter().sum();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    let mut sum = 0.0;
    for index in order {
        if sum > p * total {
            weights[index] = 0.0;
        }
        sum += weights[index];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    fn drawn(filter: Filter, logits: &[f32]) -> Vec<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..20_000 {
            counts[filter.draw(logits, &mut random)] += 1.0;
        }
        counts.iter().map(|count| count / 20_000.0).collect()
    }

    #[test]
    fn frequencies_are_the_softmax() {
        let logits = [0.0, 1.0, 2.0];
        let total: f64 = logits
            .iter()
            .map(|&logit: &f32| f64::from(logit).exp())
            .sum();
        for (share, logit) in drawn(Filter::default(), &logits).iter().zip(logits) {
            assert!((share - f64::from(logit).exp() / total).abs() < 0.015);
        }
    }

    #[test]
    fn top_k_keeps_ties_and_drops_the_rest() {
        let filter = Filter {
            top_k: Some(2),
            ..Filter::default()
        };
        let shares = drawn(filter, &[3.0, 1.0, 1.0, 0.0]);
        assert!(shares[1] > 0.0 && shares[2] > 0.0);
        assert_eq!(shares[3], 0.0);
    }

    #[test]
    fn top_p_keeps_the_code_that_crosses() {
        // Probabilities 0.5, 0.3, 0.2.
        let logits = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        let filter = Filter {
            top_p: Some(0.6),
            ..Filter::default()
        };
        let shares = drawn(filter, &logits);
        assert!(shares[1] > 0.0);
        assert_eq!(shares[2], 0.0);
        let filter = Filter {
            top_p: Some(1e-9),
            ..Filter::default()
        };
        assert_eq!(drawn(filter, &logits)[0], 1.0);
    }

    #[test]
    fn min_p_keeps_what_is_near_the_most_probable() {
        // Probabilities 0.5, 0.3, 0.15, 0.05: relative to the first 1, 0.6, 0.3, 0.1.
        let logits = [0.3f32, 0.5, 0.05, 0.15].map(f32::ln);
        let kept = |min_p: f64, temperature: f64| -> Vec<bool> {
            let filter = Filter {
                temperature,
                min_p: Some(min_p),
                ..Filter::default()
            };
            let weights = filter.weights(&logits);
            weights.iter().map(|&weight| weight > 0.0).collect()
        };
        assert_eq!(kept(0.0, 1.0), [true; 4]);
        assert_eq!(kept(0.2, 1.0), [true, true, false, true]);
        assert_eq!(kept(0.5, 1.0), [true, true, false, false]);
        assert_eq!(kept(1.0, 1.0), [false, true, false, false]);
        // At temperature 1/2 the ratios are squared: 0.36, 0.09 and 0.01.
        assert_eq!(kept(0.2, 0.5), [true, true, false, false]);
        let both = Filter {
            top_k: Some(2),
            min_p: Some(0.1),
            ..Filter::default()
        };
        let shares = drawn(both, &logits);
        assert!((shares[0] - 0.375).abs() < 0.015 && shares[2] == 0.0 && shares[3] == 0.0);
        let wrong = Filter {
            min_p: Some(1.5),
            ..Filter::default()
        };
        assert!(
            wrong
                .check()
                .unwrap_err()
                .to_string()
                .contains("--min-p is 1.5")
        );
    }

    #[test]
    fn greedy_takes_the_first_of_equals_and_no_nan() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(
            Filter::GREEDY.draw(&[f32::NAN, 1.0, 2.0, 2.0], &mut random),
            2
        );
        assert_eq!(Filter::default().draw(&[f32::NAN, 0.0], &mut random), 1);
    }

    #[test]
    fn cold_is_greedy() {
        let filter = Filter {
            temperature: 1e-3,
            ..Filter::default()
        };
        assert_eq!(drawn(filter, &[0.0, 0.1])[1], 1.0);
    }
}
