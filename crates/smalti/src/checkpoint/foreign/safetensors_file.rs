//! Safetensors files: a JSON header, checked here so that errors name the tensor, and the tensors' bytes.

use super::super::element::{Element, Layout};
use super::super::pickle::short;
use super::super::tensor::{Doubles, DoublesMap, TensorMap};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// The largest header the format allows.
const MAX_HEADER: u64 = 100_000_000;

/// Whether a file that begins so is meant to be safetensors: the header's length as a number of 8 bytes, of which the
/// last are zero, and the header's opening brace. Nothing else begins so.
pub fn begins(head: &[u8]) -> bool {
    match head.split_first_chunk::<8>() {
        Some((length, header)) => {
            u64::from_le_bytes(*length) < 1 << 40 && header.first() == Some(&b'{')
        }
        None => false,
    }
}

/// Reads the tensors and the metadata.
pub fn read(file: &[u8]) -> Result<(TensorMap, BTreeMap<String, String>), String> {
    let (header, data) = split(file)?;
    check_places(&header.tensors, data.len() as u64)?;
    let mut tensors = TensorMap::new();
    for (name, span) in header.tensors {
        let of = |error: &str| format!("tensor {name:?} {error}");
        let (start, end) = span.data_offsets;
        let bytes = data.get(start as usize..end as usize);
        let bytes = bytes.ok_or_else(|| of("lies outside the file"))?;
        let element = element(&span.dtype).ok_or_else(|| {
            let dtype = short(&span.dtype);
            of(&format!(
                "has elements of type {dtype}, which cannot be read"
            ))
        })?;
        let layout = Layout::dense(element, span.shape, false).map_err(|error| of(&error))?;
        check_length(&layout, bytes).map_err(|error| invalid(of(&error)))?;
        let tensor = layout.gather(bytes, false).map_err(|error| of(&error))?;
        tensors.insert(name, tensor);
    }
    Ok((tensors, header.metadata))
}

/// Reads a file of 64-bit floats alone, whose digits [`read`] would round to 32 bits.
pub fn read_doubles(file: &[u8]) -> Result<(DoublesMap, BTreeMap<String, String>), String> {
    let (header, data) = split(file)?;
    check_places(&header.tensors, data.len() as u64)?;
    let mut tensors = DoublesMap::new();
    for (name, span) in header.tensors {
        let of = |error: &str| format!("tensor {name:?} {error}");
        let (start, end) = span.data_offsets;
        let bytes = data.get(start as usize..end as usize);
        let bytes = bytes.ok_or_else(|| of("lies outside the file"))?;
        if element(&span.dtype) != Some(Element::F64) {
            let dtype = short(&span.dtype);
            return Err(of(&format!(
                "has elements of type {dtype}, not 64-bit floats"
            )));
        }
        let shape = span.shape;
        let layout =
            Layout::dense(Element::F64, shape.clone(), false).map_err(|error| of(&error))?;
        check_length(&layout, bytes).map_err(|error| invalid(of(&error)))?;
        let (cells, _) = bytes.as_chunks::<8>();
        let values = cells.iter().map(|&cell| f64::from_le_bytes(cell)).collect();
        tensors.insert(name, Doubles { shape, values });
    }
    Ok((tensors, header.metadata))
}

fn check_length(layout: &Layout, bytes: &[u8]) -> Result<(), String> {
    if layout.bytes() == bytes.len() {
        return Ok(());
    }
    Err(format!(
        "has {} bytes where its shape needs {}",
        bytes.len(),
        layout.bytes()
    ))
}

fn invalid(message: impl fmt::Display) -> String {
    format!("the safetensors header is invalid: {message}")
}

/// The header, and the bytes behind it.
fn split(file: &[u8]) -> Result<(Header, &[u8]), String> {
    let (length, rest) = file.split_first_chunk::<8>().ok_or("the file is cut off")?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(format!(
            "the safetensors header of {length} bytes is too long"
        ));
    }
    let parts = rest.split_at_checked(length as usize);
    let (text, data) =
        parts.ok_or("the file ends inside its header: it was not downloaded whole")?;
    let header: Header = serde_json::from_slice(text).map_err(invalid)?;
    Ok((header, data))
}

/// Checks that the tensors lie one behind the other and take all of the `available` bytes, as the format wants it: a
/// file could else name the same bytes over and over.
fn check_places(tensors: &BTreeMap<String, Span>, available: u64) -> Result<(), String> {
    let places = tensors.iter().map(|(name, span)| (span.data_offsets, name));
    let mut places: Vec<((u64, u64), &String)> = places.collect();
    if let Some((_, name)) = places.iter().find(|((_, end), _)| *end > available) {
        return Err(format!(
            "the file ends before tensor {name:?} does: it was not downloaded whole"
        ));
    }
    places.sort_unstable();
    let mut last = 0;
    for ((start, end), name) in places {
        if start != last || end < start {
            return Err(invalid(format!(
                "tensor {name:?} does not begin where another ends"
            )));
        }
        last = end;
    }
    if last != available {
        let spare = available - last;
        return Err(invalid(format!("{spare} bytes belong to no tensor")));
    }
    Ok(())
}

/// A tensor where it lies in a file: as many bytes as its shape needs.
pub struct Place {
    pub element: Element,
    pub shape: Vec<usize>,
    pub bytes: std::ops::Range<usize>,
}

/// Tensors where they lie in a file, by name.
pub type Places = BTreeMap<String, Place>;

/// Where the tensors of a file are, and the metadata.
pub fn places(file: &[u8]) -> Result<(Places, BTreeMap<String, String>), String> {
    let (header, data) = split(file)?;
    check_places(&header.tensors, data.len() as u64)?;
    let begin = file.len() - data.len();
    let mut places = BTreeMap::new();
    for (name, span) in header.tensors {
        let of = |error: &str| format!("tensor {name:?} {error}");
        let element = element(&span.dtype).ok_or_else(|| of("has an unknown type of elements"))?;
        let layout = Layout::dense(element, span.shape.clone(), false);
        let needed = layout.map_err(|error| of(&error))?.bytes();
        let (start, end) = span.data_offsets;
        let bytes = begin + start as usize..begin + end as usize;
        if bytes.len() != needed {
            return Err(invalid(of("has another length than its shape needs")));
        }
        let place = Place {
            element,
            shape: span.shape,
            bytes,
        };
        places.insert(name, place);
    }
    Ok((places, header.metadata))
}

/// What the header says.
#[derive(Default)]
struct Header {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, Span>,
}

/// What the header says of a tensor.
#[derive(serde::Deserialize)]
struct Span {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// Entry by entry. To derive it, with the tensors flattened into the header, would first keep all of it as a tree,
/// dozens of times its length.
impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an entry for every tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(name) = entries.next_key::<String>()? {
            if name == "__metadata__" {
                let metadata = entries.next_value::<Option<BTreeMap<String, String>>>()?;
                header.metadata = metadata.unwrap_or_default();
            } else {
                let span = entries.next_value()?;
                header.tensors.insert(name, span);
            }
        }
        Ok(header)
    }
}

fn element(dtype: &str) -> Option<Element> {
    Some(match dtype {
        "F16" => Element::F16,
        "BF16" => Element::BF16,
        "F32" => Element::F32,
        "F64" => Element::F64,
        "I8" => Element::I8,
        "I16" => Element::I16,
        "I32" => Element::I32,
        "I64" => Element::I64,
        "U8" => Element::U8,
        "U16" => Element::U16,
        "U32" => Element::U32,
        "BOOL" => Element::Bool,
        _ => return None,
    })
}
