//! Safetensors files that are read where they lie: the system brings in the pages that are looked at and takes them back
//! when memory is short, so a file may be larger than the memory.

use super::element::Element;
use super::foreign::{Place, begins_safetensors, places};
use crate::error::{Error, Result};
use memmap2::Mmap;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Bytes of a number; only tensors of such numbers are read row by row.
const BYTES: usize = 4;

/// An open file of tensors. Nobody may change the file as long as it is open; what is renamed into its place is another
/// file.
pub struct MappedTensors {
    path: PathBuf,
    map: Mmap,
    places: BTreeMap<String, Place>,
    /// Of the file, as [`read_tensors`](super::read_tensors) gives it.
    pub metadata: BTreeMap<String, String>,
}

/// A tensor of a file, seen as rows along its first dimension.
#[derive(Debug, Clone)]
pub struct Rows {
    pub shape: Vec<usize>,
    /// Where it begins in the file.
    start: usize,
    /// Numbers in a row.
    width: usize,
}

impl Rows {
    /// How many.
    pub fn count(&self) -> usize {
        self.shape[0]
    }
}

impl MappedTensors {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// A file that cannot be opened, is no safetensors file, or is not whole.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        // SAFETY: the files that are opened so are in run folders and are never written to, only replaced.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| Error::io(path, error))?;
        if !begins_safetensors(&map) {
            return Err(Error::file(path, "this is no safetensors file"));
        }
        let broken = |message: String| Error::file(path, message);
        let (places, metadata) = places(&map).map_err(broken)?;
        // All of it is one entry, as in all of our files.
        let metadata = match metadata.get("smalti") {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| broken(format!("its metadata cannot be read: {error}")))?,
            None => metadata,
        };
        Ok(Self {
            metadata,
            path: path.to_path_buf(),
            map,
            places,
        })
    }

    /// The tensor `name` of 32-bit whole numbers, if there is one.
    ///
    /// # Errors
    /// A tensor of other numbers or without a dimension.
    pub fn integer_rows(&self, name: &str) -> Result<Option<Rows>> {
        self.rows(name, Element::I32, "32-bit whole numbers")
    }

    /// The tensor `name` of 32-bit floats, if there is one.
    ///
    /// # Errors
    /// A tensor of other numbers or without a dimension.
    pub fn float_rows(&self, name: &str) -> Result<Option<Rows>> {
        self.rows(name, Element::F32, "32-bit floats")
    }

    fn rows(&self, name: &str, element: Element, wanted: &str) -> Result<Option<Rows>> {
        let Some(place) = self.places.get(name) else {
            return Ok(None);
        };
        if place.element != element || place.shape.is_empty() {
            return Err(Error::file(
                &self.path,
                format!("`{name}` must have rows of {wanted}"),
            ));
        }
        Ok(Some(Rows {
            shape: place.shape.clone(),
            start: place.bytes.start,
            width: place.bytes.len() / BYTES / place.shape[0].max(1),
        }))
    }

    /// A row of whole numbers.
    ///
    /// # Panics
    /// If there are fewer rows.
    pub fn integers(&self, rows: &Rows, index: usize) -> impl Iterator<Item = i64> {
        let cells = self.row(rows, index).iter();
        cells.map(|&cell| i64::from(i32::from_le_bytes(cell)))
    }

    /// A row of floats.
    ///
    /// # Panics
    /// If there are fewer rows.
    pub fn floats(&self, rows: &Rows, index: usize) -> impl Iterator<Item = f32> {
        let cells = self.row(rows, index).iter();
        cells.map(|&cell| f32::from_le_bytes(cell))
    }

    fn row(&self, rows: &Rows, index: usize) -> &[[u8; BYTES]] {
        assert!(
            index < rows.count(),
            "row {index} of a tensor with {}",
            rows.count()
        );
        let length = rows.width * BYTES;
        self.map[rows.start + index * length..][..length]
            .as_chunks()
            .0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{HostTensor, TensorMap, write_tensors};

    fn written(tensors: TensorMap) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let metadata = BTreeMap::from([("made".to_string(), "here".to_string())]);
        write_tensors(&path, &tensors, &metadata).unwrap();
        (folder, path)
    }

    #[test]
    fn rows_are_those_that_were_written() {
        let (_folder, path) = written(TensorMap::from([
            (
                "codes".to_string(),
                HostTensor::i64([3, 1, 2], vec![0, -1, 2, 70_000, 4, 5]),
            ),
            (
                "text".to_string(),
                HostTensor::f32([2, 2], vec![0.5, 1.0, -2.0, 3.0]),
            ),
        ]));
        let file = MappedTensors::open(&path).unwrap();
        assert_eq!(file.metadata["made"], "here");
        let codes = file.integer_rows("codes").unwrap().unwrap();
        assert_eq!((codes.count(), codes.shape.as_slice()), (3, &[3, 1, 2][..]));
        let row = |index| file.integers(&codes, index).collect::<Vec<_>>();
        assert_eq!([row(0), row(1), row(2)].concat(), [0, -1, 2, 70_000, 4, 5]);
        let text = file.float_rows("text").unwrap().unwrap();
        assert_eq!(file.floats(&text, 1).collect::<Vec<_>>(), [-2.0, 3.0]);
        assert!(file.float_rows("codes").is_err());
        assert!(file.integer_rows("none").unwrap().is_none());
    }

    #[test]
    fn damaged_files_are_errors() {
        let codes = HostTensor::i64([2, 2], vec![1, 2, 3, 4]);
        let (_folder, path) = written(TensorMap::from([("codes".to_string(), codes)]));
        let whole = std::fs::read(&path).unwrap();
        for length in [1, 7, 9, 20, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(MappedTensors::open(&path).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_tensor_without_values_has_no_rows() {
        let (_folder, path) = written(TensorMap::from([(
            "codes".to_string(),
            HostTensor::i64([0, 1 << 40, 2], Vec::new()),
        )]));
        let file = MappedTensors::open(&path).unwrap();
        assert_eq!(file.integer_rows("codes").unwrap().unwrap().count(), 0);
    }
}
