//! Networks that see pictures, as options name them: by their names, or as files.

use crate::progress::Download;
use crate::{Common, models};
use clap::Args;
use smalti::metrics::{Classifier, FeatureNetwork};
use smalti::weights::catalogue::{Kind, NETWORKS};
use smalti::weights::fetch;
use smalti::{Error, Result};
use std::path::{Path, PathBuf};

/// Loads the network that `--features` names, fetched if it is not here yet, or that of a file of weights.
pub fn load_network(text: &str, common: &Common) -> Result<FeatureNetwork> {
    if is_name(text) {
        return fetched(text, common);
    }
    let path = Path::new(text);
    if path.is_file() {
        return FeatureNetwork::open(path, &models::device());
    }
    let names: Vec<&str> = names().collect();
    Err(Error::input(format!(
        "--features {text}: this is neither a file of weights nor one of {}",
        names.join(", ")
    )))
}

fn fetched(name: &str, common: &Common) -> Result<FeatureNetwork> {
    let mut download = Download::new(common);
    let path = fetch::locate(name, &mut |progress| download.show(&progress))?;
    FeatureNetwork::open(&path, &models::device())
}

/// The networks that are known by name.
fn names() -> impl Iterator<Item = &'static str> {
    let classifiers = NETWORKS
        .iter()
        .filter(|network| matches!(network.kind, Kind::Classifier(_)));
    classifiers.map(|network| network.name)
}

fn is_name(text: &str) -> bool {
    names().any(|name| name == text)
}

/// Which classifier rates pictures.
#[derive(Args)]
pub struct ClassifierArgs {
    /// What rates pictures for --accept: a file of `train classifier`, or, for ImageNet's classes, the name of a network
    /// (inception-fid, inception-torchvision, efficientnet-lite0)
    #[arg(long, value_name = "FILE|NAME", requires = "accept")]
    classifier: Option<String>,
    /// The weights of the network under --classifier FILE [default: by the name that the file says]
    #[arg(long, value_name = "FILE", requires = "classifier")]
    classifier_network: Option<PathBuf>,
}

impl ClassifierArgs {
    /// A file of `train classifier`, and the weights of its network where they are not found by name.
    pub fn of_file(file: &Path, network: Option<PathBuf>) -> Self {
        Self {
            classifier: Some(file.display().to_string()),
            classifier_network: network,
        }
    }

    /// None.
    pub fn none() -> Self {
        Self {
            classifier: None,
            classifier_network: None,
        }
    }

    /// Loads it.
    ///
    /// # Errors
    /// When none is named.
    pub fn load(&self, common: &Common) -> Result<Classifier> {
        let Some(text) = &self.classifier else {
            return Err(Error::input(
                "--accept ranks pictures by a classifier: name one with --classifier",
            ));
        };
        if is_name(text) {
            return fetched(text, common).map(Classifier::of_network);
        }
        Classifier::load(Path::new(text), |info| match &self.classifier_network {
            Some(file) => FeatureNetwork::open(file, &models::device()),
            // A name from a file is no path.
            None => fetched(&info.network, common),
        })
    }
}
