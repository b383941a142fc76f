//! The files `torch.save` wrote before PyTorch 1.6: four pickles (a magic number, a protocol version, facts about the
//! machine, the object), a fifth of the storages' keys, and then every storage's length and numbers. All of it is
//! little-endian on every machine.

use super::super::pickle::{Graph, Node, Parsed, parse};
use super::{MAX_STORAGE_KEY, Storage};
use std::collections::HashMap;

/// The first pickle, an integer, as its bytes.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The second pickle; there never was another version.
const VERSION: i64 = 1001;

/// What such a file holds.
pub struct Legacy<'a> {
    pub graph: Graph<'a>,
    storages: HashMap<String, &'a [u8]>,
}

impl<'a> Legacy<'a> {
    /// Whether the first pickle of a file says it is such a file.
    pub fn is_announced_by(first: &Parsed<'_>) -> bool {
        let root = first.graph.node(first.graph.root);
        matches!(root, Node::Long(bytes) if *bytes == MAGIC.as_slice())
    }

    /// Reads what follows the first pickle, which ended before byte `start`.
    pub fn read(input: &'a [u8], start: usize) -> Result<Self, String> {
        let version = parse(input, start)?;
        if version.graph.int(version.graph.root) != Some(VERSION) {
            return Err("it is of an unknown version of PyTorch's old format".into());
        }
        let machine = parse(input, version.end)?;
        let object = parse(input, machine.end)?;
        let storages = storages(input, &object)?;
        Ok(Self {
            graph: object.graph,
            storages,
        })
    }

    /// A storage that must have `bytes` bytes.
    pub fn storage(&self, key: &str, bytes: usize) -> Result<&'a [u8], String> {
        match self.storages.get(key).copied() {
            Some(storage) if storage.len() == bytes => Ok(storage),
            Some(storage) => Err(format!(
                "storage {key:?} has {} bytes where the tensors need {bytes}",
                storage.len()
            )),
            None => Err(format!("storage {key:?} is missing")),
        }
    }
}

/// Finds the storages, which follow the pickled object.
fn storages<'a>(input: &'a [u8], object: &Parsed<'_>) -> Result<HashMap<String, &'a [u8]>, String> {
    let units = units(&object.graph);
    let keys = parse(input, object.end)?;
    let list = keys.graph.sequence(keys.graph.root);
    let list = list.ok_or("its storages are not listed")?;
    let mut rest = input.get(keys.end..).unwrap_or_default();
    let mut storages = HashMap::new();
    for &key in list {
        let key = keys.graph.text(key).ok_or("a storage has no key")?;
        let unit = Some(key).filter(|key| key.len() <= MAX_STORAGE_KEY);
        let unit = unit.and_then(|key| units.get(key));
        let unit = *unit.ok_or("a storage is listed that belongs to no tensor")?;
        let (storage, after) =
            split_storage(rest, unit).ok_or_else(|| format!("it ends inside storage {key:?}"))?;
        storages.insert(key.to_string(), storage);
        rest = after;
    }
    Ok(storages)
}

/// The unit, in bytes, that each storage's length is counted in. The lengths themselves are beside the numbers.
fn units<'g>(graph: &'g Graph<'_>) -> HashMap<&'g str, usize> {
    let persistent = |&id: &usize| matches!(graph.node(id), Node::Persistent(_));
    (0..graph.size())
        .filter(persistent)
        .filter_map(|id| Storage::parse(graph, id).ok())
        .map(|storage| (storage.key, storage.unit()))
        .collect()
}

/// Splits off one storage: the number of its elements, and these.
fn split_storage(input: &[u8], unit: usize) -> Option<(&[u8], &[u8])> {
    let (count, rest) = input.split_first_chunk::<8>()?;
    let count = usize::try_from(i64::from_le_bytes(*count)).ok()?;
    rest.split_at_checked(count.checked_mul(unit)?)
}
