//! Every discriminator: shapes, gradients, derivatives along a direction, precision, keys and files.

use super::*;
use crate::checkpoint::{host_values, load_parameters, parameters, read_tensors, write_tensors};
use crate::ops::{self, Activation};
use burn::module::{ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device};

fn device() -> Device {
    Device::flex().autodiff()
}

fn patch(norm: DiscriminatorNorm) -> DiscriminatorConfig {
    DiscriminatorConfig {
        norm,
        channels: 4,
        layers: 2,
        size: 32,
        ..DiscriminatorConfig::default()
    }
}

fn stylegan(size: usize) -> DiscriminatorConfig {
    DiscriminatorConfig {
        kind: DiscriminatorKind::StyleGan,
        channels: 2,
        size,
        ..DiscriminatorConfig::default()
    }
}

fn configs() -> [DiscriminatorConfig; 4] {
    [
        patch(DiscriminatorNorm::Batch),
        patch(DiscriminatorNorm::Act),
        patch(DiscriminatorNorm::None),
        stylegan(32),
    ]
}

fn network(config: &DiscriminatorConfig) -> Discriminator {
    Discriminator::new(&mut Initializer::seeded(&device(), 7), 3, config)
}

fn pixels(batch: usize, size: usize, seed: u64) -> Tensor<4> {
    let mut init = Initializer::seeded(&device(), seed);
    init.uniform([batch, size, size, 3], 1.0).val().detach()
}

fn layers(network: &Discriminator) -> &PatchDiscriminator {
    match network {
        Discriminator::Patch(patch) => patch,
        Discriminator::StyleGan(_) => panic!("this is no patch discriminator"),
    }
}

#[test]
fn logits_have_their_shapes() {
    let config = DiscriminatorConfig {
        channels: 4,
        ..DiscriminatorConfig::default()
    };
    let logits = network(&config).forward(pixels(2, 64, 1));
    assert_eq!(logits.dims(), [2, 6, 6, 1]);
    let smallest = Discriminator::smallest_side(&config);
    let logits = network(&config).forward(pixels(1, smallest, 1));
    assert_eq!(logits.dims(), [1, 1, 1, 1]);
    for size in [32, 64, 128] {
        for batch in [1, 3] {
            let config = stylegan(size);
            let logits = network(&config).forward(pixels(batch, size, 1));
            assert_eq!(logits.dims(), [batch, 1, 1, 1]);
            assert!(host_values(logits).iter().all(|logit| logit.is_finite()));
            assert_eq!(Discriminator::smallest_side(&config), size);
        }
    }
}

/// Asserts that a gradient has reached every parameter.
struct Reached {
    gradients: GradientsParams,
    parameters: usize,
}

impl ModuleVisitor for Reached {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.gradients.remove::<D>(param.id);
        let values = host_values(gradient.expect("every parameter has a gradient"));
        assert!(values.iter().all(|slope| slope.is_finite()));
        assert!(values.iter().any(|&slope| slope != 0.0));
        self.parameters += 1;
    }
}

#[test]
fn gradients_reach_every_parameter() {
    for config in configs() {
        for batch in [1, 2] {
            let network = network(&config);
            let logits = network.forward(pixels(batch, 32, 2));
            let mut visitor = Reached {
                gradients: GradientsParams::from_grads(logits.square().sum().backward(), &network),
                parameters: 0,
            };
            network.visit(&mut visitor);
            assert_eq!(
                visitor.parameters,
                parameters(&network, "", str::to_string).len()
            );
        }
    }
}

/// The rate of change along a direction is its product with the gradient at the pixels.
#[test]
fn derivatives_along_a_direction_are_those_of_the_backward_pass() {
    for config in configs() {
        for batch in [1, 2, 5] {
            let network = network(&config);
            let (leaf, direction) = (pixels(batch, 32, 3).require_grad(), pixels(batch, 32, 4));
            let gradients = network.forward(leaf.clone()).sum().backward();
            let products = leaf.grad(&gradients).unwrap() * direction.clone().without_autodiff();
            let products: Vec<f64> = host_values(products).into_iter().map(f64::from).collect();
            let size: f64 = products.iter().map(|product| product.abs()).sum();
            let expected: f64 = products.iter().sum();
            let rates = network.directional_derivative(leaf, direction);
            assert_eq!(rates.dims()[0], batch);
            let rate: f64 = host_values(rates).into_iter().map(f64::from).sum();
            let off = (rate - expected).abs();
            assert!(off <= 1e-4 * size, "{config:?}: {rate} for {expected}");
        }
    }
}

#[test]
fn pictures_in_bf16_get_nearly_the_same_logits() {
    for config in configs() {
        let network = network(&config);
        let exact = network.forward(pixels(2, 32, 5));
        let rounded = network.forward(Precision::Bf16.of(pixels(2, 32, 5)));
        assert_eq!(rounded.dtype(), DType::F32);
        let difference: f32 = (exact - rounded).abs().max().into_scalar();
        assert!(
            (1e-7..0.1).contains(&difference),
            "{config:?}: {difference}"
        );
    }
}

#[test]
fn batch_normalised_patches_are_the_layers_one_by_one() {
    let network = network(&patch(DiscriminatorNorm::Batch));
    let patch = layers(&network);
    let mut hidden = patch.convs[0].forward_activated(pixels(2, 32, 6), Activation::LeakyRelu);
    for (conv, norm) in patch.convs[1..3].iter().zip(&patch.norms) {
        let Norm::Batch(norm) = norm else {
            panic!("batch normalisation was asked for");
        };
        hidden = norm.forward(conv.forward(hidden), Activation::LeakyRelu);
    }
    let logits = patch.convs[3].forward(hidden);
    assert_eq!(
        host_values(network.forward(pixels(2, 32, 6))),
        host_values(logits)
    );
}

fn keys(config: &DiscriminatorConfig, key: fn(&str) -> String) -> Vec<String> {
    let network = network(config);
    parameters(&network, "", key).into_keys().collect()
}

#[test]
fn patches_have_the_authors_keys() {
    let config = DiscriminatorConfig {
        channels: 2,
        ..DiscriminatorConfig::default()
    };
    let authors = [
        "main.0.bias",
        "main.0.weight",
        "main.11.bias",
        "main.11.weight",
        "main.2.weight",
        "main.3.bias",
        "main.3.weight",
        "main.5.weight",
        "main.6.bias",
        "main.6.weight",
        "main.8.weight",
        "main.9.bias",
        "main.9.weight",
    ];
    assert_eq!(keys(&config, Discriminator::key), authors);
    let paths = keys(&config, str::to_string);
    assert_eq!(
        paths[..3],
        ["convs.0.bias", "convs.0.weight", "convs.1.weight"]
    );
    assert_eq!(paths[11..], ["norms.2.bias", "norms.2.weight"]);
    let act = DiscriminatorConfig {
        norm: DiscriminatorNorm::Act,
        ..config
    };
    let act = network(&act);
    let act = parameters(&act, "", Discriminator::key);
    assert_eq!(act["main.3.loc"].shape, [1, 4, 1, 1]);
    assert_eq!(act["main.3.scale"].shape, [1, 4, 1, 1]);
    assert!(act.contains_key("main.2.bias") && !act.contains_key("main.3.weight"));
    let stylegan = keys(&stylegan(32), Discriminator::key);
    assert!(stylegan.contains(&"blocks.0.conv1.weight".to_string()));
}

/// Mean and unbiased variance of every channel after every ActNorm.
fn statistics(network: &Discriminator, pixels: Tensor<4>) -> Vec<(Vec<f32>, Vec<f32>)> {
    let patch = layers(network);
    let mut hidden = patch.convs[0].forward_activated(pixels, Activation::LeakyRelu);
    let mut found = Vec::new();
    for (conv, norm) in patch.convs[1..].iter().zip(&patch.norms) {
        let Norm::Act(norm) = norm else {
            panic!("ActNorm was asked for");
        };
        let filter = norm.fold(conv.filter());
        let normalised = ops::conv2d(hidden, filter, None, conv.convolution, Activation::None);
        let [batch, height, width, channels] = normalised.dims();
        let rows: Tensor<2> = normalised
            .clone()
            .reshape([batch * height * width, channels]);
        let (variance, mean) = rows.var_mean(0);
        found.push((host_values(mean), host_values(variance)));
        hidden = burn::tensor::activation::leaky_relu(normalised, 0.2);
    }
    found
}

#[test]
fn act_norm_starts_with_the_statistics_of_its_first_batch() {
    let fresh = network(&patch(DiscriminatorNorm::Act));
    assert!(!fresh.is_initialized());
    let network = fresh.initialize(pixels(4, 32, 8));
    assert!(network.is_initialized());
    let statistics = statistics(&network, pixels(4, 32, 8));
    assert_eq!(statistics.len(), 2);
    for (means, variances) in statistics {
        assert!(means.iter().all(|mean| mean.abs() < 1e-3), "{means:?}");
        let unit = |variance: &f32| (variance - 1.0).abs() < 1e-2;
        assert!(variances.iter().all(unit), "{variances:?}");
    }
}

#[test]
fn act_norm_starts_only_once_and_remembers_in_a_file() {
    let config = patch(DiscriminatorNorm::Act);
    let started = network(&config).initialize(pixels(4, 32, 8));
    let saved = parameters(&started, "discriminator.", str::to_string);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    write_tensors(&path, &saved, &Default::default()).unwrap();
    let (read, _) = read_tensors(&path).unwrap();
    let loaded = load_parameters(network(&config), &read, "discriminator.", str::to_string);
    let loaded = loaded.unwrap();
    assert!(loaded.is_initialized());
    let logits = |network: &Discriminator| host_values(network.forward(pixels(2, 32, 9)));
    assert_eq!(logits(&loaded), logits(&started));
    let again = loaded.initialize(pixels(4, 32, 10));
    assert_eq!(logits(&again), logits(&started));
}

#[test]
fn networks_without_act_norm_need_no_start() {
    for config in [patch(DiscriminatorNorm::Batch), stylegan(32)] {
        let network = network(&config);
        assert!(network.is_initialized());
        let before = host_values(network.forward(pixels(2, 32, 11)));
        let network = network.initialize(pixels(2, 32, 12));
        assert_eq!(host_values(network.forward(pixels(2, 32, 11))), before);
    }
}

#[test]
fn a_folded_act_norm_is_the_authors_formula() {
    let mut init = Initializer::seeded(&device(), 13);
    let norm = ActNorm {
        loc: init.normal([1, 5, 1, 1], 1.0),
        scale: init.normal([1, 5, 1, 1], 1.0),
    };
    let conv = crate::layers::Conv2d::same(&mut init, [3, 5]);
    let filter = norm.fold(conv.filter());
    let folded = ops::conv2d(
        pixels(2, 6, 14),
        filter,
        None,
        conv.convolution,
        Activation::None,
    );
    let channels_last = |param: &Param<Tensor<4>>| param.val().permute([0, 2, 3, 1]);
    let plain = conv.forward(pixels(2, 6, 14));
    let authors = (plain + channels_last(&norm.loc)) * channels_last(&norm.scale);
    for (ours, theirs) in host_values(folded).iter().zip(host_values(authors)) {
        assert!((ours - theirs).abs() < 1e-4, "{ours} instead of {theirs}");
    }
}

#[test]
fn settings_have_their_names_and_limits() {
    let name = |kind| serde_json::to_value::<DiscriminatorKind>(kind).unwrap();
    assert_eq!(name(DiscriminatorKind::Patch), "patch");
    assert_eq!(name(DiscriminatorKind::StyleGan), "stylegan");
    let norm = |norm| serde_json::to_value::<DiscriminatorNorm>(norm).unwrap();
    assert_eq!(norm(DiscriminatorNorm::None), "none");
    let says = |config: DiscriminatorConfig, what: &str| {
        let checked = config.check().and_then(|()| config.check_size());
        let error = checked.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    assert!(DiscriminatorConfig::default().check_size().is_ok());
    says(stylegan(96), "size is 96");
    says(stylegan(16), "32, 64, 128");
    let config = patch(DiscriminatorNorm::Batch);
    says(DiscriminatorConfig { size: 8, ..config }, "needs 12 pixels");
    says(
        DiscriminatorConfig {
            layers: 0,
            ..config
        },
        "discriminator_layers",
    );
    says(
        DiscriminatorConfig {
            channels: 0,
            ..config
        },
        "discriminator_channels",
    );
}
