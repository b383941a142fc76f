//! Entries of zip archives from strangers.

use super::budget::Budget;
use std::io::{Read, Seek};
use zip::ZipArchive;

/// The contents of entry number `index`, called `name` in errors. Its size is checked, against what is expected and
/// against the budget, before any of it is unpacked; the zip reader stops at that size and checks the checksum.
///
/// # Errors
/// In words, when it is larger than that, damaged, or packed in a way that is not known.
pub fn entry<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    (index, name): (usize, &str),
    expected: Option<usize>,
    budget: &mut Budget,
) -> Result<Vec<u8>, String> {
    let unreadable = |error: String| format!("{name:?} in the zip archive cannot be read: {error}");
    let entry = zip.by_index(index);
    let entry = entry.map_err(|error| unreadable(error.to_string()))?;
    let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
    if let Some(expected) = expected.filter(|&expected| expected != size) {
        return Err(format!(
            "{name:?} in the zip archive has {size} bytes where the tensors need {expected}"
        ));
    }
    let budgeted = budget.spend(size);
    budgeted.map_err(|error| format!("{name:?} in the zip archive {error}"))?;
    let mut bytes = Vec::with_capacity(size);
    // One byte more, for the end to be seen: that is where the checksum is checked.
    let read = entry.take(size as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() != size {
        return Err(unreadable(format!("it ends after {} bytes", bytes.len())));
    }
    Ok(bytes)
}
