//! `smalti eval sweep`: how the figures of samples depend on how they are drawn, and on how many of them are kept.

use super::features::names_of;
use super::grid::{Cell, Lists};
use super::reference::{NamedReference, Published, PublishedArgs, is_published, name_unread};
use super::results::{Record, Results};
use super::sweep_page::{page, text_table};
use crate::commands::features::{ClassifierArgs, load_network};
use crate::commands::rejection::{self, CandidateView};
use crate::report::Page;
use crate::{Common, models, output, progress};
use clap::Args;
use serde_json::{Value, json};
use smalti::metrics::{
    Classifier, CollectorSettings, ComparisonSettings, FeatureCollector, FeatureNetwork, Protocol,
};
use smalti::model::Model;
use smalti::prior::condition::Condition;
use smalti::prior::{Prior, PriorConfig};
use smalti::sample::rejection::{Candidate, Wanted, plan, reject};
use smalti::sample::{
    Request, SampleOptions, Sampler, class_condition, decode_pictures, picture_seed,
};
use smalti::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct EvalSweep {
    /// A model with a prior, without a condition or with classes
    #[arg(long)]
    pub model: PathBuf,
    /// What samples are compared with: a folder or list of pictures, or a file of statistics, of ours (.safetensors) or
    /// as others publish them (mu and sigma in a .npz file)
    #[arg(long, value_name = "DIR|FILE")]
    pub reference: PathBuf,
    #[command(flatten)]
    pub published: PublishedArgs,
    /// The network whose features are compared: inception-fid, inception-torchvision, efficientnet-lite0, or a file of
    /// weights
    #[arg(long, value_name = "NAME|FILE")]
    pub features: String,
    /// Shares of the samples to keep, best first as --classifier has them, separated by commas
    #[arg(
        long,
        value_name = "SHARES",
        value_delimiter = ',',
        default_value = "1"
    )]
    pub accept: Vec<f64>,
    #[command(flatten)]
    pub classifier: ClassifierArgs,
    /// Draw among the k most probable codes only, for each of these k; 0 for all codes
    #[arg(long, value_name = "KS", value_delimiter = ',', default_value = "0")]
    pub top_k: Vec<usize>,
    /// Draw among the most probable codes that make up this share, for each of these shares; 1 for all codes
    #[arg(
        long,
        value_name = "SHARES",
        value_delimiter = ',',
        default_value = "1"
    )]
    pub top_p: Vec<f64>,
    /// Temperatures to draw at
    #[arg(long, value_name = "TS", value_delimiter = ',', default_value = "1")]
    pub temperature: Vec<f64>,
    /// Every combination; otherwise one list is gone through at a time, with the first values of the others
    #[arg(long)]
    pub all: bool,
    /// Samples that are kept and measured, for each combination
    #[arg(short, default_value_t = 1000)]
    pub n: usize,
    /// The most pictures of the reference whose features are kept for kernel distance, precision and recall
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub manifold_pictures: usize,
    /// The seed of the samples
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Samples drawn at the same time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: u32,
    /// The folder for the results; what is there already is not measured again
    #[arg(long)]
    pub out: PathBuf,
    /// Also write a page with a table and plots
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Replace a report that is there
    #[arg(long)]
    pub overwrite: bool,
}

/// Pictures that go through the decoder at once.
const DECODED: usize = 8;

/// All that samples are drawn and measured with.
struct Bench {
    model: Model,
    config: PriorConfig,
    gpt: Prior,
    /// Classes that take turns; one where there are none.
    classes: usize,
    network: FeatureNetwork,
    /// The reference, where it is statistics that others published.
    published: Option<Published>,
    /// What ranks samples, with its numbers of the prior's classes.
    classifier: Option<(Classifier, Vec<usize>)>,
}

/// What a sweep found.
pub struct Swept {
    pub json: Value,
    /// A table, as lines of text.
    pub table: Vec<String>,
    /// The same with plots.
    pub page: Page,
    /// Whether all combinations are measured: not after Ctrl-C where that is watched for.
    pub complete: bool,
}

/// What is known of a sample: its features, and the probability of its class.
struct Rated {
    features: Vec<f32>,
    probability: f64,
}

impl EvalSweep {
    pub fn run(self, common: &Common) -> Result<()> {
        let swept = self.sweep(common)?;
        output::print(common, swept.json, || swept.table);
        Ok(())
    }

    /// Measures all combinations that are not measured yet, and writes the report if one is wanted.
    pub fn sweep(&self, common: &Common) -> Result<Swept> {
        if self.n < 2 {
            return Err(Error::input("-n: figures take two samples at least"));
        }
        self.published.check(Some(self.reference.as_path()))?;
        if let Some(report) = &self.report {
            output::refuse_existing(report, self.overwrite)?;
        }
        let lists = Lists {
            accept: self.accept.clone(),
            top_k: self.top_k.clone(),
            top_p: self.top_p.clone(),
            temperature: self.temperature.clone(),
        };
        let cells = lists.cells(self.all)?;
        let bench = self.bench(common, &cells)?;
        output::folder(&self.out)?;
        let path = self.out.join("results.jsonl");
        let mut results = Results::open(&path, self.protocol(&bench)?, bench.ranked_by())?;
        let missing: Vec<Cell> = cells
            .iter()
            .copied()
            .filter(|cell| !results.has(cell))
            .collect();
        progress::note(
            common,
            format_args!(
                "{} of {} combinations are measured already",
                cells.len() - missing.len(),
                cells.len()
            ),
        );
        if !missing.is_empty() {
            self.measure(common, &bench, &missing, &mut results)?;
        }
        let records: Vec<&Record> = cells.iter().filter_map(|cell| results.get(cell)).collect();
        let names = names_of(Some(&bench.network));
        let mut protocol = results.protocol().clone();
        // Found out only while measuring, and perhaps another time than now.
        let skipped = records.iter().filter_map(|record| record.reference_skipped);
        protocol["reference_skipped_pictures"] = json!(skipped.max());
        let page = page(&lists, &records, &names, &protocol);
        if let Some(path) = &self.report {
            output::folder_of(path)?;
            page.write(path)?;
        }
        let json = json!({
            "protocol": protocol,
            "results": records,
            "out": self.out,
            "report": self.report,
        });
        Ok(Swept {
            json,
            table: text_table(&records, &names),
            page,
            complete: records.len() == cells.len(),
        })
    }

    fn bench(&self, common: &Common, cells: &[Cell]) -> Result<Bench> {
        let mut model = models::load_for_pictures(&self.model, common)?;
        let (config, gpt) = model.take_prior()?;
        let classes = match &config.condition {
            Condition::None(_) => 1,
            Condition::Class(condition) => condition.classes,
            other => {
                return Err(Error::input(format!(
                    "this prior draws under {}: a sweep draws without a condition, or of classes in turn",
                    other.name()
                )));
            }
        };
        let rejects = cells.iter().any(|cell| cell.accept < 1.0);
        let classifier = match rejects {
            true => Some(rejection::load(&self.classifier, common, &config)?),
            false => None,
        };
        let network = load_network(&self.features, common)?;
        let published = match is_published(&self.reference) {
            true => Some(self.published.open(&self.reference, Some(&network))?),
            false => None,
        };
        Ok(Bench {
            network,
            published,
            model,
            config,
            gpt,
            classes,
            classifier,
        })
    }

    /// Measures combinations: those that are drawn alike together, so that candidates are drawn once for all shares.
    fn measure(
        &self,
        common: &Common,
        bench: &Bench,
        cells: &[Cell],
        results: &mut Results,
    ) -> Result<()> {
        let NamedReference {
            reference, skipped, ..
        } = self.reference(common, bench)?;
        let settings = ComparisonSettings::default();
        for alike in Cell::drawn_alike(cells) {
            if progress::interrupted() {
                break;
            }
            let sets = self.draw(common, bench, &alike)?;
            for (cell, features) in alike.iter().zip(sets) {
                progress::note(common, format_args!("measuring {}", cell.describe()));
                let measured = FeatureCollector::of_samples(&bench.network, features)?;
                let figures = reference.figures(&measured, &settings, &mut |_| ())?;
                results.add(*cell, figures, skipped)?;
            }
        }
        Ok(())
    }

    /// Of each of some combinations the features of what is kept.
    fn draw(&self, common: &Common, bench: &Bench, cells: &[Cell]) -> Result<Vec<Vec<f32>>> {
        let Some(first) = cells.first() else {
            return Ok(Vec::new());
        };
        let options = SampleOptions {
            filter: first.filter(),
            batch: self.batch as usize,
            weights: common.weights(None),
            codes_per_position: bench.model.tokenizer_config.codes_per_position,
            ..SampleOptions::default()
        };
        let codes = bench.model.tokenizer_config.codes();
        let sampler = Sampler::new(bench.gpt.clone(), &bench.config, codes, options)?;
        let keep = self.counts(bench.classes);
        let plans = cells.iter().map(|cell| plan(&keep, cell.accept));
        let plans = plans.collect::<Result<Vec<Vec<Wanted>>>>()?;
        let most = |plan: &Vec<Wanted>| plan.iter().map(|wanted| wanted.draw).sum::<usize>();
        let total = plans.iter().map(most).max().unwrap_or(0);
        progress::note(
            common,
            format_args!("drawing {total} samples: {}", first.describe_drawing()),
        );
        let view = CandidateView::new(common, total);
        let kept = reject(
            &plans,
            options.batch,
            |round| bench.rated(&sampler, round, self.seed),
            |_, rated: &[Rated]| Ok(rated.iter().map(|rated| rated.probability).collect()),
            |progress| view.show(progress),
        )?;
        view.finish();
        let features = kept.iter().map(|kept| {
            let rows = kept.iter().map(|kept| kept.item.features.as_slice());
            rows.collect::<Vec<&[f32]>>().concat()
        });
        Ok(features.collect())
    }

    /// How many samples of each class, which take turns.
    fn counts(&self, classes: usize) -> BTreeMap<usize, usize> {
        let share = |class: usize| self.n / classes + usize::from(class < self.n % classes);
        (0..classes).map(|class| (class, share(class))).collect()
    }

    fn reference(&self, common: &Common, bench: &Bench) -> Result<NamedReference> {
        let named = match &bench.published {
            Some(published) => published.reference(),
            None if is_statistics(&self.reference) => {
                NamedReference::of_statistics(&self.reference, &self.features_protocol(bench)?)?
            }
            None => self.pictures(common, bench)?,
        };
        for note in &named.notes {
            progress::note(common, note);
        }
        Ok(named)
    }

    /// Measures the pictures of the reference.
    fn pictures(&self, common: &Common, bench: &Bench) -> Result<NamedReference> {
        let bar = progress::bar(common, 0, "pictures of the reference");
        let settings = CollectorSettings {
            parts: 2,
            kept: self.manifold_pictures,
            ..CollectorSettings::default()
        };
        let collected = FeatureCollector::of_data_set(
            &bench.network,
            (self.reference.as_path(), bench.side()?),
            settings,
            &mut |done, total| {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
            },
        );
        bar.finish_and_clear();
        let (collector, unread) = collected?;
        name_unread(common, &unread);
        let name = self.reference.display().to_string();
        NamedReference::of_pictures(&collector, name, Some(unread.as_slice()))
    }

    fn features_protocol(&self, bench: &Bench) -> Result<Protocol> {
        Ok(Protocol {
            network: bench.network.name().to_string(),
            checksum: bench.network.checksum().to_string(),
            resize: bench.network.preprocessing().to_string(),
            size: bench.side()?,
            data: self.reference.display().to_string(),
        })
    }

    /// All that results of one folder have in common, besides what ranks samples.
    fn protocol(&self, bench: &Bench) -> Result<Value> {
        let mut protocol = json!({
            "model": self.model,
            "step": bench.model.info.step,
            "tokenizer": bench.model.tokenizer_hash(),
            "codes": bench.model.tokenizer_config.codes(),
            "features": self.features_protocol(bench)?,
            "n": self.n,
            "seed": self.seed,
            "manifold_pictures": self.manifold_pictures,
            "precision": bench.model.tokenizer.precision,
            "version": env!("CARGO_PKG_VERSION"),
        });
        // What came later is only said where it is used, so that older results keep their protocol.
        if let Some(published) = &bench.published {
            protocol["reference"] = json!(published.name());
        }
        Ok(protocol)
    }
}

/// Whether the reference is a file of statistics of ours, not of pictures.
fn is_statistics(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "safetensors")
}

impl Bench {
    /// What ranks samples, for the results. Floats are texts: one that is read back from JSON may differ in its last
    /// digit.
    fn ranked_by(&self) -> Option<Value> {
        let (classifier, _) = self.classifier.as_ref()?;
        let info = classifier.info();
        Some(json!({
            "network": classifier.network().name(),
            "checksum": classifier.network().checksum(),
            "classes": classifier.names().len(),
            "data": info.map(|info| &info.data),
            "size": info.map(|info| info.size),
            "pictures": info.map(|info| info.pictures),
            "penalty": info.map(|info| info.penalty.to_string()),
            "accuracy": info.and_then(|info| info.accuracy).map(|share| share.to_string()),
        }))
    }

    /// The side of the samples.
    fn side(&self) -> Result<usize> {
        let grid = [self.config.rows, self.config.columns];
        let [height, width] = self.model.tokenizer_config.pixels_of(grid);
        if height == width {
            return Ok(width);
        }
        Err(Error::input(format!(
            "this prior draws pictures of {width}×{height} pixels; a sweep compares squares"
        )))
    }

    /// Draws candidates: candidate j of class c is picture j · C + c of `smalti sample`.
    fn rated(&self, sampler: &Sampler, round: &[Candidate], seed: u64) -> Result<Vec<Rated>> {
        let request = |candidate: &Candidate| -> Result<Request> {
            let class = Some(candidate.class);
            let seed = picture_seed(seed, candidate.number * self.classes + candidate.class);
            let condition = class_condition(&self.config, class)?;
            Ok(Request::new(condition, self.config.codes(), seed))
        };
        let requests = round.iter().map(request).collect::<Result<Vec<_>>>()?;
        let codes = sampler.draw(&requests, |_| ())?;
        let grid = [self.config.rows, self.config.columns];
        let pictures = decode_pictures(&self.model, &codes, grid, DECODED);
        let features = self.network.features_of(&pictures)?;
        let probabilities = match &self.classifier {
            None => vec![1.0; round.len()],
            Some((classifier, columns)) => {
                let own = classifier.network();
                let all = match self.network.is_like(own) {
                    true => classifier.probabilities_of(&features)?,
                    false => classifier.probabilities(&pictures)?,
                };
                rejection::of_classes(&all, columns, round)
            }
        };
        let rows = features.chunks_exact(self.network.dimension());
        let rated = rows.zip(probabilities).map(|(row, probability)| Rated {
            features: row.to_vec(),
            probability,
        });
        Ok(rated.collect())
    }
}
