//! Safetensors files: written whole or not at all, read with every length checked.

use super::foreign;
use super::tensor::{Doubles, DoublesMap, HostTensor, TensorMap, Values};
use crate::error::{Error, Result};
use safetensors::tensor::{Dtype, View};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

/// What the names of files that are being written begin with.
const TEMPORARY: &str = ".smalti-";

/// Whether a file of this name was being written when its program was killed.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// Writes a file so that at every moment either the old contents or the new ones are there: into a temporary file beside
/// it, flushed to the disk, then renamed.
///
/// # Errors
/// Whatever the operating system says; the old file, if any, is untouched then.
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let attempt = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .suffix(".tmp")
            .tempfile_in(folder)?;
        {
            let mut buffered = std::io::BufWriter::new(file.as_file_mut());
            write(&mut buffered)?;
            buffered.flush()?;
        }
        file.as_file().sync_all()?;
        make_readable(file.as_file())?;
        file.persist(path).map_err(|error| error.error)?;
        sync_folder(folder)
    };
    attempt().map_err(|error| Error::io(path, error))
}

/// Temporary files are private to their owner; what we leave behind is an ordinary file.
#[cfg(unix)]
fn make_readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

/// A rename is on the disk only once its folder is.
#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

struct Stored<'a>(&'a HostTensor);

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        match self.0.values {
            Values::F32(_) => Dtype::F32,
            Values::I64(ref values) if is_small(values) => Dtype::I32,
            Values::I64(_) => Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match &self.0.values {
            Values::F32(values) => values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            Values::I64(values) if is_small(values) => values
                .iter()
                .flat_map(|&value| (value as i32).to_le_bytes())
                .collect(),
            Values::I64(values) => values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        }
    }

    fn data_len(&self) -> usize {
        match &self.0.values {
            Values::F32(values) => 4 * values.len(),
            Values::I64(values) if is_small(values) => 4 * values.len(),
            Values::I64(values) => 8 * values.len(),
        }
    }
}

impl View for &Doubles {
    fn dtype(&self) -> Dtype {
        Dtype::F64
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let bytes = self.values.iter().flat_map(|value| value.to_le_bytes());
        bytes.collect()
    }

    fn data_len(&self) -> usize {
        8 * self.values.len()
    }
}

/// Whether whole numbers fit into 32 bits, as codes and counts do.
fn is_small(values: &[i64]) -> bool {
    values.iter().all(|&value| i32::try_from(value).is_ok())
}

/// Writes tensors and metadata as a safetensors file, atomically. The same contents always give the same bytes.
pub fn write_tensors(
    path: &Path,
    tensors: &TensorMap,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let views = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), Stored(tensor)));
    write_safetensors(path, views, in_one_entry(metadata))
}

/// Writes 64-bit floats and metadata as a safetensors file, atomically.
pub fn write_doubles(
    path: &Path,
    tensors: &DoublesMap,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let views = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    write_safetensors(path, views, in_one_entry(metadata))
}

/// The format keeps metadata in a hash map whose order would change from run to run; one entry has one order.
fn in_one_entry(metadata: &BTreeMap<String, String>) -> Option<(String, String)> {
    (!metadata.is_empty()).then(|| {
        let json = serde_json::to_string(metadata).unwrap_or_default();
        ("smalti".to_string(), json)
    })
}

/// Writes tensors alone as a safetensors file, atomically, marked as PyTorch's own writer marks them: some programs ask
/// for that.
pub fn write_plain_tensors(path: &Path, tensors: &TensorMap) -> Result<()> {
    let views = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), Stored(tensor)));
    write_safetensors(path, views, Some(("format".into(), "pt".into())))
}

fn write_safetensors<'a, V: View>(
    path: &Path,
    views: impl Iterator<Item = (&'a str, V)>,
    metadata: Option<(String, String)>,
) -> Result<()> {
    let metadata = metadata.map(|entry| HashMap::from([entry]));
    let bytes = safetensors::serialize(views, metadata)
        .map_err(|error| Error::file(path, format!("cannot be written: {error}")))?;
    write_atomic(path, |file| file.write_all(&bytes))
}

/// Reads one of our safetensors files: tensors and metadata.
pub fn read_tensors(path: &Path) -> Result<(TensorMap, BTreeMap<String, String>)> {
    let file = foreign::read(path)?;
    Ok((file.tensors, out_of_one_entry(path, file.metadata)?))
}

/// Reads what [`write_doubles`] wrote.
///
/// # Errors
/// A file that cannot be read, is damaged, or holds anything but 64-bit floats.
pub fn read_doubles(path: &Path) -> Result<(DoublesMap, BTreeMap<String, String>)> {
    let (tensors, metadata) = foreign::read_doubles(path)?;
    Ok((tensors, out_of_one_entry(path, metadata)?))
}

fn out_of_one_entry(
    path: &Path,
    metadata: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>> {
    match metadata.get("smalti") {
        Some(json) => serde_json::from_str(json)
            .map_err(|error| Error::file(path, format!("its metadata cannot be read: {error}"))),
        None => Ok(metadata),
    }
}
