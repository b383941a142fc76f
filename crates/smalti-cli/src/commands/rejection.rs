//! Rejection sampling for `sample`: many pictures are drawn of every class, and those stay that a classifier is surest
//! of.

use super::features::ClassifierArgs;
use crate::Common;
use crate::progress::{self, PLAIN_EVERY};
use clap::Args;
use image::RgbImage;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Value, json};
use smalti::metrics::Classifier;
use smalti::model::Model;
use smalti::prior::PriorConfig;
use smalti::prior::condition::Condition;
use smalti::sample::rejection::{Candidate, Kept, RejectionProgress, Wanted, plan, reject};
use smalti::sample::{Request, Sampler, picture_seed};
use smalti::tokenizer::picture;
use smalti::tokenizer::tiled::Plan;
use smalti::{Error, Result};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Instant;

#[derive(Args)]
pub struct RejectionArgs {
    /// Of all pictures drawn of a class keep only this share, the ones that --classifier gives the class with the highest
    /// probability; -n counts those that are kept
    #[arg(
        long,
        value_name = "SHARE",
        requires = "classifier",
        conflicts_with = "preview"
    )]
    accept: Option<f64>,
    #[command(flatten)]
    classifier: ClassifierArgs,
}

/// What is needed to draw and to reject.
pub struct Rejection {
    classifier: Classifier,
    /// For each class of the prior the classifier's number of it.
    columns: Vec<usize>,
    /// The class of each picture that is wanted.
    classes: Vec<usize>,
    plan: Vec<Wanted>,
    accept: f64,
}

/// What came out, in the order in which pictures are wanted.
pub struct Accepted {
    pub codes: Vec<Vec<i64>>,
    ratings: Vec<Rating>,
    drawn: usize,
}

/// What is said of a picture that was kept.
#[derive(Serialize)]
struct Rating {
    class: usize,
    /// Among those of its class, 0 for the best.
    rank: usize,
    /// Its number among the candidates of its class.
    candidate: usize,
    probability: f64,
}

/// How pictures are decoded.
pub struct Decoding<'a> {
    pub model: &'a Model,
    pub grid: [usize; 2],
    pub plan: &'a Plan,
}

impl RejectionArgs {
    /// Loads the classifier and says what will be drawn for pictures of these `classes`; `None` where nothing is to be
    /// rejected.
    pub fn prepare(
        &self,
        common: &Common,
        config: &PriorConfig,
        classes: &[i64],
    ) -> Result<Option<Rejection>> {
        let Some(accept) = self.accept else {
            return Ok(None);
        };
        let classes: Vec<usize> = classes.iter().map(|&class| class as usize).collect();
        let plan = plan(&counts(&classes), accept)?;
        let (classifier, columns) = load(&self.classifier, common, config)?;
        Ok(Some(Rejection {
            classifier,
            columns,
            classes,
            plan,
            accept,
        }))
    }
}

/// The classifier, and which of its classes each class of the prior is.
pub fn load(
    args: &ClassifierArgs,
    common: &Common,
    config: &PriorConfig,
) -> Result<(Classifier, Vec<usize>)> {
    let Condition::Class(condition) = &config.condition else {
        return Err(Error::input(format!(
            "--accept ranks the pictures of a class, but the condition of this prior is {}",
            config.condition.name()
        )));
    };
    let classifier = args.load(common)?;
    let columns = classifier.columns(&condition.names, condition.classes)?;
    Ok((classifier, columns))
}

/// How many of each class.
fn counts(classes: &[usize]) -> BTreeMap<usize, usize> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for class in classes {
        *counts.entry(*class).or_default() += 1;
    }
    counts
}

impl Rejection {
    /// Draws until all pictures are there that `requests` ask for. Candidate j of class c is picture j · C + c of those
    /// that are drawn without rejection when C classes take turns: so what is kept are the best of the first so many.
    pub fn draw(
        &self,
        common: &Common,
        sampler: &Sampler,
        requests: &[Request],
        decoding: &Decoding<'_>,
        (seed, at_once): (u64, usize),
    ) -> Result<Accepted> {
        let templates: BTreeMap<usize, &Request> =
            self.classes.iter().copied().zip(requests).collect();
        let turns = self.columns.len();
        let request = |candidate: &Candidate| -> Option<Request> {
            let template = *templates.get(&candidate.class)?;
            Some(Request {
                seed: picture_seed(seed, candidate.number * turns + candidate.class),
                ..template.clone()
            })
        };
        let total: usize = self.plan.iter().map(|wanted| wanted.draw).sum();
        let view = CandidateView::new(common, total);
        let kept = reject(
            std::slice::from_ref(&self.plan),
            at_once,
            |round| {
                let requests: Vec<Request> = round.iter().filter_map(request).collect();
                sampler.draw(&requests, |_| ())
            },
            |round, codes| {
                let probabilities = self.classifier.probabilities(&decoding.pictures(codes))?;
                Ok(of_classes(&probabilities, &self.columns, round))
            },
            |progress| view.show(progress),
        )?;
        view.finish();
        Ok(self.accepted(kept.into_iter().flatten(), total))
    }

    /// Deals what was kept to the pictures that are wanted: the first of a class gets the best.
    fn accepted(&self, kept: impl Iterator<Item = Kept<Vec<i64>>>, drawn: usize) -> Accepted {
        let place = |kept: &Kept<Vec<i64>>| (kept.candidate.class, kept.rank);
        let mut kept: BTreeMap<(usize, usize), Kept<Vec<i64>>> =
            kept.map(|kept| (place(&kept), kept)).collect();
        let mut ranks = BTreeMap::new();
        let (mut codes, mut ratings) = (Vec::new(), Vec::new());
        for &class in &self.classes {
            let rank = ranks.entry(class).or_insert(0);
            if let Some(kept) = kept.remove(&(class, *rank)) {
                ratings.push(Rating {
                    class,
                    rank: *rank,
                    candidate: kept.candidate.number,
                    probability: kept.probability,
                });
                codes.push(kept.item.to_vec());
            }
            *rank += 1;
        }
        Accepted {
            codes,
            ratings,
            drawn,
        }
    }

    /// For the report.
    pub fn json(&self, accepted: &Accepted) -> Value {
        json!({
            "accept": self.accept,
            "drawn": accepted.drawn,
            "network": self.classifier.network().name(),
            "checksum": self.classifier.network().checksum(),
            "classifier": self.classifier.info(),
            "pictures": accepted.ratings,
        })
    }
}

impl Accepted {
    pub fn describe(&self) -> String {
        let probabilities = || self.ratings.iter().map(|rating| rating.probability);
        let count = self.ratings.len();
        format!(
            "the best {count} of {} drawn: their classes have probability {:.3} on average, {:.3} at the least",
            self.drawn,
            probabilities().sum::<f64>() / count.max(1) as f64,
            probabilities().fold(1.0, f64::min)
        )
    }
}

/// Of the probabilities of all classes, a row for each candidate, that of its own; `columns` are the classifier's numbers
/// of the prior's classes.
pub fn of_classes(probabilities: &[f64], columns: &[usize], round: &[Candidate]) -> Vec<f64> {
    let classes = probabilities.len() / round.len().max(1);
    let rows = probabilities.chunks_exact(classes.max(1));
    let own = rows.zip(round);
    own.map(|(row, candidate)| row[columns[candidate.class]])
        .collect()
}

impl Decoding<'_> {
    fn pictures(&self, codes: &[Vec<i64>]) -> Vec<RgbImage> {
        let picture = |codes: &Vec<i64>| {
            picture::decode_planned(self.model, codes, self.grid, self.plan, &mut || ())
        };
        codes.iter().map(picture).collect()
    }
}

/// Shows how many candidates are drawn and kept.
pub struct CandidateView<'a> {
    common: &'a Common,
    bar: ProgressBar,
    started: Instant,
    last_line: Cell<Instant>,
}

impl<'a> CandidateView<'a> {
    pub fn new(common: &'a Common, total: usize) -> Self {
        Self {
            common,
            bar: progress::bar(common, total as u64, "drawn · {msg}"),
            started: Instant::now(),
            last_line: Cell::new(Instant::now()),
        }
    }

    pub fn show(&self, progress: RejectionProgress) {
        let RejectionProgress { drawn, total, kept } = progress;
        self.bar.set_message(format!("{kept} kept"));
        self.bar.set_position(drawn as u64);
        if self.bar.is_hidden() && self.last_line.get().elapsed() >= PLAIN_EVERY {
            let rate = drawn as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
            let left = progress::time(total.saturating_sub(drawn) as f64 / rate.max(1e-9));
            progress::note(
                self.common,
                format_args!("{drawn}/{total} drawn · {kept} kept · {left} left"),
            );
            self.last_line.set(Instant::now());
        }
    }

    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
