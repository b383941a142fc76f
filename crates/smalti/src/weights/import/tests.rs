//! Every form of weights that people have, made in full size, and what is said when one is not enough.

use super::*;

/// A whole network under our keys, every tensor filled with its own small number.
pub fn network_of(architecture: Architecture) -> TensorMap {
    architecture
        .tensors()
        .into_iter()
        .enumerate()
        .map(|(number, (key, shape))| {
            let values = vec![number as f32 / 16.0; shape.iter().product()];
            (key, HostTensor::f32(shape, values))
        })
        .collect()
}

fn gather(files: Vec<(&str, TensorMap)>) -> Result<(Architecture, TensorMap)> {
    let files = files.into_iter();
    super::lpips_of(
        files
            .map(|(origin, tensors)| (origin.to_owned(), tensors))
            .collect(),
    )
}

fn message(result: Result<(Architecture, TensorMap)>) -> String {
    match result {
        Ok((architecture, _)) => panic!("an error was expected, not {architecture:?}"),
        Err(error) => error.to_string(),
    }
}

fn split(network: TensorMap) -> (TensorMap, TensorMap) {
    network
        .into_iter()
        .partition(|(key, _)| key.starts_with("features."))
}

fn renamed(network: TensorMap, rename: impl Fn(&str) -> String) -> TensorMap {
    network
        .into_iter()
        .map(|(key, tensor)| (rename(&key), tensor))
        .collect()
}

/// The key an LPIPS module has for ours; which slice is of no importance, only its number's place is.
fn lpips_key(key: &str) -> String {
    match key.strip_prefix("features.") {
        Some(rest) => format!("net.slice2.{rest}"),
        None => key.to_owned(),
    }
}

/// A kernel as flax has it, made by walking the target, unlike the code under test.
fn flax_kernel(tensor: &HostTensor) -> HostTensor {
    let &[output, input, height, width] = tensor.shape.as_slice() else {
        panic!("not a kernel")
    };
    let values = tensor.as_f32().unwrap();
    let mut turned = Vec::with_capacity(values.len());
    for y in 0..height {
        for x in 0..width {
            for i in 0..input {
                for o in 0..output {
                    turned.push(values[((o * input + i) * height + y) * width + x]);
                }
            }
        }
    }
    HostTensor::f32([height, width, input, output], turned)
}

fn flax_network(architecture: Architecture, module: &str, network: &TensorMap) -> TensorMap {
    let mut flax = TensorMap::new();
    for (number, c) in architecture.convolutions().iter().enumerate() {
        let weight = &network[&format!("features.{}.weight", c.index)];
        let bias = &network[&format!("features.{}.bias", c.index)];
        flax.insert(
            format!("{module}.Conv_{number}.kernel"),
            flax_kernel(weight),
        );
        flax.insert(format!("{module}.Conv_{number}.bias"), bias.clone());
    }
    for head in 0..5 {
        let weight = &network[&format!("lin{head}.model.1.weight")];
        flax.insert(
            format!("NetLinLayer_{head}.Conv_0.kernel"),
            flax_kernel(weight),
        );
    }
    flax
}

#[test]
fn our_own_form_is_read_back() {
    let network = network_of(Architecture::Alex);
    let (architecture, tensors) = gather(vec![("own", network.clone())]).unwrap();
    assert_eq!(architecture, Architecture::Alex);
    assert!(tensors == network);
}

#[test]
fn a_classifier_and_its_heads_make_a_network() {
    let network = network_of(Architecture::Alex);
    let (mut features, heads) = split(network.clone());
    features.insert(
        "classifier.1.weight".into(),
        HostTensor::f32([1], vec![f32::NAN]),
    );
    let short = renamed(heads, |key| key.replace(".model.1", ""));
    let (architecture, tensors) =
        gather(vec![("alexnet.pth", features), ("alex.pth", short)]).unwrap();
    assert_eq!(architecture, Architecture::Alex);
    assert!(tensors == network);
}

#[test]
fn lpips_modules_are_read_with_whatever_stands_before_them() {
    let network = network_of(Architecture::Alex);
    for prefix in [
        "",
        "perceptual_loss.",
        "loss.perceptual_loss.",
        "state_dict.loss.perceptual_loss.",
    ] {
        let mut module = renamed(network.clone(), |key| format!("{prefix}{}", lpips_key(key)));
        let shift = HostTensor::f32([1, 3, 1, 1], vec![0.0; 3]);
        module.insert(format!("{prefix}scaling_layer.shift"), shift);
        module.insert(
            "loss.discriminator.main.0.weight".into(),
            HostTensor::f32([1], vec![1.0]),
        );
        let twin = network["lin0.model.1.weight"].clone();
        module.insert(format!("{prefix}lins.0.model.1.weight"), twin);
        let (architecture, tensors) = gather(vec![("module", module)]).unwrap();
        assert_eq!(architecture, Architecture::Alex);
        assert!(tensors == network, "with `{prefix}`");
    }
}

#[test]
fn flax_networks_are_turned_into_our_layout() {
    let mut network = network_of(Architecture::Alex);
    // Distinct values everywhere: a wrong permutation must show.
    for tensor in network.values_mut() {
        let count: usize = tensor.shape.iter().product();
        let values = (0..count).map(|n| n as f32).collect();
        *tensor = HostTensor::f32(tensor.shape.clone(), values);
    }
    let flax = flax_network(Architecture::Alex, "AlexNet_0", &network);
    let (architecture, tensors) = gather(vec![("alexnet.ckpt", flax)]).unwrap();
    assert_eq!(architecture, Architecture::Alex);
    assert!(tensors == network);
}

#[test]
fn flax_counts_convolutions_where_torchvision_counts_layers() {
    let key = |name: &str| our_key(name).map(|(key, _)| key);
    assert_eq!(key("VGG16_0.Conv_12.kernel").unwrap(), "features.28.weight");
    assert_eq!(
        key("params.AlexNet_0.Conv_4.bias").unwrap(),
        "features.10.bias"
    );
    assert_eq!(key("VGG16_0.Conv_13.kernel"), None);
    assert_eq!(key("NetLinLayer_0.Conv_1.kernel"), None);
    assert_eq!(key("linear.weight"), None);
    assert_eq!(key("encoder.conv_in.weight"), None);
}

#[test]
fn a_part_that_is_missing_is_asked_for_by_its_file() {
    let (features, heads) = split(network_of(Architecture::Alex));
    let text = message(gather(vec![("a.pth", features.clone())]));
    assert!(
        text.contains("a.pth: has the AlexNet features but not the LPIPS heads"),
        "{text}"
    );
    assert!(text.contains("`lin0.model.1.weight`"), "{text}");
    assert!(text.contains("give alex.pth from https://"), "{text}");

    let text = message(gather(vec![("h.pth", heads.clone())]));
    assert!(
        text.contains("has the LPIPS heads but not the AlexNet features"),
        "{text}"
    );
    assert!(
        text.contains("give alexnet-owt-7be5be79.pth from https://"),
        "{text}"
    );

    let mut partial = features;
    partial.remove("features.6.bias");
    let text = message(gather(vec![("a.pth", partial), ("h.pth", heads)]));
    assert!(
        text.contains("a.pth, h.pth: tensor `features.6.bias` is missing"),
        "{text}"
    );
}

#[test]
fn the_heads_of_another_network_are_refused() {
    let (features, _) = split(network_of(Architecture::Alex));
    let heads = Architecture::Vgg
        .heads()
        .into_iter()
        .enumerate()
        .map(|(k, c)| {
            (
                format!("lin{k}.model.1.weight"),
                HostTensor::f32([1, c, 1, 1], vec![0.0; c]),
            )
        })
        .collect();
    let text = message(gather(vec![("a.pth", features), ("vgg.pth", heads)]));
    assert!(
        text.contains("vgg.pth: tensor `lin1.model.1.weight` has shape [1, 128, 1, 1], but LPIPS on AlexNet needs [1, 192, 1, 1]"),
        "{text}"
    );
}

#[test]
fn contradicting_and_broken_files_are_refused() {
    let network = network_of(Architecture::Alex);
    let other = HostTensor::f32([64], vec![9.0; 64]);

    let twice = TensorMap::from([("features.0.bias".to_owned(), other)]);
    let text = message(gather(vec![("a", network.clone()), ("b", twice)]));
    assert!(
        text.contains("a and b hold different values of `features.0.bias`"),
        "{text}"
    );

    let mut broken = network.clone();
    broken.insert(
        "features.0.bias".into(),
        HostTensor::f32([64], vec![f32::INFINITY; 64]),
    );
    let text = message(gather(vec![("a", broken)]));
    assert!(
        text.contains("a: tensor `features.0.bias` holds values that are not finite"),
        "{text}"
    );

    let mut whole = network;
    whole.insert("features.0.bias".into(), HostTensor::i64([64], vec![1; 64]));
    let text = message(gather(vec![("a", whole)]));
    assert!(text.contains("holds integers"), "{text}");
}

#[test]
fn files_of_something_else_are_named() {
    let text = message(gather(vec![(
        "gpt.ckpt",
        TensorMap::from([("tok_emb.pos.x".to_owned(), HostTensor::f32([1], vec![0.0]))]),
    )]));
    assert!(
        text.contains("gpt.ckpt: nothing of an LPIPS network"),
        "{text}"
    );
    assert!(text.contains("`tok_emb.pos.x`"), "{text}");

    let odd = TensorMap::from([(
        "features.0.weight".to_owned(),
        HostTensor::f32([1], vec![0.0]),
    )]);
    let text = message(gather(vec![("odd", odd)]));
    assert!(
        text.contains(
            "has shape [1], but is [64, 3, 3, 3] in VGG16 and [64, 3, 11, 11] in AlexNet"
        ),
        "{text}"
    );

    let piece = TensorMap::from([(
        "features.0.bias".to_owned(),
        HostTensor::f32([1], vec![0.0]),
    )]);
    let text = message(gather(vec![("piece", piece)]));
    assert!(
        text.contains("piece: `features.0.bias` is there, but neither"),
        "{text}"
    );

    let empty = TensorMap::from([(
        "VGG16_0.Conv_0.kernel".to_owned(),
        HostTensor::f32([3, 3, 0, 0], Vec::new()),
    )]);
    let text = message(gather(vec![("empty", empty)]));
    assert!(text.contains("a float kernel of four axes"), "{text}");
}
