//! Tokenizers of every kind through the command line: quantisers, presets, label maps, depth, starting from a model, and
//! their figures.

mod common;

use common::*;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::tempdir;

/// A picture of `data`.
fn one_picture(data: &Path) -> String {
    let class = fs::read_dir(data).unwrap().next().unwrap().unwrap().path();
    let picture = fs::read_dir(class).unwrap().next().unwrap().unwrap().path();
    text(&picture).to_string()
}

fn codes(model: &Path, picture: &str, out: &Path) -> Vec<u8> {
    succeeds(&[
        "encode",
        "--model",
        text(model),
        picture,
        "--out",
        text(out),
    ]);
    fs::read(out).unwrap()
}

#[test]
fn every_quantiser_trains_and_its_codes_are_the_picture() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let picture = one_picture(&data);
    let kinds: [(&str, &[&str]); 10] = [
        ("nearest", &[]),
        ("l2", &["entropy_weight=0.1"]),
        ("ema", &[]),
        ("ema-l2", &["code_gradient=rotation"]),
        (
            "gumbel",
            &[
                "kl_weight=0.001",
                "temperature=0.9",
                "restart_below=0",
                "code_gradient=straight-through",
            ],
        ),
        (
            "fsq",
            &[
                "fsq_levels=[4, 4, 2]",
                "embed_dim=3",
                "restart_below=0",
                "code_gradient=straight-through",
            ],
        ),
        (
            "lfq",
            &["embed_dim=5", "entropy_weight=0.1", "restart_below=0"],
        ),
        ("simvq", &["restart_below=0"]),
        ("residual", &["codes_per_position=3"]),
        (
            "ibq",
            &["restart_below=0", "code_gradient=straight-through"],
        ),
    ];
    for (kind, more) in kinds {
        let run = folder.path().join(kind);
        let quantizer = format!("quantizer={kind}");
        let mut settings = vec!["--set", &quantizer];
        settings.extend(more.iter().flat_map(|setting| ["--set", *setting]));
        train_tokenizer(&data, &run, "4", &settings);
        let report = json(&["info", text(&run)]);
        assert_eq!(report["tokenizer"]["quantizer"], kind);
        codes_are_the_picture(&run, &picture);
    }
}

/// Picture to codes to picture is the same as straight through.
#[track_caller]
fn codes_are_the_picture(run: &Path, picture: &str) {
    let folder = tempdir().unwrap();
    let [straight, decoded] = ["straight", "decoded"].map(|name| folder.path().join(name));
    succeeds(&[
        "reconstruct",
        "--model",
        text(run),
        picture,
        "--out",
        text(&straight),
    ]);
    let file = folder.path().join("codes.safetensors");
    codes(run, picture, &file);
    succeeds(&[
        "decode",
        "--model",
        text(run),
        text(&file),
        "--out",
        text(&decoded),
    ]);
    let first = |folder: &Path| {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.retain(|path| !path.ends_with("grid.png"));
        fs::read(&names[0]).unwrap()
    };
    assert!(first(&straight) == first(&decoded), "{}", run.display());
}

/// Those of the tokenizers that the paper compares with: no other network is loaded, and a prior learns their codes.
#[test]
fn tokenizers_to_compare_with_train_and_have_priors() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let picture = one_picture(&data);
    let colours = ["--set", "channel_multipliers=[1]", "--set", "kmeans_step=2"];
    let presets: [(&str, &[&str], [u64; 2], u64); 4] = [
        ("vqvae", &[], [4, 4], 32),
        ("dvae", &[], [4, 4], 32),
        ("vqvae2", &[], [4, 20], 64),
        ("colours", &colours, [16, 16], 32),
    ];
    for (preset, more, [rows, columns], vocabulary) in presets {
        let [run, prior, out] =
            ["run", "prior", "out"].map(|name| folder.path().join(format!("{preset}-{name}")));
        train_tokenizer(
            &data,
            &run,
            "12",
            &[&["--preset", preset][..], more].concat(),
        );
        codes_are_the_picture(&run, &picture);
        let report = json(&[
            "eval",
            "reconstruction",
            "--model",
            text(&run),
            "--data",
            text(&data),
            "--size",
            "16",
            "--perceptual",
            "none",
        ]);
        let codes = report["figures"]["codes"].as_u64().unwrap();
        assert_eq!(codes, 12 * rows * columns, "{preset}");
        train_prior(&data, &run, &prior, "2", &[]);
        let report = &json(&["info", text(&prior)])["prior"];
        assert_eq!(report["rows"], rows, "{preset}");
        assert_eq!(report["columns"], columns, "{preset}");
        assert_eq!(report["vocabulary_size"], vocabulary, "{preset}");
        succeeds(&[
            "sample",
            "--model",
            text(&prior),
            "-n",
            "1",
            "--out",
            text(&out),
        ]);
        let sides = image::image_dimensions(out.join("000000.png")).unwrap();
        assert_eq!(sides, (16, 16), "{preset}");
    }
}

/// Several codes stand for a position; the prior learns them as a longer grid.
#[test]
fn a_prior_learns_residual_codes() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let (tokenizer, prior) = (folder.path().join("tokenizer"), folder.path().join("prior"));
    let settings = [
        "--set",
        "quantizer=residual",
        "--set",
        "codes_per_position=2",
    ];
    train_tokenizer(&data, &tokenizer, "3", &settings);
    train_prior(&data, &tokenizer, &prior, "2", &[]);
    let report = json(&["info", text(&prior)]);
    assert_eq!(
        [&report["prior"]["rows"], &report["prior"]["columns"]],
        [4, 8]
    );
    let out = folder.path().join("samples");
    succeeds(&[
        "sample",
        "--model",
        text(&prior),
        "-n",
        "2",
        "--out",
        text(&out),
    ]);
    let (width, height) = image::image_dimensions(out.join("000000.png")).unwrap();
    assert_eq!((width, height), (16, 16));
}

#[test]
fn presets_are_named_and_laid_over_each_other() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 4, 32);
    let run = folder.path().join("run");
    succeeds(&[
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--out",
        text(&run),
        "--preset",
        "simvq,tiny,f8",
        "--steps",
        "1",
        "--set",
        "size=32",
        "--set",
        "batch=2",
        "--set",
        "perceptual=none",
    ]);
    let tokenizer = &json(&["info", text(&run)])["tokenizer"];
    assert_eq!(tokenizer["quantizer"], "simvq");
    assert_eq!(tokenizer["channels"], 32);
    assert_eq!(
        tokenizer["channel_multipliers"].as_array().unwrap().len(),
        4
    );
    // Attention levels are counted from the size of the training pictures.
    assert_eq!(tokenizer["resolution"], 32);
    let wrong = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--preset",
        "robst",
    ];
    fails(&wrong, &["robst", "classic", "robust", "f16"]);
}

/// The default's upkeep of the codebook is for other quantisers; started from a model of such a kind, it is left out.
#[test]
fn a_model_without_rows_is_gone_on_from() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 6, 16);
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let simvq = ["--set", "quantizer=simvq"];
    let base = ["train", "tokenizer", "--data", text(&data), "--out"];
    let without = [&base[..], &[text(&first)], &TINY, &simvq].concat();
    fails(&without, &["restart_below 0.1", "simvq", "set both to 0"]);
    assert!(!first.exists());
    let settings = [&simvq[..], &["--set", "restart_below=0"]].concat();
    train_tokenizer(&data, &first, "2", &settings);
    let more = [
        text(&second),
        "--init-from",
        text(&first),
        "--steps",
        "2",
        "--set",
        "size=16",
        "--set",
        "batch=4",
        "--set",
        "perceptual=none",
        "--set",
        "discriminator_layers=1",
    ];
    succeeds(&[&base[..], &more].concat());
    let config = fs::read_to_string(second.join("config.yaml")).unwrap();
    assert!(config.contains("quantizer: simvq"), "{config}");
    // It has its weights now.
    let resume = ["train", "tokenizer", "--resume", text(&second)];
    let elsewhere = [&resume[..], &["--set", "init_from=elsewhere"]].concat();
    fails(&elsewhere, &["init_from is `elsewhere`", text(&first)]);
    succeeds(&[&resume[..], &["--steps", "3"]].concat());
    // Killed before its first checkpoint, it begins with the model again.
    let whole = fs::read(model(&second, 2)).unwrap();
    fs::remove_dir_all(second.join("checkpoints")).unwrap();
    succeeds(&[&resume[..], &["--steps", "2"]].concat());
    assert!(whole == fs::read(model(&second, 2)).unwrap());
}

#[test]
fn a_frozen_encoder_leaves_all_codes_as_they_are() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let picture = one_picture(&data);
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    train_tokenizer(&data, &first, "4", &[]);
    let base = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--out",
        text(&second),
        "--steps",
        "3",
    ];
    let more = [
        "--init-from",
        text(&first),
        "--set",
        "train=decoder",
        "--set",
        "perceptual=none",
    ];
    let rest = [
        "--set",
        "size=16",
        "--set",
        "batch=4",
        "--set",
        "discriminator_layers=1",
    ];
    succeeds(&[&base[..], &more, &rest].concat());
    let [before, after] = [(&first, "a"), (&second, "b")].map(|(model, name)| {
        let file = folder.path().join(name);
        codes(model, &picture, &file);
        smalti::checkpoint::read_tensors(&file).unwrap().0["codes"].clone()
    });
    assert_eq!(before, after);
    let hash = |run: &Path| json(&["info", text(run)])["tokenizer_hash"].clone();
    assert_ne!(hash(&first), hash(&second), "the decoder has learned");
    let alone = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--set",
        "train=decoder",
        "--set",
        "perceptual=none",
    ];
    fails(&alone, &["init_from"]);
}

/// Label maps: stripes of three labels.
fn label_maps(folder: &Path) -> std::path::PathBuf {
    let data = folder.join("labels");
    fs::create_dir_all(&data).unwrap();
    for index in 0..8u32 {
        let map = image::GrayImage::from_fn(16, 16, |x, y| {
            image::Luma([((x + y + index) / 4 % 3) as u8])
        });
        map.save(data.join(format!("{index}.png"))).unwrap();
    }
    data
}

#[test]
fn label_maps_are_learned_by_cross_entropy() {
    let folder = tempdir().unwrap();
    let data = label_maps(folder.path());
    let run = folder.path().join("run");
    let settings = [
        "--set",
        "data_kind=labels",
        "--set",
        "classes=3",
        "--set",
        "in_channels=3",
        "--set",
        "out_channels=3",
        "--set",
        "discriminator_weight=0",
        "--set",
        "validation=0.25",
        "--set",
        "learning_rate=0.002",
    ];
    train_tokenizer(&data, &run, "60", &settings);
    let lines = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let validations: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["split"] == "validation")
        .collect();
    let accuracy = |line: &Value| line["pixel_accuracy"].as_f64().unwrap();
    let (first, last) = (
        accuracy(&validations[0]),
        accuracy(validations.last().unwrap()),
    );
    assert!(last > first && last > 0.6, "{first} to {last}");
    let out = folder.path().join("out");
    let map = data.join("0.png");
    let report = json(&[
        "reconstruct",
        "--model",
        text(&run),
        text(&map),
        "--out",
        text(&out),
    ]);
    assert!(
        report["pictures"][0]["pixel_accuracy"].is_number(),
        "{report}"
    );
    let wrong = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--set",
        "data_kind=labels",
        "--set",
        "classes=3",
    ];
    fails(&wrong, &["perceptual", "discriminator_weight"]);
}

#[test]
fn depth_has_one_channel() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("depth");
    fs::create_dir_all(&data).unwrap();
    for index in 0..6u16 {
        let map: image::ImageBuffer<image::Luma<u16>, Vec<u16>> =
            image::ImageBuffer::from_fn(16, 16, |x, y| {
                image::Luma([(x * 300 + y * 900) as u16 + 7 * index])
            });
        map.save(data.join(format!("{index}.png"))).unwrap();
    }
    let run = folder.path().join("run");
    let settings = [
        "--set",
        "data_kind=depth",
        "--set",
        "in_channels=1",
        "--set",
        "out_channels=1",
    ];
    train_tokenizer(&data, &run, "3", &settings);
    let out = folder.path().join("out");
    let map = data.join("0.png");
    let report = json(&[
        "reconstruct",
        "--model",
        text(&run),
        text(&map),
        "--out",
        text(&out),
    ]);
    assert!(report["pictures"][0]["psnr"].is_number(), "{report}");
    let wrong = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--set",
        "data_kind=depth",
        "--set",
        "perceptual=none",
    ];
    fails(&wrong, &["in_channels", "1"]);
}

#[test]
fn figures_say_how_they_were_measured() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 10, 24);
    let run = folder.path().join("run");
    train_tokenizer(
        &data,
        &run,
        "3",
        &["--set", "validation=0.2", "--set", "resize=24"],
    );
    let base = [
        "eval",
        "reconstruction",
        "--model",
        text(&run),
        "--perceptual",
        "none",
    ];
    let report = json(&[&base[..], &["--crops", "4"]].concat());
    assert_eq!(report["protocol"]["split"], "validation");
    assert_eq!(report["protocol"]["pictures"], 4);
    assert_eq!(report["figures"]["pictures"], 16);
    assert_eq!(report["figures"]["codes"], 16 * 16);
    assert!(report["figures"]["psnr"].is_number() && report["figures"]["lpips"].is_null());
    let all = json(&[&base[..], &["--data", text(&data), "--size", "16"]].concat());
    assert_eq!(all["protocol"]["split"], "all");
    assert_eq!(all["figures"]["pictures"], 20);
    assert_eq!(
        json(&[&base[..], &["--crops", "4"]].concat()),
        report,
        "crops follow from the seed"
    );
    fails(
        &[&base[..], &["--size", "15"]].concat(),
        &["--size 15", "multiple of 4"],
    );
}

#[test]
fn used_codes_get_new_numbers() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let run = folder.path().join("run");
    train_tokenizer(&data, &run, "3", &[]);
    let fewer = folder.path().join("fewer.safetensors");
    let report = json(&[
        "remap",
        "--model",
        text(&run),
        "--data",
        text(&data),
        "--out",
        text(&fewer),
    ]);
    let used = report["codes"].as_u64().unwrap();
    assert!((1..=32).contains(&used), "{report}");
    assert_eq!(
        json(&["info", text(&fewer)])["tokenizer"]["used_codes"],
        used
    );
    // Pictures look as before, and their codes are below the new number of codes.
    let picture = one_picture(&data);
    let file = folder.path().join("codes.safetensors");
    codes(&fewer, &picture, &file);
    let (tensors, _) = smalti::checkpoint::read_tensors(&file).unwrap();
    let numbers = tensors["codes"].as_i64().unwrap();
    assert!(numbers.iter().all(|&number| (number as u64) < used));
    let [before, after] = [&run, &fewer].map(|model| {
        let out = folder.path().join("reconstructed");
        let _ = fs::remove_dir_all(&out);
        succeeds(&[
            "reconstruct",
            "--model",
            text(model),
            &picture,
            "--out",
            text(&out),
        ]);
        fs::read(out.join("grid.png")).unwrap()
    });
    assert!(before == after);
    let prior = folder.path().join("prior");
    train_prior(&data, &fewer, &prior, "2", &[]);
    assert_eq!(
        json(&["info", text(&prior)])["prior"]["vocabulary_size"],
        used
    );
    let other = run.join("x");
    let again = [
        "remap",
        "--model",
        text(&fewer),
        "--data",
        text(&data),
        "--out",
        text(&other),
    ];
    fails(&again, &["own numbers"]);
}
