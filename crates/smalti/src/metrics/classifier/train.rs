//! A classifier of people's own classes, from a folder with a folder of pictures for each.

use super::file::{ClassifierInfo, TrainedHead};
use super::head::LinearHead;
use crate::counted;
use crate::data::{BadFile, Dataset, Item, Transform, none_readable, read_image, square};
use crate::error::{Error, Result};
use crate::metrics::{FeatureNetwork, FeatureRows};
use crate::training::skipped_pictures;
use image::{RgbImage, imageops};
use rayon::prelude::*;
use std::path::Path;

/// Pictures that are in memory at a time.
const CHUNK: usize = 8;

/// How a classifier is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassifierTraining {
    /// Pictures are brought to middle squares of so many pixels a side first, as those that will be classified; 0: they
    /// are cut to squares but not scaled.
    pub size: usize,
    /// The part of every class that is held back, to know how good the classifier is.
    pub validation: f64,
    /// How much large weights cost; see [`LinearHead::train`].
    pub penalty: f64,
    /// Decides which pictures are held back.
    pub seed: u64,
    /// What lies behind transparent pixels.
    pub background: [u8; 3],
}

impl Default for ClassifierTraining {
    fn default() -> Self {
        Self {
            size: 0,
            validation: 0.1,
            penalty: 0.01,
            seed: 0,
            background: [255; 3],
        }
    }
}

impl ClassifierTraining {
    fn check(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.validation) {
            return Err(Error::input(format!(
                "{} of the pictures cannot be held back; it must be at least 0 and below 1",
                self.validation
            )));
        }
        if self.size > 0 {
            Transform::middle(self.size, true).check()?;
        }
        Ok(())
    }

    /// The middle square of a picture.
    fn read(&self, path: &Path) -> Result<RgbImage> {
        let picture = read_image(path, self.background)?;
        if self.size > 0 {
            let bytes = Transform::middle(self.size, true).center(&picture)?;
            return Ok(square(&bytes, self.size));
        }
        let (width, height) = picture.dimensions();
        let side = width.min(height);
        let corner = [(width - side) / 2, (height - side) / 2];
        Ok(imageops::crop_imm(&picture, corner[0], corner[1], side, side).to_image())
    }
}

/// Features of pictures and the classes of these.
#[derive(Default)]
struct Examples {
    features: Vec<f32>,
    labels: Vec<usize>,
}

/// Trains a head on the pictures at `data`, whatever [`Dataset::open`] takes. `progress` hears how many pictures of how
/// many are done. Returns notes as well: which pictures could not be used.
///
/// # Errors
/// What opening says, fewer than two classes, a class of which no picture can be learned from, settings out of range.
pub(super) fn train(
    network: &FeatureNetwork,
    data: &Path,
    settings: &ClassifierTraining,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(TrainedHead, Vec<String>)> {
    settings.check()?;
    let dataset = Dataset::open(data)?;
    if dataset.classes.len() < 2 {
        return Err(Error::file(
            data,
            format!(
                "a classifier needs two classes at least, a folder of pictures for each, but here are {}",
                dataset.classes.len()
            ),
        ));
    }
    let parts = split(&dataset, settings);
    let total: usize = parts.iter().map(Vec::len).sum();
    let (mut done, mut skipped) = (0, Vec::new());
    let mut read = |items: &[Item]| -> Result<Examples> {
        let mut examples = Examples::default();
        for items in items.chunks(CHUNK) {
            examples.add(network, items, settings, &mut skipped)?;
            done += items.len();
            progress(done, total);
        }
        Ok(examples)
    };
    let [learned, held_back] = [read(&parts[0])?, read(&parts[1])?];
    if learned.labels.is_empty() {
        return Err(none_readable(total, skipped.first()));
    }
    let head = learned.head(network, &dataset, settings)?;
    let info = ClassifierInfo {
        classes: dataset.classes.clone(),
        network: network.name().to_string(),
        checksum: network.checksum().to_string(),
        preprocessing: network.preprocessing().to_string(),
        size: settings.size,
        penalty: settings.penalty,
        data: data.display().to_string(),
        pictures: learned.labels.len(),
        held_back: held_back.labels.len(),
        accuracy: held_back.accuracy(&head)?,
    };
    let mut notes = skipped_pictures(&skipped);
    let loose = dataset.len() - total;
    if loose > 0 {
        notes.push(format!(
            "skipped {} outside of the folders of classes",
            counted(loose, "picture")
        ));
    }
    Ok((TrainedHead { head, info }, notes))
}

/// What is learned from and what is held back, of every class its part. Pictures without a class are in neither.
fn split(dataset: &Dataset, settings: &ClassifierTraining) -> [Vec<Item>; 2] {
    let mut parts = [Vec::new(), Vec::new()];
    for class in 0..dataset.classes.len() {
        let of_class = dataset
            .items
            .iter()
            .filter(|item| item.class == Some(class));
        let own = Dataset {
            items: of_class.cloned().collect(),
            classes: dataset.classes.clone(),
        };
        let (training, held_back) = own.split(settings.validation, settings.seed);
        parts[0].extend(training.items);
        parts[1].extend(held_back.items);
    }
    parts
}

impl Examples {
    /// Reads some pictures and adds their features; what cannot be read is `skipped`.
    fn add(
        &mut self,
        network: &FeatureNetwork,
        items: &[Item],
        settings: &ClassifierTraining,
        skipped: &mut Vec<BadFile>,
    ) -> Result<()> {
        let read: Vec<Result<RgbImage>> = items
            .par_iter()
            .map(|item| settings.read(&item.path))
            .collect();
        let mut pictures = Vec::with_capacity(items.len());
        for (item, picture) in items.iter().zip(read) {
            match (picture, item.class) {
                (Ok(picture), Some(class)) => {
                    pictures.push(picture);
                    self.labels.push(class);
                }
                (Ok(_), None) => {}
                (Err(error), _) => skipped.push((item.path.clone(), crate::data::reason(error))),
            }
        }
        self.features.extend(network.features_of(&pictures)?);
        Ok(())
    }

    fn head(
        &self,
        network: &FeatureNetwork,
        dataset: &Dataset,
        settings: &ClassifierTraining,
    ) -> Result<LinearHead> {
        let classes = dataset.classes.len();
        let absent = (0..classes).find(|class| !self.labels.contains(class));
        if let Some(class) = absent {
            return Err(Error::input(format!(
                "no picture of class `{}` could be read",
                dataset.classes[class]
            )));
        }
        let rows = FeatureRows::new(&self.features, network.dimension(), 0)?;
        LinearHead::train(rows, &self.labels, classes, settings.penalty)
    }

    /// The part whose class has the largest logit; `None` without pictures.
    fn accuracy(&self, head: &LinearHead) -> Result<Option<f64>> {
        if self.labels.is_empty() {
            return Ok(None);
        }
        let rows = FeatureRows::new(&self.features, head.dimensions(), 0)?;
        let logits = head.logits(rows)?;
        let right = logits
            .chunks_exact(head.classes())
            .zip(&self.labels)
            .filter(|(row, label)| row.iter().all(|logit| *logit <= row[**label]));
        Ok(Some(right.count() as f64 / self.labels.len() as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_gives_its_part() {
        let item = |index: usize| Item {
            path: format!("{index:02}.png").into(),
            class: [Some(0), Some(0), Some(0), Some(1), None][index % 5],
        };
        let dataset = Dataset {
            items: (0..100).map(item).collect(),
            classes: vec!["a".into(), "b".into()],
        };
        let settings = ClassifierTraining {
            validation: 0.25,
            ..ClassifierTraining::default()
        };
        let [training, held_back] = split(&dataset, &settings);
        let count = |part: &[Item], class: usize| {
            part.iter().filter(|item| item.class == Some(class)).count()
        };
        assert_eq!((count(&training, 0), count(&held_back, 0)), (45, 15));
        assert_eq!((count(&training, 1), count(&held_back, 1)), (15, 5));
        assert_eq!(training.len() + held_back.len(), 80);
    }

    #[test]
    fn accuracy_counts_what_is_right() {
        let head = LinearHead::new(vec![1.0, -1.0], vec![0.0, 0.0], 1).unwrap();
        let examples = Examples {
            features: vec![1.0, -2.0, 3.0, 4.0],
            labels: vec![0, 1, 1, 0],
        };
        assert_eq!(examples.accuracy(&head).unwrap(), Some(0.75));
        assert_eq!(Examples::default().accuracy(&head).unwrap(), None);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for validation in [-0.1, 1.0, f64::NAN] {
            let settings = ClassifierTraining {
                validation,
                ..ClassifierTraining::default()
            };
            assert!(settings.check().is_err(), "{validation}");
        }
    }
}
