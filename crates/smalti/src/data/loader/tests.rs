//! Batches are a pure function of data, settings and step, whatever the workers and the broken files.

use std::fs;
use std::io::Cursor;

use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use tempfile::TempDir;

use super::*;
use crate::data::{Crop, Filter, Resize};

const CONFIG: LoaderConfig = LoaderConfig {
    batch: 3,
    kind: Kind::Pictures,
    transform: Transform {
        size: 16,
        resize: Resize::Shortest(20),
        enlarge: true,
        crop: Crop::Random,
        flip: true,
        filter: Filter::Bilinear,
    },
    background: [255; 3],
    seed: 11,
    workers: 1,
    first_step: 0,
    cache_bytes: 0,
};

fn picture(number: u32) -> RgbImage {
    RgbImage::from_fn(30, 24 + number, |x, y| {
        Rgb([(x * 8) as u8, (y * 6) as u8, (number * 20) as u8])
    })
}

/// A folder of `count` different pictures in two classes.
fn folder(count: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..count {
        let class = folder.path().join(if number.is_multiple_of(2) {
            "even"
        } else {
            "odd"
        });
        fs::create_dir_all(&class).unwrap();
        let path = class.join(format!("{number}.png"));
        picture(number).save(path).unwrap();
    }
    folder
}

fn open(folder: &TempDir) -> Arc<Dataset> {
    Arc::new(Dataset::open(folder.path()).unwrap())
}

fn batches(dataset: &Arc<Dataset>, config: LoaderConfig, count: usize) -> Vec<Batch> {
    let mut loader = Loader::new(Arc::clone(dataset), config).unwrap();
    let batches = (0..count).map(|_| loader.next().unwrap()).collect();
    assert!(loader.bad_files().is_empty());
    batches
}

#[test]
fn batches_depend_on_the_step_alone() {
    let folder = folder(7);
    let dataset = open(&folder);
    let reference = batches(&dataset, CONFIG, 12);
    for (workers, cache_bytes) in [(1, 1 << 20), (3, 0), (3, 1 << 20), (3, 3000), (9, 0)] {
        let config = LoaderConfig {
            workers,
            cache_bytes,
            ..CONFIG
        };
        assert!(batches(&dataset, config, 12) == reference);
    }
    for first_step in [1, 5, 11] {
        let config = LoaderConfig {
            workers: 2,
            first_step,
            ..CONFIG
        };
        let rest = &reference[first_step as usize..];
        assert!(batches(&dataset, config, rest.len()) == rest);
    }
    let other_seed = LoaderConfig { seed: 12, ..CONFIG };
    assert!(batches(&dataset, other_seed, 12) != reference);
}

#[test]
fn batches_hold_every_picture_once_per_epoch() {
    let folder = folder(6);
    let dataset = open(&folder);
    let batches = batches(&dataset, CONFIG, 4);
    for epoch in batches.chunks(2) {
        let mut indices: Vec<usize> = epoch
            .iter()
            .flat_map(|batch| batch.indices.clone())
            .collect();
        indices.sort_unstable();
        assert_eq!(indices, [0, 1, 2, 3, 4, 5]);
    }
    for batch in &batches {
        assert_eq!((batch.size, batch.pixels.len()), (16, 3 * 16 * 16 * 3));
        assert!(
            batch
                .pixels
                .iter()
                .all(|value| (-1.0..=1.0).contains(value))
        );
        for (&index, &class) in batch.indices.iter().zip(&batch.classes) {
            assert_eq!(dataset.items[index].class, Some(class));
        }
    }
    // The same picture is cropped anew in the next epoch.
    assert_ne!(batches[0].pixels, batches[2].pixels);
}

#[test]
fn a_batch_may_be_larger_than_the_data_set() {
    let folder = folder(2);
    let config = LoaderConfig { batch: 5, ..CONFIG };
    let batches = batches(&open(&folder), config, 2);
    let indices: Vec<usize> = batches
        .iter()
        .flat_map(|batch| batch.indices.clone())
        .collect();
    for epoch in indices.chunks(2) {
        assert_ne!(epoch[0], epoch[1]);
    }
}

#[test]
fn kept_pictures_are_not_read_again() {
    let folder = folder(3);
    let dataset = open(&folder);
    let reference = batches(&dataset, CONFIG, 9);
    let config = LoaderConfig {
        cache_bytes: 1 << 20,
        ..CONFIG
    };
    let mut loader = Loader::new(dataset, config).unwrap();
    // One epoch: afterwards the only thread has read all three.
    assert!(loader.next().unwrap() == reference[0]);
    drop(folder);
    for batch in &reference[1..] {
        assert!(loader.next().unwrap() == *batch);
    }
}

#[test]
fn bad_pictures_are_replaced_and_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.png", "c.png"] {
        picture(1).save(folder.path().join(name)).unwrap();
    }
    let mut jpeg = Cursor::new(Vec::new());
    picture(2).write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    let jpeg = jpeg.into_inner();
    fs::write(folder.path().join("b.jpg"), &jpeg[..jpeg.len() - 40]).unwrap();
    fs::write(folder.path().join("d.png"), "no picture").unwrap();

    let dataset = open(&folder);
    let config = LoaderConfig { batch: 4, ..CONFIG };
    let mut runs = Vec::new();
    for workers in [1, 3] {
        let config = LoaderConfig {
            workers,
            ..config.clone()
        };
        let mut loader = Loader::new(Arc::clone(&dataset), config).unwrap();
        let batches: Vec<Batch> = (0..6).map(|_| loader.next().unwrap()).collect();
        for batch in &batches {
            let mut indices = batch.indices.clone();
            indices.sort_unstable();
            // c.png stands in for b.jpg behind which it comes, and a.png for d.png, the last one.
            assert_eq!(indices, [0, 0, 2, 2]);
        }
        let bad = loader.bad_files();
        assert_eq!(bad.len(), 2);
        assert!(bad[0].0.ends_with("b.jpg") && bad[0].1.contains("cut short"));
        assert!(bad[1].0.ends_with("d.png"));
        runs.push(batches);
    }
    assert!(runs[0] == runs[1]);
}

#[test]
fn pictures_too_small_to_crop_are_named() {
    let folder = tempfile::tempdir().unwrap();
    picture(0).save(folder.path().join("a.png")).unwrap();
    let small = RgbImage::new(40, 10);
    small.save(folder.path().join("b.png")).unwrap();
    let transform = Transform {
        resize: Resize::None,
        enlarge: true,
        ..CONFIG.transform
    };
    let config = LoaderConfig {
        transform,
        ..CONFIG
    };
    let mut loader = Loader::new(open(&folder), config).unwrap();
    assert_eq!(loader.next().unwrap().indices, [0, 0, 0]);
    assert!(loader.bad_files()[0].1.contains("40×10"));
}

#[test]
fn nothing_but_bad_pictures_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.png", "b.png"] {
        fs::write(folder.path().join(name), "no picture").unwrap();
    }
    let mut loader = Loader::new(open(&folder), CONFIG).unwrap();
    for _ in 0..2 {
        let message = loader.next().unwrap_err().to_string();
        assert!(message.starts_with("none of the 2 pictures could be read; the first: "));
        assert!(message.contains("a.png"));
    }
}

#[test]
fn settings_are_checked() {
    let folder = folder(1);
    let dataset = open(&folder);
    let empty = Arc::new(dataset.limit(0));
    assert!(Loader::new(empty, CONFIG).is_err());
    let no_batch = LoaderConfig { batch: 0, ..CONFIG };
    assert!(Loader::new(Arc::clone(&dataset), no_batch).is_err());
    let no_workers = LoaderConfig {
        workers: 0,
        first_step: u64::MAX,
        ..CONFIG
    };
    assert_eq!(batches(&dataset, no_workers, 2).len(), 2);
}

#[test]
fn dropping_ends_the_threads() {
    let folder = folder(4);
    let dataset = open(&folder);
    for used in 0..3 {
        let config = LoaderConfig {
            workers: 4,
            ..CONFIG
        };
        let mut loader = Loader::new(Arc::clone(&dataset), config).unwrap();
        for _ in 0..used {
            loader.next().unwrap();
        }
        drop(loader);
        // The threads held the data set too.
        assert_eq!(Arc::strong_count(&dataset), 1);
    }
}

#[test]
fn label_maps_become_one_hot_batches() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..4_u8 {
        // 9 is no class.
        let map = GrayImage::from_fn(30, 24, |x, y| {
            Luma([[0, 1 + number, 9][(x + y) as usize % 3]])
        });
        let path = folder.path().join(format!("{number}.png"));
        map.save(path).unwrap();
    }
    let dataset = open(&folder);
    let config = LoaderConfig {
        kind: Kind::Labels {
            classes: 5,
            ignore: Some(9),
        },
        ..CONFIG
    };
    let reference = batches(&dataset, config.clone(), 4);
    for batch in &reference {
        assert_eq!((batch.channels, batch.pixels.len()), (5, 3 * 16 * 16 * 5));
        for (pixels, &index) in batch.pixels.chunks(16 * 16 * 5).zip(&batch.indices) {
            let mut counts = [0.0_f32; 5];
            for pixel in pixels.chunks(5) {
                assert!(pixel.iter().all(|value| [0.0, 1.0].contains(value)));
                assert!(pixel.iter().sum::<f32>() <= 1.0);
                for (count, value) in counts.iter_mut().zip(pixel) {
                    *count += *value;
                }
            }
            assert!(counts[0] > 0.0 && counts[1 + index] > 0.0);
            assert_eq!(counts[0] + counts[1 + index], counts.iter().sum::<f32>());
            assert!(counts.iter().sum::<f32>() < 256.0);
        }
    }
    let config = LoaderConfig {
        workers: 3,
        cache_bytes: 3000,
        first_step: 2,
        ..config
    };
    assert!(batches(&dataset, config, 2) == reference[2..]);
}

#[test]
fn depth_batches_have_one_channel() {
    let folder = folder(3);
    for entry in ["even/0.png", "even/2.png", "odd/1.png"] {
        let slope = GrayImage::from_fn(30, 24, |x, _| Luma([x as u8]));
        slope.save(folder.path().join(entry)).unwrap();
    }
    let config = LoaderConfig {
        kind: Kind::Depth {
            form: Default::default(),
        },
        ..CONFIG
    };
    let batch = &batches(&open(&folder), config, 1)[0];
    assert_eq!((batch.channels, batch.pixels.len()), (1, 3 * 16 * 16));
    assert!(batch.pixels.iter().all(|value| value.abs() <= 1.0));
    let row: Vec<f32> = batch.pixels[..16].to_vec();
    assert!(row.is_sorted() || row.iter().rev().is_sorted());
}
