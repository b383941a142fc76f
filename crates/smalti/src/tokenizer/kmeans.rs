//! k-means: where a codebook starts, once the encoder has vectors worth dividing among codes.

use crate::checkpoint::host_indices;
use crate::ops;
use burn::tensor::{Device, Shape, Tensor, TensorData};
use rand::RngExt;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;

/// Rounds of assignment and averaging. More change a codebook little that goes on to be trained.
const ROUNDS: usize = 10;

/// What is divided, and into how many.
pub struct Points<'a> {
    /// Row-major, `dimension` numbers per point.
    pub values: &'a [f32],
    pub dimension: usize,
    /// Keep centres at length 1: points are compared by direction.
    pub unit_length: bool,
}

/// Centres of `points` and how many points each has, from a random choice of points. A centre that loses all its points
/// starts again from a random one.
pub fn kmeans(points: &Points<'_>, count: usize, random: &mut ChaCha8Rng) -> (Vec<f32>, Vec<f32>) {
    let mut centres = choose(points, count, random);
    let mut sizes = vec![0.0; count];
    for _ in 0..ROUNDS {
        let nearest = assign(points, &centres);
        let mut sums = vec![0.0; centres.len()];
        sizes.fill(0.0);
        add_up(points, &nearest, &mut sums, &mut sizes);
        for (index, centre) in centres.chunks_mut(points.dimension).enumerate() {
            if sizes[index] > 0.0 {
                let sum = &sums[index * points.dimension..][..points.dimension];
                for (value, sum) in centre.iter_mut().zip(sum) {
                    *value = sum / sizes[index];
                }
                if points.unit_length {
                    to_unit_length(centre);
                }
            } else {
                centre.copy_from_slice(points.random(random));
            }
        }
    }
    (centres, sizes)
}

/// `count` points that differ, or all that do and some of them several times.
fn choose(points: &Points<'_>, count: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
    let available = points.count();
    let mut chosen = HashSet::new();
    let mut centres = Vec::with_capacity(count * points.dimension);
    // Many points of a picture are equal, and of equal centres only one would be anything's nearest: where they take a
    // place among the first, all points are gone through for others.
    for drawn in [count.min(available), available] {
        if chosen.len() == count {
            break;
        }
        for point in index::sample(random, available, drawn) {
            let row = points.row(point);
            let bits: Vec<u32> = row.iter().map(|value| value.to_bits()).collect();
            if chosen.len() < count && chosen.insert(bits) {
                centres.extend_from_slice(row);
            }
        }
    }
    while centres.len() < count * points.dimension {
        centres.extend_from_slice(points.random(random));
    }
    centres
}

impl Points<'_> {
    fn count(&self) -> usize {
        self.values.len() / self.dimension
    }

    fn row(&self, point: usize) -> &[f32] {
        &self.values[point * self.dimension..][..self.dimension]
    }

    fn random(&self, random: &mut ChaCha8Rng) -> &[f32] {
        self.row(random.random_range(0..self.count()))
    }
}

fn assign(points: &Points<'_>, centres: &[f32]) -> Vec<i64> {
    let tensor = |values: &[f32]| -> Tensor<2> {
        let shape = Shape::from([values.len() / points.dimension, points.dimension]);
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
    };
    let nearest = ops::nearest_code(tensor(points.values), tensor(centres));
    host_indices(nearest)
}

/// Adds every point to the sum of its centre and counts it.
pub fn add_up(points: &Points<'_>, nearest: &[i64], sums: &mut [f32], sizes: &mut [f32]) {
    for (point, &centre) in points.values.chunks(points.dimension).zip(nearest) {
        let centre = centre as usize;
        sizes[centre] += 1.0;
        let sum = &mut sums[centre * points.dimension..][..points.dimension];
        for (sum, value) in sum.iter_mut().zip(point) {
            *sum += value;
        }
    }
}

/// Divides a row by its length, if it has one.
pub fn to_unit_length(row: &mut [f32]) {
    let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        row.iter_mut().for_each(|value| *value /= length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    /// Three heaps far apart are found whatever points it starts from.
    #[test]
    fn finds_separate_heaps() {
        let heaps = [[0.0f32, 0.0], [10.0, 0.0], [0.0, 10.0]];
        let mut values = Vec::new();
        for index in 0..90 {
            let heap = heaps[index % 3];
            let offset = (index / 3) as f32 * 0.01 - 0.145;
            values.extend([heap[0] + offset, heap[1] - offset]);
        }
        let points = Points {
            values: &values,
            dimension: 2,
            unit_length: false,
        };
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let (centres, sizes) = kmeans(&points, 3, &mut random);
        let mut found: Vec<[i32; 2]> = centres
            .chunks(2)
            .map(|centre| [centre[0].round() as i32, centre[1].round() as i32])
            .collect();
        found.sort_unstable();
        assert_eq!(found, [[0, 0], [0, 10], [10, 0]]);
        assert_eq!(sizes, [30.0; 3]);
    }

    /// However rare some of them are.
    #[test]
    fn finds_known_colours_exactly() {
        let colours = [
            ([1.0f32, 1.0, 1.0], 4000),
            ([-1.0, -1.0, -1.0], 900),
            ([0.5, -0.25, 0.75], 40),
            ([0.5, -0.25, 0.5], 3),
            ([-0.75, 0.125, 0.0], 1),
        ];
        let mut values: Vec<f32> = Vec::new();
        for (colour, count) in colours {
            (0..count).for_each(|_| values.extend(colour));
        }
        let points = Points {
            values: &values,
            dimension: 3,
            unit_length: false,
        };
        for seed in 0..4 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let (centres, sizes) = kmeans(&points, colours.len(), &mut random);
            for (colour, count) in colours {
                let found = centres.chunks(3).position(|centre| centre == colour);
                let size = found.map(|centre| sizes[centre]);
                assert_eq!(size, Some(count as f32), "{colour:?}");
            }
        }
    }

    #[test]
    fn more_centres_than_points_are_all_points() {
        let values = [1.0f32, 0.0, 0.0, 1.0];
        let points = Points {
            values: &values,
            dimension: 2,
            unit_length: true,
        };
        let (centres, _) = kmeans(&points, 5, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(centres.len(), 10);
        assert!(
            centres
                .chunks(2)
                .all(|row| row == [1.0, 0.0] || row == [0.0, 1.0])
        );
    }
}
