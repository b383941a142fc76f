//! Features of pictures: which network makes them, what is kept of them, and how the figures of two sets are shown.

use super::Steps;
use crate::commands::features::load_network;
use crate::report::Figure;
use crate::{Common, models, progress};
use clap::{Args, ValueEnum};
use image::RgbImage;
use rayon::prelude::*;
use serde_json::{Value, json};
use smalti::data::{BadFile, Transform, none_readable, read_image, reason, square};
use smalti::metrics::network::Preprocessing;
use smalti::metrics::{
    BootstrapSettings, CollectorSettings, Comparison, ComparisonSettings, FeatureCollector,
    FeatureNetwork, FigureNames, InceptionScore, KernelDistanceSettings, PictureFeatures,
    SetFigures,
};
use smalti::{Error, Result, counted};
use std::path::{Path, PathBuf};

/// Pictures that are read and measured at a time.
const BATCH: usize = 32;

/// What shows through transparent pixels.
const BACKGROUND: [u8; 3] = [255; 3];

#[derive(Args)]
pub struct FeatureArgs {
    /// The network whose features are compared: inception-fid, inception-torchvision, efficientnet-lite0, or a file of
    /// weights
    #[arg(long, value_name = "NAME|FILE")]
    features: Option<String>,
    /// Prepare pictures for an Inception network as this program does [default: pytorch-fid for inception-fid]
    #[arg(long, value_name = "PROGRAM", value_enum)]
    preprocessing: Option<Program>,
    /// The most pictures of each side, chosen by chance, whose features are kept: kernel distance, precision and recall
    /// compare these
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    manifold_pictures: usize,
    /// Resamples for the interval of the Fréchet distance, each of which costs such a distance; 0 for no interval
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    frechet_resamples: u32,
}

/// Whose way to prepare pictures.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Program {
    /// Bilinear, without antialiasing
    PytorchFid,
    /// Bilinear as in TensorFlow 1: also that of the first FID program, and of the papers that used it
    TorchFidelity,
    /// Bicubic, with antialiasing
    CleanFid,
}

impl FeatureArgs {
    /// The network, fetched if it is not here yet; none if none was asked for.
    pub fn network(&self, common: &Common) -> Result<Option<FeatureNetwork>> {
        let Some(name) = self.features.as_deref().filter(|&name| name != "none") else {
            return Ok(None);
        };
        let network = load_network(name, common)?;
        let preprocessing = match self.preprocessing {
            None => return Ok(Some(network)),
            Some(Program::PytorchFid) => Preprocessing::PYTORCH_FID,
            Some(Program::TorchFidelity) => Preprocessing::TORCH_FIDELITY,
            Some(Program::CleanFid) => Preprocessing::CLEAN_FID,
        };
        if preprocessing.side != network.preprocessing().side {
            return Err(Error::input(format!(
                "--preprocessing is for Inception networks; {} has one way to prepare pictures",
                network.name()
            )));
        }
        network.with_preprocessing(preprocessing).map(Some)
    }

    /// An empty collector for pictures that are measured.
    pub fn settings(&self, seed: u64) -> CollectorSettings {
        let defaults = CollectorSettings::default();
        CollectorSettings {
            // Parts are resampled; an extrapolation takes two.
            parts: if self.frechet_resamples < 2 {
                2
            } else {
                defaults.parts
            },
            kept: self.manifold_pictures,
            seed,
            ..defaults
        }
    }

    /// The same for a reference, of which nothing is resampled.
    pub fn reference_settings(&self, seed: u64) -> CollectorSettings {
        CollectorSettings {
            parts: 2,
            ..self.settings(seed)
        }
    }

    pub fn comparison(&self, seed: u64) -> ComparisonSettings {
        let defaults = ComparisonSettings::default();
        ComparisonSettings {
            bootstrap: BootstrapSettings {
                resamples: self.frechet_resamples as usize,
                seed,
                ..defaults.bootstrap
            },
            kernel: KernelDistanceSettings {
                seed,
                ..defaults.kernel
            },
            ..defaults
        }
    }

    /// What the figures of features depend on.
    pub fn protocol(&self, network: Option<&FeatureNetwork>) -> Value {
        json!({
            "network": network.map(FeatureNetwork::name),
            "checksum": network.map(FeatureNetwork::checksum),
            "preprocessing": network.map(|network| network.preprocessing().to_string()),
            "precision": "f32",
            "kept_pictures": self.manifold_pictures,
            "interval": match self.frechet_resamples {
                0 | 1 => "none".to_string(),
                count => format!("{count} resamples of {} parts", CollectorSettings::default().parts),
            },
        })
    }
}

/// What figures of a network's features are called.
pub fn names_of(network: Option<&FeatureNetwork>) -> FigureNames {
    FigureNames::of(network.map(FeatureNetwork::classifier))
}

/// Adds pictures of one size; `name` says which one has features that are not finite.
pub fn add_pictures(
    network: &FeatureNetwork,
    collector: &mut FeatureCollector,
    pictures: &[RgbImage],
    name: impl Fn(usize) -> String,
) -> Result<()> {
    let features = PictureFeatures::of(network, pictures, &models::device())?;
    if let Some(index) = features.not_finite() {
        return Err(Error::failed(format!(
            "{}: its features are not finite numbers; look at this picture, and at the weights of {}",
            name(index),
            network.name()
        )));
    }
    collector.add_pictures(&features)
}

/// How pictures become squares of one size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sizing {
    /// They are, and others are refused.
    Exact(usize),
    /// Their middle squares, scaled.
    Scaled(usize),
}

impl Sizing {
    pub fn side(self) -> usize {
        match self {
            Self::Exact(side) | Self::Scaled(side) => side,
        }
    }

    /// To be said with figures.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Exact(_) => "none: pictures have this size",
            Self::Scaled(_) => "shorter side brought to this size (lanczos), middle square",
        }
    }

    /// # Errors
    /// A picture of another size, or one that cannot be scaled.
    pub fn apply(self, picture: RgbImage) -> Result<RgbImage> {
        match self {
            Self::Exact(side) => {
                let (width, height) = picture.dimensions();
                if (width as usize, height as usize) == (side, side) {
                    return Ok(picture);
                }
                Err(Error::input(format!(
                    "it has {width}×{height} pixels where {side}×{side} are expected: say --size N to bring all pictures \
                     to squares of one size"
                )))
            }
            Self::Scaled(side) => {
                let bytes = Transform::middle(side, true).center(&picture)?;
                Ok(square(&bytes, side))
            }
        }
    }
}

/// Pictures in files.
#[derive(Clone, Copy)]
pub struct Files<'a> {
    pub paths: &'a [PathBuf],
    pub sizing: Sizing,
    /// Whether pictures that cannot be read, or not be scaled, are left out; otherwise they are refused.
    pub skip_unread: bool,
}

impl Files<'_> {
    /// A picture as a square of the size that is asked for; or, where it is left out, why.
    fn read(&self, path: &Path) -> Result<std::result::Result<RgbImage, BadFile>> {
        let read = read_image(path, BACKGROUND);
        let is_read = read.is_ok();
        let sized = read.and_then(|picture| {
            let sized = self.sizing.apply(picture);
            sized.map_err(|error| Error::file(path, error.to_string()))
        });
        match sized {
            Ok(picture) => Ok(Ok(picture)),
            // Pictures of another size are no accident.
            Err(error) if is_read && matches!(self.sizing, Sizing::Exact(_)) => Err(error),
            Err(error) if self.skip_unread => Ok(Err((path.to_path_buf(), reason(error)))),
            Err(error) => Err(error),
        }
    }
}

/// What became of pictures in files.
pub struct Added {
    /// The first ones.
    pub shown: Vec<RgbImage>,
    pub unread: Vec<BadFile>,
}

/// The side of a square picture.
///
/// # Errors
/// A file that cannot be read, and pictures that are no squares.
pub fn side_of(path: &Path) -> Result<usize> {
    let (width, height) = read_image(path, BACKGROUND)?.dimensions();
    if width == height {
        return Ok(width as usize);
    }
    Err(Error::file(
        path,
        format!("it has {width}×{height} pixels: say --size N to take squares of one size"),
    ))
}

/// Adds the pictures of files, a few at a time, and returns the first `shown` of them.
///
/// # Errors
/// What cannot be read and is not left out, and where nothing is left.
pub fn add_files(
    common: &Common,
    network: &FeatureNetwork,
    collector: &mut FeatureCollector,
    files: Files<'_>,
    shown: usize,
) -> Result<Added> {
    let mut steps = Steps::new(common, files.paths.len(), "pictures");
    let (mut first, mut unread) = (Vec::new(), Vec::new());
    for paths in files.paths.chunks(BATCH) {
        let read = paths.par_iter().map(|path| files.read(path));
        let read: Vec<std::result::Result<RgbImage, BadFile>> = read.collect::<Result<_>>()?;
        let (mut pictures, mut names) = (Vec::new(), Vec::new());
        for (path, read) in paths.iter().zip(read) {
            match read {
                Ok(picture) => {
                    pictures.push(picture);
                    names.push(path);
                }
                Err(bad) => unread.push(bad),
            }
        }
        if !pictures.is_empty() {
            let name = |index: usize| names[index].display().to_string();
            add_pictures(network, collector, &pictures, name)?;
        }
        let missing = shown.saturating_sub(first.len());
        first.extend(pictures.into_iter().take(missing));
        steps.show(collector.count() + unread.len());
    }
    if collector.count() == 0 {
        return Err(none_readable(files.paths.len(), unread.first()));
    }
    Ok(Added {
        shown: first,
        unread,
    })
}

/// The figures of two sets of features as JSON, under their names.
pub fn comparison_json(found: &Comparison, names: &FigureNames) -> Value {
    let figures = &found.figures;
    let mut frechet = json!(figures.frechet);
    frechet["name"] = json!(names.frechet);
    frechet["interval"] = json!(found.interval);
    frechet["extrapolation"] = json!(found.extrapolation);
    let kernel = figures.kernel.as_ref().map(|kernel| {
        let mut kernel = json!(kernel);
        kernel["name"] = json!(names.kernel);
        kernel
    });
    json!({
        "frechet": frechet,
        "kernel": kernel,
        "manifold": figures.manifold,
        "score": figures.score.as_ref().map(|score| score_json(score, names)),
    })
}

pub fn score_json(score: &InceptionScore, names: &FigureNames) -> Value {
    let mut json = json!(score);
    json["name"] = json!(names.score);
    json
}

/// The same as rows of a table.
pub fn comparison_figures(found: &Comparison, names: &FigureNames) -> Vec<Figure> {
    let SetFigures {
        frechet,
        kernel,
        manifold,
        score,
    } = &found.figures;
    let others = match frechet.reference_pictures {
        Some(count) => count.to_string(),
        None => "published statistics".to_string(),
    };
    let about = format!(
        "{} to {others}, {}",
        counted(frechet.pictures, "picture"),
        counted(frechet.dimensions, "feature")
    );
    let value = decimals(frechet.distance);
    let mut figures = vec![
        Figure::new(&names.frechet, value)
            .within(found.interval.as_ref(), 3)
            .about(about),
    ];
    if let Some(found) = &found.extrapolation {
        figures.push(
            Figure::new(format!("{} at ∞", names.frechet), decimals(found.limit)).about(format!(
                "{} come from the number of pictures",
                decimals(found.bias)
            )),
        );
    }
    if let Some(kernel) = kernel {
        let about = format!(
            "± {:.3}: {} of {}",
            1e3 * kernel.standard_deviation,
            counted(kernel.subsets, "subset"),
            counted(kernel.subset_size, "picture")
        );
        let value = format!("{:.3} · 10⁻³", 1e3 * kernel.mean);
        figures.push(Figure::new(&names.kernel, value).about(about));
    }
    if let Some(manifold) = manifold {
        let about = format!(
            "{} to {}",
            counted(manifold.generated_pictures, "picture"),
            manifold.real_pictures
        );
        for (name, value) in [
            ("precision", manifold.precision),
            ("recall", manifold.recall),
            ("density", manifold.density),
            ("coverage", manifold.coverage),
        ] {
            figures.push(Figure::new(name, format!("{value:.4}")).about(about.clone()));
        }
    }
    figures.extend(score.iter().map(|score| score_figure(score, names)));
    figures
}

pub fn score_figure(score: &InceptionScore, names: &FigureNames) -> Figure {
    let value = format!("{:.3}", score.mean);
    Figure::new(&names.score, value).about(format!(
        "± {:.3} over {} of {}",
        score.standard_deviation,
        counted(score.splits, "part"),
        counted(score.pictures, "picture")
    ))
}

fn decimals(distance: f64) -> String {
    format!("{distance:.3}")
}

/// Tells on standard error what is being computed.
pub fn stages(common: &Common) -> impl FnMut(&str) + '_ {
    move |name| progress::note(common, format_args!("computing: {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_other_sizes_are_scaled_or_refused() {
        let picture = RgbImage::new(20, 16);
        let error = Sizing::Exact(16).apply(picture.clone()).unwrap_err();
        assert!(error.to_string().contains("20×16 pixels where 16×16"));
        let sized = Sizing::Scaled(8).apply(picture).unwrap();
        assert_eq!(sized.dimensions(), (8, 8));
        assert!(Sizing::Exact(16).apply(RgbImage::new(16, 16)).is_ok());
    }
}
