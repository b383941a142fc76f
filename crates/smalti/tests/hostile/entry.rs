//! The ways in for files from strangers, each for the bytes of one file. The tests and the fuzz targets share them.

#![allow(dead_code)]

use smalti::checkpoint::{MappedTensors, foreign, read_tensors};
use smalti::data::coco::CocoFiles;
use smalti::data::drawn::draw;
use smalti::data::open_images::{CategoryChoice, OpenImagesFiles};
use smalti::data::{Area, Dataset, Object, ObjectFilter, ObjectSet, View, read_image};
use smalti::initializer::Initializer;
use smalti::metrics::classifier::TrainedHead;
use smalti::metrics::network::read_features;
use smalti::metrics::{
    FeatureRows, FeatureStatistics, FrechetReference, PublishedStatistics, frechet_distance,
};
use smalti::model::{self, Format, Model, ModelInfo};
use smalti::prepare::pose::{Skeletons, Style};
use smalti::prior::condition::layout::{LayoutCondition, Places, picture_of_layout, read_objects};
use smalti::prior::sequences::Sequences;
use smalti::prior::{CodeSet, PriorRecipe, StoredCodes};
use smalti::text::{Captions, TextEncoder, Tokenizer};
use smalti::tokenizer::{Tokenizer as PictureTokenizer, TokenizerConfig, TokenizerRecipe};
use smalti::training::Logs;
use smalti::training::settings::{set_from_file, to_yaml};
use smalti::weights::import::import;
use smalti::{Device, Result};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Reads a file of these bytes; whether it could be read is of interest to those who know the bytes to be good.
pub type Entry = fn(&Place, &[u8]) -> Result<()>;

/// A folder for the files, because all ways in take paths.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("a temporary file can be written");
        path
    }
}

/// Other people's checkpoints, LPIPS weights and classifiers: `torch.save` files, pickles, safetensors.
pub fn checkpoint(place: &Place, bytes: &[u8]) -> Result<()> {
    let path = place.file("stranger.ckpt", bytes);
    let read = foreign::read(&path).map(drop);
    // Few files are weights of either kind; what matters is what happens to those that are not.
    let _ = import(&[path.as_path()], None);
    read
}

/// Tensors and metadata in our form.
pub fn safetensors(place: &Place, bytes: &[u8]) -> Result<()> {
    let path = place.file("stranger.safetensors", bytes);
    mapped(&path);
    read_tensors(&path).map(drop)
}

/// The same, read where it lies; its names are those of files of codes.
fn mapped(path: &Path) {
    let Ok(file) = MappedTensors::open(path) else {
        return;
    };
    for name in ["a", "codes", "classes", "condition", "texts"] {
        for rows in [file.integer_rows(name), file.float_rows(name)] {
            let Ok(Some(rows)) = rows else {
                continue;
            };
            if rows.count() > 0 {
                let last = rows.count() - 1;
                file.integers(&rows, last).for_each(drop);
            }
        }
    }
}

/// Features of pictures.
pub fn features(place: &Place, bytes: &[u8]) -> Result<()> {
    read_features(&place.file("features.npy", bytes)).map(drop)
}

/// A model file.
pub fn model_file(place: &Place, bytes: &[u8]) -> Result<()> {
    let path = place.file("model.safetensors", bytes);
    let model = Model::load(&path, &Device::flex())?;
    model.tokenizer_hash();
    model.background();
    // Any of these may be refused.
    let _ = model.require_pictures();
    if let Some((config, _)) = &model.prior {
        let _ = config.condition.tokens(Some(0));
        let _ = config.condition.class(Some("0"));
        config.positions();
        config.unconditional();
    }
    let _ = model.unconditional();
    Ok(())
}

/// The settings of a training of either stage.
pub fn yaml_recipe(place: &Place, bytes: &[u8]) -> Result<()> {
    let path = place.file("config.yaml", bytes);
    tokenizer_recipe(&path).or(prior_recipe(&path))
}

fn tokenizer_recipe(path: &Path) -> Result<()> {
    let mut recipe = TokenizerRecipe::default();
    set_from_file(&mut [&mut recipe.network, &mut recipe.training], path)?;
    recipe.check()?;
    to_yaml(&[&recipe.network, &recipe.training]).map(drop)
}

fn prior_recipe(path: &Path) -> Result<()> {
    let mut recipe = PriorRecipe::default();
    set_from_file(&mut [&mut recipe.network, &mut recipe.training], path)?;
    recipe.check()?;
    to_yaml(&[&recipe.network, &recipe.training]).map(drop)
}

/// The YAML beside a checkpoint of the authors' code.
pub fn authors_yaml(place: &Place, bytes: &[u8]) -> Result<()> {
    // As many names as it takes to be a tokenizer's file, and hardly any numbers.
    let names = [
        "encoder.conv_in.weight",
        "encoder.mid.attn_1.q.weight",
        "decoder.mid.attn_1.q.weight",
        "quantize.embedding.weight",
    ];
    let entries: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let [start, end] = [4 * index, 4 * index + 4];
            format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let length = (header.len() as u64).to_le_bytes();
    let file = [&length[..], header.as_bytes(), &[0; 16][..]].concat();
    let checkpoint = place.file("last.ckpt", &file);
    let config = place.file("project.yaml", bytes);
    match model::import(
        &checkpoint,
        Some(&config),
        Some(Format::Taming),
        &Device::flex(),
    ) {
        // The configuration was understood: only then is it found to ask for more than one number.
        Err(error) if error.to_string().contains("the configuration asks for") => Ok(()),
        other => other.map(drop),
    }
}

/// A picture.
pub fn image(place: &Place, bytes: &[u8]) -> Result<()> {
    read_image(&place.file("stranger.png", bytes), [255; 3]).map(drop)
}

/// A list of pictures, beside `a.png` and `b.png`.
pub fn list_file(place: &Place, bytes: &[u8]) -> Result<()> {
    place.file("a.png", b"");
    place.file("b.png", b"");
    let dataset = Dataset::open(&place.file("list.txt", bytes))?;
    dataset.split(0.5, 0);
    dataset.limit(3);
    Ok(())
}

/// The tokenizer of a text encoder.
pub fn tokenizer(place: &Place, bytes: &[u8]) -> Result<()> {
    let tokenizer = Tokenizer::load(&place.file("tokenizer.json", bytes))?;
    tokenizer.encode("hello  hello, wörld</s>lll 🙂");
    Ok(())
}

/// Captions of `a.png` and `b.png`, with commas or with tabs, or in files beside them.
pub fn caption_table(place: &Place, bytes: &[u8]) -> Result<()> {
    place.file("a.png", b"");
    place.file("b.png", b"");
    place.file("a.txt", bytes);
    place.file("b.txt", bytes);
    let folder = place.0.path();
    let dataset = Dataset::open(folder)?;
    if let Ok(captions) = Captions::from_files(&dataset, folder) {
        captions.draw(1, 1, 2);
    }
    let read = |name: &str| Captions::from_table(&dataset, folder, &place.file(name, bytes));
    let captions = read("captions.csv").or(read("captions.tsv"))?;
    captions.draw(0, 1, 2);
    Ok(())
}

/// A file of codes.
pub fn codes_file(place: &Place, bytes: &[u8]) -> Result<()> {
    let path = place.file("codes.safetensors", bytes);
    mapped(&path);
    let set = CodeSet::load(&path)?;
    for index in 0..set.len().min(4) {
        set.picture(index);
        set.class(index);
        set.condition(index);
        set.text(index);
    }
    Ok(())
}

/// The log of a run that is continued from step 5.
pub fn metrics(place: &Place, bytes: &[u8]) -> Result<()> {
    place.file("metrics.jsonl", bytes);
    Logs::open(place.0.path(), 5).map(drop)
}

/// A tokenizer of 16 codes.
pub fn tiny_tokenizer() -> TokenizerConfig {
    TokenizerConfig {
        resolution: 8,
        channels: 32,
        channel_multipliers: vec![1],
        z_channels: 8,
        embed_dim: 4,
        codebook_size: 16,
        ..TokenizerConfig::default()
    }
}

/// A file of codes of a training, for a codebook of 16.
pub fn stored_codes(place: &Place, bytes: &[u8]) -> Result<()> {
    let config = tiny_tokenizer();
    let mut initializer = Initializer::seeded(&Device::flex(), 1);
    let model = Model {
        tokenizer: PictureTokenizer::new(&mut initializer, &config),
        tokenizer_config: config,
        prior: None,
        condition: None,
        info: ModelInfo::default(),
    };
    let stored = StoredCodes::open(&place.file("train.safetensors", bytes), &model)?;
    stored.are("here", &model, [2, 3]);
    for index in 0..stored.count().min(4) {
        stored.codes(index);
        stored.class(index);
        stored.condition(index);
        stored.text(index);
    }
    Ok(())
}

/// The vectors of a text encoder, whose tokenizer knows the 256 bytes alone.
pub fn text_encoder(place: &Place, bytes: &[u8]) -> Result<()> {
    let tokens: Vec<String> = (0..=u8::MAX)
        .map(|byte| format!("\"<0x{byte:02X}>\":{byte}"))
        .collect();
    let steps = r#"[{"type":"Prepend","prepend":"_"},
        {"type":"Replace","pattern":{"String":" "},"content":"_"}]"#;
    let tokenizer = format!(
        r#"{{"version":"1.0","pre_tokenizer":null,"normalizer":{{"type":"Sequence","normalizers":{steps}}},
        "model":{{"type":"BPE","byte_fallback":true,"merges":[],"vocab":{{{}}}}}}}"#,
        tokens.join(",")
    );
    place.file("tokenizer.json", tokenizer.as_bytes());
    let encoder = TextEncoder::load(&place.file("vectors.safetensors", bytes))?;
    encoder.encode("hello 🙂");
    Ok(())
}

/// Objects of pictures in the form of COCO's.
pub fn coco_objects(place: &Place, bytes: &[u8]) -> Result<()> {
    let files = CocoFiles {
        annotations: vec![place.file("instances.json", bytes)],
        pictures: place.0.path().to_path_buf(),
        filter: any_number(ObjectFilter::COCO),
        crowds_are_groups: true,
    };
    laid_out(&files.read()?)
}

/// The table of the boxes of Open Images; the same bytes are tried as its table of categories too.
pub fn open_images(place: &Place, bytes: &[u8]) -> Result<()> {
    let mut files = OpenImagesFiles {
        classes: place.file("classes.csv", b"/m/cat,Cat\n/m/dog,Dog\n"),
        annotations: place.file("boxes.csv", bytes),
        pictures: place.0.path().to_path_buf(),
        filter: any_number(ObjectFilter::OPEN_IMAGES),
        choice: CategoryChoice::all(),
    };
    let boxes = files.read().and_then(|set| laid_out(&set));
    files.classes = place.file("classes.csv", bytes);
    // Few tables of boxes are categories as well.
    let _ = files.read();
    boxes
}

/// Pictures with any number of objects.
fn any_number(filter: ObjectFilter) -> ObjectFilter {
    ObjectFilter {
        min_objects: 0,
        max_objects: usize::MAX,
        ..filter
    }
}

/// The objects of some pictures, as a training and a page of it have them.
fn laid_out(set: &ObjectSet) -> Result<()> {
    let names = set.names();
    let mut condition = layout_of(names);
    condition.token_count = condition.least_tokens();
    if condition.check(condition.token_count).is_err() {
        return Ok(());
    }
    let dataset = set.dataset();
    for objects in set.objects_of(&dataset)?.into_iter().take(4) {
        seen(&condition, objects)?;
    }
    Ok(())
}

/// A layout of these categories, with all that can be told of objects.
fn layout_of(names: Vec<String>) -> LayoutCondition {
    LayoutCondition {
        classes: names.len(),
        names,
        places: Places::Boxes,
        max_objects: 8,
        token_count: 1024,
        encode_crop: true,
        use_group_parameter: true,
        use_additional_parameters: true,
    }
}

/// Objects as tokens, and the tokens to look at, from the whole picture and from a part of it.
fn seen(condition: &LayoutCondition, objects: &[Object]) -> Result<()> {
    let part = View {
        area: Area {
            x: 0.25,
            y: 0.5,
            width: 0.5,
            height: 0.25,
        },
        mirrored: true,
    };
    for view in [View::WHOLE, part] {
        let tokens = condition.tokens(objects, view, Some(1))?;
        picture_of_layout(condition, &tokens, (24, 16))?;
    }
    Ok(())
}

/// A layout that somebody wrote.
pub fn layout(place: &Place, bytes: &[u8]) -> Result<()> {
    let condition = layout_of(["cat", "dog", "7"].map(String::from).to_vec());
    let objects = read_objects(&place.file("layout.json", bytes), &condition)?;
    seen(&condition, &objects)
}

/// Key points of the people in `a.png` and `b.png`.
pub fn key_points(place: &Place, bytes: &[u8]) -> Result<()> {
    let skeletons = Skeletons::read(&place.file("keypoints.json", bytes))?;
    let picture = draw(0, 0, 8);
    for name in ["a.png", "x/b.png"] {
        // Those that are not listed, or of another size, are refused.
        let _ = skeletons.draw(Path::new(name), &picture, &Style::default());
    }
    Ok(())
}

/// What `smalti train classifier` writes.
pub fn classifier(place: &Place, bytes: &[u8]) -> Result<()> {
    let trained = TrainedHead::load(&place.file("own.classifier", bytes))?;
    let features = vec![0.5; trained.head.dimensions()];
    let rows = FeatureRows::new(&features, trained.head.dimensions(), 0)?;
    trained.head.logits(rows).map(drop)
}

/// Statistics of features that this program wrote.
pub fn statistics(place: &Place, bytes: &[u8]) -> Result<()> {
    let path = place.file("statistics.safetensors", bytes);
    let (statistics, _) = FeatureStatistics::read(&path)?;
    // Features may be so large that their distance is beyond all floats.
    let _ = frechet_distance(&statistics, &statistics);
    Ok(())
}

/// Statistics of features that others published.
pub fn published_statistics(place: &Place, bytes: &[u8]) -> Result<()> {
    let statistics = PublishedStatistics::read(&place.file("statistics.npz", bytes))?;
    let reference = FrechetReference::of_published(&statistics);
    let mut measured = FeatureStatistics::new(statistics.dimensions());
    measured.add(&vec![0.5; 2 * statistics.dimensions()])?;
    let _ = reference.distance(&measured);
    Ok(())
}
