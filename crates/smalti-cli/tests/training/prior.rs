//! Stage 2: a prior that was cut off goes on exactly, and with its own tokenizer only.

use crate::common::*;
use crate::{EVERY, assert_resumes_exactly, copy, last, lines};
use std::fs;
use std::path::Path;
use tempfile::tempdir;

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
