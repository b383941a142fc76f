//! Writing tensors whose length is known only at the end: rows go into temporary files, which are put together when the
//! last one is there.

use super::file::write_atomic;
use crate::error::{Error, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

/// Bytes of a number.
const BYTES: u64 = 4;

/// Tensors that grow row by row.
pub struct Spool {
    /// Where the temporary files are.
    folder: PathBuf,
    tensors: BTreeMap<String, Growing>,
}

struct Growing {
    /// As safetensors calls its numbers.
    dtype: &'static str,
    /// The shape of a row.
    row: Vec<usize>,
    numbers: u64,
    /// Without a name: it goes with the program, however that ends.
    file: BufWriter<File>,
}

impl Spool {
    /// Nothing yet. `folder` should be on the disk of the file that is to be made.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            tensors: BTreeMap::new(),
        }
    }

    /// Adds rows of shape `row` to the tensor `name` of 32-bit whole numbers.
    ///
    /// # Errors
    /// A number that is too large, or whatever the operating system says.
    pub fn add_integers(&mut self, name: &str, row: &[usize], values: &[i64]) -> Result<()> {
        let mut bytes = Vec::with_capacity(4 * values.len());
        for &value in values {
            let small = i32::try_from(value);
            let small = small.map_err(|_| {
                Error::input(format!("{value} of `{name}` is no number of 32 bits"))
            })?;
            bytes.extend(small.to_le_bytes());
        }
        self.add(name, "I32", row, &bytes)
    }

    /// Adds rows of shape `row` to the tensor `name` of 32-bit floats.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn add_floats(&mut self, name: &str, row: &[usize], values: &[f32]) -> Result<()> {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.add(name, "F32", row, &bytes)
    }

    fn add(&mut self, name: &str, dtype: &'static str, row: &[usize], bytes: &[u8]) -> Result<()> {
        let tensor = match self.tensors.entry(name.to_string()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let file = tempfile::tempfile_in(&self.folder)
                    .map_err(|error| Error::io(&self.folder, error))?;
                entry.insert(Growing {
                    dtype,
                    row: row.to_vec(),
                    numbers: 0,
                    file: BufWriter::new(file),
                })
            }
        };
        assert_eq!(
            (tensor.dtype, tensor.row.as_slice()),
            (dtype, row),
            "rows of `{name}`"
        );
        tensor.numbers += bytes.len() as u64 / BYTES;
        let written = tensor.file.write_all(bytes);
        written.map_err(|error| Error::io(&self.folder, error))
    }

    /// Writes the file, atomically.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn finish(self, path: &Path, metadata: &BTreeMap<String, String>) -> Result<()> {
        let header = self.header(metadata);
        write_atomic(path, |file| {
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(&header)?;
            for tensor in self.tensors.into_values() {
                let mut numbers = tensor.file.into_inner().map_err(io::Error::from)?;
                numbers.rewind()?;
                io::copy(&mut numbers, file)?;
            }
            Ok(())
        })
    }

    /// The header, of a length that leaves the numbers behind it at a multiple of eight bytes.
    fn header(&self, metadata: &BTreeMap<String, String>) -> Vec<u8> {
        let mut header = Map::new();
        if !metadata.is_empty() {
            // One entry, as in all of our files.
            let text = serde_json::to_string(metadata).unwrap_or_default();
            header.insert("__metadata__".into(), json!({ "smalti": text }));
        }
        let mut place = 0;
        for (name, tensor) in &self.tensors {
            let end = place + tensor.numbers * BYTES;
            let width: usize = tensor.row.iter().product();
            let count = tensor.numbers / (width as u64).max(1);
            let shape: Vec<u64> = std::iter::once(count)
                .chain(tensor.row.iter().map(|&side| side as u64))
                .collect();
            let entry =
                json!({"dtype": tensor.dtype, "shape": shape, "data_offsets": [place, end]});
            header.insert(name.clone(), entry);
            place = end;
        }
        let mut bytes = Value::Object(header).to_string().into_bytes();
        bytes.resize(bytes.len().next_multiple_of(8), b' ');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{HostTensor, MappedTensors, read_tensors};

    #[test]
    fn what_grew_is_an_ordinary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes.safetensors");
        let mut spool = Spool::new(folder.path());
        spool.add_integers("codes", &[1, 2], &[1, 2, 3, 4]).unwrap();
        spool.add_floats("text", &[1], &[0.5, -0.5]).unwrap();
        spool.add_integers("codes", &[1, 2], &[5, 6]).unwrap();
        let error = spool.add_integers("codes", &[1, 2], &[1 << 40, 0]);
        assert!(error.unwrap_err().to_string().contains("32 bits"));
        let metadata = BTreeMap::from([("f".to_string(), "4".to_string())]);
        spool.finish(&path, &metadata).unwrap();
        let (tensors, read) = read_tensors(&path).unwrap();
        assert_eq!(read, metadata);
        let codes = HostTensor::i64([3, 1, 2], vec![1, 2, 3, 4, 5, 6]);
        assert_eq!(tensors["codes"], codes);
        assert_eq!(tensors["text"], HostTensor::f32([2, 1], vec![0.5, -0.5]));
        let mapped = MappedTensors::open(&path).unwrap();
        let rows = mapped.integer_rows("codes").unwrap().unwrap();
        assert_eq!(mapped.integers(&rows, 2).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_a_file_without_tensors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes.safetensors");
        Spool::new(folder.path())
            .finish(&path, &BTreeMap::new())
            .unwrap();
        assert!(read_tensors(&path).unwrap().0.is_empty());
    }
}
