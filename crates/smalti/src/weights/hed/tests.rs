//! Every form that edge detectors come in, made in full size, and what is said of files that are none.

use super::*;

/// A whole network under our keys; neighbouring values differ, so that a wrong permutation shows.
fn network() -> TensorMap {
    let value = |place: usize| (place % 1021) as f32 / 64.0;
    let tensor = |(key, shape): (String, Vec<usize>)| {
        let values = match key.as_str() {
            "norm" => MEAN.to_vec(),
            _ => (0..shape.iter().product()).map(value).collect(),
        };
        (key, HostTensor::f32(shape, values))
    };
    tensors().into_iter().map(tensor).collect()
}

fn gathered(network: TensorMap) -> Result<TensorMap> {
    gather(vec![("edges.pth".to_owned(), network)])
}

fn message(network: TensorMap) -> String {
    gathered(network).unwrap_err().to_string()
}

/// The network under other names, for blue, green and red.
fn reversed(network: &TensorMap, name: impl Fn(&[&str]) -> String) -> TensorMap {
    let named = |(key, tensor): (&String, &HostTensor)| {
        let parts: Vec<&str> = key.split('.').collect();
        let mut tensor = tensor.clone();
        if key == "block1.convs.0.weight" {
            reverse_colors(&mut tensor);
        }
        (name(&parts), tensor)
    };
    let all = network.iter().filter(|(key, _)| *key != "norm");
    all.map(named).collect()
}

fn number(block: &str) -> usize {
    block.strip_prefix("block").unwrap().parse().unwrap()
}

#[test]
fn our_own_form_is_read_back() {
    let network = network();
    assert!(gathered(network.clone()).unwrap() == network);
    let wrapped = network
        .iter()
        .map(|(key, tensor)| (format!("state_dict.{key}"), tensor.clone()));
    assert!(gathered(wrapped.collect()).unwrap() == network);
}

#[test]
fn the_sides_of_control_nets_file_weigh_the_same() {
    let mut file = network();
    file.remove("fuse.weight");
    file.remove("fuse.bias");
    let network = gathered(file).unwrap();
    assert_eq!(network["fuse.weight"].as_f32().unwrap(), [0.2; 5]);
    assert_eq!(network["fuse.bias"].as_f32().unwrap(), [0.0]);
    assert_eq!(network.len(), tensors().len());
}

#[test]
fn pytorch_hed_names_blocks_by_word_and_reads_blue_first() {
    let spelt = ["One", "Two", "Thr", "Fou", "Fiv"];
    let network = network();
    for prefix in ["module", "net"] {
        let name = |parts: &[&str]| match *parts {
            [block, "convs", place, leaf] => {
                let block = number(block);
                let index = 2 * place.parse::<usize>().unwrap() + usize::from(block > 1);
                format!("{prefix}Vgg{}.{index}.{leaf}", spelt[block - 1])
            }
            [block, "projection", leaf] => {
                format!("{prefix}Score{}.{leaf}", spelt[number(block) - 1])
            }
            ["fuse", leaf] => format!("{prefix}Combine.0.{leaf}"),
            _ => panic!("{parts:?}"),
        };
        let file = reversed(&network, name);
        assert!(file.keys().any(|key| is_typical(key)));
        assert!(gathered(file).unwrap() == network);
    }
}

#[test]
fn keras_keeps_kernels_with_their_channels_last() {
    let variable = |leaf: &str| usize::from(leaf == "bias");
    let name = |parts: &[&str]| match *parts {
        [block, "convs", "0", leaf] => format!("{block}.layers.conv2d.vars.{}", variable(leaf)),
        [block, "convs", place, leaf] => {
            format!("{block}.layers.conv2d_{place}.vars.{}", variable(leaf))
        }
        [block, "projection", leaf] => format!("dsn{}.vars.{}", number(block), variable(leaf)),
        ["fuse", leaf] => format!("fuse.vars.{}", variable(leaf)),
        _ => panic!("{parts:?}"),
    };
    let network = network();
    let mut file = reversed(&network, name);
    for tensor in file.values_mut() {
        if let &[output, input, height, width] = tensor.shape.as_slice() {
            let values = tensor.as_f32().unwrap();
            let mut turned = Vec::with_capacity(values.len());
            for place in 0..height * width {
                for i in 0..input {
                    let of = |o: usize| values[(o * input + i) * height * width + place];
                    turned.extend((0..output).map(of));
                }
            }
            *tensor = HostTensor::f32([height, width, input, output], turned);
        }
    }
    assert!(file.keys().any(|key| is_typical(key)));
    assert!(gathered(file).unwrap() == network);
}

#[test]
fn what_is_wrong_is_named() {
    let network = network();
    let mut short = network.clone();
    short.remove("block3.convs.2.bias");
    assert!(message(short).contains(
        "edges.pth: the edge detector is incomplete: there is nothing for `block3.convs.2.bias`"
    ));

    let mut other = network.clone();
    let odd = HostTensor::f32([64, 1, 3, 3], vec![0.0; 576]);
    other.insert("block1.convs.0.weight".to_owned(), odd);
    let text = message(other);
    assert!(
        text.contains("has shape [64, 1, 3, 3], but HED needs [64, 3, 3, 3]"),
        "{text}"
    );

    let mut broken = network.clone();
    let infinite = HostTensor::f32([1], vec![f32::INFINITY]);
    broken.insert("fuse.bias".to_owned(), infinite);
    assert!(message(broken).contains("`fuse.bias` holds values that are no finite floats"));

    let mut mixed = network;
    mixed.insert("dsn1.vars.1".to_owned(), HostTensor::f32([1], vec![0.0]));
    assert!(message(mixed).contains("`dsn1.vars.1` is of another network"));

    let other = HostTensor::f32([1], vec![0.0]);
    let text = message(TensorMap::from([("features.0.bias".to_owned(), other)]));
    assert!(
        text.contains("edges.pth: nothing of an edge detector"),
        "{text}"
    );
}

#[test]
fn other_networks_have_no_typical_names() {
    for name in [
        "features.0.weight",
        "norm",
        "block5.convs.0.weight",
        "block6.projection.weight",
        "encoder.norm.weight",
        "netScoreSix.weight",
        "dsn5.vars.1",
    ] {
        assert!(!is_typical(name), "{name}");
    }
}
