//! Drawn pictures of 16 × 16 pixels in a folder, and beside them everything that conditions are made from.

use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use smalti::checkpoint::{HostTensor, TensorMap, write_plain_tensors};
use smalti::data::drawn::{HUES, SHAPES, Truth, draw, truth};
use smalti::data::{Area, Dataset, stems, write_png};
use smalti::model::Given;
use smalti::prior::ConditionKind;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The side of a picture in pixels.
pub const SIZE: u32 = 16;
/// The share of the pictures that no prior learns from, and what decides which.
pub const VALIDATION: f64 = 0.15;
pub const SEED: u64 = 0;

/// Pictures of every shape, and how many of them are also drawn at twice the size.
const COUNT: u64 = 100;
const LARGE: u64 = 40;

/// The folder, and what is true of each picture, by its path below `pictures` without its ending. The first folder of
/// that, the class, is the hue of the shape: at this size, which shape it is says little about the codes.
pub struct Album {
    folder: PathBuf,
    truths: BTreeMap<PathBuf, Truth>,
}

/// The pictures of all tests.
pub fn album() -> &'static Album {
    static ALBUM: OnceLock<Album> = OnceLock::new();
    ALBUM.get_or_init(Album::new)
}

impl Album {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conditions");
        if folder.exists() {
            // What an earlier run of the tests left.
            fs::remove_dir_all(&folder).unwrap();
        }
        let mut album = Self {
            folder,
            truths: BTreeMap::new(),
        };
        for (shape, name) in SHAPES.iter().enumerate() {
            for index in 0..COUNT {
                let truth = truth(shape, index, SIZE);
                let stem = Path::new(truth.hue).join(format!("{name}-{index}"));
                album.write(&stem, &truth);
                if index < LARGE {
                    let large = album.new_file("large", &stem, "png");
                    write_png(&large, &draw(shape, index, 2 * SIZE)).unwrap();
                }
                album.truths.insert(stem, truth);
            }
        }
        album.write_objects();
        album.write_captions();
        album.write_encoder();
        album
    }

    /// A file or folder of the album.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What lies in folder `of` for a picture.
    fn file(&self, of: &str, stem: &Path, ending: &str) -> PathBuf {
        self.path(of).join(stem).with_extension(ending)
    }

    fn new_file(&self, of: &str, stem: &Path, ending: &str) -> PathBuf {
        let file = self.file(of, stem, ending);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        file
    }

    fn write(&self, stem: &Path, truth: &Truth) {
        let png = |of: &str| self.new_file(of, stem, "png");
        write_png(&png("pictures"), &truth.picture).unwrap();
        truth.labels.save(png("labels")).unwrap();
        truth.depth.save(png("depth")).unwrap();
        truth.edges.save(png("edges")).unwrap();
        write_png(&png("poses"), &figure(truth.area)).unwrap();
        let Area {
            x,
            y,
            width,
            height,
        } = truth.area;
        let objects = json!({"objects": [
            {"category": "sky", "box": [0, 0, 1, 1]},
            {"category": shape_of(stem), "box": [x, y, width, height]},
        ]});
        let layout = self.new_file("layouts", stem, "json");
        fs::write(layout, objects.to_string()).unwrap();
    }

    /// The sky and the shape of every picture, as COCO has it.
    fn write_objects(&self) {
        let (mut images, mut annotations) = (Vec::new(), Vec::new());
        for (id, (stem, truth)) in self.truths.iter().enumerate() {
            let area = truth.area;
            let bounds = [area.x, area.y, area.width, area.height];
            let shape = SHAPES.iter().position(|&name| name == shape_of(stem));
            images.push(json!({
                "id": id,
                "file_name": picture_name(stem),
                "width": SIZE,
                "height": SIZE,
            }));
            annotations.push(json!({"image_id": id, "category_id": 0, "bbox": [0, 0, SIZE, SIZE]}));
            annotations.push(json!({
                "image_id": id,
                "category_id": 1 + shape.unwrap(),
                "bbox": bounds.map(|share| share * f64::from(SIZE)),
            }));
        }
        let names = std::iter::once("sky").chain(SHAPES);
        let categories: Vec<Value> = names
            .enumerate()
            .map(|(id, name)| json!({"id": id, "name": name}))
            .collect();
        let all = json!({"images": images, "categories": categories, "annotations": annotations});
        fs::write(self.path("objects.json"), all.to_string()).unwrap();
    }

    fn write_captions(&self) {
        let row = |(stem, truth): (&PathBuf, &Truth)| {
            format!("{}\t{}\n", picture_name(stem), truth.caption)
        };
        let table: String = self.truths.iter().map(row).collect();
        fs::write(self.path("captions.tsv"), table).unwrap();
    }

    /// A text encoder that knows the words of captions, each in a dimension of its own; all else is zeros.
    fn write_encoder(&self) {
        let folder = self.path("encoder");
        fs::create_dir_all(&folder).unwrap();
        let words = words();
        let bytes = usize::from(u8::MAX) + 1;
        let mut table = vec![0.0; (bytes + words.len()) * words.len()];
        for word in 0..words.len() {
            // A caption has about so many tokens, of which the encoder takes the mean.
            table[(bytes + word) * words.len() + word] = 24.0;
        }
        let table = HostTensor::f32([bytes + words.len(), words.len()], table);
        let tensors = TensorMap::from([("embedding.weight".to_string(), table)]);
        write_plain_tensors(&folder.join("vectors.safetensors"), &tensors).unwrap();
        let tokenizer = tokenizer(&words).to_string();
        fs::write(folder.join("tokenizer.json"), tokenizer).unwrap();
    }

    /// The pictures that a prior trained on `pictures` has not seen, in its order.
    pub fn held_back(&self) -> Vec<(PathBuf, &Truth)> {
        let pictures = self.path("pictures");
        let dataset = Dataset::open(&pictures).unwrap();
        let (_, held_back) = dataset.split(VALIDATION, SEED);
        let stems = stems(&held_back, &pictures).unwrap();
        let with_truth = |stem: PathBuf| {
            let truth = &self.truths[&stem];
            (stem, truth)
        };
        stems.into_iter().map(with_truth).collect()
    }

    /// What a person gives for a picture like this one.
    pub fn given(&self, condition: ConditionKind, stem: &Path, truth: &Truth) -> Given {
        let picture = |of: &str| Given {
            picture: Some(self.file(of, stem, "png")),
            ..Given::default()
        };
        match condition {
            ConditionKind::None | ConditionKind::Coord => Given::default(),
            ConditionKind::Class => Given {
                class: Some(truth.hue.to_string()),
                ..Given::default()
            },
            ConditionKind::Segmentation => picture("labels"),
            ConditionKind::Depth => picture("depth"),
            ConditionKind::Edges => picture("edges"),
            ConditionKind::Pose => picture("poses"),
            ConditionKind::Lowres => picture("pictures"),
            ConditionKind::Layout => Given {
                layout: Some(self.file("layouts", stem, "json")),
                ..Given::default()
            },
            ConditionKind::Text => Given {
                text: Some(truth.caption.clone()),
                text_encoder: Some(self.path("encoder")),
                ..Given::default()
            },
        }
    }
}

/// The shape, of which the name of a file begins.
fn shape_of(stem: &Path) -> &str {
    let name = stem.file_name().unwrap().to_str().unwrap();
    name.split('-').next().unwrap()
}

fn picture_name(stem: &Path) -> String {
    format!("{}.png", stem.to_str().unwrap())
}

/// Upright and with its arms out, as large as its box, in colours that shapes and skies have.
fn figure(area: Area) -> RgbImage {
    RgbImage::from_fn(SIZE, SIZE, |x, y| {
        let [x, y] = [x, y].map(|place| (f64::from(place) + 0.5) / f64::from(SIZE));
        let across = area.x..area.x + area.width;
        let down = area.y..area.y + area.height;
        let near =
            |place: f64, first: f64, length: f64| (place - first - length / 2.0).abs() < 0.05;
        let body = near(x, area.x, area.width) && down.contains(&y);
        let arms = near(y, area.y, area.height) && across.contains(&x);
        match body || arms {
            true => Rgb([230, 34, 34]),
            false => Rgb([153, 179, 230]),
        }
    })
}

/// What captions are made of: shapes, their hues, and the hues of skies.
fn words() -> Vec<String> {
    let skies = HUES.map(|hue| format!("on {hue}"));
    let others = SHAPES.into_iter().chain(HUES).map(str::to_string);
    others.chain(skies).collect()
}

/// A tokenizer of the form of Llama 2's: bytes, and each word as one token.
fn tokenizer(words: &[String]) -> Value {
    let bytes = (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>"));
    let names = bytes.chain(words.iter().cloned());
    let vocabulary: serde_json::Map<String, Value> = names
        .enumerate()
        .map(|(number, name)| (name, json!(number)))
        .collect();
    let added: Vec<Value> = words
        .iter()
        .map(|word| json!({"id": vocabulary[word], "content": word, "normalized": false}))
        .collect();
    json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": null,
        "model": {
            "type": "BPE",
            "byte_fallback": true,
            "vocab": vocabulary,
            "merges": [],
        },
    })
}
