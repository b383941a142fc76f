//! What is written is read again, value for value, and what cannot be written is refused.

use super::*;
use crate::checkpoint::{foreign, parameters};
use crate::initializer::Initializer;
use crate::model::{Format, Model, ModelInfo, import};
use crate::prior::condition::layout::{LayoutCondition, Places};
use crate::prior::condition::{
    ClassCondition, CodesOfPicture, Condition, CoordCondition, DepthCondition, LowresCondition,
    SegmentationCondition, StartToken, TextCondition,
};
use crate::prior::{Architecture, Gpt, PixelSnailConfig, Prior, PriorConfig, ScanOrder};
use crate::tokenizer::Tokenizer;
use burn::tensor::Device;
use serde_json::Value;

fn config() -> TokenizerConfig {
    TokenizerConfig {
        resolution: 16,
        channels: 32,
        channel_multipliers: vec![1, 2, 2],
        residual_blocks: 1,
        attention_resolutions: vec![8],
        z_channels: 6,
        embed_dim: 6,
        codebook_size: 7,
        quantizer: QuantizerKind::Nearest,
        // What the authors' YAML does not tell.
        kl_weight: 1e-8,
        legacy_beta: true,
        ..TokenizerConfig::default()
    }
}

fn model(config: TokenizerConfig, condition: Option<Condition>) -> Model {
    let mut init = Initializer::seeded(&Device::flex(), 5);
    let tokenizer = Tokenizer::new(&mut init, &config);
    let own = condition.as_ref().and_then(|condition| {
        let shape = condition.second_picture()?.codes.tokenizer.clone()?;
        let tokenizer = Tokenizer::new(&mut init, &shape);
        Some(Box::new(Model {
            tokenizer_config: *shape,
            tokenizer,
            prior: None,
            condition: None,
            info: ModelInfo::default(),
        }))
    });
    let prior = condition.map(|condition| {
        let prior = PriorConfig {
            layers: 2,
            heads: 2,
            width: 8,
            rows: 4,
            columns: 4,
            block_size: 15 + condition.length(),
            vocabulary_size: 16,
            embedding_dropout: 0.25,
            condition,
            ..PriorConfig::default()
        };
        let gpt = Gpt::new(&mut init, &prior);
        (prior, Prior::from(gpt))
    });
    Model {
        tokenizer_config: config,
        tokenizer,
        prior,
        condition: own,
        info: ModelInfo {
            step: 7,
            ..ModelInfo::default()
        },
    }
}

/// Exports a model, imports it again and compares every number.
#[track_caller]
fn comes_back(model: &Model, format: ExportFormat, name: &str) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join(name);
    export(model, format, &out).unwrap();
    for file in format.files(&out).unwrap() {
        assert!(file.is_file(), "{} is missing", file.display());
    }
    let yaml = out.with_extension("yaml");
    let config = yaml.is_file().then_some(yaml.as_path());
    let read = import(&out, config, None, &Device::flex()).unwrap().model;
    let own = |model: &Model| parameters(&model.tokenizer, "", str::to_string);
    assert_eq!(own(&read), own(model));
    let (ours, theirs) = (&model.tokenizer_config, &read.tokenizer_config);
    for level in 0..ours.levels() {
        assert_eq!(theirs.has_attention(level), ours.has_attention(level));
    }
    assert_eq!(theirs.quantizer, ours.quantizer);
    let gpt = |model: &Model| {
        let prior = model.prior.as_ref();
        prior.map(|(config, gpt)| (config.clone(), parameters(gpt, "", str::to_string)))
    };
    assert_eq!(gpt(&read), gpt(model));
    let condition = |model: &Model| model.condition.as_deref().map(own);
    assert_eq!(condition(&read), condition(model));
    read
}

#[track_caller]
fn refuses(model: &Model, format: ExportFormat, name: &str, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join(name);
    let message = export(model, format, &out).unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
    assert!(!out.exists(), "something was written");
}

#[test]
fn tokenizers_come_back() {
    let plain = model(config(), None);
    for name in ["model.ckpt", "model.pt", "model.pth", "model.safetensors"] {
        let read = comes_back(&plain, ExportFormat::Compvis, name);
        assert_eq!(read.tokenizer_config, config());
        let step = if name.ends_with(".safetensors") { 0 } else { 7 };
        assert_eq!(read.info.step, step);
    }
    comes_back(&plain, ExportFormat::Diffusers, "folder");
    let gumbel = TokenizerConfig {
        quantizer: QuantizerKind::Gumbel,
        kl_weight: 1e-3,
        ..config()
    };
    let read = comes_back(
        &model(gumbel.clone(), None),
        ExportFormat::Compvis,
        "model.ckpt",
    );
    assert_eq!(read.tokenizer_config, gumbel);
}

#[test]
fn attention_keeps_its_levels_whatever_the_resolution() {
    for (resolution, side) in [(100, 25), (3, 1), (16, 16), (1, 1)] {
        let config = TokenizerConfig {
            resolution,
            attention_resolutions: vec![side],
            ..config()
        };
        comes_back(&model(config, None), ExportFormat::Compvis, "model.ckpt");
    }
}

#[test]
fn priors_come_back() {
    let conditions = [
        Condition::None(StartToken { start_token: 3 }),
        Condition::Class(ClassCondition {
            classes: 5,
            names: Vec::new(),
        }),
    ];
    for condition in conditions {
        let model = model(config(), Some(condition));
        comes_back(&model, ExportFormat::Compvis, "model.ckpt");
        comes_back(&model, ExportFormat::Compvis, "model.safetensors");
    }
}

/// The codes of a second picture with so many channels.
fn codes(channels: usize, size: usize) -> CodesOfPicture {
    let shape = TokenizerConfig {
        in_channels: channels,
        out_channels: channels,
        resolution: if size == 0 { 16 } else { size },
        attention_resolutions: vec![],
        ..config()
    };
    CodesOfPicture::new(&shape, true, 16, size).unwrap()
}

#[test]
fn priors_with_long_conditions_come_back() {
    let conditions = [
        Condition::Coord(CoordCondition {
            levels: 16,
            factor: 8,
            rows: 2,
            columns: 2,
        }),
        Condition::Segmentation(SegmentationCondition {
            classes: 5,
            ignore_value: None,
            codes: codes(5, 0),
        }),
        Condition::Depth(DepthCondition {
            form: crate::data::DepthForm::Auto,
            codes: codes(1, 8),
        }),
        Condition::Lowres(LowresCondition {
            factor: 1,
            codes: CodesOfPicture {
                tokenizer: None,
                ..codes(3, 0)
            },
        }),
        Condition::Layout(LayoutCondition {
            classes: 3,
            names: Vec::new(),
            places: Places::Centers,
            max_objects: 2,
            token_count: 16,
            encode_crop: true,
            use_group_parameter: false,
            use_additional_parameters: false,
        }),
    ];
    for condition in conditions {
        let model = model(config(), Some(condition));
        comes_back(&model, ExportFormat::Compvis, "model.ckpt");
        comes_back(&model, ExportFormat::Compvis, "model.safetensors");
    }
    let text = model(
        config(),
        Some(Condition::Text(TextCondition {
            vectors: 2,
            length: 4,
            encoder: String::new(),
            droppable: false,
        })),
    );
    refuses(&text, ExportFormat::Compvis, "model.ckpt", &["texts"]);
}

#[test]
fn orders_come_back() {
    let orders = [
        ScanOrder::Subsample,
        ScanOrder::ZCurve,
        ScanOrder::SpiralOut,
        ScanOrder::SpiralIn,
        ScanOrder::Alternate,
        ScanOrder::Random,
    ];
    for order in orders {
        let mut model = model(config(), Some(Condition::default()));
        if let Some((prior, _)) = &mut model.prior {
            prior.order = order;
        }
        comes_back(&model, ExportFormat::Compvis, "model.ckpt");
        comes_back(&model, ExportFormat::Compvis, "model.safetensors");
    }
}

#[test]
fn averaged_codebooks_become_plain_ones() {
    let config = TokenizerConfig {
        quantizer: QuantizerKind::Ema,
        ..config()
    };
    let model = model(config, None);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model.safetensors");
    export(&model, ExportFormat::Compvis, &out).unwrap();
    let tensors = foreign::read(&out).unwrap().tensors;
    let codebook: Vec<&String> = tensors
        .keys()
        .filter(|key| key.contains("quantize"))
        .collect();
    assert_eq!(codebook, ["quantize.embedding.weight"]);
}

#[test]
fn a_strict_reader_of_the_authors_finds_every_key() {
    let condition = Condition::None(StartToken::default());
    let mut model = model(config(), Some(condition));
    if let Some((prior, _)) = &mut model.prior {
        prior.unmasked_prefix = 1;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model.ckpt");
    export(&model, ExportFormat::Compvis, &out).unwrap();
    let tensors = foreign::read(&out).unwrap().tensors;
    for layer in 0..2 {
        let mask = &tensors[&format!("transformer.blocks.{layer}.attn.mask")];
        assert_eq!(mask.shape, [1, 1, 16, 16]);
        let values = mask.as_f32().unwrap();
        for (place, &value) in values.iter().enumerate() {
            let seen = place % 16 <= place / 16;
            assert_eq!(value, f32::from(u8::from(seen)), "place {place}");
        }
    }
}

#[test]
fn what_cannot_be_expressed_is_refused() {
    use ExportFormat::{Compvis, Diffusers};
    let l2 = model(
        TokenizerConfig {
            quantizer: QuantizerKind::L2,
            ..config()
        },
        None,
    );
    refuses(&l2, Compvis, "model.ckpt", &["l2", "CompVis"]);
    refuses(&l2, Diffusers, "folder", &["l2", "diffusers"]);
    refuses(
        &model(config(), None),
        Compvis,
        "model.bin",
        &[".ckpt", ".safetensors"],
    );
    let wide = TokenizerConfig {
        channel_multipliers: vec![2, 2],
        attention_resolutions: vec![],
        ..config()
    };
    refuses(
        &model(wide, None),
        Diffusers,
        "folder",
        &["channel_multipliers", "[2, 2]"],
    );
    let mut with_prior = model(config(), Some(Condition::None(StartToken::default())));
    refuses(&with_prior, Diffusers, "folder", &["prior"]);
    if let Some((prior, _)) = &mut with_prior.prior {
        prior.columns = 3;
    }
    refuses(&with_prior, Compvis, "model.ckpt", &["4 × 3"]);
    if let Some((prior, _)) = &mut with_prior.prior {
        prior.block_size = 1 << 24;
    }
    refuses(&with_prior, Compvis, "model.ckpt", &["block_size"]);
    if let Some((prior, _)) = &mut with_prior.prior {
        prior.network = Architecture::PixelSnail(PixelSnailConfig::default());
    }
    refuses(&with_prior, Compvis, "model.ckpt", &["pixelsnail"]);
    let gumbel = TokenizerConfig {
        quantizer: QuantizerKind::Gumbel,
        embed_dim: 5,
        ..config()
    };
    refuses(
        &model(gumbel, None),
        Compvis,
        "model.ckpt",
        &["z_channels", "embed_dim"],
    );
}

#[test]
fn a_folder_for_diffusers_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("vqvae");
    export(&model(config(), None), ExportFormat::Diffusers, &out).unwrap();
    let text = std::fs::read_to_string(out.join("config.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let expected = [
        ("_class_name", serde_json::json!("VQModel")),
        ("block_out_channels", serde_json::json!([32, 64, 64])),
        (
            "down_block_types",
            serde_json::json!([
                "DownEncoderBlock2D",
                "AttnDownEncoderBlock2D",
                "DownEncoderBlock2D"
            ]),
        ),
        (
            "up_block_types",
            serde_json::json!([
                "UpDecoderBlock2D",
                "AttnUpDecoderBlock2D",
                "UpDecoderBlock2D"
            ]),
        ),
        ("num_vq_embeddings", serde_json::json!(7)),
        ("sample_size", serde_json::json!(16)),
    ];
    for (name, value) in expected {
        assert_eq!(json[name], value, "{name}");
    }
    let file = foreign::read(&out.join("diffusion_pytorch_model.safetensors")).unwrap();
    assert_eq!(file.metadata["format"], "pt");
    let shape = |key: &str| file.tensors[key].shape.clone();
    assert_eq!(
        shape("encoder.down_blocks.1.attentions.0.to_out.0.weight"),
        [64, 64]
    );
    assert_eq!(
        shape("decoder.up_blocks.0.upsamplers.0.conv.weight"),
        [64, 64, 3, 3]
    );
    assert_eq!(
        shape("decoder.up_blocks.2.resnets.0.conv_shortcut.weight"),
        [32, 64, 1, 1]
    );
    // The folder alone is enough: its configuration lies beside the weights.
    let read = import(&out, None, None, &Device::flex()).unwrap();
    assert_eq!(read.format, Format::Diffusers);
    assert_eq!(read.model.info.source, "vqvae");
    assert!(read.model.info.recipe.is_object());
}
