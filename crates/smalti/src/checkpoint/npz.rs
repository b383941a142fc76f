//! Archives of arrays as `numpy.savez` and `numpy.savez_compressed` write them: a zip file with an entry `NAME.npy` for
//! every array. Only floats are read, and only arrays that are asked for are unpacked.

use super::budget::Budget;
use super::file::write_atomic;
use super::npy::{doubles_header, parse_doubles};
use super::tensor::DoublesMap;
use super::zip_entry::entry;
use crate::error::Error;
use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// Reads those of the arrays `names` that are in the archive at `path`, with all their digits.
///
/// # Errors
/// [`Error::Io`] if the file cannot be opened, [`Error::File`] if it is no such archive, is damaged or incomplete, or
/// one of these arrays is not of floats.
pub fn read_npz(path: &Path, names: &[&str]) -> crate::error::Result<DoublesMap> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let metadata = file.metadata().map_err(|source| Error::io(path, source))?;
    read_from(BufReader::new(file), metadata.len(), names)
        .map_err(|message| Error::file(path, message))
}

fn read_from<R: Read + Seek>(reader: R, length: u64, names: &[&str]) -> Result<DoublesMap, String> {
    let mut zip = ZipArchive::new(reader).map_err(|error| {
        format!("this is no archive of numpy.savez, or it was not downloaded whole: {error}")
    })?;
    let mut budget = Budget::new("bytes", length);
    let mut arrays = DoublesMap::new();
    for &name in names {
        let file = format!("{name}.npy");
        let Some(index) = zip.index_for_name_raw(file.as_bytes()) else {
            continue;
        };
        let bytes = entry(&mut zip, (index, file.as_str()), None, &mut budget)?;
        let array = parse_doubles(&bytes);
        let array = array.map_err(|error| format!("{file:?} in the zip archive: {error}"))?;
        arrays.insert(name.to_string(), array);
    }
    Ok(arrays)
}

/// Writes arrays of 64-bit floats as `numpy.savez` does, atomically. The same contents always give the same bytes.
///
/// # Errors
/// Whatever the operating system says; the old file, if any, is untouched then.
pub fn write_npz(path: &Path, arrays: &DoublesMap) -> crate::error::Result<()> {
    write_atomic(path, |file| {
        let mut archive = ZipWriter::new_stream(file);
        for (name, array) in arrays {
            let header = doubles_header(&array.shape);
            let bytes = header.len() + size_of_val(array.values.as_slice());
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .last_modified_time(DateTime::DEFAULT)
                .large_file(bytes >= u32::MAX as usize);
            archive.start_file(format!("{name}.npy"), options)?;
            archive.write_all(&header)?;
            for some in array.values.chunks(1 << 16) {
                let raw: Vec<u8> = some.iter().flat_map(|value| value.to_le_bytes()).collect();
                archive.write_all(&raw)?;
            }
        }
        archive.finish()?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Doubles;
    use std::io::Cursor;
    use tempfile::TempDir;

    fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(method);
        for (name, contents) in entries {
            writer.start_file(*name, options).unwrap();
            writer.write_all(contents).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn read(file: Vec<u8>, names: &[&str]) -> Result<DoublesMap, String> {
        let length = file.len() as u64;
        read_from(Cursor::new(file), length, names)
    }

    fn array(shape: &[usize], values: &[f64]) -> Vec<u8> {
        let data: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        [doubles_header(shape), data].concat()
    }

    #[test]
    fn there_and_back() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.npz");
        let doubles = |shape: &[usize], values: &[f64]| Doubles {
            shape: shape.to_vec(),
            values: values.to_vec(),
        };
        let arrays = DoublesMap::from([
            ("mu".to_string(), doubles(&[2], &[1.0 / 3.0, -0.5])),
            ("sigma".to_string(), doubles(&[2, 2], &[1.0, 0.1, 0.1, 2.0])),
        ]);
        write_npz(&path, &arrays).unwrap();
        assert_eq!(read_npz(&path, &["sigma", "mu", "other"]).unwrap(), arrays);
        assert_eq!(read_npz(&path, &["mu"]).unwrap().len(), 1);
        let bytes = std::fs::read(&path).unwrap();
        write_npz(&path, &arrays).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        for length in 0..bytes.len() {
            let cut = read(bytes[..length].to_vec(), &["mu"]);
            assert!(cut.is_err(), "{length} bytes");
        }
    }

    #[test]
    fn packed_or_not() {
        let mu = array(&[3], &[1.0, 2.0, 3.0]);
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let file = archive(&[("mu.npy", &mu[..])], method);
            let arrays = read(file, &["mu"]).unwrap();
            assert_eq!(arrays["mu"].values, [1.0, 2.0, 3.0]);
        }
    }

    #[test]
    fn what_is_not_asked_for_stays_where_it_lies() {
        let mu = array(&[1], &[7.0]);
        // Sixteen megabytes that a few kilobytes unpack to, and that are no array.
        let pictures = vec![0; 16 << 20];
        let entries = [("arr_0.npy", &pictures[..]), ("mu.npy", &mu[..])];
        let file = archive(&entries, CompressionMethod::Deflated);
        assert_eq!(read(file.clone(), &["mu"]).unwrap()["mu"].values, [7.0]);
        let error = read(file, &["arr_0"]).unwrap_err();
        assert!(error.contains("far more bytes"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let refuses = |file: Vec<u8>, reason: &str| {
            let error = read(file, &["mu"]).unwrap_err();
            assert!(error.contains(reason), "{error}");
        };
        refuses(b"PK\x03\x04".to_vec(), "no archive of numpy.savez");
        let of = |contents: &[u8]| archive(&[("mu.npy", contents)], CompressionMethod::Stored);
        refuses(
            of(b"text"),
            "\"mu.npy\" in the zip archive: this is no file",
        );
        refuses(of(&array(&[2], &[1.0])), "has 8 bytes of data");
    }
}
