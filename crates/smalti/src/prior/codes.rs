//! Codes of many pictures, computed once and kept in a file, and what the condition says of them.

use super::sequences::Sequences;
use crate::checkpoint::{HostTensor, TensorMap, host_codes, read_tensors, write_tensors};
use crate::data::{Raster, squares, tensor_of};
use crate::error::{Error, Result};
use crate::model::Model;
use burn::tensor::{Device, Int, Shape, Tensor, TensorData};
use std::collections::BTreeMap;
use std::path::Path;

/// The codes of pictures of one size.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CodeSet {
    /// `[n, rows, columns]`, row-major.
    pub codes: Vec<i64>,
    pub rows: usize,
    pub columns: usize,
    /// One class per picture, or empty.
    pub classes: Vec<i64>,
    /// The tokens of the condition, `[n, tokens]`, or empty.
    pub condition: Vec<i64>,
    /// The vectors of texts, `[n, length]`, or empty.
    pub texts: Vec<f32>,
    /// Of the tokenizer that made them.
    pub tokenizer_hash: String,
    pub factor: usize,
    pub codebook_size: usize,
    /// What they were made from, where that is recorded; it decides whether kept codes can be used again.
    pub origin: String,
}

impl CodeSet {
    /// How many pictures.
    pub fn len(&self) -> usize {
        self.codes.len() / (self.rows * self.columns).max(1)
    }

    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The codes of one picture in reading order.
    pub fn picture(&self, index: usize) -> &[i64] {
        let size = self.rows * self.columns;
        &self.codes[index * size..(index + 1) * size]
    }

    /// The condition's tokens of one picture.
    pub fn condition(&self, index: usize) -> &[i64] {
        row(&self.condition, self.len(), index)
    }

    /// The vector of one picture's text.
    pub fn text(&self, index: usize) -> &[f32] {
        row(&self.texts, self.len(), index)
    }

    /// The class of one picture.
    pub fn class(&self, index: usize) -> Option<usize> {
        self.classes
            .get(index)
            .and_then(|&class| usize::try_from(class).ok())
    }

    /// An empty set for codes of `model`.
    pub fn new(model: &Model, rows: usize, columns: usize) -> Self {
        Self {
            rows,
            columns,
            tokenizer_hash: model.tokenizer_hash(),
            factor: model.tokenizer_config.factor(),
            codebook_size: model.tokenizer_config.codes(),
            ..Self::default()
        }
    }

    /// Adds the codes of square pictures (bytes, `size` × `size` × 3), computed in batches.
    pub fn encode(&mut self, model: &Model, pictures: &[Vec<u8>], size: usize) {
        for chunk in pictures.chunks(32) {
            let pixels = squares(chunk, size, &model.device());
            self.codes
                .extend(host_codes(model.tokenizer.encode(pixels).codes));
        }
    }

    /// The same for pictures of one size that were not turned into bytes.
    pub fn encode_rasters(&mut self, model: &Model, pictures: &[Raster]) {
        for chunk in pictures.chunks(32) {
            let pixels = tensor_of(chunk, &model.device());
            self.codes
                .extend(host_codes(model.tokenizer.encode(pixels).codes));
        }
    }

    /// Writes the codes: `codes` `[n, rows, columns]`, and if there are any `classes` `[n]`, `condition` `[n, tokens]`
    /// and `texts` `[n, length]`.
    pub fn save(&self, path: &Path) -> Result<()> {
        let shape = [self.len(), self.rows, self.columns];
        let mut tensors = TensorMap::new();
        tensors.insert("codes".into(), HostTensor::i64(shape, self.codes.clone()));
        if !self.classes.is_empty() {
            tensors.insert(
                "classes".into(),
                HostTensor::i64([self.classes.len()], self.classes.clone()),
            );
        }
        let count = self.len().max(1);
        if !self.condition.is_empty() {
            let shape = [self.len(), self.condition.len() / count];
            tensors.insert(
                "condition".into(),
                HostTensor::i64(shape, self.condition.clone()),
            );
        }
        if !self.texts.is_empty() {
            let shape = [self.len(), self.texts.len() / count];
            tensors.insert("texts".into(), HostTensor::f32(shape, self.texts.clone()));
        }
        write_tensors(path, &tensors, &self.metadata())
    }

    /// What is said of the codes in their file.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("tokenizer".to_string(), self.tokenizer_hash.clone()),
            ("f".to_string(), self.factor.to_string()),
            ("codebook_size".to_string(), self.codebook_size.to_string()),
            ("origin".to_string(), self.origin.clone()),
        ])
    }

    /// Reads a file of codes.
    ///
    /// # Errors
    /// A file without codes, or with codes outside the codebook it names.
    pub fn load(path: &Path) -> Result<Self> {
        let (tensors, metadata) = read_tensors(path)?;
        let broken = |message: &str| Error::file(path, message);
        let codes = tensors
            .get("codes")
            .ok_or_else(|| broken("there is no tensor `codes` in it"))?;
        let (&[_, rows, columns], Some(values)) = (codes.shape.as_slice(), codes.as_i64()) else {
            return Err(broken(
                "`codes` must be whole numbers of shape [pictures, rows, columns]",
            ));
        };
        // Without pictures, a shape can say anything.
        if rows.checked_mul(columns).is_none_or(|size| size == 0) {
            return Err(broken(&format!(
                "`codes` has the impossible shape {:?}",
                codes.shape
            )));
        }
        let number = |key: &str| {
            metadata
                .get(key)
                .and_then(|text| text.parse::<usize>().ok())
        };
        let codebook_size = number("codebook_size").unwrap_or(usize::MAX);
        if let Some(code) = values
            .iter()
            .find(|&&code| code < 0 || code as u64 >= codebook_size as u64)
        {
            return Err(broken(&format!(
                "code {code} lies outside the codebook of {codebook_size}"
            )));
        }
        let classes = tensors
            .get("classes")
            .and_then(HostTensor::as_i64)
            .unwrap_or_default();
        let condition = tensors.get("condition").and_then(HostTensor::as_i64);
        let texts = tensors.get("texts").and_then(HostTensor::as_f32);
        let set = Self {
            codes: values.to_vec(),
            rows,
            columns,
            classes: classes.to_vec(),
            condition: condition.unwrap_or_default().to_vec(),
            texts: texts.unwrap_or_default().to_vec(),
            tokenizer_hash: metadata.get("tokenizer").cloned().unwrap_or_default(),
            factor: number("f").unwrap_or(0),
            codebook_size,
            origin: metadata.get("origin").cloned().unwrap_or_default(),
        };
        set.check_lengths(path)?;
        Ok(set)
    }

    /// Refuses what lies beside the codes for another number of pictures.
    fn check_lengths(&self, path: &Path) -> Result<()> {
        let broken = |message: &str| Error::file(path, message);
        if !self.classes.is_empty() && self.classes.len() != self.len() {
            return Err(broken("`classes` is not as long as `codes`"));
        }
        for (name, length) in [
            ("condition", self.condition.len()),
            ("texts", self.texts.len()),
        ] {
            if !length.is_multiple_of(self.len().max(1)) {
                return Err(broken(&format!("`{name}` is not as long as `codes`")));
            }
        }
        Ok(())
    }

    /// Refuses codes of another tokenizer.
    pub fn check_tokenizer(&self, model: &Model, path: &Path) -> Result<()> {
        if !self.tokenizer_hash.is_empty() && self.tokenizer_hash != model.tokenizer_hash() {
            return Err(Error::file(
                path,
                "these codes were made by another tokenizer than this model's: encode the pictures again with this one",
            ));
        }
        let codebook = model.tokenizer_config.codes();
        if let Some(code) = self.codes.iter().find(|&&code| code as usize >= codebook) {
            return Err(Error::file(
                path,
                format!("code {code} lies outside this model's codebook of {codebook}"),
            ));
        }
        let together = model.tokenizer_config.codes_per_position;
        if !self.columns.is_multiple_of(together) {
            return Err(Error::file(
                path,
                format!(
                    "{} columns are not whole positions of {together} codes, as this model has them",
                    self.columns
                ),
            ));
        }
        Ok(())
    }
}

impl Sequences for CodeSet {
    fn count(&self) -> usize {
        self.len()
    }

    fn codes(&self, index: usize) -> Vec<i64> {
        self.picture(index).to_vec()
    }

    fn class(&self, index: usize) -> Option<usize> {
        self.class(index)
    }

    fn condition(&self, index: usize) -> Vec<i64> {
        self.condition(index).to_vec()
    }

    fn text(&self, index: usize) -> Vec<f32> {
        self.text(index).to_vec()
    }
}

/// Row `index` of values in `count` rows of one length.
fn row<T>(values: &[T], count: usize, index: usize) -> &[T] {
    let length = values.len() / count.max(1);
    &values[index * length..][..length]
}

/// Rows of tokens as a tensor `[rows, tokens]`.
pub(crate) fn token_tensor(rows: &[Vec<i64>], device: &Device) -> Tensor<2, Int> {
    let shape = Shape::from([rows.len(), rows.first().map_or(0, Vec::len)]);
    Tensor::from_data(TensorData::new(rows.concat(), shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_codes_may_not_claim_any_shape() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes.safetensors");
        for shape in [[0_usize, 1 << 40, 1 << 40], [1 << 40, 0, 4], [7, 4, 0]] {
            let codes = HostTensor::i64(shape, Vec::new());
            let tensors = TensorMap::from([("codes".to_string(), codes)]);
            write_tensors(&path, &tensors, &BTreeMap::new()).unwrap();
            let error = CodeSet::load(&path).unwrap_err().to_string();
            assert!(error.contains("impossible shape"), "{error}");
        }
    }
}
