//! What a stage-2 training needs before its first step: the network's shape, and the codes of all pictures.

use super::codes::CodeSet;
use super::condition::{ClassCondition, Condition, StartToken};
use super::config::PriorConfig;
use super::train::{ConditionKind, PriorJob};
use crate::data::{self, Dataset};
use crate::error::{Error, Result};
use crate::tokenizer::train::report_bad;
use crate::training::{Event, Observer, Run};

/// Pictures that are held in memory at a time while codes are computed.
const CHUNK: usize = 2048;

/// The picture size: asked for, or the one the tokenizer was trained on.
pub(super) fn picture_size(job: &PriorJob) -> Result<usize> {
    let config = &job.tokenizer.tokenizer_config;
    let trained = job
        .tokenizer
        .info
        .recipe
        .get("size")
        .and_then(serde_json::Value::as_u64);
    let size = match (job.recipe.training.size, trained) {
        (0, Some(trained)) => trained as usize,
        (0, None) => config.resolution,
        (size, _) => size,
    };
    if size == 0 || !size.is_multiple_of(config.factor()) {
        return Err(Error::input(format!(
            "size is {size}; it must be a multiple of {}, the tokenizer's downsampling factor",
            config.factor()
        )));
    }
    Ok(size)
}

pub(super) fn condition(job: &PriorJob, dataset: &Dataset) -> Result<Condition> {
    match job.condition {
        ConditionKind::None => Ok(Condition::None(StartToken::default())),
        ConditionKind::Class if dataset.classes.is_empty() => Err(Error::input(format!(
            "{} has no classes: put the pictures of each class into a folder of its own, or train with --condition none",
            job.data.display()
        ))),
        ConditionKind::Class => {
            if let Some(item) = dataset.items.iter().find(|item| item.class.is_none()) {
                return Err(Error::file(
                    &item.path,
                    "this picture has no class: move it into a class's folder",
                ));
            }
            Ok(Condition::Class(ClassCondition {
                classes: dataset.classes.len(),
                names: dataset.classes.clone(),
            }))
        }
    }
}

pub(super) fn network(job: &PriorJob, condition: Condition) -> Result<PriorConfig> {
    let tokenizer = &job.tokenizer.tokenizer_config;
    let side = job.recipe.training.size / tokenizer.factor();
    let chosen = &job.recipe.network;
    let needed = match &condition {
        Condition::Class(condition) => condition.classes,
        Condition::None(start) => start.start_token + 1,
    };
    let config = PriorConfig {
        layers: chosen.layers,
        heads: chosen.heads,
        width: chosen.width,
        rows: side,
        columns: side,
        block_size: side * side + condition.length() - 1,
        vocabulary_size: tokenizer.codebook_size.max(needed),
        embedding_dropout: chosen.embedding_dropout,
        residual_dropout: chosen.residual_dropout,
        attention_dropout: chosen.attention_dropout,
        unmasked_prefix: 0,
        condition,
    };
    config.check()?;
    Ok(config)
}

/// The codes of a split: from the run folder if they are there and made by this tokenizer, else computed and kept.
pub(super) fn codes_of(
    job: &PriorJob,
    run: &Run,
    split: &str,
    dataset: &Dataset,
    flip: bool,
    observer: &mut dyn Observer,
) -> Result<CodeSet> {
    let folder = run.folder().join("codes");
    std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
    let path = folder.join(format!("{split}.safetensors"));
    if path.is_file() {
        let set = CodeSet::load(&path)?;
        set.check_tokenizer(&job.tokenizer, &path)?;
        return Ok(set);
    }
    let set = tokenize(job, dataset, flip, observer)?;
    set.save(&path)?;
    Ok(set)
}

fn tokenize(
    job: &PriorJob,
    dataset: &Dataset,
    flip: bool,
    observer: &mut dyn Observer,
) -> Result<CodeSet> {
    let training = &job.recipe.training;
    let device = job
        .tokenizer
        .tokenizer
        .post_quant_conv
        .weight
        .val()
        .device();
    let side = training.size / job.tokenizer.tokenizer_config.factor();
    let mut set = CodeSet::new(&job.tokenizer, side, side);
    for (index, items) in dataset.items.chunks(CHUNK).enumerate() {
        let part = Dataset {
            items: items.to_vec(),
            classes: dataset.classes.clone(),
        };
        let (mut pictures, kept, bad) =
            data::load_all(&part, &training.transform(), training.background)?;
        report_bad(&bad, observer);
        let mut classes: Vec<i64> = kept
            .iter()
            .filter_map(|&item| part.items[item].class.map(|class| class as i64))
            .collect();
        if flip {
            let mirrored: Vec<Vec<u8>> = pictures
                .iter()
                .map(|picture| mirror(picture, training.size))
                .collect();
            pictures.extend(mirrored);
            classes.extend(classes.clone());
        }
        let made = CodeSet::encode(&job.tokenizer, &pictures, training.size, &device, |_| {});
        set.codes.extend(made.codes);
        set.classes.extend(classes);
        let done = (index * CHUNK + items.len()).min(dataset.len());
        observer.event(Event::Note(format!(
            "codes of {done} of {} pictures computed",
            dataset.len()
        )));
    }
    Ok(set)
}

fn mirror(picture: &[u8], size: usize) -> Vec<u8> {
    picture
        .chunks(size * 3)
        .flat_map(|row| row.chunks(3).rev().flatten())
        .copied()
        .collect()
}
