//! Networks that see pictures, as options name them: by their names in the catalogue of weights, or as files.

use crate::progress::Download;
use crate::{Common, models};
use clap::Args;
use smalti::metrics::{Classifier, FeatureNetwork};
use smalti::weights::{catalogue, fetch};
use smalti::{Error, Result};
use std::path::{Path, PathBuf};

/// Loads the network called `text`, fetched if it is not here yet, or that of a file of weights.
pub fn load_network(text: &str, common: &Common) -> Result<FeatureNetwork> {
    let path = match (catalogue::network(text), Path::new(text)) {
        (Ok(network), _) => {
            let mut download = Download::new(common);
            fetch::locate(network.name, &mut |progress| download.show(&progress))?
        }
        (Err(_), file) if file.exists() => file.to_path_buf(),
        (Err(error), _) => {
            return Err(Error::input(format!(
                "there is no file {text}, and {error}"
            )));
        }
    };
    FeatureNetwork::open(&path, &models::device())
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
        if catalogue::network(text).is_ok() {
            return load_network(text, common).map(Classifier::of_network);
        }
        Classifier::load(Path::new(text), |info| match &self.classifier_network {
            Some(file) => FeatureNetwork::open(file, &models::device()),
            // A name from a file is no path.
            None => load_network(catalogue::network(&info.network)?.name, common),
        })
    }
}
