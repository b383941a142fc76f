//! Runs of either stage that are killed, at any moment and while they write a checkpoint, and continued: they end with the
//! bytes of the run that never was. They count steps; the length of one that counts minutes follows the clock.

mod common;

use common::*;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tempfile::tempdir;

/// Everything of stage 1 that has a state: averages of weights, codebook and LeCAM, k-means, restarts, both optimisers.
/// A checkpoint after every step makes its writing a good part of the run.
const TOKENIZER: [&str; 20] = [
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

/// The same of stage 2: averages, what is drawn by chance in a step, patience.
const PRIOR: [&str; 20] = [
    "--condition",
    "class",
    "--set",
    "condition_dropout=0.2",
    "--set",
    "checkpoint_every=1",
    "--set",
    "log_every=1",
    "--set",
    "weight_average=0.9",
    "--set",
    "pkeep=0.9",
    "--set",
    "attention_dropout=0.1",
    "--set",
    "patience=50",
    "--set",
    "validate_every=4",
    "--set",
    "keep=3",
];

/// A training that is begun again and again.
struct Training {
    stage: &'static str,
    steps: u64,
    /// How it begins, but for the folder and the steps.
    settings: Vec<String>,
}

impl Training {
    fn tokenizer(data: &Path) -> Self {
        let given = ["--data", text(data)];
        Self {
            stage: "tokenizer",
            steps: 12,
            settings: [&given[..], &TINY, &TOKENIZER]
                .concat()
                .iter()
                .map(ToString::to_string)
                .collect(),
        }
    }

    fn prior(data: &Path, tokenizer: &Path) -> Self {
        let given = ["--data", text(data), "--tokenizer", text(tokenizer)];
        Self {
            stage: "prior",
            steps: 8,
            settings: [&given[..], &TINY_PRIOR, &PRIOR]
                .concat()
                .iter()
                .map(ToString::to_string)
                .collect(),
        }
    }

    /// The command that starts the run in `run`, or continues what is there of it.
    fn arguments(&self, run: &Path) -> Vec<String> {
        let mut all: Vec<String> = ["train", self.stage, "--quiet"].map(String::from).to_vec();
        if run.join("config.yaml").is_file() {
            all.extend(["--resume".into(), text(run).into()]);
            return all;
        }
        all.extend(["--out".into(), text(run).into()]);
        all.extend(["--steps".into(), self.steps.to_string()]);
        all.extend(self.settings.iter().cloned());
        all
    }

    fn finish(&self, run: &Path) {
        let arguments = self.arguments(run);
        succeeds(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn begin(&self, run: &Path) -> Child {
        let arguments = self.arguments(run);
        command(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Starts or continues the run, and kills it after `life`; whether it was still running then.
    fn kill_after(&self, run: &Path, life: Duration) -> bool {
        let mut child = self.begin(run);
        std::thread::sleep(life);
        let running = child.try_wait().unwrap().is_none();
        kill(&mut child);
        running
    }

    /// Starts or continues the run, and kills it when it begins to write a checkpoint; whether that is unfinished, or
    /// `None` if the run has ended.
    fn kill_while_saving(&self, run: &Path) -> Option<bool> {
        let before = unfinished(run);
        let new = || unfinished(run).difference(&before).count() > 0;
        let mut child = self.begin(run);
        while !new() {
            if child.try_wait().unwrap().is_some() {
                return None;
            }
        }
        kill(&mut child);
        Some(new())
    }

    /// The model that the run ends with.
    fn model(&self, run: &Path) -> Vec<u8> {
        fs::read(model(run, self.steps)).unwrap()
    }
}

/// SIGKILL: nothing of the program runs after it.
fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The checkpoints of a run that are being written, or never will be.
fn unfinished(run: &Path) -> BTreeSet<OsString> {
    let entries = fs::read_dir(run.join("checkpoints"));
    let names = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with(".unfinished"))
        .collect()
}

/// Runs that are killed so many times at any moment, and so many times while they write a checkpoint.
fn assert_ends_the_same(training: &Training, folder: &Path, kills: usize, while_saving: usize) {
    let whole = folder.join("whole");
    let started = Instant::now();
    training.finish(&whole);
    let length = started.elapsed();
    let expected = training.model(&whole);
    let mut runs = 0;
    let mut new_run = || -> PathBuf {
        runs += 1;
        folder.join(format!("run-{runs}"))
    };
    let (mut killed, mut moment) = (0, 0.0_f64);
    while killed < kills {
        let run = new_run();
        // Several kills in one run, their moments spread evenly over its length by the golden section.
        for _ in 0..4 {
            moment += 0.618_034;
            if !training.kill_after(&run, length.mul_f64(moment.fract())) {
                break;
            }
            killed += 1;
        }
        training.finish(&run);
        let same = training.model(&run) == expected;
        assert!(same, "after {killed} kills it ends with another model");
    }
    let (mut caught, mut tries) = (0, 0);
    while caught < while_saving {
        let run = new_run();
        for _ in 0..3 {
            tries += 1;
            match training.kill_while_saving(&run) {
                Some(met) => caught += usize::from(met),
                None => break,
            }
        }
        training.finish(&run);
        assert!(unfinished(&run).is_empty(), "what was unfinished is left");
        let same = training.model(&run) == expected;
        assert!(same, "killed while saving, it ends with another model");
        assert!(
            tries < 60,
            "{caught} of {tries} kills met a checkpoint that was being written"
        );
    }
}

#[test]
fn a_killed_tokenizer_ends_with_the_same_bytes() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    assert_ends_the_same(&Training::tokenizer(&data), folder.path(), 20, 3);
}

#[test]
fn a_killed_prior_ends_with_the_same_bytes() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let tokenizer = folder.path().join("tokenizer");
    train_tokenizer(&data, &tokenizer, "2", &[]);
    let training = Training::prior(&data, &tokenizer);
    assert_ends_the_same(&training, folder.path(), 6, 2);
}

/// What a program that was killed while it wrote a checkpoint leaves is neither taken for one nor in the way.
#[test]
fn half_a_checkpoint_is_no_checkpoint() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let training = Training::tokenizer(&data);
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    training.finish(&whole);
    assert!(training.kill_after(&cut, Duration::from_millis(1)));
    training.finish(&cut);
    let checkpoints = cut.join("checkpoints");
    let last = checkpoints.join(format!("{:08}", training.steps));
    let half = checkpoints.join(".unfinished-abc123");
    fs::rename(&last, &half).unwrap();
    let state = fs::read(half.join("state.safetensors")).unwrap();
    fs::write(half.join("state.safetensors"), &state[..state.len() / 2]).unwrap();
    // Looking at a run leaves it alone: it may be training.
    succeeds(&["info", text(&cut)]);
    assert!(half.is_dir());
    training.finish(&cut);
    assert!(!half.exists());
    assert!(training.model(&cut) == training.model(&whole));
}
