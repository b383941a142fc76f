//! What a stage-2 training needs before its first step: the network's shape, and the codes of all pictures.

use super::condition::{
    ClassCondition, CodesOfPicture, Condition, CoordCondition, DepthCondition, EdgesCondition,
    LayoutCondition, LowresCondition, PoseCondition, SegmentationCondition, StartToken,
    TextCondition,
};
use super::config::PriorConfig;
use super::maker::SequenceMaker;
use super::recipe::ConditionKind;
use super::source::{ConditionSource, Material};
use super::squares::{Cutter, Squares};
use super::store::{StoreWriter, StoredCodes};
use super::train::PriorJob;
use crate::counted;
use crate::data::{self, BadFile, Dataset, Kind, KindName};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::training::{Event, Observer, skipped_pictures};
use std::path::PathBuf;

/// Squares that are held in memory at a time while codes are computed, mirrored ones not counted.
const CHUNK: usize = 2048;

/// How many pictures that cannot be used an error names.
const NAMED: usize = 3;

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

/// The condition that a training is asked for.
///
/// # Errors
/// Data, settings or tokenizers that do not go with it.
pub(super) fn condition(
    job: &PriorJob,
    material: &Material,
    dataset: &Dataset,
) -> Result<Condition> {
    let training = &job.recipe.training;
    Ok(match training.condition {
        ConditionKind::None => Condition::None(StartToken::default()),
        ConditionKind::Class => Condition::Class(classes(job, dataset)?),
        ConditionKind::Coord => Condition::Coord(coordinates(job)),
        ConditionKind::Segmentation => Condition::Segmentation(segmentation(job)?),
        ConditionKind::Depth => {
            let (codes, kind) = codes_of_picture(job, KindName::Depth)?;
            let form = match kind {
                Kind::Depth { form } => form,
                _ => data::DepthForm::Auto,
            };
            Condition::Depth(DepthCondition { form, codes })
        }
        ConditionKind::Edges => Condition::Edges(EdgesCondition {
            codes: codes_of_picture(job, KindName::Pictures)?.0,
        }),
        ConditionKind::Pose => Condition::Pose(PoseCondition {
            codes: codes_of_picture(job, KindName::Pictures)?.0,
        }),
        ConditionKind::Lowres => Condition::Lowres(LowresCondition {
            factor: training.lowres_factor,
            codes: codes_of_picture(job, KindName::Pictures)?.0,
        }),
        ConditionKind::Layout => Condition::Layout(layout(job, material)?),
        ConditionKind::Text => Condition::Text(text(job, material)?),
    })
}

fn classes(job: &PriorJob, dataset: &Dataset) -> Result<ClassCondition> {
    if dataset.classes.is_empty() {
        return Err(Error::input(format!(
            "{} has no classes: put the pictures of each class into a folder of its own, or train with --condition none",
            job.recipe.training.data.display()
        )));
    }
    if let Some(item) = dataset.items.iter().find(|item| item.class.is_none()) {
        return Err(Error::file(
            &item.path,
            "this picture has no class: move it into a class's folder",
        ));
    }
    Ok(ClassCondition {
        classes: dataset.classes.len(),
        names: dataset.classes.clone(),
    })
}

/// As many steps as codes, as the authors have it.
fn coordinates(job: &PriorJob) -> CoordCondition {
    let tokenizer = &job.tokenizer.tokenizer_config;
    let patches = job.recipe.training.size / tokenizer.factor();
    CoordCondition {
        levels: tokenizer.codes(),
        factor: tokenizer.factor(),
        rows: patches,
        columns: patches,
    }
}

fn segmentation(job: &PriorJob) -> Result<SegmentationCondition> {
    let (codes, kind) = codes_of_picture(job, KindName::Labels)?;
    let Kind::Labels { classes, ignore } = kind else {
        return Err(Error::input("the condition's tokenizer has no classes"));
    };
    Ok(SegmentationCondition {
        classes,
        ignore_value: ignore,
        codes,
    })
}

/// The codes of a second picture, and what the tokenizer that makes them reads.
fn codes_of_picture(job: &PriorJob, wanted: KindName) -> Result<(CodesOfPicture, Kind)> {
    let training = &job.recipe.training;
    let own = job.condition_tokenizer.as_ref();
    let tokenizer = own.unwrap_or(&job.tokenizer);
    let kind = tokenizer.data_kind()?;
    if kind.name() != wanted {
        let found = match own {
            Some(_) => format!(
                "that of --condition-tokenizer is of {}",
                kind.name().label()
            ),
            None => "name one with --condition-tokenizer".to_string(),
        };
        return Err(Error::input(format!(
            "this condition needs a tokenizer of {}: {found}",
            wanted.label()
        )));
    }
    let shape = &tokenizer.tokenizer_config;
    let size = training.condition_size;
    let codes = CodesOfPicture::new(shape, own.is_some(), training.size, size)?;
    Ok((codes, kind))
}

fn layout(job: &PriorJob, material: &Material) -> Result<LayoutCondition> {
    let training = &job.recipe.training;
    let Some(objects) = &material.objects else {
        return Err(Error::input("there are no annotations of objects"));
    };
    let names = objects.names();
    let mut all = objects.pictures.iter().flat_map(|picture| &picture.objects);
    let mut condition = LayoutCondition {
        classes: names.len(),
        names,
        places: training.layout_places,
        max_objects: training.layout_objects,
        token_count: training.layout_tokens,
        encode_crop: training.layout_crop,
        use_group_parameter: training.layout_groups,
        // Only Open Images knows of such.
        use_additional_parameters: all
            .any(|object| object.is_occluded || object.is_depiction || object.is_inside),
    };
    if condition.token_count == 0 {
        let codes = job.tokenizer.tokenizer_config.codes();
        condition.token_count = codes.max(condition.least_tokens());
    }
    condition.check(condition.token_count).map_err(|error| {
        Error::input(format!(
            "the layout cannot be told (layout_tokens, layout_objects): {error}"
        ))
    })?;
    Ok(condition)
}

fn text(job: &PriorJob, material: &Material) -> Result<TextCondition> {
    let Some(encoder) = &material.encoder else {
        return Err(Error::input("there is no text encoder"));
    };
    Ok(TextCondition {
        vectors: job.recipe.training.text_vectors,
        length: encoder.width(),
        encoder: encoder.fingerprint().to_string(),
        droppable: job.recipe.training.condition_dropout > 0.0,
    })
}

pub(super) fn network(job: &PriorJob, condition: Condition) -> Result<PriorConfig> {
    let tokenizer = &job.tokenizer.tokenizer_config;
    let [rows, columns] = tokenizer.grid([job.recipe.training.size; 2]);
    let chosen = &job.recipe.network;
    let tokens = tokenizer.codes().max(condition.vocabulary());
    let with_nothing = job.recipe.training.condition_dropout > 0.0 && condition.tokens_before() > 0;
    let config = PriorConfig {
        network: chosen.architecture(),
        layers: chosen.layers,
        heads: chosen.heads,
        width: chosen.width,
        rows,
        columns,
        block_size: rows
            .saturating_mul(columns)
            .saturating_add(condition.length())
            - 1,
        vocabulary_size: tokens.saturating_add(usize::from(with_nothing)),
        embedding_dropout: chosen.embedding_dropout,
        residual_dropout: chosen.residual_dropout,
        attention_dropout: chosen.attention_dropout,
        unmasked_prefix: match chosen.unmasked_condition {
            true => condition.length(),
            false => 0,
        },
        order: chosen.order,
        nothing_token: with_nothing.then_some(tokens),
        condition,
    };
    config.check()?;
    Ok(config)
}

/// A part of a data set, and how it is used.
pub(super) struct Split<'a> {
    /// What its file is called.
    pub(super) name: &'static str,
    pub(super) dataset: &'a Dataset,
    pub(super) source: ConditionSource<'a>,
    /// Whether mirrored squares are added.
    pub(super) flip: bool,
    /// Squares per picture.
    pub(super) crops: usize,
}

/// Makes the codes of a data set, or finds them in the run folder.
pub(super) struct CodeMaker<'a> {
    pub(super) job: &'a PriorJob,
    pub(super) config: &'a PriorConfig,
}

impl CodeMaker<'_> {
    fn file(&self, split: &Split<'_>) -> PathBuf {
        self.job
            .out
            .join("codes")
            .join(format!("{}.safetensors", split.name))
    }

    /// What codes depend on besides the tokenizer: kept ones are only good if it is the same.
    fn origin(&self, split: &Split<'_>) -> String {
        let training = &self.job.recipe.training;
        let mut origin = serde_json::json!({
            "data": training.data,
            "pictures": split.dataset.len(),
            "size": training.size,
            "enlarge": training.enlarge,
            "background": training.background,
            "validation": training.validation,
            "seed": training.seed,
            "flip": split.flip,
        });
        // What came later is only said where it is used, so that older runs keep their codes.
        if training.resize != 0 {
            origin["resize"] = training.resize.into();
        }
        if split.crops > 1 {
            origin["crops"] = split.crops.into();
        }
        let condition = &self.config.condition;
        if !matches!(condition, Condition::None(_) | Condition::Class(_)) {
            let own = self.job.condition_tokenizer.as_ref();
            origin["condition"] = serde_json::to_value(condition).unwrap_or_default();
            origin["condition_data"] = serde_json::json!(training.condition_data);
            origin["condition_tokenizer"] = own.map(Model::tokenizer_hash).into();
        }
        origin.to_string()
    }

    fn cutter<'s>(&self, split: &'s Split<'_>) -> Cutter<'s> {
        let training = &self.job.recipe.training;
        Cutter {
            transform: training.transform(),
            crops: split.crops,
            seed: training.seed,
            background: training.background,
            companions: split.source.companions(&self.config.condition),
        }
    }

    /// The codes that a continued run has, if they were made the same way.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn kept(&self, split: &Split<'_>) -> Result<Option<StoredCodes>> {
        let path = self.file(split);
        if !self.job.resume || !path.is_file() {
            return Ok(None);
        }
        let model = &self.job.tokenizer;
        let stored = StoredCodes::open(&path, model)?;
        let grid = [self.config.rows, self.config.columns];
        Ok(stored
            .are(&self.origin(split), model, grid)
            .then_some(stored))
    }

    /// Refuses pictures of which none can be used.
    pub(super) fn require_readable(&self, split: &Split<'_>) -> Result<()> {
        match self.cutter(split).all_bad(&split.dataset.items)? {
            Some(bad) => Err(data::none_readable(split.dataset.len(), Some(&bad))),
            None => Ok(()),
        }
    }

    /// Computes codes and keeps them in the run folder, which must exist. `None` if no picture could be used.
    ///
    /// # Errors
    /// Whatever the disk says, and a condition that cannot be made.
    pub(super) fn make(
        &self,
        split: &Split<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Option<StoredCodes>> {
        let path = self.file(split);
        let folder = self.job.out.join("codes");
        std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
        let mut writer = StoreWriter::new(&folder);
        let cutter = self.cutter(split);
        let items = &split.dataset.items;
        let chunk = (CHUNK / split.crops.max(1)).max(1);
        let mut skipped = Vec::new();
        for (index, part) in items.chunks(chunk).enumerate() {
            let (squares, bad) = cutter.cut(part, index * chunk)?;
            for note in skipped_pictures(&bad) {
                observer.event(Event::Note(note));
            }
            skipped.extend(bad);
            if cutter.companions.is_some() {
                self.require_most(&skipped, items.len())?;
            }
            self.add(split, squares, &mut writer)?;
            observer.event(Event::Note(format!(
                "codes of {} of {} computed",
                index * chunk + part.len(),
                counted(items.len(), "picture")
            )));
        }
        let model = &self.job.tokenizer;
        match writer.finish(&path, self.origin(split), model)? {
            true => StoredCodes::open(&path, model).map(Some),
            false => Ok(None),
        }
    }

    /// Refuses pictures of which most have a condition that does not fit: a training on the few others is not the one
    /// that was asked for. One or two are never most: they may be all that were held back.
    fn require_most(&self, skipped: &[BadFile], pictures: usize) -> Result<()> {
        if skipped.len() < NAMED || 2 * skipped.len() <= pictures {
            return Ok(());
        }
        let named = skipped.iter().take(NAMED);
        let named = named.map(|(path, reason)| format!("{}: {reason}", path.display()));
        Err(Error::input(format!(
            "more than half of {} cannot be used with their conditions: {}; the files in {} must have the proportions \
             of their pictures, and label maps no other labels than the tokenizer of the condition",
            counted(pictures, "picture"),
            named.collect::<Vec<_>>().join("; "),
            self.job.recipe.training.condition_data.display()
        )))
    }

    fn add(&self, split: &Split<'_>, mut squares: Squares, writer: &mut StoreWriter) -> Result<()> {
        if squares.is_empty() {
            return Ok(());
        }
        if split.flip {
            squares.add_mirrored();
        }
        let tokenizer = &self.job.tokenizer;
        let maker = SequenceMaker {
            tokenizer,
            condition: &self.config.condition,
            condition_tokenizer: self.job.condition_tokenizer.as_ref().unwrap_or(tokenizer),
            source: &split.source,
            seed: self.job.recipe.training.seed,
        };
        let mut set = maker.make(&squares)?;
        if !split.dataset.classes.is_empty() {
            // -1 where a picture has no class.
            let class = |item: usize| split.dataset.items[item].class;
            let number = |item: usize| class(item).map_or(-1, |class| class as i64);
            set.classes = squares.cuts.iter().map(|cut| number(cut.item)).collect();
        }
        writer.add(&set)
    }
}
