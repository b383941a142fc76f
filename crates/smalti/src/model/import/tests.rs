//! Names, shapes and refusals, on networks small enough to be made here. Whole published ones are in
//! `tests/foreign.rs`.

use super::*;
use crate::checkpoint::parameters;
use crate::initializer::Initializer;
use crate::tokenizer::{QuantizerKind, Tokenizer};
use serde_json::json;

fn config() -> TokenizerConfig {
    TokenizerConfig {
        resolution: 256,
        channels: 32,
        channel_multipliers: vec![1, 2, 2],
        residual_blocks: 2,
        attention_resolutions: vec![64],
        z_channels: 6,
        embed_dim: 5,
        codebook_size: 7,
        ..shape::authors(QuantizerKind::Nearest)
    }
}

/// The tensors of a network under the authors' names.
fn tensors(config: &TokenizerConfig) -> TensorMap {
    let mut init = Initializer::seeded(&Device::flex(), 3);
    parameters(&Tokenizer::new(&mut init, config), "", str::to_string)
}

fn under(prefix: &str, tensors: &TensorMap) -> TensorMap {
    let renamed =
        |(key, tensor): (&String, &HostTensor)| (format!("{prefix}{key}"), tensor.clone());
    tensors.iter().map(renamed).collect()
}

fn floats(shape: &[usize]) -> HostTensor {
    HostTensor::f32(shape, vec![0.5; shape.iter().product()])
}

fn named(keys: &[&str]) -> TensorMap {
    let keys = keys.iter().map(|key| (key.to_string(), floats(&[1])));
    keys.collect()
}

#[track_caller]
fn refuses<T>(result: Result<T>, words: &[&str]) {
    let Err(error) = result else {
        panic!("not refused");
    };
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

#[test]
fn the_shape_is_read_off_the_tensors() {
    let others = [
        config(),
        TokenizerConfig {
            channel_multipliers: vec![2, 1, 1, 3],
            residual_blocks: 1,
            attention_resolutions: vec![],
            in_channels: 4,
            out_channels: 9,
            ..config()
        },
        TokenizerConfig {
            channel_multipliers: vec![1],
            attention_resolutions: vec![256],
            ..config()
        },
    ];
    for config in others {
        let inferred = shape::infer(&tensors(&config), config.quantizer).unwrap();
        assert_eq!(inferred, config);
    }
}

#[test]
fn shapes_that_no_network_has_are_refused() {
    let without = |key: &str| {
        let mut tensors = tensors(&config());
        tensors.remove(key);
        shape::infer(&tensors, QuantizerKind::Nearest)
    };
    for key in [
        "encoder.conv_in.weight",
        "quant_conv.weight",
        "decoder.conv_out.weight",
    ] {
        refuses(without(key), &[key, "missing"]);
    }
    let with = |key: &str, shape: &[usize]| {
        let mut tensors = tensors(&config());
        tensors.insert(key.to_string(), floats(shape));
        shape::infer(&tensors, QuantizerKind::Nearest)
    };
    refuses(with("encoder.conv_in.weight", &[]), &["shape []"]);
    let width = "encoder.down.1.block.0.conv1.weight";
    refuses(with(width, &[48, 32, 3, 3]), &[width, "48", "32"]);
    refuses(with("encoder.conv_in.weight", &[0]), &["multiple of the 0"]);
    refuses(
        shape::infer(&TensorMap::new(), QuantizerKind::Nearest),
        &["missing"],
    );
}

#[test]
fn a_tokenizer_is_found_among_what_else_a_file_holds() {
    let own = tensors(&config());
    for prefix in ["", "first_stage_model.", "some.wrapper."] {
        let mut file = under(prefix, &own);
        file.extend(under("cond_stage_model.", &own));
        file.extend(named(&[
            "loss.discriminator.main.0.weight",
            "model_ema.decay",
        ]));
        assert_eq!(Format::find(&file, None).unwrap(), Format::Taming);
        let plan = Format::Taming.plan(file, None).unwrap();
        assert_eq!(plan.tensors, under("tokenizer.", &own));
        assert_eq!(plan.tokenizer, config());
    }
    let mut two = under("a.", &own);
    two.extend(under("b.", &own));
    refuses(
        Format::Taming.plan(two, None),
        &["several", "a.encoder", "b.encoder"],
    );
    refuses(Format::Taming.plan(named(&["a"]), None), &["no tokenizer"]);
}

#[test]
fn every_format_is_known_by_its_names() {
    let taming = [
        "encoder.down.0.block.0.norm1.weight",
        "encoder.mid.block_1.norm1.weight",
    ];
    let more = |key| named(&[taming[0], taming[1], key]);
    let cases = [
        (named(&taming), Format::Taming),
        (under("model.", &named(&taming)), Format::Taming),
        (
            more("model.diffusion_model.out.2.weight"),
            Format::LatentDiffusion,
        ),
        (more("model_ema.quantizeembeddingweight"), Format::Ibq),
        (
            named(&["encoder.down_blocks.0.resnets.0.norm1.weight"]),
            Format::Diffusers,
        ),
        (
            named(&["encoder.conv_blocks.0.res.0.norm1.weight"]),
            Format::Llamagen,
        ),
    ];
    for (tensors, format) in cases {
        assert_eq!(Format::find(&tensors, None).unwrap(), format);
    }
    refuses(
        Format::find(&named(&["my.weight"]), None),
        &["my.weight", "taming", "llamagen"],
    );
    refuses(Format::find(&TensorMap::new(), None), &["no tensors"]);
    for format in Format::ALL {
        assert_eq!(Format::parse(format.name()), Some(format));
    }
}

#[test]
fn a_configuration_decides_between_formats_of_the_same_names() {
    let tensors = tensors(&config());
    let find = |config: Value| Format::find(&tensors, Some(&config)).unwrap();
    let of = |key: &str, class: &str| find(json!({ "model": { key: class } }));
    assert_eq!(of("target", "taming.models.vqgan.VQModel"), Format::Taming);
    assert_eq!(
        of("target", "ldm.models.autoencoder.VQModel"),
        Format::LatentDiffusion
    );
    assert_eq!(of("class_path", "src.IBQ.models.ibqgan.IBQ"), Format::Ibq);
    assert_eq!(of("target", "somebody.elses.VQModel"), Format::Taming);
    assert_eq!(find(json!({ "_class_name": "VQModel" })), Format::Taming);
}

#[test]
fn autoencoders_without_codes_are_named_for_what_they_are() {
    let mut tensors = tensors(&config());
    tensors.retain(|key, _| !key.starts_with("quantize."));
    let plan = |tensors: TensorMap| Format::Taming.plan(tensors, None);
    refuses(plan(tensors.clone()), &["no codebook", "quantize"]);
    tensors.insert("encoder.conv_out.weight".into(), floats(&[12, 64, 3, 3]));
    refuses(
        plan(tensors),
        &["variational autoencoder (KL)", "no codebook"],
    );
}

#[test]
fn a_renumbered_codebook_keeps_its_list() {
    let with = |used: Vec<i64>| {
        let mut tensors = tensors(&config());
        tensors.insert("quantize.used".into(), HostTensor::i64([used.len()], used));
        Format::Taming.plan(tensors, None)
    };
    let plan = with(vec![4, 1]).unwrap();
    assert_eq!([plan.tokenizer.used_codes, plan.tokenizer.codes()], [2, 2]);
    assert_eq!(
        plan.tensors["tokenizer.remap.used"].as_f32().unwrap(),
        [4.0, 1.0]
    );
    refuses(with(vec![-1]), &["quantize.used", "-1"]);
    refuses(with(vec![]), &["quantize.used"]);
    refuses(with(vec![0; 99]), &["used_codes is 99"]);
}

#[test]
fn quantisers_are_told_by_what_they_leave() {
    let plan = |mut tensors: TensorMap, key: &str, shape: &[usize]| {
        tensors.insert(key.to_string(), floats(shape));
        Format::Taming.plan(tensors, None).unwrap().tokenizer
    };
    let averaged = plan(tensors(&config()), "quantize.embedding.cluster_size", &[7]);
    assert_eq!(averaged.quantizer, QuantizerKind::Ema);
    let mut gumbel = tensors(&config());
    gumbel.remove("quantize.embedding.weight");
    gumbel.insert("quantize.proj.weight".into(), floats(&[11, 5, 1, 1]));
    let gumbel = plan(gumbel, "quantize.embed.weight", &[11, 5]);
    assert_eq!(gumbel.quantizer, QuantizerKind::Gumbel);
    assert_eq!(gumbel.codebook_size, 11);
}

#[test]
fn averages_take_the_place_of_weights() {
    let own = tensors(&config());
    let mut file = own.clone();
    for (key, tensor) in &own {
        let average = floats(&tensor.shape);
        file.insert(format!("model_ema.{}", key.replace('.', "")), average);
    }
    assert_eq!(Format::find(&file, None).unwrap(), Format::Ibq);
    let plan = Format::Ibq.plan(file.clone(), None).unwrap();
    assert_eq!(plan.tokenizer.quantizer, QuantizerKind::Ibq);
    for (key, tensor) in &own {
        assert_eq!(
            plan.tensors[&format!("tokenizer.{key}")],
            floats(&tensor.shape)
        );
    }
    file.remove("model_ema.quant_convbias");
    refuses(
        Format::Ibq.plan(file, None),
        &["model_ema.quant_convbias", "missing"],
    );
    // Without any, the weights themselves are all there is.
    let plan = Format::Ibq.plan(own.clone(), None).unwrap();
    assert_eq!(plan.tensors, under("tokenizer.", &own));
}

#[test]
fn a_middle_without_attention_gets_one_that_does_nothing() {
    let mut tensors = tensors(&config());
    tensors.retain(|key, _| !key.contains(".mid.attn_1."));
    let plan = Format::Taming.plan(tensors, None).unwrap();
    for side in ["encoder", "decoder"] {
        let attention = &plan.tensors[&format!("tokenizer.{side}.mid.attn_1.proj_out.weight")];
        assert_eq!(
            *attention,
            HostTensor::f32([64, 64, 1, 1], vec![0.0; 64 * 64])
        );
    }
    build(plan, &Device::flex()).unwrap();
    // A width without the weights to go with it is not believed.
    let mut absurd = named(&["encoder.conv_in.weight"]);
    let width = HostTensor::f32([1 << 20, 0], vec![]);
    absurd.insert("encoder.mid.block_1.conv1.weight".into(), width);
    refuses(
        shape::add_middle_attention(&mut absurd),
        &["mid.block_1.conv1"],
    );
}

#[test]
fn weights_without_a_place_are_refused() {
    let refuse = |key: &str| {
        let mut tensors = tensors(&config());
        tensors.insert(key.to_string(), floats(&[1]));
        let plan = Format::Taming.plan(tensors, None).unwrap();
        refuses(build(plan, &Device::flex()), &[key, "no such part"]);
    };
    refuse("encoder.down.0.block.0.temb_proj.weight");
    refuse("decoder.up.0.attn.0.q.weight");
}

fn yaml(change: impl Fn(&mut Value)) -> Value {
    let mut yaml = json!({
        "model": {
            "target": "taming.models.vqgan.VQModel",
            "params": {
                "embed_dim": 5,
                "n_embed": 7,
                "ddconfig": {
                    "double_z": false, "z_channels": 6, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 32,
                    "ch_mult": [1, 2, 2], "num_res_blocks": 2, "attn_resolutions": [64], "dropout": 0.0,
                },
            },
        },
    });
    change(&mut yaml["model"]);
    yaml
}

#[test]
fn a_yaml_gives_what_the_tensors_give() {
    let plan = |format: Format, config: Value| format.plan(tensors(&self::config()), Some(&config));
    let read = |config: Value| plan(Format::Taming, config).unwrap().tokenizer;
    assert_eq!(read(yaml(|_| {})), config());
    let inner = |model: &mut Value| {
        let stage = std::mem::take(model);
        *model = json!({
            "target": "ldm.models.diffusion.ddpm.LatentDiffusion",
            "params": { "first_stage_config": stage },
        });
    };
    let first_stage = plan(Format::LatentDiffusion, yaml(inner)).unwrap();
    assert_eq!(first_stage.tokenizer, config());
    let lightning = |model: &mut Value| {
        let params = model["params"].take();
        *model = json!({ "class_path": "src.IBQ.models.ibqgan.IBQ", "init_args": params });
    };
    let ibq = plan(Format::Ibq, yaml(lightning)).unwrap();
    let expected = TokenizerConfig {
        quantizer: QuantizerKind::Ibq,
        ..config()
    };
    assert_eq!(ibq.tokenizer, expected);
}

#[test]
fn what_a_yaml_asks_for_and_we_lack_is_refused() {
    let plan = |change: &dyn Fn(&mut Value)| {
        let config = yaml(change);
        Format::Taming.plan(tensors(&self::config()), Some(&config))
    };
    let network = |name: &'static str, value: Value| {
        move |model: &mut Value| model["params"]["ddconfig"][name] = value.clone()
    };
    refuses(
        plan(&network("double_z", json!(true))),
        &["KL", "no codebook"],
    );
    refuses(
        plan(&network("attn_type", json!("linear"))),
        &["attn_type: linear"],
    );
    refuses(plan(&network("tanh_out", json!(true))), &["tanh_out"]);
    refuses(
        plan(&network("resamp_with_conv", json!(false))),
        &["resamp_with_conv"],
    );
    refuses(
        plan(&network("ch", json!("many"))),
        &["`ch`", "whole number"],
    );
    refuses(plan(&network("ch_mult", json!(3))), &["ch_mult", "list"]);
    refuses(
        plan(&|model| model["params"]["remap"] = json!("a.npy")),
        &["params.remap"],
    );
    refuses(
        plan(&|model| model["target"] = json!("a.Strange")),
        &["Strange", "GumbelVQ"],
    );
    refuses(
        plan(&|model| model["target"] = json!("ldm.AutoencoderKL")),
        &["KL"],
    );
    refuses(
        plan(&|model| model["params"] = json!({})),
        &["ddconfig", "missing"],
    );
    // One level fewer than the weights have: everything asked for is there, but it is another network.
    let shallow = plan(&network("ch_mult", json!([1, 2]))).unwrap();
    refuses(
        build(shallow, &Device::flex()),
        &["decoder.up.2", "no such part"],
    );
}

#[test]
fn a_transformer_needs_its_yaml() {
    let mut file = under("first_stage_model.", &tensors(&config()));
    file.extend(named(&["transformer.tok_emb.weight"]));
    refuses(
        Format::Taming.plan(file, None),
        &["transformer", "heads", "--config"],
    );
}

#[test]
fn configurations_of_diffusers_must_agree() {
    let tensors = || {
        let mut diffusers = named(&["encoder.down_blocks.0.resnets.0.norm1.weight"]);
        diffusers.extend(tensors(&config()));
        diffusers
    };
    let plan = |config: Value| Format::Diffusers.plan(tensors(), Some(&config));
    let agreeing = json!({
        "_class_name": "VQModel", "block_out_channels": [32, 64, 64], "layers_per_block": 2, "latent_channels": 6,
        "num_vq_embeddings": 7, "vq_embed_dim": null, "norm_type": "group", "norm_num_groups": 32, "act_fn": "silu",
    });
    assert_eq!(plan(agreeing.clone()).unwrap().tokenizer, config());
    let with = |name: &str, value: Value| {
        let mut config = agreeing.clone();
        config[name] = value;
        plan(config)
    };
    refuses(
        with("_class_name", json!("AutoencoderKL")),
        &["KL", "no codebook"],
    );
    refuses(
        with("_class_name", json!("PaellaVQModel")),
        &["PaellaVQModel", "VQModel"],
    );
    refuses(with("norm_type", json!("spatial")), &["spatial", "MoVQ"]);
    refuses(with("act_fn", json!("mish")), &["mish"]);
    refuses(
        with("norm_num_groups", json!(16)),
        &["norm_num_groups is 16"],
    );
    refuses(
        with("num_vq_embeddings", json!(8)),
        &["num_vq_embeddings", "8", "7"],
    );
    refuses(
        with("block_out_channels", json!([32, 64])),
        &["[32,64]", "[32,64,64]"],
    );
    let mut spatial = tensors();
    spatial.extend(named(&["decoder.conv_norm_out.conv_y.weight"]));
    refuses(Format::Diffusers.plan(spatial, None), &["MoVQ"]);
}
