//! What conditions are made from, beside the pictures themselves: files of the same names, annotations of objects,
//! captions.

use super::annotations::annotated;
use super::condition::layout::read_objects;
use super::condition::{Condition, TextCondition};
use super::recipe::{ConditionKind, PriorTraining};
use super::squares::Companions;
use crate::data::{Dataset, Item, Object, ObjectSet, companions};
use crate::error::{Error, Result};
use crate::text::{Captions, TextEncoder};
use std::path::{Path, PathBuf};

/// What the condition of every picture of a data set is made from.
pub enum ConditionSource<'a> {
    /// The picture, where it was cut, or its class.
    Picture,
    /// A file beside each.
    Files(Vec<PathBuf>),
    /// The objects in each.
    Objects(Vec<Vec<Object>>),
    /// What is said of each, and what makes vectors of that.
    Captions(Captions, &'a TextEncoder),
}

/// What a training reads its conditions from.
pub struct Material {
    /// Where pictures with objects are, and which.
    pub objects: Option<ObjectSet>,
    pub encoder: Option<TextEncoder>,
    data: PathBuf,
    /// Where the condition's own data are.
    given: PathBuf,
}

impl ConditionSource<'_> {
    /// The files, as those who cut squares from them want them.
    pub fn companions(&self, condition: &Condition) -> Option<Companions<'_>> {
        let kind = condition.second_picture()?.kind;
        match self {
            Self::Files(paths) => Some(Companions { kind, paths }),
            _ => None,
        }
    }
}

impl Material {
    /// Reads what `training` names.
    ///
    /// # Errors
    /// Annotations or an encoder that cannot be read, or that are not named.
    pub fn open(training: &PriorTraining) -> Result<Self> {
        let given = training.condition_data.clone();
        let named = |what: &str, setting: &str, path: &Path| -> Result<()> {
            if path.as_os_str().is_empty() {
                return Err(Error::input(format!("say with {setting} where {what}")));
            }
            Ok(())
        };
        let (mut objects, mut encoder) = (None, None);
        if training.condition == ConditionKind::Layout {
            named("the annotations of objects are", "--condition-data", &given)?;
            let most = training.layout_objects;
            objects = Some(annotated(&given, &training.data, most)?);
        }
        if training.condition == ConditionKind::Text {
            let folder = &training.text_encoder;
            named("the text encoder is", "--set text_encoder=DIR", folder)?;
            encoder = Some(TextEncoder::load(folder)?);
        }
        Ok(Self {
            objects,
            encoder,
            data: training.data.clone(),
            given,
        })
    }

    /// What a model needs to measure pictures that are named one by one. `encoder` is the folder of its text encoder.
    ///
    /// # Errors
    /// An encoder that is not named, cannot be read, or is another than the model was trained with.
    pub fn for_pictures(
        condition: &Condition,
        given: Option<&Path>,
        encoder: Option<&Path>,
    ) -> Result<Self> {
        let encoder = match (condition, encoder) {
            (Condition::Text(text), Some(folder)) => Some(encoder_of(text, folder)?),
            (Condition::Text(_), None) => {
                return Err(Error::input(
                    "this prior is conditioned on texts: say with --text-encoder where the text encoder is",
                ));
            }
            _ => None,
        };
        Ok(Self {
            objects: None,
            encoder,
            data: PathBuf::new(),
            given: given.unwrap_or(Path::new("")).to_path_buf(),
        })
    }

    /// The pictures of a training: where objects are annotated, those that have some.
    ///
    /// # Errors
    /// Data that cannot be opened.
    pub fn dataset(&self) -> Result<Dataset> {
        match &self.objects {
            Some(objects) => Ok(objects.dataset()),
            None => Dataset::open(&self.data),
        }
    }

    /// What the condition of each picture of a data set is made from; it is what [`Material::dataset`] gave, or a part
    /// of it.
    ///
    /// # Errors
    /// Pictures to which nothing belongs; the first are named.
    pub fn source(&self, condition: &Condition, dataset: &Dataset) -> Result<ConditionSource<'_>> {
        if let Some(files) = self.files(condition, dataset, &self.data)? {
            return Ok(ConditionSource::Files(files));
        }
        if let Some(objects) = &self.objects {
            let found = objects.objects_of(dataset)?;
            let found = found.into_iter().map(<[Object]>::to_vec).collect();
            return Ok(ConditionSource::Objects(found));
        }
        let Some(encoder) = &self.encoder else {
            return Ok(ConditionSource::Picture);
        };
        let captions = match self.given.is_file() {
            true => Captions::from_table(dataset, &self.data, &self.given)?,
            false => Captions::from_files(dataset, &self.data)?,
        };
        Ok(ConditionSource::Captions(captions, encoder))
    }

    /// [`Material::source`] of one picture that lies anywhere: its companion has its name in the folder that was given,
    /// its objects are in a file of its name there or in the file that was given, and its caption lies beside it.
    ///
    /// # Errors
    /// A picture to which nothing belongs.
    pub fn source_of(&self, condition: &Condition, picture: &Path) -> Result<ConditionSource<'_>> {
        let dataset = Dataset {
            items: vec![Item {
                path: picture.to_path_buf(),
                class: None,
            }],
            classes: Vec::new(),
        };
        if let Condition::Layout(layout) = condition {
            self.require_given(condition)?;
            let name = picture.file_stem().unwrap_or_default();
            let file = match self.given.is_dir() {
                true => self.given.join(name).with_extension("json"),
                false => self.given.clone(),
            };
            let objects = read_objects(&file, layout)?;
            return Ok(ConditionSource::Objects(vec![objects]));
        }
        if let Some(files) = self.files(condition, &dataset, picture)? {
            return Ok(ConditionSource::Files(files));
        }
        let Some(encoder) = &self.encoder else {
            return Ok(ConditionSource::Picture);
        };
        let captions = Captions::from_files(&dataset, picture)?;
        Ok(ConditionSource::Captions(captions, encoder))
    }

    /// The files beside the pictures of a data set, where the condition is made from such; `data` is what the data set
    /// was opened from.
    fn files(
        &self,
        condition: &Condition,
        dataset: &Dataset,
        data: &Path,
    ) -> Result<Option<Vec<PathBuf>>> {
        let picture = condition.second_picture();
        if picture.is_none_or(|picture| picture.made.is_some()) {
            return Ok(None);
        }
        self.require_given(condition)?;
        companions(dataset, data, &self.given).map(Some)
    }

    fn require_given(&self, condition: &Condition) -> Result<()> {
        if !self.given.as_os_str().is_empty() {
            return Ok(());
        }
        Err(Error::input(format!(
            "the condition is {}: say with --condition-data in which folder that is of each picture, under the same name",
            condition.name()
        )))
    }
}

/// The encoder that a prior was trained with.
///
/// # Errors
/// One that cannot be read, or is another.
pub fn encoder_of(condition: &TextCondition, folder: &Path) -> Result<TextEncoder> {
    let encoder = TextEncoder::load(folder)?;
    if encoder.width() == condition.length
        && (condition.encoder.is_empty() || encoder.fingerprint() == condition.encoder)
    {
        return Ok(encoder);
    }
    Err(Error::file(
        folder,
        "this is another text encoder than the one that this prior was trained with",
    ))
}
