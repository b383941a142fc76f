//! Runs that are killed, at any moment, and continued: they end with the bytes of the run that never was.

mod common;

use common::*;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::tempdir;

const STEPS: u64 = 12;
const KILLS: usize = 20;

/// Everything of stage 1 that has a state: averages of weights, codebook and LeCAM, k-means, restarts, both optimisers.
/// A checkpoint after every step makes its writing a good part of the run.
const STATEFUL: [&str; 20] = [
    "--set",
    "checkpoint_every=1",
    "--set",
    "log_every=1",
    "--set",
    "kmeans_step=4",
    "--set",
    "restart_below=0.2",
    "--set",
    "weight_average=0.9",
    "--set",
    "discriminator_start=0.5",
    "--set",
    "discriminator_warmup=0.2",
    "--set",
    "discriminator_ramp=0.2",
    "--set",
    "lecam_weight=0.001",
    "--set",
    "keep=3",
];

/// The command that starts the run in `run`, or continues what is there of it.
fn arguments(data: &Path, run: &Path) -> Vec<String> {
    let mut all: Vec<String> = ["train", "tokenizer", "--quiet"].map(String::from).to_vec();
    if run.join("config.yaml").is_file() {
        all.extend(["--resume".into(), text(run).into()]);
        return all;
    }
    all.extend(["--data", text(data), "--out", text(run), "--steps", "12"].map(String::from));
    all.extend(TINY.iter().chain(&STATEFUL).map(|word| (*word).to_string()));
    all
}

fn finish(data: &Path, run: &Path) {
    let arguments = arguments(data, run);
    succeeds(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Starts or continues the run, and kills it after `life`; whether it was still running then.
fn kill_after(data: &Path, run: &Path, life: Duration) -> bool {
    let arguments = arguments(data, run);
    let mut child = command(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(life);
    let running = child.try_wait().unwrap().is_none();
    // SIGKILL: nothing of the program runs after it.
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

#[test]
fn a_killed_run_ends_with_the_same_bytes() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let whole = folder.path().join("whole");
    let started = Instant::now();
    finish(&data, &whole);
    let length = started.elapsed();
    let expected = fs::read(model(&whole, STEPS)).unwrap();
    let (mut killed, mut unfinished) = (0, 0);
    let mut round = 0;
    while killed < KILLS {
        let run = folder.path().join(format!("run-{round}"));
        // Several kills in one run, their moments spread evenly over its length by the golden section.
        for kill in 0..4 {
            let part = ((round * 4 + kill) as f64 * 0.618_034).fract();
            if !kill_after(&data, &run, length.mul_f64(part)) {
                break;
            }
            killed += 1;
            let checkpoints = fs::read_dir(run.join("checkpoints"));
            let names = checkpoints
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.file_name());
            unfinished += names
                .filter(|name| name.to_string_lossy().starts_with(".unfinished"))
                .count();
        }
        finish(&data, &run);
        let bytes = fs::read(model(&run, STEPS)).unwrap();
        assert!(
            bytes == expected,
            "run {round}, after {killed} kills, ends with another model"
        );
        round += 1;
    }
    println!("{killed} kills in {round} runs, {unfinished} of them while a checkpoint was written");
}

/// What a program that was killed while it wrote a checkpoint leaves is neither taken for one nor in the way.
#[test]
fn half_a_checkpoint_is_no_checkpoint() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    finish(&data, &whole);
    assert!(kill_after(&data, &cut, Duration::from_millis(1)));
    finish(&data, &cut);
    let checkpoints = cut.join("checkpoints");
    let last = checkpoints.join(format!("{STEPS:08}"));
    let half = checkpoints.join(".unfinished-abc123");
    fs::rename(&last, &half).unwrap();
    let state = fs::read(half.join("state.safetensors")).unwrap();
    fs::write(half.join("state.safetensors"), &state[..state.len() / 2]).unwrap();
    // Looking at a run leaves it alone: it may be training.
    succeeds(&["info", text(&cut)]);
    assert!(half.is_dir());
    finish(&data, &cut);
    assert!(!half.exists());
    let bytes = |run: &Path| fs::read(model(run, STEPS)).unwrap();
    assert!(bytes(&cut) == bytes(&whole));
}
