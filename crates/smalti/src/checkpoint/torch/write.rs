//! Writing what `torch.save` writes: a zip archive of a pickle and one file of numbers per tensor. The pickle knows
//! dicts, tensors and whole numbers only, so that `torch.load` opens it with `weights_only=True`, its default.

use super::super::file::write_atomic;
use super::super::pickle::opcode as op;
use super::super::tensor::{HostTensor, TensorMap, Values};
use crate::error::Result;
use std::io::{self, Seek, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Where PyTorch itself begins storages, in bytes, so that they can be mapped into memory.
const ALIGNMENT: u16 = 64;

/// Writes a checkpoint, atomically: a dict that has the tensors, themselves a dict, under `wrapper` and each of
/// `numbers` beside them; with an empty `wrapper` the dict of tensors alone. Floats are written as f32, whole numbers
/// as i64. The same contents always give the same bytes.
///
/// # Errors
/// Whatever the operating system says; the old file, if any, is untouched then.
pub fn write_torch(
    path: &Path,
    wrapper: &str,
    tensors: &TensorMap,
    numbers: &[(&str, i64)],
) -> Result<()> {
    let pickle = document(wrapper, tensors, numbers);
    write_atomic(path, |file| {
        let mut archive = ZipWriter::new_stream(file);
        entry(&mut archive, "data.pkl", &pickle)?;
        entry(&mut archive, "byteorder", b"little")?;
        for (index, tensor) in tensors.values().enumerate() {
            start(&mut archive, &format!("data/{index}"), bytes(tensor))?;
            write_values(&mut archive, &tensor.values)?;
        }
        entry(&mut archive, "version", b"3\n")?;
        archive.finish()?;
        Ok(())
    })
}

/// Begins an entry of `bytes` bytes.
fn start<W: Write + Seek>(archive: &mut ZipWriter<W>, name: &str, bytes: usize) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT)
        .with_alignment(ALIGNMENT)
        .large_file(bytes >= u32::MAX as usize);
    archive.start_file(format!("archive/{name}"), options)?;
    Ok(())
}

fn entry<W: Write + Seek>(
    archive: &mut ZipWriter<W>,
    name: &str,
    contents: &[u8],
) -> io::Result<()> {
    start(archive, name, contents.len())?;
    archive.write_all(contents)
}

fn bytes(tensor: &HostTensor) -> usize {
    match &tensor.values {
        Values::F32(values) => size_of_val(values.as_slice()),
        Values::I64(values) => size_of_val(values.as_slice()),
    }
}

fn write_values(file: &mut impl Write, values: &Values) -> io::Result<()> {
    match values {
        Values::F32(values) => write_numbers(file, values, f32::to_le_bytes),
        Values::I64(values) => write_numbers(file, values, i64::to_le_bytes),
    }
}

fn write_numbers<T: Copy, const N: usize>(
    file: &mut impl Write,
    values: &[T],
    bytes: fn(T) -> [u8; N],
) -> io::Result<()> {
    for some in values.chunks(1 << 16) {
        let raw: Vec<u8> = some.iter().flat_map(|&value| bytes(value)).collect();
        file.write_all(&raw)?;
    }
    Ok(())
}

fn document(wrapper: &str, tensors: &TensorMap, numbers: &[(&str, i64)]) -> Vec<u8> {
    let mut pickle = Pickle(vec![op::PROTO, 2]);
    if wrapper.is_empty() {
        pickle.tensors(tensors);
    } else {
        pickle.operations(&[op::EMPTY_DICT, op::MARK]);
        pickle.text(wrapper);
        pickle.tensors(tensors);
        for &(name, number) in numbers {
            pickle.text(name);
            pickle.integer(number);
        }
        pickle.operations(&[op::SETITEMS]);
    }
    pickle.operations(&[op::STOP]);
    pickle.0
}

/// A pickle of protocol 2 under construction. Every method leaves one more object on the reader's stack.
struct Pickle(Vec<u8>);

impl Pickle {
    fn operations(&mut self, operations: &[u8]) {
        self.0.extend_from_slice(operations);
    }

    fn text(&mut self, text: &str) {
        self.0.push(op::BINUNICODE);
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn integer(&mut self, value: i64) {
        if let Ok(small) = i32::try_from(value) {
            self.0.push(op::BININT);
            self.0.extend(small.to_le_bytes());
        } else {
            self.0.extend([op::LONG1, 8]);
            self.0.extend(value.to_le_bytes());
        }
    }

    fn size(&mut self, size: usize) {
        self.integer(size as i64);
    }

    fn global(&mut self, module: &str, name: &str) {
        self.0.push(op::GLOBAL);
        self.0.extend(format!("{module}\n{name}\n").as_bytes());
    }

    fn sizes(&mut self, sizes: &[usize]) {
        self.0.push(op::MARK);
        for &size in sizes {
            self.size(size);
        }
        self.0.push(op::TUPLE);
    }

    fn ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.operations(&[op::EMPTY_TUPLE, op::REDUCE]);
    }

    fn tensors(&mut self, tensors: &TensorMap) {
        self.ordered_dict();
        self.0.push(op::MARK);
        for (index, (name, tensor)) in tensors.iter().enumerate() {
            self.text(name);
            self.tensor(index, tensor);
        }
        self.0.push(op::SETITEMS);
    }

    /// The call `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)` that PyTorch would make.
    fn tensor(&mut self, index: usize, tensor: &HostTensor) {
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.0.push(op::MARK);
        self.storage(index, tensor);
        self.integer(0);
        self.sizes(&tensor.shape);
        self.sizes(&strides(&tensor.shape));
        self.0.push(op::NEWFALSE);
        self.ordered_dict();
        self.operations(&[op::TUPLE, op::REDUCE]);
    }

    /// The persistent id of the storage that is kept as `data/INDEX`.
    fn storage(&mut self, index: usize, tensor: &HostTensor) {
        let class = match tensor.values {
            Values::F32(_) => "FloatStorage",
            Values::I64(_) => "LongStorage",
        };
        self.0.push(op::MARK);
        self.text("storage");
        self.global("torch", class);
        self.text(&index.to_string());
        self.text("cpu");
        self.size(tensor.shape.iter().product());
        self.operations(&[op::TUPLE, op::BINPERSID]);
    }
}

/// How far apart neighbours along each axis are in row-major order.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::super::super::foreign;
    use super::*;

    fn tensors() -> TensorMap {
        TensorMap::from([
            (
                "a.weight".to_string(),
                HostTensor::f32([2, 3], vec![0.5, -1.0, 2.0, 3.5, 4.0, 5.25]),
            ),
            ("b".to_string(), HostTensor::i64([], vec![-7])),
            ("nothing".to_string(), HostTensor::f32([0, 4], vec![])),
            ("z".to_string(), HostTensor::f32([1], vec![f32::MIN])),
        ])
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pt");
        let large = i64::from(i32::MAX) + 5;
        for wrapper in ["state_dict", "model", ""] {
            let numbers = [("global_step", 12), ("large", large)];
            write_torch(&path, wrapper, &tensors(), &numbers).unwrap();
            let read = foreign::read(&path).unwrap();
            assert_eq!(read.format, foreign::Format::TorchZip);
            assert_eq!(read.tensors, tensors());
            if !wrapper.is_empty() {
                assert_eq!(read.numbers["global_step"], 12.0);
                assert_eq!(read.numbers["large"], large as f64);
            }
        }
    }

    #[test]
    fn the_same_contents_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = |name: &str| {
            let path = folder.path().join(name);
            write_torch(&path, "state_dict", &tensors(), &[]).unwrap();
            std::fs::read(&path).unwrap()
        };
        assert_eq!(bytes("first.pt"), bytes("second.pt"));
    }

    /// The bytes of this pickle, made by hand in Python, are what PyTorch 2.15 opened with `weights_only=True`.
    #[test]
    fn the_pickle_is_the_one_that_pytorch_was_seen_to_open() {
        let tensors = TensorMap::from([("w".to_string(), HostTensor::f32([1, 2], vec![0.0; 2]))]);
        let expected = [
            &b"\x80\x02}(X\x0a\x00\x00\x00state_dict"[..],
            b"ccollections\nOrderedDict\n)R(",
            b"X\x01\x00\x00\x00w",
            b"ctorch._utils\n_rebuild_tensor_v2\n(",
            b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu",
            b"J\x02\x00\x00\x00tQ",
            b"J\x00\x00\x00\x00(J\x01\x00\x00\x00J\x02\x00\x00\x00t(J\x02\x00\x00\x00J\x01\x00\x00\x00t",
            b"\x89ccollections\nOrderedDict\n)RtR",
            b"uX\x04\x00\x00\x00stepJ\x05\x00\x00\x00u.",
        ];
        assert_eq!(
            document("state_dict", &tensors, &[("step", 5)]),
            expected.concat()
        );
    }
}
