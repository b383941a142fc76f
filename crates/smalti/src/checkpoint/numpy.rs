//! Arrays and scalars of numpy, as they lie in pickles: objects that numpy would rebuild, read here instead.

use super::budget::Budget;
use super::element::{Element, Layout};
use super::pickle::{Call, Graph, Node, NodeId, short};
use super::tensor::{HostTensor, Values};
use std::borrow::Cow;

/// Whether a call makes an array.
pub fn is_array(call: &Call<'_>) -> bool {
    match call.module {
        "numpy.core.multiarray" | "numpy._core.multiarray" => call.name == "_reconstruct",
        "numpy.core.numeric" | "numpy._core.numeric" => call.name == "_frombuffer",
        _ => false,
    }
}

/// The array an object of the graph stands for.
///
/// # Errors
/// In words that want the array's name before them.
pub fn array(graph: &Graph<'_>, id: NodeId, budget: &mut Budget) -> Result<HostTensor, String> {
    let parts = parts(graph, id).ok_or("is not an array in any form numpy writes")?;
    let (element, big_endian) = element(graph, parts.dtype)?;
    let shape = graph.dimensions(parts.shape).ok_or("has no valid shape")?;
    let layout = Layout::dense(element, shape, parts.fortran)?;
    let data = bytes(graph, parts.data, layout.bytes())
        .ok_or("has no data, or objects and not numbers as its elements")?;
    if data.len() != layout.bytes() {
        return Err(format!(
            "has {} bytes of data where its shape needs {}",
            data.len(),
            layout.bytes()
        ));
    }
    budget.spend(layout.description())?;
    budget.spend(layout.count())?;
    layout.gather(&data, big_endian)
}

/// The value of a numpy number, if the object is one.
pub fn scalar(graph: &Graph<'_>, id: NodeId) -> Option<f64> {
    let call = graph.call(id)?;
    let known = matches!(
        call.module,
        "numpy.core.multiarray" | "numpy._core.multiarray"
    );
    let &[dtype, data] = call.args else {
        return None;
    };
    if !known || call.name != "scalar" {
        return None;
    }
    let (element, big_endian) = element(graph, dtype).ok()?;
    let layout = Layout::dense(element, Vec::new(), false).ok()?;
    let data = bytes(graph, data, layout.bytes())?;
    if element == Element::F64 {
        // As a tensor it would be rounded to 32 bits.
        let raw = <[u8; 8]>::try_from(&data[..]).ok()?;
        let big = f64::from_be_bytes(raw);
        return Some(if big_endian {
            big
        } else {
            f64::from_le_bytes(raw)
        });
    }
    match layout.gather(&data, big_endian).ok()?.values {
        Values::F32(values) => values.first().map(|&value| value.into()),
        Values::I64(values) => values.first().map(|&value| value as f64),
    }
}

/// What an array is made of.
struct Parts {
    shape: NodeId,
    dtype: NodeId,
    fortran: bool,
    data: NodeId,
}

fn parts(graph: &Graph<'_>, id: NodeId) -> Option<Parts> {
    let call = graph.call(id)?;
    if call.name == "_frombuffer" {
        let &[data, dtype, shape, order] = call.args else {
            return None;
        };
        let fortran = graph.text(order)? == "F";
        return Some(Parts {
            shape,
            dtype,
            fortran,
            data,
        });
    }
    // Before these four there is a version, which the oldest arrays lack.
    let &[.., shape, dtype, fortran, data] = graph.sequence(call.state?)? else {
        return None;
    };
    let fortran = graph.truth(fortran)?;
    Some(Parts {
        shape,
        dtype,
        fortran,
        data,
    })
}

/// The element type a dtype object names, and whether it is big-endian.
fn element(graph: &Graph<'_>, id: NodeId) -> Result<(Element, bool), String> {
    let call = graph
        .call(id)
        .filter(|call| (call.module, call.name) == ("numpy", "dtype"));
    let call = call.ok_or("has no element type")?;
    let code = call.args.first().and_then(|&code| graph.text(code));
    let code = code.ok_or("has an element type without a name")?;
    let element = element_named(code)?;
    // The byte order is the second part of the state: a version comes first.
    let state = call.state.and_then(|state| graph.sequence(state));
    let order = state.and_then(|state| graph.text(*state.get(1)?));
    Ok((element, order == Some(">") || code.starts_with('>')))
}

/// The element type of a numpy type code such as `<f4`, whatever its byte order.
///
/// # Errors
/// In words that want the array's name before them.
pub fn element_named(code: &str) -> Result<Element, String> {
    Ok(match code.trim_start_matches(['<', '>', '|', '=']) {
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        "i1" => Element::I8,
        "i2" => Element::I16,
        "i4" => Element::I32,
        "i8" => Element::I64,
        "u1" => Element::U8,
        "u2" => Element::U16,
        "u4" => Element::U32,
        "b1" => Element::Bool,
        other => {
            return Err(format!(
                "has elements of type {}, which cannot be read",
                short(other)
            ));
        }
    })
}

/// The bytes an object stands for, `expected` of them. Protocol 2 has none and writes them as Latin-1 text, to be encoded
/// by a call.
fn bytes<'g>(graph: &'g Graph<'_>, id: NodeId, expected: usize) -> Option<Cow<'g, [u8]>> {
    if let Node::Bytes(bytes) = graph.node(id) {
        return Some(Cow::Borrowed(bytes));
    }
    if let Some(text) = graph.text(id) {
        return latin_1(text, expected).map(Cow::Owned);
    }
    let call = graph.call(id)?;
    match (call.module, call.name, call.args) {
        ("_codecs", "encode", &[text, ..]) => latin_1(graph.text(text)?, expected).map(Cow::Owned),
        ("__builtin__" | "builtins", "bytes", []) => Some(Cow::Borrowed(&[])),
        _ => None,
    }
}

fn latin_1(text: &str, expected: usize) -> Option<Vec<u8>> {
    // A character takes one or two bytes here. Any more text is not worth reading, perhaps over and over.
    if text.len() > expected.saturating_mul(2) {
        return None;
    }
    text.chars()
        .map(|character| u8::try_from(character).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::pickle::{parse, samples};
    use super::*;
    use samples::{bytes as data, dtype, int, ints, pickle, text};

    fn read(object: &[u8]) -> Result<HostTensor, String> {
        let input = pickle(object);
        let graph = parse(&input, 0)?.graph;
        assert!(is_array(&graph.call(graph.root).unwrap()));
        array(&graph, graph.root, &mut Budget::new("elements", 0))
    }

    #[test]
    fn arrays_of_either_order() {
        let raw = [1_i16, 2, 3, 4, 5, 6].map(i16::to_be_bytes).concat();
        let rows = samples::array(&dtype("i2", ">"), &[2, 3], false, data(&raw));
        let expected = HostTensor::i64([2, 3], vec![1, 2, 3, 4, 5, 6]);
        assert_eq!(read(&rows), Ok(expected));
        let columns = samples::array(&dtype("i2", ">"), &[2, 3], true, data(&raw));
        let expected = HostTensor::i64([2, 3], vec![1, 3, 5, 2, 4, 6]);
        assert_eq!(read(&columns), Ok(expected));
    }

    #[test]
    fn data_in_all_disguises() {
        // 1.0 and -2.0, whose bytes above 127 are what needs care.
        let raw: [u8; 8] = [0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x00, 0xc0];
        let latin: String = raw.iter().copied().map(char::from).collect();
        let encoded = samples::call("_codecs", "encode", &[text(&latin), text("latin1")]);
        let old_string = [&b"U\x08"[..], &raw[..]].concat();
        for data in [data(&raw), encoded, old_string] {
            let array = samples::array(&dtype("f4", "<"), &[2], false, data);
            assert_eq!(read(&array), Ok(HostTensor::f32([2], vec![1., -2.])));
        }
        let empty = samples::call("__builtin__", "bytes", &[]);
        let array = samples::array(&dtype("f4", "<"), &[0, 3], false, empty);
        assert_eq!(read(&array), Ok(HostTensor::f32([0, 3], vec![])));
        let buffer = [&b"\x96\x08\0\0\0\0\0\0\0"[..], &raw[..]].concat();
        let args = [buffer, dtype("f4", "<"), ints(&[1, 2]), text("C")];
        let array = samples::call("numpy._core.numeric", "_frombuffer", &args);
        assert_eq!(read(&array), Ok(HostTensor::f32([1, 2], vec![1., -2.])));
    }

    #[test]
    fn arrays_that_cannot_be_read() {
        let refuses = |array: &[u8], reason: &str| {
            let error = read(array).unwrap_err();
            assert!(error.contains(reason), "{error}");
        };
        let floats = dtype("f4", "<");
        refuses(
            &samples::array(&floats, &[3], false, data(b"1234")),
            "4 bytes",
        );
        refuses(&samples::array(&floats, &[-3], false, data(b"")), "shape");
        refuses(&samples::array(&floats, &[1], false, int(1)), "no data");
        refuses(
            &samples::array(&floats, &[i32::MAX; 9], false, data(b"")),
            "impossible shape",
        );
        refuses(
            &samples::array(&int(1), &[1], false, data(b"1234")),
            "element type",
        );
        refuses(
            &samples::array(&dtype("O8", "|"), &[1], false, data(b"")),
            "O8",
        );
        let huge = vec![0_u8; 2 << 20];
        refuses(
            &samples::array(&dtype("u1", "|"), &[2 << 20], false, data(&huge)),
            "elements",
        );
        let stateless = samples::call("numpy.core.multiarray", "_reconstruct", &[]);
        refuses(&stateless, "not an array");
    }

    #[test]
    fn scalars() {
        let value = |args: &[Vec<u8>]| {
            let input = pickle(&samples::call("numpy.core.multiarray", "scalar", args));
            let graph = parse(&input, 0).unwrap().graph;
            scalar(&graph, graph.root)
        };
        assert_eq!(
            value(&[dtype("f8", "<"), data(&0.1_f64.to_le_bytes())]),
            Some(0.1)
        );
        assert_eq!(
            value(&[dtype("f8", ">"), data(&0.1_f64.to_be_bytes())]),
            Some(0.1)
        );
        assert_eq!(
            value(&[dtype("i4", "<"), data(&7_i32.to_le_bytes())]),
            Some(7.)
        );
        assert_eq!(value(&[dtype("f8", "<"), data(b"short")]), None);
        assert_eq!(value(&[]), None);
    }
}
