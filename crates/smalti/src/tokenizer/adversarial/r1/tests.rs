//! R1 against a closed form and against difference quotients of the penalty, which an ordinary backward pass gives.

use super::*;
use crate::checkpoint::{
    HostTensor, ParameterPath, TensorMap, Values, load_parameters, parameters,
};
use crate::initializer::Initializer;
use crate::layers::Conv2d;
use crate::ops::Convolution;
use crate::tokenizer::discriminator::{
    DiscriminatorConfig, DiscriminatorKind, DiscriminatorNorm, PatchDiscriminator,
};
use burn::module::{ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Device;

fn device() -> Device {
    Device::flex().autodiff()
}

fn configs() -> Vec<DiscriminatorConfig> {
    let patch = |norm| DiscriminatorConfig {
        kind: DiscriminatorKind::Patch,
        norm,
        channels: 2,
        layers: 1,
        size: 8,
    };
    vec![
        patch(DiscriminatorNorm::Batch),
        patch(DiscriminatorNorm::Act),
        patch(DiscriminatorNorm::None),
        DiscriminatorConfig {
            kind: DiscriminatorKind::StyleGan,
            norm: DiscriminatorNorm::None,
            channels: 1,
            layers: 1,
            size: 32,
        },
    ]
}

/// Two pictures of one channel.
fn pixels(size: usize) -> Tensor<4> {
    let mut init = Initializer::seeded(&device(), 3);
    init.uniform([2, size, size, 1], 1.0).val().detach()
}

fn network(config: &DiscriminatorConfig) -> Discriminator {
    Discriminator::new(&mut Initializer::seeded(&device(), 5), 1, config)
}

/// Gradients by parameter path; zeros where the loss does not depend on a parameter.
struct Collect {
    path: ParameterPath,
    gradients: GradientsParams,
    found: TensorMap,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let shape = param.dims().to_vec();
        let values = match self.gradients.remove::<D>(param.id) {
            Some(gradient) => host_values(gradient),
            None => vec![0.0; shape.iter().product()],
        };
        let tensor = HostTensor::f32(shape, values);
        self.found.insert(self.path.dotted(), tensor);
    }
}

fn gradients_of(module: &Discriminator, loss: &Tensor<1>) -> TensorMap {
    let mut visitor = Collect {
        path: ParameterPath::default(),
        gradients: GradientsParams::from_grads(loss.backward(), module),
        found: TensorMap::new(),
    };
    module.visit(&mut visitor);
    visitor.found
}

fn largest(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(0.0, |largest, value| value.abs().max(largest))
}

fn pointwise(weight: f32, bias: f32) -> Conv2d {
    let init = Initializer::zeros(&device());
    Conv2d {
        weight: init.constant([1, 1, 1, 1], weight),
        bias: Some(init.constant([1], bias)),
        convolution: Convolution::padded(0),
    }
}

/// With a bias that keeps its activation positive, two 1×1 convolutions a and c are D(x) = Σ c · (a · x + …), so the
/// penalty of n pixels is ½ · n · (a · c)².
#[test]
fn a_linear_discriminator_has_a_closed_form() {
    let network = Discriminator::Patch(PatchDiscriminator {
        convs: vec![pointwise(0.5, 9.0), pointwise(-3.0, 1.0)],
        norms: Vec::new(),
    });
    let real = pixels(4).slice([0..2, 0..3, 0..4, 0..1]);
    let penalty = r1_penalty(&network, real);
    assert!((penalty.value - 13.5).abs() < 1e-4, "{}", penalty.value);
    let gradients = gradients_of(&network, &penalty.surrogate);
    for (path, expected) in [
        ("convs.0.weight", 54.0),
        ("convs.0.bias", 0.0),
        ("convs.1.weight", -9.0),
        ("convs.1.bias", 0.0),
    ] {
        let gradient = gradients[path].as_f32().unwrap()[0];
        assert!((gradient - expected).abs() < 1e-3, "{path}: {gradient}");
    }
}

/// Leaky ReLUs and all: both are the squared length of the same gradient.
#[test]
fn the_surrogate_is_twice_the_penalty() {
    for config in configs() {
        let penalty = r1_penalty(&network(&config), pixels(config.size));
        let surrogate: f32 = penalty.surrogate.into_scalar();
        let ratio = surrogate / (2.0 * penalty.value);
        assert!((ratio - 1.0).abs() < 1e-3, "{config:?}: {ratio}");
    }
}

/// Parameters with which no activation comes near zero, so that quotients meet no corner of a leaky ReLU: what a
/// convolution reads, multiplies and adds is positive. Normalised values cannot be; so few of them lie within ±4.3.
fn smooth(config: &DiscriminatorConfig) -> Discriminator {
    let network = network(config);
    let mut tensors = parameters(&network, "", str::to_string);
    for (path, tensor) in &mut tensors {
        let Values::F32(values) = &mut tensor.values else {
            panic!("{path} is not f32");
        };
        for (index, value) in values.iter_mut().enumerate() {
            *value = if path.starts_with("norms") && path.ends_with("bias") {
                if index % 2 == 0 { 5.0 } else { -5.0 }
            } else if path.ends_with("bias") || path.ends_with("loc") {
                value.abs() + 0.5
            } else if path.starts_with("convs") {
                15.0 * value.abs()
            } else {
                value.abs()
            };
        }
    }
    load_parameters(network, &tensors, "", str::to_string).unwrap()
}

/// The penalty where one parameter is moved.
fn moved(network: &Discriminator, real: &Tensor<4>, (path, index): (&str, usize), by: f32) -> f32 {
    let mut tensors = parameters(network, "", str::to_string);
    let Values::F32(values) = &mut tensors.get_mut(path).unwrap().values else {
        panic!("{path} is not f32");
    };
    values[index] += by;
    let moved = load_parameters(network.clone(), &tensors, "", str::to_string).unwrap();
    r1_penalty(&moved, real.clone()).value
}

#[test]
fn the_gradient_is_the_penaltys_difference_quotient() {
    for config in configs() {
        let (network, real) = (smooth(&config), pixels(config.size).abs());
        let penalty = r1_penalty(&network, real.clone());
        let gradients = gradients_of(&network, &penalty.surrogate);
        let all: Vec<f32> = gradients
            .values()
            .flat_map(|tensor| tensor.as_f32().unwrap().to_vec())
            .collect();
        assert!(largest(&all) > 0.0);
        for (path, gradient) in &gradients {
            let gradient = gradient.as_f32().unwrap();
            // Quotients of small gradients are lost in the rounding of the penalty.
            let scale = largest(gradient).max(0.01 * largest(&all));
            for index in [0, gradient.len() / 2, gradient.len() - 1] {
                let at = |by: f32| moved(&network, &real, (path.as_str(), index), by);
                let quotient = (at(0.01) - at(-0.01)) / 0.02;
                let off = (gradient[index] - quotient).abs() / scale;
                assert!(
                    off < 0.02,
                    "{config:?}, {path}[{index}]: {} instead of {quotient}",
                    gradient[index]
                );
            }
        }
    }
}
