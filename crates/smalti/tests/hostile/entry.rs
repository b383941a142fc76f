//! The ways in for files from strangers, each for the bytes of one file. The tests and the fuzz targets share them.

#![allow(dead_code)]

use smalti::checkpoint::{MappedTensors, foreign, read_tensors};
use smalti::data::{Dataset, read_image};
use smalti::metrics::network::read_features;
use smalti::model::{self, Format, Model};
use smalti::prior::{CodeSet, PriorRecipe};
use smalti::text::{Captions, Tokenizer};
use smalti::tokenizer::TokenizerRecipe;
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
            if let Ok(Some(rows)) = rows
                && rows.count() > 0
            {
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

/// Captions of `a.png` and `b.png`, with commas or with tabs.
pub fn caption_table(place: &Place, bytes: &[u8]) -> Result<()> {
    place.file("a.png", b"");
    place.file("b.png", b"");
    let folder = place.0.path();
    let dataset = Dataset::open(folder)?;
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
