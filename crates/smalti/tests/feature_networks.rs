//! Classifiers whose features pictures are compared by: at their published sizes with weights from a formula, and one
//! with its published weights, against what PyTorch makes of the same pictures (see `features/make.py`).

mod common;
#[allow(dead_code)]
#[path = "foreign/harness.rs"]
mod harness;

use burn::tensor::{Shape, Tensor, TensorData};
use common::{assert_near, device, read, repository, unpacked_weights, values};
use harness::generate;
use image::{Rgb, RgbImage};
use smalti::checkpoint::{HostTensor, TensorMap, write_torch};
use smalti::data::write_png;
use smalti::metrics::classifier::ClassifierTraining;
use smalti::metrics::network::Preprocessing;
use smalti::metrics::{self, FeatureNetwork};
use smalti::weights::classifier::Classifier;
use smalti::weights::import::install;
use std::io::Write;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.join("tests/features").join(name)
}

/// The tensors of the published file, their values from the formula; kernels whose key contains `part` are scaled.
fn generated(name: &str, (part, factor): (&str, f64)) -> TensorMap {
    let text = std::fs::read_to_string(fixture(&format!("{name}.json"))).unwrap();
    let listed: Vec<(String, Vec<usize>)> = serde_json::from_str(&text).unwrap();
    let tensor = |(key, shape): (String, Vec<usize>)| {
        if shape.is_empty() {
            return (key, HostTensor::i64(shape, vec![0]));
        }
        let factors = [factor];
        let factors = if key.contains(part) {
            &factors[..]
        } else {
            &[]
        };
        let mut values = generate(&key, &shape, factors);
        if key.ends_with("running_var") {
            // Variances are around 1.
            values.iter_mut().for_each(|value| *value += 1.0);
        }
        (key, HostTensor::f32(shape, values))
    };
    listed.into_iter().map(tensor).collect()
}

/// A busy picture and a smooth one, as `make.py` has them.
fn pictures() -> Tensor<4> {
    let (height, width) = (64, 48);
    let level = |index: usize| {
        let (c, x) = (index % 3, index / 3 % width);
        let (y, n) = (index / 3 / width % height, index / 3 / width / height);
        let level = match n {
            0 => x * 7 + y * 13 + c * 29 + x * y % 31 * 5,
            _ => x * 2 + y + c * 29,
        };
        (level % 256) as f32 / 127.5 - 1.0
    };
    let levels: Vec<f32> = (0..2 * height * width * 3).map(level).collect();
    let shape = Shape::from([2, height, width, 3]);
    Tensor::from_data(TensorData::new(levels, shape), &device())
}

/// Compares a network that was read from a file in the published form with PyTorch's.
fn check(classifier: Classifier, scale: (&str, f64)) -> (FeatureNetwork, tempfile::TempDir) {
    let name = classifier.network().name;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("published.pth");
    let weights = generated(name, scale);
    write_torch(&path, "", &weights, &[]).unwrap();
    let network = FeatureNetwork::open(&path, &device()).unwrap();
    assert_eq!((network.classifier(), network.name()), (classifier, name));

    let expected = read(&fixture("networks.safetensors"));
    let expected = |what: &str| expected[&format!("{name}.{what}")].as_f32().unwrap();
    let features = network.features(pictures()).unwrap();
    assert_eq!(features.dims(), [2, network.dimension()]);
    let ours = values(features.clone());
    assert_near("features", &ours, expected("features"), 1e-4);
    let ours = values(network.logits(features.clone()));
    assert_near("logits", &ours, expected("logits"), 1e-4);

    let unbiased = values(network.unbiased_logits(features.clone()));
    let bias = weights[&format!("{}.bias", classifier.head())].as_f32();
    let biases = bias.unwrap().iter().cycle();
    let biased: Vec<f32> = unbiased.iter().zip(biases).map(|(a, b)| a + b).collect();
    assert_near("biases", &biased, &ours, 1e-5);
    let probabilities = values(network.probabilities(features));
    for row in probabilities.chunks_exact(network.classes()) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4);
    }
    (network, folder)
}

#[test]
fn inception_of_fid() {
    check(Classifier::Inception, ("conv.weight", 1.45));
}

/// The published file has an auxiliary classifier too, which is left out.
#[test]
fn inception_of_torchvision() {
    check(Classifier::InceptionTorchvision, ("conv.weight", 1.45));
}

#[test]
fn efficientnet_lite0() {
    let (network, folder) = check(Classifier::EfficientNetLite0, ("_conv", 1.4));
    // The imported file is the same network.
    let published = folder.path().join("published.pth");
    let imported = folder.path().join("imported.safetensors");
    let name = Some("efficientnet-lite0");
    install(&[published.as_path()], name, Some(&imported)).unwrap();
    let imported = FeatureNetwork::open(&imported, &device()).unwrap();
    assert_eq!(imported.checksum(), network.checksum());
    assert_eq!(network.checksum().len(), 64);

    // Pictures do not see one another, also where there are more than go through at a time.
    let two = network.features(pictures()).unwrap();
    let many = Tensor::cat(vec![pictures(); 9], 0);
    let many = network.features(many).unwrap();
    assert_eq!(many.dims()[0], 18);
    let last = values(many.narrow(0, 16, 2));
    assert_near("the last two of 18", &last, &values(two), 1e-5);
}

/// The middle square of a photograph, if it is here.
fn photograph(name: &str) -> Option<Tensor<4>> {
    let path = repository().join("assets/photos").join(name);
    if !path.is_file() {
        // Not through `eprintln!`, which the test harness swallows.
        let hint = "scripts/fetch-assets photos";
        let _ = writeln!(std::io::stderr(), "SKIPPED: {name} is not here ({hint})");
        return None;
    }
    let photo = smalti::data::read_image(&path, [255; 3]).unwrap();
    let side = photo.width().min(photo.height());
    let (left, top) = ((photo.width() - side) / 2, (photo.height() - side) / 2);
    let square = image::imageops::crop_imm(&photo, left, top, side, side).to_image();
    Some(smalti::data::squares(
        &[square.into_raw()],
        side as usize,
        &device(),
    ))
}

/// The published weights of EfficientNet-lite0, and photographs: class, its probability, and the mean of the
/// features, as PyTorch has them.
#[test]
fn photographs_are_classified() {
    let file = "efficientnet-lite0-57934424.pth";
    let Some(weights) = unpacked_weights(file, "scripts/fetch-assets efficientnet") else {
        return;
    };
    let network = FeatureNetwork::open(&weights, &device()).unwrap();
    for (name, class, probability, mean) in [
        // An Egyptian cat, an espresso, a moped; there is no class for an astronaut.
        ("chelsea.png", 285, 0.40281, 0.129_690),
        ("astronaut.png", 450, 0.30334, 0.248_414),
        ("coffee.png", 967, 0.94016, 0.143_811),
        ("motorcycle_left.png", 665, 0.71502, 0.167_104),
    ] {
        let Some(photograph) = photograph(name) else {
            continue;
        };
        let features = network.features(photograph).unwrap();
        let shares = values(network.probabilities(features.clone()));
        let largest = (0..shares.len()).max_by(|&a, &b| shares[a].total_cmp(&shares[b]));
        assert_eq!(largest, Some(class), "{name}");
        assert_near(name, &[shares[class]], &[probability], 1e-3);
        let features = values(features);
        let sum: f32 = features.iter().sum();
        assert_near(name, &[sum / features.len() as f32], &[mean], 1e-4);
    }
}

/// A picture of noise around a colour.
fn noise(index: u32, red: bool) -> RgbImage {
    RgbImage::from_fn(24, 16 + index % 3, |x, y| {
        let level = (x * 37 + y * 91 + index * 53 + x * y * (7 + index)) % 128;
        match red {
            true => Rgb([127 + level as u8, level as u8, 20]),
            false => Rgb([20, level as u8, 127 + level as u8]),
        }
    })
}

#[test]
fn a_classifier_of_ones_own_classes() {
    let folder = tempfile::tempdir().unwrap();
    let (data, path) = (
        folder.path().join("data"),
        folder.path().join("published.pth"),
    );
    let weights = generated("efficientnet-lite0", ("_conv", 1.4));
    write_torch(&path, "", &weights, &[]).unwrap();
    for (name, red) in [("blue", false), ("red", true)] {
        std::fs::create_dir_all(data.join(name)).unwrap();
        for index in 0..8 {
            let file = data.join(name).join(format!("{index}.png"));
            write_png(&file, &noise(index, red)).unwrap();
        }
    }
    let network = || FeatureNetwork::open(&path, &device()).unwrap();
    let settings = ClassifierTraining {
        validation: 0.25,
        ..ClassifierTraining::default()
    };
    let mut heard = Vec::new();
    let trained = metrics::Classifier::train(network(), &data, &settings, &mut |done, total| {
        heard.push((done, total));
    });
    let (classifier, notes) = trained.unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(heard.last(), Some(&(16, 16)));
    let info = classifier.info().unwrap();
    assert_eq!((info.pictures, info.held_back), (12, 4));
    assert_eq!(info.accuracy, Some(1.0));

    let unseen = [noise(40, true), noise(41, false)];
    let probabilities = classifier.probabilities(&unseen).unwrap();
    let columns = classifier
        .columns(&["red".into(), "blue".into()], 2)
        .unwrap();
    assert_eq!(columns, [1, 0]);
    assert!(
        probabilities[1] > 0.5 && probabilities[2] > 0.5,
        "{probabilities:?}"
    );

    let file = folder.path().join("own.classifier");
    classifier.save(&file).unwrap();
    let read = metrics::Classifier::load(&file, |_| Ok(network())).unwrap();
    assert_eq!(read.probabilities(&unseen).unwrap(), probabilities);
    let other = network()
        .with_preprocessing(Preprocessing::PYTORCH_FID)
        .unwrap();
    let error = metrics::Classifier::load(&file, |_| Ok(other)).unwrap_err();
    assert!(error.to_string().contains("preprocessing"), "{error}");
}

/// Classes are found by their names in WordNet, and by their numbers where a prior has all of them.
#[test]
fn a_networks_own_classes() {
    let weights = generated("efficientnet-lite0", ("_conv", 1.4));
    let network = FeatureNetwork::new(Classifier::EfficientNetLite0, &weights, &device()).unwrap();
    let classifier = metrics::Classifier::of_network(network);
    let columns = |names: &[&str], count: usize| {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let columns = classifier.columns(&names, count);
        columns.map_err(|error| error.to_string())
    };
    assert_eq!(columns(&["n02123045", "n01440764"], 2).unwrap(), [281, 0]);
    assert_eq!(columns(&[], 1000).unwrap()[999], 999);
    let error = columns(&[], 10).unwrap_err();
    assert!(error.contains("10 classes without names"), "{error}");
    let error = columns(&["n02123045", "cats", "dogs"], 3).unwrap_err();
    assert!(
        error.contains("2 of the prior's 3 classes: cats, dogs ("),
        "{error}"
    );

    let features = values(classifier.network().features(pictures()).unwrap());
    let found = classifier.probabilities_of(&features).unwrap();
    let expected = classifier.network().features(pictures()).unwrap();
    let expected = values(classifier.network().probabilities(expected));
    let found: Vec<f32> = found.iter().map(|&share| share as f32).collect();
    assert_near("probabilities", &found, &expected, 1e-5);
    assert!(classifier.save(Path::new("nowhere")).is_err());
}
