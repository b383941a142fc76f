//! LlamaGen's tokenizers VQ-8 and VQ-16 (repository FoundationVision/LlamaGen: tokenizer/tokenizer_image/vq_model.py):
//! the paper's network under other names, attention at the lowest resolution, codes compared by direction.

use super::{Plan, names, shape};
use crate::checkpoint::TensorMap;
use crate::error::Result;
use crate::tokenizer::{QuantizerKind, TokenizerConfig};

pub fn detect(tensors: &TensorMap) -> bool {
    names::has(tensors, "encoder.conv_blocks.0.res.0.norm1.weight")
}

/// The weights do not show whether vectors were normalised; all published ones were trained with it
/// (`codebook_l2_norm`).
pub fn plan(tensors: TensorMap) -> Result<Plan> {
    let tensors = names::renamed(tensors, |own, key| {
        authors_name(key, names::count(own, "decoder.conv_blocks."))
    })?;
    shape::require_codebook(&tensors)?;
    let config = TokenizerConfig {
        // Their loss weighs the commitment, as the paper does.
        legacy_beta: false,
        ..shape::infer(&tensors, QuantizerKind::L2)?
    };
    Ok(Plan::tokenizer(config, tensors))
}

/// The authors' name of a tensor in a network of `levels` resolutions.
fn authors_name(key: &str, levels: usize) -> String {
    let steps: Vec<&str> = key.split('.').collect();
    match steps.as_slice() {
        ["encoder", "conv_blocks", level, "res", rest @ ..] => {
            format!("encoder.down.{level}.block.{}", rest.join("."))
        }
        ["encoder", "conv_blocks", level, rest @ ..] => {
            format!("encoder.down.{level}.{}", rest.join("."))
        }
        ["decoder", "conv_blocks", level, "res", rest @ ..] => {
            let level = names::reversed(level, levels);
            format!("decoder.up.{level}.block.{}", rest.join("."))
        }
        ["decoder", "conv_blocks", level, rest @ ..] => {
            let level = names::reversed(level, levels);
            format!("decoder.up.{level}.{}", rest.join("."))
        }
        [side, "mid", index @ ("0" | "1" | "2"), rest @ ..] => {
            let part = match *index {
                "0" => "block_1",
                "1" => "attn_1",
                _ => "block_2",
            };
            format!("{side}.mid.{part}.{}", rest.join("."))
        }
        _ => key.to_string(),
    }
}
