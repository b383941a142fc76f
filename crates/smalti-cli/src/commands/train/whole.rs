//! `smalti train` without a stage: looks at pictures and machine, chooses what is not said, and trains both stages.
//!
//! A folder holds it all: the runs `tokenizer` and `prior`, what each is to be trained with before it has begun
//! (`tokenizer.yaml`, `prior.yaml`), and in the end `model.safetensors` and `samples`.

use super::{check_data, load_kept, load_lpips, tokenizer_of};
use crate::progress::{self, TrainingView};
use crate::{Common, models, output};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use smalti::auto::{Choice, Choices, Facts, Wishes, choose};
use smalti::data::{GRID_PADDING, grid, write_png};
use smalti::model::Model;
use smalti::prior::condition::Condition;
use smalti::prior::{self, PriorJob, PriorRecipe};
use smalti::sample::{
    Filter, Request, SampleOptions, class_condition, decode_pictures, picture_seed, sample_codes,
};
use smalti::tokenizer::{self, TokenizerJob, TokenizerRecipe};
use smalti::training::settings::{Settings, set, set_from_argument, set_from_file, to_yaml};
use smalti::training::{Run, Trained};
use smalti::{Error, Result};
use std::path::{Path, PathBuf};

/// The names of the stages: of their folders, their settings before they begin, and in `--set`.
const TOKENIZER: &str = "tokenizer";
const PRIOR: &str = "prior";

/// Settings of the prior that name what is not trained here.
const OTHERS: [&str; 2] = ["prior.tokenizer", "prior.condition_tokenizer"];

/// How the samples lie on their sheet: a row for each of at most eight classes, or four rows.
const COLUMNS: usize = 8;
const ROWS: usize = 4;

/// What the prior is conditioned on.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Learn {
    /// The folder a picture lies in
    Class,
    /// Nothing
    None,
}

#[derive(Args)]
pub struct TrainWhole {
    /// A folder of pictures (sub-folder = class), or a list file
    #[arg(long)]
    data: Option<PathBuf>,
    /// Minutes for both stages together
    #[arg(long, default_value_t = 60.0, conflicts_with = "resume")]
    minutes: f64,
    /// Side of the squares that are learned, in pixels [default: chosen]
    #[arg(long, conflicts_with = "resume")]
    size: Option<usize>,
    /// What the prior is conditioned on [default: chosen]
    #[arg(long, value_enum, conflicts_with = "resume")]
    condition: Option<Learn>,
    /// The perceptual loss: vgg, alex, none, or a file of LPIPS weights [default: chosen]
    #[arg(long)]
    perceptual: Option<String>,
    /// One setting of a stage, as tokenizer.key=value or prior.key=value; may be given several times
    #[arg(long = "set", value_name = "STAGE.KEY=VALUE")]
    settings: Vec<String>,
    /// The seed of everything random
    #[arg(long, conflicts_with = "resume")]
    seed: Option<u64>,
    /// The folder to create
    #[arg(long, default_value = "run", conflicts_with = "resume")]
    out: PathBuf,
    /// Continue what is in this folder, with its own settings
    #[arg(long, value_name = "OUT")]
    resume: Option<PathBuf>,
    /// Only say what would be chosen
    #[arg(long, conflicts_with = "resume")]
    dry_run: bool,
}

/// What both stages are trained with.
struct Recipes {
    tokenizer: TokenizerRecipe,
    prior: PriorRecipe,
}

impl TrainWhole {
    pub fn run(self, common: &Common) -> Result<()> {
        if let Some(out) = &self.resume {
            let recipes = self.taken_up(out, common)?;
            return train(out, recipes, Vec::new(), common);
        }
        if !self.dry_run {
            Run::check_free(&self.out)?;
        }
        let (recipes, chosen) = self.chosen(common)?;
        if self.dry_run {
            output::print(common, as_json(&chosen), || {
                chosen.iter().map(line).collect()
            });
            return Ok(());
        }
        for choice in &chosen {
            progress::note(common, line(choice));
        }
        train(&self.out, recipes, chosen, common)
    }

    /// What is chosen for the pictures, with what was said laid over it.
    fn chosen(&self, common: &Common) -> Result<(Recipes, Vec<Choice>)> {
        let data = self.data.clone().unwrap_or_default();
        check_data(&data)?;
        let facts = Facts::of(&data, rayon::current_num_threads())?;
        progress::note(
            common,
            format_args!("{}: {}", data.display(), facts.describe()),
        );
        let wishes = Wishes {
            minutes: self.minutes,
            size: self.size,
            classes: self.condition.map(|condition| condition == Learn::Class),
        };
        let Choices {
            tokenizer,
            prior,
            mut choices,
        } = choose(&facts, &wishes)?;
        let mut recipes = Recipes { tokenizer, prior };
        self.lay_over(&mut recipes, common)?;
        choices.extend(self.said());
        Ok((recipes, choices))
    }

    /// What is laid over the choices, for a person to read after them.
    fn said(&self) -> impl Iterator<Item = Choice> + '_ {
        let perceptual = self.perceptual.iter();
        let perceptual = perceptual.map(|value| format!("tokenizer.perceptual={value}"));
        perceptual
            .chain(self.settings.iter().cloned())
            .map(|value| Choice {
                about: "set",
                value,
                reason: "as asked, whatever stands above".into(),
            })
    }

    /// The settings of the runs in `out`, with what was said laid over them.
    fn taken_up(&self, out: &Path, common: &Common) -> Result<Recipes> {
        self.refuse_late(out)?;
        let mut recipes = Recipes {
            tokenizer: TokenizerRecipe::plain(),
            prior: PriorRecipe::default(),
        };
        set_from_file(&mut recipes.of_tokenizer(), &settings_of(out, TOKENIZER)?)?;
        set_from_file(&mut recipes.of_prior(), &settings_of(out, PRIOR)?)?;
        self.lay_over(&mut recipes, common)?;
        Ok(recipes)
    }

    /// Refuses what is said about a tokenizer that is finished, rather than ignoring it.
    fn refuse_late(&self, out: &Path) -> Result<()> {
        if Run::open(&out.join(PRIOR)).is_err() {
            return Ok(());
        }
        let mut settings = self.settings.iter().map(|said| said.trim_start());
        let late = match self.perceptual {
            Some(_) => Some("--perceptual"),
            None => settings.find(|said| said.starts_with("tokenizer.")),
        };
        match late {
            None => Ok(()),
            Some(late) => Err(Error::input(format!(
                "`{late}` comes too late: the prior of {} has begun with the tokenizer's codes, so the tokenizer stays as \
                 it is; leave it out, or begin anew with --out",
                out.display()
            ))),
        }
    }

    /// Lays the command line over recipes and checks them.
    fn lay_over(&self, recipes: &mut Recipes, common: &Common) -> Result<()> {
        recipes.set_in_both("data", self.data.as_ref().map(|data| json!(data)))?;
        recipes.set_in_both("seed", self.seed.map(|seed| json!(seed)))?;
        recipes.set_in_both(
            "precision",
            common.precision.map(|precision| json!(precision)),
        )?;
        if let Some(perceptual) = &self.perceptual {
            recipes.tokenizer.training.perceptual = perceptual.clone();
        }
        for setting in &self.settings {
            recipes.set(setting)?;
        }
        recipes.tokenizer.check()?;
        recipes.prior.check()
    }
}

impl Recipes {
    fn of_tokenizer(&mut self) -> [&mut dyn Settings; 2] {
        [&mut self.tokenizer.network, &mut self.tokenizer.training]
    }

    fn of_prior(&mut self) -> [&mut dyn Settings; 2] {
        [&mut self.prior.network, &mut self.prior.training]
    }

    fn set_in_both(&mut self, key: &str, value: Option<Value>) -> Result<()> {
        let Some(value) = value else {
            return Ok(());
        };
        set(&mut self.of_tokenizer(), key, &value)?;
        set(&mut self.of_prior(), key, &value)
    }

    /// Sets `stage.key=value`. Who asks for steps means steps, whatever minutes there are.
    fn set(&mut self, argument: &str) -> Result<()> {
        let key = argument.split('=').next().unwrap_or_default();
        if OTHERS.contains(&key.trim()) {
            return Err(Error::input(format!(
                "`--set {argument}`: here the prior learns the codes of the tokenizer that is trained before it; for \
                 another one, train the prior alone: smalti train prior --tokenizer"
            )));
        }
        let (mut groups, setting) = match argument.split_once('.') {
            Some((TOKENIZER, setting)) => (self.of_tokenizer(), setting),
            Some((PRIOR, setting)) => (self.of_prior(), setting),
            _ => {
                return Err(Error::input(format!(
                    "`--set {argument}`: say of which stage, as tokenizer.key=value or prior.key=value"
                )));
            }
        };
        set_from_argument(&mut groups, setting)?;
        match setting.starts_with("steps=") {
            true => set(&mut groups, "minutes", &json!(0.0)),
            false => Ok(()),
        }
    }
}

/// The settings of a stage: of its run if it has begun, otherwise those it will have.
fn settings_of(out: &Path, stage: &str) -> Result<PathBuf> {
    let begun = out.join(stage).join("config.yaml");
    let intended = intended(out, stage);
    match (begun.is_file(), intended.is_file()) {
        (true, _) => Ok(begun),
        (false, true) => Ok(intended),
        _ => Err(Error::input(format!(
            "{} is not a folder of both stages: it has no {stage}.yaml; continue a run of one stage with `smalti train \
             {stage} --resume`",
            out.display()
        ))),
    }
}

fn intended(out: &Path, stage: &str) -> PathBuf {
    out.join(format!("{stage}.yaml"))
}

/// Trains what is not trained yet, and shows what became of it.
fn train(out: &Path, recipes: Recipes, chosen: Vec<Choice>, common: &Common) -> Result<()> {
    let runs = [TOKENIZER, PRIOR].map(|stage| out.join(stage));
    let tokenizer = if Run::open(&runs[1]).is_ok() {
        // A prior belongs to the codes that it began with.
        match load_kept(&runs[1], common)? {
            Some(kept) => kept,
            None => models::load_for_pictures(&runs[0], common)?,
        }
    } else {
        let trained = train_tokenizer(out, &recipes, common)?;
        if trained.stopped {
            return stopped(common, out, TOKENIZER);
        }
        let precision = common.precision.unwrap_or_default();
        trained.model.with_precision(precision)
    };
    progress::note(
        common,
        "\nstage 2: a transformer learns how the codes compose",
    );
    let trained = train_prior(recipes.prior, tokenizer, &runs, common)?;
    if trained.stopped {
        return stopped(common, out, PRIOR);
    }
    let best = runs[1].join("best.safetensors");
    let model = match best.is_file() {
        true => models::load(&best, common)?,
        false => trained.model,
    };
    let file = out.join("model.safetensors");
    model.save(&file)?;
    let sheet = samples(&model, &out.join("samples"), common)?;
    report(common, out, &file, sheet.as_deref(), &chosen);
    Ok(())
}

fn train_tokenizer(out: &Path, recipes: &Recipes, common: &Common) -> Result<Trained> {
    progress::note(
        common,
        "\nstage 1: a tokenizer learns the parts of the pictures",
    );
    let run = out.join(TOKENIZER);
    let resume = Run::open(&run).is_ok();
    let recipe = recipes.tokenizer.clone();
    let job = TokenizerJob {
        lpips: load_lpips(&recipe.training.perceptual, common)?,
        recipe,
        out: run.clone(),
        resume,
    };
    output::folder(out)?;
    write_settings(
        &intended(out, TOKENIZER),
        &[&recipes.tokenizer.network, &recipes.tokenizer.training],
    )?;
    write_settings(
        &intended(out, PRIOR),
        &[&recipes.prior.network, &recipes.prior.training],
    )?;
    let trained = tokenizer::train(job, &models::device(), &mut TrainingView::tokenizer(common));
    if trained.is_err() && !run.exists() {
        // A training that could not start leaves nothing behind; what cannot be removed only takes room.
        for stage in [TOKENIZER, PRIOR] {
            let _ = std::fs::remove_file(intended(out, stage));
        }
        let _ = std::fs::remove_dir(out);
    }
    trained
}

fn write_settings(
    path: &Path,
    groups: &[&dyn smalti::training::settings::erased::Fields],
) -> Result<()> {
    std::fs::write(path, to_yaml(groups)?).map_err(|error| Error::io(path, error))
}

fn train_prior(
    mut recipe: PriorRecipe,
    tokenizer: Model,
    [tokenizer_run, run]: &[PathBuf; 2],
    common: &Common,
) -> Result<Trained> {
    recipe.training.tokenizer = tokenizer_run.clone();
    let job = PriorJob {
        recipe,
        tokenizer: tokenizer_of(tokenizer),
        condition_tokenizer: None,
        out: run.clone(),
        resume: Run::open(run).is_ok(),
    };
    prior::train(job, &models::device(), &mut TrainingView::prior(common))
}

/// Draws new pictures; the path of the sheet of them, or `None` where the condition must be given by a person.
fn samples(model: &Model, folder: &Path, common: &Common) -> Result<Option<PathBuf>> {
    let (config, gpt) = model.require_prior()?;
    let rows = match &config.condition {
        Condition::None(_) => ROWS,
        Condition::Class(condition) => condition.classes.min(COLUMNS),
        _ => return Ok(None),
    };
    let options = SampleOptions {
        filter: Filter {
            top_p: Some(0.95),
            ..Filter::default()
        },
        batch: 2 * COLUMNS,
        ..SampleOptions::default()
    };
    let request = |index: usize| -> Result<Request> {
        let class = matches!(config.condition, Condition::Class(_)).then_some(index / COLUMNS);
        let condition = class_condition(config, class)?;
        Ok(Request::new(
            condition,
            config.codes(),
            picture_seed(0, index),
        ))
    };
    let requests = (0..rows * COLUMNS)
        .map(request)
        .collect::<Result<Vec<_>>>()?;
    let bar = progress::bar(common, (requests.len() * config.codes()) as u64, "codes");
    let codes = sample_codes(
        gpt.clone(),
        config,
        model.tokenizer_config.codes(),
        &requests,
        options,
        |progress| bar.set_position(progress.drawn as u64),
    )?;
    bar.finish_and_clear();
    let pictures = decode_pictures(model, &codes, [config.rows, config.columns], COLUMNS);
    output::folder(folder)?;
    for (index, picture) in pictures.iter().enumerate() {
        write_png(&folder.join(format!("{index:06}.png")), picture)?;
    }
    let sheet = folder.join(output::GRID);
    write_png(&sheet, &grid(&pictures, COLUMNS, GRID_PADDING))?;
    Ok(Some(sheet))
}

fn stopped(common: &Common, out: &Path, stage: &str) -> Result<()> {
    let json = json!({"out": out, "stage": stage, "stopped": true});
    output::print(common, json, || {
        vec![format!(
            "stopped in the training of the {stage}; go on with: smalti train --resume {}",
            out.display()
        )]
    });
    Ok(())
}

fn report(common: &Common, out: &Path, file: &Path, sheet: Option<&Path>, chosen: &[Choice]) {
    let json = json!({
        "out": out,
        "model": file,
        "samples": sheet,
        "choices": as_json(chosen),
        "stopped": false,
    });
    output::print(common, json, || {
        let (out, file) = (out.display(), file.display());
        let mut lines = vec![format!("{file}  both stages in one file")];
        lines.extend(sheet.map(|sheet| format!("{}  new pictures", sheet.display())));
        lines.push(format!(
            "{out}/tokenizer/images  what the tokenizer makes of pictures"
        ));
        lines.push(format!(
            "more: smalti sample --model {file} -n 16 --top-p 0.95 --out DIR"
        ));
        lines.push(format!(
            "is it well? smalti doctor {out}/tokenizer, smalti doctor {out}/prior"
        ));
        lines.push(format!(
            "longer: smalti train prior --resume {out}/prior --minutes N"
        ));
        lines
    });
}

/// `about value reason`, in columns.
fn line(choice: &Choice) -> String {
    format!("{:<14}{:<24}{}", choice.about, choice.value, choice.reason)
}

fn as_json(chosen: &[Choice]) -> Value {
    let choice = |choice: &Choice| json!({"about": choice.about, "value": choice.value, "reason": choice.reason});
    Value::Array(chosen.iter().map(choice).collect())
}
