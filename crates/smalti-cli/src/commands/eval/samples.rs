//! `smalti eval samples`: how like real pictures samples are.

use super::drawn::{Drawing, SamplingArgs};
use super::features::{
    FeatureArgs, Files, Sizing, add_files, add_pictures, comparison_figures, comparison_json,
    names_of, score_figure, score_json, side_of, stages,
};
use super::neighbours::{self, Neighbours, WITH_NEIGHBOURS};
use super::reference::{NamedReference, Published, PublishedArgs, is_published, name_unread};
use super::{Findings, ReportArgs};
use crate::report::{Figure, Page, add_curves, shown};
use crate::{Common, output, progress};
use clap::Args;
use image::RgbImage;
use serde_json::{Value, json};
use smalti::checkpoint::read_doubles;
use smalti::data::{Dataset, GRID_PADDING, grid};
use smalti::metrics::network::{Features, read_features};
use smalti::metrics::{FeatureCollector, FeatureNetwork, FigureNames, Protocol, Reference};
use smalti::sample::neighbours::Gallery;
use smalti::{Error, Result};
use std::path::{Path, PathBuf};

/// Samples that a page shows.
const SHOWN: usize = 64;

#[derive(Args)]
pub struct EvalSamples {
    /// The pictures to be measured: a folder, or a list file
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "features_file"])]
    samples: Option<PathBuf>,
    /// Measure samples drawn from this model, a file or a run folder
    #[arg(long, conflicts_with = "features_file")]
    model: Option<PathBuf>,
    /// Measure features of a network of one's own: an array [pictures, numbers] as .npy or .safetensors; the reference
    /// is such a file too, or statistics
    #[arg(long, value_name = "FILE", conflicts_with = "features")]
    features_file: Option<PathBuf>,
    /// What to compare with: a folder of real pictures, a list file, statistics that --save-statistics wrote, or
    /// statistics that others published (mu and sigma in a .npz file, as pytorch-fid and guided-diffusion have them)
    #[arg(long, value_name = "DIR|FILE")]
    reference: Option<PathBuf>,
    #[command(flatten)]
    published: PublishedArgs,
    /// Bring all pictures to squares of this side, in pixels [default: with --model, the reference to the samples' size;
    /// otherwise all must have one size]
    #[arg(long)]
    size: Option<usize>,
    #[command(flatten)]
    features: FeatureArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// The seed of samples, of the choice of pictures and of resamples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write the statistics of the samples, or of what --samples names, to be the reference of other measurements; to a
    /// .npz file as pytorch-fid reads it, mean and covariance alone
    #[arg(long, value_name = "FILE")]
    save_statistics: Option<PathBuf>,
    /// With --model: also look for the nearest of these training pictures: a folder, a list, or a file of their codes
    #[arg(long, value_name = "DIR|FILE", requires = "model")]
    neighbours: Option<PathBuf>,
    #[command(flatten)]
    report: ReportArgs,
}

/// What samples are compared with, before it is measured.
enum Given {
    Nothing,
    Statistics(Box<NamedReference>),
    Pictures(Vec<PathBuf>),
    Features(Features),
}

/// What was measured of the samples.
struct Measured {
    collector: FeatureCollector,
    /// The first ones.
    pictures: Vec<RgbImage>,
    neighbours: Vec<Neighbours>,
}

impl EvalSamples {
    pub fn run(self, common: &Common) -> Result<()> {
        self.report.check()?;
        self.published.check(self.reference.as_deref())?;
        if let Some(path) = &self.save_statistics {
            output::refuse_existing(path, self.report.overwrite)?;
        }
        if self.reference.is_none() && self.save_statistics.is_none() {
            return Err(Error::input(
                "there is nothing to compare with: name real pictures with --reference, or say with --save-statistics \
                 where to write what is measured",
            ));
        }
        match &self.features_file {
            Some(file) => self.of_file(common, file),
            None => self.of_pictures(common),
        }
    }

    /// Measures features that another program made.
    fn of_file(&self, common: &Common, file: &Path) -> Result<()> {
        let features = read_features(file)?;
        let protocol = Protocol {
            network: "a network of one's own".into(),
            checksum: String::new(),
            resize: "its own".into(),
            size: 0,
            data: name_of(file),
        };
        let given = match &self.reference {
            None => Given::Nothing,
            Some(path) if is_published(path) => published(self.published.open(path, None)?),
            Some(path) if has_statistics(path) => statistics(path, &protocol)?,
            Some(path) => Given::Features(read_features(path)?),
        };
        let mut collector =
            FeatureCollector::new(features.dimension, self.features.settings(self.seed))?;
        collector
            .add(&features.values)
            .map_err(|error| Error::file(file, error.to_string()))?;
        let reference = self.reference(common, given, None)?;
        let measured = Measured {
            collector,
            pictures: Vec::new(),
            neighbours: Vec::new(),
        };
        let of_features = self.features.protocol(None);
        let details = self.protocol(
            (json!(name_of(file)), None),
            reference.as_ref(),
            of_features,
        );
        self.conclude(common, (&measured, &protocol), (reference, None), details)
    }

    fn of_pictures(&self, common: &Common) -> Result<()> {
        let Some(network) = self.features.network(common)? else {
            return Err(Error::input(
                "say with --features which network's features are compared: inception-fid, efficientnet-lite0, \
                 inception-torchvision or a file of weights; or give features of your own with --features-file",
            ));
        };
        let (source, sizing) = self.source(common)?;
        let protocol = Protocol {
            network: network.name().to_string(),
            checksum: network.checksum().to_string(),
            resize: network.preprocessing().to_string(),
            size: sizing.side(),
            data: name_of(self.data()),
        };
        let given = self.given(&protocol, &network)?;
        let measured = self.measure(common, &network, (&source, sizing))?;
        // The samples say how large the pictures of the reference are to be.
        let of_reference = match (self.size, &source) {
            (None, Source::Files(_)) => sizing,
            _ => Sizing::Scaled(sizing.side()),
        };
        let scaled = matches!(given, Given::Pictures(_)).then_some(of_reference);
        let reference = self.reference(common, given, Some((&network, of_reference)))?;
        let drawn = match &source {
            Source::Files(_) => json!(name_of(self.data())),
            Source::Model(drawing) => drawing.protocol().clone(),
        };
        let mut features = self.features.protocol(Some(&network));
        features["size"] = json!(sizing.side());
        features["scaling"] = json!(sizing.describe());
        let details = self.protocol((drawn, scaled), reference.as_ref(), features);
        let side = (reference, Some(&network));
        self.conclude(common, (&measured, &protocol), side, details)
    }

    /// Where the samples come from, and how large they are.
    fn source(&self, common: &Common) -> Result<(Source, Sizing)> {
        let source = match (&self.samples, &self.model) {
            (Some(path), _) => {
                let items = Dataset::open(path)?.items;
                Source::Files(items.into_iter().map(|item| item.path).collect())
            }
            (None, Some(model)) => {
                Source::Model(Box::new(self.sampling.open(common, model, self.seed)?))
            }
            (None, None) => {
                return Err(Error::input(
                    "say what to measure: --samples DIR, --model M or --features-file FILE",
                ));
            }
        };
        let sizing = match (self.size, &source) {
            (Some(0), _) => return Err(Error::input("--size 0: pictures have pixels")),
            (Some(size), _) => Sizing::Scaled(size),
            (None, Source::Files(paths)) => Sizing::Exact(side_of(&paths[0])?),
            (None, Source::Model(drawing)) => Sizing::Exact(drawing.side()?),
        };
        Ok((source, sizing))
    }

    /// What is measured, in a word.
    fn data(&self) -> &Path {
        let paths = [&self.samples, &self.model, &self.features_file];
        let given = paths.into_iter().flatten().next();
        given.map_or(Path::new(""), PathBuf::as_path)
    }

    /// Opens the reference before anything is measured: a wrong one should not cost hours.
    fn given(&self, protocol: &Protocol, network: &FeatureNetwork) -> Result<Given> {
        let Some(path) = &self.reference else {
            return Ok(Given::Nothing);
        };
        if is_published(path) {
            return Ok(published(self.published.open(path, Some(network))?));
        }
        let ending = path.extension().unwrap_or_default();
        if ending == "npy" {
            return Err(Error::file(
                path,
                "features of files are compared with those of --features-file",
            ));
        }
        if ending == "safetensors" {
            return statistics(path, protocol);
        }
        let items = Dataset::open(path)?.items;
        let paths = items.into_iter().map(|item| item.path);
        Ok(Given::Pictures(paths.collect()))
    }

    fn measure(
        &self,
        common: &Common,
        network: &FeatureNetwork,
        (source, sizing): (&Source, Sizing),
    ) -> Result<Measured> {
        let settings = self.features.settings(self.seed);
        let mut collector = FeatureCollector::for_network(network, settings)?;
        let wanted = if self.report.is_wanted() { SHOWN } else { 0 };
        let (mut pictures, mut neighbours) = (Vec::new(), Vec::new());
        match source {
            Source::Files(paths) => {
                let files = Files {
                    paths,
                    sizing,
                    skip_unread: false,
                };
                pictures = add_files(common, network, &mut collector, files, wanted)?.shown;
            }
            Source::Model(drawing) => {
                let gallery = self.gallery(common, drawing)?;
                drawing.draw(common, sizing, &mut |codes, drawn| {
                    let first = collector.count();
                    add_pictures(network, &mut collector, &drawn, |index| {
                        format!("sample {}", first + index)
                    })?;
                    if let Some(gallery) = &gallery {
                        let missing = WITH_NEIGHBOURS.saturating_sub(neighbours.len());
                        let samples = codes.iter().zip(&drawn).take(missing);
                        neighbours.extend(samples.map(|(codes, sample)| {
                            Neighbours::of(gallery, drawing, (codes.as_slice(), sample))
                        }));
                    }
                    let missing = wanted.saturating_sub(pictures.len());
                    pictures.extend(drawn.into_iter().take(missing));
                    Ok(())
                })?;
            }
        }
        Ok(Measured {
            collector,
            pictures,
            neighbours,
        })
    }

    fn gallery(&self, common: &Common, drawing: &Drawing) -> Result<Option<Gallery>> {
        let Some(path) = &self.neighbours else {
            return Ok(None);
        };
        let mut note = |text: String| progress::note(common, text);
        Gallery::open(&drawing.model, path, drawing.grid(), &mut note).map(Some)
    }

    /// Measures the reference.
    fn reference(
        &self,
        common: &Common,
        given: Given,
        of_pictures: Option<(&FeatureNetwork, Sizing)>,
    ) -> Result<Option<NamedReference>> {
        let path = self.reference.as_deref().unwrap_or(Path::new(""));
        let settings = self.features.reference_settings(self.seed);
        let (collector, unread) = match (given, of_pictures) {
            (Given::Statistics(reference), _) => return Ok(Some(*reference)),
            (Given::Features(features), _) => {
                let mut collector = FeatureCollector::new(features.dimension, settings)?;
                let added = collector.add(&features.values);
                added.map_err(|error| Error::file(path, error.to_string()))?;
                (collector, None)
            }
            (Given::Pictures(paths), Some((network, sizing))) => {
                let mut collector = FeatureCollector::for_network(network, settings)?;
                let files = Files {
                    paths: &paths,
                    sizing,
                    skip_unread: true,
                };
                let added = add_files(common, network, &mut collector, files, 0)?;
                name_unread(common, &added.unread);
                (collector, Some(added.unread))
            }
            _ => return Ok(None),
        };
        NamedReference::of_pictures(&collector, name_of(path), unread.as_deref()).map(Some)
    }

    fn protocol(
        &self,
        (samples, scaled): (Value, Option<Sizing>),
        named: Option<&NamedReference>,
        features: Value,
    ) -> Value {
        let reference = named.map(|named| &named.reference);
        json!({
            "samples": samples,
            "reference": named.map(|named| &named.name),
            "reference_pictures": reference.and_then(Reference::pictures),
            "reference_skipped_pictures": named.and_then(|named| named.skipped),
            "reference_kept_pictures": reference.map(Reference::kept),
            "reference_scaling": scaled.map(Sizing::describe),
            "features": features,
            "seed": self.seed,
            "version": env!("CARGO_PKG_VERSION"),
        })
    }

    /// Compares, saves, prints.
    fn conclude(
        &self,
        common: &Common,
        (measured, protocol): (&Measured, &Protocol),
        (reference, network): (Option<NamedReference>, Option<&FeatureNetwork>),
        details: Value,
    ) -> Result<()> {
        let names = names_of(network);
        if let Some(path) = &self.save_statistics {
            output::folder_of(path)?;
            let statistics = measured.collector.statistics().total()?;
            match is_published(path) {
                true => statistics.save_npz(path)?,
                false => statistics.save(path, protocol)?,
            }
            progress::note(common, format_args!("saved {}", path.display()));
        }
        let findings = self.findings(common, measured, (reference, names), details)?;
        findings.print(common);
        if self.report.is_wanted() {
            self.report
                .write(common, &self.page(&findings, measured)?)?;
        }
        Ok(())
    }

    fn findings(
        &self,
        common: &Common,
        measured: &Measured,
        (named, names): (Option<NamedReference>, FigureNames),
        details: Value,
    ) -> Result<Findings> {
        let collector = &measured.collector;
        let (mut figures, mut json, warnings) = match named {
            Some(NamedReference {
                reference, notes, ..
            }) => {
                let settings = self.features.comparison(self.seed);
                let found = reference.compare(collector, &settings, &mut stages(common))?;
                let figures = comparison_figures(&found, &names);
                let json = comparison_json(&found, &names);
                (figures, json, [found.warnings, notes].concat())
            }
            None => {
                let score = collector.score()?;
                let figures = score.iter().map(|score| score_figure(score, &names));
                let score = score.as_ref().map(|score| score_json(score, &names));
                let nothing =
                    json!({"frechet": null, "kernel": null, "manifold": null, "score": score});
                (figures.collect(), nothing, Vec::new())
            }
        };
        if figures.is_empty() {
            figures.push(Figure::new("pictures", collector.count().to_string()));
        }
        json["pictures"] = json!(collector.count());
        if !measured.neighbours.is_empty() {
            let (rows, figure) = neighbours::describe(&measured.neighbours);
            json["neighbours"] = rows;
            figures.push(figure);
        }
        Ok(Findings {
            json: json!({"figures": json, "warnings": warnings, "protocol": details}),
            figures,
            warnings,
        })
    }

    fn page(&self, findings: &Findings, measured: &Measured) -> Result<Page> {
        let mut page = findings.page(&format!("Samples of {}", self.data().display()));
        if !measured.pictures.is_empty() {
            page.heading("Samples");
            let pictures: Vec<RgbImage> = measured.pictures.iter().map(shown).collect();
            let sheet = grid(&pictures, 8, GRID_PADDING);
            let caption = format!("the first {}, not chosen", pictures.len());
            page.picture(&sheet, &caption)?;
        }
        neighbours::show(&mut page, &measured.neighbours)?;
        if let Some(model) = &self.model {
            add_curves(&mut page, model);
        }
        page.protocol(findings.protocol());
        Ok(page)
    }
}

enum Source {
    Files(Vec<PathBuf>),
    Model(Box<Drawing>),
}

fn name_of(path: &Path) -> String {
    path.display().to_string()
}

/// Whether a file holds what `--save-statistics` writes, whoever's.
fn has_statistics(path: &Path) -> bool {
    let tensors = read_doubles(path).map(|(tensors, _)| tensors);
    tensors.is_ok_and(|tensors| tensors.contains_key("mean") && tensors.contains_key("covariance"))
}

fn statistics(path: &Path, protocol: &Protocol) -> Result<Given> {
    let reference = NamedReference::of_statistics(path, protocol)?;
    Ok(Given::Statistics(Box::new(reference)))
}

fn published(statistics: Published) -> Given {
    Given::Statistics(Box::new(statistics.reference()))
}
