//! What a comparison has found so far, on disk: `settings.json` says how it was asked for, and `results.jsonl` has a
//! JSON object per line for everything that is trained or measured. So one that was interrupted goes on where it was,
//! and results of other settings are never mixed.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use smalti::checkpoint::write_atomic;
use smalti::{Error, Result};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most bytes that are read of a file: far more than a comparison writes.
const MOST: u64 = 16 << 20;

/// How a comparison was asked for, and what both stages are trained with where a cell does not say otherwise (YAML).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub asked: Value,
    pub tokenizer: String,
    pub prior: String,
}

/// A result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub cell: String,
    pub outcome: Value,
}

/// All results of a folder.
pub struct Results {
    path: PathBuf,
    records: Vec<Record>,
    /// Of each record the line, which stays as it was: a float that is read and written again may be another.
    lines: Vec<String>,
}

impl Settings {
    /// What `out` was begun with; `None` where nothing is there yet.
    ///
    /// # Errors
    /// A folder of something else, and one that was begun with other settings than `asked`.
    pub fn read(out: &Path, asked: &Value) -> Result<Option<Self>> {
        let path = file(out);
        if !path.exists() {
            let empty = std::fs::read_dir(out).map_or(true, |mut entries| entries.next().is_none());
            return match empty {
                true => Ok(None),
                false => Err(Error::input(format!(
                    "{} is not empty, and no comparison was begun in it: choose another --out",
                    out.display()
                ))),
            };
        }
        let settings: Self = serde_json::from_str(&text(&path)?)
            .map_err(|error| Error::file(&path, format!("these are no settings: {error}")))?;
        match settings.asked == *asked {
            true => Ok(Some(settings)),
            false => Err(Error::file(
                &path,
                format!(
                    "this comparison was begun with another {}: choose another --out for these settings",
                    differing(&settings.asked, asked)
                ),
            )),
        }
    }

    /// Begins a comparison in `out`, which is a folder.
    pub fn write(&self, out: &Path) -> Result<()> {
        let path = file(out);
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::file(&path, error.to_string()))?;
        write(&path, &text)
    }
}

fn file(out: &Path) -> PathBuf {
    out.join("settings.json")
}

impl Results {
    /// Opens the results in `out`, of which there need not be any yet.
    ///
    /// # Errors
    /// What the operating system says, and lines that are no results.
    pub fn open(out: &Path) -> Result<Self> {
        let mut results = Self {
            path: out.join("results.jsonl"),
            records: Vec::new(),
            lines: Vec::new(),
        };
        if !results.path.exists() {
            return Ok(results);
        }
        for (number, line) in text(&results.path)?.lines().enumerate() {
            let record: Record = serde_json::from_str(line).map_err(|error| {
                let message = format!("line {} is no result: {error}", number + 1);
                Error::file(&results.path, message)
            })?;
            results.records.push(record);
            results.lines.push(format!("{line}\n"));
        }
        Ok(results)
    }

    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// What is known of a cell.
    pub fn get(&self, cell: &str) -> Option<&Value> {
        let mut records = self.records.iter();
        let found = records.find(|record| record.cell == cell)?;
        Some(&found.outcome)
    }

    /// Adds a result, in the file as well: it is always whole.
    pub fn add(&mut self, cell: String, outcome: Value) -> Result<()> {
        let record = Record { cell, outcome };
        let line = serde_json::to_string(&record)
            .map_err(|error| Error::file(&self.path, error.to_string()))?;
        self.records.push(record);
        self.lines.push(line + "\n");
        write(&self.path, &self.lines.concat())
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    write_atomic(path, |file| {
        std::io::Write::write_all(file, text.as_bytes())
    })
}

fn text(path: &Path) -> Result<String> {
    let open = || -> std::io::Result<String> {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(MOST).read_to_string(&mut text)?;
        Ok(text)
    };
    open().map_err(|error| Error::io(path, error))
}

/// The name of the first entry in which two lists of settings differ.
fn differing(found: &Value, wanted: &Value) -> String {
    let mut entries = wanted.as_object().into_iter().flatten();
    let different = entries.find(|(name, value)| found.get(name.as_str()) != Some(*value));
    different.map_or("version".to_string(), |(name, _)| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tempfile::tempdir;

    fn settings(seed: u64) -> Settings {
        Settings {
            asked: json!({"comparison": "table1", "seed": seed}),
            tokenizer: "size: 32\n".into(),
            prior: String::new(),
        }
    }

    #[test]
    fn other_settings_and_other_folders_are_refused() {
        let folder = tempdir().unwrap();
        let (out, begun) = (folder.path(), settings(1));
        assert_eq!(Settings::read(out, &begun.asked).unwrap(), None);
        begun.write(out).unwrap();
        let again = Settings::read(out, &begun.asked).unwrap();
        assert_eq!(again, Some(begun));
        let error = Settings::read(out, &settings(2).asked).unwrap_err();
        assert!(error.to_string().contains("another seed"), "{error}");
        std::fs::remove_file(file(out)).unwrap();
        std::fs::write(out.join("photo.png"), "").unwrap();
        let error = Settings::read(out, &settings(1).asked).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
    }

    #[test]
    fn results_stay_as_they_were() {
        let folder = tempdir().unwrap();
        let mut results = Results::open(folder.path()).unwrap();
        results.add("a".into(), json!({"x": 1.0 / 3.0})).unwrap();
        let path = folder.path().join("results.jsonl");
        let before = std::fs::read_to_string(&path).unwrap();
        let mut again = Results::open(folder.path()).unwrap();
        assert!(again.get("a").is_some() && again.get("b").is_none());
        again.add("b".into(), json!(null)).unwrap();
        let after = std::fs::read_to_string(&path).unwrap();
        assert!(after.starts_with(&before) && after.lines().count() == 2);
        std::fs::write(&path, "{\"cell\"").unwrap();
        let error = Results::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("line 1 is no result"), "{error}");
    }
}
