//! Codes of a training that lie in a file: written while they are made, and then read where they lie, so that there may
//! be more of them than memory.

use super::codes::CodeSet;
use super::sequences::Sequences;
use crate::checkpoint::{MappedTensors, Rows, Spool};
use crate::error::{Error, Result};
use crate::model::Model;
use std::collections::BTreeMap;
use std::path::Path;

/// A file of codes that is being made.
pub struct StoreWriter {
    spool: Spool,
    /// What is said of the codes; empty as long as there are none.
    metadata: BTreeMap<String, String>,
}

impl StoreWriter {
    /// Begins in `folder`, which must exist.
    pub fn new(folder: &Path) -> Self {
        Self {
            spool: Spool::new(folder),
            metadata: BTreeMap::new(),
        }
    }

    /// Adds the pictures of a set; all have the same size and the same kind of condition.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn add(&mut self, set: &CodeSet) -> Result<()> {
        if set.is_empty() {
            return Ok(());
        }
        let count = set.len();
        let grid = [set.rows, set.columns];
        self.spool.add_integers("codes", &grid, &set.codes)?;
        if !set.classes.is_empty() {
            self.spool.add_integers("classes", &[], &set.classes)?;
        }
        if !set.condition.is_empty() {
            let row = [set.condition.len() / count];
            self.spool.add_integers("condition", &row, &set.condition)?;
        }
        if !set.texts.is_empty() {
            let row = [set.texts.len() / count];
            self.spool.add_floats("texts", &row, &set.texts)?;
        }
        if self.metadata.is_empty() {
            self.metadata = set.metadata();
        }
        Ok(())
    }

    /// Writes the file, in which `origin` says what it was made from, by the tokenizer of `model`. Without pictures there
    /// is none.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn finish(mut self, path: &Path, origin: String, model: &Model) -> Result<bool> {
        if self.metadata.is_empty() {
            return Ok(false);
        }
        self.metadata.insert("origin".into(), origin);
        self.metadata
            .insert("tokenizer".into(), model.tokenizer_hash());
        self.spool.finish(path, &self.metadata).map(|()| true)
    }
}

/// Codes in a file.
pub struct StoredCodes {
    file: MappedTensors,
    codes: Rows,
    classes: Option<Rows>,
    condition: Option<Rows>,
    texts: Option<Rows>,
}

impl StoredCodes {
    /// Opens a file of codes.
    ///
    /// # Errors
    /// A file without codes, with codes outside of the codebook of `model`, or with parts of different lengths.
    pub fn open(path: &Path, model: &Model) -> Result<Self> {
        let file = MappedTensors::open(path)?;
        let broken = |message: String| Error::file(path, message);
        let codes = file
            .integer_rows("codes")?
            .filter(|codes| codes.shape.len() == 3)
            .ok_or_else(|| broken("it has no `codes` of shape [pictures, rows, columns]".into()))?;
        // Without codes, a shape can say any number of pictures.
        if codes.shape.contains(&0) {
            return Err(broken(format!(
                "`codes` has the impossible shape {:?}",
                codes.shape
            )));
        }
        let stored = Self {
            classes: file.integer_rows("classes")?,
            condition: file.integer_rows("condition")?,
            texts: file.float_rows("texts")?,
            codes,
            file,
        };
        let parts = [&stored.classes, &stored.condition, &stored.texts];
        if parts
            .into_iter()
            .flatten()
            .any(|rows| rows.count() != stored.codes.count())
        {
            return Err(broken("its parts are not of the same length".into()));
        }
        let codebook = model.tokenizer_config.codes() as i64;
        let outside = stored.all().find(|code| !(0..codebook).contains(code));
        match outside {
            Some(code) => Err(broken(format!(
                "code {code} lies outside the codebook of {codebook}"
            ))),
            None => Ok(stored),
        }
    }

    /// Whether they were made from `origin` by this tokenizer, as a grid of this size.
    pub fn are(&self, origin: &str, model: &Model, grid: [usize; 2]) -> bool {
        let said = |key: &str| self.file.metadata.get(key).map(String::as_str);
        said("origin") == Some(origin)
            && said("tokenizer") == Some(model.tokenizer_hash().as_str())
            && self.codes.shape[1..] == grid
    }

    /// All codes, picture by picture.
    pub fn all(&self) -> impl Iterator<Item = i64> {
        (0..self.codes.count()).flat_map(move |index| self.file.integers(&self.codes, index))
    }
}

impl Sequences for StoredCodes {
    fn count(&self) -> usize {
        self.codes.count()
    }

    fn codes(&self, index: usize) -> Vec<i64> {
        self.file.integers(&self.codes, index).collect()
    }

    fn class(&self, index: usize) -> Option<usize> {
        let rows = self.classes.as_ref()?;
        let class = self.file.integers(rows, index).next()?;
        usize::try_from(class).ok()
    }

    fn condition(&self, index: usize) -> Vec<i64> {
        match &self.condition {
            Some(rows) => self.file.integers(rows, index).collect(),
            None => Vec::new(),
        }
    }

    fn text(&self, index: usize) -> Vec<f32> {
        match &self.texts {
            Some(rows) => self.file.floats(rows, index).collect(),
            None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{HostTensor, TensorMap, write_tensors};
    use crate::initializer::Initializer;
    use crate::model::ModelInfo;
    use crate::tokenizer::{Tokenizer, TokenizerConfig};
    use burn::tensor::Device;

    fn model() -> Model {
        let config = TokenizerConfig {
            channels: 32,
            channel_multipliers: vec![1],
            z_channels: 8,
            codebook_size: 16,
            ..TokenizerConfig::default()
        };
        Model {
            tokenizer: Tokenizer::new(&mut Initializer::seeded(&Device::flex(), 1), &config),
            tokenizer_config: config,
            prior: None,
            condition: None,
            info: ModelInfo::default(),
        }
    }

    fn set(model: &Model, first: i64) -> CodeSet {
        CodeSet {
            codes: (first..first + 8).collect(),
            classes: vec![first, -1],
            condition: (100..106).map(|token| token + first).collect(),
            texts: vec![0.5, 1.5, 2.5, first as f32],
            tokenizer_hash: String::new(),
            ..CodeSet::new(model, 2, 2)
        }
    }

    #[test]
    fn what_was_added_is_read_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.safetensors");
        let model = model();
        let mut writer = StoreWriter::new(folder.path());
        for first in [0, 8] {
            writer.add(&set(&model, first)).unwrap();
        }
        assert!(writer.finish(&path, "here".into(), &model).unwrap());
        let stored = StoredCodes::open(&path, &model).unwrap();
        assert!(stored.are("here", &model, [2, 2]));
        assert!(!stored.are("there", &model, [2, 2]) && !stored.are("here", &model, [1, 4]));
        assert!(stored.all().eq(0..16));
        assert_eq!(stored.count(), 4);
        // The file is what a set of codes in memory would have written.
        let read = CodeSet::load(&path).unwrap();
        for index in 0..4 {
            assert_eq!(stored.codes(index), read.picture(index));
            assert_eq!(Sequences::class(&stored, index), read.class(index));
            assert_eq!(stored.condition(index), read.condition(index));
            assert_eq!(stored.text(index), read.text(index));
        }
        assert_eq!(stored.class(2), Some(8));
        assert_eq!((stored.class(3), stored.text(3)[1]), (None, 8.0));
    }

    #[test]
    fn no_pictures_are_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.safetensors");
        let writer = StoreWriter::new(folder.path());
        assert!(!writer.finish(&path, String::new(), &model()).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn pictures_without_codes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.safetensors");
        for shape in [[1_usize << 40, 0, 4], [1 << 40, 4, 0], [0, 2, 2]] {
            let codes = HostTensor::i64(shape, Vec::new());
            let tensors = TensorMap::from([("codes".to_string(), codes)]);
            write_tensors(&path, &tensors, &BTreeMap::new()).unwrap();
            let error = StoredCodes::open(&path, &model()).err().unwrap();
            assert!(error.to_string().contains("impossible shape"), "{error}");
        }
    }

    #[test]
    fn codes_of_another_codebook_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.safetensors");
        let model = model();
        let with = |codes: Vec<i64>, classes: Vec<i64>| {
            let set = CodeSet {
                codes,
                classes,
                ..CodeSet::new(&model, 2, 2)
            };
            set.save(&path).unwrap();
            StoredCodes::open(&path, &model)
        };
        assert!(with(vec![0, 1, 2, 15], vec![3]).is_ok());
        let error = with(vec![0, 1, 2, 16], vec![3]).err().unwrap().to_string();
        assert!(error.contains("code 16"), "{error}");
        let error = with(vec![0, 1, 2, 3], vec![3, 4])
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("same length"), "{error}");
    }
}
