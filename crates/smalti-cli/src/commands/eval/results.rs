//! The results of a sweep on disk, one JSON object per line, so that one that was interrupted goes on where it was.

use super::grid::Cell;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smalti::checkpoint::write_atomic;
use smalti::metrics::SetFigures;
use smalti::{Error, Result};
use std::path::{Path, PathBuf};

/// The most bytes that are read: more than a sweep of years.
const MOST: u64 = 64 << 20;

/// The figures of one combination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub cell: Cell,
    pub figures: SetFigures,
    /// How they were measured.
    protocol: Value,
}

/// The file.
pub struct Results {
    path: PathBuf,
    protocol: Value,
    records: Vec<Record>,
}

impl Results {
    /// Opens the file, which need not exist.
    ///
    /// # Errors
    /// What the operating system says, lines that are no results, and results that were measured in another way than
    /// `protocol` says.
    pub fn open(path: &Path, protocol: Value) -> Result<Self> {
        let mut records = Vec::new();
        if path.exists() {
            let length = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
            if length.len() > MOST {
                return Err(Error::file(path, "it is too long for results of a sweep"));
            }
            let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
            for (number, line) in text.lines().enumerate() {
                records.push(read(path, number + 1, line, &protocol)?);
            }
        }
        Ok(Self {
            path: path.to_path_buf(),
            protocol,
            records,
        })
    }

    pub fn protocol(&self) -> &Value {
        &self.protocol
    }

    pub fn get(&self, cell: &Cell) -> Option<&Record> {
        self.records.iter().find(|record| record.cell == *cell)
    }

    pub fn has(&self, cell: &Cell) -> bool {
        self.get(cell).is_some()
    }

    /// Adds figures, in the file as well: it is always whole.
    pub fn add(&mut self, cell: Cell, figures: SetFigures) -> Result<()> {
        self.records.push(Record {
            cell,
            figures,
            protocol: self.protocol.clone(),
        });
        let lines: Vec<String> = self
            .records
            .iter()
            .map(|record| serde_json::to_string(record).map(|line| line + "\n"))
            .collect::<serde_json::Result<_>>()
            .map_err(|error| Error::file(&self.path, error.to_string()))?;
        write_atomic(&self.path, |file| {
            std::io::Write::write_all(file, lines.concat().as_bytes())
        })
    }
}

fn read(path: &Path, number: usize, line: &str, protocol: &Value) -> Result<Record> {
    let record: Record = serde_json::from_str(line)
        .map_err(|error| Error::file(path, format!("line {number} is no result: {error}")))?;
    if record.protocol == *protocol {
        return Ok(record);
    }
    let other = differing(&record.protocol, protocol);
    Err(Error::file(
        path,
        format!(
            "line {number} was measured with another {other}: choose another --out for these settings"
        ),
    ))
}

/// The name of the first entry in which two protocols differ.
fn differing(found: &Value, wanted: &Value) -> String {
    let mut entries = wanted.as_object().into_iter().flatten();
    let different = entries.find(|(name, value)| found.get(name.as_str()) != Some(*value));
    different.map_or("protocol".to_string(), |(name, _)| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tempfile::tempdir;

    fn figures(distance: f64) -> SetFigures {
        serde_json::from_value(json!({
            "frechet": {
                "distance": distance, "mean_term": 1.0, "covariance_term": 0.25, "dimensions": 8,
                "reference_pictures": 9, "pictures": 7
            },
            "kernel": null, "manifold": null, "score": null
        }))
        .unwrap()
    }

    fn cell(accept: f64) -> Cell {
        Cell {
            accept,
            top_k: 0,
            top_p: 1.0,
            temperature: 1.0,
        }
    }

    #[test]
    fn an_interrupted_sweep_goes_on() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let protocol = json!({"n": 7, "seed": 1});
        let mut results = Results::open(&path, protocol.clone()).unwrap();
        assert!(!results.has(&cell(0.1)));
        results.add(cell(0.1), figures(1.0 / 3.0)).unwrap();
        results.add(cell(1.0), figures(2.0)).unwrap();
        let again = Results::open(&path, protocol).unwrap();
        assert!(again.has(&cell(1.0)) && !again.has(&cell(0.5)));
        let distance = again.get(&cell(0.1)).unwrap().figures.frechet.distance;
        assert!((distance - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn other_results_are_refused() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let mut results = Results::open(&path, json!({"n": 7, "seed": 1})).unwrap();
        results.add(cell(1.0), figures(2.0)).unwrap();
        let refused = |protocol: Value, reason: &str| {
            let error = Results::open(&path, protocol).err().unwrap().to_string();
            assert!(error.contains(reason), "{error}");
        };
        refused(json!({"n": 7, "seed": 2}), "another seed");
        refused(json!({"n": 7}), "another protocol");
        std::fs::write(&path, "{\"cell\"").unwrap();
        refused(json!({}), "line 1 is no result");
    }
}
