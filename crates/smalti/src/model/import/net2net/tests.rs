//! Conditions and orders of codes, on networks small enough to be made here.

use super::*;
use crate::checkpoint::parameters;
use crate::initializer::Initializer;
use crate::model::Model;
use crate::model::import::{build, shape};
use crate::prior::Gpt;
use crate::tokenizer::{QuantizerKind, Tokenizer};
use burn::tensor::Device;
use serde_json::json;

/// Codes of 4 × 4 for pictures of 16 × 16 pixels.
fn tokenizer(channels: usize) -> TokenizerConfig {
    TokenizerConfig {
        resolution: 16,
        in_channels: channels,
        out_channels: channels,
        channels: 32,
        channel_multipliers: vec![1, 1, 1],
        residual_blocks: 1,
        attention_resolutions: vec![],
        z_channels: 6,
        embed_dim: 6,
        codebook_size: 7,
        ..shape::authors(QuantizerKind::Nearest)
    }
}

fn described(config: &TokenizerConfig) -> Value {
    json!({
        "target": "taming.models.vqgan.VQModel",
        "params": {
            "embed_dim": config.embed_dim,
            "n_embed": config.codebook_size,
            "ddconfig": {
                "z_channels": config.z_channels, "resolution": config.resolution,
                "in_channels": config.in_channels, "out_ch": config.out_channels, "ch": config.channels,
                "ch_mult": config.channel_multipliers, "num_res_blocks": config.residual_blocks,
                "attn_resolutions": config.attention_resolutions,
            },
        },
    })
}

/// A checkpoint's YAML with this condition stage and these entries besides.
fn yaml(block_size: usize, stage: Value, more: Value) -> Value {
    let mut params = json!({
        "transformer_config": {
            "target": "taming.modules.transformer.mingpt.GPT",
            "params": {
                "vocab_size": 40, "block_size": block_size, "n_layer": 1, "n_head": 2, "n_embd": 8,
            },
        },
        "first_stage_config": described(&tokenizer(3)),
        "cond_stage_config": stage,
    });
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    json!({"model": {"target": "taming.models.cond_transformer.Net2NetTransformer", "params": params}})
}

fn network(config: &TokenizerConfig, seed: u64, prefix: &str) -> TensorMap {
    let mut init = Initializer::seeded(&Device::flex(), seed);
    parameters(&Tokenizer::new(&mut init, config), prefix, str::to_string)
}

/// The tensors of the first stage and of a transformer with a block size.
fn tensors(block_size: usize) -> TensorMap {
    let mut tensors = network(&tokenizer(3), 1, "first_stage_model.");
    let shape = PriorConfig {
        layers: 1,
        heads: 2,
        width: 8,
        block_size,
        vocabulary_size: 40,
        ..PriorConfig::default()
    };
    let gpt = Gpt::new(&mut Initializer::seeded(&Device::flex(), 2), &shape);
    tensors.extend(parameters(&gpt, "transformer.", Gpt::key));
    tensors
}

fn read(tensors: TensorMap, yaml: &Value) -> Result<Model> {
    build(plan(tensors, Some(yaml))?, &Device::flex())
}

fn condition(model: &Model) -> &Condition {
    &model.prior.as_ref().unwrap().0.condition
}

#[track_caller]
fn refuses(result: Result<Model>, words: &[&str]) {
    let message = result.expect_err("refused").to_string();
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

#[test]
fn coordinates() {
    let stage = json!({
        "target": "taming.modules.misc.coord.CoordStage", "params": {"n_embed": 30, "down_factor": 8},
    });
    let yaml = yaml(32, stage.clone(), json!({"cond_stage_key": "coord"}));
    let model = read(tensors(32), &yaml).unwrap();
    let expected = CoordCondition {
        levels: 30,
        factor: 8,
        rows: 2,
        columns: 2,
    };
    assert_eq!(*condition(&model), Condition::Coord(expected));
    let smaller = self::yaml(32, stage, json!({"downsample_cond_size": 8}));
    refuses(read(tensors(32), &smaller), &["downsample_cond_size"]);
}

#[test]
fn a_second_picture_has_its_own_tokenizer() {
    let labels = tokenizer(5);
    let mut stage = described(&labels);
    stage["target"] = json!("taming.models.vqgan.VQSegmentationModel");
    stage["params"]["n_labels"] = json!(5);
    let own = network(&labels, 3, "");
    let mut file = tensors(32);
    file.extend(network(&labels, 3, CONDITION));
    file.insert(
        "cond_stage_model.colorize".into(),
        HostTensor::f32([3, 5, 1, 1], vec![0.0; 15]),
    );
    let with = |more: Value| yaml(32, stage.clone(), more);
    let yaml = with(json!({"cond_stage_key": "segmentation"}));
    let model = read(file.clone(), &yaml).unwrap();
    let Condition::Segmentation(segmentation) = condition(&model) else {
        panic!("the key says segmentation");
    };
    assert_eq!((segmentation.classes, segmentation.codes.rows), (5, 4));
    let tokenizer = &model.condition.as_ref().unwrap().tokenizer;
    assert_eq!(parameters(tokenizer, "", str::to_string), own);
    // Made smaller before it is encoded.
    let smaller = with(json!({"cond_stage_key": "segmentation", "downsample_cond_size": 8}));
    let model = read(file.clone(), &smaller).unwrap();
    let picture = condition(&model).second_picture().unwrap();
    assert_eq!((picture.codes.size, picture.codes.length()), (8, 4));
    // Nobody says what it is: depth is the default, which has one channel.
    refuses(
        read(file.clone(), &with(json!({}))),
        &["5 channels", "have 1"],
    );
    let strange = with(json!({"cond_stage_key": "smell"}));
    refuses(read(file.clone(), &strange), &["smell", "segmentation"]);
    file.insert(
        "cond_stage_model.encoder.more.weight".into(),
        HostTensor::f32([1], vec![0.0]),
    );
    refuses(
        read(file, &yaml),
        &["condition.encoder.more", "no such part"],
    );
    refuses(
        read(tensors(32), &yaml),
        &["condition stage", "no tokenizer"],
    );
}

#[test]
fn the_first_stage_may_make_the_condition_too() {
    let yaml = yaml(
        32,
        json!("__is_first_stage__"),
        json!({"cond_stage_key": "image"}),
    );
    let mut file = tensors(32);
    file.extend(network(&tokenizer(3), 1, CONDITION));
    let model = read(file, &yaml).unwrap();
    assert!(model.condition.is_none());
    let picture = condition(&model).second_picture().unwrap();
    assert!(picture.codes.tokenizer.is_none() && picture.made.unwrap().factor == 1);
    assert_eq!(picture.codes.length(), 16);
}

#[test]
fn objects_are_described_by_the_data() {
    let stage = json!({
        "target": "taming.models.dummy_cond_stage.DummyCondStage", "params": {"conditional_key": "objects_bbox"},
    });
    let mut yaml = yaml(24, stage, json!({"cond_stage_key": "objects_bbox"}));
    refuses(read(tensors(24), &yaml), &["`data`"]);
    yaml["data"] = json!({"params": {"train": {"target": "a.Mine", "params": {
        "no_object_classes": 6, "max_objects_per_image": 2, "no_tokens": 40, "encode_crop": true,
        "use_group_parameter": true,
    }}}});
    let model = read(tensors(24), &yaml).unwrap();
    let Condition::Layout(layout) = condition(&model) else {
        panic!("the stage says objects");
    };
    assert_eq!((layout.length(), layout.classes), (8, 6));
    assert!(layout.use_group_parameter && !layout.use_additional_parameters);
    yaml["data"]["params"]["train"]["target"] =
        json!("taming.data.annotated_objects_coco.AnnotatedObjectsCoco");
    let params = &mut yaml["data"]["params"]["train"]["params"];
    params["no_object_classes"] = Value::Null;
    params["no_tokens"] = json!(8192);
    // 171 categories; the vocabulary of this network is smaller than their tokens.
    refuses(read(tensors(24), &yaml), &["8192"]);
}

#[test]
fn codes_may_have_another_order() {
    let start = json!({"target": "taming.modules.util.SOSProvider", "params": {"sos_token": 3}});
    let permuter = |class: &str, side: usize| {
        json!({"permuter_config": {
            "target": format!("taming.modules.transformer.permuter.{class}"),
            "params": {"H": side, "W": side},
        }})
    };
    let orders = [
        ("Subsample", ScanOrder::Subsample),
        ("ZCurve", ScanOrder::ZCurve),
        ("SpiralOut", ScanOrder::SpiralOut),
        ("SpiralIn", ScanOrder::SpiralIn),
        ("AlternateParsing", ScanOrder::Alternate),
        ("Random", ScanOrder::Random),
    ];
    for (class, order) in orders {
        let yaml = yaml(16, start.clone(), permuter(class, 4));
        let places = order.positions(4, 4).into_iter().map(|cell| cell as i64);
        let mut file = tensors(16);
        let index = HostTensor::i64([16], places.collect());
        file.insert("permuter.forward_shuffle_idx".into(), index);
        let model = read(file.clone(), &yaml).unwrap();
        assert_eq!(model.prior.unwrap().0.order, order);
        let other = HostTensor::i64([16], (0..16).rev().collect());
        file.insert("permuter.forward_shuffle_idx".into(), other);
        refuses(read(file, &yaml), &["forward_shuffle_idx"]);
    }
    let identity = json!({"permuter_config": {"target": "a.Identity"}});
    let model = read(tensors(16), &yaml(16, start.clone(), identity)).unwrap();
    assert!(model.prior.unwrap().0.order.is_raster());
    let smaller = yaml(16, start.clone(), permuter("SpiralOut", 2));
    assert_eq!(
        read(tensors(16), &smaller).unwrap().prior.unwrap().0.rows,
        2
    );
    let unknown = yaml(16, start, permuter("Hilbert", 4));
    refuses(read(tensors(16), &unknown), &["Hilbert", "SpiralIn"]);
}
