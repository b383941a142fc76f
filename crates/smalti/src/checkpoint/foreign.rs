//! Reading the checkpoints other programs write: `torch.save` files old and new, pickles of numpy arrays, safetensors.
//!
//! What a file is shows in its first bytes; its name is not looked at. Nothing in a file is ever executed, and a file can
//! say what it likes: reading it ends in tensors or in an error, in memory of the order of the file's size.

mod safetensors_file;
mod walk;

use super::budget::Budget;
use super::pickle::{Graph, NodeId, parse};
use super::tensor::{DoublesMap, TensorMap};
use super::torch::{self, Archive, Legacy, Storages};
use crate::error::Error;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;
use walk::Walk;

pub(super) use safetensors_file::{Place, begins as begins_safetensors, places};

/// How a checkpoint is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `torch.save` since PyTorch 1.6.
    TorchZip,
    /// `torch.save` before that.
    TorchLegacy,
    /// A plain pickle, of numpy arrays.
    Pickle,
    Safetensors,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TorchZip => "PyTorch (zip)",
            Self::TorchLegacy => "PyTorch (before 1.6)",
            Self::Pickle => "pickle",
            Self::Safetensors => "safetensors",
        })
    }
}

/// What a file from elsewhere holds.
#[derive(Debug)]
pub struct Foreign {
    pub format: Format,
    /// The tensors by their path through dicts, lists and attributes, joined by dots. Where the file's outermost dict has
    /// a dict `state_dict`, or one `model` with tensors in it, these are the tensors of that dict alone, by their path
    /// within it. A file that is a single tensor has it under the empty name.
    pub tensors: TensorMap,
    /// All integers, floats and truth values of dicts anywhere in the file, by path: `global_step`, `epoch`.
    pub numbers: BTreeMap<String, f64>,
    /// The metadata of a safetensors file.
    pub metadata: BTreeMap<String, String>,
}

/// Reads the checkpoint at `path`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be opened, [`Error::File`] if it is none of the formats, is damaged or incomplete, or
/// holds a tensor of a kind that is not supported.
pub fn read(path: &Path) -> crate::error::Result<Foreign> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let metadata = file.metadata().map_err(|source| Error::io(path, source))?;
    read_from(BufReader::new(file), metadata.len()).map_err(|message| Error::file(path, message))
}

/// Reads a safetensors file of 64-bit floats and its metadata.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::File`] if it is no such file, is damaged or incomplete.
pub(super) fn read_doubles(
    path: &Path,
) -> crate::error::Result<(DoublesMap, BTreeMap<String, String>)> {
    let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
    if !safetensors_file::begins(&bytes) {
        return Err(Error::file(path, "this is no safetensors file"));
    }
    safetensors_file::read_doubles(&bytes).map_err(|message| Error::file(path, message))
}

/// Reads a checkpoint of `length` bytes.
fn read_from<R: Read + Seek>(mut reader: R, length: u64) -> Result<Foreign, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    let head = reader.by_ref().take(512).read_to_end(&mut bytes);
    head.map_err(unreadable)?;
    let container = container(&bytes)?;
    if container == Container::Zip {
        reader.rewind().map_err(unreadable)?;
        return read_zip(reader, length);
    }
    reader.read_to_end(&mut bytes).map_err(unreadable)?;
    match container {
        Container::Safetensors => read_safetensors(&bytes),
        _ => read_pickle(&bytes),
    }
}

/// What the first bytes of a file tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Zip,
    Pickle,
    Safetensors,
}

fn container(head: &[u8]) -> Result<Container, String> {
    // Protocols 0 and 1 have no header. These are the beginnings of a dict, a list and an OrderedDict.
    const OLD_PICKLES: [&[u8]; 5] = [b"(d", b"(l", b"}q", b"]q", b"ccollections\n"];
    // Safetensors first: its length may begin with any byte, that of a pickle too.
    if safetensors_file::begins(head) {
        return Ok(Container::Safetensors);
    }
    if head.starts_with(b"PK\x03\x04") {
        return Ok(Container::Zip);
    }
    if head.starts_with(b"\x80") || OLD_PICKLES.iter().any(|begin| head.starts_with(begin)) {
        return Ok(Container::Pickle);
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = text.trim_ascii_start();
    Err(if head.is_empty() {
        "the file is empty".into()
    } else if text.starts_with(b"version https://git-lfs") {
        "this is not the checkpoint but a Git LFS pointer to it: fetch the file itself with `git lfs pull`".into()
    } else if text.starts_with(b"<") {
        "this is not a checkpoint but a web page: open the address in a browser and download the file itself".into()
    } else {
        "this is no checkpoint: neither a torch.save file, a pickle nor safetensors".into()
    })
}

fn read_zip<R: Read + Seek>(reader: R, length: u64) -> Result<Foreign, String> {
    let mut archive = Archive::open(reader, length)?;
    let pickle = archive.pickle()?;
    let big_endian = archive.is_big_endian()?;
    let graph = parse(&pickle, 0)
        .map_err(|error| format!("the pickle data.pkl is damaged: {error}"))?
        .graph;
    let load = |key: &str, bytes: usize| archive.storage(key, bytes).map(Cow::<[u8]>::Owned);
    collect(
        Format::TorchZip,
        &graph,
        length,
        Storages { load, big_endian },
    )
}

fn read_pickle(bytes: &[u8]) -> Result<Foreign, String> {
    let damaged =
        |error: String| format!("the file is damaged or was not downloaded whole: {error}");
    let length = bytes.len() as u64;
    let first = parse(bytes, 0).map_err(damaged)?;
    let big_endian = false;
    if Legacy::is_announced_by(&first) {
        let file = Legacy::read(bytes, first.end).map_err(damaged)?;
        let load = |key: &str, bytes: usize| file.storage(key, bytes).map(Cow::Borrowed);
        let storages = Storages { load, big_endian };
        return collect(Format::TorchLegacy, &file.graph, length, storages);
    }
    let load = |key: &str, _: usize| Err(format!("storage {key:?} is not in the file"));
    collect(
        Format::Pickle,
        &first.graph,
        length,
        Storages { load, big_endian },
    )
}

fn read_safetensors(bytes: &[u8]) -> Result<Foreign, String> {
    let (tensors, metadata) = safetensors_file::read(bytes)?;
    Ok(Foreign {
        format: Format::Safetensors,
        tensors,
        numbers: BTreeMap::new(),
        metadata,
    })
}

/// Takes what is of use out of a pickled object.
fn collect<'a, L>(
    format: Format,
    graph: &Graph<'_>,
    length: u64,
    storages: Storages<L>,
) -> Result<Foreign, String>
where
    L: FnMut(&str, usize) -> Result<Cow<'a, [u8]>, String>,
{
    let mut names = Budget::new("bytes of names", length);
    let wanted = Walk::new(graph, weights(graph)).tensors(&mut names)?;
    let numbers = Walk::new(graph, graph.root).numbers(&mut names)?;
    let mut elements = Budget::new("tensor elements", length);
    Ok(Foreign {
        format,
        tensors: torch::read(graph, &wanted, storages, &mut elements)?,
        numbers,
        metadata: BTreeMap::new(),
    })
}

/// Where the weights are: what training programs save has them beside the optimiser's state and more.
fn weights(graph: &Graph<'_>) -> NodeId {
    let below = |name| {
        graph
            .entry(graph.root, name)
            .filter(|&id| graph.is_mapping(id))
    };
    if let Some(weights) = below("state_dict") {
        return weights;
    }
    let has_tensors = |id| {
        let entries = graph.entries(id);
        entries
            .iter()
            .any(|&(_, value)| walk::is_tensor(graph, value))
    };
    match below("model") {
        Some(weights) if has_tensors(weights) => weights,
        _ => graph.root,
    }
}

#[cfg(test)]
mod tests;
