//! The condition's part of a model: the tokenizer of a second picture in the model's file, and from what a person gives
//! (a class, a picture, a layout, a text) to what the prior is told.

use super::{Model, ModelInfo};
use crate::checkpoint::{TensorMap, load_parameters};
use crate::data::{Kind, Object, Raster, reason};
use crate::error::{Error, Result};
use crate::initializer::Initializer;
use crate::prior::PriorConfig;
use crate::prior::condition::layout::{LayoutCondition, PictureLayout, read_objects};
use crate::prior::condition::{Condition, Conditioning, Fixed, SecondPicture};
use crate::prior::source::encoder_of;
use crate::tokenizer::{Tokenizer, TokenizerConfig};
use image::RgbImage;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What stands before the keys of the condition's tokenizer.
pub const PREFIX: &str = "condition.";

/// What a person gives for one picture. A prior needs the one that it is conditioned on, and takes no other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// A class, by name or number.
    pub class: Option<String>,
    /// A file with the second picture: a label map, depth, edges, a pose, or what is to be made larger.
    pub picture: Option<PathBuf>,
    /// A file with the objects and their boxes,
    pub layout: Option<PathBuf>,
    /// or the objects themselves.
    pub objects: Option<Vec<Object>>,
    pub text: Option<String>,
    /// The folder of the text encoder.
    pub text_encoder: Option<PathBuf>,
    /// Of what is drawn by chance, the order of objects.
    pub seed: u64,
}

/// What a picture is drawn under.
#[derive(Clone)]
pub struct GivenCondition {
    /// As the prior reads it.
    pub conditioning: Arc<dyn Conditioning>,
    /// To look at, as large as the picture that is drawn; classes, texts and coordinates have none.
    pub picture: Option<RgbImage>,
    /// Width and height of the file, and of the picture that it was brought to, where a person would not expect that.
    pub fitted: Option<[(u32, u32); 2]>,
}

/// Whether a prior's condition goes with the tokenizer of its pictures.
pub(super) fn check(config: &PriorConfig, tokenizer: &TokenizerConfig) -> Result<()> {
    if let Some(token) = config.nothing_token
        && token < tokenizer.codes()
    {
        return Err(Error::input(format!(
            "nothing_token is {token}, which is also one of the {} codes",
            tokenizer.codes()
        )));
    }
    let Some(picture) = config.condition.second_picture() else {
        return Ok(());
    };
    let own = picture.codes.tokenizer.as_deref();
    let channels = own.unwrap_or(tokenizer).in_channels;
    if channels == picture.kind.channels() {
        return Ok(());
    }
    Err(Error::input(format!(
        "the condition is of {} with {} channels, but the tokenizer of the pictures, which is to read them, reads \
         {channels}",
        picture.kind.name().label(),
        picture.kind.channels()
    )))
}

/// The tokenizer of the condition's pictures, where it has one of its own.
pub(super) fn load(
    init: &mut Initializer,
    condition: &Condition,
    tensors: &TensorMap,
) -> Result<Option<Box<Model>>> {
    let Some(picture) = condition.second_picture() else {
        return Ok(None);
    };
    let Some(config) = picture.codes.tokenizer.as_deref() else {
        return Ok(None);
    };
    let tokenizer = Tokenizer::new(init, config);
    let tokenizer = load_parameters(tokenizer, tensors, PREFIX, str::to_string)?;
    Ok(Some(Box::new(Model {
        tokenizer_config: config.clone(),
        tokenizer,
        prior: None,
        condition: None,
        info: ModelInfo {
            recipe: how_read(picture.kind),
            ..ModelInfo::default()
        },
    })))
}

/// The settings by which [`Model::data_kind`] knows what a tokenizer reads.
fn how_read(kind: Kind) -> serde_json::Value {
    let (ignore, form) = match kind {
        Kind::Pictures => (None, None),
        Kind::Labels { ignore, .. } => (ignore, None),
        Kind::Depth { form } => (None, Some(form)),
    };
    json!({"data_kind": kind.name(), "ignore_value": ignore, "depth_form": form.unwrap_or_default()})
}

impl Model {
    /// What a picture of `grid` codes is drawn under.
    ///
    /// # Errors
    /// A model without a prior, what its prior needs and is not given, what it does not take, and files that cannot be
    /// read.
    pub fn conditioning(&self, given: &Given, grid: [usize; 2]) -> Result<GivenCondition> {
        let (config, _) = self.require_prior()?;
        let condition = &config.condition;
        given.refuse_others(condition)?;
        if let Some(picture) = condition.second_picture() {
            let path = needed(&given.picture, condition, "a picture with --condition")?;
            return self
                .of_file(picture, path, grid)
                .map_err(|error| Error::file(path, reason(error)));
        }
        let conditioning: Arc<dyn Conditioning> = match condition {
            Condition::Coord(coordinates) => {
                Arc::new(coordinates.of_picture(self.tokenizer_config.pixels_of(grid))?)
            }
            Condition::Layout(layout) => return self.of_layout(layout, given, grid),
            Condition::Text(_) => self.of_text(given)?,
            _ => {
                let class = condition.class(given.class.as_deref())?;
                Arc::new(Fixed(condition.tokens(class)?))
            }
        };
        Ok(GivenCondition {
            conditioning,
            picture: None,
            fitted: None,
        })
    }

    fn of_layout(
        &self,
        condition: &LayoutCondition,
        given: &Given,
        grid: [usize; 2],
    ) -> Result<GivenCondition> {
        let (config, _) = self.require_prior()?;
        let what = "a file of objects with --condition";
        let objects = match &given.objects {
            Some(objects) => objects.clone(),
            None => read_objects(needed(&given.layout, &config.condition, what)?, condition)?,
        };
        let layout = PictureLayout::new(condition, objects, Some(given.seed))?;
        let [height, width] = self.tokenizer_config.pixels_of(grid);
        Ok(GivenCondition {
            picture: Some(layout.picture((width as u32, height as u32))?),
            conditioning: Arc::new(layout),
            fitted: None,
        })
    }

    /// A file as large as the picture that is drawn: scaled until it covers it, and the middle taken.
    fn of_file(
        &self,
        picture: SecondPicture<'_>,
        path: &Path,
        grid: [usize; 2],
    ) -> Result<GivenCondition> {
        let (config, _) = self.require_prior()?;
        let raster = Raster::read(path, picture.kind, self.background())?;
        let [height, width] = self.tokenizer_config.pixels_of(grid);
        let (own, wanted) = (raster.dimensions(), (width as u32, height as u32));
        let same_proportions =
            u64::from(own.0) * u64::from(wanted.1) == u64::from(own.1) * u64::from(wanted.0);
        // What is to be made larger is of another size by its nature.
        let expected = own == wanted || (picture.made.is_some() && same_proportions);
        let raster = raster.covering(wanted.0, wanted.1)?;
        let raster = match picture.made {
            Some(made) => made.coarse(&raster)?,
            None => raster,
        };
        let trained = [config.rows, config.columns];
        let tokenizer = self.condition_tokenizer();
        let codes = picture
            .codes
            .of_picture(tokenizer, &raster, grid, trained)?;
        Ok(GivenCondition {
            conditioning: Arc::new(codes),
            picture: Some(raster.to_image()),
            fitted: (!expected).then_some([own, wanted]),
        })
    }

    fn of_text(&self, given: &Given) -> Result<Arc<dyn Conditioning>> {
        let (config, gpt) = self.require_prior()?;
        let Condition::Text(condition) = &config.condition else {
            return Err(Error::input("this prior is not conditioned on a text"));
        };
        let text = needed(&given.text, &config.condition, "a text with --text")?;
        let trained = self.info.recipe.get("text_encoder");
        let trained = trained.and_then(|path| path.as_str());
        let trained = trained.filter(|path| !path.is_empty()).map(PathBuf::from);
        let Some(folder) = given.text_encoder.clone().or(trained) else {
            return Err(Error::input(
                "this prior is conditioned on texts: say where the text encoder is",
            ));
        };
        let encoder = encoder_of(condition, &folder)?;
        match gpt.text_vectors(&encoder.encode(text)) {
            Some(vectors) => Ok(Arc::new(vectors)),
            None => Err(Error::file(&folder, "its vectors are of another length")),
        }
    }
}

impl Given {
    /// Refuses what this condition has no use for.
    fn refuse_others(&self, condition: &Condition) -> Result<()> {
        let pictures = condition.second_picture().is_some();
        let all = [
            (
                self.class.is_some(),
                matches!(condition, Condition::Class(_)),
                "a class",
            ),
            (self.picture.is_some(), pictures, "a picture"),
            (
                self.layout.is_some() || self.objects.is_some(),
                matches!(condition, Condition::Layout(_)),
                "a layout",
            ),
            (
                self.text.is_some(),
                matches!(condition, Condition::Text(_)),
                "a text",
            ),
        ];
        match all.into_iter().find(|(given, used, _)| *given && !used) {
            Some((_, _, what)) => Err(Error::input(format!(
                "{what} is given, but the condition of this prior is {}: {}",
                condition.name(),
                how_given(condition)
            ))),
            None => Ok(()),
        }
    }
}

/// How a person gives a condition.
fn how_given(condition: &Condition) -> &'static str {
    match condition {
        Condition::None(_) | Condition::Coord(_) => "leave it out",
        Condition::Class(_) => "give that with --class",
        Condition::Text(_) => "give that with --text",
        _ => "give that with --condition",
    }
}

/// What is given, or an error that asks for it.
fn needed<'a, T>(given: &'a Option<T>, condition: &Condition, what: &str) -> Result<&'a T> {
    given.as_ref().ok_or_else(|| {
        Error::input(format!(
            "this prior is conditioned on {}: give {what}",
            condition.name()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::parameters;
    use crate::prior::Gpt;
    use crate::prior::condition::{
        ClassCondition, CodesOfPicture, CoordCondition, SegmentationCondition, TextCondition,
        Window,
    };
    use burn::tensor::Device;
    use image::{GrayImage, Luma};

    fn tokenizer(channels: usize) -> TokenizerConfig {
        TokenizerConfig {
            resolution: 16,
            in_channels: channels,
            out_channels: channels,
            channels: 32,
            channel_multipliers: vec![1, 1, 1],
            z_channels: 8,
            codebook_size: 20,
            ..TokenizerConfig::default()
        }
    }

    /// Draws 4 × 4 codes.
    fn model(condition: Condition, nothing_token: Option<usize>) -> Model {
        let mut init = Initializer::seeded(&Device::flex(), 4);
        let own = condition.second_picture().is_some().then(|| {
            Box::new(Model {
                tokenizer: Tokenizer::new(&mut init, &tokenizer(3)),
                tokenizer_config: tokenizer(3),
                prior: None,
                condition: None,
                info: ModelInfo::default(),
            })
        });
        let config = PriorConfig {
            layers: 1,
            heads: 2,
            width: 8,
            rows: 4,
            columns: 4,
            block_size: 15 + condition.length(),
            vocabulary_size: 21,
            condition,
            nothing_token,
            ..PriorConfig::default()
        };
        config.check().unwrap();
        Model {
            tokenizer: Tokenizer::new(&mut init, &tokenizer(3)),
            tokenizer_config: tokenizer(3),
            prior: Some((config.clone(), Gpt::new(&mut init, &config).into())),
            condition: own,
            info: ModelInfo::default(),
        }
    }

    fn segmentation() -> Condition {
        Condition::Segmentation(SegmentationCondition {
            classes: 3,
            ignore_value: Some(9),
            codes: CodesOfPicture::new(&tokenizer(3), true, 16, 0).unwrap(),
        })
    }

    fn saved(model: &Model) -> Model {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        model.save(&path).unwrap();
        Model::load(&path, &Device::flex()).unwrap()
    }

    fn whole() -> Window {
        Window {
            rows: 0..4,
            columns: 0..4,
            grid: [4, 4],
        }
    }

    #[test]
    fn the_tokenizer_of_a_second_picture_is_in_the_file() {
        let model = model(segmentation(), Some(20));
        let read = saved(&model);
        let own = |model: &Model| {
            let tokenizer = &model.condition_tokenizer().tokenizer;
            parameters(tokenizer, "", str::to_string)
        };
        assert_eq!(own(&read), own(&model));
        assert_ne!(own(&read), parameters(&read.tokenizer, "", str::to_string));
        let kind = Kind::Labels {
            classes: 3,
            ignore: Some(9),
        };
        assert_eq!(read.condition_tokenizer().data_kind().unwrap(), kind);
        let nothing = read.unconditional().unwrap().unwrap();
        assert_eq!(nothing.tokens(&whole()), [20; 16]);
    }

    #[test]
    fn a_file_becomes_the_tokens_of_its_codes() {
        let model = model(segmentation(), None);
        assert!(model.unconditional().unwrap().is_none());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.png");
        let map = GrayImage::from_fn(16, 16, |x, y| Luma([((x / 4 + y / 7) % 3) as u8]));
        map.save(&path).unwrap();
        let (config, _) = model.require_prior().unwrap();
        let picture = config.condition.second_picture().unwrap();
        let raster = Raster::read(&path, picture.kind, [0; 3]).unwrap();
        let tokenizer = model.condition_tokenizer();
        let expected = picture.codes.of_squares(tokenizer, &[raster]).unwrap();
        let given = Given {
            picture: Some(path.clone()),
            ..Given::default()
        };
        let conditioning = model.conditioning(&given, [4, 4]).unwrap();
        assert_eq!(conditioning.picture.unwrap().dimensions(), (16, 16));
        assert_eq!(conditioning.fitted, None);
        assert_eq!(conditioning.conditioning.tokens(&whole()), expected);
        // A larger picture: the map is scaled to it.
        let large = model.conditioning(&given, [6, 8]).unwrap();
        assert_eq!(large.conditioning.tokens(&whole()).len(), 16);
        assert_eq!(large.fitted, Some([(16, 16), (32, 24)]));
        let refused = |given: &Given| match model.conditioning(given, [4, 4]) {
            Ok(_) => panic!("not refused"),
            Err(error) => error.to_string(),
        };
        assert!(refused(&Given::default()).contains("segmentation: give a picture"));
        let class = Given {
            class: Some("0".into()),
            ..given.clone()
        };
        let message = refused(&class);
        assert!(
            message.contains("a class is given") && message.contains("--condition"),
            "{message}"
        );
        std::fs::write(&path, "no picture").unwrap();
        let message = refused(&given);
        assert_eq!(message.matches("map.png").count(), 1, "{message}");
    }

    #[test]
    fn classes_and_coordinates_need_no_file() {
        let classes = Condition::Class(ClassCondition {
            classes: 2,
            names: vec!["sea".into(), "land".into()],
        });
        let land = Given {
            class: Some("land".into()),
            ..Given::default()
        };
        let model_of = |condition| model(condition, None);
        let land = model_of(classes).conditioning(&land, [4, 4]).unwrap();
        assert_eq!(land.conditioning.tokens(&whole()), [1]);
        let coordinates = CoordCondition {
            levels: 20,
            factor: 8,
            rows: 2,
            columns: 2,
        };
        let model = model_of(Condition::Coord(coordinates));
        let tokens = model.conditioning(&Given::default(), [4, 4]).unwrap();
        let expected = coordinates.of_picture([16, 16]).unwrap();
        assert_eq!(tokens.conditioning.tokens(&whole()), expected.whole());
    }

    #[test]
    fn texts_have_vectors_for_none() {
        let text = |droppable| {
            Condition::Text(TextCondition {
                vectors: 2,
                length: 5,
                encoder: String::new(),
                droppable,
            })
        };
        let model_of = |droppable| saved(&model(text(droppable), None));
        assert!(model_of(false).unconditional().unwrap().is_none());
        let model = model_of(true);
        let nothing = model.unconditional().unwrap().unwrap();
        let (_, gpt) = model.require_prior().unwrap();
        let expected = gpt.vectors_without_text().unwrap().0;
        assert_eq!(nothing.prefix(), Some(expected.as_slice()));
        assert_eq!(expected.len(), 2 * 8);
        assert!(gpt.text_vectors(&[0.0; 4]).is_none());
    }

    #[test]
    fn conditions_that_do_not_go_with_the_tokenizer_are_refused() {
        let shared = Condition::Segmentation(SegmentationCondition {
            classes: 5,
            ignore_value: None,
            codes: CodesOfPicture::new(&tokenizer(3), false, 16, 0).unwrap(),
        });
        let config = |condition, nothing_token| PriorConfig {
            condition,
            nothing_token,
            ..PriorConfig::default()
        };
        let error = check(&config(shared, None), &tokenizer(3)).unwrap_err();
        assert!(error.to_string().contains("5 channels"), "{error}");
        let error = check(&config(Condition::default(), Some(19)), &tokenizer(3)).unwrap_err();
        assert!(error.to_string().contains("nothing_token is 19"), "{error}");
    }
}
