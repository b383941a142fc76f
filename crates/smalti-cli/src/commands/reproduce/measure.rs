//! Figures of a comparison: of reconstructions, and of samples. Ctrl-C ends a measurement without a result.

use super::bench::Bench;
use crate::{models, progress};
use image::RgbImage;
use serde_json::{Value, json};
use smalti::data::{Dataset, Transform, load_all, none_readable, squares};
use smalti::metrics::reconstruction::images;
use smalti::metrics::{
    CollectorSettings, ComparisonSettings, FeatureCollector, FeatureNetwork, FeatureStatistics,
    FigureNames, ReconstructionMeter, Reference, SetFigures, frechet_distance,
};
use smalti::model::Model;
use smalti::ops::Precision;
use smalti::sample::{
    Request, SampleOptions, Sampler, WeightFormat, class_condition, decode_pictures, picture_seed,
};
use smalti::tokenizer::Lpips;
use smalti::tokenizer::perceptual::smallest_side;
use smalti::training::skipped_pictures;
use smalti::{Error, Result};

/// Pictures that go through a tokenizer at once.
const BATCH: usize = 16;

/// Pictures that go through the decoder at once.
const DECODED: usize = 8;

/// Samples that are shown.
const SHOWN: usize = 16;

/// The most pictures of the reference whose features are kept.
const KEPT: usize = 10_000;

/// Samples of a prior.
pub struct Drawn {
    /// The first of them.
    pub first: Vec<RgbImage>,
    pub figures: Option<SetFigures>,
}

/// What the figures of features are called.
pub fn names(bench: &Bench<'_>) -> FigureNames {
    match &bench.network {
        Some(network) => FigureNames::of(Some(network.classifier())),
        None => FigureNames {
            frechet: "FD".into(),
            kernel: "KD".into(),
            score: "score".into(),
        },
    }
}

/// Features of pictures and of what a tokenizer makes of them.
struct Sides<'a> {
    network: &'a FeatureNetwork,
    pictures: FeatureStatistics,
    reconstructions: FeatureStatistics,
}

impl<'a> Sides<'a> {
    fn new(network: &'a FeatureNetwork) -> Self {
        Self {
            network,
            pictures: FeatureStatistics::new(network.dimension()),
            reconstructions: FeatureStatistics::new(network.dimension()),
        }
    }

    fn add(&mut self, pictures: &[RgbImage], reconstructions: &[RgbImage]) -> Result<()> {
        self.pictures.add(&self.network.features_of(pictures)?)?;
        let features = self.network.features_of(reconstructions)?;
        self.reconstructions.add(&features)
    }

    /// Where there are pictures enough for a covariance.
    fn distance(&self) -> Result<Option<f64>> {
        if self.pictures.count() < 2 {
            return Ok(None);
        }
        let found = frechet_distance(&self.pictures, &self.reconstructions)?;
        Ok(Some(found.distance))
    }
}

/// The middle squares of those pictures that were held back, through a tokenizer; of all, where none were.
///
/// # Errors
/// Data of which nothing can be read, or pictures too small for LPIPS.
pub fn reconstruction(
    bench: &Bench<'_>,
    model: &Model,
    lpips: Option<&Lpips>,
) -> Result<Option<Value>> {
    let size = bench.size();
    if let Some(lpips) = lpips
        && size < smallest_side(lpips.architecture)
    {
        return Err(Error::input(format!(
            "pictures of {size} pixels are too small for LPIPS: say --perceptual none"
        )));
    }
    let dataset = held_back(bench)?;
    let transform = Transform::middle(size, true);
    let codes = model.tokenizer_config.codes();
    let mut meter = ReconstructionMeter::new(&model.tokenizer, codes, lpips).with_similarity();
    let mut sides = bench.network.as_ref().map(Sides::new);
    for items in dataset.items.chunks(BATCH) {
        if progress::interrupted() {
            return Ok(None);
        }
        let part = Dataset {
            items: items.to_vec(),
            classes: Vec::new(),
        };
        let (pictures, _, _) = load_all(&part, &transform, model.background())?;
        if pictures.is_empty() {
            continue;
        }
        let pixels = squares(&pictures, size, &models::device());
        let decoded = meter.add(pixels.clone());
        if let Some(sides) = &mut sides {
            sides.add(&images(pixels), &images(decoded))?;
        }
    }
    let figures = meter.figures();
    if figures.pictures == 0 {
        return Err(none_readable(dataset.len(), None));
    }
    let frechet = match &sides {
        Some(sides) => sides.distance()?,
        None => None,
    };
    Ok(Some(json!({
        "pictures": figures.pictures,
        "frechet": frechet,
        "psnr": figures.psnr,
        "ssim": figures.ssim,
        "lpips": figures.lpips,
        "pixel_loss": figures.pixel_loss,
        "usage": figures.usage,
        "perplexity": figures.perplexity,
        "codes_per_picture": figures.codes / figures.pictures,
    })))
}

fn held_back(bench: &Bench<'_>) -> Result<Dataset> {
    let training = &bench.base.tokenizer.training;
    let dataset = Dataset::open(&training.data)?;
    let (_, held_back) = dataset.split(training.validation, training.seed);
    Ok(match held_back.is_empty() {
        true => dataset,
        false => held_back,
    })
}

/// What samples are compared with: the middle squares of all pictures; `None` where features are not wanted.
pub fn reference(bench: &Bench<'_>) -> Result<Option<Reference>> {
    let Some(network) = &bench.network else {
        return Ok(None);
    };
    let place = (bench.ask.data.as_path(), bench.size());
    let settings = CollectorSettings {
        parts: 2,
        kept: KEPT,
        ..CollectorSettings::default()
    };
    let bar = progress::bar(bench.common, 0, "pictures of the reference");
    let collected = FeatureCollector::of_data_set(network, place, settings, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let (collected, unread) = collected?;
    for note in skipped_pictures(&unread) {
        progress::note(bench.common, note);
    }
    Ok(Some(Reference::of_pictures(&collected)?))
}

/// Whole pictures of an unconditional prior, through a window where it sees less: as many as are measured, or as are
/// shown where there is nothing to measure with.
pub fn samples(
    bench: &Bench<'_>,
    mut model: Model,
    reference: Option<&Reference>,
) -> Result<Option<Drawn>> {
    let (config, prior) = model.take_prior()?;
    let grid = model.tokenizer_config.grid([bench.size(); 2]);
    let options = SampleOptions {
        batch: bench.ask.batch as usize,
        grid: Some(grid),
        windowing: bench.ask.window,
        codes_per_position: model.tokenizer_config.codes_per_position,
        weights: match bench.common.precision {
            Some(Precision::Bf16) => WeightFormat::Bf16,
            _ => WeightFormat::F32,
        },
        ..SampleOptions::default()
    };
    let sampler = Sampler::new(prior, &config, model.tokenizer_config.codes(), options)?;
    let measuring = bench.network.as_ref().zip(reference);
    let count = match measuring {
        Some(_) => bench.ask.n,
        None => SHOWN,
    };
    let request = |index: usize| -> Result<Request> {
        let condition = class_condition(&config, None)?;
        let seed = picture_seed(bench.ask.seed, index);
        Ok(Request::new(condition, grid[0] * grid[1], seed))
    };
    let requests = (0..count).map(request).collect::<Result<Vec<_>>>()?;
    let bar = progress::bar(bench.common, count as u64, "samples");
    let (mut first, mut features) = (Vec::new(), Vec::new());
    for requests in requests.chunks(options.batch) {
        if progress::interrupted() {
            return Ok(None);
        }
        let codes = sampler.draw(requests, |_| ())?;
        let pictures = decode_pictures(&model, &codes, grid, DECODED);
        if let Some((network, _)) = measuring {
            features.extend(network.features_of(&pictures)?);
        }
        let missing = SHOWN.saturating_sub(first.len());
        first.extend(pictures.into_iter().take(missing));
        bar.inc(requests.len() as u64);
    }
    bar.finish_and_clear();
    let figures = match measuring {
        Some((network, reference)) => {
            let collected = FeatureCollector::of_samples(network, features)?;
            let settings = ComparisonSettings::default();
            Some(reference.figures(&collected, &settings, &mut |_| ())?)
        }
        None => None,
    };
    Ok(Some(Drawn { first, figures }))
}
