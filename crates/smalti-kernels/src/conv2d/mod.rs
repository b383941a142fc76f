//! Two-dimensional convolution of channels-last images, with its gradients.
//!
//! Input `[batch, height, width, in]`, weight `[out, in, kernel height, kernel width]` in `f32`,
//! output `[batch, output height, output width, out]`; values are `f32` or `bf16`, sums `f32`.
//!
//! A thread copies the source pixels of a tile of outputs into a band ([`window`]), normalising
//! them on the way if asked, and multiplies it with panels of the weight ([`panels`]), packed for the
//! call or before it ([`filter`]); bias, residual and activation are applied while the sums are
//! stored. The gradient of the input is again such a convolution, with the kernel turned around; with
//! a stride, one for each remainder of the input position ([`phases`]), so that no zeros are
//! multiplied.

mod filter;
pub(crate) mod finish;
pub(crate) mod panels;
mod phases;
pub mod reference;
pub mod upsampled;
mod weight_gradient;
mod window;

pub use crate::activation::Activation;
use crate::element::Element;
use crate::reduce::column_sums;
use filter::Taps;
pub use filter::{FilterForm, PackedFilter};
use panels::{PanelLayout, WeightAxis};
use phases::{Grid, Phase, Placement, Ready};
use weight_gradient::WeightGradient;
use window::Window;

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

    /// How [`forward_packed`] wants its weight; the same for pictures of any size.
    pub fn forward_form(&self) -> FilterForm {
        FilterForm::new(Taps::Own, &self.forward_phases(), self.weight_len())
    }

    /// How [`backward_input_packed`] wants its weight; the same for pictures of any size.
    pub fn backward_input_form(&self) -> FilterForm {
        let phases = phases::input_gradient(self);
        FilterForm::new(Taps::Own, &phases, self.weight_len())
    }

    fn forward_phases(&self) -> [Phase; 1] {
        let [inputs, outputs] = phases::weight_axes(self);
        [Phase {
            window: Window::forward(self),
            layout: PanelLayout::new((0..self.taps()).collect(), inputs, outputs),
            rows: Placement::EVERY,
            columns: Placement::EVERY,
        }]
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    fn assert_lengths(&self, input: usize, weight: usize, output: usize) {
        assert_eq!(input, self.input_len(), "input values of {self:?}");
        assert_eq!(weight, self.weight_len(), "weights of {self:?}");
        assert_eq!(output, self.output_len(), "output values of {self:?}");
    }
}

/// Values that a convolution reads, `[batch, height, width, channels]`.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a, E> {
    pub values: &'a [E],
    /// What is done to them on the way.
    pub normalization: Option<Normalization<'a>>,
}

/// A normalisation whose statistics are known.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// Mean, factor and offset of every channel of every picture, `[batch, 3, channels]`.
    pub coefficients: &'a [f32],
    /// What follows.
    pub activation: Activation,
}

impl<'a, E> Source<'a, E> {
    /// Values as they are.
    pub fn plain(values: &'a [E]) -> Source<'a, E> {
        Source {
            values,
            normalization: None,
        }
    }

    fn coefficients(&self, image: usize, channels: usize) -> Option<&'a [f32]> {
        let len = 3 * channels;
        self.normalization
            .map(|normalization| &normalization.coefficients[image * len..][..len])
    }

    fn activation(&self) -> Activation {
        self.normalization
            .map_or(Activation::None, |normalization| normalization.activation)
    }
}

/// What happens to the sums: plus bias, plus residual, then the activation.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a, E> {
    /// One value per output channel.
    pub bias: Option<&'a [f32]>,
    /// Values like the output's.
    pub residual: Option<&'a [E]>,
    pub activation: Activation,
}

impl<E> Default for Epilogue<'_, E> {
    fn default() -> Self {
        Epilogue {
            bias: None,
            residual: None,
            activation: Activation::None,
        }
    }
}

impl<E> Epilogue<'_, E> {
    fn assert_lengths(&self, channels: usize, outputs: usize) {
        if let Some(bias) = self.bias {
            assert_eq!(bias.len(), channels, "biases");
        }
        if let Some(residual) = self.residual {
            assert_eq!(residual.len(), outputs, "residual values");
        }
    }
}

/// Computes the output.
pub fn forward<E: Element>(
    shape: &ConvShape,
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

/// [`forward`] with a weight packed in the shape's [`ConvShape::forward_form`]: the same bits.
pub fn forward_packed<E: Element>(
    shape: &ConvShape,
    input: Source<'_, E>,
    filter: PackedFilter<'_, E>,
    epilogue: &Epilogue<'_, E>,
    output: &mut [E],
) {
    shape.assert_lengths(input.values.len(), shape.weight_len(), output.len());
    epilogue.assert_lengths(shape.out_channels, output.len());
    let (height, width) = shape.output();
    let grid = Grid {
        height,
        width,
        channels: shape.out_channels,
    };
    let phases = shape.forward_phases();
    let ready = Ready::all(&phases, filter.panels_of(Taps::Own, &phases));
    phases::run(&ready, grid, &input, epilogue, output);
}

/// Computes the gradient of the input from that of the output.
pub fn backward_input<E: Element>(
    shape: &ConvShape,
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

/// [`backward_input`] with a weight packed in the shape's [`ConvShape::backward_input_form`]: the same bits.
pub fn backward_input_packed<E: Element>(
    shape: &ConvShape,
    grad_output: &[E],
    filter: PackedFilter<'_, E>,
    grad_input: &mut [E],
) {
    shape.assert_lengths(grad_input.len(), shape.weight_len(), grad_output.len());
    let grid = Grid {
        height: shape.height,
        width: shape.width,
        channels: shape.in_channels,
    };
    let phases = phases::input_gradient(shape);
    let ready = Ready::all(&phases, filter.panels_of(Taps::Own, &phases));
    let source = Source::plain(grad_output);
    phases::run(&ready, grid, &source, &Epilogue::default(), grad_input);
}

/// Computes the gradient of the weight from the input and the gradient of the output.
pub fn backward_weight<E: Element>(
    shape: &ConvShape,
    input: Source<'_, E>,
    grad_output: &[E],
    grad_weight: &mut [f32],
) {
    shape.assert_lengths(input.values.len(), grad_weight.len(), grad_output.len());
    WeightGradient::of(shape, input, grad_output).compute(grad_weight);
}

/// Computes the gradient of the bias from that of the output.
pub fn backward_bias<E: Element>(shape: &ConvShape, grad_output: &[E], grad_bias: &mut [f32]) {
    assert_eq!(
        grad_output.len(),
        shape.output_len(),
        "output values of {shape:?}"
    );
    assert_eq!(grad_bias.len(), shape.out_channels, "biases of {shape:?}");
    column_sums(grad_output, grad_bias);
}

#[cfg(test)]
mod tests;
