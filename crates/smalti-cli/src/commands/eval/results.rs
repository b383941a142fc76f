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
    /// How many pictures of the reference could not be read; none where it was statistics.
    pub reference_skipped: Option<usize>,
    /// How they were measured.
    protocol: Value,
    /// What ranked the samples, where not all were kept.
    classifier: Option<Value>,
}

/// The file.
pub struct Results {
    path: PathBuf,
    protocol: Value,
    classifier: Option<Value>,
    records: Vec<Record>,
    /// Of each record the line, which stays as it was: a float that is read and written again may be another.
    lines: Vec<String>,
}

impl Results {
    /// Opens the file, which need not exist.
    ///
    /// # Errors
    /// What the operating system says, lines that are no results, and results that were measured in another way than
    /// `protocol` says, or of samples ranked by another `classifier` where there is one.
    pub fn open(path: &Path, protocol: Value, classifier: Option<Value>) -> Result<Self> {
        let mut results = Self {
            path: path.to_path_buf(),
            protocol,
            classifier,
            records: Vec::new(),
            lines: Vec::new(),
        };
        if path.exists() {
            let length = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
            if length.len() > MOST {
                return Err(Error::file(path, "it is too long for results of a sweep"));
            }
            let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
            for (number, line) in text.lines().enumerate() {
                let record = results.read(number + 1, line)?;
                results.records.push(record);
                results.lines.push(format!("{line}\n"));
            }
        }
        Ok(results)
    }

    fn read(&self, number: usize, line: &str) -> Result<Record> {
        let record: Record = serde_json::from_str(line).map_err(|error| {
            Error::file(&self.path, format!("line {number} is no result: {error}"))
        })?;
        let other = if record.protocol != self.protocol {
            differing(&record.protocol, &self.protocol)
        } else if record.is_ranked()
            && self.classifier.is_some()
            && record.classifier != self.classifier
        {
            "classifier".to_string()
        } else {
            return Ok(record);
        };
        Err(Error::file(
            &self.path,
            format!(
                "line {number} was measured with another {other}: choose another --out for these settings"
            ),
        ))
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
    pub fn add(
        &mut self,
        cell: Cell,
        figures: SetFigures,
        reference_skipped: Option<usize>,
    ) -> Result<()> {
        let mut record = Record {
            cell,
            figures,
            reference_skipped,
            protocol: self.protocol.clone(),
            classifier: None,
        };
        if record.is_ranked() {
            record.classifier = self.classifier.clone();
        }
        let line = serde_json::to_string(&record)
            .map_err(|error| Error::file(&self.path, error.to_string()))?;
        self.records.push(record);
        self.lines.push(line + "\n");
        let text = self.lines.concat();
        write_atomic(&self.path, |file| {
            std::io::Write::write_all(file, text.as_bytes())
        })
    }
}

impl Record {
    /// Whether it matters what ranked the samples.
    fn is_ranked(&self) -> bool {
        self.cell.accept < 1.0
    }
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
        let mut results = Results::open(&path, protocol.clone(), None).unwrap();
        assert!(!results.has(&cell(0.1)));
        results.add(cell(0.1), figures(1.0 / 3.0), Some(3)).unwrap();
        results.add(cell(1.0), figures(2.0), None).unwrap();
        let again = Results::open(&path, protocol, None).unwrap();
        assert!(again.has(&cell(1.0)) && !again.has(&cell(0.5)));
        let distance = again.get(&cell(0.1)).unwrap().figures.frechet.distance;
        assert!((distance - 1.0 / 3.0).abs() < 1e-12);
        let skipped = [0.1, 1.0].map(|accept| again.get(&cell(accept)).unwrap().reference_skipped);
        assert_eq!(skipped, [Some(3), None]);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn other_results_are_refused() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let mut results = Results::open(&path, json!({"n": 7, "seed": 1}), None).unwrap();
        results.add(cell(1.0), figures(2.0), None).unwrap();
        let refused = |protocol: Value, reason: &str| {
            let error = Results::open(&path, protocol, None)
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains(reason), "{error}");
        };
        refused(json!({"n": 7, "seed": 2}), "another seed");
        refused(json!({"n": 7}), "another protocol");
        std::fs::write(&path, "{\"cell\"").unwrap();
        refused(json!({}), "line 1 is no result");
    }

    /// What ranks samples does not matter where all are kept.
    #[test]
    fn another_classifier_spoils_only_what_it_ranked() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let open = |classifier: Option<&str>| {
            Results::open(&path, json!({"n": 7}), classifier.map(|name| json!(name)))
        };
        open(None)
            .unwrap()
            .add(cell(1.0), figures(2.0), None)
            .unwrap();
        let mut results = open(Some("cats")).unwrap();
        results.add(cell(0.5), figures(1.0), None).unwrap();
        assert!(open(Some("cats")).is_ok() && open(None).is_ok());
        let error = open(Some("dogs")).err().unwrap().to_string();
        assert!(
            error.contains("line 2") && error.contains("another classifier"),
            "{error}"
        );
    }
}
