//! Two-dimensional convolution of channels-last images, with its gradients.
//!
//! Input `[batch, height, width, in]`, weight `[out, in, kernel height, kernel width]`, output
//! `[batch, output height, output width, out]`. A 1x1 kernel is a single matrix product. Otherwise
//! tiles of output positions are lowered to matrices (see the `lowering` module) and multiplied
//! with the rearranged weight, each tile by one thread. The gradient of the input is again such a
//! convolution, with the kernel turned around; with a stride, one for each remainder of the input
//! position, so that no zeros are multiplied.

use crate::lowering::{Axis, Budget, Lowering, Tile};
use crate::matmul::{Matrix, MatrixMut, Product, multiply};
use crate::reduce::column_sums;
use crate::scratch::with_scratch;
use crate::split::blocks_of_rows;
use rayon::prelude::*;
use std::ops::Range;

/// Output positions and lowered floats of a tile of forward and input-gradient products.
const TILE: Budget = Budget {
    pixels: 256,
    floats: 256 * 1024,
};

/// The same for weight gradients: longer, because every tile updates the whole gradient.
const WEIGHT_TILE: Budget = Budget {
    pixels: 512,
    floats: 512 * 1024,
};

/// A tile smaller than this is not worth a thread.
const MIN_TILE_PIXELS: usize = 32;

/// Side of the squares in which weights are transposed: a cache line of floats.
const REPACK: usize = 16;

/// Pieces that work is cut into at least. The same on every machine, so that results are.
const PARTS: usize = 8;

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    pub batch: usize,
    /// Height of the input.
    pub height: usize,
    /// Width of the input.
    pub width: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step between outputs.
    pub stride: [usize; 2],
    /// Rows and columns of zeros at the top, bottom, left and right.
    pub padding: [usize; 4],
}

impl ConvShape {
    /// Height and width of the output.
    ///
    /// # Panics
    /// When a size is zero or the kernel does not fit into the padded input.
    pub fn output(&self) -> (usize, usize) {
        assert!(
            self.in_channels > 0 && self.out_channels > 0,
            "a convolution needs channels: {self:?}"
        );
        let [top, bottom, left, right] = self.padding;
        let positions = |padded: usize, kernel: usize, stride: usize| {
            assert!(
                stride > 0 && kernel > 0 && kernel <= padded,
                "impossible kernel or stride: {self:?}"
            );
            (padded - kernel) / stride + 1
        };
        (
            positions(self.height + top + bottom, self.kernel[0], self.stride[0]),
            positions(self.width + left + right, self.kernel[1], self.stride[1]),
        )
    }

    /// Number of input values.
    pub fn input_len(&self) -> usize {
        self.batch * self.height * self.width * self.in_channels
    }

    /// Number of weights.
    pub fn weight_len(&self) -> usize {
        self.in_channels * self.out_channels * self.taps()
    }

    /// Number of output values.
    pub fn output_len(&self) -> usize {
        let (height, width) = self.output();
        self.batch * height * width * self.out_channels
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0; 4]
    }

    /// Rows of the matrices of a pointwise convolution.
    fn pixels(&self) -> usize {
        self.batch * self.height * self.width
    }

    fn assert_lengths(&self, input: usize, weight: usize, output: usize) {
        assert_eq!(input, self.input_len(), "input values of {self:?}");
        assert_eq!(weight, self.weight_len(), "weights of {self:?}");
        assert_eq!(output, self.output_len(), "output values of {self:?}");
    }

    /// How the output reads the input.
    fn lowering(&self) -> Lowering {
        let axis = |extent, direction: usize, padding: usize| Axis {
            extent,
            taps: self.kernel[direction],
            stride: self.stride[direction],
            origin: -(padding as isize),
        };
        Lowering {
            channels: self.in_channels,
            vertical: axis(self.height, 0, self.padding[0]),
            horizontal: axis(self.width, 1, self.padding[2]),
        }
    }

    /// Input and output channels as they lie in the weight.
    fn weight_axes(&self) -> [WeightAxis; 2] {
        let inputs = WeightAxis {
            len: self.in_channels,
            stride: self.taps(),
        };
        let outputs = WeightAxis {
            len: self.out_channels,
            stride: self.in_channels * self.taps(),
        };
        [inputs, outputs]
    }
}

/// Computes the output.
pub fn forward(
    shape: &ConvShape,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    shape.assert_lengths(input.len(), weight.len(), output.len());
    if let Some(bias) = bias {
        assert_eq!(bias.len(), shape.out_channels, "biases of {shape:?}");
    }
    if shape.is_pointwise() {
        return forward_pointwise(shape, input, weight, bias, output);
    }
    let (height, width) = shape.output();
    let grid = Grid {
        height,
        width,
        channels: shape.out_channels,
    };
    let taps: Vec<usize> = (0..shape.taps()).collect();
    with_scratch(weight.len(), |packed| {
        repack(weight, &taps, shape.weight_axes(), packed);
        let phase = Phase {
            lowering: shape.lowering(),
            weight: packed,
            rows: Placement::EVERY,
            columns: Placement::EVERY,
        };
        run_phases(&[phase], &grid, input, bias, output);
    });
}

/// Computes the gradient of the input from that of the output.
pub fn backward_input(
    shape: &ConvShape,
    grad_output: &[f32],
    weight: &[f32],
    grad_input: &mut [f32],
) {
    shape.assert_lengths(grad_input.len(), weight.len(), grad_output.len());
    if shape.is_pointwise() {
        let (pixels, inputs, outputs) = (shape.pixels(), shape.in_channels, shape.out_channels);
        return multiply(
            Matrix::new(grad_output, pixels, outputs),
            Matrix::new(weight, outputs, inputs),
            MatrixMut::new(grad_input, pixels, inputs),
            Product::PARALLEL,
        );
    }
    let grid = Grid {
        height: shape.height,
        width: shape.width,
        channels: shape.in_channels,
    };
    with_scratch(weight.len(), |packed| {
        let phases = input_phases(shape, weight, packed);
        run_phases(&phases, &grid, grad_output, None, grad_input);
    });
}

/// Computes the gradient of the weight from the input and the gradient of the output.
pub fn backward_weight(
    shape: &ConvShape,
    input: &[f32],
    grad_output: &[f32],
    grad_weight: &mut [f32],
) {
    shape.assert_lengths(input.len(), grad_weight.len(), grad_output.len());
    if shape.is_pointwise() {
        let (pixels, inputs, outputs) = (shape.pixels(), shape.in_channels, shape.out_channels);
        return multiply(
            Matrix::new(grad_output, pixels, outputs).transposed(),
            Matrix::new(input, pixels, inputs),
            MatrixMut::new(grad_weight, outputs, inputs),
            Product::PARALLEL,
        );
    }
    let tiles = weight_tiles(shape);
    let parts = PARTS.min(tiles.len());
    let len = grad_weight.len();
    let gradient = WeightGradient {
        shape,
        lowering: shape.lowering(),
        input,
        grad_output,
    };
    // Each part is a fixed range of tiles with sums of its own, so the order of additions depends
    // neither on the number of threads nor on which of them is faster.
    with_scratch(parts * len, |partials| {
        let jobs = partials.par_chunks_mut(len).enumerate();
        jobs.for_each(|(part, sums)| {
            let range = tiles.len() * part / parts..tiles.len() * (part + 1) / parts;
            for (index, (image, tile)) in tiles[range].iter().enumerate() {
                gradient.add_tile(*image, tile, index > 0, sums);
            }
        });
        gradient.add_up(partials, grad_weight);
    });
}

/// Computes the gradient of the bias from that of the output.
pub fn backward_bias(shape: &ConvShape, grad_output: &[f32], grad_bias: &mut [f32]) {
    assert_eq!(
        grad_output.len(),
        shape.output_len(),
        "output values of {shape:?}"
    );
    assert_eq!(grad_bias.len(), shape.out_channels, "biases of {shape:?}");
    column_sums(grad_output, grad_bias);
}

fn forward_pointwise(
    shape: &ConvShape,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    let (pixels, inputs, outputs) = (shape.pixels(), shape.in_channels, shape.out_channels);
    if let Some(bias) = bias {
        let block = outputs * MIN_TILE_PIXELS;
        output.par_chunks_mut(block).for_each(|block| {
            for pixel in block.chunks_exact_mut(outputs) {
                pixel.copy_from_slice(bias);
            }
        });
    }
    let how = Product {
        accumulate: bias.is_some(),
        ..Product::PARALLEL
    };
    multiply(
        Matrix::new(input, pixels, inputs),
        Matrix::new(weight, outputs, inputs).transposed(),
        MatrixMut::new(output, pixels, outputs),
        how,
    );
}

/// The images a convolution writes.
struct Grid {
    height: usize,
    width: usize,
    channels: usize,
}

/// Which positions of one direction of the grid a phase writes: `residue + step * index - padding`.
#[derive(Clone, Copy)]
struct Placement {
    residue: usize,
    step: usize,
    padding: usize,
}

impl Placement {
    const EVERY: Placement = Placement {
        residue: 0,
        step: 1,
        padding: 0,
    };

    fn position(&self, index: usize) -> usize {
        self.residue + self.step * index - self.padding
    }

    /// Indices whose positions lie in the range.
    fn indices(&self, positions: Range<usize>) -> Range<usize> {
        let first_from = |position: usize| {
            let offset = (position + self.padding).saturating_sub(self.residue);
            offset.div_ceil(self.step)
        };
        first_from(positions.start)..first_from(positions.end)
    }
}

/// One sum over taps and the positions of the grid it produces.
struct Phase<'a> {
    lowering: Lowering,
    /// `[kernel row][kernel column][source channel][grid channel]`
    weight: &'a [f32],
    rows: Placement,
    columns: Placement,
}

/// Consecutive rows of one image of the grid, written by one thread.
struct Band<'a> {
    source: &'a [f32],
    top: usize,
    values: &'a mut [f32],
}

/// Computes all phases; together they write every value of the output once.
fn run_phases(
    phases: &[Phase<'_>],
    grid: &Grid,
    source: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    // The first phase has the most taps, so its tiles fit the others too.
    let Phase {
        lowering,
        rows,
        columns,
        ..
    } = &phases[0];
    let row_len = grid.width * grid.channels;
    let image_len = grid.height * row_len;
    let source_len = lowering.source_len();
    if output.is_empty() {
        return;
    }
    let outputs = [
        grid.height.div_ceil(rows.step),
        grid.width.div_ceil(columns.step),
    ];
    let images = output.len() / image_len;
    let budget = fair_budget(images * outputs[0] * outputs[1], TILE);
    let [tile_height, tile_width] = lowering.tile_size(outputs, budget);
    let band_height = tile_height * rows.step;
    let mut bands = Vec::new();
    for (image, values) in output.chunks_exact_mut(image_len).enumerate() {
        let source = &source[image * source_len..][..source_len];
        for (index, values) in values.chunks_mut(band_height * row_len).enumerate() {
            bands.push(Band {
                source,
                top: index * band_height,
                values,
            });
        }
    }
    bands.into_par_iter().for_each(|mut band| {
        for phase in phases {
            phase.run(&mut band, grid, tile_width, bias);
        }
    });
}

/// The limits with fewer positions, if there would otherwise not be [`PARTS`] pieces of work.
fn fair_budget(pixels: usize, limits: Budget) -> Budget {
    let fair = pixels.div_ceil(PARTS);
    Budget {
        pixels: fair.clamp(MIN_TILE_PIXELS, limits.pixels),
        ..limits
    }
}

impl Phase<'_> {
    fn run(&self, band: &mut Band<'_>, grid: &Grid, tile_width: usize, bias: Option<&[f32]>) {
        let height = band.values.len() / (grid.width * grid.channels);
        let rows = self.rows.indices(band.top..band.top + height);
        let columns = self.columns.indices(0..grid.width);
        if rows.is_empty() {
            return;
        }
        for left in columns.clone().step_by(tile_width) {
            let tile = Tile {
                top: rows.start,
                left,
                height: rows.len(),
                width: tile_width.min(columns.end - left),
            };
            let buffer_len = self.lowering.buffer_len(tile.height, tile.width);
            with_scratch(buffer_len, |buffer| {
                with_scratch(tile.pixels() * grid.channels, |result| {
                    self.lowering.fill(band.source, &tile, buffer);
                    self.multiply(&tile, buffer, grid.channels, result);
                    self.store(&tile, result, band, grid, bias);
                });
            });
        }
    }

    fn multiply(&self, tile: &Tile, lowered: &[f32], channels: usize, result: &mut [f32]) {
        let depth = self.lowering.group_depth();
        for group in 0..self.lowering.groups() {
            let weight = &self.weight[group * depth * channels..];
            let how = Product {
                accumulate: group > 0,
                ..Product::SERIAL
            };
            multiply(
                self.lowering.group(tile, lowered, group),
                Matrix::new(weight, depth, channels),
                MatrixMut::new(result, tile.pixels(), channels),
                how,
            );
        }
    }

    fn store(
        &self,
        tile: &Tile,
        result: &[f32],
        band: &mut Band<'_>,
        grid: &Grid,
        bias: Option<&[f32]>,
    ) {
        let channels = grid.channels;
        for (row, values) in result.chunks_exact(tile.width * channels).enumerate() {
            let y = self.rows.position(tile.top + row) - band.top;
            for (column, pixel) in values.chunks_exact(channels).enumerate() {
                let x = self.columns.position(tile.left + column);
                let target = &mut band.values[(y * grid.width + x) * channels..][..channels];
                match bias {
                    None => target.copy_from_slice(pixel),
                    Some(bias) => {
                        for ((target, value), bias) in target.iter_mut().zip(pixel).zip(bias) {
                            *target = value + bias;
                        }
                    }
                }
            }
        }
    }
}

/// The sums that make up the gradient of the input, one for each remainder of its positions.
///
/// Input position `i` meets tap `k` at output `(i + padding - k) / stride`, where this is whole.
/// With `i + padding = residue + stride * index` these are the taps `residue + stride * t`, and
/// the output is `index - t`: a dense sum, in which taps run backwards.
fn input_phases<'a>(
    shape: &ConvShape,
    weight: &[f32],
    mut packed: &'a mut [f32],
) -> Vec<Phase<'a>> {
    let (height, width) = shape.output();
    let [inputs, outputs] = shape.weight_axes();
    let mut phases = Vec::new();
    for top in 0..shape.stride[0] {
        for left in 0..shape.stride[1] {
            let vertical_taps = taps_from(top, shape.kernel[0], shape.stride[0]);
            let horizontal_taps = taps_from(left, shape.kernel[1], shape.stride[1]);
            let rows = vertical_taps.iter().rev();
            let taps: Vec<usize> = rows
                .flat_map(|row| {
                    let columns = horizontal_taps.iter().rev();
                    columns.map(move |column| row * shape.kernel[1] + column)
                })
                .collect();
            let len = taps.len() * inputs.len * outputs.len;
            let (part, rest) = std::mem::take(&mut packed).split_at_mut(len);
            packed = rest;
            repack(weight, &taps, [outputs, inputs], part);
            phases.push(Phase {
                lowering: Lowering {
                    channels: shape.out_channels,
                    vertical: backward_axis(height, vertical_taps.len()),
                    horizontal: backward_axis(width, horizontal_taps.len()),
                },
                weight: part,
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

/// One channel direction of a weight: how many there are, and how far apart they lie.
#[derive(Clone, Copy)]
struct WeightAxis {
    len: usize,
    stride: usize,
}

/// Copies the chosen taps of a weight to the order `[tap][first axis][second axis]`.
fn repack(weight: &[f32], taps: &[usize], axes: [WeightAxis; 2], packed: &mut [f32]) {
    let [rows, columns] = axes;
    if packed.is_empty() {
        return;
    }
    let jobs = blocks_of_rows(packed, rows.len * columns.len, REPACK * columns.len);
    jobs.into_par_iter()
        .enumerate()
        .for_each(|(block, mut parts)| {
            let block_rows = parts[0].len() / columns.len;
            for left in (0..columns.len).step_by(REPACK) {
                let width = REPACK.min(columns.len - left);
                for row in 0..block_rows {
                    let first = (block * REPACK + row) * rows.stride + left * columns.stride;
                    for (part, tap) in parts.iter_mut().zip(taps) {
                        let source = weight[first + tap..].iter().step_by(columns.stride);
                        let target = &mut part[row * columns.len + left..][..width];
                        for (target, value) in target.iter_mut().zip(source) {
                            *target = *value;
                        }
                    }
                }
            }
        });
}

/// Tiles of all images, in order, each with the number of its image.
fn weight_tiles(shape: &ConvShape) -> Vec<(usize, Tile)> {
    let (height, width) = shape.output();
    let budget = fair_budget(shape.batch * height * width, WEIGHT_TILE);
    let [tile_height, tile_width] = shape.lowering().tile_size([height, width], budget);
    let mut tiles = Vec::new();
    for image in 0..shape.batch {
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

/// What the gradient of the weight is computed from. Sums are kept in the order
/// `[out][kernel height][kernel width][in]`.
struct WeightGradient<'a> {
    shape: &'a ConvShape,
    lowering: Lowering,
    input: &'a [f32],
    grad_output: &'a [f32],
}

impl WeightGradient<'_> {
    /// Adds the products of one tile to `sums`, or replaces them.
    fn add_tile(&self, image: usize, tile: &Tile, accumulate: bool, sums: &mut [f32]) {
        let (lowering, outputs) = (&self.lowering, self.shape.out_channels);
        let (depth, group_depth) = (lowering.depth(), lowering.group_depth());
        let source_len = lowering.source_len();
        let source = &self.input[image * source_len..][..source_len];
        let how = Product {
            accumulate,
            ..Product::SERIAL
        };
        with_scratch(lowering.buffer_len(tile.height, tile.width), |buffer| {
            with_scratch(tile.pixels() * outputs, |gradient| {
                lowering.fill(source, tile, buffer);
                self.gather_gradient(image, tile, gradient);
                for group in 0..lowering.groups() {
                    let part = &mut sums[group * group_depth..];
                    multiply(
                        Matrix::new(gradient, tile.pixels(), outputs).transposed(),
                        lowering.group(tile, buffer, group),
                        MatrixMut::strided(part, outputs, group_depth, depth),
                        how,
                    );
                }
            });
        });
    }

    fn gather_gradient(&self, image: usize, tile: &Tile, gathered: &mut [f32]) {
        let (height, width) = self.shape.output();
        let outputs = self.shape.out_channels;
        let rows = gathered.chunks_exact_mut(tile.width * outputs);
        for (row, values) in rows.enumerate() {
            let pixel = (image * height + tile.top + row) * width + tile.left;
            values.copy_from_slice(&self.grad_output[pixel * outputs..][..values.len()]);
        }
    }

    /// Writes the total of consecutive partial sums, in checkpoint order.
    fn add_up(&self, partials: &[f32], grad_weight: &mut [f32]) {
        let (inputs, taps) = (self.shape.in_channels, self.shape.taps());
        let (depth, len) = (inputs * taps, grad_weight.len());
        let filters = grad_weight.par_chunks_mut(depth).enumerate();
        filters.for_each(|(output, filter)| {
            for tap in 0..taps {
                let first = output * depth + tap * inputs;
                for (input, value) in filter[tap..].iter_mut().step_by(taps).enumerate() {
                    let terms = partials.chunks_exact(len);
                    *value = terms.map(|partial| partial[first + input]).sum();
                }
            }
        });
    }
}

pub mod reference;

#[cfg(test)]
mod tests;
