//! Safetensors files: a JSON header, checked here so that errors name the tensor, and the tensors' bytes.

use super::super::element::{Element, Layout};
use super::super::pickle::short;
use super::super::tensor::TensorMap;
use safetensors::SafeTensors;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

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
    let types = check(file)?;
    let (header_length, header) = SafeTensors::read_metadata(file)
        .map_err(|error| format!("the safetensors header is invalid: {error}"))?;
    let data = file.get(8 + header_length..).unwrap_or_default();
    let mut tensors = TensorMap::new();
    for (name, element) in types {
        let of = |error: &str| format!("tensor {name:?} {error}");
        let info = header.info(&name).ok_or_else(|| of("is missing"))?;
        let bytes = data.get(info.data_offsets.0..info.data_offsets.1);
        let bytes = bytes.ok_or_else(|| of("lies outside the file"))?;
        let tensor = Layout::dense(element, info.shape.clone(), false)
            .and_then(|layout| layout.gather(bytes, false))
            .map_err(|error| of(&error))?;
        tensors.insert(name, tensor);
    }
    let metadata = header.metadata().iter().flatten();
    let metadata = metadata.map(|(key, value)| (key.clone(), value.clone()));
    Ok((tensors, metadata.collect()))
}

/// The header, as far as it is checked here.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__")]
    _metadata: Option<IgnoredAny>,
    #[serde(flatten)]
    tensors: BTreeMap<String, Span>,
}

#[derive(Deserialize)]
struct Span {
    dtype: String,
    data_offsets: (u64, u64),
}

/// Checks that the file is long enough for its header and every tensor, and gives the tensors' element types.
fn check(file: &[u8]) -> Result<BTreeMap<String, Element>, String> {
    let (length, rest) = file.split_first_chunk::<8>().ok_or("the file is cut off")?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(format!(
            "the safetensors header of {length} bytes is too long"
        ));
    }
    let header = rest.split_at_checked(length as usize);
    let (header, data) =
        header.ok_or("the file ends inside its header: it was not downloaded whole")?;
    let header: Header = serde_json::from_slice(header)
        .map_err(|error| format!("the safetensors header is invalid: {error}"))?;
    let mut types = BTreeMap::new();
    for (name, span) in header.tensors {
        if span.data_offsets.1 > data.len() as u64 {
            return Err(format!(
                "the file ends before tensor {name:?} does: it was not downloaded whole"
            ));
        }
        let element = element(&span.dtype).ok_or_else(|| {
            let dtype = short(&span.dtype);
            format!("tensor {name:?} has elements of type {dtype}, which cannot be read")
        })?;
        types.insert(name, element);
    }
    Ok(types)
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
