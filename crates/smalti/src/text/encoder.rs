//! Texts to vectors: the mean of the vectors of a text's tokens, without regard to their order, as WordLlama has it
//! (`wordllama/inference.py` of dleemiller/WordLlama). Every token counts, and the mean is not brought to unit length.

use std::fs;
use std::path::{Path, PathBuf};

use half::f16;
use sha2::{Digest, Sha256};

use super::tokenizer::Tokenizer;
use crate::checkpoint::{HostTensor, foreign};
use crate::error::{Error, Result};

/// A tokenizer and a table of the vectors of its tokens.
#[derive(Debug)]
pub struct TextEncoder {
    tokenizer: Tokenizer,
    table: Table,
    fingerprint: String,
}

/// `[tokens, width]`, row-major. In the published files too it is f16.
#[derive(Debug)]
struct Table {
    values: Vec<f16>,
    width: usize,
}

impl TextEncoder {
    /// Reads an encoder: from a folder that holds one `.safetensors` file, with a tensor `embedding.weight`
    /// `[tokens, width]` of floats, and one `.json` file, the tokenizer ([`Tokenizer::load`]); or from such a
    /// `.safetensors` file, with the `.json` file beside it. Values are kept in f16, and rounded where the file has
    /// more digits.
    ///
    /// # Errors
    /// Files that are missing, ambiguous, damaged, not supported, or do not belong together.
    pub fn load(path: &Path) -> Result<Self> {
        let (folder, weights) = if path.is_dir() {
            (path, only_file(path, "safetensors")?)
        } else {
            (parent(path), path.to_path_buf())
        };
        let table = Table::read(&weights)?;
        let file = only_file(folder, "json")?;
        let json = fs::read(&file).map_err(|source| Error::io(&file, source))?;
        let tokenizer =
            Tokenizer::from_json(&json).map_err(|message| Error::file(&file, message))?;
        let rows = table.values.len() / table.width;
        if tokenizer.largest() as usize >= rows {
            return Err(Error::file(
                &weights,
                format!(
                    "has vectors for {rows} tokens, but {} knows token {}: these files do not belong together",
                    file.display(),
                    tokenizer.largest()
                ),
            ));
        }
        let fingerprint = fingerprint(&json, &table);
        Ok(Self {
            tokenizer,
            table,
            fingerprint,
        })
    }

    /// How many numbers the vector of a text has.
    pub fn width(&self) -> usize {
        self.table.width
    }

    /// The vector of a text, zeros for an empty one.
    pub fn encode(&self, text: &str) -> Vec<f32> {
        let tokens = self.tokenizer.encode(text);
        let mut mean = vec![0.0_f32; self.table.width];
        for &token in &tokens {
            for (sum, value) in mean.iter_mut().zip(self.table.row(token)) {
                *sum += value.to_f32();
            }
        }
        let count = tokens.len().max(1) as f32;
        mean.iter_mut().for_each(|sum| *sum /= count);
        mean
    }

    /// SHA-256 of tokenizer and table, in hexadecimal. A model is only good with the encoder it was trained with.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl Table {
    fn read(path: &Path) -> Result<Self> {
        let tensors = foreign::read(path)?.tensors;
        let broken = |message: &str| Error::file(path, message);
        let tensor = tensors.get("embedding.weight").ok_or_else(|| {
            broken("no text encoder: there is no tensor `embedding.weight` in it")
        })?;
        Self::of(tensor).map_err(|message| broken(&message))
    }

    fn of(tensor: &HostTensor) -> std::result::Result<Self, String> {
        let shape = &tensor.shape;
        let (&[_, width], Some(values)) = (shape.as_slice(), tensor.as_f32()) else {
            return Err("`embedding.weight` must be floats of shape [tokens, width]".into());
        };
        // Without tokens, a shape can say anything.
        if values.is_empty() {
            return Err(format!(
                "`embedding.weight` is empty: its shape is {shape:?}"
            ));
        }
        let values: Vec<f16> = values.iter().map(|&value| f16::from_f32(value)).collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err("`embedding.weight` has values that are not finite numbers of f16".into());
        }
        Ok(Self { values, width })
    }

    /// The vector of a token that there is.
    fn row(&self, token: u32) -> &[f16] {
        let start = token as usize * self.width;
        &self.values[start..start + self.width]
    }
}

fn fingerprint(json: &[u8], table: &Table) -> String {
    let mut hash = Sha256::new();
    for length in [json.len(), table.width] {
        hash.update((length as u64).to_le_bytes());
    }
    hash.update(json);
    for row in table.values.chunks(table.width) {
        let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        hash.update(&bytes);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The one file in a folder whose name ends so.
fn only_file(folder: &Path, ending: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|source| Error::io(folder, source))? {
        let path = entry.map_err(|source| Error::io(folder, source))?.path();
        let matches = path
            .extension()
            .is_some_and(|extension| extension == ending);
        if matches && path.is_file() {
            found.push(path);
        }
    }
    match <[PathBuf; 1]>::try_from(found) {
        Ok([path]) => Ok(path),
        Err(found) => Err(Error::file(
            folder,
            format!(
                "has {} files that end in .{ending}; the folder of a text encoder has one (scripts/fetch-assets text)",
                found.len()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{TensorMap, write_plain_tensors};
    use crate::text::tiny;
    use tempfile::TempDir;

    /// An encoder's folder with a table of this shape, whose value number i is i / 4.
    fn folder(shape: [usize; 2]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let values = (0..shape[0] * shape[1]).map(|index| index as f32 / 4.0);
        let table = HostTensor::f32(shape, values.collect());
        let tensors = TensorMap::from([("embedding.weight".to_string(), table)]);
        write_plain_tensors(&folder.path().join("vectors.safetensors"), &tensors).unwrap();
        let json = tiny::tokenizer().to_string();
        fs::write(folder.path().join("tokenizer.json"), json).unwrap();
        folder
    }

    fn refusal(path: &Path) -> String {
        TextEncoder::load(path).unwrap_err().to_string()
    }

    /// The tokens of ` hello lo` are 269, 259 and 266.
    #[test]
    fn a_text_is_the_mean_of_its_tokens() {
        let folder = folder([271, 2]);
        let encoder = TextEncoder::load(folder.path()).unwrap();
        assert_eq!(encoder.width(), 2);
        let mean: f32 = (269.0 + 259.0 + 266.0) / 3.0 / 2.0;
        let vector = encoder.encode("hello lo");
        assert!((vector[0] - mean).abs() < 1e-4, "{vector:?}");
        assert!((vector[1] - mean - 0.25).abs() < 1e-4, "{vector:?}");
        assert_eq!(encoder.encode(""), vec![0.0_f32; 2]);
        let file = folder.path().join("vectors.safetensors");
        let again = TextEncoder::load(&file).unwrap();
        assert_eq!(again.fingerprint(), encoder.fingerprint());
    }

    #[test]
    fn the_fingerprint_tells_encoders_apart() {
        let of = |folder: &TempDir| {
            let encoder = TextEncoder::load(folder.path()).unwrap();
            encoder.fingerprint().to_string()
        };
        let (first, wider) = (folder([271, 2]), folder([271, 3]));
        assert_eq!(of(&first).len(), 64);
        assert_ne!(of(&first), of(&wider));
        let before = of(&first);
        let mut json = tiny::tokenizer();
        json["model"]["merges"] = serde_json::json!(["l l"]);
        fs::write(first.path().join("tokenizer.json"), json.to_string()).unwrap();
        assert_ne!(of(&first), before);
    }

    #[test]
    fn files_must_be_there_once_and_belong_together() {
        let short = folder([270, 2]);
        assert!(refusal(short.path()).contains("do not belong together"));
        let empty = folder([0, 1 << 40]);
        assert!(refusal(empty.path()).contains("is empty"));
        let large = folder([271, 1000]);
        assert!(refusal(large.path()).contains("not finite numbers of f16"));
        let folder = folder([271, 2]);
        fs::write(folder.path().join("more.json"), "{}").unwrap();
        assert!(refusal(folder.path()).contains("has 2 files that end in .json"));
        let nothing = tempfile::tempdir().unwrap();
        assert!(refusal(nothing.path()).contains("has 0 files that end in .safetensors"));
        assert!(refusal(&nothing.path().join("x")).contains("x: "));
    }
}
