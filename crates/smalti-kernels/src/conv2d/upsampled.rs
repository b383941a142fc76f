//! Nearest-neighbour doubling followed by a 3×3 convolution, without ever making the large picture.
//!
//! Each output reads at most 2×2 different small pixels, so the doubled picture's nine taps fold
//! into four, other ones for each remainder of the output's position: 4/9 of the products.

use super::filter::Taps;
use super::phases::{self, Grid, Phase, Placement, Ready};
use super::weight_gradient::WeightGradient;
use super::window::{Axis, Window};
use super::{ConvShape, Epilogue, FilterForm, PackedFilter, PanelLayout, Source, WeightAxis};
use crate::element::Element;
use crate::scratch::with_scratch;
use rayon::prelude::*;

/// Taps of the kernel in one direction.
pub(super) const TAPS: usize = 3;

/// For each remainder of an output's position, which of the two small pixels it reads each tap
/// falls on.
const FOLDS: [[usize; TAPS]; 2] = [[0, 1, 1], [0, 0, 1]];

/// For each tap, by which of the four outputs around a small pixel it is read in each place: the
/// kernel of the gradient of the input, from the output before the pixel to the one after.
const SPREAD: [&[usize]; 4] = [&[2], &[1, 2], &[0, 1], &[0]];

/// Sizes: of the small picture, `[batch, height, width, in]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpsampledShape {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub in_channels: usize,
    pub out_channels: usize,
}

impl UpsampledShape {
    /// The convolution of the doubled picture.
    pub fn doubled(&self) -> ConvShape {
        ConvShape {
            batch: self.batch,
            height: 2 * self.height,
            width: 2 * self.width,
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            kernel: [TAPS; 2],
            stride: [1; 2],
            padding: [1; 4],
        }
    }

    /// How [`forward_packed`] wants its weight; the same for pictures of any size.
    pub fn forward_form(&self) -> FilterForm {
        let phases = self.forward_phases();
        FilterForm::new(Taps::Folded, &phases, self.doubled().weight_len())
    }

    /// How [`backward_input_packed`] wants its weight; the same for pictures of any size.
    pub fn backward_input_form(&self) -> FilterForm {
        let phases = self.backward_input_phases();
        FilterForm::new(Taps::Spread, &phases, self.doubled().weight_len())
    }

    fn forward_phases(&self) -> [Phase; 4] {
        REMAINDERS.map(|[top, left]| {
            let [inputs, outputs] = self.axes(4);
            Phase {
                window: self.window([top, left]),
                layout: PanelLayout::new((0..4).collect(), inputs, outputs),
                rows: placement(top),
                columns: placement(left),
            }
        })
    }

    /// The gradient of a small pixel is gathered from the 4×4 outputs that read it.
    fn backward_input_phases(&self) -> [Phase; 1] {
        let gathering = ConvShape {
            in_channels: self.out_channels,
            out_channels: self.in_channels,
            kernel: [4; 2],
            stride: [2; 2],
            ..self.doubled()
        };
        let [inputs, outputs] = self.axes(16);
        [Phase {
            window: Window::forward(&gathering),
            layout: PanelLayout::new((0..16).collect(), outputs, inputs),
            rows: Placement::EVERY,
            columns: Placement::EVERY,
        }]
    }

    fn input_len(&self) -> usize {
        self.batch * self.height * self.width * self.in_channels
    }

    fn filters(&self) -> usize {
        self.in_channels * self.out_channels
    }

    fn assert_lengths(&self, input: usize, weight: usize, output: usize) {
        assert_eq!(input, self.input_len(), "input values of {self:?}");
        assert_eq!(weight, self.doubled().weight_len(), "weights of {self:?}");
        assert_eq!(
            output,
            self.doubled().output_len(),
            "output values of {self:?}"
        );
    }

    fn grid(&self) -> Grid {
        Grid {
            height: 2 * self.height,
            width: 2 * self.width,
            channels: self.out_channels,
        }
    }

    /// Channels of a weight with `taps` taps per filter.
    fn axes(&self, taps: usize) -> [WeightAxis; 2] {
        let inputs = WeightAxis {
            len: self.in_channels,
            stride: taps,
        };
        let outputs = WeightAxis {
            len: self.out_channels,
            stride: self.in_channels * taps,
        };
        [inputs, outputs]
    }

    /// The outputs of one remainder: they read two small pixels each way.
    fn window(&self, [top, left]: [usize; 2]) -> Window {
        let axis = |extent, residue: usize| Axis {
            extent,
            taps: 2,
            stride: 1,
            origin: residue as isize - 1,
        };
        Window {
            channels: self.in_channels,
            vertical: axis(self.height, top),
            horizontal: axis(self.width, left),
        }
    }
}

/// The remainders of an output's position, in the order of the forward pass's phases.
pub(super) const REMAINDERS: [[usize; 2]; 4] = [[0, 0], [0, 1], [1, 0], [1, 1]];

fn placement(residue: usize) -> Placement {
    Placement {
        residue,
        step: 2,
        padding: 0,
    }
}

/// Computes the output, `[batch, 2 height, 2 width, out]`.
pub fn forward<E: Element>(
    shape: &UpsampledShape,
    input: Source<'_, E>,
    weight: &[f32],
    epilogue: &Epilogue<'_, E>,
    output: &mut [E],
) {
    shape.assert_lengths(input.values.len(), weight.len(), output.len());
    let form = shape.forward_form();
    form.with_packed(weight, |filter| {
        forward_packed(shape, input, filter, epilogue, output);
    });
}

/// [`forward`] with a weight packed in the shape's [`UpsampledShape::forward_form`]: the same bits.
pub fn forward_packed<E: Element>(
    shape: &UpsampledShape,
    input: Source<'_, E>,
    filter: PackedFilter<'_, E>,
    epilogue: &Epilogue<'_, E>,
    output: &mut [E],
) {
    let weights = shape.doubled().weight_len();
    shape.assert_lengths(input.values.len(), weights, output.len());
    epilogue.assert_lengths(shape.out_channels, output.len());
    let phases = shape.forward_phases();
    let ready = Ready::all(&phases, filter.panels_of(Taps::Folded, &phases));
    phases::run(&ready, shape.grid(), &input, epilogue, output);
}

/// Computes the gradient of the small picture from that of the output.
pub fn backward_input<E: Element>(
    shape: &UpsampledShape,
    grad_output: &[E],
    weight: &[f32],
    grad_input: &mut [E],
) {
    shape.assert_lengths(grad_input.len(), weight.len(), grad_output.len());
    let form = shape.backward_input_form();
    form.with_packed(weight, |filter| {
        backward_input_packed(shape, grad_output, filter, grad_input);
    });
}

/// [`backward_input`] with a weight packed in the shape's [`UpsampledShape::backward_input_form`]: the same bits.
pub fn backward_input_packed<E: Element>(
    shape: &UpsampledShape,
    grad_output: &[E],
    filter: PackedFilter<'_, E>,
    grad_input: &mut [E],
) {
    let weights = shape.doubled().weight_len();
    shape.assert_lengths(grad_input.len(), weights, grad_output.len());
    let grid = Grid {
        height: shape.height,
        width: shape.width,
        channels: shape.in_channels,
    };
    let phases = shape.backward_input_phases();
    let ready = Ready::all(&phases, filter.panels_of(Taps::Spread, &phases));
    let source = Source::plain(grad_output);
    phases::run(&ready, grid, &source, &Epilogue::default(), grad_input);
}

/// Computes the gradient of the weight from the small picture and the gradient of the output.
pub fn backward_weight<E: Element>(
    shape: &UpsampledShape,
    input: Source<'_, E>,
    grad_output: &[E],
    grad_weight: &mut [f32],
) {
    shape.assert_lengths(input.values.len(), grad_weight.len(), grad_output.len());
    grad_weight.fill(0.0);
    with_scratch(4 * shape.filters(), |folded| {
        for [top, left] in REMAINDERS {
            let gradient = WeightGradient {
                window: shape.window([top, left]),
                rows: placement(top),
                columns: placement(left),
                grid: shape.grid(),
                images: shape.batch,
                source: input,
                grad_output,
            };
            gradient.compute(folded);
            unfold(folded, [top, left], grad_weight);
        }
    });
}

/// Filters processed by one thread at a time.
const FILTERS: usize = 4096;

/// Adds up the taps of every 3×3 filter that fall on the same small pixel: `[filters][2][2]`.
pub(super) fn fold(weight: &[f32], [top, left]: [usize; 2], folded: &mut [f32]) {
    let filters = weight
        .par_chunks(9 * FILTERS)
        .zip(folded.par_chunks_mut(4 * FILTERS));
    filters.for_each(|(weight, folded)| {
        let filters = weight
            .as_chunks::<9>()
            .0
            .iter()
            .zip(folded.as_chunks_mut::<4>().0);
        for (filter, folded) in filters {
            *folded = [0.0; 4];
            for (tap, value) in filter.iter().enumerate() {
                folded[FOLDS[top][tap / TAPS] * 2 + FOLDS[left][tap % TAPS]] += value;
            }
        }
    });
}

/// Adds the gradient of folded taps to every tap that went into them.
fn unfold(folded: &[f32], [top, left]: [usize; 2], grad_weight: &mut [f32]) {
    let filters = grad_weight
        .par_chunks_mut(9 * FILTERS)
        .zip(folded.par_chunks(4 * FILTERS));
    filters.for_each(|(weight, folded)| {
        let filters = weight
            .as_chunks_mut::<9>()
            .0
            .iter_mut()
            .zip(folded.as_chunks::<4>().0);
        for (filter, folded) in filters {
            for (tap, value) in filter.iter_mut().enumerate() {
                *value += folded[FOLDS[top][tap / TAPS] * 2 + FOLDS[left][tap % TAPS]];
            }
        }
    });
}

/// The kernel that gathers the gradient of a small pixel from the 4×4 outputs that read it.
pub(super) fn spread_taps(weight: &[f32], spread: &mut [f32]) {
    let filters = weight
        .par_chunks(9 * FILTERS)
        .zip(spread.par_chunks_mut(16 * FILTERS));
    filters.for_each(|(weight, spread)| {
        let filters = weight
            .as_chunks::<9>()
            .0
            .iter()
            .zip(spread.as_chunks_mut::<16>().0);
        for (filter, spread) in filters {
            for (place, value) in spread.iter_mut().enumerate() {
                let taps = SPREAD[place / 4].iter().flat_map(|&row| {
                    SPREAD[place % 4]
                        .iter()
                        .map(move |&column| row * TAPS + column)
                });
                *value = taps.map(|tap| filter[tap]).sum();
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::*;
    use crate::testing::{assert_close, values};

    fn double(shape: &UpsampledShape, input: &[f32]) -> Vec<f32> {
        let (channels, large) = (shape.in_channels, shape.doubled());
        let mut doubled = Vec::new();
        for pixel in 0..large.batch * large.height * large.width {
            let (y, x) = (pixel / large.width, pixel % large.width);
            let (image, y) = (y / large.height, y % large.height);
            let small = (image * shape.height + y / 2) * shape.width + x / 2;
            doubled.extend(&input[small * channels..][..channels]);
        }
        doubled
    }

    /// Sum over the four copies of each small pixel.
    fn halve(shape: &UpsampledShape, values: &[f64]) -> Vec<f64> {
        let (channels, large) = (shape.in_channels, shape.doubled());
        let mut sums = vec![0.0; shape.input_len()];
        for (index, value) in values.iter().enumerate() {
            let (pixel, channel) = (index / channels, index % channels);
            let (y, x) = (pixel / large.width, pixel % large.width);
            let (image, y) = (y / large.height, y % large.height);
            let small = (image * shape.height + y / 2) * shape.width + x / 2;
            sums[small * channels + channel] += value;
        }
        sums
    }

    #[test]
    fn equals_doubling_and_convolving() {
        for [batch, height, width, in_channels, out_channels] in [
            [1, 1, 1, 1, 1],
            [2, 3, 5, 3, 7],
            [1, 9, 4, 40, 33],
            [1, 5, 40, 8, 3],
        ] {
            let shape = UpsampledShape {
                batch,
                height,
                width,
                in_channels,
                out_channels,
            };
            let large = shape.doubled();
            let input = values(1, shape.input_len());
            let weight = values(2, large.weight_len());
            let gradient = values(3, large.output_len());
            let bias = values(4, out_channels);
            let doubled = double(&shape, &input);
            let what = |name: &str| format!("{name} of {shape:?}");

            let mut output = vec![f32::NAN; large.output_len()];
            let epilogue = Epilogue {
                bias: Some(&bias),
                ..Epilogue::default()
            };
            forward(
                &shape,
                Source::plain(&input),
                &weight,
                &epilogue,
                &mut output,
            );
            let truth = reference::forward(&large, &doubled, &weight, Some(&bias));
            assert_close(&output, &truth, 2e-5, &what("output"));

            let mut grad_input = vec![f32::NAN; input.len()];
            backward_input(&shape, &gradient, &weight, &mut grad_input);
            let truth = reference::backward_input(&large, &gradient, &weight);
            assert_close(
                &grad_input,
                &halve(&shape, &truth),
                2e-5,
                &what("input gradient"),
            );

            let mut grad_weight = vec![f32::NAN; weight.len()];
            backward_weight(&shape, Source::plain(&input), &gradient, &mut grad_weight);
            let truth = reference::backward_weight(&large, &doubled, &gradient);
            assert_close(&grad_weight, &truth, 2e-5, &what("weight gradient"));
        }
    }
}
