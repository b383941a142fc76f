//! Checkpoints of other programs through the command line: formats found, files written, refusals.

mod common;

use common::*;
use serde_json::{Value, json};
use smalti::Device;
use smalti::checkpoint::{TensorMap, parameters, read_tensors, write_plain_tensors, write_torch};
use smalti::initializer::Initializer;
use smalti::model::{Model, ModelInfo};
use smalti::tokenizer::{QuantizerKind, Tokenizer, TokenizerConfig};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

/// A model file of a tokenizer that nobody trained.
fn tokenizer(folder: &Path, quantizer: QuantizerKind) -> PathBuf {
    let config = TokenizerConfig {
        resolution: 16,
        channels: 32,
        channel_multipliers: vec![1, 2],
        residual_blocks: 1,
        attention_resolutions: vec![8],
        z_channels: 6,
        embed_dim: 6,
        codebook_size: 9,
        quantizer,
        ..TokenizerConfig::default()
    };
    let mut init = Initializer::seeded(&Device::flex(), 1);
    let model = Model {
        tokenizer: Tokenizer::new(&mut init, &config),
        tokenizer_config: config,
        prior: None,
        condition: None,
        info: ModelInfo::default(),
    };
    let path = folder.join("model.safetensors");
    model.save(&path).unwrap();
    path
}

/// The tensors of a model file under the authors' names.
fn tensors(model: &Path) -> TensorMap {
    let model = Model::load(model, &Device::flex()).unwrap();
    parameters(&model.tokenizer, "", str::to_string)
}

fn import_fails(source: &Path, more: &[&str], words: &[&str]) {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let base = ["import", text(source), "--out", text(&out)];
    fails(&[&base[..], more].concat(), words);
    assert!(!out.exists(), "a model was written");
}

/// `transformer-class-tiny` of the authors' code, carried with the library's tests.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../smalti/tests/golden/transformer-class-tiny")
}

#[test]
fn what_is_exported_is_found_and_read_again() {
    let folder = tempdir().unwrap();
    let model = tokenizer(folder.path(), QuantizerKind::Nearest);
    let hash = json(&["info", text(&model)])["tokenizer_hash"].clone();
    let cases = [
        ("compvis", "a/last.ckpt", "taming"),
        ("compvis", "b/last.safetensors", "taming"),
        ("diffusers", "c", "diffusers"),
    ];
    for (to, name, format) in cases {
        let out = folder.path().join(name);
        let report = json(&["export", text(&model), "--to", to, "--out", text(&out)]);
        assert_eq!(report["files"].as_array().unwrap().len(), 2);
        // Without the YAML the shape is read off the tensors.
        let _ = fs::remove_file(out.with_extension("yaml"));
        let read = folder
            .path()
            .join(format!("{to}-{format}-read.safetensors"));
        let arguments = ["import", text(&out), "--out", text(&read), "--overwrite"];
        assert_eq!(json(&arguments)["format"], format);
        let info = json(&["info", text(&read)]);
        assert_eq!(info["tokenizer_hash"], hash);
        assert_eq!(info["tokenizer"]["legacy_beta"], true);
    }
}

#[test]
fn a_prior_goes_out_and_comes_back() {
    let folder = tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (first, out, second) = (
        place("1.safetensors"),
        place("last.ckpt"),
        place("2.safetensors"),
    );
    let golden = golden();
    let (checkpoint, config) = (golden.join("last.ckpt"), golden.join("project.yaml"));
    let import = |source: &Path, config: &Path, to: &Path| {
        let arguments = [
            "import",
            text(source),
            "--config",
            text(config),
            "--out",
            text(to),
        ];
        succeeds(&arguments);
    };
    import(&checkpoint, &config, &first);
    succeeds(&[
        "export",
        text(&first),
        "--to",
        "compvis",
        "--out",
        text(&out),
    ]);
    import(&out, &place("last.yaml"), &second);
    let (first, second) = (
        read_tensors(&first).unwrap(),
        read_tensors(&second).unwrap(),
    );
    assert_eq!(first.0, second.0);
    assert_eq!(first.1["config"], second.1["config"]);
}

#[test]
fn nothing_is_overwritten_unasked() {
    let folder = tempdir().unwrap();
    let model = tokenizer(folder.path(), QuantizerKind::Nearest);
    let out = folder.path().join("last.ckpt");
    let yaml = folder.path().join("last.yaml");
    fs::write(&yaml, "mine").unwrap();
    let arguments = [
        "export",
        text(&model),
        "--to",
        "compvis",
        "--out",
        text(&out),
    ];
    fails(&arguments, &["last.yaml", "exists", "--overwrite"]);
    assert!(!out.exists());
    assert_eq!(fs::read_to_string(&yaml).unwrap(), "mine");
    succeeds(&[&arguments[..], &["--overwrite"]].concat());
    assert!(
        fs::read_to_string(&yaml)
            .unwrap()
            .contains("taming.models.vqgan.VQModel")
    );
    let arguments = ["import", text(&out), "--out", text(&model)];
    fails(&arguments, &["model.safetensors", "exists"]);
}

#[test]
fn what_another_program_cannot_compute_is_not_exported() {
    let folder = tempdir().unwrap();
    let model = tokenizer(folder.path(), QuantizerKind::L2);
    let out = folder.path().join("last.ckpt");
    for to in ["compvis", "diffusers"] {
        let arguments = ["export", text(&model), "--to", to, "--out", text(&out)];
        fails(&arguments, &["l2", "cannot be exported"]);
        assert!(!out.exists());
    }
    let strange = folder.path().join("last.bin");
    let arguments = [
        "export",
        text(&model),
        "--to",
        "compvis",
        "--out",
        text(&strange),
    ];
    fails(&arguments, &["last.bin", ".safetensors"]);
    let arguments = ["export", text(&model), "--to", "onnx", "--out", text(&out)];
    assert_eq!(smalti(&arguments).status.code(), Some(2));
}

#[test]
fn files_that_hold_no_tokenizer_say_what_they_hold() {
    let folder = tempdir().unwrap();
    let model = tokenizer(folder.path(), QuantizerKind::Nearest);
    let file = folder.path().join("other.pt");
    let mut variational = tensors(&model);
    variational.retain(|key, _| !key.starts_with("quantize."));
    let mut wide = variational["encoder.conv_out.weight"].clone();
    wide.shape = vec![12, 32, 3, 3];
    variational.insert("encoder.conv_out.weight".into(), wide);
    write_torch(&file, "state_dict", &variational, &[]).unwrap();
    import_fails(
        &file,
        &[],
        &["other.pt", "variational autoencoder (KL)", "no codebook"],
    );

    let mut foreign = TensorMap::new();
    let tensor = tensors(&model)["quant_conv.bias"].clone();
    foreign.insert("layer.bias".into(), tensor);
    write_plain_tensors(&file, &foreign).unwrap();
    import_fails(
        &file,
        &[],
        &["other.pt", "layer.bias", "diffusers", "llamagen"],
    );
    import_fails(
        &file,
        &["--format", "llamagen"],
        &["encoder.conv_in.weight", "missing"],
    );
    import_fails(&file, &["--format", "dalle"], &["other.pt"]);
    let usage = smalti(&["import", text(&file), "--format", "gif", "--out", "x"]);
    assert_eq!(usage.status.code(), Some(2));

    import_fails(&model, &[], &["model.safetensors", "smalti's own"]);
    import_fails(&folder.path().join("nowhere.ckpt"), &[], &["nowhere.ckpt"]);
    let empty = tempdir().unwrap();
    import_fails(
        empty.path(),
        &[],
        &["model.ckpt", "name the checkpoint's file"],
    );
}

#[test]
fn a_transformer_alone_asks_for_its_yaml() {
    let folder = tempdir().unwrap();
    let alone = folder.path().join("last.ckpt");
    fs::copy(golden().join("last.ckpt"), &alone).unwrap();
    import_fails(&alone, &[], &["last.ckpt", "heads", "--config"]);
    // In the folder it was published in, the YAML is found.
    let out = folder.path().join("model.safetensors");
    let report = json(&["import", text(&golden()), "--out", text(&out)]);
    assert_eq!(report["kind"], "tokenizer and class-conditional prior");
}

#[test]
fn configurations_that_do_not_belong_are_refused() {
    let folder = tempdir().unwrap();
    let model = tokenizer(folder.path(), QuantizerKind::Nearest);
    let out = folder.path().join("vqvae");
    succeeds(&[
        "export",
        text(&model),
        "--to",
        "diffusers",
        "--out",
        text(&out),
    ]);
    let given = folder.path().join("given.json");
    let write = |value: Value| fs::write(&given, value.to_string()).unwrap();
    write(json!({ "model": {} }));
    import_fails(
        &out,
        &["--config", text(&given)],
        &["given.json", "_class_name", "diffusers"],
    );
    write(json!({ "_class_name": "VQModel", "norm_type": "spatial" }));
    import_fails(&out, &["--config", text(&given)], &["given.json", "MoVQ"]);
    write(json!({ "_class_name": "VQModel", "latent_channels": 5 }));
    import_fails(
        &out,
        &["--config", text(&given)],
        &["latent_channels", "5", "6"],
    );
    fs::write(&given, "{").unwrap();
    import_fails(&out, &["--config", text(&given)], &["given.json", "JSON"]);
    // One that only lies there may be of something else.
    let ckpt = folder.path().join("last.ckpt");
    write_torch(&ckpt, "state_dict", &tensors(&model), &[]).unwrap();
    fs::write(
        folder.path().join("config.json"),
        "{\"_class_name\": \"CLIP\"}",
    )
    .unwrap();
    let read = folder.path().join("read.safetensors");
    let report = json(&["import", text(&ckpt), "--out", text(&read)]);
    assert_eq!(report["format"], "taming");
}
