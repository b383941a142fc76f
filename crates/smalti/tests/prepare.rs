//! Conditions made of pictures, compared with what other programs make: OpenCV, scikit-image, Pillow
//! (`prepare/pictures.py`) and a PyTorch network (`prepare/hed.py`).

mod common;
#[allow(dead_code)]
#[path = "foreign/harness.rs"]
mod harness;

use common::{assert_near, device, perceptual_weights, read};
use harness::generate;
use image::{GrayImage, Rgb, RgbImage};
use smalti::checkpoint::{HostTensor, TensorMap, write_plain_tensors};
use smalti::data::Filter;
use smalti::prepare::canny::Canny;
use smalti::prepare::hed::Hed;
use smalti::prepare::imagenet_edges::imagenet_edges;
use smalti::prepare::lowres::{Down, Lowres};
use smalti::weights::catalogue::Kind;
use smalti::weights::import::import;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.join("tests/prepare").join(name)
}

fn picture(name: &str) -> RgbImage {
    image::open(fixture(name)).unwrap().into_rgb8()
}

#[track_caller]
fn assert_same(edges: &GrayImage, name: &str) {
    let expected = image::open(fixture(name)).unwrap().into_luma8();
    assert_eq!(edges.dimensions(), expected.dimensions());
    let pairs = edges.as_raw().iter().zip(expected.as_raw());
    let different = pairs.filter(|(ours, theirs)| ours != theirs).count();
    assert_eq!(different, 0, "pixels of {name}");
}

#[test]
fn canny_is_open_cvs() {
    let picture = picture("picture.png");
    let plain = Canny::default();
    assert_same(&plain.edges(&picture), "canny.png");
    let blurred = Canny {
        low: 40.0,
        high: 110.0,
        blur: true,
        ..plain
    };
    assert_same(&blurred.edges(&picture), "canny-blurred.png");
    let euclidean = Canny {
        low: 60.5,
        high: 150.0,
        euclidean: true,
        ..plain
    };
    assert_same(&euclidean.edges(&picture), "canny-euclidean.png");
}

#[test]
fn the_authors_edges_are_scikit_images() {
    assert_same(
        &imagenet_edges(&picture("picture.png")),
        "canny-authors.png",
    );
}

/// Both scale in whole numbers, with other roundings on the way.
#[test]
fn resolution_is_lost_as_pillow_loses_it() {
    let picture = picture("picture.png");
    for (up, name) in [(None, "quarter.png"), (Some(Filter::Bicubic), "back.png")] {
        let lowres = Lowres {
            factor: 4,
            down: Down::Bicubic,
            up,
        };
        let ours = lowres.apply(&picture).unwrap();
        let theirs = self::picture(name);
        assert_eq!(ours.dimensions(), theirs.dimensions());
        let pairs = ours.as_raw().iter().zip(theirs.as_raw());
        let worst = pairs.map(|(ours, theirs)| ours.abs_diff(*theirs)).max();
        assert!(worst <= Some(2), "{name}: off by {worst:?}");
    }
}

/// The tensors of pytorch-hed's file, filled from the formula as `hed.py` fills them.
fn generated() -> TensorMap {
    let mut tensors = TensorMap::new();
    let mut add = |key: String, shape: [usize; 4], factor: f64| {
        let bias = format!("{key}.bias");
        let values = generate(&bias, &shape[..1], &[factor]);
        tensors.insert(bias, HostTensor::f32(&shape[..1], values));
        let weight = format!("{key}.weight");
        let values = generate(&weight, &shape, &[factor]);
        tensors.insert(weight, HostTensor::f32(shape, values));
    };
    let mut inputs = 3;
    let names = ["One", "Two", "Thr", "Fou", "Fiv"];
    for (name, (count, outputs)) in names.into_iter().zip(smalti::weights::hed::BLOCKS) {
        for place in 0..count {
            let index = 2 * place + usize::from(name != "One");
            add(
                format!("netVgg{name}.{index}"),
                [outputs, inputs, 3, 3],
                1.4,
            );
            inputs = outputs;
        }
        add(format!("netScore{name}"), [1, outputs, 1, 1], 0.02);
    }
    add("netCombine.0".to_string(), [1, 5, 1, 1], 3.0);
    tensors
}

#[test]
fn the_edge_detector_is_the_networks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("network-bsds500.safetensors");
    write_plain_tensors(&file, &generated()).unwrap();
    let (kind, tensors) = import(&[&file], None).unwrap();
    assert_eq!(kind, Kind::Hed);
    let network = Hed::new(&tensors, &device()).unwrap();
    let image = RgbImage::from_fn(29, 37, |x, y| {
        Rgb([0, 1, 2].map(|c| ((x * 7 + y * 13 + c * 29 + (x * y) % 31 * 5) % 256) as u8))
    });
    let ours = network.probabilities(&image).unwrap();
    let expected = read(&fixture("hed.safetensors"));
    let expected = &expected["probabilities"];
    assert_eq!(expected.shape, [37, 29]);
    assert_near("HED", &ours, expected.as_f32().unwrap(), 1e-4);
    let edges = network.edges(&image).unwrap();
    assert_eq!(edges.dimensions(), (29, 37));
    assert_eq!(f32::from(edges.as_raw()[0]), (ours[0] * 255.0).round());
}

/// What `hed.py` finds with the trained weights: a disc has an edge where it ends, and nowhere else.
#[test]
fn the_trained_edge_detector_finds_the_edge_of_a_disc() {
    let Some(tensors) = perceptual_weights("hed") else {
        return;
    };
    let network = Hed::new(&tensors, &device()).unwrap();
    let image = RgbImage::from_fn(64, 64, |x, y| {
        match x.abs_diff(32).pow(2) + y.abs_diff(32).pow(2) < 400 {
            true => Rgb([230, 180, 60]),
            false => Rgb([20, 40, 90]),
        }
    });
    let found = network.probabilities(&image).unwrap();
    let row: Vec<f32> = found[32 * 64..33 * 64].iter().step_by(4).copied().collect();
    let expected = [
        0.0565, 0.0036, 0.0291, 0.9796, 0.0573, 0.0007, 0.0001, 0.0, 0.0001, 0.0001, 0.0001,
        0.0002, 0.0075, 0.9810, 0.1129, 0.0473,
    ];
    assert_near("HED on a disc", &row, &expected, 1e-3);
    let mean = found.iter().sum::<f32>() / found.len() as f32;
    assert_near("HED on a disc, mean", &[mean], &[0.178_45], 1e-3);
}

#[test]
fn too_large_pictures_are_refused_by_the_edge_detector() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hed.safetensors");
    write_plain_tensors(&file, &generated()).unwrap();
    let network = Hed::load(&file, &device()).unwrap();
    let error = network.edges(&RgbImage::new(3000, 2000)).unwrap_err();
    assert!(
        error.to_string().contains("3000×2000 are 6000000"),
        "{error}"
    );
    assert!(network.edges(&RgbImage::new(0, 0)).is_err());
}
