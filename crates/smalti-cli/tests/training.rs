//! Trainings through the command line: what they leave behind, stopping, continuing, and learning one picture by heart.

mod common;

use common::*;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

fn lines(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn last<'a>(lines: &'a [serde_json::Value], split: &str) -> &'a serde_json::Value {
    lines
        .iter()
        .rev()
        .find(|line| line["split"] == split)
        .unwrap()
}

#[test]
fn a_tokenizer_run_folder_is_complete() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 10, 16);
    let run = folder.path().join("run");
    train_tokenizer(
        &data,
        &run,
        "6",
        &["--set", "log_every=1", "--set", "discriminator_start=0.5"],
    );
    let lines = lines(&run);
    let train: Vec<_> = lines
        .iter()
        .filter(|line| line["split"] == "train")
        .collect();
    assert_eq!(train.len(), 6);
    for line in &train {
        for name in [
            "nll_loss",
            "quant_loss",
            "usage_batch",
            "perplexity_batch",
            "usage_65536",
            "perplexity_65536",
        ] {
            assert!(line[name].is_number(), "{name} in {line}");
        }
    }
    assert!(train[2]["d_weight"].is_null());
    for name in [
        "d_weight",
        "g_loss",
        "disc_loss",
        "logits_real",
        "logits_fake",
    ] {
        assert!(train[3][name].is_number(), "{name} in {}", train[3]);
    }
    let validation = last(&lines, "validation");
    assert!(validation["usage_validation"].is_number() && validation["psnr"].is_number());
    assert!(run.join("images/reconstruction-00000006.png").is_file());
    let events = fs::read_dir(run.join("tensorboard"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert!(events.file_name().to_str().unwrap().contains("tfevents"));
    assert!(model(&run, 6).is_file());
    // The configuration is complete: a run made from it has the same one.
    let again = folder.path().join("again");
    let config = run.join("config.yaml");
    succeeds(&[
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--out",
        text(&again),
        "--config",
        text(&config),
        "--steps",
        "6",
    ]);
    assert_eq!(
        fs::read_to_string(&config).unwrap(),
        fs::read_to_string(again.join("config.yaml")).unwrap()
    );
    assert_eq!(
        fs::read(model(&run, 6)).unwrap(),
        fs::read(model(&again, 6)).unwrap(),
        "the same seed, the same model"
    );
}

#[test]
fn the_authors_two_passes_train_too() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 6, 16);
    let run = folder.path().join("run");
    train_tokenizer(
        &data,
        &run,
        "3",
        &["--set", "discriminator_start=0", "--set", "two_passes=true"],
    );
    assert!(last(&lines(&run), "train")["disc_loss"].is_number());
}

/// A run that was cut off after its third step and continued ends with the same bytes as one that was not.
#[track_caller]
fn assert_resumes_exactly(folder: &Path, run: &Path, resume: &[&str]) {
    let whole = fs::read(model(run, 6)).unwrap();
    let cut = folder.join("cut");
    copy(run, &cut);
    fs::remove_dir_all(cut.join("checkpoints/00000006")).unwrap();
    succeeds(&[resume, &["--resume", text(&cut), "--steps", "6"]].concat());
    assert!(
        whole == fs::read(model(&cut, 6)).unwrap(),
        "the continued run ends with another model"
    );
    let steps =
        |run: &Path| -> Vec<_> { lines(run).iter().map(|line| line["step"].clone()).collect() };
    assert_eq!(steps(run), steps(&cut));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

const EVERY: [&str; 4] = ["--set", "checkpoint_every=3", "--set", "log_every=1"];

#[test]
fn a_continued_tokenizer_is_the_same_tokenizer() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let run = folder.path().join("run");
    train_tokenizer(
        &data,
        &run,
        "6",
        &[&EVERY[..], &["--set", "discriminator_start=0.3"]].concat(),
    );
    assert_resumes_exactly(
        folder.path(),
        &run,
        &["train", "tokenizer", "--data", text(&data)],
    );
}

#[test]
fn checkpoints_follow_the_clock_as_well() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let run = folder.path().join("run");
    let settings = [
        "--set",
        "checkpoint_every=0",
        "--set",
        "checkpoint_minutes=0.00000001",
        "--set",
        "keep=6",
        "--set",
        "log_every=1",
    ];
    train_tokenizer(&data, &run, "6", &settings);
    for step in 1..=6 {
        assert!(model(&run, step).is_file(), "no checkpoint of step {step}");
    }
    assert_resumes_exactly(folder.path(), &run, &["train", "tokenizer"]);
    let without = folder.path().join("without");
    let settings = ["--set", "checkpoint_every=0"];
    train_tokenizer(&data, &without, "6", &settings);
    assert!(model(&without, 6).is_file());
    assert_eq!(
        fs::read_dir(without.join("checkpoints")).unwrap().count(),
        1
    );
    let tensors = |run: &Path| smalti::checkpoint::read_tensors(&model(run, 6)).unwrap().0;
    assert!(
        tensors(&run) == tensors(&without),
        "only when it is saved differs"
    );
}

#[test]
fn a_prior_goes_on_with_its_own_tokenizer_only() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let place = |name: &str| folder.path().join(name);
    let (own, other, moved, run) = (place("own"), place("other"), place("moved"), place("prior"));
    train_tokenizer(&data, &own, "2", &[]);
    train_tokenizer(&data, &other, "2", &["--seed", "1"]);
    copy(&own, &moved);
    let conditioned = [
        "--condition",
        "edges",
        "--condition-data",
        text(&data),
        "--condition-tokenizer",
        text(&own),
    ];
    train_prior(&data, &own, &run, "2", &conditioned);
    let config = || fs::read_to_string(run.join("config.yaml")).unwrap();
    let before = config();
    let resume = ["train", "prior", "--resume", text(&run), "--steps", "3"];
    let setting = |name: &str, path: &Path| format!("{name}={}", text(path));
    let (set, set_condition) = (
        setting("tokenizer", &other),
        setting("condition_tokenizer", &other),
    );
    for said in [
        ["--tokenizer", text(&other)],
        ["--set", &set],
        ["--condition-tokenizer", text(&other)],
        ["--set", &set_condition],
    ] {
        let resume = [&resume[..], &said].concat();
        fails(&resume, &[text(&own), text(&other), "is another"]);
        assert_eq!(config(), before, "{said:?}");
    }
    // The same one at another place is the same one.
    let same = [
        "--tokenizer",
        text(&moved),
        "--condition-tokenizer",
        text(&moved),
    ];
    succeeds(&[&resume[..], &same].concat());
    let said = smalti::training::settings::parse_yaml(&config()).unwrap();
    assert_eq!(said["tokenizer"], text(&moved));
    assert!(model(&run, 3).is_file());
}

#[test]
fn a_continued_prior_is_the_same_prior() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let (tokenizer, run) = (folder.path().join("tokenizer"), folder.path().join("prior"));
    train_tokenizer(&data, &tokenizer, "2", &[]);
    let more = [
        &EVERY[..],
        &[
            "--condition",
            "class",
            "--set",
            "pkeep=0.9",
            "--set",
            "attention_dropout=0.1",
        ],
    ]
    .concat();
    train_prior(&data, &tokenizer, &run, "6", &more);
    let resume = [
        "train",
        "prior",
        "--data",
        text(&data),
        "--tokenizer",
        text(&tokenizer),
        "--condition",
        "class",
    ];
    assert_resumes_exactly(folder.path(), &run, &resume);
    let lines = lines(&run);
    let validation = last(&lines, "validation");
    for name in [
        "nats_per_code",
        "bits_per_code",
        "bits_per_pixel",
        "unigram_entropy",
        "log_codebook_size",
    ] {
        assert!(validation[name].is_number(), "{name} in {validation}");
    }
    assert!(run.join("images/samples-00000006.png").is_file());
    assert!(run.join("codes/train.safetensors").is_file());
}

#[test]
fn a_prior_whose_blocks_run_twice_goes_on_exactly() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let (tokenizer, run) = (folder.path().join("tokenizer"), folder.path().join("prior"));
    train_tokenizer(&data, &tokenizer, "2", &[]);
    let more = [
        &EVERY[..],
        &[
            "--set",
            "layers=2",
            "--set",
            "checkpoint_blocks=true",
            "--set",
            "micro_batch=3",
            "--set",
            "attention_dropout=0.1",
            "--set",
            "weight_average=0.9",
        ],
    ]
    .concat();
    train_prior(&data, &tokenizer, &run, "6", &more);
    assert_resumes_exactly(folder.path(), &run, &["train", "prior"]);
    let config = fs::read_to_string(run.join("config.yaml")).unwrap();
    assert!(config.contains("checkpoint_blocks: true"), "{config}");
}

/// Label maps of pictures, under their names: dark, middling and light pixels.
fn label_maps(data: &Path, folder: &Path) -> PathBuf {
    let maps = folder.join("maps");
    for class in fs::read_dir(data).unwrap() {
        let class = class.unwrap();
        let into = maps.join(class.file_name());
        fs::create_dir_all(&into).unwrap();
        for picture in fs::read_dir(class.path()).unwrap() {
            let picture = picture.unwrap();
            let mut map = image::open(picture.path()).unwrap().to_luma8();
            map.pixels_mut().for_each(|pixel| pixel.0[0] /= 86);
            map.save(into.join(picture.file_name())).unwrap();
        }
    }
    maps
}

#[test]
fn a_prior_learns_under_label_maps_and_goes_on_exactly() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let maps = label_maps(&data, folder.path());
    let place = |name: &str| folder.path().join(name);
    let (tokenizer, labels, run) = (place("tokenizer"), place("labels"), place("prior"));
    train_tokenizer(&data, &tokenizer, "2", &[]);
    let of_labels = [
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
    ];
    train_tokenizer(&maps, &labels, "2", &of_labels);
    let without = [
        "train",
        "prior",
        "--data",
        text(&data),
        "--tokenizer",
        text(&tokenizer),
        "--condition",
        "segmentation",
        "--condition-data",
        text(&maps),
    ];
    fails(&without, &["label maps", "--condition-tokenizer"]);
    let more = [
        &EVERY[..],
        &[
            "--condition",
            "segmentation",
            "--condition-data",
            text(&maps),
            "--condition-tokenizer",
            text(&labels),
            "--set",
            "condition_dropout=0.3",
            "--set",
            "unmasked_condition=true",
            "--set",
            "order=spiral-out",
            "--set",
            "crops=2",
            "--set",
            "resize=20",
            "--set",
            "enlarge=true",
            "--set",
            "micro_batch=3",
            "--set",
            "weight_average=0.9",
            "--set",
            "gradient_clip=1",
        ],
    ]
    .concat();
    train_prior(&data, &tokenizer, &run, "6", &more);
    assert_resumes_exactly(folder.path(), &run, &["train", "prior"]);
    assert!(last(&lines(&run), "train")["grad_norm"].is_number());

    let codes = smalti::prior::CodeSet::load(&run.join("codes/train.safetensors")).unwrap();
    // Eleven pictures are left to train on: two squares of each, and each of these mirrored.
    assert_eq!(codes.len(), 44);
    assert_eq!(codes.condition.len(), codes.codes.len());
    let report = succeeds(&["--json", "info", text(&run)]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        report["kind"],
        "tokenizer and segmentation-conditional prior"
    );
    assert_eq!(report["prior"]["nothing_token"], 32);
    let picture = data.join("circle/0.png");
    let nll = ["nll", "--model", text(&run), text(&picture)];
    fails(&nll, &["segmentation", "--condition-data"]);
    let circles = maps.join("circle");
    succeeds(&[&nll[..], &["--condition-data", text(&circles)]].concat());
}

#[test]
fn a_pixelsnail_learns_goes_on_measures_and_draws() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let place = |name: &str| folder.path().join(name);
    let (tokenizer, run, out) = (place("tokenizer"), place("prior"), place("samples"));
    train_tokenizer(&data, &tokenizer, "2", &[]);
    let network = ["--set", "network=pixelsnail", "--set", "attention_width=8"];
    let base = [
        "train",
        "prior",
        "--data",
        text(&data),
        "--tokenizer",
        text(&tokenizer),
    ];
    fails(
        &[&base[..], &network, &["--set", "order=spiral-out"]].concat(),
        &["order", "pixelsnail"],
    );
    fails(
        &[&base[..], &network, &["--set", "checkpoint_blocks=true"]].concat(),
        &["checkpoint_blocks", "pixelsnail"],
    );
    let more = [
        &EVERY[..],
        &network,
        &[
            "--condition",
            "class",
            "--set",
            "condition_dropout=0.2",
            "--set",
            "micro_batch=3",
            "--set",
            "weight_average=0.9",
        ],
    ]
    .concat();
    train_prior(&data, &tokenizer, &run, "6", &more);
    assert_resumes_exactly(folder.path(), &run, &["train", "prior"]);
    let report = succeeds(&["--json", "info", text(&run)]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["prior"]["network"]["pixelsnail"]["kernel"], 2);
    assert!(succeeds(&["info", text(&run)]).contains("pixelsnail of 1 blocks"));
    let picture = data.join("circle/0.png");
    let nll = [
        "nll",
        "--model",
        text(&run),
        text(&picture),
        "--class",
        "circle",
    ];
    succeeds(&nll);
    fails(
        &[&nll[..], &["--weights", "int8"]].concat(),
        &["pixelsnail"],
    );
    let sample = [
        "sample",
        "--model",
        text(&run),
        "-n",
        "3",
        "--out",
        text(&out),
    ];
    fails(
        &[&sample[..], &["--size", "32x16"]].concat(),
        &["pixelsnail", "4 × 4"],
    );
    succeeds(&[&sample[..], &["--guidance", "1.5"]].concat());
    assert!(fs::read_dir(&out).unwrap().count() >= 3);
}

#[test]
fn priors_learn_under_coordinates_and_coarse_pictures() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 6, 16);
    let tokenizer = folder.path().join("tokenizer");
    train_tokenizer(&data, &tokenizer, "2", &[]);
    let picture = data.join("circle/0.png");
    for (condition, more) in [("coord", "crops=3"), ("lowres", "lowres_factor=2")] {
        let run = folder.path().join(condition);
        let settings = [
            "--condition",
            condition,
            "--set",
            more,
            "--set",
            "resize=24",
            "--set",
            "enlarge=true",
        ];
        train_prior(&data, &tokenizer, &run, "2", &settings);
        assert!(run.join("images/samples-00000002.png").is_file());
        succeeds(&["nll", "--model", text(&run), text(&picture)]);
    }
}

#[test]
fn a_run_that_learns_no_more_ends_early() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 6, 16);
    let (tokenizer, run) = (folder.path().join("tokenizer"), folder.path().join("prior"));
    train_tokenizer(&data, &tokenizer, "2", &[]);
    let patient = [
        "--set",
        "patience=1",
        "--set",
        "validate_every=1",
        "--set",
        "learning_rate=0",
    ];
    train_prior(&data, &tokenizer, &run, "50", &patient);
    // The second measurement is no better than the first.
    assert!(model(&run, 2).is_file() && run.join("best.safetensors").is_file());
    let measured = lines(&run);
    let measured = measured.iter().filter(|line| line["split"] == "validation");
    assert_eq!(measured.count(), 2);
    let again = succeeds(&["--json", "train", "prior", "--resume", text(&run)]);
    let report: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(report["step"], 2);
}

#[test]
fn a_run_goes_on_with_nothing_but_its_folder() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let (tokenizer, prior) = (folder.path().join("tokenizer"), folder.path().join("prior"));
    train_tokenizer(&data, &tokenizer, "3", &["--set", "checkpoint_every=2"]);
    train_prior(
        &data,
        &tokenizer,
        &prior,
        "3",
        &["--set", "checkpoint_every=2", "--condition", "class"],
    );
    for (stage, run) in [("tokenizer", &tokenizer), ("prior", &prior)] {
        fs::remove_dir_all(run.join("checkpoints/00000003")).unwrap();
        let whole = succeeds(&["--json", "train", stage, "--resume", text(run)]);
        let report: serde_json::Value = serde_json::from_str(&whole).unwrap();
        assert_eq!(report["step"], 3, "the run's own number of steps");
        assert_eq!(report["stopped"], false);
        succeeds(&["train", stage, "--resume", text(run), "--steps", "4"]);
        assert!(
            fs::read_to_string(run.join("config.yaml"))
                .unwrap()
                .contains("steps: 4")
        );
        assert!(model(run, 4).is_file());
    }
    let state = tokenizer.join("checkpoints/00000004/state.safetensors");
    let bytes = fs::read(&state).unwrap();
    fs::write(&state, &bytes[..bytes.len() / 2]).unwrap();
    fails(
        &[
            "train",
            "tokenizer",
            "--resume",
            text(&tokenizer),
            "--steps",
            "5",
        ],
        &["state.safetensors"],
    );
    fs::write(&state, bytes).unwrap();
    let other = [
        "train",
        "tokenizer",
        "--resume",
        text(&tokenizer),
        "--set",
        "codebook_size=64",
    ];
    fails(&other, &["network differs"]);
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_and_ends_well() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 6, 16);
    let run = folder.path().join("run");
    let base = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--out",
        text(&run),
        "--steps",
        "1000000",
    ];
    let mut child = command(&[&base[..], &TINY, &["--quiet"]].concat())
        .spawn()
        .unwrap();
    let started = std::time::Instant::now();
    while fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count()) < 2 {
        assert!(
            started.elapsed().as_secs() < 120,
            "the training does not start"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let id = child.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let report = succeeds(&["--json", "info", text(&run)]);
    let step = serde_json::from_str::<serde_json::Value>(&report).unwrap()["info"]["step"]
        .as_u64()
        .unwrap();
    assert!(step > 0);
    let next = (step + 2).to_string();
    succeeds(&[
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--resume",
        text(&run),
        "--steps",
        &next,
    ]);
    assert!(model(&run, step + 2).is_file());
}

#[test]
fn one_picture_is_learned_by_heart() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 1, 16);
    let (tokenizer, prior) = (folder.path().join("tokenizer"), folder.path().join("prior"));
    let by_heart = [
        "--set",
        "flip=false",
        "--set",
        "learning_rate=0.002",
        "--set",
        "warmup_steps=20",
    ];
    train_tokenizer(
        &data,
        &tokenizer,
        "500",
        &[&by_heart[..], &["--set", "discriminator_weight=0"]].concat(),
    );
    let loss = last(&lines(&tokenizer), "train")["pixel_loss"]
        .as_f64()
        .unwrap();
    assert!(loss < 0.02, "L1 is {loss}");

    let dropout = [
        "--set",
        "embedding_dropout=0",
        "--set",
        "residual_dropout=0",
    ];
    train_prior(
        &data,
        &tokenizer,
        &prior,
        "300",
        &[&by_heart[..], &dropout].concat(),
    );
    let nats = last(&lines(&prior), "train")["nats_per_code"]
        .as_f64()
        .unwrap();
    assert!(nats < 0.05, "{nats} nats per code");

    let picture = data.join("circle/0.png");
    let (out, codes) = (
        folder.path().join("samples"),
        folder.path().join("codes.safetensors"),
    );
    let (sampled, encoded) = (folder.path().join("sampled.safetensors"), codes);
    succeeds(&[
        "sample",
        "--model",
        text(&prior),
        "-n",
        "1",
        "--top-k",
        "1",
        "--out",
        text(&out),
        "--codes",
        text(&sampled),
    ]);
    succeeds(&[
        "encode",
        "--model",
        text(&prior),
        text(&picture),
        "--out",
        text(&encoded),
    ]);
    let read = |path: &Path| smalti::prior::CodeSet::load(path).unwrap().codes;
    assert_eq!(
        read(&sampled),
        read(&encoded),
        "the greedy sample is the picture's own codes"
    );
    let original = smalti::data::read_image(&picture, [255; 3]).unwrap();
    let sample = smalti::data::read_image(&out.join("000000.png"), [255; 3]).unwrap();
    let psnr = smalti::tokenizer::picture::psnr(&original, &sample);
    assert!(psnr > 30.0, "PSNR {psnr}");
}
