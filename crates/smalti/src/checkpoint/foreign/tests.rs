//! Tests of whole files: one of every kind, and files out to harm.

use super::super::pickle::samples;
use super::super::tensor::HostTensor;
use super::*;
use samples::{call, dict, global, int, list, ordered_dict, pickle, storage, tensor, text, truth};
use std::collections::HashMap;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn read_bytes(bytes: &[u8]) -> Result<Foreign, String> {
    read_from(Cursor::new(bytes), bytes.len() as u64)
}

fn zip_file(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, data) in entries {
        writer.start_file(*name, options).unwrap();
        writer.write_all(data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A zip file of `object`, with one storage under the key 0.
fn torch_zip(object: &[u8], storage: &[u8]) -> Vec<u8> {
    let pickle = pickle(object);
    let entries = [
        ("model/data.pkl", &pickle[..]),
        ("model/byteorder", &b"little"[..]),
        ("model/data/0", storage),
        ("model/version", &b"3\n"[..]),
    ];
    zip_file(&entries, CompressionMethod::Stored)
}

fn torch_legacy(object: &[u8], key: &str, count: i64, numbers: &[u8]) -> Vec<u8> {
    let machine = dict(&[("little_endian", truth(true))]);
    let parts = [
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(),
        pickle(&int(1001)),
        pickle(&machine),
        pickle(object),
        pickle(&list(&[text(key)])),
        count.to_le_bytes().to_vec(),
        numbers.to_vec(),
    ];
    parts.concat()
}

fn float_bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn float_tensor(count: i32) -> Vec<u8> {
    tensor(
        &storage("FloatStorage", "0", count, None),
        0,
        &[count],
        &[1],
    )
}

/// A numpy array of one element.
fn array(value: f32) -> Vec<u8> {
    let data = samples::bytes(&value.to_le_bytes());
    samples::array(&samples::dtype("f4", "<"), &[1], false, data)
}

/// What PyTorch Lightning 1.0 saves. The optimiser's storage is missing from the file.
fn lightning() -> Vec<u8> {
    let callbacks = [
        b"}".to_vec(),
        global("lightning", "ModelCheckpoint"),
        dict(&[("best", float_tensor(2))]),
        b"s".to_vec(),
    ];
    let moments = tensor(&storage("FloatStorage", "9", 2, None), 0, &[2], &[1]);
    let optimizer = dict(&[("amsgrad", truth(false)), ("moments", moments)]);
    let metadata = dict(&[("_metadata", dict(&[("version", int(1))]))]);
    let weights = ordered_dict(&[("conv.weight", float_tensor(2))]);
    let root = dict(&[
        ("epoch", int(3)),
        ("global_step", int(1234)),
        ("callbacks", callbacks.concat()),
        ("optimizer_states", list(&[optimizer, int(5)])),
        ("state_dict", samples::with_state(&weights, &metadata)),
    ]);
    torch_zip(&root, &float_bytes(&[1., 2.]))
}

fn legacy() -> Vec<u8> {
    let view = Some(samples::none());
    let weight = storage("FloatStorage", "55", 3, view);
    let entry = list(&[text("weight"), tensor(&weight, 1, &[2], &[1])]);
    let root = call("collections", "OrderedDict", &[list(&[entry])]);
    torch_legacy(&root, "55", 3, &float_bytes(&[1., 2., 3.]))
}

fn arrays() -> Vec<u8> {
    let layer = dict(&[("kernel", array(1.)), ("bias", array(2.))]);
    let network = dict(&[("Conv_0", layer)]);
    pickle(&dict(&[("VGG16_0", network)]))
}

fn two_tensors() -> Vec<u8> {
    use safetensors::tensor::{Dtype, TensorView};
    let (floats, flags) = (float_bytes(&[1., 2.]), [0, 1, 1]);
    let tensors = [
        (
            "a",
            TensorView::new(Dtype::F32, vec![1, 2], &floats).unwrap(),
        ),
        ("b", TensorView::new(Dtype::BOOL, vec![3], &flags).unwrap()),
    ];
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize(tensors, Some(metadata)).unwrap()
}

fn keys(file: &Foreign) -> Vec<&str> {
    file.tensors.keys().map(String::as_str).collect()
}

fn number_keys(file: &Foreign) -> Vec<&str> {
    file.numbers.keys().map(String::as_str).collect()
}

#[test]
fn a_lightning_checkpoint() {
    let file = read_bytes(&lightning()).unwrap();
    assert_eq!(file.format, Format::TorchZip);
    assert_eq!(keys(&file), ["conv.weight"]);
    assert_eq!(
        file.tensors["conv.weight"],
        HostTensor::f32([2], vec![1., 2.])
    );
    let numbers = ["epoch", "global_step", "optimizer_states.0.amsgrad"];
    assert_eq!(number_keys(&file), numbers);
    assert_eq!(file.numbers["global_step"], 1234.);
}

#[test]
fn a_legacy_file() {
    let file = read_bytes(&legacy()).unwrap();
    assert_eq!(file.format, Format::TorchLegacy);
    assert_eq!(keys(&file), ["weight"]);
    assert_eq!(file.tensors["weight"], HostTensor::f32([2], vec![2., 3.]));
}

#[test]
fn a_pickle_of_arrays() {
    let file = read_bytes(&arrays()).unwrap();
    assert_eq!(file.format, Format::Pickle);
    assert_eq!(
        keys(&file),
        ["VGG16_0.Conv_0.bias", "VGG16_0.Conv_0.kernel"]
    );
    let bias = HostTensor::f32([1], vec![2.]);
    assert_eq!(file.tensors["VGG16_0.Conv_0.bias"], bias);
    let old = read_bytes(b"(dp0\nVepoch\nI3\ns.").unwrap();
    assert_eq!((old.format, old.numbers["epoch"]), (Format::Pickle, 3.));
}

#[test]
fn a_safetensors_file() {
    let file = read_bytes(&two_tensors()).unwrap();
    assert_eq!(file.format, Format::Safetensors);
    assert_eq!(file.tensors["a"], HostTensor::f32([1, 2], vec![1., 2.]));
    assert_eq!(file.tensors["b"], HostTensor::i64([3], vec![0, 1, 1]));
    assert_eq!(file.metadata["format"], "pt");
}

#[test]
fn weights_under_model() {
    let weights = dict(&[("w", array(1.))]);
    let file = pickle(&dict(&[
        ("model", weights.clone()),
        ("ema", weights.clone()),
    ]));
    assert_eq!(keys(&read_bytes(&file).unwrap()), ["w"]);
    // A part of a model that happens to be called so is no reason to leave out the rest.
    let deeper = dict(&[("net", weights.clone())]);
    let file = pickle(&dict(&[("model", deeper), ("head", weights)]));
    assert_eq!(keys(&read_bytes(&file).unwrap()), ["head.w", "model.net.w"]);
}

#[test]
fn paths_through_all_containers() {
    let by_number = [b"}".to_vec(), int(4), array(1.), b"s".to_vec()].concat();
    let object = samples::with_state(&call("nets", "Net", &[]), &dict(&[("w", array(1.))]));
    let step = samples::array(
        &samples::dtype("f8", "<"),
        &[],
        false,
        samples::bytes(&[0; 8]),
    );
    let scalar_data = samples::bytes(&2.5_f64.to_le_bytes());
    let scalar_args = [samples::dtype("f8", "<"), scalar_data];
    let scalar = call("numpy.core.multiarray", "scalar", &scalar_args);
    let cyclic = [
        b"}q\x07(".to_vec(),
        text("itself"),
        b"h\x07".to_vec(),
        text("w"),
        array(1.),
        b"u".to_vec(),
    ];
    let root = dict(&[
        ("cyclic", cyclic.concat()),
        ("layers", list(&[int(1), by_number])),
        ("net", object),
        ("score", scalar),
        ("step", step),
        ("text", text("ignored")),
    ]);
    let file = read_bytes(&pickle(&root)).unwrap();
    assert_eq!(keys(&file), ["cyclic.w", "layers.1.4", "net.w", "step"]);
    assert_eq!(number_keys(&file), ["score"]);
    assert_eq!(file.numbers["score"], 2.5);
}

#[test]
fn numbers_of_either_byte_order() {
    let pickle = pickle(&float_tensor(1));
    let number = 1.5_f32.to_be_bytes();
    let entries = [
        ("data.pkl", &pickle[..]),
        ("byteorder", &b"big"[..]),
        ("data/0", &number[..]),
    ];
    let file = read_bytes(&zip_file(&entries, CompressionMethod::Deflated)).unwrap();
    assert_eq!(file.tensors[""], HostTensor::f32([1], vec![1.5]));
}

/// Asserts that a file is refused for the reason given.
fn refuses(file: &[u8], reason: &str) {
    let error = read_bytes(file).unwrap_err();
    assert!(error.contains(reason), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn what_is_no_checkpoint_is_named() {
    refuses(b"", "empty");
    refuses(b"  <!DOCTYPE html><html>", "web page");
    refuses(b"\xef\xbb\xbf<html>", "web page");
    refuses(
        b"version https://git-lfs.github.com/spec/v1\noid",
        "Git LFS",
    );
    refuses(b"hello there", "no checkpoint");
    refuses(
        &zip_file(&[("a.txt", &b""[..])], CompressionMethod::Stored),
        "data.pkl",
    );
}

#[test]
fn storages_must_have_the_size_that_is_needed() {
    refuses(&torch_zip(&float_tensor(3), &[0; 8]), "8 bytes");
    refuses(&torch_zip(&float_tensor(3), &[0; 16]), "16 bytes");
    let other = tensor(&storage("FloatStorage", "1", 3, None), 0, &[3], &[1]);
    refuses(&torch_zip(&other, &[0; 12]), "no \"data/1\"");
    let other = tensor(&storage("FloatStorage", "0", 3, None), 0, &[3], &[1]);
    refuses(&torch_legacy(&other, "0", 2, &[0; 8]), "8 bytes");
    refuses(
        &torch_legacy(&other, "0", i64::MAX, &[0; 12]),
        "inside storage",
    );
    refuses(&torch_legacy(&other, "0", -1, &[0; 12]), "inside storage");
    refuses(&torch_legacy(&other, "1", 3, &[0; 12]), "no tensor");
}

#[test]
fn files_that_unpack_to_too_much_are_refused() {
    let count = 3 << 19;
    let pickle_bytes = pickle(&float_tensor(count));
    let zeros = vec![0_u8; 4 * count as usize];
    let entries = [("data.pkl", &pickle_bytes[..]), ("data/0", &zeros[..])];
    let bomb = zip_file(&entries, CompressionMethod::Deflated);
    assert!(bomb.len() < 1 << 16);
    refuses(&bomb, "unpacks to far more bytes");

    let mut entries = vec![
        b"}(".to_vec(),
        text("0"),
        float_tensor(1000),
        b"q\x63".to_vec(),
    ];
    for copy in 1..3000 {
        entries.push(text(&copy.to_string()));
        entries.push(b"h\x63".to_vec());
    }
    entries.push(b"u".to_vec());
    let repeated = torch_zip(&entries.concat(), &[0; 4000]);
    refuses(&repeated, "unpacks to far more tensor elements");

    // One element of many dimensions, named over and over.
    let mut entries = vec![b"](".to_vec()];
    let one = storage("FloatStorage", "0", 1, None);
    entries.push(tensor(&one, 0, &[1; 64], &[1; 64]));
    entries.push(b"q\x63".to_vec());
    entries.extend(vec![b"h\x63".to_vec(); 20_000]);
    entries.push(b"e".to_vec());
    let described = torch_zip(&entries.concat(), &[0; 4]);
    refuses(&described, "unpacks to far more tensor elements");

    let mut nested = array(1.);
    for _ in 0..100 {
        nested = dict(&[(
            "a key that is not short, of which many make a very long name",
            nested,
        )]);
    }
    refuses(&pickle(&nested), "has a name of");
}

#[test]
fn safetensors_headers_are_checked() {
    let file = |header: &str, data: &[u8]| {
        let length = (header.len() as u64).to_le_bytes();
        [&length[..], header.as_bytes(), data].concat()
    };
    let entry = |dtype: &str, end: u64| {
        format!(r#"{{"t":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{end}]}}}}"#)
    };
    assert!(read_bytes(&file(&entry("F32", 4), &[0; 4])).is_ok());
    refuses(&file(&entry("F32", 4), &[0; 3]), "before tensor \"t\"");
    refuses(
        &file(&entry("F32", u64::MAX), &[0; 4]),
        "before tensor \"t\"",
    );
    refuses(&file(&entry("F32", 3), &[0; 3]), "header is invalid");
    refuses(
        &file(&entry("C64", 8), &[0; 8]),
        "\"t\" has elements of type C64",
    );
    refuses(&file(&entry("F32", 4), &[0; 5]), "header is invalid");
    let two = |first: &str, second: &str| {
        let entry = |name: &str, place: &str| {
            format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[{place}]}}"#)
        };
        format!("{{{},{}}}", entry("a", first), entry("b", second))
    };
    assert!(read_bytes(&file(&two("4,8", "0,4"), &[0; 8])).is_ok());
    for second in ["0,4", "2,6", "8,12", "8,4"] {
        refuses(&file(&two("0,4", second), &[0; 12]), "header is invalid");
    }
    refuses(b"\xff\xff\xff\x00\x00\x00\x00\x00{}", "inside its header");
    refuses(b"\xff\xff\xff\xff\x00\x00\x00\x00{}", "too long");
}

#[test]
fn every_truncation_is_an_error() {
    for file in [lightning(), legacy(), arrays(), two_tensors()] {
        for end in 0..file.len() {
            assert!(read_bytes(&file[..end]).is_err(), "{end} bytes");
        }
    }
}

#[test]
fn damaged_files_do_no_harm() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for file in [lightning(), legacy(), arrays(), two_tensors()] {
        for _ in 0..2000 {
            let mut damaged = file.clone();
            for _ in 0..=random(3) {
                let at = random(damaged.len());
                damaged[at] = random(256) as u8;
            }
            // Whether it can still be read does not matter; that this returns does.
            let _ = read_bytes(&damaged);
        }
    }
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.ckpt");
    assert!(matches!(read(&path), Err(Error::Io { .. })));
    std::fs::write(&path, b"<html>").unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(
        error.contains("model.ckpt: ") && error.contains("web page"),
        "{error}"
    );
    std::fs::write(&path, lightning()).unwrap();
    assert_eq!(read(&path).unwrap().format.to_string(), "PyTorch (zip)");
}
