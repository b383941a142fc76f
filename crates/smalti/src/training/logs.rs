//! Numbers of a run, written twice: `metrics.jsonl` for scripts, event files for TensorBoard.

use super::tensorboard::EventFile;
use crate::error::{Error, Result};
use image::RgbImage;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Named numbers of one moment, in a fixed order.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Vec<(&'static str, f64)>);

impl Metrics {
    pub fn push(&mut self, name: &'static str, value: f64) {
        self.0.push((name, value));
    }

    /// Drops what is not a number.
    pub fn keep_finite(&mut self) {
        self.0.retain(|(_, value)| value.is_finite());
    }

    pub fn get(&self, name: &str) -> Option<f64> {
        self.0
            .iter()
            .find(|(key, _)| *key == name)
            .map(|&(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        self.0.iter().copied()
    }
}

/// The log files of a run.
pub struct Logs {
    lines: File,
    path: PathBuf,
    events: EventFile,
}

impl Logs {
    /// Opens the logs in a run folder, to go on from `step`: lines of later steps, left by a run that was cut off after
    /// its last checkpoint, are dropped.
    pub fn open(folder: &Path, step: u64) -> Result<Self> {
        let path = folder.join("metrics.jsonl");
        drop_lines_after(&path, step)?;
        let lines = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| Error::io(&path, error))?;
        Ok(Self {
            lines,
            path,
            events: EventFile::create(&folder.join("tensorboard"))?,
        })
    }

    /// Writes one line `{"split", "step", …}` and one TensorBoard event. Numbers that are not finite become null.
    pub fn write(&mut self, split: &str, step: u64, metrics: &Metrics) -> Result<()> {
        let mut object = Map::new();
        object.insert("split".into(), split.into());
        object.insert("step".into(), step.into());
        for (name, value) in metrics.iter() {
            object.insert(name.into(), Value::from(value));
        }
        let line = format!("{}\n", Value::Object(object));
        self.lines
            .write_all(line.as_bytes())
            .map_err(|error| Error::io(&self.path, error))?;
        let scalars: Vec<(String, f64)> = metrics
            .iter()
            .map(|(name, value)| (format!("{split}/{name}"), value))
            .collect();
        self.events.scalars(step, &scalars)
    }

    /// Adds a picture to TensorBoard.
    pub fn picture(&mut self, name: &str, step: u64, picture: &RgbImage) -> Result<()> {
        self.events.picture(step, name, picture)
    }
}

/// What must be known of a line; the rest is not even kept.
#[derive(Deserialize)]
struct Line {
    step: u64,
}

fn drop_lines_after(path: &Path, step: u64) -> Result<()> {
    let Ok(text) = std::fs::read_to_string(path) else {
        return Ok(());
    };
    let belongs =
        |line: &&str| serde_json::from_str::<Line>(line).is_ok_and(|line| line.step <= step);
    let kept: String = text
        .lines()
        .filter(belongs)
        .map(|line| format!("{line}\n"))
        .collect();
    if kept == text {
        return Ok(());
    }
    crate::checkpoint::write_atomic(path, |file| file.write_all(kept.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_later_steps_and_broken_ones_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let good = "{\"split\":\"train\",\"step\":1,\"loss\":null}\n{\"step\":5}\n";
        let bad =
            "{\"step\":6}\n{\"step\":-1}\n{\"step\":1e99}\n{\"loss\":1}\n{\"st\n\u{0}\n[[[[\n";
        std::fs::write(&path, format!("{good}{bad}")).unwrap();
        drop_lines_after(&path, 5).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), good);
        drop_lines_after(&folder.path().join("none"), 5).unwrap();
    }
}
