//! Which part of the generated pictures looks real, and which part of the real ones is reached. A set is taken as the
//! union of balls around its pictures' features, each as large as the distance to the k-th nearest other picture.
//!
//! Precision and recall: Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models"
//! (2019). Density and coverage, which single outliers move less: Naeem et al., "Reliable Fidelity and Diversity
//! Metrics for Generative Models" (2020), whose code (clovaai/generative-evaluation-prdc) does not count points on a
//! ball's surface; the former's does.

use super::distances::{DistanceBlock, for_each_block, nearest_distances};
use super::rows::FeatureRows;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The k of either pair of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifoldSettings {
    pub precision_neighbours: usize,
    pub density_neighbours: usize,
}

/// The papers' numbers.
impl Default for ManifoldSettings {
    fn default() -> Self {
        Self {
            precision_neighbours: 3,
            density_neighbours: 5,
        }
    }
}

/// All but the density are shares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManifoldFigures {
    /// Of the generated pictures, how many lie in a ball of real ones.
    pub precision: f64,
    /// Of the real pictures, how many lie in a ball of generated ones.
    pub recall: f64,
    /// In how many balls of real pictures a generated one lies on average, divided by k; near 1 for equal
    /// distributions, and it can be more.
    pub density: f64,
    /// Of the real pictures, how many have a generated one in their ball.
    pub coverage: f64,
    pub real_pictures: usize,
    pub generated_pictures: usize,
}

/// Computes all four. Three times the product of the features of two sets: 10,000 pictures of each with 2048 features
/// take 1.2 · 10¹² operations.
///
/// # Errors
/// [`Error::Input`] where the sets have features of different length, k is 0, or a set has no more than k pictures.
pub fn manifold_figures(
    real: FeatureRows<'_>,
    generated: FeatureRows<'_>,
    settings: &ManifoldSettings,
) -> Result<ManifoldFigures> {
    real.check_like(&generated)?;
    settings.check(real.count(), generated.count())?;
    let (few, many) = (settings.precision_neighbours, settings.density_neighbours);
    let wanted = few.max(many);
    let nearest = nearest_distances(&real, wanted);
    let radii = |nearest: &[f64], stride: usize, neighbours: usize| -> Vec<f64> {
        let last = nearest.iter().skip(neighbours - 1);
        last.step_by(stride).copied().collect()
    };
    let mut meeting = Meeting {
        real_precision: radii(&nearest, wanted, few),
        real_density: radii(&nearest, wanted, many),
        generated: radii(&nearest_distances(&generated, few), few, few),
        in_real: vec![false; generated.count()],
        in_generated: vec![false; real.count()],
        balls: 0,
        nearest_generated: vec![f64::INFINITY; real.count()],
    };
    for_each_block(&generated, &real, |block| meeting.add(block));
    Ok(meeting.figures(many))
}

impl ManifoldSettings {
    fn check(&self, real: usize, generated: usize) -> Result<()> {
        let (few, many) = (self.precision_neighbours, self.density_neighbours);
        if few == 0 || many == 0 {
            return Err(Error::input(
                "a ball reaches to the first neighbour at least, not to neighbour 0",
            ));
        }
        if real <= few.max(many) || generated <= few {
            return Err(Error::input(format!(
                "{real} real and {generated} generated pictures are too few for balls that reach to neighbours {few} \
                 and {many}: more than so many pictures are needed"
            )));
        }
        Ok(())
    }
}

/// What is known of both sets together. Radii and distances are squared.
struct Meeting {
    /// Of the real pictures' balls for precision.
    real_precision: Vec<f64>,
    /// Of the real pictures' balls for density and coverage.
    real_density: Vec<f64>,
    /// Of the generated pictures' balls.
    generated: Vec<f64>,
    /// Whether a generated picture lies in a ball of a real one.
    in_real: Vec<bool>,
    /// Whether a real picture lies in a ball of a generated one.
    in_generated: Vec<bool>,
    /// Pairs of a generated picture and a real one in whose ball it lies.
    balls: u64,
    /// Of every real picture.
    nearest_generated: Vec<f64>,
}

impl Meeting {
    /// Adds distances of generated pictures (rows) to real ones (columns).
    fn add(&mut self, block: &DistanceBlock) {
        let real = block.columns.clone();
        let lines = block.squared.chunks_exact(real.len());
        for (picture, line) in block.rows.clone().zip(lines) {
            let mut balls = line.iter().zip(&self.real_precision[real.clone()]);
            let inside = balls.any(|(distance, radius)| distance <= radius);
            self.in_real[picture] |= inside;
            let balls = line.iter().zip(&self.real_density[real.clone()]);
            let around = balls.filter(|(distance, radius)| distance < radius);
            self.balls += around.count() as u64;
            let radius = self.generated[picture];
            let reached = self.in_generated[real.clone()].iter_mut();
            let nearest = self.nearest_generated[real.clone()].iter_mut();
            for ((distance, reached), nearest) in line.iter().zip(reached).zip(nearest) {
                *reached |= *distance <= radius;
                *nearest = nearest.min(*distance);
            }
        }
    }

    fn figures(&self, neighbours: usize) -> ManifoldFigures {
        let share = |flags: &[bool]| {
            let count = flags.iter().filter(|&&flag| flag).count();
            count as f64 / flags.len() as f64
        };
        let reached = self.nearest_generated.iter().zip(&self.real_density);
        let covered: Vec<bool> = reached
            .map(|(distance, radius)| distance < radius)
            .collect();
        let generated = self.generated.len();
        ManifoldFigures {
            precision: share(&self.in_real),
            recall: share(&self.in_generated),
            density: self.balls as f64 / (neighbours * generated) as f64,
            coverage: share(&covered),
            real_pictures: self.real_density.len(),
            generated_pictures: generated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(real: &[f32], generated: &[f32], settings: &ManifoldSettings) -> ManifoldFigures {
        let rows = |values| FeatureRows::new(values, 1, 0).unwrap();
        manifold_figures(rows(real), rows(generated), settings).unwrap()
    }

    /// Points on a line with balls that reach to the nearest neighbour. Real 0, 1, 3, 10 with radii 1, 1, 2, 7;
    /// generated 4.5, 20, 21 with radii 15.5, 1, 1.
    #[test]
    fn a_line_by_hand() {
        let settings = ManifoldSettings {
            precision_neighbours: 1,
            density_neighbours: 1,
        };
        let found = figures(&[0.0, 1.0, 3.0, 10.0], &[4.5, 20.0, 21.0], &settings);
        // 4.5 lies in the balls of 3 and 10.
        assert!((found.precision - 1.0 / 3.0).abs() < 1e-12);
        assert!((found.density - 2.0 / 3.0).abs() < 1e-12);
        // All real points lie in the ball of 4.5, which lies in the balls of 3 and 10.
        assert!((found.recall - 1.0).abs() < 1e-12);
        assert!((found.coverage - 0.5).abs() < 1e-12);
        assert_eq!((found.real_pictures, found.generated_pictures), (4, 3));
    }

    #[test]
    fn surfaces_belong_to_the_balls_of_precision_alone() {
        let settings = ManifoldSettings {
            precision_neighbours: 1,
            density_neighbours: 1,
        };
        let found = figures(&[0.0, 1.0], &[-1.0, 2.0], &settings);
        assert_eq!([found.precision, found.density], [1.0, 0.0]);
        assert_eq!([found.recall, found.coverage], [1.0, 0.0]);
    }

    #[test]
    fn a_set_and_itself() {
        let values: Vec<f32> = (0..50).map(|index| (index as f32 * 1.3).sin()).collect();
        let found = figures(&values, &values, &ManifoldSettings::default());
        assert_eq!([found.precision, found.recall], [1.0, 1.0]);
        assert_eq!(found.coverage, 1.0);
        let far: Vec<f32> = values.iter().map(|value| value + 100.0).collect();
        let found = figures(&values, &far, &ManifoldSettings::default());
        assert_eq!([found.precision, found.recall], [0.0, 0.0]);
        assert_eq!([found.density, found.coverage], [0.0, 0.0]);
    }

    #[test]
    fn too_few_pictures_are_refused() {
        let values = [0.0_f32, 1.0, 2.0, 3.0, 4.0, 5.0];
        let rows = |count: usize| FeatureRows::new(&values[..count], 1, 0).unwrap();
        let settings = ManifoldSettings::default();
        assert!(manifold_figures(rows(6), rows(4), &settings).is_ok());
        for (real, generated) in [(5, 6), (6, 3)] {
            let error = manifold_figures(rows(real), rows(generated), &settings).unwrap_err();
            assert!(error.to_string().contains("too few"));
        }
        let none = ManifoldSettings {
            precision_neighbours: 0,
            ..settings
        };
        assert!(manifold_figures(rows(6), rows(6), &none).is_err());
    }
}
