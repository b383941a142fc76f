//! The discrete variational autoencoder of DALL-E (openai/DALL-E): `encoder.pkl` and `decoder.pkl`, each a whole
//! module that `torch.save` has pickled. The tensors of both come here together, under `encoder.` and `decoder.`.
//!
//! Of a pickled module the reader keeps the attributes and makes nothing: its parameters are found by their paths
//! through the dicts `_modules` and `_parameters`, which are left out of the names here.
//!
//! The convolution that makes the logits and the one that reads a one-hot code become the Gumbel quantiser's `proj` and
//! `embed`; a row of `embed` is what the latter makes of one code, bias included.

use super::levels::{count, dims, multipliers, weights};
use crate::checkpoint::{HostTensor, TensorMap};
use crate::error::{Error, Result};
use crate::tokenizer::config::{Family, QuantizerKind, TokenizerConfig};

/// The picture side the published model was trained with; it does not show in the weights.
const RESOLUTION: usize = 256;

/// What the names of the two files' tensors begin with.
const SIDES: [&str; 2] = ["encoder.", "decoder."];

/// A parameter that both files have.
const TELLING: &str = "blocks.group_1.block_1.res_path.conv_1.w";

/// Whether these are tensors of this family, of both files or of one alone.
pub fn detect(tensors: &TensorMap) -> bool {
    tensors.keys().any(|key| {
        let name = name(key);
        let rest = SIDES.iter().find_map(|side| name.strip_prefix(side));
        rest.unwrap_or(&name) == TELLING
    })
}

/// The configuration, and the tensors by the paths of our fields.
///
/// # Errors
/// One file without the other, and a tensor that is missing, has no place or does not fit the others.
pub fn plan(tensors: TensorMap) -> Result<(TokenizerConfig, TensorMap)> {
    let named = tensors
        .into_iter()
        .map(|(key, tensor)| (name(&key), tensor));
    let tensors: TensorMap = named.collect();
    if SIDES
        .iter()
        .any(|side| !tensors.contains_key(&format!("{side}{TELLING}")))
    {
        return Err(Error::input(
            "this is one half of DALL-E's tokenizer: put encoder.pkl and decoder.pkl into one folder and give that",
        ));
    }
    let config = configuration(&tensors)?;
    let mut ours = TensorMap::from([("quantize.embed.weight".to_string(), embed(&tensors)?)]);
    for (key, tensor) in tensors {
        if key.starts_with("decoder.blocks.input.") {
            continue;
        }
        let Some(field) = field(&key) else {
            return Err(Error::input(format!(
                "there is no place for `{key}`: this variant of the network cannot be imported"
            )));
        };
        ours.insert(field, tensor);
    }
    Ok((config, ours))
}

/// A tensor's path in terms of the module's code.
fn name(key: &str) -> String {
    let steps = key.split('.');
    let steps: Vec<&str> = steps
        .filter(|step| !["_modules", "_parameters"].contains(step))
        .collect();
    steps.join(".")
}

fn configuration(tensors: &TensorMap) -> Result<TokenizerConfig> {
    let [channels, in_channels, ..] = dims::<4>(tensors, "encoder.blocks.input.w")?;
    let [codebook_size, z_channels, ..] = dims::<4>(tensors, "encoder.blocks.output.conv.w")?;
    let [embed_dim, ..] = dims::<4>(tensors, "decoder.blocks.input.w")?;
    let [statistics, ..] = dims::<4>(tensors, "decoder.blocks.output.conv.w")?;
    let conv = |group: usize, block: usize| {
        let (group, block) = (group + 1, block + 1);
        format!("encoder.blocks.group_{group}.block_{block}.res_path.conv_4.w")
    };
    Ok(TokenizerConfig {
        family: Family::Dalle,
        resolution: RESOLUTION,
        in_channels,
        // A mean and a scale for every channel.
        out_channels: statistics / 2,
        channels,
        channel_multipliers: multipliers(tensors, channels, |level| conv(level, 0))?,
        residual_blocks: count(tensors, |block| conv(0, block)),
        attention_resolutions: Vec::new(),
        z_channels,
        embed_dim,
        codebook_size,
        quantizer: QuantizerKind::Gumbel,
        ..TokenizerConfig::default()
    })
}

/// What the decoder's first convolution makes of every code, `[codes, embed_dim]`.
fn embed(tensors: &TensorMap) -> Result<HostTensor> {
    let (weight, bias) = ("decoder.blocks.input.w", "decoder.blocks.input.b");
    let [outputs, codes, height, width] = dims::<4>(tensors, weight)?;
    let [biases] = dims::<1>(tensors, bias)?;
    if (height, width) != (1, 1) || outputs != biases {
        return Err(Error::input(format!(
            "`{weight}` and `{bias}` are not those of a 1×1 convolution"
        )));
    }
    let (weights, bias) = (weights(tensors, weight)?, weights(tensors, bias)?);
    let mut table = Vec::with_capacity(weights.len());
    for code in 0..codes {
        let column = weights.iter().skip(code).step_by(codes);
        table.extend(column.zip(bias).map(|(weight, bias)| weight + bias));
    }
    Ok(HostTensor::f32([codes, outputs], table))
}

/// The path of our field for a parameter; groups and blocks are counted from 1 in the published names.
fn field(name: &str) -> Option<String> {
    let steps: Vec<&str> = name.split('.').collect();
    let (last, steps) = steps.split_last()?;
    let parameter = match *last {
        "w" => "weight",
        "b" => "bias",
        _ => return None,
    };
    let module = match steps {
        ["encoder", "blocks", "input"] => "encoder.input".to_string(),
        ["encoder", "blocks", "output", "conv"] => "quantize.proj".to_string(),
        ["decoder", "blocks", "output", "conv"] => "decoder.output".to_string(),
        [side, "blocks", group, block, path @ ..] => {
            let (group, block) = (index(group, "group_")?, index(block, "block_")?);
            let conv = match path {
                ["id_path"] => "id_path",
                ["res_path", conv] => *conv,
                _ => return None,
            };
            format!("{side}.group.{group}.block.{block}.{conv}")
        }
        _ => return None,
    };
    Some(format!("{module}.{parameter}"))
}

fn index(step: &str, list: &str) -> Option<usize> {
    let number: usize = step.strip_prefix(list)?.parse().ok()?;
    number.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{foreign, host_values, load_parameters};
    use crate::initializer::Initializer;
    use crate::layers::{Conv2d, Embedding};
    use crate::tokenizer::dalle::{Decoder, Encoder};
    use burn::module::Module;
    use burn::tensor::{Device, Int, Shape, Tensor, TensorData};
    use std::path::Path;

    /// A file of tests/foreign/dalle-tiny: whole modules as PyTorch pickles them, `encoder.pkl` in its present form and
    /// `decoder.pkl` in that before 1.6, and what PyTorch made of a picture (tests/foreign/dalle.py).
    fn file(name: &str) -> TensorMap {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/dalle-tiny");
        foreign::read(&folder.join(name)).unwrap().tensors
    }

    fn both() -> TensorMap {
        let mut tensors = TensorMap::new();
        for side in SIDES {
            let half = file(&format!("{side}pkl")).into_iter();
            tensors.extend(half.map(|(key, tensor)| (format!("{side}{key}"), tensor)));
        }
        tensors
    }

    fn tensor_of<const D: usize>(tensor: &HostTensor) -> Tensor<D> {
        let shape: [usize; D] = tensor.shape.clone().try_into().unwrap();
        let data = TensorData::new(tensor.as_f32().unwrap().to_vec(), Shape::from(shape));
        Tensor::from_data(data, &Device::flex())
    }

    fn loaded<M: Module>(network: M, tensors: &TensorMap, prefix: &str) -> M {
        load_parameters(network, tensors, prefix, str::to_string).unwrap()
    }

    #[test]
    fn pickled_modules_make_the_published_pictures() {
        let source = both();
        assert!(detect(&source));
        let (config, tensors) = plan(source).unwrap();
        assert_eq!((config.codebook_size, config.embed_dim), (48, 6));
        assert_eq!((config.channels, config.z_channels), (4, 32));
        assert_eq!(config.channel_multipliers, [1, 2, 4, 8]);
        assert_eq!((config.residual_blocks, config.out_channels), (1, 3));
        let mut init = Initializer::zeros(&Device::flex());
        let encoder = loaded(Encoder::new(&mut init, &config), &tensors, "encoder.");
        let decoder = loaded(Decoder::new(&mut init, &config), &tensors, "decoder.");
        let proj = Conv2d::pointwise(&mut init, [config.z_channels, config.codebook_size]);
        let proj = loaded(proj, &tensors, "quantize.proj.");
        let embed = Embedding::new(&mut init, [config.codebook_size, config.embed_dim]);
        let embed = loaded(embed, &tensors, "quantize.embed.");

        let theirs = file("io.safetensors");
        let pixels = tensor_of::<4>(&theirs["input"]).permute([0, 2, 3, 1]);
        let codes: Tensor<4, Int> = proj.forward(encoder.forward(pixels)).argmax(3);
        let ours = codes.clone().into_data_as::<i64>();
        assert_eq!(
            ours.try_into_vec::<i64>().unwrap(),
            theirs["indices"].as_i64().unwrap()
        );
        let [batch, rows, columns, _] = codes.dims();
        let latent = embed
            .forward(codes.reshape([batch, rows * columns]))
            .reshape([batch, rows, columns, config.embed_dim]);
        let pictures = host_values(decoder.forward(latent).permute([0, 3, 1, 2]));
        let reconstruction = theirs["reconstruction"].as_f32().unwrap();
        assert_eq!(pictures.len(), reconstruction.len());
        for (ours, theirs) in pictures.iter().zip(reconstruction) {
            assert!((ours - theirs).abs() < 1e-5, "{ours} instead of {theirs}");
        }
    }

    #[test]
    fn one_file_asks_for_the_other() {
        for name in ["encoder.pkl", "decoder.pkl"] {
            let half = file(name);
            assert!(detect(&half));
            let error = plan(half).unwrap_err().to_string();
            assert!(error.contains("encoder.pkl and decoder.pkl"), "{error}");
        }
        assert!(!detect(&file("io.safetensors")));
    }

    #[test]
    fn parameters_have_fields() {
        let cases = [
            ("encoder.blocks.input.w", "encoder.input.weight"),
            ("encoder.blocks.output.conv.b", "quantize.proj.bias"),
            ("decoder.blocks.output.conv.w", "decoder.output.weight"),
            (
                "encoder.blocks.group_1.block_2.res_path.conv_3.b",
                "encoder.group.0.block.1.conv_3.bias",
            ),
            (
                "decoder.blocks.group_4.block_1.id_path.w",
                "decoder.group.3.block.0.id_path.weight",
            ),
        ];
        for (published, ours) in cases {
            assert_eq!(field(published).as_deref(), Some(ours));
        }
        for unknown in [
            "",
            "w",
            "encoder.blocks.input",
            "encoder.blocks.group_0.block_1.id_path.w",
            "encoder.blocks.group_1.block_1.norm.w",
        ] {
            assert_eq!(field(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refuses = |change: &dyn Fn(&mut TensorMap), reason: &str| {
            let named = both().into_iter().map(|(key, tensor)| (name(&key), tensor));
            let mut tensors: TensorMap = named.collect();
            change(&mut tensors);
            let error = plan(tensors).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        let short = HostTensor::f32([2], vec![0.0; 2]);
        let bias = "decoder.blocks.input.b";
        refuses(&|tensors| drop(tensors.remove(bias)), bias);
        refuses(
            &|tensors| drop(tensors.insert(bias.to_string(), short.clone())),
            "1×1 convolution",
        );
        let norm = "decoder.blocks.group_1.block_1.norm.w";
        refuses(
            &|tensors| drop(tensors.insert(norm.to_string(), short.clone())),
            norm,
        );
    }
}
