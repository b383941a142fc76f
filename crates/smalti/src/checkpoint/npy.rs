//! Arrays as `numpy.save` writes them: a magic number, a header that reads like a Python dict, and the elements.

use super::element::Layout;
use super::numpy::element_named;
use super::pickle::short;
use super::tensor::{Doubles, HostTensor};
use crate::error::Error;
use std::path::Path;

/// What every file begins with.
pub const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header that is read; those of plain arrays have 128 bytes.
const MAX_HEADER: usize = 1 << 16;

/// Reads the array in the file at `path`. Floats become f32, whole numbers and truth values i64.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::File`] if it is no array of numbers, damaged or incomplete.
pub fn read_npy(path: &Path) -> crate::error::Result<HostTensor> {
    let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
    parse(&bytes).map_err(|message| Error::file(path, message))
}

fn parse(file: &[u8]) -> Result<HostTensor, String> {
    let (header, data) = split(file)?;
    let tensor = header.layout.gather(data, header.big_endian);
    tensor.map_err(of_array)
}

/// Reads the bytes of such a file, which must be of floats, with all their digits.
///
/// # Errors
/// In words, when it is no array of floats, damaged or incomplete.
pub fn parse_doubles(file: &[u8]) -> Result<Doubles, String> {
    let (header, data) = split(file)?;
    let array = header.layout.gather_doubles(data, header.big_endian);
    array.map_err(of_array)
}

fn of_array(message: String) -> String {
    format!("the array {message}")
}

/// The header, and as many bytes of elements as it says.
fn split(file: &[u8]) -> Result<(Header, &[u8]), String> {
    const CUT: &str = "the file ends inside its header: it was not downloaded whole";
    let rest = file
        .strip_prefix(MAGIC)
        .ok_or("this is no file of numpy.save")?;
    let (&[major, _], rest) = rest.split_first_chunk::<2>().ok_or(CUT)?;
    // Since version 2 the header may be longer than 65,535 bytes.
    let (length, rest) = if major < 2 {
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(CUT)?;
        (usize::from(u16::from_le_bytes(*length)), rest)
    } else {
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(CUT)?;
        (u32::from_le_bytes(*length) as usize, rest)
    };
    if length > MAX_HEADER {
        return Err(format!("its header of {length} bytes is too long"));
    }
    let (header, data) = rest.split_at_checked(length).ok_or(CUT)?;
    let header = Header::parse(header)?;
    if data.len() != header.layout.bytes() {
        return Err(of_array(format!(
            "has {} bytes of data where its shape needs {}",
            data.len(),
            header.layout.bytes()
        )));
    }
    Ok((header, data))
}

/// What stands before the elements of an array of little-endian 64-bit floats, row-major: a multiple of 64 bytes, as
/// numpy has it, so that what follows can be mapped into memory.
pub fn doubles_header(shape: &[usize]) -> Vec<u8> {
    // Behind every length a comma, because one in brackets alone would be a number to Python.
    let lengths: Vec<String> = shape.iter().map(|length| format!("{length},")).collect();
    let shape = lengths.join(" ");
    let mut text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({shape}), }}");
    let before = MAGIC.len() + 4;
    let length = (before + text.len() + 1).next_multiple_of(64) - before;
    while text.len() + 1 < length {
        text.push(' ');
    }
    text.push('\n');
    let length = (length as u16).to_le_bytes();
    [MAGIC, &[1, 0][..], &length[..], text.as_bytes()].concat()
}

/// What the header says.
struct Header {
    layout: Layout,
    big_endian: bool,
}

impl Header {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
    fn parse(header: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(header).map_err(|_| "its header is not text")?;
        let invalid = |what: &str| format!("its header has no {what}: {}", short(text));
        let after = |key: &str| Some(text.split_once(key)?.1.trim_start());
        let code = after("'descr':").and_then(|rest| {
            let (code, _) = rest.strip_prefix('\'')?.split_once('\'')?;
            Some(code)
        });
        let code = code.ok_or_else(|| invalid("element type of plain numbers"))?;
        let order = after("'fortran_order':").ok_or_else(|| invalid("order of axes"))?;
        let shape = after("'shape':").and_then(|rest| {
            let (lengths, _) = rest.strip_prefix('(')?.split_once(')')?;
            let lengths = lengths.split(',').map(str::trim);
            let lengths = lengths.filter(|length| !length.is_empty());
            lengths
                .map(|length| length.parse::<usize>().ok())
                .collect::<Option<Vec<usize>>>()
        });
        let shape = shape.ok_or_else(|| invalid("valid shape"))?;
        let element = element_named(code).map_err(of_array)?;
        Ok(Self {
            layout: Layout::dense(element, shape, order.starts_with("True")).map_err(of_array)?,
            big_endian: code.starts_with('>'),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let length = header.len() as u32;
        let length = match version {
            1 => (length as u16).to_le_bytes().to_vec(),
            _ => length.to_le_bytes().to_vec(),
        };
        let version = [version, 0];
        [MAGIC, &version[..], &length[..], header.as_bytes(), data].concat()
    }

    fn header(code: &str, fortran: &str, shape: &str) -> String {
        format!("{{'descr': '{code}', 'fortran_order': {fortran}, 'shape': {shape}, }}   \n")
    }

    #[test]
    fn arrays_of_every_version_and_order() {
        let values = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let little = values.map(f32::to_le_bytes).concat();
        for version in [1, 2, 3] {
            let rows = file(version, &header("<f4", "False", "(2, 3)"), &little);
            assert_eq!(parse(&rows), Ok(HostTensor::f32([2, 3], values.to_vec())));
        }
        let columns = file(1, &header("<f4", "True", "(2, 3)"), &little);
        let turned = vec![1.0, 3.0, 5.0, 2.0, 4.0, 6.0];
        assert_eq!(parse(&columns), Ok(HostTensor::f32([2, 3], turned)));
        let big = values.map(|value| f64::from(value).to_be_bytes()).concat();
        let wide = file(1, &header(">f8", "False", "(6,)"), &big);
        assert_eq!(parse(&wide), Ok(HostTensor::f32([6], values.to_vec())));
        let alone = file(1, &header("|u1", "False", "()"), &[7]);
        assert_eq!(parse(&alone), Ok(HostTensor::i64(Vec::new(), vec![7])));
    }

    #[test]
    fn headers_that_are_written_are_read() {
        let shapes: [Vec<usize>; 4] = [vec![], vec![3], vec![2, 2], vec![1; 40]];
        for shape in shapes {
            let count: usize = shape.iter().product();
            let values: Vec<f64> = (0..count).map(|index| index as f64 / 3.0).collect();
            let header = doubles_header(&shape);
            assert_eq!(header.len() % 64, 0);
            let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let read = parse_doubles(&[header, data].concat()).unwrap();
            assert_eq!((read.shape, read.values), (shape, values));
        }
        let whole = file(1, &header("<i8", "False", "(1,)"), &[0; 8]);
        let error = parse_doubles(&whole).unwrap_err();
        assert!(error.contains("the array has whole numbers"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let refuses = |file: &[u8], reason: &str| {
            let error = parse(file).unwrap_err();
            assert!(error.contains(reason), "{error}");
        };
        let whole = file(1, &header("<f4", "False", "(2,)"), &[0; 8]);
        refuses(b"", "no file of numpy.save");
        for end in MAGIC.len()..whole.len() - 8 {
            refuses(&whole[..end], "ends inside its header");
        }
        refuses(
            &whole[..whole.len() - 1],
            "has 7 bytes of data where its shape needs 8",
        );
        let wrong = |header: &str, reason: &str| refuses(&file(1, header, &[0; 8]), reason);
        wrong(&header("<f4", "False", "(2"), "no valid shape");
        wrong(&header("<f4", "False", "(-2,)"), "no valid shape");
        wrong(
            &header("<f4", "False", "(99999999999, 99999999999)"),
            "impossible shape",
        );
        wrong(&header("|O", "False", "(1,)"), "elements of type O");
        wrong("{'descr': [('a', '<f4')], }", "no element type");
        wrong("{'descr': '<f4', }", "no order of axes");
        refuses(&file(2, &" ".repeat(MAX_HEADER + 1), &[]), "too long");
        let gibberish = [MAGIC, &[1, 0, 2, 0, 0xff, 0xff][..]].concat();
        refuses(&gibberish, "not text");
    }
}
