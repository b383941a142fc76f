//! `smalti eval prior`: how probable pictures are to a prior, as a whole and code by code.

use super::pictures::PictureArgs;
use super::{Findings, ReportArgs, Steps, code_bars};
use crate::report::plot::{Line, lines};
use crate::report::{Figure, Page, add_curves};
use crate::{Common, models, progress};
use clap::Args;
use serde_json::json;
use smalti::data::{BadFile, Dataset, Item, none_readable};
use smalti::metrics::{BootstrapSettings, LikelihoodFigures, LikelihoodMeter, too_few_values};
use smalti::model::Model;
use smalti::prior::condition::Condition;
use smalti::prior::maker::SequenceMaker;
use smalti::prior::source::Material;
use smalti::prior::squares::{Cutter, Squares};
use smalti::prior::trainer::nats_of_codes;
use smalti::prior::{ConditionKind, PriorConfig, PriorTraining};
use smalti::{Error, Result};
use std::path::PathBuf;

/// Pictures that are read at a time.
const BATCH: usize = 64;

#[derive(Args)]
pub struct EvalPrior {
    /// A model with a prior: a file or a run folder
    #[arg(long)]
    model: PathBuf,
    #[command(flatten)]
    pictures: PictureArgs,
    /// What the condition is made from, as in training [default: what the training used]
    #[arg(long, value_name = "PATH")]
    condition_data: Option<PathBuf>,
    /// The folder of the text encoder [default: as in training]
    #[arg(long, value_name = "DIR")]
    text_encoder: Option<PathBuf>,
    /// The seed of resamples, and of what a condition draws by chance
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    report: ReportArgs,
}

/// What was found.
struct Measured {
    figures: LikelihoodFigures,
    counts: Vec<u64>,
    skipped: usize,
}

impl EvalPrior {
    pub fn run(self, common: &Common) -> Result<()> {
        self.report.check()?;
        let model = models::load_for_pictures(&self.model, common)?;
        let (config, _) = model.require_prior()?;
        let training = self.training(&model, config)?;
        training.transform().check()?;
        let material = Material::open(&training)?;
        let dataset = self
            .pictures
            .part(material.dataset()?, &model.info.recipe)?;
        let measured = self.measure(common, &model, (&training, &material), &dataset)?;
        let findings = self.findings(&model, &measured, &training);
        findings.print(common);
        if self.report.is_wanted() {
            let page = self.page(&findings, &measured, config);
            self.report.write(common, &page)?;
        }
        Ok(())
    }

    /// How the training made its sequences, and makes these: the middle square of each picture.
    fn training(&self, model: &Model, config: &PriorConfig) -> Result<PriorTraining> {
        let grid = [config.rows, config.columns];
        let [size, width] = model.tokenizer_config.pixels_of(grid);
        if size != width {
            return Err(Error::input(
                "this prior is not for square pictures; measuring those is not possible yet",
            ));
        }
        let recipe = &model.info.recipe;
        let setting = |name: &str| recipe.get(name).cloned().unwrap_or_default();
        let path = |given: &Option<PathBuf>, name: &str| {
            let trained = setting(name).as_str().map(PathBuf::from);
            given.clone().or(trained).unwrap_or_default()
        };
        let resize = setting("resize").as_u64().unwrap_or(0) as usize;
        let most = setting("layout_objects").as_u64();
        let text_encoder = path(&self.text_encoder, "text_encoder");
        if matches!(config.condition, Condition::Text(_)) && text_encoder.as_os_str().is_empty() {
            return Err(Error::input(
                "this prior is conditioned on texts: say with --text-encoder where the text encoder is",
            ));
        }
        let defaults = PriorTraining::default();
        Ok(PriorTraining {
            data: self.pictures.path(recipe)?,
            condition: kind_of(&config.condition),
            condition_data: path(&self.condition_data, "condition_data"),
            text_encoder,
            layout_objects: most.map_or(defaults.layout_objects, |most| most as usize),
            size,
            // Of another size than in training it would be another part of the picture.
            resize: if resize < size { 0 } else { resize },
            enlarge: setting("enlarge").as_bool() == Some(true),
            background: model.background(),
            seed: self.seed,
            ..defaults
        })
    }

    fn measure(
        &self,
        common: &Common,
        model: &Model,
        (training, material): (&PriorTraining, &Material),
        dataset: &Dataset,
    ) -> Result<Measured> {
        let (config, _) = model.require_prior()?;
        let condition = &config.condition;
        let classes = class_numbers(condition, dataset)?;
        let source = material.source(condition, dataset)?;
        let cutter = Cutter {
            transform: training.transform(),
            crops: 1,
            seed: self.seed,
            background: training.background,
            companions: source.companions(condition),
        };
        let maker = SequenceMaker {
            tokenizer: model,
            condition,
            condition_tokenizer: model.condition_tokenizer(),
            source: &source,
            seed: self.seed,
        };
        let mut meter = LikelihoodMeter::new(config.codes(), model.tokenizer_config.codes())?;
        let mut steps = Steps::new(common, dataset.len(), "pictures");
        let mut skipped: Vec<BadFile> = Vec::new();
        for (number, items) in dataset.items.chunks(BATCH).enumerate() {
            let first = number * BATCH;
            let (squares, bad) = cutter.cut(items, first)?;
            skipped.extend(bad);
            if !squares.is_empty() {
                add_squares(&mut meter, &maker, &squares, &classes)?;
            }
            steps.show(first + items.len());
        }
        drop(steps);
        for line in smalti::training::skipped_pictures(&skipped) {
            progress::note(common, line);
        }
        if skipped.len() == dataset.len() {
            return Err(none_readable(dataset.len(), skipped.first()));
        }
        let settings = BootstrapSettings {
            seed: self.seed,
            ..BootstrapSettings::default()
        };
        Ok(Measured {
            figures: meter.figures(training.size * training.size, &settings)?,
            counts: meter.codes().counts().to_vec(),
            skipped: skipped.len(),
        })
    }

    fn findings(&self, model: &Model, measured: &Measured, training: &PriorTraining) -> Findings {
        let found = &measured.figures;
        let per_code = |nats: f64| format!("{nats:.4} nats/code");
        let figures = vec![
            Figure::new("NLL", per_code(found.nats_per_code)).within(found.interval.as_ref(), 4),
            Figure::new("", format!("{:.4} bits/code", found.bits_per_code)),
            Figure::new("", format!("{:.4} bits/pixel", found.bits_per_pixel))
                .about("of the codes, for each pixel they stand for; no likelihood of pixels"),
            Figure::new("log K", per_code(found.log_codebook_size)).about("knowing nothing"),
            Figure::new("unigram", per_code(found.unigram_entropy))
                .about("knowing the frequencies of these very codes"),
        ];
        let protocol = json!({
            "model": self.model.display().to_string(),
            "step": model.info.step,
            "data": training.data.display().to_string(),
            "split": self.pictures.split().name(),
            "pictures": found.pictures,
            "skipped_pictures": measured.skipped,
            "codes_per_picture": found.codes_per_picture,
            "condition": model.prior.as_ref().map(|(config, _)| config.condition.name()),
            "size": training.size,
            "resize": (training.resize > 0).then_some(training.resize),
            "filter": training.transform().filter,
            "crop": "middle square",
            "interval": found.interval.as_ref().map(|_| "bootstrap over pictures"),
            "precision": model.tokenizer.precision,
            "seed": self.seed,
            "version": env!("CARGO_PKG_VERSION"),
        });
        let warnings: Vec<String> = too_few_values(found.pictures).into_iter().collect();
        Findings {
            json: json!({"figures": found, "warnings": warnings, "protocol": protocol}),
            figures,
            warnings,
        }
    }

    fn page(&self, findings: &Findings, measured: &Measured, config: &PriorConfig) -> Page {
        let mut page = findings.page(&format!("Likelihood under {}", self.model.display()));
        page.heading("Code by code");
        if measured.figures.error_by_position.is_some() {
            page.text("The band reaches 1.96 standard errors to either side.");
        }
        page.plot(&by_position(&measured.figures));
        if config.order.is_raster() {
            page.table(
                &["row", "nats per code"],
                &by_row(&measured.figures, config.columns),
            );
        }
        page.heading("Codes of these pictures");
        page.plot(&code_bars(&measured.counts));
        add_curves(&mut page, &self.model);
        page.protocol(findings.protocol());
        page
    }
}

fn kind_of(condition: &Condition) -> ConditionKind {
    match condition {
        Condition::None(_) => ConditionKind::None,
        Condition::Class(_) => ConditionKind::Class,
        Condition::Coord(_) => ConditionKind::Coord,
        Condition::Segmentation(_) => ConditionKind::Segmentation,
        Condition::Depth(_) => ConditionKind::Depth,
        Condition::Edges(_) => ConditionKind::Edges,
        Condition::Pose(_) => ConditionKind::Pose,
        Condition::Lowres(_) => ConditionKind::Lowres,
        Condition::Layout(_) => ConditionKind::Layout,
        Condition::Text(_) => ConditionKind::Text,
    }
}

/// Adds how probable the codes of squares are; `classes` are those of all pictures, or none.
fn add_squares(
    meter: &mut LikelihoodMeter,
    maker: &SequenceMaker<'_>,
    squares: &Squares,
    classes: &[i64],
) -> Result<()> {
    let model = maker.tokenizer;
    let (config, gpt) = model.require_prior()?;
    let mut set = maker.make(squares)?;
    if !classes.is_empty() {
        set.classes = squares.cuts.iter().map(|cut| classes[cut.item]).collect();
    }
    let all: Vec<usize> = (0..set.len()).collect();
    let nats = nats_of_codes(gpt, config, &set, &all, &model.device())?;
    for (index, nats) in nats.iter().enumerate() {
        meter.add(nats, set.picture(index))?;
    }
    Ok(())
}

/// The prior's number of each picture's class; none where it has no classes. Classes go by their names, where the prior
/// knows these.
fn class_numbers(condition: &Condition, dataset: &Dataset) -> Result<Vec<i64>> {
    let Condition::Class(known) = condition else {
        return Ok(Vec::new());
    };
    let number = |item: &Item| -> Result<i64> {
        let Some(class) = item.class else {
            return Err(Error::file(
                &item.path,
                "this picture has no class: move it into a class's folder",
            ));
        };
        let name = &dataset.classes[class];
        let number = match known.names.is_empty() {
            true => Some(class),
            false => known.names.iter().position(|known| known == name),
        };
        let Some(number) = number else {
            return Err(Error::input(format!(
                "the class `{name}` of the data is none of the prior's: it has {}",
                known.describe()
            )));
        };
        known.tokens(number)?;
        Ok(number as i64)
    };
    dataset.items.iter().map(number).collect()
}

fn by_position(found: &LikelihoodFigures) -> String {
    let errors = found.error_by_position.iter().flatten();
    let intervals = found.by_position.iter().zip(errors);
    let intervals = intervals.map(|(mean, error)| (mean - 1.96 * error, mean + 1.96 * error));
    let constant = |name: &str, value: f64| {
        let last = found.by_position.len().saturating_sub(1) as f64;
        Line::new(name, vec![(0.0, value), (last, value)])
    };
    let all = [
        Line::of_values("this prior", &found.by_position).with_intervals(intervals.collect()),
        constant("frequencies alone", found.unigram_entropy),
        constant("knowing nothing", found.log_codebook_size),
    ];
    lines(
        "Minus the log-probability of each code",
        "position, in the order of the prior",
        "nats",
        &all,
        false,
    )
}

fn by_row(found: &LikelihoodFigures, columns: usize) -> Vec<Vec<String>> {
    let rows = found.by_position.chunks(columns.max(1)).enumerate();
    rows.map(|(row, nats)| {
        let mean = nats.iter().sum::<f64>() / nats.len() as f64;
        vec![row.to_string(), format!("{mean:.4}")]
    })
    .collect()
}
