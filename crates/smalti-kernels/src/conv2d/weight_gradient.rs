//! The gradient of a weight: for every tap, the products of what it read with the gradient of what
//! it helped to write, summed over positions.

use super::phases::{Grid, Placement, share_of, tiles};
use super::window::{Tile, Window};
use super::{ConvShape, Source};
use crate::dispatch::{self, vectorised};
use crate::element::Element;
use crate::microkernel::{Strided, Sums, TransposedRun, multiply_transposed, panel_width};
use crate::scratch::{with_scratch, with_scratch_of};
use rayon::prelude::*;
use std::ops::Range;

/// A weight with more values than this is summed once and its taps shared between threads; a
/// smaller one is summed in [`PARTS`] pieces of the pictures.
const LARGE_WEIGHT: usize = 256 * 1024;

/// Pieces of a small weight's sums. The same on every machine, so that results are.
const PARTS: usize = 8;

/// Groups of output channels that large weights are cut into.
const GROUPS: usize = 2;

/// Filters and channels that are moved together when sums are put into checkpoint order.
const COLUMNS: usize = 16;

/// What the gradient of a weight is computed from.
pub(super) struct WeightGradient<'a, E> {
    pub window: Window,
    pub rows: Placement,
    pub columns: Placement,
    /// Size of the output and number of pictures.
    pub grid: Grid,
    pub images: usize,
    pub source: Source<'a, E>,
    pub grad_output: &'a [E],
}

/// A share of the work: a piece of the tiles, some kernel rows, some output channels.
#[derive(Clone, Copy, Debug)]
struct Job {
    part: usize,
    first_tap: usize,
    taps: usize,
    first_channel: usize,
    channels: usize,
}

/// How the sums of all jobs lie: each `[kernel row][kernel column][in][stride]`.
struct Plan {
    jobs: Vec<Job>,
    parts: usize,
    /// Output channels of a job, filled up to whole panels.
    stride: usize,
    /// Columns of a panel.
    panel: usize,
    /// Values of one job.
    len: usize,
}

impl<'a, E: Element> WeightGradient<'a, E> {
    /// That of a convolution.
    pub fn of(shape: &ConvShape, source: Source<'a, E>, grad_output: &'a [E]) -> Self {
        let (height, width) = shape.output();
        WeightGradient {
            window: Window::forward(shape),
            rows: Placement::EVERY,
            columns: Placement::EVERY,
            grid: Grid {
                height,
                width,
                channels: shape.out_channels,
            },
            images: shape.batch,
            source,
            grad_output,
        }
    }

    /// Writes the gradient, `[out, in, kernel height, kernel width]`.
    pub fn compute(&self, grad_weight: &mut [f32]) {
        let outputs = [
            self.rows.indices(0..self.grid.height).len(),
            self.columns.indices(0..self.grid.width).len(),
        ];
        let plan = self.plan();
        let budget = share_of(self.images * outputs[0] * outputs[1], plan.parts);
        let tiles = tiles::<E>(&self.window, self.images, outputs, budget);
        with_scratch(plan.jobs.len() * plan.len, |sums| {
            let work = sums.par_chunks_exact_mut(plan.len).zip(&plan.jobs);
            work.for_each(|(sums, job)| {
                sums.fill(0.0);
                let share = |part| tiles.len() * part / plan.parts;
                for &(image, tile) in &tiles[share(job.part)..share(job.part + 1)] {
                    self.add_tile(image, &tile, job, &plan, sums);
                }
            });
            self.add_up(&plan, sums, grad_weight);
        });
    }

    fn plan(&self) -> Plan {
        let (taps, outputs) = (self.window.vertical.taps, self.grid.channels);
        let kernel_row = self.window.horizontal.taps * self.window.channels;
        let large = taps * kernel_row * outputs > LARGE_WEIGHT;
        let (parts, tap_step, groups) = if large {
            (1, 1, GROUPS)
        } else {
            (PARTS, taps, 1)
        };
        let panel = panel_width(dispatch::isa(), outputs.div_ceil(groups));
        let stride = outputs.div_ceil(groups).next_multiple_of(panel);
        let mut jobs = Vec::new();
        for part in 0..parts {
            for first_tap in (0..taps).step_by(tap_step) {
                for first_channel in (0..outputs).step_by(stride) {
                    let channels = stride.min(outputs - first_channel);
                    jobs.push(Job {
                        part,
                        first_tap,
                        taps: tap_step,
                        first_channel,
                        channels,
                    });
                }
            }
        }
        Plan {
            jobs,
            parts,
            stride,
            panel,
            len: tap_step * kernel_row * stride,
        }
    }

    fn add_tile(&self, image: usize, tile: &Tile, job: &Job, plan: &Plan, sums: &mut [f32]) {
        let mut window = self.window;
        window.vertical.taps = job.taps;
        window.vertical.origin += job.first_tap as isize;
        let steps = tile.width.div_ceil(E::PER_WORD);
        with_scratch_of(window.band_len::<E>(tile), |band: &mut [E]| {
            window.fill(&self.source, image, tile, band);
            let gradient_len = tile.height * steps * plan.stride * E::PER_WORD;
            with_scratch_of(gradient_len, |gradient: &mut [E]| {
                self.gather(image, tile, job, plan, gradient);
                let operands = Operands {
                    window: &window,
                    tile,
                    gradient,
                    plan,
                };
                if E::PER_WORD == 1 {
                    operands.add_whole_rows(band, sums);
                } else {
                    operands.add_each_tap(band, sums);
                }
            });
        });
    }

    /// Copies the gradient of a tile's outputs to words `[row][steps][stride]`, zeros where there
    /// is no position or channel.
    fn gather(&self, image: usize, tile: &Tile, job: &Job, plan: &Plan, gathered: &mut [E]) {
        let row_len = tile.width.div_ceil(E::PER_WORD) * plan.stride * E::PER_WORD;
        gathered.fill(E::default());
        for (row, words) in gathered.chunks_exact_mut(row_len).enumerate() {
            let y = self.rows.position(tile.top + row);
            for column in 0..tile.width {
                let x = self.columns.position(tile.left + column);
                let pixel = (image * self.grid.height + y) * self.grid.width + x;
                let first = pixel * self.grid.channels + job.first_channel;
                let values = &self.grad_output[first..][..job.channels];
                let target = &mut words[column / E::PER_WORD * plan.stride * E::PER_WORD..];
                interleave(values, column % E::PER_WORD, target);
            }
        }
    }

    /// Writes the totals of all parts, added in the order of the jobs.
    fn add_up(&self, plan: &Plan, sums: &[f32], grad_weight: &mut [f32]) {
        let taps = self.window.vertical.taps * self.window.horizontal.taps;
        let filter_len = self.window.channels * taps;
        let blocks = grad_weight.par_chunks_mut(filter_len * COLUMNS).enumerate();
        blocks.for_each(|(block, filters)| {
            let mut totals = Totals::new(taps, filters.len() / filter_len);
            for first in (0..self.window.channels).step_by(COLUMNS) {
                let channels = first..self.window.channels.min(first + COLUMNS);
                totals.values.fill(0.0);
                for (job, sums) in plan.jobs.iter().zip(sums.chunks_exact(plan.len)) {
                    let column = (block * COLUMNS).checked_sub(job.first_channel);
                    if let Some(column) = column.filter(|&column| column < job.channels) {
                        self.add_job(plan, job, &sums[column..], channels.clone(), &mut totals);
                    }
                }
                totals.write(channels, filters);
            }
        });
    }

    /// Adds one job's sums of some input channels.
    fn add_job(
        &self,
        plan: &Plan,
        job: &Job,
        sums: &[f32],
        channels: Range<usize>,
        totals: &mut Totals,
    ) {
        let columns = self.window.horizontal.taps;
        for tap in 0..job.taps * columns {
            let rows = &sums[(tap * self.window.channels + channels.start) * plan.stride..];
            let totals = totals.of_tap(job.first_tap * columns + tap);
            for (total, sums) in totals
                .chunks_exact_mut(COLUMNS)
                .zip(rows.chunks(plan.stride))
                .take(channels.len())
            {
                for (total, sum) in total.iter_mut().zip(sums) {
                    *total += sum;
                }
            }
        }
    }
}

/// Totals `[tap][input channel][filter]` of as many input channels and filters as fit into the first-level cache with
/// all their taps. Sums have filters side by side, and the weight has taps: only totals are transposed.
struct Totals {
    values: Vec<f32>,
    taps: usize,
    filters: usize,
}

impl Totals {
    fn new(taps: usize, filters: usize) -> Self {
        Totals {
            values: vec![0.0; taps * COLUMNS * COLUMNS],
            taps,
            filters,
        }
    }

    fn of_tap(&mut self, tap: usize) -> &mut [f32] {
        &mut self.values[tap * COLUMNS * COLUMNS..][..COLUMNS * COLUMNS]
    }

    /// Writes the totals of these input channels to `[filter][input channel][tap]`.
    fn write(&self, channels: Range<usize>, filters: &mut [f32]) {
        let filter_len = filters.len() / self.filters;
        for (filter, weights) in filters.chunks_exact_mut(filter_len).enumerate() {
            let weights = &mut weights[channels.start * self.taps..][..channels.len() * self.taps];
            for (channel, weights) in weights.chunks_exact_mut(self.taps).enumerate() {
                let totals = self.values[channel * COLUMNS + filter..].iter();
                let totals = totals.step_by(COLUMNS * COLUMNS);
                weights
                    .iter_mut()
                    .zip(totals)
                    .for_each(|(weight, total)| *weight = *total);
            }
        }
    }
}

/// Both operands of a tile's products.
struct Operands<'a, E> {
    window: &'a Window,
    tile: &'a Tile,
    gradient: &'a [E],
    plan: &'a Plan,
}

impl<E: Element> Operands<'_, E> {
    /// One value is a word: a kernel row's taps are rows of one product.
    fn add_whole_rows(&self, band: &[E], sums: &mut [f32]) {
        let row_len = self.window.row::<E>(self.tile);
        let rows = self.window.horizontal.taps * self.window.channels;
        let stride = self.window.horizontal.stride * self.window.channels;
        for tap in 0..self.window.vertical.taps {
            let left = Strided {
                values: band,
                first: tap * row_len,
                stride,
            };
            let sums = &mut sums[tap * rows * self.plan.stride..];
            self.multiply(left, row_len, rows, sums);
        }
    }

    /// Two neighbouring pixels are a word; each tap reads other pairs.
    fn add_each_tap(&self, band: &[E], sums: &mut [f32]) {
        let (window, steps) = (self.window, self.tile.width.div_ceil(E::PER_WORD));
        let (columns, channels) = (window.horizontal.taps, window.channels);
        let row_len = window.row::<E>(self.tile);
        let rows = window.vertical.span(self.tile.height);
        with_scratch_of(
            rows * steps * channels * E::PER_WORD,
            |pairs: &mut [E]| {
                for column in 0..columns {
                    if steps * channels > 0 {
                        let targets = pairs.chunks_exact_mut(steps * channels * E::PER_WORD);
                        for (row, target) in band.chunks_exact(row_len).zip(targets) {
                            self.pair_up(row, column, target);
                        }
                    }
                    for tap in 0..window.vertical.taps {
                        let first = tap * steps * channels;
                        let left = Strided {
                            values: &*pairs,
                            first,
                            stride: channels,
                        };
                        let sums =
                            &mut sums[(tap * columns + column) * channels * self.plan.stride..];
                        self.multiply(left, steps * channels, channels, sums);
                    }
                }
            },
        );
    }

    /// The pixels of a band's row that one tap reads, in words of two.
    fn pair_up(&self, row: &[E], column: usize, pairs: &mut [E]) {
        let (pixel, channels) = (self.window.pixel::<E>(), self.window.channels);
        let words = pairs.chunks_exact_mut(channels * E::PER_WORD).enumerate();
        for (step, words) in words {
            for half in 0..E::PER_WORD {
                let output = step * E::PER_WORD + half;
                if output < self.tile.width {
                    let x = output * self.window.horizontal.stride + column;
                    interleave(&row[x * pixel..][..channels], half, words);
                } else {
                    words
                        .iter_mut()
                        .skip(half)
                        .step_by(E::PER_WORD)
                        .for_each(|v| *v = E::default());
                }
            }
        }
    }

    /// Adds the products of `rows` words from `left` on, whose next picture row lies
    /// `vertical stride * row_words` further, with all panels of the gradient.
    fn multiply(&self, left: Strided<'_, E>, row_words: usize, rows: usize, sums: &mut [f32]) {
        let (isa, steps) = (dispatch::isa(), self.tile.width.div_ceil(E::PER_WORD));
        let runs: Vec<TransposedRun> = (0..self.tile.height)
            .map(|row| TransposedRun {
                left: row * self.window.vertical.stride * row_words,
                right: row * steps * self.plan.stride,
                len: steps,
            })
            .collect();
        let right = Strided {
            values: self.gradient,
            first: 0,
            stride: self.plan.stride,
        };
        let sums = Sums {
            values: sums,
            stride: self.plan.stride,
            count: rows,
            width: self.plan.stride,
            fresh: false,
        };
        multiply_transposed(isa, left, right, &runs, self.plan.panel, sums);
    }
}

/// Writes values to one half of each word.
fn interleave<E: Element>(values: &[E], half: usize, words: &mut [E]) {
    if E::PER_WORD == 1 {
        return words[..values.len()].copy_from_slice(values);
    }
    interleave_pairs(dispatch::isa(), values, half, words);
}

vectorised! {
    fn interleave_pairs<E: Element>(values: &[E], half: usize, words: &mut [E]) {
        let words = words.as_chunks_mut::<2>().0;
        for (word, value) in words.iter_mut().zip(values) {
            word[half] = *value;
        }
    }
}
