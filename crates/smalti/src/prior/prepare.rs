//! What a stage-2 training needs before its first step: the network's shape, and the codes of all pictures.

use super::codes::CodeSet;
use super::condition::{ClassCondition, Condition, StartToken};
use super::config::PriorConfig;
use super::recipe::ConditionKind;
use super::train::PriorJob;
use crate::data::{self, Dataset};
use crate::error::{Error, Result};
use crate::training::{Event, Observer, skipped_pictures};
use std::path::PathBuf;

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
    match job.recipe.training.condition {
        ConditionKind::None => Ok(Condition::None(StartToken::default())),
        ConditionKind::Class if dataset.classes.is_empty() => Err(Error::input(format!(
            "{} has no classes: put the pictures of each class into a folder of its own, or train with --condition none",
            job.recipe.training.data.display()
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
    let [rows, columns] = tokenizer.grid([job.recipe.training.size; 2]);
    let chosen = &job.recipe.network;
    let needed = match &condition {
        Condition::Class(condition) => condition.classes,
        Condition::None(start) => start.start_token + 1,
    };
    let config = PriorConfig {
        layers: chosen.layers,
        heads: chosen.heads,
        width: chosen.width,
        rows,
        columns,
        block_size: rows
            .saturating_mul(columns)
            .saturating_add(condition.length())
            - 1,
        vocabulary_size: tokenizer.codes().max(needed),
        embedding_dropout: chosen.embedding_dropout,
        residual_dropout: chosen.residual_dropout,
        attention_dropout: chosen.attention_dropout,
        unmasked_prefix: 0,
        condition,
    };
    config.check()?;
    Ok(config)
}

/// Makes the codes of a data set, or finds them in the run folder.
pub(super) struct CodeMaker<'a> {
    pub(super) job: &'a PriorJob,
}

impl CodeMaker<'_> {
    fn file(&self, split: &str) -> PathBuf {
        self.job
            .out
            .join("codes")
            .join(format!("{split}.safetensors"))
    }

    /// What codes depend on besides the tokenizer: kept ones are only good if it is the same.
    fn origin(&self, dataset: &Dataset, flip: bool) -> String {
        let training = &self.job.recipe.training;
        serde_json::json!({
            "data": training.data,
            "pictures": dataset.len(),
            "size": training.size,
            "enlarge": training.enlarge,
            "background": training.background,
            "validation": training.validation,
            "seed": training.seed,
            "flip": flip,
        })
        .to_string()
    }

    /// The codes of a split: those of the continued run if they were made the same way, else computed anew.
    pub(super) fn codes(
        &self,
        split: &str,
        dataset: &Dataset,
        flip: bool,
        observer: &mut dyn Observer,
    ) -> Result<CodeSet> {
        let (path, origin) = (self.file(split), self.origin(dataset, flip));
        if self.job.resume && path.is_file() {
            let set = CodeSet::load(&path)?;
            set.check_tokenizer(&self.job.tokenizer, &path)?;
            if set.origin == origin && set.tokenizer_hash == self.job.tokenizer.tokenizer_hash() {
                return Ok(set);
            }
        }
        let mut set = self.tokenize(dataset, flip, observer)?;
        set.origin = origin;
        Ok(set)
    }

    /// Keeps codes in the run folder.
    pub(super) fn keep(&self, split: &str, set: &CodeSet) -> Result<()> {
        let path = self.file(split);
        if set.is_empty() {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        }
        set.save(&path)
    }

    fn tokenize(
        &self,
        dataset: &Dataset,
        flip: bool,
        observer: &mut dyn Observer,
    ) -> Result<CodeSet> {
        let training = &self.job.recipe.training;
        let model = &self.job.tokenizer;
        let [rows, columns] = model.tokenizer_config.grid([training.size; 2]);
        let mut set = CodeSet::new(model, rows, columns);
        for (index, items) in dataset.items.chunks(CHUNK).enumerate() {
            let part = Dataset {
                items: items.to_vec(),
                classes: dataset.classes.clone(),
            };
            let (mut pictures, kept, bad) =
                data::load_all(&part, &training.transform(), training.background)?;
            for note in skipped_pictures(&bad) {
                observer.event(Event::Note(note));
            }
            // -1 where a picture has no class.
            let class = |&item: &usize| part.items[item].class.map_or(-1, |class| class as i64);
            let mut classes: Vec<i64> = kept.iter().map(class).collect();
            if flip {
                let mirrored: Vec<_> = pictures
                    .iter()
                    .map(|picture| data::mirrored(picture, training.size))
                    .collect();
                pictures.extend(mirrored);
                classes.extend(classes.clone());
            }
            set.encode(model, &pictures, training.size);
            set.classes.extend(classes);
            let done = index * CHUNK + items.len();
            observer.event(Event::Note(format!(
                "codes of {done} of {} pictures computed",
                dataset.len()
            )));
        }
        if dataset.classes.is_empty() {
            set.classes.clear();
        }
        Ok(set)
    }
}
