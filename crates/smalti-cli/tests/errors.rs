//! Wrong input: one clear line on standard error, exit code 1 (2 for a wrong command line), nothing half-written.

mod common;

use common::*;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

/// `smalti train tokenizer` on `data`, which must fail before there is a run folder.
#[track_caller]
fn training_fails(data: &Path, more: &[&str], words: &[&str]) {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let base = [
        "train",
        "tokenizer",
        "--data",
        text(data),
        "--out",
        text(&out),
        "--steps",
        "1",
    ];
    fails(&[&base[..], &TINY, more].concat(), words);
    assert!(!out.exists(), "a run folder was left behind");
}

/// A tiny trained tokenizer with a class-conditional prior; two classes.
fn trained(folder: &Path) -> PathBuf {
    let data = pictures(folder, 2, 6, 16);
    let (tokenizer, prior) = (folder.join("tokenizer"), folder.join("prior"));
    train_tokenizer(&data, &tokenizer, "2", &[]);
    train_prior(&data, &tokenizer, &prior, "2", &["--condition", "class"]);
    prior
}

#[test]
fn no_such_folder() {
    let folder = tempdir().unwrap();
    training_fails(
        &folder.path().join("nowhere"),
        &[],
        &["nowhere", "no such file or folder"],
    );
}

#[test]
fn an_empty_folder() {
    let folder = tempdir().unwrap();
    training_fails(folder.path(), &[], &["no pictures found"]);
}

#[test]
fn a_text_file_called_png() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("a.png"), "this is no picture").unwrap();
    training_fails(
        folder.path(),
        &[],
        &["the only picture could not be read", "a.png"],
    );
}

#[test]
fn a_truncated_jpeg_among_good_files_is_skipped_and_named() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 8, 16);
    let mut jpeg = std::io::Cursor::new(Vec::new());
    smalti::data::drawn::draw(0, 0, 64)
        .write_to(&mut jpeg, image::ImageFormat::Jpeg)
        .unwrap();
    let bytes = jpeg.into_inner();
    fs::write(data.join("circle/broken.jpg"), &bytes[..bytes.len() / 2]).unwrap();
    let out = folder.path().join("run");
    let base = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--out",
        text(&out),
        "--epochs",
        "2",
    ];
    let output = smalti(&[&base[..], &TINY, &["--set", "validation=0"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(
        errors.contains("skipped") && errors.contains("broken.jpg"),
        "{errors}"
    );
}

#[test]
fn a_bad_picture_among_those_held_back_is_skipped() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 4, 16);
    // Of four pictures one is held back; whichever it is, once it is the bad one.
    for index in 0..4 {
        let picture = data.join(format!("circle/{index}.png"));
        let good = fs::read(&picture).unwrap();
        fs::write(&picture, "no picture").unwrap();
        train_tokenizer(&data, &folder.path().join(format!("run-{index}")), "1", &[]);
        fs::write(&picture, good).unwrap();
    }
}

#[test]
fn pictures_smaller_than_the_crop() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 3, 12);
    training_fails(&data, &[], &["none of the", "12×12", "16×16"]);
}

#[test]
fn a_misspelt_setting_is_named_with_the_nearest() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 3, 16);
    let config = folder.path().join("config.yaml");
    fs::write(&config, "learning_rat: 0.1\n").unwrap();
    training_fails(
        &data,
        &["--config", text(&config)],
        &["config.yaml", "learning_rat", "learning_rate"],
    );
    training_fails(
        &data,
        &["--set", "codebok_size=5"],
        &["codebok_size", "codebook_size"],
    );
    training_fails(&data, &["--set", "codebook_size"], &["key=value"]);
    training_fails(&data, &["--set", "batch=many"], &["batch"]);
}

#[test]
fn settings_out_of_range() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 3, 16);
    training_fails(
        &data,
        &["--set", "codebook_size=0"],
        &["codebook_size is 0"],
    );
    training_fails(&data, &["--set", "channels=33"], &["channels is 33", "32"]);
    training_fails(
        &data,
        &["--set", "size=18"],
        &["size is 18", "multiple of 4"],
    );
    training_fails(&data, &["--set", "batch=0"], &["batch is 0"]);
    training_fails(&data, &["--set", "validation=.nan"], &["non-finite"]);
    training_fails(
        &data,
        &["--set", "validation=2"],
        &["validation is 2", "at most"],
    );
    training_fails(&data, &["--set", "in_channels=1"], &["in_channels"]);
    training_fails(
        &data,
        &["--set", "discriminator_layers=3"],
        &["discriminator_layers"],
    );
    training_fails(
        &data,
        &["--perceptual", "nonsense"],
        &["nonsense", "vgg, alex, none"],
    );
}

#[test]
fn a_run_is_never_overwritten() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 3, 16);
    let out = folder.path().join("run");
    train_tokenizer(&data, &out, "1", &[]);
    let base = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--out",
        text(&out),
        "--steps",
        "1",
    ];
    fails(&[&base[..], &TINY].concat(), &["is not empty", "--resume"]);
}

#[test]
fn an_output_folder_that_cannot_be_made() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 3, 16);
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let out = file.join("run");
    let base = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--out",
        text(&out),
        "--steps",
        "1",
    ];
    fails(&[&base[..], &TINY].concat(), &["file/run"]);
}

#[test]
fn a_checkpoint_truncated_anywhere() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 3, 16);
    let run = folder.path().join("run");
    train_tokenizer(&data, &run, "1", &[]);
    let bytes = fs::read(model(&run, 1)).unwrap();
    let broken = folder.path().join("broken.safetensors");
    for tenth in 0..10 {
        fs::write(&broken, &bytes[..bytes.len() * tenth / 10 + tenth]).unwrap();
        fails(&["info", text(&broken)], &["broken.safetensors"]);
    }
}

#[test]
fn an_authors_checkpoint_truncated_anywhere_or_of_other_sizes() {
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../smalti/tests/golden/transformer-class-tiny");
    let bytes = fs::read(golden.join("last.ckpt")).unwrap();
    let folder = tempdir().unwrap();
    let (broken, out) = (
        folder.path().join("broken.ckpt"),
        folder.path().join("model.safetensors"),
    );
    let config = golden.join("project.yaml");
    let import = |config: &Path, words: &[&str]| {
        let arguments = [
            "import",
            text(&broken),
            "--config",
            text(config),
            "--out",
            text(&out),
        ];
        fails(&arguments, words);
        assert!(!out.exists());
    };
    for tenth in 0..10 {
        fs::write(&broken, &bytes[..bytes.len() * tenth / 10 + tenth]).unwrap();
        import(&config, &["broken.ckpt"]);
    }
    fs::write(&broken, &bytes).unwrap();
    let other = folder.path().join("other.yaml");
    let yaml = fs::read_to_string(&config).unwrap();
    fs::write(&other, yaml.replace("n_embed: 256", "n_embed: 128")).unwrap();
    import(
        &other,
        &["quantize.embedding.weight", "[256, 64]", "[128, 64]"],
    );
    fs::write(&other, yaml.replace("n_layer: 2", "n_layer: 3")).unwrap();
    import(&other, &["transformer.blocks.2", "missing"]);
    fs::write(&other, yaml.replace("Net2NetTransformer", "SomethingElse")).unwrap();
    import(&other, &["other.yaml", "SomethingElse"]);
    fs::write(&other, "just words").unwrap();
    import(&other, &["other.yaml"]);
}

#[test]
fn sampling_with_wrong_options() {
    let folder = tempdir().unwrap();
    let prior = trained(folder.path());
    let out = folder.path().join("samples");
    let sample = |more: &[&str], words: &[&str]| {
        fails(
            &[
                &["sample", "--model", text(&prior), "--out", text(&out)],
                more,
            ]
            .concat(),
            words,
        );
        assert!(!out.exists(), "an output folder was left behind");
    };
    sample(
        &["--class", "7"],
        &["class 7 does not exist", "2 classes", "circle"],
    );
    sample(&["--class", "dragon"], &["dragon", "circle"]);
    sample(&["--top-k", "0"], &["--top-k is 0"]);
    sample(&["--top-p", "1.5"], &["--top-p is 1.5"]);
    sample(&["--temperature", "0"], &["--temperature is 0"]);
    sample(&["-n", "0"], &["-n is 0"]);
    sample(&["--batch", "0"], &["--batch is 0"]);
    let tokenizer = folder.path().join("tokenizer");
    fails(
        &["sample", "--model", text(&tokenizer), "--out", text(&out)],
        &["without a prior"],
    );
    fails(
        &["sample", "--model", "nowhere", "--out", text(&out)],
        &["nowhere"],
    );
    let usage = smalti(&["sample", "--nonsense"]);
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn measuring_with_wrong_input() {
    let folder = tempdir().unwrap();
    let prior = trained(folder.path());
    let small = folder.path().join("small.png");
    smalti::data::write_png(&small, &smalti::data::drawn::draw(0, 0, 12)).unwrap();
    let nll = |more: &[&str], words: &[&str]| {
        fails(&[&["nll", "--model", text(&prior)], more].concat(), words);
    };
    nll(&[text(&small)], &["--class"]);
    nll(&[text(&small), "--class", "0"], &["small.png", "12×12"]);
    nll(&["nowhere.png", "--class", "0"], &["nowhere.png"]);
}

#[test]
fn codes_of_another_tokenizer_are_refused() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 3, 16);
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    train_tokenizer(&data, &first, "1", &[]);
    train_tokenizer(&data, &second, "1", &["--seed", "5"]);
    let (codes, out) = (
        folder.path().join("codes.safetensors"),
        folder.path().join("out"),
    );
    let picture = data.join("circle/0.png");
    succeeds(&[
        "encode",
        "--model",
        text(&first),
        text(&picture),
        "--out",
        text(&codes),
    ]);
    let decode = |model: &Path| {
        [
            "decode",
            "--model",
            text(model),
            text(&codes),
            "--out",
            text(&out),
        ]
        .map(String::from)
    };
    let arguments = decode(&second);
    fails(
        &arguments.each_ref().map(String::as_str),
        &["another tokenizer"],
    );
    let arguments = decode(&first);
    succeeds(&arguments.each_ref().map(String::as_str));
    fails(
        &arguments.each_ref().map(String::as_str),
        &["exists", "--overwrite"],
    );
}

/// A disk that fills up while a checkpoint is written, played by a limit on the size of files: the write fails with an
/// error, as it does on a full disk.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_previous_checkpoint() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 3, 16);
    let run = folder.path().join("run");
    train_tokenizer(&data, &run, "1", &[]);
    let before = fs::read(model(&run, 1)).unwrap();
    let resume = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--resume",
        text(&run),
        "--steps",
        "2",
    ];
    let limited = |blocks: u64| {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        std::process::Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_smalti")])
            .args(resume)
            .output()
            .unwrap()
    };
    // Blocks are 512 bytes or 1 KiB; a limit well below the model's size in either.
    let output = limited(before.len() as u64 / 4096);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.lines().last().unwrap().starts_with("smalti: "),
        "{errors}"
    );
    assert!(!errors.contains("panicked"), "{errors}");
    assert_eq!(fs::read(model(&run, 1)).unwrap(), before);
    let left: Vec<_> = fs::read_dir(run.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["00000001"], "nothing half-written is left");
    succeeds(&resume);
    succeeds(&["info", text(&run)]);
}
