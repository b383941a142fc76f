//! `smalti eval reconstruction`: how well a tokenizer gives pictures back.

use super::features::{
    FeatureArgs, add_pictures, comparison_figures, comparison_json, names_of, stages,
};
use super::pictures::PictureArgs;
use super::{Findings, ReportArgs, Steps, code_bars};
use crate::commands::train::load_lpips;
use crate::report::{Figure, Page, add_curves, shown};
use crate::{Common, models, progress};
use clap::Args;
use image::RgbImage;
use serde_json::{Value, json};
use smalti::data::{
    Crop, Dataset, Filter, GRID_PADDING, Kind, Loader, LoaderConfig, Resize, Transform, grid,
};
use smalti::metrics::reconstruction::images;
use smalti::metrics::{
    BootstrapSettings, Comparison, FeatureCollector, FeatureNetwork, Likeness,
    ReconstructionFigures, ReconstructionIntervals, ReconstructionMeter, Reference, SsimWindow,
    too_few_values,
};
use smalti::model::Model;
use smalti::tokenizer::Lpips;
use smalti::{Error, Result, Tensor};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Pictures that go through the network at once.
const BATCH: usize = 16;

/// The best and the worst pictures that a page shows.
const EXTREMES: usize = 8;

#[derive(Args)]
pub struct EvalReconstruction {
    /// A model file or a run folder
    #[arg(long)]
    model: PathBuf,
    #[command(flatten)]
    pictures: PictureArgs,
    /// Random square crops per picture
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    crops: u32,
    /// The side of the crops in pixels [default: as in training]
    #[arg(long)]
    size: Option<usize>,
    /// The shorter side of a picture is brought to this before the crop [default: as in training]
    #[arg(long)]
    resize: Option<usize>,
    /// The seed of crops, of the choice of pictures and of resamples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The network for LPIPS: vgg, alex, none, or a file
    #[arg(long, default_value = "vgg")]
    perceptual: String,
    #[command(flatten)]
    features: FeatureArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// What was found of all crops.
struct Measured {
    figures: ReconstructionFigures,
    intervals: ReconstructionIntervals,
    counts: Vec<u64>,
    comparison: Option<Comparison>,
    /// How many different files were read.
    pictures: usize,
    skipped: usize,
    extremes: Extremes,
}

/// The crops that came back best and worst.
#[derive(Default)]
struct Extremes {
    best: Vec<Shown>,
    worst: Vec<Shown>,
}

#[derive(Clone)]
struct Shown {
    psnr: f64,
    name: String,
    /// The picture and its reconstruction.
    pair: [RgbImage; 2],
}

/// Crops of all pictures, as many of each.
struct Crops {
    loader: Loader,
    /// How many there are.
    total: usize,
    /// Of each so far, the number of its picture in the data set.
    sources: Vec<usize>,
}

/// Both sides of a Fréchet distance of reconstructions.
struct Sides<'a> {
    network: &'a FeatureNetwork,
    pictures: FeatureCollector,
    reconstructions: FeatureCollector,
}

impl EvalReconstruction {
    pub fn run(self, common: &Common) -> Result<()> {
        self.report.check()?;
        let model = models::load_for_pictures(&self.model, common)?;
        let lpips = load_lpips(&self.perceptual, common)?;
        let network = self.features.network(common)?;
        let data = self.pictures.path(&model.info.recipe)?;
        let dataset = self
            .pictures
            .part(Dataset::open(&data)?, &model.info.recipe)?;
        let transform = self.transform(&model)?;
        let networks = (lpips.as_ref(), network.as_ref());
        let measured = self.measure(common, &model, networks, (dataset, transform))?;
        let findings = self.findings(&model, &measured, network.as_ref(), transform);
        findings.print(common);
        if self.report.is_wanted() {
            self.report
                .write(common, &self.page(&findings, &measured)?)?;
        }
        Ok(())
    }

    fn transform(&self, model: &Model) -> Result<Transform> {
        let setting = |name: &str| {
            let value = model.info.recipe.get(name)?.as_u64()?;
            usize::try_from(value).ok().filter(|&value| value > 0)
        };
        let size = self.size.or(setting("size")).unwrap_or(256);
        let factor = model.tokenizer_config.factor();
        if size == 0 || !size.is_multiple_of(factor) {
            return Err(Error::input(format!(
                "--size {size}: it must be a multiple of {factor}, the tokenizer's downsampling factor"
            )));
        }
        let transform = Transform {
            size,
            resize: Resize::Shortest(self.resize.or(setting("resize")).unwrap_or(size)),
            enlarge: true,
            crop: if self.crops == 1 {
                Crop::Center
            } else {
                Crop::Random
            },
            flip: false,
            filter: Filter::Lanczos,
        };
        transform.check()?;
        Ok(transform)
    }

    fn measure(
        &self,
        common: &Common,
        model: &Model,
        (lpips, network): (Option<&Lpips>, Option<&FeatureNetwork>),
        (dataset, transform): (Dataset, Transform),
    ) -> Result<Measured> {
        let dataset = Arc::new(dataset);
        let mut crops = self.crops(&dataset, model, transform)?;
        let codes = model.tokenizer_config.codes();
        let mut meter = ReconstructionMeter::new(&model.tokenizer, codes, lpips).with_similarity();
        let mut sides = network.map(|network| self.sides(network)).transpose()?;
        let mut extremes = self.report.is_wanted().then(Extremes::default);
        let mut steps = Steps::new(common, crops.total, "crops");
        while let Some((indices, pixels)) = crops.next()? {
            let first = crops.sources.len() - indices.len();
            let decoded = meter.add(pixels.clone());
            let name = |place: usize| dataset.items[indices[place]].path.display().to_string();
            if sides.is_some() || extremes.is_some() {
                let pairs = Pairs::new(pixels, decoded);
                if let Some(sides) = &mut sides {
                    sides.add(&pairs, name)?;
                }
                if let Some(extremes) = &mut extremes {
                    extremes.add_all(&meter.likenesses()[first..], &pairs, name);
                }
            }
            steps.show(crops.sources.len());
        }
        drop(steps);
        let skipped = crops.loader.bad_files();
        for line in smalti::training::skipped_pictures(&skipped) {
            progress::note(common, line);
        }
        let settings = BootstrapSettings {
            seed: self.seed,
            ..BootstrapSettings::default()
        };
        let comparison = match sides {
            Some(sides) => Some(self.compare(common, &sides)?),
            None => None,
        };
        let sources = &crops.sources;
        Ok(Measured {
            figures: meter.figures(),
            intervals: meter.intervals(sources, &settings)?,
            counts: meter.histogram().counts().to_vec(),
            comparison,
            pictures: sources.iter().collect::<BTreeSet<_>>().len(),
            skipped: skipped.len(),
            extremes: extremes.unwrap_or_default(),
        })
    }

    /// What is measured, from the first crop on.
    fn crops(&self, dataset: &Arc<Dataset>, model: &Model, transform: Transform) -> Result<Crops> {
        let total = dataset.items.len() * self.crops as usize;
        let config = LoaderConfig {
            batch: BATCH.min(total),
            kind: Kind::Pictures,
            transform,
            background: model.background(),
            seed: self.seed,
            workers: 2,
            first_step: 0,
            cache_bytes: 1 << 30,
        };
        Ok(Crops {
            loader: Loader::new(Arc::clone(dataset), config)?,
            total,
            sources: Vec::new(),
        })
    }

    fn sides<'a>(&self, network: &'a FeatureNetwork) -> Result<Sides<'a>> {
        let reference = self.features.reference_settings(self.seed);
        let measured = self.features.settings(self.seed);
        Ok(Sides {
            network,
            pictures: FeatureCollector::for_network(network, reference)?,
            reconstructions: FeatureCollector::for_network(network, measured)?,
        })
    }

    fn compare(&self, common: &Common, sides: &Sides<'_>) -> Result<Comparison> {
        let reference = Reference::of_pictures(&sides.pictures)?;
        let settings = self.features.comparison(self.seed);
        reference.compare(&sides.reconstructions, &settings, &mut stages(common))
    }

    fn findings(
        &self,
        model: &Model,
        measured: &Measured,
        network: Option<&FeatureNetwork>,
        transform: Transform,
    ) -> Findings {
        let names = names_of(network);
        let mut figures = likeness_figures(&measured.figures, &measured.intervals);
        let mut json = json!(measured.figures);
        json["intervals"] = json!(measured.intervals);
        json["code_counts"] = json!(measured.counts);
        json["features"] = Value::Null;
        let mut warnings: Vec<String> = too_few_values(measured.pictures).into_iter().collect();
        if let Some(found) = &measured.comparison {
            let of_features = comparison_figures(found, &names).into_iter();
            // Of reconstructions they are told from those of samples by an r.
            figures.extend(of_features.map(|figure| Figure {
                name: format!("r{}", figure.name),
                ..figure
            }));
            json["features"] = comparison_json(found, &names);
            warnings.extend(found.warnings.iter().cloned());
        }
        let protocol = self.protocol(model, measured, network, transform);
        Findings {
            json: json!({"figures": json, "warnings": warnings, "protocol": protocol}),
            figures,
            warnings,
        }
    }

    fn protocol(
        &self,
        model: &Model,
        measured: &Measured,
        network: Option<&FeatureNetwork>,
        transform: Transform,
    ) -> Value {
        json!({
            "model": self.model.display().to_string(),
            "step": model.info.step,
            "split": self.pictures.split().name(),
            "pictures": measured.pictures,
            "skipped_pictures": measured.skipped,
            "crops_per_picture": self.crops,
            "seed": self.seed,
            "size": transform.size,
            "resize": match transform.resize {
                Resize::Shortest(side) => Some(side),
                Resize::None => None,
            },
            "filter": transform.filter,
            "crop": transform.crop,
            "lpips": self.perceptual,
            "ssim": measured.figures.ssim.map(|_| SsimWindow::Gaussian.name()),
            "psnr": "of floats in [-1, 1], reconstructions clamped and not rounded; mean over crops",
            "intervals": measured.intervals.psnr.as_ref().map(|_| "bootstrap over pictures"),
            "features": network.map(|network| self.features.protocol(Some(network))),
            "precision": model.tokenizer.precision,
            "version": env!("CARGO_PKG_VERSION"),
        })
    }

    fn page(&self, findings: &Findings, measured: &Measured) -> Result<Page> {
        let mut page = findings.page(&format!("Reconstructions of {}", self.model.display()));
        for (title, crops) in [
            ("Best reconstructions", &measured.extremes.best),
            ("Worst reconstructions", &measured.extremes.worst),
        ] {
            page.heading(title);
            page.text("Each picture beside its reconstruction.");
            for crop in crops {
                let caption = format!("{:.2} dB · {}", crop.psnr, crop.name);
                page.picture(&grid(&crop.pair, 2, GRID_PADDING), &caption)?;
            }
        }
        page.heading("Codebook");
        page.plot(&code_bars(&measured.counts));
        add_curves(&mut page, &self.model);
        page.protocol(findings.protocol());
        Ok(page)
    }
}

impl Crops {
    /// The next crops with the numbers of their pictures, until there have been as many as there are.
    fn next(&mut self) -> Result<Option<(Vec<usize>, Tensor<4>)>> {
        let left = self.total - self.sources.len();
        if left == 0 {
            return Ok(None);
        }
        let batch = self.loader.next()?;
        let count = batch.indices.len().min(left);
        let indices = batch.indices[..count].to_vec();
        self.sources.extend(&indices);
        let pixels = batch.into_tensor(&models::device()).narrow(0, 0, count);
        Ok(Some((indices, pixels)))
    }
}

/// Crops and their reconstructions, rounded to 8 bits.
struct Pairs {
    pictures: Vec<RgbImage>,
    reconstructions: Vec<RgbImage>,
}

impl Pairs {
    fn new(pixels: Tensor<4>, decoded: Tensor<4>) -> Self {
        Self {
            pictures: images(pixels),
            reconstructions: images(decoded),
        }
    }

    fn shown(&self, place: usize, psnr: f64, name: String) -> Shown {
        Shown {
            psnr,
            name,
            pair: [&self.pictures[place], &self.reconstructions[place]].map(shown),
        }
    }
}

impl Sides<'_> {
    fn add(&mut self, pairs: &Pairs, name: impl Fn(usize) -> String) -> Result<()> {
        add_pictures(self.network, &mut self.pictures, &pairs.pictures, &name)?;
        add_pictures(
            self.network,
            &mut self.reconstructions,
            &pairs.reconstructions,
            |place| format!("the reconstruction of {}", name(place)),
        )
    }
}

impl Extremes {
    /// Looks at crops and what they are called, by their places.
    fn add_all(&mut self, likenesses: &[Likeness], pairs: &Pairs, name: impl Fn(usize) -> String) {
        for (place, &Likeness { psnr, .. }) in likenesses.iter().enumerate() {
            self.add(psnr, || pairs.shown(place, psnr, name(place)));
        }
    }

    /// Keeps a crop if it is one of the best or worst; only then is it made.
    fn add(&mut self, psnr: f64, shown: impl Fn() -> Shown) {
        insert(&mut self.best, psnr, |kept| kept < psnr, &shown);
        insert(&mut self.worst, psnr, |kept| kept > psnr, &shown);
    }
}

/// Puts a crop before the first that is `beaten`, and drops what is too many.
fn insert(
    list: &mut Vec<Shown>,
    psnr: f64,
    beaten: impl Fn(f64) -> bool,
    shown: &dyn Fn() -> Shown,
) {
    let first = list.iter().position(|kept| beaten(kept.psnr));
    let place = first.unwrap_or(list.len());
    if place < EXTREMES && !psnr.is_nan() {
        list.insert(place, shown());
        list.truncate(EXTREMES);
    }
}

fn likeness_figures(
    figures: &ReconstructionFigures,
    intervals: &ReconstructionIntervals,
) -> Vec<Figure> {
    let psnr = Figure::new("PSNR", format!("{:.2} dB", figures.psnr));
    let mut rows = vec![psnr.within(intervals.psnr.as_ref(), 2)];
    for (name, value, interval) in [
        ("SSIM", figures.ssim, &intervals.ssim),
        ("MS-SSIM", figures.ms_ssim, &intervals.ms_ssim),
        ("LPIPS", figures.lpips, &intervals.lpips),
        ("|x − x̂|", Some(figures.pixel_loss), &intervals.pixel_loss),
    ] {
        let row = value.map(|value| Figure::new(name, format!("{value:.4}")));
        rows.extend(row.map(|row| row.within(interval.as_ref(), 4)));
    }
    let usage = Figure::new("codebook", format!("{:.1} %", 100.0 * figures.usage));
    rows.push(usage.about(format!(
        "of {} codes occur in {}",
        figures.codebook_size, figures.codes
    )));
    rows.push(Figure::new(
        "perplexity",
        format!("{:.0}", figures.perplexity),
    ));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_and_the_worst_are_kept_in_order() {
        let mut extremes = Extremes::default();
        for index in 0..40 {
            let psnr = f64::from(index * 17 % 40);
            extremes.add(psnr, || Shown {
                psnr,
                name: String::new(),
                pair: [RgbImage::new(1, 1), RgbImage::new(1, 1)],
            });
        }
        let of = |list: &[Shown]| list.iter().map(|shown| shown.psnr).collect::<Vec<_>>();
        let numbers = |numbers: [i32; 8]| numbers.map(f64::from).to_vec();
        assert_eq!(
            of(&extremes.best),
            numbers([39, 38, 37, 36, 35, 34, 33, 32])
        );
        assert_eq!(of(&extremes.worst), numbers([0, 1, 2, 3, 4, 5, 6, 7]));
    }
}
