//! Convolutions as one or more dense sums over taps, each of which writes its own positions of the
//! output: all of them in the forward pass, every `stride`-th in the gradient of the input.

use super::finish::{Finish, finish_row, panel_bias};
use super::panels::{PanelLayout, WeightAxis};
use super::window::{Axis, Budget, Chunk, Tile, Window};
use super::{ConvShape, Epilogue, Source};
use crate::dispatch;
use crate::element::Element;
use crate::microkernel::{Rows, multiply};
use crate::prefetch::prefetch;
use crate::scratch::{with_scratch, with_scratch_of};
use crate::threads;
use rayon::prelude::*;
use std::ops::Range;

/// Output positions and words of the band of a tile.
const TILE: Budget = Budget {
    pixels: 512,
    words: 128 * 1024,
};

/// A tile smaller than this is not worth a thread.
const MIN_TILE_PIXELS: usize = 32;

/// Pieces of work per thread, so that a slower thread is waited for less.
const JOBS_PER_THREAD: usize = 4;

/// Which positions of one direction of the output a phase writes: `residue + step * index -
/// padding`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placement {
    pub residue: usize,
    pub step: usize,
    pub padding: usize,
}

impl Placement {
    pub const EVERY: Placement = Placement {
        residue: 0,
        step: 1,
        padding: 0,
    };

    pub fn position(&self, index: usize) -> usize {
        self.residue + self.step * index - self.padding
    }

    /// Indices whose positions lie in the range.
    pub fn indices(&self, positions: Range<usize>) -> Range<usize> {
        let first_from = |position: usize| {
            let offset = (position + self.padding).saturating_sub(self.residue);
            offset.div_ceil(self.step)
        };
        first_from(positions.start)..first_from(positions.end)
    }
}

/// One sum over taps and the positions it produces.
pub(super) struct Phase {
    pub window: Window,
    pub layout: PanelLayout,
    pub rows: Placement,
    pub columns: Placement,
}

/// The images a convolution writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

/// A phase whose weight is packed.
pub(super) struct Ready<'a, E> {
    phase: &'a Phase,
    panels: &'a [E],
}

impl<'a, E: Element> Ready<'a, E> {
    /// Every phase with its part of the panels, which lie in the order of the phases.
    pub fn all(phases: &'a [Phase], panels: &'a [E]) -> Vec<Ready<'a, E>> {
        let (mut ready, mut rest) = (Vec::new(), panels);
        for phase in phases {
            let (panels, after) = rest.split_at(phase.layout.len::<E>());
            rest = after;
            ready.push(Ready { phase, panels });
        }
        ready
    }
}

/// Consecutive rows of one image of the output, written by one thread.
struct Strip<'a, E> {
    image: usize,
    top: usize,
    values: &'a mut [E],
}

/// Computes all phases; together they write every value of the output once.
pub(super) fn run<E: Element>(
    phases: &[Ready<'_, E>],
    grid: Grid,
    source: &Source<'_, E>,
    epilogue: &Epilogue<'_, E>,
    output: &mut [E],
) {
    if output.is_empty() {
        return;
    }
    // The first phase has the most taps, so its tiles fit the others too.
    let first = phases[0].phase;
    let row_len = grid.width * grid.channels;
    let image_len = grid.height * row_len;
    let outputs = [
        grid.height.div_ceil(first.rows.step),
        grid.width.div_ceil(first.columns.step),
    ];
    let images = output.len() / image_len;
    let pixels = images * outputs[0] * outputs[1];
    // Otherwise some threads would go without work.
    let budget = share_of(pixels, JOBS_PER_THREAD * threads());
    let [tile_height, tile_width] = first.window.tile_size::<E>(outputs, budget);
    let strip_height = tile_height * first.rows.step;
    let mut strips = Vec::new();
    for (image, values) in output.chunks_exact_mut(image_len).enumerate() {
        for (index, values) in values.chunks_mut(strip_height * row_len).enumerate() {
            strips.push(Strip {
                image,
                top: index * strip_height,
                values,
            });
        }
    }
    strips.into_par_iter().for_each(|mut strip| {
        for phase in phases {
            phase.run(&mut strip, grid, tile_width, source, epilogue);
        }
    });
}

impl<E: Element> Ready<'_, E> {
    fn run(
        &self,
        strip: &mut Strip<'_, E>,
        grid: Grid,
        tile_width: usize,
        source: &Source<'_, E>,
        epilogue: &Epilogue<'_, E>,
    ) {
        let height = strip.values.len() / (grid.width * grid.channels);
        let rows = self.phase.rows.indices(strip.top..strip.top + height);
        let columns = self.phase.columns.indices(0..grid.width);
        if rows.is_empty() {
            return;
        }
        for left in columns.clone().step_by(tile_width) {
            let width = tile_width.min(columns.end - left);
            let tile = Tile {
                top: rows.start,
                left,
                height: rows.len(),
                width,
            };
            with_scratch_of(
                self.phase.window.band_len::<E>(&tile),
                |band: &mut [E]| {
                    self.phase.window.fill(source, strip.image, &tile, band);
                    self.run_tile(&tile, band, strip, grid, epilogue);
                },
            );
        }
    }

    fn run_tile(
        &self,
        tile: &Tile,
        band: &[E],
        strip: &mut Strip<'_, E>,
        grid: Grid,
        epilogue: &Epilogue<'_, E>,
    ) {
        let chunks = self.phase.window.chunks::<E>(tile);
        let layout = &self.phase.layout;
        with_scratch(tile.height * tile.width * layout.width, |sums| {
            for panel in 0..layout.panels() {
                self.fetch(tile, panel, strip, grid, epilogue);
                self.multiply(tile, band, &chunks, panel, sums);
                self.store(tile, panel, sums, strip, grid, epilogue);
            }
        });
    }

    /// Writes the sums of a panel, `[height, width, columns]`.
    fn multiply(&self, tile: &Tile, band: &[E], chunks: &[Chunk], panel: usize, sums: &mut [f32]) {
        let (window, layout) = (&self.phase.window, &self.phase.layout);
        let isa = dispatch::isa();
        let row_len = window.vertical.stride * window.row::<E>(tile);
        let panel = &self.panels[panel * layout.panel_len::<E>()..];
        if chunks.is_empty() {
            sums.fill(0.0);
        }
        for chunk in chunks {
            let panel = &panel[chunk.first * layout.width * E::PER_WORD..];
            let sums = sums.chunks_exact_mut(tile.width * layout.width);
            for (row, sums) in sums.enumerate() {
                let rows = Rows {
                    values: band,
                    first: row * row_len,
                    row_stride: window.horizontal.stride * window.pixel::<E>(),
                    count: tile.width,
                };
                multiply(isa, rows, &chunk.runs, panel, chunk.first == 0, sums);
            }
        }
    }

    /// Asks for what a panel's sums will meet, the memory they are stored to and the residual, so that it has arrived
    /// when they are ready.
    fn fetch(
        &self,
        tile: &Tile,
        panel: usize,
        strip: &Strip<'_, E>,
        grid: Grid,
        epilogue: &Epilogue<'_, E>,
    ) {
        let phase = self.phase;
        let (x, step) = (phase.columns.position(tile.left), phase.columns.step);
        let first = panel * phase.layout.width;
        let strip_start = (strip.image * grid.height + strip.top) * grid.width * grid.channels;
        for row in 0..tile.height {
            let y = phase.rows.position(tile.top + row) - strip.top;
            for column in 0..tile.width {
                let place = (y * grid.width + x + column * step) * grid.channels + first;
                prefetch(&strip.values[place..]);
                if let Some(residual) = epilogue.residual {
                    prefetch(&residual[strip_start + place..]);
                }
            }
        }
    }

    fn store(
        &self,
        tile: &Tile,
        panel: usize,
        sums: &[f32],
        strip: &mut Strip<'_, E>,
        grid: Grid,
        epilogue: &Epilogue<'_, E>,
    ) {
        let (phase, isa) = (self.phase, dispatch::isa());
        let first = panel * phase.layout.width;
        let channels = first..grid.channels.min(first + phase.layout.width);
        let row_len = grid.width * grid.channels;
        let strip_start = (strip.image * grid.height + strip.top) * row_len;
        let x = phase.columns.position(tile.left);
        for (row, sums) in sums
            .chunks_exact(tile.width * phase.layout.width)
            .enumerate()
        {
            let y = phase.rows.position(tile.top + row) - strip.top;
            let start = y * row_len + x * grid.channels + channels.start;
            let finish = Finish {
                panel: phase.layout.width,
                step: phase.columns.step * grid.channels,
                bias: panel_bias(epilogue.bias, channels.clone()),
                residual: epilogue
                    .residual
                    .map(|values| &values[strip_start + start..]),
                activation: epilogue.activation,
            };
            finish_row(
                isa,
                sums,
                &finish,
                channels.len(),
                &mut strip.values[start..],
            );
        }
    }
}

/// The phases of the gradient of the input, one for each remainder of its positions.
///
/// Input position `i` meets tap `k` at output `(i + padding - k) / stride`, where this is whole.
/// With `i + padding = residue + stride * index` these are the taps `residue + stride * t`, and
/// the output is `index - t`: a dense sum, in which taps run backwards.
pub(super) fn input_gradient(shape: &ConvShape) -> Vec<Phase> {
    let (height, width) = shape.output();
    let [inputs, outputs] = weight_axes(shape);
    let mut phases = Vec::new();
    for top in 0..shape.stride[0] {
        for left in 0..shape.stride[1] {
            let vertical_taps = taps_from(top, shape.kernel[0], shape.stride[0]);
            let horizontal_taps = taps_from(left, shape.kernel[1], shape.stride[1]);
            let rows = vertical_taps.iter().rev();
            let taps = rows.flat_map(|row| {
                let columns = horizontal_taps.iter().rev();
                columns.map(move |column| row * shape.kernel[1] + column)
            });
            phases.push(Phase {
                layout: PanelLayout::new(taps.collect(), outputs, inputs),
                window: Window {
                    channels: shape.out_channels,
                    vertical: backward_axis(height, vertical_taps.len()),
                    horizontal: backward_axis(width, horizontal_taps.len()),
                },
                rows: Placement {
                    residue: top,
                    step: shape.stride[0],
                    padding: shape.padding[0],
                },
                columns: Placement {
                    residue: left,
                    step: shape.stride[1],
                    padding: shape.padding[2],
                },
            });
        }
    }
    phases
}

fn taps_from(residue: usize, kernel: usize, stride: usize) -> Vec<usize> {
    (residue..kernel).step_by(stride).collect()
}

/// Reads `index - t` for taps `t` in descending order.
fn backward_axis(extent: usize, taps: usize) -> Axis {
    Axis {
        extent,
        taps,
        stride: 1,
        origin: 1 - taps as isize,
    }
}

/// Input and output channels as they lie in the weight.
pub(super) fn weight_axes(shape: &ConvShape) -> [WeightAxis; 2] {
    let inputs = WeightAxis {
        len: shape.in_channels,
        stride: shape.taps(),
    };
    let outputs = WeightAxis {
        len: shape.out_channels,
        stride: shape.in_channels * shape.taps(),
    };
    [inputs, outputs]
}

/// Tiles of all images, in order, each with the number of its image.
pub(super) fn tiles<E: Element>(
    window: &Window,
    images: usize,
    [height, width]: [usize; 2],
    budget: Budget,
) -> Vec<(usize, Tile)> {
    let [tile_height, tile_width] = window.tile_size::<E>([height, width], budget);
    let mut tiles = Vec::new();
    for image in 0..images {
        for top in (0..height).step_by(tile_height) {
            for left in (0..width).step_by(tile_width) {
                let tile = Tile {
                    top,
                    left,
                    height: tile_height.min(height - top),
                    width: tile_width.min(width - left),
                };
                tiles.push((image, tile));
            }
        }
    }
    tiles
}

/// The limits of a tile when there are to be `parts` pieces of work.
pub(super) fn share_of(pixels: usize, parts: usize) -> Budget {
    let fair = pixels.div_ceil(parts);
    Budget {
        pixels: fair.clamp(MIN_TILE_PIXELS, TILE.pixels),
        ..TILE
    }
}
