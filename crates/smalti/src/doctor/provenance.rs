//! How many pictures a run was trained on: said in the header of its newest checkpoint's model file. Only the header is
//! read, and only if it is as long as the file allows.

use super::record::Kind;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest header that is read; ours are shorter than a megabyte.
const LONGEST: u64 = 1 << 24;

/// Pictures of a tokenizer's training split, or sequences of a prior's; `None` if there is no checkpoint that says so.
pub fn pictures(run: &Path, kind: Kind) -> Option<f64> {
    let key = match kind {
        Kind::Tokenizer => "pictures",
        Kind::Prior => "sequences",
    };
    let pictures = data(&newest_model(run)?)?.get(key)?.as_f64()?;
    (pictures >= 1.0).then_some(pictures)
}

/// The model of the newest checkpoint. Nothing is cleared away here as `Run::open` does: the run may still be training.
fn newest_model(run: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(run.join("checkpoints")).ok()?;
    let step = |name: &std::ffi::OsStr| name.to_str()?.parse::<u64>().ok();
    let newest = entries
        .flatten()
        .filter_map(|entry| Some((step(&entry.file_name())?, entry.path())))
        .max()?;
    Some(newest.1.join("model.safetensors"))
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<String, String>,
}

/// The description of the training data in a model file.
fn data(model: &Path) -> Option<Value> {
    let header: Header = serde_json::from_slice(&header(model)?).ok()?;
    // One entry that holds all others (see `checkpoint::write_tensors`).
    let entries: BTreeMap<String, String> =
        serde_json::from_str(header.metadata.get("smalti")?).ok()?;
    let info: Value = serde_json::from_str(entries.get("info")?).ok()?;
    info.get("data").cloned()
}

fn header(model: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(model).ok()?;
    let rest = file.metadata().ok()?.len().checked_sub(8)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    if length > rest.min(LONGEST) {
        return None;
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).ok()?;
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{HostTensor, TensorMap, write_tensors};
    use std::fs;

    /// A run folder whose checkpoint of step 20 says this about its data.
    fn run(info: &str) -> tempfile::TempDir {
        let run = tempfile::tempdir().unwrap();
        for step in ["00000010", "00000020", "not-a-step"] {
            fs::create_dir_all(run.path().join("checkpoints").join(step)).unwrap();
        }
        let model = run.path().join("checkpoints/00000020/model.safetensors");
        let tensors = TensorMap::from([("a".to_string(), HostTensor::f32([1], vec![0.5]))]);
        let metadata = BTreeMap::from([("info".to_string(), info.to_string())]);
        write_tensors(&model, &tensors, &metadata).unwrap();
        run
    }

    #[test]
    fn the_newest_checkpoint_tells_the_number_of_pictures() {
        let run = run(r#"{"data": {"pictures": 12, "sequences": 24}}"#);
        assert_eq!(pictures(run.path(), Kind::Tokenizer), Some(12.0));
        assert_eq!(pictures(run.path(), Kind::Prior), Some(24.0));
    }

    #[test]
    fn what_is_missing_or_damaged_tells_nothing() {
        for info in ["", "{}", "[1]", r#"{"data": {"pictures": "many"}}"#] {
            assert_eq!(pictures(run(info).path(), Kind::Tokenizer), None, "{info}");
        }
        let run = run(r#"{"data": {"pictures": 12}}"#);
        let model = run.path().join("checkpoints/00000020/model.safetensors");
        let bytes = fs::read(&model).unwrap();
        for length in [0, 7, 8, 20] {
            fs::write(&model, &bytes[..length]).unwrap();
            assert_eq!(pictures(run.path(), Kind::Tokenizer), None, "{length}");
        }
        fs::write(&model, [0xff; 64]).unwrap();
        assert_eq!(pictures(run.path(), Kind::Tokenizer), None);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(pictures(empty.path(), Kind::Prior), None);
    }
}
