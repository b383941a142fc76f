//! What measuring reads: trained classifiers, and statistics of features, ours and those that others publish.

use crate::mutate::{self, pick};
use crate::seeds::Seeds;
use crate::tensors::{array_of, written};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use smalti::checkpoint::{
    Doubles, DoublesMap, HostTensor, TensorMap, write_doubles, write_tensors,
};
use smalti::metrics::classifier::{ClassifierInfo, LinearHead, TrainedHead};
use smalti::metrics::{FeatureStatistics, Protocol};
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Files of trained classifiers.
pub fn classifiers() -> Seeds {
    let info = ClassifierInfo {
        classes: vec!["cats".into(), "dogs".into()],
        network: "efficientnet-lite0".into(),
        checksum: "00ff".into(),
        preprocessing: "bilinear".into(),
        size: 64,
        penalty: 0.01,
        data: "photos".into(),
        pictures: 90,
        held_back: 10,
        accuracy: Some(0.9),
    };
    let text = serde_json::to_value(&info).unwrap();
    let head = LinearHead::new(vec![0.5; 6], vec![0.1, -0.2], 3).unwrap();
    let trained = TrainedHead { head, info };
    let file = written(|path| trained.save(path));
    let with = |name: &str, value: Value| {
        let mut changed = text.clone();
        changed[name] = value;
        changed.to_string()
    };
    let texts = [
        with("classes", json!([])),
        with("classes", json!(vec![""; 10_000])),
        with("classes", json!(vec!["x"; 10_000])),
        with("size", json!(u64::MAX)),
        with("penalty", json!(-1e308)),
        with("accuracy", json!("")),
        "[".repeat(5000),
        "{}".to_string(),
    ];
    let mut bad: Vec<Vec<u8>> = texts
        .iter()
        .map(|text| classifier(text, &[2, 3], &[2]))
        .collect();
    let text = text.to_string();
    let shapes: [(&[usize], &[usize]); 5] = [
        (&[2, 0], &[2]),
        (&[0, 1 << 40], &[0]),
        (&[3, 2], &[2]),
        (&[6], &[2]),
        (&[2, 3], &[1, 2]),
    ];
    for (weight, bias) in shapes {
        bad.push(classifier(&text, weight, bias));
    }
    Seeds::files(vec![file], bad)
}

/// A file with this description and tensors of these shapes.
fn classifier(text: &str, weight: &[usize], bias: &[usize]) -> Vec<u8> {
    let tensor = |shape: &[usize]| HostTensor::f32(shape, vec![0.5; shape.iter().product()]);
    let tensors = TensorMap::from([
        ("weight".to_string(), tensor(weight)),
        ("bias".to_string(), tensor(bias)),
    ]);
    let metadata = BTreeMap::from([
        ("format".to_string(), "1".to_string()),
        ("classifier".to_string(), text.to_string()),
    ]);
    written(|path| write_tensors(path, &tensors, &metadata))
}

/// Statistics of ours.
pub fn statistics() -> Seeds {
    let protocol = Protocol {
        network: "network".into(),
        checksum: "00ff".into(),
        resize: "bicubic".into(),
        size: 64,
        data: "photos".into(),
    };
    let mut statistics = FeatureStatistics::new(3);
    let features: Vec<f32> = (0..30).map(|index| (index as f32).sin()).collect();
    statistics.add(&features).unwrap();
    let good = written(|path| statistics.save(path, &protocol));
    let bad = [
        moments(&[2], &[2, 2], 0.5, "9223372036854775807"),
        moments(&[2], &[2, 2], 0.5, "2147483648"),
        moments(&[2], &[2, 2], 1e308, "2147483648"),
        moments(&[2], &[2, 2], f64::NAN, "9"),
        moments(&[2], &[2, 2], f64::INFINITY, "9"),
        moments(&[2], &[2, 2], -1.0, "9"),
        moments(&[2], &[4], 0.5, "9"),
        moments(&[0], &[0, 0], 0.5, "9"),
        moments(&[0, 1 << 40], &[0, 1 << 40], 0.5, "9"),
        moments(&[2], &[2, 2], 0.5, "-1"),
    ];
    Seeds::files(vec![good], bad.to_vec())
}

/// A file of statistics of these shapes, all of one value.
fn moments(mean: &[usize], covariance: &[usize], value: f64, pictures: &str) -> Vec<u8> {
    let doubles = |shape: &[usize]| Doubles {
        shape: shape.to_vec(),
        values: vec![value; shape.iter().product()],
    };
    let tensors = DoublesMap::from([
        ("mean".to_string(), doubles(mean)),
        ("covariance".to_string(), doubles(covariance)),
    ]);
    let entries = [
        ("network", "network"),
        ("checksum", "00ff"),
        ("resize", "bicubic"),
        ("data", "photos"),
        ("size", "64"),
        ("pictures", pictures),
    ];
    let metadata = entries.map(|(key, text)| (key.to_string(), text.to_string()));
    written(|path| write_doubles(path, &tensors, &BTreeMap::from(metadata)))
}

/// An array of numpy of these 64-bit floats.
fn array(shape: &str, values: &[f64]) -> Vec<u8> {
    let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n");
    let data: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    array_of(header.as_bytes(), &data)
}

/// Statistics of others; the parts are arrays of numpy: a mean and a covariance.
pub fn published() -> Seeds {
    let parts = vec![
        array("(2,)", &[0.5, 1.0]),
        array("(2, 2)", &[4.0, 1.0, 1.0, 9.0]),
    ];
    let [mean, covariance] = [&parts[0], &parts[1]].map(Vec::as_slice);
    let (stored, deflated) = (CompressionMethod::Stored, CompressionMethod::Deflated);
    let arrays = [("mu.npy", mean), ("sigma.npy", covariance)];
    let with_pictures = [("arr_0.npy", &b"pictures"[..]), arrays[0], arrays[1]];
    let good = vec![
        zipped(stored, &arrays),
        zipped(deflated, &arrays),
        zipped(stored, &with_pictures),
    ];
    let of = |covariance: &[u8]| zipped(deflated, &[arrays[0], ("sigma.npy", covariance)]);
    let zeros = vec![0_u8; 8 << 20];
    let shapes = [
        "(4294967296, 4294967296)",
        "(18446744073709551615, 2)",
        "(0, 18446744073709551615)",
        "(-2, -2)",
        "(4,)",
    ];
    let mut bad: Vec<Vec<u8>> = shapes.map(|shape| of(&array(shape, &[1.0; 4]))).to_vec();
    for value in [f64::NAN, f64::NEG_INFINITY, 1e308, -1.0] {
        bad.push(of(&array("(2, 2)", &[value; 4])));
    }
    bad.push(of(&array("(2, 2)", &[1.0, 2.0, 3.0, 4.0])));
    bad.push(of(&zeros));
    bad.push(of(b""));
    bad.push(zipped(stored, &[arrays[0]]));
    bad.push(b"PK\x05\x06".to_vec());
    Seeds { good, bad, parts }
}

/// Changes a file, or an array before it is packed: a change in a packed one mostly ends at the checksum.
pub fn make_published(random: &mut ChaCha8Rng, seeds: &Seeds) -> Vec<u8> {
    if random.random_bool(0.5) {
        let file = seeds.any(random);
        return mutate::bytes(random, file, &seeds.good);
    }
    let changed = pick(random, &[0_usize, 1]);
    let mut parts = seeds.parts.clone();
    parts[*changed] = mutate::bytes(random, &parts[*changed], &seeds.parts);
    let arrays = [
        ("mu.npy", parts[0].as_slice()),
        ("sigma.npy", parts[1].as_slice()),
    ];
    zipped(CompressionMethod::Stored, &arrays)
}

fn zipped(method: CompressionMethod, entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, contents) in entries {
        writer.start_file(*name, options).unwrap();
        writer.write_all(contents).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
