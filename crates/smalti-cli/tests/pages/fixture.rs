//! Everything that the pages mention, small: made once, and copied beside each page's commands.

use crate::common::{TINY, TINY_PRIOR, command, untrained_classifier};
use image::{GrayImage, Luma, RgbImage};
use smalti::data::drawn::{SHAPES, draw};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Side of the pictures; those of the tiny networks are half as large.
const SIDE: u32 = 32;

/// Pictures in a folder: enough for one to be held back.
const COUNT: u64 = 12;

/// What there is, by the names that the pages use.
const ITEMS: [&str; 18] = [
    "photos",
    "photo.png",
    "maps",
    "labels",
    "depth",
    "drin_depth",
    "train2017",
    "person_keypoints_train2017.json",
    "assets/emoji",
    "animals",
    "runs/photos",
    "runs/animals",
    "run",
    "M",
    "last.ckpt",
    "last.yaml",
    "vqgan_imagenet_f16_1024/ckpts",
    "ldm-celebahq-256/vqvae",
];

/// A folder with all of it.
pub struct Fixture(TempDir);

impl Fixture {
    pub fn new() -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        fixture.pictures();
        fixture.people();
        fixture.models();
        let weights = fixture.assets().join("weights");
        fs::create_dir_all(&weights).unwrap();
        untrained_classifier(&weights.join("efficientnet-lite0.safetensors"), 1);
        for item in ITEMS {
            assert!(fixture.0.path().join(item).exists(), "{item} is missing");
        }
        fixture
    }

    /// Where the networks of others lie: one classifier, which nobody trained.
    pub fn assets(&self) -> PathBuf {
        self.0.path().join("networks")
    }

    /// Copies all items into `folder` but those that are made there.
    pub fn copy(&self, folder: &Path, made: &[String]) {
        for item in ITEMS {
            // A checkpoint is made together with its YAML.
            let is_made = |made: &String| made == item || made.replace(".ckpt", ".yaml") == item;
            if !made.iter().any(is_made) {
                copy(&self.0.path().join(item), &folder.join(item));
            }
        }
    }

    fn pictures(&self) {
        let place = |name: &str| {
            let folder = self.0.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            folder
        };
        for index in 0..COUNT {
            let name = char::from(b'a' + index as u8);
            let picture = draw(index as usize % SHAPES.len(), index, SIDE);
            picture
                .save(place("photos").join(format!("{name}.jpg")))
                .unwrap();
            let map = labels(&picture);
            map.save(place("maps").join(format!("{name}.png"))).unwrap();
            map.save(place("labels").join(format!("{name}.png")))
                .unwrap();
            let depth =
                GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([(x + 2 * y + index as u32) as u8]));
            depth
                .save(place("depth").join(format!("{name}.png")))
                .unwrap();
            depth
                .save(place("drin_depth").join(format!("{name}.png")))
                .unwrap();
            let category = SHAPES[index as usize % 2];
            let emoji = place(&format!("assets/emoji/{category}"));
            picture.save(emoji.join(format!("{name}.png"))).unwrap();
            let animals = place(&format!("animals/{category}"));
            picture.save(animals.join(format!("{name}.png"))).unwrap();
        }
        draw(0, COUNT, SIDE)
            .save(self.0.path().join("photo.png"))
            .unwrap();
    }

    /// Pictures of people, and where their shoulders are.
    fn people(&self) {
        let folder = self.0.path().join("train2017");
        fs::create_dir(&folder).unwrap();
        draw(0, 0, SIDE).save(folder.join("1.jpg")).unwrap();
        let mut keypoints = vec![0; 51];
        keypoints[15..21].copy_from_slice(&[8, 8, 2, 24, 8, 2]);
        let contents = serde_json::json!({
            "images": [{"id": 1, "file_name": "1.jpg", "width": SIDE, "height": SIDE}],
            "annotations": [{"image_id": 1, "keypoints": keypoints, "area": 100, "iscrowd": 0}],
        });
        let file = self.0.path().join("person_keypoints_train2017.json");
        fs::write(file, contents.to_string()).unwrap();
    }

    /// `runs/photos` is a tokenizer, `run` one that other programs have too, `M` and
    /// `runs/animals` have priors, the latter under classes.
    fn models(&self) {
        let train = |out: &str, more: &[&str]| {
            let base = [
                "train",
                "tokenizer",
                "--data",
                "photos",
                "--steps",
                "2",
                "--out",
                out,
            ];
            self.run(&[&base[..], &TINY, more].concat());
        };
        train("runs/photos", &[]);
        let nearest = ["--preset", "classic", "--set", "attention_resolutions=[]"];
        train("run", &nearest);
        for (data, condition, out) in [
            ("photos", "none", "M"),
            ("animals", "class", "runs/animals"),
        ] {
            let prior = [
                "train",
                "prior",
                "--data",
                data,
                "--condition",
                condition,
                "--tokenizer",
                "runs/photos",
                "--steps",
                "2",
                "--out",
                out,
            ];
            self.run(&[&prior[..], &TINY_PRIOR].concat());
        }
        let checkpoints = self.0.path().join("vqgan_imagenet_f16_1024/ckpts");
        fs::create_dir_all(checkpoints).unwrap();
        for file in ["last.ckpt", "vqgan_imagenet_f16_1024/ckpts/last.ckpt"] {
            self.run(&["export", "run", "--to", "compvis", "--out", file]);
        }
        fs::create_dir(self.0.path().join("ldm-celebahq-256")).unwrap();
        let out = "ldm-celebahq-256/vqvae";
        self.run(&["export", "run", "--to", "diffusers", "--out", out]);
    }

    /// Runs the program here, so that the models know their data by names that hold in any copy.
    fn run(&self, arguments: &[&str]) {
        let output = command(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "smalti {}: {errors}",
            arguments.join(" ")
        );
    }
}

/// Three labels: dark, middling and light pixels.
fn labels(picture: &RgbImage) -> GrayImage {
    let mut map = image::imageops::grayscale(picture);
    map.pixels_mut().for_each(|pixel| pixel.0[0] /= 86);
    map
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    if from.is_file() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}
