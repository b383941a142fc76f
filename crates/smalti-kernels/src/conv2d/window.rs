//! Which source pixels a tile of output positions reads, and the copy of them that products run
//! on.
//!
//! The copy (a band) holds the tile's source rows and columns with zeros in place of the padding.
//! Whatever the source still needs, normalisation and its activation, is done while it is copied. Channels of
//! neighbouring pixels follow one another, so the taps of a kernel row are one run of memory.

use super::{ConvShape, Source};
use crate::dispatch;
use crate::element::{Element, padded};
use crate::group_norm::normalise_rows;
use crate::microkernel::Run;

/// Widest tile: narrow tiles have more rows, and rows share their source values.
const MAX_TILE_WIDTH: usize = 32;

/// Words of depth that are multiplied before the sums are put down: a panel's part stays in the
/// second-level cache beside the band.
const CHUNK_WORDS: usize = 1152;

/// One direction of a sum over taps: output `o` reads the source at `origin + o * stride + tap`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Number of source positions; positions outside of them count as zero.
    pub extent: usize,
    pub taps: usize,
    pub stride: usize,
    pub origin: isize,
}

impl Axis {
    /// Source positions that `outputs` neighbouring outputs read.
    pub fn span(&self, outputs: usize) -> usize {
        (outputs - 1) * self.stride + self.taps
    }

    /// Of the positions read by outputs from `first` on: how many lie before the source, and the
    /// range inside of it.
    fn inside(&self, first: usize, outputs: usize) -> (usize, std::ops::Range<usize>) {
        let start = self.origin + (first * self.stride) as isize;
        let end = start + self.span(outputs) as isize;
        let inside = |position: isize| position.clamp(0, self.extent as isize) as usize;
        let before = (-start).clamp(0, end - start) as usize;
        (before, inside(start)..inside(end))
    }
}

/// A rectangle of output positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    pub top: usize,
    pub left: usize,
    pub height: usize,
    pub width: usize,
}

/// Limits of the size of a tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Output positions.
    pub pixels: usize,
    /// Words of the band.
    pub words: usize,
}

/// How outputs read their source image (`[height, width, channels]`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub channels: usize,
    pub vertical: Axis,
    pub horizontal: Axis,
}

/// A part of the depth, in runs of each output row's band.
pub(super) struct Chunk {
    pub runs: Vec<Run>,
    /// First word of the depth.
    pub first: usize,
}

impl Window {
    /// The window of a convolution.
    pub fn forward(shape: &ConvShape) -> Window {
        let axis = |extent, direction: usize, padding: usize| Axis {
            extent,
            taps: shape.kernel[direction],
            stride: shape.stride[direction],
            origin: -(padding as isize),
        };
        Window {
            channels: shape.in_channels,
            vertical: axis(shape.height, 0, shape.padding[0]),
            horizontal: axis(shape.width, 1, shape.padding[2]),
        }
    }

    /// Values of one source image.
    pub fn source_len(&self) -> usize {
        self.vertical.extent * self.horizontal.extent * self.channels
    }

    /// Values of a pixel of the band.
    pub fn pixel<E: Element>(&self) -> usize {
        padded::<E>(self.channels)
    }

    /// Values of a row of the band of a tile.
    pub fn row<E: Element>(&self, tile: &Tile) -> usize {
        self.horizontal.span(tile.width) * self.pixel::<E>()
    }

    pub fn band_len<E: Element>(&self, tile: &Tile) -> usize {
        self.vertical.span(tile.height) * self.row::<E>(tile)
    }

    /// Words of the depth of all taps.
    pub fn depth<E: Element>(&self) -> usize {
        self.vertical.taps * self.horizontal.taps * self.pixel::<E>() / E::PER_WORD
    }

    /// Height and width of the tiles that `outputs` positions are cut into.
    pub fn tile_size<E: Element>(&self, outputs: [usize; 2], budget: Budget) -> [usize; 2] {
        let width = even_share(outputs[1], MAX_TILE_WIDTH);
        let mut height = even_share(outputs[0], (budget.pixels / width).max(1));
        let words = |height| {
            let tile = Tile {
                top: 0,
                left: 0,
                height,
                width,
            };
            self.band_len::<E>(&tile) / E::PER_WORD
        };
        while height > 1 && words(height) > budget.words {
            height = height.div_ceil(2);
        }
        [height, width]
    }

    /// The depth of a tile's products, cut where sums are put down.
    pub fn chunks<E: Element>(&self, tile: &Tile) -> Vec<Chunk> {
        let (row, kernel_row) = (
            self.row::<E>(tile),
            self.horizontal.taps * self.pixel::<E>(),
        );
        let limit = even_share(self.depth::<E>(), CHUNK_WORDS) * E::PER_WORD;
        let (mut chunks, mut room, mut first) = (Vec::<Chunk>::new(), 0, 0);
        for tap in 0..self.vertical.taps {
            let (mut start, end) = (tap * row, tap * row + kernel_row);
            while start < end {
                if room == 0 {
                    chunks.push(Chunk {
                        runs: Vec::new(),
                        first,
                    });
                    room = limit;
                }
                let len = room.min(end - start);
                if let Some(chunk) = chunks.last_mut() {
                    chunk.runs.push(Run { start, len });
                }
                start += len;
                room -= len;
                first += len / E::PER_WORD;
            }
        }
        chunks
    }

    /// Copies the source pixels that `tile` of image number `image` reads.
    pub fn fill<E: Element>(
        &self,
        source: &Source<'_, E>,
        image: usize,
        tile: &Tile,
        band: &mut [E],
    ) {
        let pixels = &source.values[image * self.source_len()..][..self.source_len()];
        let coefficients = source.coefficients(image, self.channels);
        let (row_len, isa) = (self.row::<E>(tile), dispatch::isa());
        if band.is_empty() {
            return;
        }
        let (above, rows) = self.vertical.inside(tile.top, tile.height);
        let (before, columns) = self.horizontal.inside(tile.left, tile.width);
        let (first, source_row) = (
            before * self.pixel::<E>(),
            self.horizontal.extent * self.channels,
        );
        let used = columns.len() * self.pixel::<E>();
        for (index, target) in band.chunks_exact_mut(row_len).enumerate() {
            if index < above || index >= above + rows.len() {
                target.fill(E::default());
                continue;
            }
            let row = &pixels[(rows.start + index - above) * source_row..][..source_row];
            let row = &row[columns.start * self.channels..columns.end * self.channels];
            target[..first].fill(E::default());
            target[first + used..].fill(E::default());
            let target = &mut target[first..][..used];
            match coefficients {
                Some(coefficients) => {
                    normalise_rows(isa, row, coefficients, source.activation(), target);
                }
                None => copy_pixels(row, self.channels, target),
            }
        }
    }
}

/// Copies pixels, with zeros after the channels of each where a word has room.
fn copy_pixels<E: Element>(row: &[E], channels: usize, target: &mut [E]) {
    if channels.is_multiple_of(E::PER_WORD) {
        return target.copy_from_slice(row);
    }
    let targets = target.chunks_exact_mut(padded::<E>(channels));
    for (pixel, target) in row.chunks_exact(channels).zip(targets) {
        target[..channels].copy_from_slice(pixel);
        target[channels..].fill(E::default());
    }
}

/// Size of nearly equal parts of `total` that do not exceed `limit`.
pub(super) fn even_share(total: usize, limit: usize) -> usize {
    let parts = total.div_ceil(limit).max(1);
    total.div_ceil(parts).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::bf16;

    fn window(channels: usize, taps: usize, stride: usize) -> Window {
        let axis = Axis {
            extent: 7,
            taps,
            stride,
            origin: -1,
        };
        Window {
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
        let window = window(64, 3, 1);
        let budget = Budget {
            pixels: 256,
            words: 20_000,
        };
        let [height, width] = window.tile_size::<f32>([40, 40], budget);
        assert_eq!(width, 20);
        let tile = Tile {
            top: 0,
            left: 0,
            height,
            width,
        };
        assert!(window.band_len::<f32>(&tile) <= budget.words);
    }

    fn bands_hold_what_taps_read<E: Element>() {
        for (channels, taps, stride) in [(1, 3, 1), (33, 3, 1), (3, 4, 2), (70, 2, 3), (400, 3, 1)]
        {
            let window = window(channels, taps, stride);
            let values: Vec<E> = (0..window.source_len())
                .map(|v| E::from_f32((v % 251 + 1) as f32))
                .collect();
            let source = Source::plain(&values);
            let tile = Tile {
                top: 0,
                left: 1,
                height: 2,
                width: 2,
            };
            let mut band = vec![E::from_f32(f32::NAN); window.band_len::<E>(&tile)];
            window.fill(&source, 0, &tile, &mut band);
            let chunks = window.chunks::<E>(&tile);
            for (y, x) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let first = y * stride * window.row::<E>(&tile) + x * stride * window.pixel::<E>();
                let runs = chunks.iter().flat_map(|chunk| &chunk.runs);
                let read: Vec<E> = runs
                    .flat_map(|run| band[first + run.start..][..run.len].to_vec())
                    .collect();
                assert_eq!(
                    read,
                    expected(&window, &values, [y + tile.top, x + tile.left])
                );
            }
            let starts: Vec<usize> = chunks.iter().map(|chunk| chunk.first).collect();
            assert!(starts.is_sorted() && starts[0] == 0);
        }
    }

    /// What an output reads, straight from the definition.
    fn expected<E: Element>(window: &Window, values: &[E], [y, x]: [usize; 2]) -> Vec<E> {
        let mut read = Vec::new();
        let place = |axis: &Axis, output: usize, tap: usize| {
            let position = axis.origin + (output * axis.stride + tap) as isize;
            usize::try_from(position)
                .ok()
                .filter(|&position| position < axis.extent)
        };
        for tap in 0..window.vertical.taps * window.horizontal.taps {
            let row = place(&window.vertical, y, tap / window.horizontal.taps);
            let column = place(&window.horizontal, x, tap % window.horizontal.taps);
            for channel in 0..window.pixel::<E>() {
                let inside = row.zip(column).filter(|_| channel < window.channels);
                read.push(inside.map_or(E::default(), |(row, column)| {
                    values[(row * window.horizontal.extent + column) * window.channels + channel]
                }));
            }
        }
        read
    }

    #[test]
    fn bands_hold_what_each_tap_reads() {
        bands_hold_what_taps_read::<f32>();
        bands_hold_what_taps_read::<bf16>();
    }
}
