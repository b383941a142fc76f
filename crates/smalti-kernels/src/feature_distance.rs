//! The distance of LPIPS between two pictures' features, with its gradients.
//!
//! Features are `[batch, positions, channels]`. At every position both vectors are divided by
//! their length, the squares of their differences are weighted channel by channel and added up,
//! and positions are averaged. The epsilon stands inside the root, so that the gradient of a zero
//! vector is finite.

use crate::dispatch::{self, vectorised};
use crate::element::Element;
use crate::reduce::rows_per_block;
use rayon::prelude::*;

/// Added to squared lengths.
const EPSILON: f32 = 1e-20;

/// Running sums per vector: one vector register's worth, so that loops need no horizontal steps.
const LANES: usize = 16;

/// Features of both pictures and what they are compared by.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a, E> {
    pub batch: usize,
    pub left: &'a [E],
    pub right: &'a [E],
    /// Weight of every channel.
    pub weights: &'a [f32],
}

impl<E> Features<'_, E> {
    fn positions(&self) -> usize {
        self.left.len() / (self.batch * self.weights.len()).max(1)
    }

    fn assert_lengths(&self) {
        let expected = self.batch * self.positions() * self.weights.len();
        assert!(!self.weights.is_empty(), "features without channels");
        assert_eq!(self.left.len(), expected, "left features");
        assert_eq!(self.right.len(), expected, "right features");
    }
}

/// Computes the distance of every pair.
pub fn forward<E: Element>(features: &Features<'_, E>, distances: &mut [f32]) {
    features.assert_lengths();
    assert_eq!(distances.len(), features.batch, "distances");
    let (positions, channels) = (features.positions(), features.weights.len());
    let (isa, block) = (dispatch::isa(), rows_per_block(positions) * channels);
    for (image, distance) in distances.iter_mut().enumerate() {
        let values = image * positions * channels..(image + 1) * positions * channels;
        let (left, right) = (&features.left[values.clone()], &features.right[values]);
        let blocks = left.par_chunks(block).zip(right.par_chunks(block));
        let sums: Vec<f64> = blocks
            .map(|(left, right)| add_distances(isa, left, right, features.weights))
            .collect();
        *distance = (sums.iter().sum::<f64>() / positions as f64) as f32;
    }
}

/// Computes the gradient of one side's features from that of every distance; the distance is the
/// same from both sides, so `left` and `right` may be exchanged for the other one.
pub fn backward_right<E: Element>(
    features: &Features<'_, E>,
    grad_distances: &[f32],
    grad_right: &mut [E],
) {
    features.assert_lengths();
    assert_eq!(
        grad_distances.len(),
        features.batch,
        "gradients of distances"
    );
    assert_eq!(grad_right.len(), features.right.len(), "right gradient");
    let (positions, channels) = (features.positions(), features.weights.len());
    if positions == 0 {
        return;
    }
    let (isa, block) = (dispatch::isa(), rows_per_block(positions) * channels);
    let images = grad_right
        .par_chunks_exact_mut(positions * channels)
        .enumerate();
    images.for_each(|(image, target)| {
        let values = image * positions * channels..(image + 1) * positions * channels;
        let (left, right) = (&features.left[values.clone()], &features.right[values]);
        let scale = grad_distances[image] / positions as f32;
        let sources = left.par_chunks(block).zip(right.par_chunks(block));
        target
            .par_chunks_mut(block)
            .zip(sources)
            .for_each(|(target, (left, right))| {
                differentiate(isa, left, right, features.weights, scale, target);
            });
    });
}

/// Reciprocal lengths of both vectors.
#[inline(always)]
fn reciprocal_lengths<E: Element>(left: &[E], right: &[E]) -> [f32; 2] {
    [left, right].map(|vector| {
        let square = sum(vector.len(), |index| {
            let value = vector[index].to_f32();
            value * value
        });
        1.0 / (square + EPSILON).sqrt()
    })
}

/// Sum of `term` over indices, in an order that depends only on their number.
#[inline(always)]
fn sum(count: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let whole = count / LANES * LANES;
    for first in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(first + lane);
        }
    }
    for index in whole..count {
        lanes[index - whole] += term(index);
    }
    lanes.iter().sum()
}

vectorised! {
    fn add_distances<E: Element>(left: &[E], right: &[E], weights: &[f32]) -> f64 {
        let channels = weights.len();
        let mut total = 0.0f64;
        for (left, right) in left.chunks_exact(channels).zip(right.chunks_exact(channels)) {
            let [left_scale, right_scale] = reciprocal_lengths(left, right);
            total += f64::from(sum(channels, |index| {
                let (left, right) = (left[index].to_f32(), right[index].to_f32());
                let difference = left * left_scale - right * right_scale;
                weights[index] * difference * difference
            }));
        }
        total
    }
}

vectorised! {
    fn differentiate<E: Element>(
        left: &[E],
        right: &[E],
        weights: &[f32],
        scale: f32,
        target: &mut [E],
    ) {
        let channels = weights.len();
        let vectors = left.chunks_exact(channels).zip(right.chunks_exact(channels));
        for (target, (left, right)) in target.chunks_exact_mut(channels).zip(vectors) {
            let [left_scale, right_scale] = reciprocal_lengths(left, right);
            // Gradient of the unit vector, and of its length through it.
            let of_unit = |index: usize| {
                let (left, right) = (left[index].to_f32(), right[index].to_f32());
                2.0 * scale * weights[index] * (right * right_scale - left * left_scale)
            };
            let along = sum(channels, |index| of_unit(index) * right[index].to_f32() * right_scale);
            for index in 0..channels {
                let unit = right[index].to_f32() * right_scale;
                target[index] = E::from_f32((of_unit(index) - unit * along) * right_scale);
            }
        }
    }
}

/// The slow version.
pub mod reference {
    use super::{EPSILON, Features};

    /// The distance of every pair.
    pub fn forward(features: &Features<'_, f32>) -> Vec<f64> {
        let (positions, channels) = (features.positions(), features.weights.len());
        let mut distances = vec![0.0; features.batch];
        for vector in 0..features.batch * positions {
            let values = vector * channels..(vector + 1) * channels;
            let unit = |side: &[f32]| -> Vec<f64> {
                let vector: Vec<f64> = side[values.clone()].iter().map(|&v| f64::from(v)).collect();
                let square: f64 = vector.iter().map(|value| value * value).sum();
                let length = (square + f64::from(EPSILON)).sqrt();
                vector.iter().map(|value| value / length).collect()
            };
            let (left, right) = (unit(features.left), unit(features.right));
            for ((left, right), &weight) in left.iter().zip(&right).zip(features.weights) {
                let term = f64::from(weight) * (left - right).powi(2);
                distances[vector / positions] += term / positions as f64;
            }
        }
        distances
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, assert_gradient, in_pool, values, weighted_sum};

    #[test]
    fn distances_match_the_reference_and_gradients_its_difference_quotients() {
        for (batch, positions, channels) in [(1, 1, 1), (2, 5, 3), (1, 40, 33), (3, 2, 16)] {
            let len = batch * positions * channels;
            let (left, right) = (values(1, len), values(2, len));
            let (weights, gradient) = (values(3, channels), values(4, batch));
            let features = Features {
                batch,
                left: &left,
                right: &right,
                weights: &weights,
            };
            let mut distances = vec![f32::NAN; batch];
            in_pool(2, || forward(&features, &mut distances));
            assert_close(
                &distances,
                &reference::forward(&features),
                1e-5,
                "distances",
            );
            let mut result = vec![f32::NAN; len];
            in_pool(2, || backward_right(&features, &gradient, &mut result));
            let result: Vec<f64> = result.iter().map(|&value| f64::from(value)).collect();
            // A vector of one channel has no direction to differentiate.
            if channels > 1 {
                assert_gradient(&right, &result, |right| {
                    weighted_sum(
                        &reference::forward(&Features { right, ..features }),
                        &gradient,
                    )
                });
            }
        }
    }

    #[test]
    fn a_vector_of_zeros_has_a_finite_gradient() {
        let features = Features {
            batch: 1,
            left: &[1.0f32, 2.0],
            right: &[0.0, 0.0],
            weights: &[1.0, 1.0],
        };
        let mut gradient = [f32::NAN; 2];
        backward_right(&features, &[1.0], &mut gradient);
        assert!(
            gradient.iter().all(|value| value.is_finite()),
            "{gradient:?}"
        );
    }
}
