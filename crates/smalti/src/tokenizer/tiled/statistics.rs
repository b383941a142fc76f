//! Statistics of normalisations for a whole picture, of which only parts are computed at a time.
//!
//! Group normalisation is the only thing in the high-resolution levels that looks at the whole picture. Its statistics
//! are taken once, before the tiles run, and are then the same for all of them: so no seam can appear. They come from a
//! sample of small tiles that run together, layer by layer: every layer is given the statistics of what the sample
//! makes of it before the sample goes on. Or from all of the picture, which costs a run of the tiles for every
//! normalisation.

use super::area::Area;
use super::levels::{Levels, Piece};
use super::tile::Tile;
use crate::checkpoint::host_values;
use crate::layers::GroupNorm;
use rayon::prelude::*;

/// Values that are read from a map at a time.
const AT_ONCE: usize = 1 << 22;

/// Positions that a thread adds up. It does not depend on the number of threads, so neither do the sums.
const ROWS: usize = 1024;

/// Sums over positions, from which mean and variance follow.
#[derive(Default)]
pub(super) struct Moments {
    positions: usize,
    /// Of every channel.
    totals: Vec<f64>,
    /// Of the squares.
    squares: Vec<f64>,
}

impl Moments {
    /// Adds a part of a piece.
    pub fn add(&mut self, piece: &Piece, area: &Area) {
        let channels = piece.values.dims()[3];
        self.totals.resize(channels, 0.0);
        self.squares.resize(channels, 0.0);
        self.positions += area.positions();
        let rows = (AT_ONCE / (area.columns.len() * channels).max(1)).max(1);
        for first in area.rows.clone().step_by(rows) {
            let band = Area {
                rows: first..(first + rows).min(area.rows.end),
                columns: area.columns.clone(),
            };
            self.add_values(&host_values(piece.part(&band)));
        }
    }

    fn add_values(&mut self, values: &[f32]) {
        let channels = self.totals.len();
        let parts: Vec<[Vec<f64>; 2]> = values
            .par_chunks(ROWS * channels)
            .map(|rows| sums(rows, channels))
            .collect();
        for [totals, squares] in parts {
            add_to(&mut self.totals, &totals);
            add_to(&mut self.squares, &squares);
        }
    }

    /// Mean and variance of `groups` groups of neighbouring channels.
    pub fn of_groups(&self, groups: usize) -> [Vec<f64>; 2] {
        let width = self.totals.len() / groups;
        let count = (self.positions * width) as f64;
        let average = |sums: &[f64]| -> Vec<f64> {
            let groups = sums.chunks_exact(width);
            groups
                .map(|group| group.iter().sum::<f64>() / count)
                .collect()
        };
        let means = average(&self.totals);
        let squares = average(&self.squares);
        let variances = means.iter().zip(squares);
        let variances = variances.map(|(mean, square)| (square - mean * mean).max(0.0));
        let variances = variances.collect();
        [means, variances]
    }

    fn fix(&self, norm: &mut GroupNorm) {
        let [means, variances] = self.of_groups(GroupNorm::GROUPS);
        norm.fix(&means, &variances);
    }
}

/// Sums of each channel, and of its squares.
fn sums(values: &[f32], channels: usize) -> [Vec<f64>; 2] {
    let (mut totals, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
    for row in values.chunks_exact(channels) {
        for ((&value, total), square) in row.iter().zip(&mut totals).zip(&mut squares) {
            let value = f64::from(value);
            *total += value;
            *square += value * value;
        }
    }
    [totals, squares]
}

fn add_to(sums: &mut [f64], more: &[f64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// Gives every normalisation the statistics of a sample.
pub(super) fn fix_by_sample(levels: &mut impl Levels, sample: &[Tile]) {
    levels.run(sample, &mut |norm, pieces| {
        let mut moments = Moments::default();
        for (piece, tile) in pieces.iter().zip(sample) {
            moments.add(piece, &tile.kept[piece.level]);
        }
        moments.fix(norm);
        Some(())
    });
}

/// Gives every normalisation the statistics of the picture that `tiles` make up, one normalisation after the other;
/// `progress` is called for each tile of each.
pub(super) fn fix_by_everything(
    levels: &mut impl Levels,
    tiles: &[Tile],
    progress: &mut dyn FnMut(),
) {
    let count = levels.norms().len();
    for index in 0..count {
        let mut moments = Moments::default();
        for tile in tiles {
            let mut before = 0;
            levels.run(std::slice::from_ref(tile), &mut |_, pieces| {
                if before < index {
                    before += 1;
                    return Some(());
                }
                for piece in pieces {
                    moments.add(piece, &tile.core_at(piece.level));
                }
                None
            });
            progress();
        }
        moments.fix(levels.norms().swap_remove(index));
    }
}
