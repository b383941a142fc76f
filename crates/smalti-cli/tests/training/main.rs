//! Trainings through the command line: what they leave behind, stopping, continuing, and learning one picture by heart.

mod by_heart;
#[path = "../common/mod.rs"]
mod common;
mod conditions;
mod ends;
mod pixelsnail;
mod prior;
mod tokenizer;

use common::*;
use std::fs;
use std::path::Path;

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
