//! Lowering of convolutions to matrix products.
//!
//! One tile of output positions is served at a time. The source values its positions read are
//! copied so that they become rows of a matrix, with zeros in place of the padding. Only the taps
//! of one kernel row are laid side by side: `[source row][tile width][kernel width * channels]`.
//! Kernel row `t` then multiplies the same buffer from `t` source rows further down, so a source
//! value is copied once per horizontal tap instead of once per tap. With a vertical stride the
//! source rows are sorted by their remainder first, which keeps each kernel row's part contiguous.
//!
//! A kernel row with few values makes too thin a product. Then all taps are laid side by side,
//! `[tile height][tile width][kernel height * kernel width * channels]`, for a single product.

use crate::matmul::Matrix;

/// Widest tile: narrow tiles have more rows, and rows share their source values.
const MAX_TILE_WIDTH: usize = 32;

/// Kernel rows with fewer values than this are merged into one product.
const MIN_GROUP_DEPTH: usize = 64;

/// One direction of a sum over taps: output `o` reads the source at `origin + o * stride + tap`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    /// Number of source positions; positions outside of them count as zero.
    pub extent: usize,
    pub taps: usize,
    pub stride: usize,
    pub origin: isize,
}

impl Axis {
    fn source(&self, output: usize, tap: usize) -> Option<usize> {
        let position = self.origin + (output * self.stride + tap) as isize;
        let inside = usize::try_from(position).ok();
        inside.filter(|&position| position < self.extent)
    }

    /// Taps that read source positions with the same remainder as tap `phase`.
    fn taps_in_phase(&self, phase: usize) -> usize {
        (self.taps - phase).div_ceil(self.stride)
    }

    fn phases(&self) -> usize {
        self.stride.min(self.taps)
    }
}

/// A rectangle of output positions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    pub top: usize,
    pub left: usize,
    pub height: usize,
    pub width: usize,
}

impl Tile {
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }
}

/// Limits of the size of a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Output positions.
    pub pixels: usize,
    /// Floats of the lowered buffer.
    pub floats: usize,
}

/// How outputs read their source image (`[height, width, channels]`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lowering {
    pub channels: usize,
    pub vertical: Axis,
    pub horizontal: Axis,
}

impl Lowering {
    /// Floats of one source image.
    pub fn source_len(&self) -> usize {
        self.vertical.extent * self.horizontal.extent * self.channels
    }

    /// Number of values one output position reads.
    pub fn depth(&self) -> usize {
        self.vertical.taps * self.kernel_row()
    }

    /// Number of matrix products that together cover all taps.
    pub fn groups(&self) -> usize {
        if self.is_merged() {
            1
        } else {
            self.vertical.taps
        }
    }

    /// Number of values one output position contributes to one of the products.
    pub fn group_depth(&self) -> usize {
        self.depth() / self.groups()
    }

    /// Height and width of the tiles that `outputs` positions are cut into.
    pub fn tile_size(&self, outputs: [usize; 2], budget: Budget) -> [usize; 2] {
        let width = even_share(outputs[1], MAX_TILE_WIDTH);
        let mut height = even_share(outputs[0], (budget.pixels / width).max(1));
        while height > 1 && self.buffer_len(height, width) > budget.floats {
            height = height.div_ceil(2);
        }
        [height, width]
    }

    /// Floats of the buffer for a tile of the given size.
    pub fn buffer_len(&self, height: usize, width: usize) -> usize {
        let rows = if self.is_merged() {
            height
        } else {
            self.first_row(self.vertical.phases(), height)
        };
        rows * width * self.group_depth()
    }

    /// Copies the source values that `tile` reads.
    pub fn fill(&self, source: &[f32], tile: &Tile, buffer: &mut [f32]) {
        let row_len = tile.width * self.group_depth();
        if row_len == 0 {
            return;
        }
        let rows = buffer.chunks_exact_mut(row_len);
        if self.is_merged() {
            for (row, lowered) in rows.enumerate() {
                for tap in 0..self.vertical.taps {
                    let source_row = self.vertical.source(tile.top + row, tap);
                    let first = tap * self.kernel_row();
                    self.fill_row(self.row(source, source_row), tile, first, lowered);
                }
            }
        } else {
            let phases = (0..self.vertical.phases()).flat_map(|phase| {
                let count = tile.height + self.vertical.taps_in_phase(phase) - 1;
                (0..count).map(move |row| (row, phase))
            });
            for ((row, phase), lowered) in phases.zip(rows) {
                let source_row = self.vertical.source(tile.top + row, phase);
                self.fill_row(self.row(source, source_row), tile, 0, lowered);
            }
        }
    }

    /// The matrix `[pixels, group_depth]` of one product in a filled buffer.
    pub fn group<'a>(&self, tile: &Tile, buffer: &'a [f32], group: usize) -> Matrix<'a> {
        let depth = self.group_depth();
        let stride = self.vertical.stride;
        let first = if self.is_merged() {
            0
        } else {
            self.first_row(group % stride, tile.height) + group / stride
        };
        let values = &buffer[first * tile.width * depth..];
        Matrix::new(values, tile.pixels(), depth)
    }

    fn is_merged(&self) -> bool {
        self.vertical.taps <= 1 || self.kernel_row() < MIN_GROUP_DEPTH
    }

    /// Values one kernel row reads for one output position.
    fn kernel_row(&self) -> usize {
        self.horizontal.taps * self.channels
    }

    /// Where the source rows of `phase` begin in the buffer.
    fn first_row(&self, phase: usize, tile_height: usize) -> usize {
        let before = (0..phase).map(|phase| tile_height + self.vertical.taps_in_phase(phase) - 1);
        before.sum()
    }

    fn row<'a>(&self, source: &'a [f32], row: Option<usize>) -> Option<&'a [f32]> {
        let len = self.horizontal.extent * self.channels;
        row.map(|row| &source[row * len..][..len])
    }

    /// Writes one kernel row's values of every position, from value `first` of each position on.
    fn fill_row(&self, source: Option<&[f32]>, tile: &Tile, first: usize, lowered: &mut [f32]) {
        let positions = lowered.chunks_exact_mut(self.group_depth());
        for (column, position) in positions.enumerate() {
            let values = &mut position[first..][..self.kernel_row()];
            match source {
                Some(row) => self.fill_position(row, tile.left + column, values),
                None => values.fill(0.0),
            }
        }
    }

    fn fill_position(&self, source: &[f32], output: usize, values: &mut [f32]) {
        let Axis {
            extent,
            taps,
            stride,
            origin,
        } = self.horizontal;
        let start = origin + (output * stride) as isize;
        // Taps before `first` and from `last` on fall outside the source row.
        let first = (-start).clamp(0, taps as isize);
        let last = (extent as isize - start).clamp(first, taps as isize);
        let channels = self.channels;
        let (first_value, last_value) = (first as usize * channels, last as usize * channels);
        values[..first_value].fill(0.0);
        values[last_value..].fill(0.0);
        if first < last {
            let from = (start + first) as usize * channels;
            let inside = &mut values[first_value..last_value];
            inside.copy_from_slice(&source[from..][..inside.len()]);
        }
    }
}

/// Size of nearly equal parts of `total` that do not exceed `limit`.
fn even_share(total: usize, limit: usize) -> usize {
    let parts = total.div_ceil(limit).max(1);
    total.div_ceil(parts).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lowering(channels: usize, taps: usize, stride: usize) -> Lowering {
        let axis = Axis {
            extent: 7,
            taps,
            stride,
            origin: -1,
        };
        Lowering {
            channels,
            vertical: axis,
            horizontal: axis,
        }
    }

    #[test]
    fn parts_are_even() {
        assert_eq!(even_share(33, 32), 17);
        assert_eq!(even_share(64, 32), 32);
        assert_eq!(even_share(5, 32), 5);
        assert_eq!(even_share(0, 32), 1);
    }

    #[test]
    fn tiles_respect_the_budget() {
        let lowering = lowering(64, 3, 1);
        let budget = Budget {
            pixels: 256,
            floats: 20_000,
        };
        let [height, width] = lowering.tile_size([40, 40], budget);
        assert_eq!(width, 20);
        assert!(lowering.buffer_len(height, width) <= budget.floats);
    }

    #[test]
    fn buffers_hold_what_each_tap_reads() {
        for (channels, taps, stride) in [(1, 3, 1), (33, 3, 1), (33, 4, 2), (70, 2, 3), (3, 4, 2)] {
            let lowering = lowering(channels, taps, stride);
            let source: Vec<f32> = (1..=lowering.source_len()).map(|v| v as f32).collect();
            let tile = Tile {
                top: 0,
                left: 1,
                height: 2,
                width: 2,
            };
            let mut buffer = vec![f32::NAN; lowering.buffer_len(tile.height, tile.width)];
            lowering.fill(&source, &tile, &mut buffer);
            assert!(buffer.iter().all(|value| !value.is_nan()));
            let expected = gathered(&lowering, &source, &tile);
            assert_eq!(ungrouped(&lowering, &buffer, &tile), expected);
        }
    }

    /// Values of every output position, tap by tap, straight from the definition.
    fn gathered(lowering: &Lowering, source: &[f32], tile: &Tile) -> Vec<f32> {
        let (vertical, horizontal) = (&lowering.vertical, &lowering.horizontal);
        let mut values = Vec::new();
        for pixel in 0..tile.pixels() {
            let (y, x) = (pixel / tile.width, pixel % tile.width);
            for tap in 0..vertical.taps * horizontal.taps {
                let row = vertical.source(tile.top + y, tap / horizontal.taps);
                let column = horizontal.source(tile.left + x, tap % horizontal.taps);
                for channel in 0..lowering.channels {
                    let position = row.zip(column);
                    values.push(position.map_or(0.0, |(row, column)| {
                        source[(row * horizontal.extent + column) * lowering.channels + channel]
                    }));
                }
            }
        }
        values
    }

    /// The same values read back from the buffer through a product with the identity.
    fn ungrouped(lowering: &Lowering, buffer: &[f32], tile: &Tile) -> Vec<f32> {
        use crate::matmul::{MatrixMut, Product, multiply};
        let depth = lowering.group_depth();
        let mut identity = vec![0.0; depth * depth];
        identity
            .iter_mut()
            .step_by(depth + 1)
            .for_each(|value| *value = 1.0);
        let mut values = vec![0.0; tile.pixels() * lowering.depth()];
        for group in 0..lowering.groups() {
            let part = &mut values[group * depth..];
            multiply(
                lowering.group(tile, buffer, group),
                Matrix::new(&identity, depth, depth),
                MatrixMut::strided(part, tile.pixels(), depth, lowering.depth()),
                Product::SERIAL,
            );
        }
        values
    }
}
