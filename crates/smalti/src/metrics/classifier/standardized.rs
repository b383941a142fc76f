//! Features with mean 0 and variance 1, so that one penalty suits the weights of all of them.

use crate::metrics::FeatureRows;

/// A feature that varies less than this part of the one that varies most counts as constant: rounding errors made it.
const CONSTANT: f64 = 1e-6;

/// Standardised features of pictures, and how they were made.
pub struct Standardized {
    /// `[pictures, dimensions + 1]`, the last of each row 1, for the bias.
    pub rows: Vec<f32>,
    /// `[dimensions]`.
    means: Vec<f64>,
    /// What the distance from the mean is multiplied with, `[dimensions]`; 0 for constant features.
    factors: Vec<f64>,
}

impl Standardized {
    pub fn new(features: FeatureRows<'_>) -> Self {
        let (count, size) = (features.count() as f64, features.dimensions());
        let rows = || (0..features.count()).map(|index| features.row(index));
        let mut means = vec![0.0; size];
        for row in rows() {
            for (sum, &value) in means.iter_mut().zip(row) {
                *sum += f64::from(value);
            }
        }
        means.iter_mut().for_each(|sum| *sum /= count);
        let mut variances = vec![0.0; size];
        for row in rows() {
            for ((sum, &value), mean) in variances.iter_mut().zip(row).zip(&means) {
                *sum += (f64::from(value) - mean).powi(2) / count;
            }
        }
        let largest = variances.iter().copied().fold(0.0, f64::max).sqrt();
        let factor = |variance: &f64| match variance.sqrt() {
            deviation if deviation > CONSTANT * largest => 1.0 / deviation,
            _ => 0.0,
        };
        let factors: Vec<f64> = variances.iter().map(factor).collect();
        let mut standard = Vec::with_capacity(features.count() * (size + 1));
        for row in rows() {
            let values = row.iter().zip(&means).zip(&factors);
            let values = values.map(|((&value, mean), factor)| (f64::from(value) - mean) * factor);
            standard.extend(values.map(|value| value as f32));
            standard.push(1.0);
        }
        Self {
            rows: standard,
            means,
            factors,
        }
    }

    /// What weights and a bias of standardised features are for the features themselves: `parameters` are
    /// `[classes, dimensions + 1]`, the bias of a class behind its weights.
    pub fn for_features(&self, parameters: &[f64]) -> (Vec<f32>, Vec<f32>) {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for class in parameters.chunks_exact(self.means.len() + 1) {
            let mut shift = class[self.means.len()];
            for ((value, mean), factor) in class.iter().zip(&self.means).zip(&self.factors) {
                weight.push((value * factor) as f32);
                shift -= value * factor * mean;
            }
            bias.push(shift as f32);
        }
        (weight, bias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_zero_and_variances_one_and_constants_nothing() {
        let features = [1.0, 7.0, 3.0, 7.0, 8.0, 7.0];
        let made = Standardized::new(FeatureRows::new(&features, 2, 0).unwrap());
        let first: Vec<f32> = made.rows.iter().step_by(3).copied().collect();
        assert!(first.iter().sum::<f32>().abs() < 1e-6);
        let squares: f32 = first.iter().map(|value| value * value).sum();
        assert!((squares / 3.0 - 1.0).abs() < 1e-6);
        for row in made.rows.chunks_exact(3) {
            assert_eq!(row[1..], [0.0, 1.0]);
        }
    }

    #[test]
    fn weights_give_the_same_logits_for_the_features_themselves() {
        let features = [1.0, 70.0, 3.0, 71.5, 8.0, 69.0];
        let made = Standardized::new(FeatureRows::new(&features, 2, 0).unwrap());
        let parameters = [0.5, -2.0, 0.25, 1.0, 1.5, -0.75];
        let (weight, bias) = made.for_features(&parameters);
        for (row, standard) in features.chunks_exact(2).zip(made.rows.chunks_exact(3)) {
            for (class, bias) in bias.iter().enumerate() {
                let wanted: f64 = standard
                    .iter()
                    .zip(&parameters[3 * class..])
                    .map(|(&value, parameter)| f64::from(value) * parameter)
                    .sum();
                let own = weight[2 * class] * row[0] + weight[2 * class + 1] * row[1] + bias;
                assert!(
                    (f64::from(own) - wanted).abs() < 1e-4,
                    "{own}, not {wanted}"
                );
            }
        }
    }
}
