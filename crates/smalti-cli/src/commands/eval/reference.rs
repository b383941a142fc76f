//! What samples are compared with: pictures, or a file of statistics. Ours say how they were made; those that others
//! publish do not, so that somebody has to.

use crate::{Common, progress};
use clap::Args;
use smalti::data::BadFile;
use smalti::metrics::{
    FeatureCollector, FeatureNetwork, FeatureStatistics, Protocol, PublishedStatistics, Reference,
};
use smalti::training::skipped_pictures;
use smalti::{Error, Result};
use std::path::Path;

/// The network of published statistics where nobody says another: almost all are of this one.
const USUAL: &str = "inception-fid";

/// Why there are few figures.
const LEFT_OUT: &str = "statistics hold no features of single pictures: kernel distance, precision, recall, density \
                        and coverage are left out";

#[derive(Args, Default)]
pub struct PublishedArgs {
    /// The network whose features the statistics of a .npz file are of, which such a file does not say [default:
    /// inception-fid]
    #[arg(
        long,
        value_name = "NAME",
        value_parser = ["inception-fid", "inception-torchvision", "efficientnet-lite0"]
    )]
    reference_network: Option<String>,
}

/// A reference, and what is said of it beside the figures.
pub struct NamedReference {
    pub reference: Reference,
    pub name: String,
    /// How many of its pictures could not be read; none where it is no pictures.
    pub skipped: Option<usize>,
    pub notes: Vec<String>,
}

impl NamedReference {
    /// Of pictures, or features, that went by. `unread` are pictures that could not be read.
    pub fn of_pictures(
        collector: &FeatureCollector,
        name: String,
        unread: Option<&[BadFile]>,
    ) -> Result<Self> {
        let skipped = unread.map(<[BadFile]>::len);
        let some = skipped.filter(|&skipped| skipped > 0);
        let note = some.map(|skipped| {
            let all = collector.count() + skipped;
            format!(
                "{skipped} of {all} pictures of the reference could not be read and are left out"
            )
        });
        Ok(Self {
            reference: Reference::of_pictures(collector)?,
            name,
            skipped,
            notes: note.into_iter().collect(),
        })
    }

    /// Of statistics that this program wrote, to be compared with features that are made as `protocol` says.
    ///
    /// # Errors
    /// A file that cannot be read, and features that were made in another way.
    pub fn of_statistics(path: &Path, protocol: &Protocol) -> Result<Self> {
        let (statistics, found) = FeatureStatistics::load(path, protocol)?;
        Ok(Self {
            reference: Reference::of_statistics(&statistics)?,
            name: format!("{} (statistics of {})", path.display(), found.data),
            skipped: None,
            notes: vec![LEFT_OUT.to_string()],
        })
    }
}

/// Names the first pictures of a reference that could not be read.
pub fn name_unread(common: &Common, unread: &[BadFile]) {
    for line in skipped_pictures(unread) {
        progress::note(common, line);
    }
}

/// Whether a file is of statistics that others published.
pub fn is_published(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    ending.eq_ignore_ascii_case("npz")
}

/// Statistics that others published, and what their features are taken to be of.
pub struct Published {
    statistics: PublishedStatistics,
    file: String,
    assumed: String,
}

impl PublishedArgs {
    /// Whether something is said of a reference that speaks for itself.
    pub fn check(&self, reference: Option<&Path>) -> Result<()> {
        if self.reference_network.is_none() || reference.is_some_and(is_published) {
            return Ok(());
        }
        Err(Error::input(
            "--reference-network is for a reference of published statistics, a .npz file; whatever else is given with \
             --reference is of the network of --features",
        ))
    }

    /// Reads published statistics, to be compared with features of `network`, or of a network of one's own.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, or is of another network.
    pub fn open(&self, path: &Path, network: Option<&FeatureNetwork>) -> Result<Published> {
        let statistics = PublishedStatistics::read(path)?;
        let assumed = match network {
            Some(network) => self.checked(path, &statistics, network)?,
            None if self.reference_network.is_some() => {
                return Err(Error::input(
                    "--reference-network names a network of --features; with --features-file, published statistics are \
                     taken to be of the network of that file",
                ));
            }
            None => "that of --features-file",
        };
        Ok(Published {
            statistics,
            file: path.display().to_string(),
            assumed: assumed.to_string(),
        })
    }

    /// The network that statistics are taken to be of, which must be `network`.
    fn checked(
        &self,
        path: &Path,
        statistics: &PublishedStatistics,
        network: &FeatureNetwork,
    ) -> Result<&str> {
        let assumed = self.reference_network.as_deref().unwrap_or(USUAL);
        let own = network.name();
        if assumed != own {
            return Err(Error::file(
                path,
                format!(
                    "these statistics do not say of which network they are, and are taken to be of {assumed}, but the \
                     samples are measured with {own}: say --features {assumed}, or --reference-network {own} if they \
                     are of that"
                ),
            ));
        }
        if statistics.dimensions() != network.dimension() {
            return Err(Error::file(
                path,
                format!(
                    "these are statistics of {} features per picture, but {own} has {}: they are of another network, \
                     or of another layer",
                    statistics.dimensions(),
                    network.dimension()
                ),
            ));
        }
        Ok(assumed)
    }
}

impl Published {
    /// To be named by: which file it was, and what is not certain of it.
    pub fn name(&self) -> String {
        format!(
            "statistics of {} (sha256 {}), network assumed: {}",
            self.file,
            self.statistics.checksum(),
            self.assumed
        )
    }

    pub fn reference(&self) -> NamedReference {
        let assumed = format!(
            "{} does not say how its statistics were made: the network is taken to be {}, and the pictures to have \
             been prepared as these are",
            self.file, self.assumed
        );
        NamedReference {
            reference: Reference::of_published(&self.statistics),
            name: self.name(),
            skipped: None,
            notes: vec![assumed, LEFT_OUT.to_string()],
        }
    }
}
