//! Figure 7: the same transformer over pixels, as 512 colours, and over codes of 2, 8 and 16 pixels a side. It always
//! sees up to 16 × 16 codes: the larger a code, the more of the picture. Whole pictures are drawn through a window.

use super::base::TokenizerCell;
use super::bench::{Bench, Trained};
use super::measure::{self, Drawn};
use super::show::{Shown, decimals, millions};
use crate::output;
use serde_json::{Value, json};
use smalti::Result;
use smalti::data::{GRID_PADDING, grid, write_png};
use smalti::doctor::{Point, Record};
use smalti::metrics::{Reference, SetFigures};
use smalti::prior::{ConditionKind, NetworkKind, PriorRecipe};
use std::path::PathBuf;

/// Rows and columns of codes that the transformer sees, as in the paper.
const CONTEXT: usize = 16;

/// The most squares that are cut of a picture of which the transformer sees a part.
const MOST_SQUARES: usize = 16;

/// Columns of a sheet of samples.
const COLUMNS: usize = 8;

pub const TOKENIZERS: [TokenizerCell; 4] = [
    TokenizerCell {
        name: "f1",
        presets: &["colours"],
        fixed: &[],
    },
    TokenizerCell {
        name: "f2",
        presets: &[],
        fixed: &["channel_multipliers=[1, 2]"],
    },
    TokenizerCell {
        name: "f8",
        presets: &[],
        fixed: &["channel_multipliers=[1, 1, 2, 4]"],
    },
    TokenizerCell {
        name: "f16",
        presets: &[],
        fixed: &["channel_multipliers=[1, 1, 2, 2, 4]"],
    },
];

/// Both stages of a factor, and what was measured.
struct Row {
    tokenizer: Trained,
    prior: Trained,
    measured: Value,
}

pub fn run(bench: &mut Bench<'_>) -> Result<Option<Shown>> {
    let mut rows = Vec::new();
    let mut reference = None;
    for cell in &TOKENIZERS {
        let Some(tokenizer) = bench.tokenizer(cell)? else {
            return Ok(None);
        };
        let factor = tokenizer.model.tokenizer_config.factor();
        let recipe = recipe(bench, factor);
        let name = format!("{}-prior", cell.name);
        let Some(prior) = bench.prior(&name, recipe, &tokenizer)? else {
            return Ok(None);
        };
        let measured = bench.measured(cell.name, |bench| {
            if reference.is_none() {
                reference = measure::reference(bench)?;
            }
            measured(bench, cell.name, &prior, reference.as_ref())
        })?;
        let Some(measured) = measured else {
            return Ok(None);
        };
        rows.push(Row {
            tokenizer,
            prior,
            measured,
        });
    }
    shown(bench, &rows).map(Some)
}

/// The transformer's, which sees as much of a picture as fits.
fn recipe(bench: &Bench<'_>, factor: usize) -> PriorRecipe {
    let (mut recipe, whole) = (bench.base.prior.clone(), bench.size());
    recipe.network.network = NetworkKind::Gpt;
    let training = &mut recipe.training;
    training.condition = ConditionKind::None;
    training.size = whole.min(CONTEXT * factor);
    training.resize = whole;
    let squares = (whole / training.size).pow(2);
    training.crops = squares.clamp(1, MOST_SQUARES);
    recipe
}

fn sheet(bench: &Bench<'_>, name: &str) -> PathBuf {
    bench.ask.out.join("samples").join(format!("{name}.png"))
}

fn measured(
    bench: &Bench<'_>,
    name: &str,
    prior: &Trained,
    reference: Option<&Reference>,
) -> Result<Option<Value>> {
    let Some(Drawn { first, figures }) = measure::samples(bench, prior.model.clone(), reference)?
    else {
        return Ok(None);
    };
    let path = sheet(bench, name);
    output::folder_of(&path)?;
    write_png(&path, &grid(&first, COLUMNS, GRID_PADDING))?;
    let record = Record::read(&prior.run)?;
    let curve = record.log.validation.points("nats_per_code");
    let values = curve.iter().map(|point: &Point| point.value);
    let nats = values.reduce(f64::min);
    Ok(Some(json!({"nats_per_code": nats, "figures": figures})))
}

fn shown(bench: &Bench<'_>, rows: &[Row]) -> Result<Shown> {
    let names = measure::names(bench);
    let headings = [
        "f",
        "context",
        "codebook",
        "tokenizer",
        "steps",
        "minutes",
        "prior",
        "steps",
        "minutes",
        "NLL",
        "bits/pixel",
        names.frechet.as_str(),
        names.kernel.as_str(),
        "precision",
        "recall",
    ];
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let mut shown = Shown::table("Figure 7: pixels and codes", &headings, &cells);
    shown.note(&format!(
        "NLL in nats per code of held-back pictures, the lowest while training; bits/pixel are what these codes \
         cost for each pixel they stand for, no likelihood of pixels; {} samples of {} pixels, without a filter",
        bench.ask.n,
        bench.size()
    ));
    for (row, cell) in rows.iter().zip(&TOKENIZERS) {
        let factor = row.tokenizer.model.tokenizer_config.factor();
        let caption = format!("f {factor}: the first samples, not chosen");
        shown.picture(&sheet(bench, cell.name), &caption)?;
    }
    Ok(shown)
}

fn cells(row: &Row) -> Vec<String> {
    let Row {
        tokenizer,
        prior,
        measured,
    } = row;
    let config = &tokenizer.model.tokenizer_config;
    let factor = config.factor();
    let context = prior.model.prior.as_ref().map(|(config, _)| config.rows);
    let nats = measured["nats_per_code"].as_f64();
    let bits = nats.map(|nats| nats / std::f64::consts::LN_2 / factor.pow(2) as f64);
    // Figures that nobody wanted are null.
    let figures: Option<SetFigures> = serde_json::from_value(measured["figures"].clone()).ok();
    let of_features = figures.as_ref();
    let kernel = of_features.and_then(|found| found.kernel.as_ref());
    let manifold = of_features.and_then(|found| found.manifold.as_ref());
    vec![
        factor.to_string(),
        context.map_or(String::new(), |side| format!("{side} × {side}")),
        config.codes().to_string(),
        millions(tokenizer.parameters),
        tokenizer.steps.to_string(),
        decimals(Some(tokenizer.minutes), 1),
        millions(prior.parameters),
        prior.steps.to_string(),
        decimals(Some(prior.minutes), 1),
        decimals(nats, 4),
        decimals(bits, 4),
        decimals(of_features.map(|found| found.frechet.distance), 2),
        decimals(kernel.map(|kernel| kernel.mean), 5),
        decimals(manifold.map(|found| found.precision), 3),
        decimals(manifold.map(|found| found.recall), 3),
    ]
}
