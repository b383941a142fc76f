//! A linear classifier of features: one weight per class and feature, one bias per class, and a softmax over their
//! sums. Trained by what minimises the mean cross-entropy and `penalty` / 2 times the squares of the weights of
//! standardised features (the biases are free), all pictures at once: there is one such head, and nothing in finding it
//! is left to chance.

use super::lbfgs::{Stop, minimise};
use super::standardized::Standardized;
use crate::error::{Error, Result};
use crate::metrics::FeatureRows;
use crate::metrics::linear_algebra::product;
use smalti_kernels::matmul::{Matrix, MatrixMut, Product, multiply};

/// Pictures whose features are in double precision at a time.
const BLOCK: usize = 1024;

/// Where no part of the gradient is larger than this, what is left of the fall is far below what one picture more or less
/// would change.
const STOP: Stop = Stop {
    gradient: 1e-6,
    steps: 300,
};

/// Weights `[classes, dimensions]` and biases `[classes]`, all finite.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearHead {
    weight: Vec<f32>,
    bias: Vec<f32>,
    dimensions: usize,
}

impl LinearHead {
    /// # Errors
    /// [`Error::Input`] where the sizes do not fit, there are fewer than two classes, or a number is not finite.
    pub fn new(weight: Vec<f32>, bias: Vec<f32>, dimensions: usize) -> Result<Self> {
        let classes = bias.len();
        if dimensions == 0 || classes < 2 || classes.checked_mul(dimensions) != Some(weight.len()) {
            return Err(Error::input(format!(
                "{} weights and {classes} biases are no classifier of {dimensions} features",
                weight.len()
            )));
        }
        if !weight.iter().chain(&bias).all(|value| value.is_finite()) {
            return Err(Error::input(
                "a classifier has weights that are not finite numbers",
            ));
        }
        Ok(Self {
            weight,
            bias,
            dimensions,
        })
    }

    /// Trains a head on the features of pictures and the number of the class of each. For n pictures of d features and
    /// C classes that is about 150 · n · d · C operations, and 4 n d bytes more than the features.
    ///
    /// # Errors
    /// [`Error::Input`] for fewer than two classes, a class without a picture or one that does not exist, as many labels
    /// as there are not pictures, and a penalty that is not above 0.
    pub fn train(
        features: FeatureRows<'_>,
        labels: &[usize],
        classes: usize,
        penalty: f64,
    ) -> Result<Self> {
        check(features.count(), labels, classes)?;
        if !(penalty > 0.0 && penalty.is_finite()) {
            return Err(Error::input(format!(
                "the penalty of the weights is {penalty}; it must be above 0"
            )));
        }
        let standard = Standardized::new(features);
        let width = features.dimensions() + 1;
        let objective = Objective {
            rows: &standard.rows,
            labels,
            shape: [classes, width],
            penalty,
        };
        let start = vec![0.0; classes * width];
        let parameters = minimise(start, STOP, |parameters| objective.at(parameters));
        let (weight, bias) = standard.for_features(&parameters);
        Self::new(weight, bias, features.dimensions())
    }

    pub fn classes(&self) -> usize {
        self.bias.len()
    }

    /// Features per picture.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// `[classes, dimensions]`.
    pub fn weight(&self) -> &[f32] {
        &self.weight
    }

    /// `[classes]`.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// The logits of the classes, `[n, classes]` row-major.
    ///
    /// # Errors
    /// [`Error::Input`] where the features are of another length.
    pub fn logits(&self, features: FeatureRows<'_>) -> Result<Vec<f64>> {
        if features.dimensions() != self.dimensions {
            return Err(Error::input(format!(
                "a classifier of {} features is given {}",
                self.dimensions,
                features.dimensions()
            )));
        }
        let classes = || self.weight.chunks_exact(self.dimensions).zip(&self.bias);
        let logit = |row: &[f32], weight: &[f32], bias: f32| {
            let terms = row.iter().zip(weight);
            let sum: f64 = terms.map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
            sum + f64::from(bias)
        };
        let rows = (0..features.count()).map(|index| features.row(index));
        Ok(rows
            .flat_map(|row| classes().map(move |(weight, &bias)| logit(row, weight, bias)))
            .collect())
    }
}

fn check(pictures: usize, labels: &[usize], classes: usize) -> Result<()> {
    if labels.len() != pictures {
        return Err(Error::input(format!(
            "{} labels for {pictures} pictures",
            labels.len()
        )));
    }
    if classes < 2 {
        return Err(Error::input("a classifier takes two classes at least"));
    }
    let mut present = vec![false; classes];
    for &label in labels {
        match present.get_mut(label) {
            Some(present) => *present = true,
            None => {
                return Err(Error::input(format!(
                    "class {label} of {classes} does not exist"
                )));
            }
        }
    }
    match present.iter().position(|present| !present) {
        Some(class) => Err(Error::input(format!(
            "class {class} has no picture to learn from"
        ))),
        None => Ok(()),
    }
}

/// What is minimised.
struct Objective<'a> {
    /// Standardised features, each row with a 1 behind.
    rows: &'a [f32],
    labels: &'a [usize],
    /// Classes, and features with that 1.
    shape: [usize; 2],
    penalty: f64,
}

impl Objective<'_> {
    /// Value and gradient for weights, and behind those of a class its bias.
    fn at(&self, parameters: &[f64]) -> (f64, Vec<f64>) {
        let [_, width] = self.shape;
        let (mut value, mut gradient) = (0.0, vec![0.0; parameters.len()]);
        let blocks = self.rows.chunks(BLOCK * width);
        for (rows, labels) in blocks.zip(self.labels.chunks(BLOCK)) {
            value += self.add_block(rows, labels, parameters, &mut gradient);
        }
        let share = 1.0 / self.labels.len() as f64;
        value *= share;
        gradient.iter_mut().for_each(|value| *value *= share);
        let slopes = gradient.chunks_exact_mut(width);
        for (slopes, weights) in slopes.zip(parameters.chunks_exact(width)) {
            for (slope, weight) in slopes[..width - 1].iter_mut().zip(weights) {
                value += 0.5 * self.penalty * weight * weight;
                *slope += self.penalty * weight;
            }
        }
        (value, gradient)
    }

    /// Adds the gradient of some pictures' cross-entropies; returns these.
    fn add_block(
        &self,
        rows: &[f32],
        labels: &[usize],
        parameters: &[f64],
        gradient: &mut [f64],
    ) -> f64 {
        let ([classes, width], count) = (self.shape, labels.len());
        let rows: Vec<f64> = rows.iter().map(|&value| f64::from(value)).collect();
        let rows = Matrix::new(&rows, count, width);
        let weights = Matrix::new(parameters, classes, width).transposed();
        let mut logits = product(rows, weights, [count, classes]);
        let mut value = 0.0;
        for (row, &label) in logits.chunks_exact_mut(classes).zip(labels) {
            value += softmax(row, label);
            row[label] -= 1.0;
        }
        let slopes = Matrix::new(&logits, count, classes).transposed();
        let how = Product {
            accumulate: true,
            ..Product::PARALLEL
        };
        let gradient = MatrixMut::new(gradient, classes, width);
        multiply(slopes, rows, gradient, how);
        value
    }
}

/// Turns logits into probabilities; returns minus the logarithm of that of `label`.
pub(super) fn softmax(logits: &mut [f64], label: usize) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let own = logits[label] - largest;
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - largest).exp();
        sum += *logit;
    }
    logits.iter_mut().for_each(|value| *value /= sum);
    sum.ln() - own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::testing::{uniform, uniform_f32};

    fn probabilities(head: &LinearHead, features: &[f32]) -> Vec<f64> {
        let rows = FeatureRows::new(features, head.dimensions(), 0).unwrap();
        let mut logits = head.logits(rows).unwrap();
        for row in logits.chunks_exact_mut(head.classes()) {
            softmax(row, 0);
        }
        logits
    }

    /// Of two pictures on a line, standardised to 1 and -1, the weights are w and -w, and what is minimised is
    /// ln (1 + exp (-2w)) + penalty · w². Where its derivative is zero, penalty · w · (1 + exp 2w) = 1.
    #[test]
    fn two_pictures_have_a_closed_form() {
        for w in [0.1_f64, 0.7, 2.0] {
            let penalty = 1.0 / (w * (1.0 + (2.0 * w).exp()));
            let features = [7.0, 3.0];
            let rows = FeatureRows::new(&features, 1, 0).unwrap();
            let head = LinearHead::train(rows, &[0, 1], 2, penalty).unwrap();
            // One deviation is 2, and the mean 5.
            for (found, wanted) in head.weight().iter().zip([w / 2.0, -w / 2.0]) {
                assert!((f64::from(*found) - wanted).abs() < 1e-4, "{head:?}");
            }
            let both = probabilities(&head, &[7.0, 3.0]);
            let right = 1.0 / (1.0 + (-2.0 * w).exp());
            for (found, wanted) in both.iter().zip([right, 1.0 - right, 1.0 - right, right]) {
                assert!((found - wanted).abs() < 1e-4, "{found}, not {wanted}");
            }
        }
    }

    /// Pictures around three corners, far apart.
    fn corners(count: usize) -> (Vec<f32>, Vec<usize>) {
        let noise = uniform_f32(5, 4 * count);
        let labels: Vec<usize> = (0..count).map(|index| index % 3).collect();
        let values = noise.chunks_exact(4).zip(&labels);
        let row = |(noise, &label): (&[f32], &usize)| {
            let mut row = [noise[0], noise[1], noise[2], 1000.0 + noise[3]];
            row[label] += 6.0;
            row
        };
        (values.flat_map(row).collect(), labels)
    }

    #[test]
    fn what_can_be_told_apart_is() {
        let (features, labels) = corners(2500);
        let rows = FeatureRows::new(&features, 4, 0).unwrap();
        let head = LinearHead::train(rows, &labels, 3, 1e-2).unwrap();
        let found = probabilities(&head, &features);
        for (row, &label) in found.chunks_exact(3).zip(&labels) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(row[label] > 0.8, "{row:?}");
        }
        let again = LinearHead::train(rows, &labels, 3, 1e-2).unwrap();
        assert_eq!(head, again);
    }

    /// Without anything to learn from the features, probabilities are how often classes occur.
    #[test]
    fn constant_features_leave_the_frequencies() {
        let features = [4.0; 8];
        let rows = FeatureRows::new(&features, 1, 0).unwrap();
        let head = LinearHead::train(rows, &[0, 1, 1, 1, 0, 1, 1, 1], 2, 1.0).unwrap();
        assert!((probabilities(&head, &[4.0])[1] - 0.75).abs() < 1e-5);
    }

    #[test]
    fn the_gradient_is_the_difference_quotient() {
        let rows = uniform_f32(1, 5 * 4);
        let objective = Objective {
            rows: &rows,
            labels: &[2, 0, 1, 2, 2],
            shape: [3, 4],
            penalty: 0.3,
        };
        let parameters = uniform(2, 12);
        let (_, gradient) = objective.at(&parameters);
        for (index, slope) in gradient.iter().enumerate() {
            let value = |step: f64| {
                let mut moved = parameters.clone();
                moved[index] += step;
                objective.at(&moved).0
            };
            let quotient = (value(1e-5) - value(-1e-5)) / 2e-5;
            assert!(
                (slope - quotient).abs() < 1e-8,
                "{index}: {slope}, not {quotient}"
            );
        }
    }

    #[test]
    fn what_cannot_be_trained_is_refused() {
        let features = [0.0, 1.0, 2.0];
        let rows = FeatureRows::new(&features, 1, 0).unwrap();
        let refused = |labels: &[usize], classes: usize, penalty: f64, reason: &str| {
            let error = LinearHead::train(rows, labels, classes, penalty).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        };
        refused(&[0, 1], 2, 1.0, "2 labels for 3 pictures");
        refused(&[0, 0, 0], 1, 1.0, "two classes");
        refused(&[0, 1, 2], 2, 1.0, "class 2 of 2");
        refused(&[0, 2, 0], 3, 1.0, "class 1 has no picture");
        refused(&[0, 1, 0], 2, 0.0, "above 0");
        refused(&[0, 1, 0], 2, f64::NAN, "above 0");
        assert!(LinearHead::new(vec![0.0; 3], vec![0.0; 2], 2).is_err());
        assert!(LinearHead::new(vec![f32::NAN; 4], vec![0.0; 2], 2).is_err());
        assert!(LinearHead::new(Vec::new(), Vec::new(), usize::MAX).is_err());
        let head = LinearHead::new(vec![0.0; 4], vec![0.0; 2], 2).unwrap();
        assert!(head.logits(rows).is_err());
    }
}
