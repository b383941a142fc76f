//! Model files and configurations: what they hold, and what is refused.

use super::*;
use crate::checkpoint::read_tensors;
use crate::model::{Model, ModelInfo};
use crate::prior::ScanOrder;
use crate::prior::condition::{CodesOfPicture, LowresCondition, TextCondition};
use crate::tokenizer::{Tokenizer, TokenizerConfig};

fn model(config: PriorConfig) -> Model {
    let tokenizer_config = TokenizerConfig {
        resolution: 16,
        channels: 32,
        channel_multipliers: vec![1, 1, 1],
        z_channels: 8,
        codebook_size: VOCABULARY,
        ..TokenizerConfig::default()
    };
    let mut init = Initializer::seeded(&Device::flex(), 4);
    Model {
        tokenizer: Tokenizer::new(&mut init, &tokenizer_config),
        tokenizer_config,
        prior: Some((config.clone(), prior(&config, &Device::flex()))),
        condition: None,
        info: ModelInfo::default(),
    }
}

#[test]
fn files_keep_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let config = config(classes(3), 3);
    let model = model(config.clone());
    model.save(&path).unwrap();
    let (mut tensors, _) = read_tensors(&path).unwrap();
    for key in [
        "pixelsnail.codes.weight",
        "pixelsnail.above.weight",
        "pixelsnail.blocks.1.residual.0.condition.weight",
        "pixelsnail.blocks.0.attention.merge.auxiliary.bias",
        "pixelsnail.head.bias",
    ] {
        assert!(tensors.contains_key(key), "{key}");
    }
    assert_eq!(tensors["pixelsnail.above.weight"].shape, [8, 8, 3, 5]);
    assert!(tensors.keys().all(|key| !key.starts_with("transformer.")));
    let read = Model::load(&path, &Device::flex()).unwrap();
    let (read_config, read_prior) = read.require_prior().unwrap();
    assert_eq!(*read_config, config);
    let all = |prior: &Prior| parameters(prior, "", str::to_string);
    let (_, written) = model.require_prior().unwrap();
    assert_eq!(all(read_prior), all(written));
    let tokens = sequence(&config, 2);
    assert_eq!(
        logits(read_prior, &config, &tokens),
        logits(written, &config, &tokens)
    );
    // The least that is asked for is never more than there is.
    let counts = all(written);
    let values = |tensor: &HostTensor| tensor.shape.iter().product::<usize>();
    let parameters: usize = counts.values().map(values).sum();
    assert!(config.least_parameters() <= parameters);
    assert!(config.least_tensors() <= counts.len());
    tensors.remove("pixelsnail.left.bias");
    let tokenizer = model.tokenizer_config.clone();
    let error = Model::from_tensors(tokenizer, Some(config), &tensors, &Device::flex());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("pixelsnail.left.bias"), "{error}");
}

#[test]
fn configurations_name_it() {
    let config = config(classes(3), 2);
    let text = serde_json::to_string(&config).unwrap();
    let network =
        r#""network":{"pixelsnail":{"residual_blocks":2,"attention_width":4,"kernel":2}}"#;
    assert!(text.contains(network), "{text}");
    assert_eq!(serde_json::from_str::<PriorConfig>(&text).unwrap(), config);
    assert!(config.describe().starts_with("pixelsnail of 2 blocks"));
}

#[track_caller]
fn refused(config: PriorConfig, words: &str) {
    let error = config.check().unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn what_it_cannot_be_is_refused() {
    let lowres = |rows: usize, columns: usize| {
        let codes = CodesOfPicture {
            tokenizer: None,
            rows,
            columns,
            size: 0,
        };
        Condition::Lowres(LowresCondition { factor: 4, codes })
    };
    config(lowres(ROWS, COLUMNS), 2);
    refused(unchecked(lowres(2, 2), shape(2)), "lowres has 2 × 2 tokens");
    refused(
        unchecked(coordinates(COLUMNS, ROWS), shape(2)),
        "3 × 4 tokens for 4 × 3",
    );
    let text = Condition::Text(TextCondition {
        vectors: 2,
        length: 3,
        encoder: String::new(),
        droppable: false,
    });
    refused(unchecked(text, shape(2)), "cannot be conditioned on text");
    let plain = || unchecked(Condition::default(), shape(2));
    let spiral = PriorConfig {
        order: ScanOrder::SpiralOut,
        ..plain()
    };
    refused(spiral, "order must be raster");
    let open = PriorConfig {
        unmasked_prefix: 1,
        ..plain()
    };
    refused(open, "unmasked_prefix");
    let heads = PriorConfig {
        heads: 3,
        ..plain()
    };
    refused(heads, "attention_width is 4 and heads is 3");
    let large = PriorConfig {
        rows: 1 << 12,
        columns: 1 << 12,
        block_size: 1 << 24,
        ..plain()
    };
    refused(large, "too many for a pixelsnail");
    for kernel in [0, 10] {
        refused(unchecked(Condition::default(), shape(kernel)), "kernel is");
    }
}
