//! How a run ends, early or interrupted, and that its folder is all it needs to go on.

use crate::common::*;
use crate::lines;
use std::fs;
use tempfile::tempdir;

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
