//! Helpers of the tests of networks: small inputs, parameters that do not learn, and the keys of published files.

use crate::checkpoint::{ParameterPath, host_values, parameters};
use crate::initializer::Initializer;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

pub fn init() -> Initializer {
    Initializer::seeded(&Device::flex().autodiff(), 3)
}

/// Normal values; each seed has its own.
pub fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    // Not from the device's own generator, which tests that run at the same time share.
    let values = Initializer::seeded(&Device::flex().autodiff(), seed).normal(shape, 1.0);
    values.val().detach()
}

#[track_caller]
pub fn assert_near<const D: usize>(ours: Tensor<D>, truth: Tensor<D>) {
    assert_eq!(ours.dims(), truth.dims());
    let (ours, truth) = (host_values(ours), host_values(truth));
    let largest = truth.iter().fold(1.0f32, |all, value| all.max(value.abs()));
    for (index, (ours, truth)) in ours.iter().zip(&truth).enumerate() {
        let near = (ours - truth).abs() <= 2e-5 * largest;
        assert!(near, "[{index}]: {ours} instead of {truth}");
    }
}

/// The parameters whose gradient of a random weighing of `output` is missing, zero or not finite, by path.
pub fn unmoved<M: Module>(network: &M, output: Tensor<4>) -> Vec<String> {
    let weights = random(output.dims(), 99);
    let gradients = (output * weights).sum().backward();
    let mut visitor = Unmoved {
        path: ParameterPath::default(),
        gradients: GradientsParams::from_grads(gradients, network),
        found: Vec::new(),
    };
    network.visit(&mut visitor);
    visitor.found
}

struct Unmoved {
    path: ParameterPath,
    gradients: GradientsParams,
    found: Vec<String>,
}

impl ModuleVisitor for Unmoved {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.gradients.remove::<D>(param.id).map(host_values);
        let moves = gradient.is_some_and(|values| {
            values.iter().all(|value| value.is_finite()) && values.iter().any(|&value| value != 0.0)
        });
        if !moves {
            self.found.push(self.path.dotted());
        }
    }
}

/// The paths of a network's parameters, sorted.
pub fn keys<M: Module>(network: &M) -> Vec<String> {
    parameters(network, "", str::to_string)
        .into_keys()
        .collect()
}

/// The keys of a published file that begin with `prefix`, without it, sorted.
pub fn published_keys(name: &str, prefix: &str) -> Vec<String> {
    let path = format!("{}/tests/foreign/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let description: serde_json::Value = serde_json::from_str(&text).unwrap();
    let tensors = description["tensors"].as_array().unwrap();
    let mut keys: Vec<String> = tensors
        .iter()
        .filter_map(|tensor| tensor[0].as_str()?.strip_prefix(prefix))
        .map(str::to_string)
        .collect();
    keys.sort();
    keys
}
