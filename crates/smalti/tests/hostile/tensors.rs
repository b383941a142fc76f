//! Files of tensors: safetensors, codes and models of our own.

use crate::entry::tiny_tokenizer;
use crate::mutate::{self, join_header, pick};
use crate::seeds::Seeds;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use smalti::Device;
use smalti::checkpoint::{HostTensor, TensorMap, write_tensors};
use smalti::initializer::Initializer;
use smalti::model::{Model, ModelInfo};
use smalti::prior::{CodeSet, Gpt, PriorConfig};
use smalti::tokenizer::{Tokenizer, TokenizerConfig};
use std::collections::BTreeMap;
use std::path::Path;

/// Changes a file of tensors, its header as a text or all of it as bytes.
pub fn make(random: &mut ChaCha8Rng, seeds: &Seeds) -> Vec<u8> {
    let file = seeds.any(random);
    if random.random_bool(0.6) {
        mutate::header(random, file, &seeds.good)
    } else {
        mutate::bytes(random, file, &seeds.good)
    }
}

/// Changes a model file, or the configuration of one that has hardly any tensors.
pub fn make_model(random: &mut ChaCha8Rng, seeds: &Seeds) -> Vec<u8> {
    if random.random_bool(0.4) {
        return make(random, seeds);
    }
    let config = pick(random, &seeds.parts).clone();
    let config = mutate::text(random, &config, &seeds.parts);
    model_of(&String::from_utf8_lossy(&config), "{}")
}

/// Changes a file of features, or the header of an array of numpy, whose length is put right.
pub fn make_features(random: &mut ChaCha8Rng, seeds: &Seeds) -> Vec<u8> {
    if random.random_bool(0.5) {
        let file = seeds.any(random);
        return mutate::bytes(random, file, &seeds.good);
    }
    let header = pick(random, &seeds.parts).clone();
    array_of(&mutate::text(random, &header, &seeds.parts), &[0x3F; 48])
}

/// Safetensors files.
pub fn safetensors() -> Seeds {
    let tensors = TensorMap::from([
        ("a".to_string(), HostTensor::f32([2, 3], vec![0.5; 6])),
        ("b".to_string(), HostTensor::i64([0, 4], Vec::new())),
        ("c".to_string(), HostTensor::i64([2], vec![1, 1 << 40])),
    ]);
    let metadata = BTreeMap::from([("step".to_string(), "7".to_string())]);
    let good = vec![
        written(|path| write_tensors(path, &tensors, &metadata)),
        of_all_types(),
    ];
    let bad = bad_headers().map(|header| join_header(header.as_bytes(), &[0; 8]));
    Seeds::files(good, bad.to_vec())
}

/// What the header of a safetensors file says of a tensor.
fn entry(dtype: &str, shape: &str, places: &str) -> String {
    format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":{places}}}"#)
}

/// A safetensors file with a tensor of every type.
fn of_all_types() -> Vec<u8> {
    let all_types = [
        ("F16", 2),
        ("BF16", 2),
        ("F64", 8),
        ("I8", 1),
        ("I16", 2),
        ("I32", 4),
        ("U8", 1),
        ("U16", 2),
        ("U32", 4),
        ("BOOL", 1),
    ];
    let mut place = 0;
    let entries = all_types.map(|(dtype, size)| {
        let begin = place;
        place += 3 * size;
        let entry = entry(dtype, "[3,1]", &format!("[{begin},{place}]"));
        format!("\"{dtype}\":{entry}")
    });
    join_header(
        format!("{{{}}}", entries.join(",")).as_bytes(),
        &vec![0x41; place],
    )
}

/// Headers of safetensors files that lie, or have no end.
fn bad_headers() -> [String; 16] {
    let empty = entry("F32", "[0]", "[0,0]");
    let many: String = (0..3000)
        .map(|name| format!("\"{name}\":{empty},"))
        .collect();
    [
        format!(
            r#"{{"a":{}}}"#,
            entry("F32", "[1]", "[0,18446744073709551615]")
        ),
        format!(
            r#"{{"a":{}}}"#,
            entry("F32", "[1]", "[18446744073709551615,4]")
        ),
        format!(
            r#"{{"a":{0},"b":{0},"c":{0}}}"#,
            entry("F32", "[2]", "[0,8]")
        ),
        format!(r#"{{"a":{0},"a":{0}}}"#, entry("F32", "[2]", "[0,8]")),
        format!(
            r#"{{"a":{}}}"#,
            entry("U8", "[4294967296,4294967296,4294967296]", "[0,8]")
        ),
        format!(
            r#"{{"a":{}}}"#,
            entry("U8", "[0,18446744073709551615,2]", "[0,0]")
        ),
        format!(r#"{{"a":{}}}"#, entry("U8", "[-1]", "[0,8]")),
        format!(
            r#"{{"a":{}}}"#,
            entry("U8", &format!("[{}8]", "1,".repeat(10_000)), "[0,8]")
        ),
        format!(r#"{{"a":{{"x":[{}0]}}}}"#, "0,".repeat(270_000)),
        format!(
            r#"{{"__metadata__":{{"smalti":"{{{}"}}}}"#,
            "\\\"\\\":".repeat(5000)
        ),
        format!(
            r#"{{"__metadata__":{{{}"a":""}}}}"#,
            r#""":"","#.repeat(5000)
        ),
        format!(r#"{{"__metadata__":[],{many}"a":{empty}}}"#),
        format!(r#"{{{many}"a":{empty}}}"#),
        format!("{{{}", "\"a\":{".repeat(5000)),
        format!("{{\"a\":{}", "[".repeat(5000)),
        "{}".to_string(),
    ]
}

/// Files of codes.
pub fn codes() -> Seeds {
    let set = CodeSet {
        codes: vec![3; 12],
        rows: 2,
        columns: 3,
        classes: vec![0, 1],
        condition: vec![5, 6, 7, 8],
        texts: vec![0.5, -0.5],
        tokenizer_hash: "00".to_string(),
        factor: 4,
        codebook_size: 16,
        origin: "{}".to_string(),
    };
    let without_classes = CodeSet {
        classes: Vec::new(),
        condition: Vec::new(),
        texts: Vec::new(),
        ..set.clone()
    };
    let file = |dtype: &str, shape: &str, bytes: usize| {
        let codes = format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{bytes}]}}"#);
        let header = format!(r#"{{"codes":{codes},"__metadata__":{{"codebook_size":"5"}}}}"#);
        join_header(header.as_bytes(), &vec![1; bytes])
    };
    let good = vec![
        written(|path| set.save(path)),
        written(|path| without_classes.save(path)),
        file("U8", "[2,2,2]", 8),
    ];
    let bad = vec![
        file("U8", "[0,4294967296,4294967296]", 0),
        file("U8", "[1099511627776,0,1]", 0),
        file("U8", "[8,1,0]", 0),
        file("I64", "[1,1,1]", 8),
        file("F32", "[1,1,1]", 4),
        file("U8", "[8]", 8),
    ];
    Seeds::files(good, bad)
}

/// Files of codes of a training, in whole numbers of 32 bits.
pub fn stored_codes() -> Seeds {
    let Seeds {
        mut good, mut bad, ..
    } = codes();
    // The last is in bytes, which a set of codes may be.
    bad.extend(good.pop());
    for shape in ["[1099511627776,0,4]", "[1099511627776,4,0]", "[0,0,0]"] {
        let codes =
            format!(r#"{{"codes":{{"dtype":"I32","shape":{shape},"data_offsets":[0,0]}}}}"#);
        bad.push(join_header(codes.as_bytes(), &[]));
    }
    let parts = r#"{"classes":{"dtype":"I32","shape":[1,0],"data_offsets":[4,4]},
        "codes":{"dtype":"I32","shape":[1,1,1],"data_offsets":[0,4]}}"#;
    bad.push(join_header(parts.as_bytes(), &[0; 4]));
    Seeds::files(good, bad)
}

/// Vectors of the 256 tokens of a text encoder.
pub fn text_vectors() -> Seeds {
    let file = |dtype: &str, shape: &str, bytes: usize| {
        let name = "embedding.weight";
        let header = format!(
            r#"{{"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{bytes}]}}}}"#
        );
        join_header(header.as_bytes(), &vec![0x3C; bytes])
    };
    let good = vec![
        file("F16", "[256,2]", 1024),
        file("F32", "[300,1]", 1200),
        file("BF16", "[256,1]", 512),
    ];
    let bad = vec![
        file("F16", "[255,2]", 1020),
        file("F16", "[0,1099511627776]", 0),
        file("F16", "[1099511627776,0]", 0),
        file("F16", "[1024]", 2048),
        file("I64", "[256,1]", 2048),
        file("F32", "[256,1,1]", 1024),
    ];
    Seeds::files(good, bad)
}

/// Files of features; the parts are headers of arrays of numpy.
pub fn features() -> Seeds {
    let header = |code: &str, fortran: &str, shape: &str| {
        let order = format!("'fortran_order': {fortran}");
        format!("{{'descr': '{code}', {order}, 'shape': {shape}, }}\n").into_bytes()
    };
    let parts = vec![
        header("<f4", "False", "(6, 2)"),
        header(">f8", "True", "(2, 3)"),
        header("<f2", "False", "(24, 1)"),
    ];
    let tensor = HostTensor::f32([3, 2], vec![0.5; 6]);
    let tensors = TensorMap::from([("features".to_string(), tensor)]);
    let mut good: Vec<Vec<u8>> = parts
        .iter()
        .map(|part| array_of(part, &[0x3F; 48]))
        .collect();
    good.push(written(|path| {
        write_tensors(path, &tensors, &BTreeMap::new())
    }));
    let bad = [
        header("<f4", "False", "(18446744073709551615, 2)"),
        header("<f4", "False", "(4294967296, 4294967296, 4294967296)"),
        header("<f4", "False", "(0, 18446744073709551615)"),
        header("<f4", "False", "(-6, -2)"),
        header("<f4", "False", &format!("({}12)", "1,".repeat(30_000))),
        header("|u1", "False", "(24, 2)"),
        header("|O", "False", "(6, 1)"),
        b"{'shape': (, 'descr': '".to_vec(),
        Vec::new(),
    ];
    Seeds {
        good,
        bad: bad.iter().map(|part| array_of(part, &[0x3F; 48])).collect(),
        parts,
    }
}

/// An array of numpy.
pub fn array_of(header: &[u8], data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u32).to_le_bytes();
    [&b"\x93NUMPY\x02\x00"[..], &length[..], header, data].concat()
}

/// Model files; the parts are configurations.
pub fn models() -> Seeds {
    let tokenizer = tiny_tokenizer();
    let prior = PriorConfig {
        layers: 2,
        heads: 2,
        width: 8,
        rows: 2,
        columns: 2,
        block_size: 4,
        vocabulary_size: 16,
        ..PriorConfig::default()
    };
    let whole = json!({"tokenizer": tokenizer, "prior": prior});
    let alone = json!({"tokenizer": tokenizer});
    let model = model(tokenizer, prior);
    let file = written(|path| model.save(path));
    let mut bad: Vec<Vec<u8>> = lies(&whole)
        .iter()
        .map(|config| model_of(&config.to_string(), "{}"))
        .collect();
    let numbers = format!("{{\"recipe\":[{}0]}}", "0,".repeat(100_000));
    bad.push(model_of(&whole.to_string(), &numbers));
    bad.push(model_of(&"[".repeat(1000), "{}"));
    Seeds {
        good: vec![file],
        bad,
        parts: vec![
            whole.to_string().into_bytes(),
            alone.to_string().into_bytes(),
        ],
    }
}

fn model(tokenizer_config: TokenizerConfig, prior_config: PriorConfig) -> Model {
    let mut init = Initializer::seeded(&Device::flex(), 7);
    let tokenizer = Tokenizer::new(&mut init, &tokenizer_config);
    let gpt = Gpt::new(&mut init, &prior_config);
    Model {
        tokenizer_config,
        tokenizer,
        prior: Some((prior_config, gpt.into())),
        condition: None,
        info: ModelInfo {
            step: 3,
            recipe: json!({"size": 8, "background": [0, 0, 0]}),
            license: "none".to_string(),
            ..ModelInfo::default()
        },
    }
}

/// A configuration that asks for more than any file of a few numbers holds, in one way each.
fn lies(config: &Value) -> Vec<Value> {
    let lies = [
        ("tokenizer", "channels", json!(1 << 20)),
        ("tokenizer", "codebook_size", json!(1 << 20)),
        ("tokenizer", "residual_blocks", json!(1 << 20)),
        ("tokenizer", "in_channels", json!(1 << 20)),
        ("tokenizer", "embed_dim", json!(u64::MAX)),
        (
            "tokenizer",
            "channel_multipliers",
            json!([64, 64, 64, 64, 64, 64, 64, 64]),
        ),
        ("tokenizer", "channel_multipliers", json!([0])),
        ("tokenizer", "attention_resolutions", json!(vec![8; 10_000])),
        ("prior", "layers", json!(4096)),
        ("prior", "width", json!(1 << 24)),
        ("prior", "block_size", json!(1 << 24)),
        ("prior", "rows", json!(1 << 24)),
        ("prior", "heads", json!(0)),
        ("prior", "embedding_dropout", json!(-1e308)),
        (
            "prior",
            "network",
            json!({"pixelsnail": {"residual_blocks": 256, "attention_width": 1 << 20, "kernel": 9}}),
        ),
        (
            "prior",
            "network",
            json!({"pixelsnail": {"residual_blocks": u64::MAX, "kernel": 0}}),
        ),
        (
            "prior",
            "condition",
            json!({"kind": "class", "classes": u64::MAX}),
        ),
        (
            "prior",
            "condition",
            json!({"kind": "class", "classes": 1, "names": vec![""; 10_000]}),
        ),
        (
            "prior",
            "condition",
            json!({"kind": "none", "start_token": u64::MAX}),
        ),
        (
            "prior",
            "condition",
            json!({"kind": "coord", "levels": 1, "factor": 1, "rows": u64::MAX, "columns": u64::MAX}),
        ),
        (
            "prior",
            "condition",
            json!({"kind": "segmentation", "classes": 60_000, "codes": {"rows": 1, "columns": 1}}),
        ),
        (
            "prior",
            "condition",
            json!({"kind": "edges", "codes": {"rows": 1, "columns": 1, "size": u64::MAX, "tokenizer": {}}}),
        ),
        (
            "prior",
            "condition",
            json!({"kind": "depth", "codes": {"rows": 1, "columns": 1, "tokenizer": {"in_channels": 1, "channels": 1 << 20}}}),
        ),
        (
            "prior",
            "condition",
            json!({"kind": "layout", "classes": u64::MAX, "max_objects": u64::MAX, "tokens": 16}),
        ),
        (
            "prior",
            "condition",
            json!({"kind": "text", "vectors": 65_536, "length": 65_536}),
        ),
        ("prior", "order", json!("z-curve")),
        ("prior", "nothing_token", json!(3)),
    ];
    let lie = |(part, field, value): (&str, &str, Value)| {
        let mut config = config.clone();
        config[part][field] = value;
        config
    };
    lies.map(lie).to_vec()
}

/// A model file with this configuration and provenance, and a tensor of four numbers.
fn model_of(config: &str, info: &str) -> Vec<u8> {
    let metadata = json!({"format": "1", "config": config, "info": info}).to_string();
    let header = json!({
        "__metadata__": {"smalti": metadata},
        "tokenizer.a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
    });
    join_header(header.to_string().as_bytes(), &[0; 16])
}

/// The bytes of a file that `write` makes.
pub fn written(write: impl FnOnce(&Path) -> smalti::Result<()>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path).unwrap();
    std::fs::read(&path).unwrap()
}
