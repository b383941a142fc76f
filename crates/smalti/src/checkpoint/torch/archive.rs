//! The zip archives `torch.save` writes since PyTorch 1.6: `<name>/data.pkl` beside a file `<name>/data/<key>` for every
//! storage.

use super::super::budget::Budget;
use super::super::zip_entry::entry;
use std::io::{Read, Seek};
use zip::ZipArchive;

/// An open archive.
pub struct Archive<R> {
    zip: ZipArchive<R>,
    /// What all names begin with, up to and with a slash.
    prefix: String,
    budget: Budget,
}

impl<R: Read + Seek> Archive<R> {
    /// Opens an archive of `length` bytes.
    pub fn open(reader: R, length: u64) -> Result<Self, String> {
        let zip = ZipArchive::new(reader).map_err(|error| {
            format!("the zip archive cannot be read, perhaps it was not downloaded whole: {error}")
        })?;
        let prefix = zip
            .file_names_raw()
            .filter_map(|name| std::str::from_utf8(name).ok()?.strip_suffix("data.pkl"))
            .filter(|prefix| prefix.is_empty() || prefix.ends_with('/'))
            .min_by_key(|prefix| prefix.len())
            .ok_or("the zip archive has no data.pkl: torch.save did not write it")?
            .to_string();
        Ok(Self {
            zip,
            prefix,
            budget: Budget::new("bytes", length),
        })
    }

    /// The pickle of the saved object.
    pub fn pickle(&mut self) -> Result<Vec<u8>, String> {
        self.read("data.pkl", None)
    }

    /// Whether the numbers in the storages are big-endian; archives that do not say are little-endian.
    pub fn is_big_endian(&mut self) -> Result<bool, String> {
        match self.index("byteorder") {
            Some(_) => Ok(self.read("byteorder", None)?.trim_ascii() == b"big"),
            None => Ok(false),
        }
    }

    /// A storage that must have `bytes` bytes.
    pub fn storage(&mut self, key: &str, bytes: usize) -> Result<Vec<u8>, String> {
        if bytes == 0 {
            return Ok(Vec::new());
        }
        self.read(&format!("data/{key}"), Some(bytes))
    }

    fn index(&self, name: &str) -> Option<usize> {
        let name = format!("{}{name}", self.prefix);
        self.zip.index_for_name_raw(name.as_bytes())
    }

    fn read(&mut self, name: &str, expected: Option<usize>) -> Result<Vec<u8>, String> {
        let index = self.index(name);
        let index = index.ok_or_else(|| format!("the zip archive has no {name:?}"))?;
        entry(&mut self.zip, (index, name), expected, &mut self.budget)
    }
}
