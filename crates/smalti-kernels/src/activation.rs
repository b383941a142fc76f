//! Pointwise activations that layers apply while they write their output.

use crate::dispatch::{self, vectorised};
use crate::element::Element;
use crate::math::{silu, silu_derivative};
use rayon::prelude::*;

/// Slope of [`Activation::LeakyRelu`] below zero.
const LEAK: f32 = 0.2;

/// Where [`Activation::Relu6`] ends.
const SIX: f32 = 6.0;

/// Values per job of the thread pool.
const JOB: usize = 16 * 1024;

/// A function of every value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Activation {
    #[default]
    None,
    /// `x * sigmoid(x)`.
    Silu,
    Relu,
    /// Slope 0.2 below zero.
    LeakyRelu,
    /// ReLU that goes no further than 6, of the MobileNets and their kin.
    Relu6,
}

impl Activation {
    /// The function.
    #[inline(always)]
    pub fn apply(self, value: f32) -> f32 {
        match self {
            Activation::None => value,
            Activation::Silu => silu(value),
            Activation::Relu => value.max(0.0),
            Activation::LeakyRelu => value.max(LEAK * value),
            Activation::Relu6 => value.clamp(0.0, SIX),
        }
    }

    /// Its derivative at `value`; at a kink the smaller of the two.
    #[inline(always)]
    pub fn slope(self, value: f32) -> f32 {
        let below = |slope| if value > 0.0 { 1.0 } else { slope };
        match self {
            Activation::None => 1.0,
            Activation::Silu => silu_derivative(value),
            Activation::Relu => below(0.0),
            Activation::LeakyRelu => below(LEAK),
            Activation::Relu6 if value < SIX => below(0.0),
            Activation::Relu6 => 0.0,
        }
    }

    /// Whether the output tells the derivative, so that the input need not be kept.
    pub fn is_told_by_output(self) -> bool {
        self != Activation::Silu
    }
}

/// Calls `$work` with a closure for the activation that is known to the compiler, so that loops
/// over it vectorise.
macro_rules! with_activation {
    ($activation:expr, $method:ident, |$function:ident| $work:expr) => {
        match $activation {
            $crate::activation::Activation::None => {
                let $function = |value: f32| $crate::activation::Activation::None.$method(value);
                $work
            }
            $crate::activation::Activation::Silu => {
                let $function = |value: f32| $crate::activation::Activation::Silu.$method(value);
                $work
            }
            $crate::activation::Activation::Relu => {
                let $function = |value: f32| $crate::activation::Activation::Relu.$method(value);
                $work
            }
            $crate::activation::Activation::LeakyRelu => {
                let $function =
                    |value: f32| $crate::activation::Activation::LeakyRelu.$method(value);
                $work
            }
            $crate::activation::Activation::Relu6 => {
                let $function = |value: f32| $crate::activation::Activation::Relu6.$method(value);
                $work
            }
        }
    };
}
pub(crate) use with_activation;

/// Computes the gradient of an activation's input from its output and the gradient of that.
///
/// # Panics
/// For an activation whose derivative the output does not tell.
pub fn backward<E: Element>(
    activation: Activation,
    output: &[E],
    grad_output: &[E],
    grad_input: &mut [E],
) {
    assert!(
        activation.is_told_by_output(),
        "{activation:?} needs its input"
    );
    assert_eq!(output.len(), grad_output.len(), "gradient values");
    assert_eq!(output.len(), grad_input.len(), "gradient values");
    let isa = dispatch::isa();
    let outputs = output.par_chunks(JOB).zip(grad_output.par_chunks(JOB));
    let jobs = grad_input.par_chunks_mut(JOB).zip(outputs);
    jobs.for_each(|(grad_input, (output, grad_output))| {
        backward_values(isa, activation, output, grad_output, grad_input);
    });
}

vectorised! {
    fn backward_values<E: Element>(
        activation: Activation,
        output: &[E],
        grad_output: &[E],
        grad_input: &mut [E],
    ) {
        with_activation!(activation, slope, |slope| {
            for (target, (output, gradient)) in
                grad_input.iter_mut().zip(output.iter().zip(grad_output))
            {
                *target = E::from_f32(gradient.to_f32() * slope(output.to_f32()));
            }
        });
    }
}

/// Slow versions in double precision.
pub mod reference {
    use super::{Activation, LEAK, SIX};
    use crate::math::reference::sigmoid;

    /// The function.
    pub fn apply(activation: Activation, value: f64) -> f64 {
        match activation {
            Activation::None => value,
            Activation::Silu => value * sigmoid(value),
            Activation::Relu => value.max(0.0),
            Activation::LeakyRelu => value.max(f64::from(LEAK) * value),
            Activation::Relu6 => value.clamp(0.0, f64::from(SIX)),
        }
    }

    /// Its derivative.
    pub fn slope(activation: Activation, value: f64) -> f64 {
        match activation {
            Activation::None => 1.0,
            Activation::Silu => {
                let gate = sigmoid(value);
                gate + value * gate * (1.0 - gate)
            }
            Activation::Relu => f64::from(u8::from(value > 0.0)),
            Activation::LeakyRelu if value > 0.0 => 1.0,
            Activation::LeakyRelu => f64::from(LEAK),
            Activation::Relu6 => f64::from(u8::from(value > 0.0 && value < f64::from(SIX))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::values;

    const ALL: [Activation; 5] = [
        Activation::None,
        Activation::Silu,
        Activation::Relu,
        Activation::LeakyRelu,
        Activation::Relu6,
    ];

    #[test]
    fn slopes_are_difference_quotients() {
        for activation in ALL {
            for value in values(7, 200).into_iter().map(|value| 8.0 * value) {
                let step = 1.0 / 256.0;
                let rise = activation.apply(value + step) - activation.apply(value - step);
                let error = (rise / (2.0 * step) - activation.slope(value)).abs();
                let at_kink = value.abs() < step || (value - SIX).abs() < step;
                assert!(
                    error < 1e-3 || at_kink,
                    "{activation:?} at {value}: {error}"
                );
            }
        }
    }

    #[test]
    fn the_output_is_enough() {
        let inputs: Vec<f32> = values(8, 100)
            .into_iter()
            .map(|value| 8.0 * value)
            .collect();
        let gradients = values(9, 100);
        for activation in ALL
            .into_iter()
            .filter(|activation| activation.is_told_by_output())
        {
            let outputs: Vec<f32> = inputs
                .iter()
                .map(|&value| activation.apply(value))
                .collect();
            let mut result = vec![f32::NAN; 100];
            backward(activation, &outputs, &gradients, &mut result);
            for (index, value) in result.into_iter().enumerate() {
                assert_eq!(value, gradients[index] * activation.slope(inputs[index]));
            }
        }
    }
}
