//! The shape of networks that are levels of residual blocks, read off the names and shapes of their tensors. That
//! nothing is left over, and that everything fits, is found out when the tensors are loaded.

use crate::checkpoint::{HostTensor, TensorMap};
use crate::error::{Error, Result};
use crate::tokenizer::config::TokenizerConfig;

/// The configuration of networks whose levels are `encoder.down.N.block.M` and whose blocks have two convolutions,
/// without attention. What the levels do not show is the default.
///
/// # Errors
/// A tensor that is missing or has a shape that no such network has, by name.
pub fn levels_of_blocks(tensors: &TensorMap) -> Result<TokenizerConfig> {
    let [channels, in_channels, ..] = dims::<4>(tensors, "encoder.conv_in.weight")?;
    let [z_channels, ..] = dims::<4>(tensors, "encoder.conv_out.weight")?;
    let [out_channels, ..] = dims::<4>(tensors, "decoder.conv_out.weight")?;
    let conv = |level: usize| format!("encoder.down.{level}.block.0.conv2.weight");
    let blocks = |index: usize| format!("encoder.down.0.block.{index}.conv2.weight");
    Ok(TokenizerConfig {
        in_channels,
        out_channels,
        channels,
        channel_multipliers: multipliers(tensors, channels, conv)?,
        residual_blocks: count(tensors, blocks),
        attention_resolutions: Vec::new(),
        z_channels,
        ..TokenizerConfig::default()
    })
}

/// The widths of levels as multiples of `channels`; `conv` names a convolution whose outputs are as many as its level
/// is wide.
///
/// # Errors
/// A width that is no multiple, by name.
pub fn multipliers(
    tensors: &TensorMap,
    channels: usize,
    conv: impl Fn(usize) -> String,
) -> Result<Vec<usize>> {
    let mut multipliers = Vec::new();
    for level in 0..count(tensors, &conv) {
        let key = conv(level);
        let [width, ..] = dims::<4>(tensors, &key)?;
        if !width.is_multiple_of(channels) {
            return Err(Error::input(format!(
                "`{key}` has {width} channels, which is no multiple of the {channels} of the first convolution"
            )));
        }
        multipliers.push(width / channels);
    }
    Ok(multipliers)
}

/// How many of the keys for 0, 1, 2 … there are before the first that is missing.
pub fn count(tensors: &TensorMap, key: impl Fn(usize) -> String) -> usize {
    let there = |index: &usize| tensors.contains_key(&key(*index));
    (0..).take_while(there).count()
}

/// The shape of a tensor of `D` dimensions, none of them 0.
///
/// # Errors
/// A tensor that is missing or of another number of dimensions.
pub fn dims<const D: usize>(tensors: &TensorMap, key: &str) -> Result<[usize; D]> {
    let shape = &tensor(tensors, key)?.shape;
    match <[usize; D]>::try_from(shape.as_slice()) {
        Ok(dims) if !dims.contains(&0) => Ok(dims),
        _ => Err(Error::input(format!(
            "`{key}` has shape {shape:?}; {D} dimensions are expected, none of them 0"
        ))),
    }
}

/// The tensor of a key.
///
/// # Errors
/// A file without it.
pub fn tensor<'t>(tensors: &'t TensorMap, key: &str) -> Result<&'t HostTensor> {
    tensors.get(key).ok_or_else(|| {
        Error::input(format!(
            "`{key}` is missing: the checkpoint is not complete"
        ))
    })
}

/// The values of a tensor of weights.
///
/// # Errors
/// A file without it, or one in which it holds whole numbers.
pub fn weights<'t>(tensors: &'t TensorMap, key: &str) -> Result<&'t [f32]> {
    tensor(tensors, key)?
        .as_f32()
        .ok_or_else(|| Error::input(format!("`{key}` holds whole numbers, not weights")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(shapes: &[(&str, Vec<usize>)]) -> TensorMap {
        let zeros = |shape: &Vec<usize>| {
            let count = shape.iter().product();
            HostTensor::f32(shape.clone(), vec![0.0; count])
        };
        shapes
            .iter()
            .map(|(key, shape)| (key.to_string(), zeros(shape)))
            .collect()
    }

    #[test]
    fn shapes_are_checked() {
        let tensors = with(&[("a", vec![2, 3]), ("b", vec![0, 3])]);
        assert_eq!(dims::<2>(&tensors, "a").unwrap(), [2, 3]);
        for key in ["b", "c"] {
            let error = dims::<2>(&tensors, key).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")), "{error}");
        }
        assert!(dims::<3>(&tensors, "a").is_err());
        let whole = HostTensor::i64([1], vec![1]);
        let whole = TensorMap::from([("codes".to_string(), whole)]);
        let error = weights(&whole, "codes").unwrap_err().to_string();
        assert!(error.contains("`codes` holds whole numbers"), "{error}");
    }

    #[test]
    fn levels_are_counted_and_measured() {
        let tensors = with(&[
            ("a.0", vec![32, 8, 1, 1]),
            ("a.1", vec![64, 8, 1, 1]),
            ("a.3", vec![48, 8, 1, 1]),
        ]);
        let key = |level: usize| format!("a.{level}");
        assert_eq!(count(&tensors, key), 2);
        assert_eq!(multipliers(&tensors, 32, key).unwrap(), [1, 2]);
        let error = multipliers(&tensors, 64, key).unwrap_err().to_string();
        assert!(error.contains("`a.0` has 32 channels"), "{error}");
    }
}
