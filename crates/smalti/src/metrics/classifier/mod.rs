//! How probably a picture is of a class: what rejection sampling ranks pictures by (section 4.4 of the paper, table 4).
//! Either a network's own classes, those of ImageNet, or people's own, by a linear head on the network's features.

mod file;
mod head;
mod imagenet;
mod lbfgs;
mod standardized;
mod train;

pub use file::{ClassifierInfo, TrainedHead};
pub use head::LinearHead;
pub use train::ClassifierTraining;

use super::network::FeatureNetwork;
use super::rows::FeatureRows;
use crate::error::{Error, Result};
use head::softmax;
use image::RgbImage;
use std::path::Path;

/// How many classes that are missing an error names.
const NAMED: usize = 5;

/// A network, and what makes classes of its features.
#[derive(Debug, Clone)]
pub struct Classifier {
    network: FeatureNetwork,
    names: Vec<String>,
    head: Head,
}

#[derive(Debug, Clone)]
enum Head {
    /// The network's own: which of its outputs each class is.
    Own(Vec<usize>),
    Trained(Box<TrainedHead>),
}

impl Classifier {
    /// The network's own classes: ImageNet's 1000 in the usual order, by their numbers in WordNet (`n01440764`).
    pub fn of_network(network: FeatureNetwork) -> Self {
        Self {
            names: imagenet::names(),
            head: Head::Own(imagenet::outputs(network.classifier())),
            network,
        }
    }

    /// A trained head on its network.
    ///
    /// # Errors
    /// [`Error::Input`] where it is another network than the head was trained with.
    pub fn new(network: FeatureNetwork, trained: TrainedHead) -> Result<Self> {
        trained.info.check_network(&network)?;
        if trained.head.dimensions() != network.dimension() {
            return Err(Error::input(format!(
                "the classifier reads {} features, but {} gives {}",
                trained.head.dimensions(),
                network.name(),
                network.dimension()
            )));
        }
        Ok(Self {
            network,
            names: trained.info.classes.clone(),
            head: Head::Trained(Box::new(trained)),
        })
    }

    /// Trains a head for the classes of the pictures at `data`: a folder with a folder for each class, or a list with
    /// classes. `progress` hears how many pictures of how many are done. Returns notes as well, such as which pictures
    /// could not be read.
    ///
    /// # Errors
    /// Fewer than two classes, a class without a readable picture, settings out of range.
    pub fn train(
        network: FeatureNetwork,
        data: &Path,
        settings: &ClassifierTraining,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(Self, Vec<String>)> {
        let (trained, notes) = train::train(&network, data, settings, progress)?;
        Ok((Self::new(network, trained)?, notes))
    }

    /// Reads a trained classifier; `open` gives the network that its description names.
    ///
    /// # Errors
    /// What reading says, what `open` says, and those of [`Classifier::new`].
    pub fn load(
        path: &Path,
        open: impl FnOnce(&ClassifierInfo) -> Result<FeatureNetwork>,
    ) -> Result<Self> {
        let trained = TrainedHead::load(path)?;
        let network = open(&trained.info)?;
        Self::new(network, trained).map_err(|error| Error::file(path, error.to_string()))
    }

    /// Writes a trained classifier, without its network.
    ///
    /// # Errors
    /// [`Error::Input`] for a network's own classes, which are in the network's file; or whatever the operating system
    /// says.
    pub fn save(&self, path: &Path) -> Result<()> {
        match &self.head {
            Head::Trained(trained) => trained.save(path),
            Head::Own(_) => Err(Error::input(
                "a network's own classes are in its weights: there is nothing to write",
            )),
        }
    }

    pub fn network(&self) -> &FeatureNetwork {
        &self.network
    }

    /// The names of its classes.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What is known of a trained one.
    pub fn info(&self) -> Option<&ClassifierInfo> {
        match &self.head {
            Head::Trained(trained) => Some(&trained.info),
            Head::Own(_) => None,
        }
    }

    /// Which of its classes each of a prior's `count` classes is. They are matched by name. Where the prior's have no
    /// `names`, its class 17 is the class called `17`, or, for a network's own classes, number 17 of ImageNet if the
    /// prior has all of these.
    ///
    /// # Errors
    /// [`Error::Input`] that names classes that the classifier does not know.
    pub fn columns(&self, names: &[String], count: usize) -> Result<Vec<usize>> {
        if names.is_empty() && matches!(self.head, Head::Own(_)) {
            return self.by_number(count);
        }
        let numbers: Vec<String> = match names.is_empty() {
            true => (0..count).map(|class| class.to_string()).collect(),
            false => names.to_vec(),
        };
        let column = |name: &String| self.names.iter().position(|own| own == name);
        let found: Vec<Option<usize>> = numbers.iter().map(column).collect();
        let pairs = numbers.iter().zip(&found);
        let missing = pairs.filter(|(_, column)| column.is_none());
        let missing: Vec<&str> = missing.map(|(name, _)| name.as_str()).collect();
        if missing.is_empty() {
            return Ok(found.into_iter().flatten().collect());
        }
        let more = match missing.len() > NAMED {
            true => ", …",
            false => "",
        };
        let shown = missing[..missing.len().min(NAMED)].join(", ");
        let known: Vec<&str> = self.names.iter().take(NAMED).map(String::as_str).collect();
        Err(Error::input(format!(
            "the classifier does not know {} of the prior's {count} classes: {shown}{more} (its own are {}, …); train one \
             on pictures in folders of these names with `smalti train classifier`",
            missing.len(),
            known.join(", ")
        )))
    }

    fn by_number(&self, count: usize) -> Result<Vec<usize>> {
        if count == self.names.len() {
            return Ok((0..count).collect());
        }
        Err(Error::input(format!(
            "the prior has {count} classes without names, and the network ImageNet's {}: numbers do not tell which is \
             which; train a classifier with `smalti train classifier`",
            self.names.len()
        )))
    }

    /// The probability of every class for every picture, `[n, classes]` row-major.
    ///
    /// # Errors
    /// As [`FeatureNetwork::features`], and features that are not finite.
    pub fn probabilities(&self, pictures: &[RgbImage]) -> Result<Vec<f64>> {
        self.probabilities_of(&self.network.features_of(pictures)?)
    }

    /// The same from the network's features of the pictures, `[n, d]` row-major.
    ///
    /// # Errors
    /// Features that are not finite, or of another length.
    pub fn probabilities_of(&self, features: &[f32]) -> Result<Vec<f64>> {
        let rows = FeatureRows::new(features, self.network.dimension(), 0)?;
        // In single precision all that is nearly certain would be equally so.
        let mut logits = match &self.head {
            Head::Trained(trained) => trained.head.logits(rows)?,
            Head::Own(outputs) => {
                let logits = self.network.logits_of(features, false);
                let rows = logits.chunks_exact(self.network.classes());
                let own = |row: &[f32]| -> Vec<f64> {
                    outputs
                        .iter()
                        .map(|&output| f64::from(row[output]))
                        .collect()
                };
                rows.flat_map(own).collect()
            }
        };
        for row in logits.chunks_exact_mut(self.names.len()) {
            softmax(row, 0);
        }
        Ok(logits)
    }
}
