//! Table 1: a transformer and a PixelSNAIL of as many parameters learn the codes of one tokenizer. Both train for the
//! same budget; their likelihoods after as many steps, and after as much time, are read off the curves of their
//! validation.

use super::TOKENIZER;
use super::bench::{Bench, Trained};
use super::show::{Shown, decimals, millions};
use crate::models;
use smalti::doctor::{Point, Record};
use smalti::initializer::Initializer;
use smalti::model::Model;
use smalti::ops::Precision;
use smalti::prior::recipe::PriorNetwork;
use smalti::prior::{NetworkKind, Prior, PriorConfig, PriorRecipe, ScanOrder};
use smalti::{Module, Result};

/// Trainings in minutes end with the step that is under way, so that one lasts a little longer than the other.
const AS_LONG: f64 = 1.02;

const HEADINGS: [&str; 7] = [
    "network",
    "parameters",
    "steps",
    "minutes",
    "NLL",
    "at equal steps",
    "at equal time",
];

/// A network after its training.
struct Row {
    name: &'static str,
    trained: Trained,
    /// Nats per code of the held-back pictures.
    curve: Vec<Point>,
}

pub fn run(bench: &mut Bench<'_>) -> Result<Option<Shown>> {
    let Some(tokenizer) = bench.tokenizer(&TOKENIZER)? else {
        return Ok(None);
    };
    let mut gpt = bench.base.prior.clone();
    // Both see all of the budget; what is learned by heart meanwhile is left out of the curves.
    gpt.training.patience = 0;
    gpt.network.network = NetworkKind::Gpt;
    let pixelsnail = PriorRecipe {
        network: as_large(&gpt.network, &tokenizer.model, bench.size())?,
        training: gpt.training.clone(),
    };
    let mut rows = Vec::new();
    for (name, mut recipe) in [("transformer", gpt), ("PixelSNAIL", pixelsnail)] {
        if recipe.network.network == NetworkKind::PixelSnail {
            recipe.training.precision = Precision::F32;
        }
        recipe.check()?;
        let Some(trained) = bench.prior(&name.to_lowercase(), recipe, &tokenizer)? else {
            return Ok(None);
        };
        let record = Record::read(&trained.run)?;
        rows.push(Row {
            name,
            curve: record.log.validation.points("nats_per_code").to_vec(),
            trained,
        });
    }
    Ok(Some(shown(&rows, &tokenizer)))
}

fn shown(rows: &[Row], tokenizer: &Trained) -> Shown {
    let steps = rows.iter().map(|row| row.trained.steps as f64);
    let steps = steps.fold(f64::INFINITY, f64::min);
    let minutes = rows.iter().map(|row| row.trained.minutes);
    let minutes = minutes.fold(f64::INFINITY, f64::min);
    let cells = |row: &Row| {
        let Trained {
            steps: all,
            minutes: took,
            parameters,
            ..
        } = row.trained;
        // Steps take the same time throughout.
        let share = (AS_LONG * minutes / took.max(1e-9)).min(1.0);
        vec![
            row.name.to_string(),
            millions(parameters),
            all.to_string(),
            decimals(Some(took), 1),
            decimals(lowest(&row.curve, all as f64), 4),
            decimals(lowest(&row.curve, steps), 4),
            decimals(lowest(&row.curve, share * all as f64), 4),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let mut shown = Shown::table("Table 1: transformer and PixelSNAIL", &HEADINGS, &rows);
    let config = &tokenizer.model.tokenizer_config;
    shown.note(&format!(
        "nats per code of held-back pictures, the lowest of each curve; there are {} codes of f {}, and \
         knowing nothing costs {:.4}; the tokenizer has {} parameters and took {} steps, {:.1} minutes",
        config.codes(),
        config.factor(),
        (config.codes() as f64).ln(),
        millions(tokenizer.parameters),
        tokenizer.steps,
        tokenizer.minutes
    ));
    shown
}

/// The lowest value up to a step, between two points along the line through them, and before the first as there.
fn lowest(curve: &[Point], until: f64) -> Option<f64> {
    let mut lowest: Option<f64> = None;
    let mut last: Option<&Point> = None;
    for point in curve {
        let step = point.step as f64;
        let value = match last {
            Some(last) if step > until => {
                let from = last.step as f64;
                let share = ((until - from) / (step - from)).clamp(0.0, 1.0);
                last.value + share * (point.value - last.value)
            }
            _ => point.value,
        };
        lowest = Some(lowest.map_or(value, |lowest| lowest.min(value)));
        if step > until {
            break;
        }
        last = Some(point);
    }
    lowest
}

/// A PixelSNAIL with as many parameters as a transformer of these settings, as nearly as a width of whole channels has
/// them: of two thirds as many blocks as the transformer has layers, its attention half as wide as its channels.
fn as_large(gpt: &PriorNetwork, tokenizer: &Model, size: usize) -> Result<PriorNetwork> {
    let wanted = parameters(gpt, tokenizer, size)?;
    let of = |width: usize| parameters(&pixelsnail(gpt, width), tokenizer, size);
    // More channels are more parameters.
    let (mut low, mut high) = (1, 2 * gpt.width);
    while low < high {
        let middle = (low + high) / 2;
        if of(middle)? < wanted {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let narrower = (low - 1).max(1);
    let width = match wanted.abs_diff(of(narrower)?) < wanted.abs_diff(of(low)?) {
        true => narrower,
        false => low,
    };
    Ok(pixelsnail(gpt, width))
}

fn pixelsnail(gpt: &PriorNetwork, width: usize) -> PriorNetwork {
    let heads = gpt.heads.max(1);
    PriorNetwork {
        network: NetworkKind::PixelSnail,
        layers: (2 * gpt.layers).div_ceil(3),
        heads,
        width,
        attention_width: (width / 2).next_multiple_of(heads).max(heads),
        order: ScanOrder::Raster,
        unmasked_condition: false,
        ..gpt.clone()
    }
}

/// How many parameters a prior without a condition has over a tokenizer's codes.
fn parameters(network: &PriorNetwork, tokenizer: &Model, size: usize) -> Result<usize> {
    let tokenizer = &tokenizer.tokenizer_config;
    let [rows, columns] = tokenizer.grid([size; 2]);
    let config = PriorConfig {
        network: network.architecture(),
        layers: network.layers,
        heads: network.heads,
        width: network.width,
        rows,
        columns,
        block_size: rows * columns,
        vocabulary_size: tokenizer.codes(),
        ..PriorConfig::default()
    };
    config.check()?;
    let mut init = Initializer::zeros(&models::device());
    Ok(Prior::new(&mut init, &config).num_params())
}

#[cfg(test)]
mod tests {
    use super::*;
    use smalti::model::ModelInfo;
    use smalti::tokenizer::{Tokenizer, TokenizerConfig};

    #[test]
    fn curves_are_read_up_to_a_step() {
        let point = |step, value| Point { step, value };
        let curve = [point(1, 4.0), point(10, 2.0), point(20, 3.0)];
        assert_eq!(lowest(&curve, 20.0), Some(2.0));
        assert_eq!(lowest(&curve, 10.0), Some(2.0));
        assert_eq!(lowest(&curve, 5.5), Some(3.0));
        assert_eq!(lowest(&curve, 0.5), Some(4.0));
        assert_eq!(lowest(&[], 5.0), None);
    }

    #[test]
    fn both_networks_have_as_many_parameters() {
        let config = TokenizerConfig {
            channels: 32,
            codebook_size: 256,
            ..TokenizerConfig::default()
        };
        let mut init = Initializer::zeros(&models::device());
        let model = Model {
            tokenizer: Tokenizer::new(&mut init, &config),
            tokenizer_config: config,
            prior: None,
            condition: None,
            info: ModelInfo::default(),
        };
        for (layers, heads, width) in [(1, 2, 32), (4, 4, 128), (6, 6, 192)] {
            let gpt = PriorNetwork {
                layers,
                heads,
                width,
                ..PriorNetwork::default()
            };
            let other = as_large(&gpt, &model, 32).unwrap();
            let count = |network| parameters(network, &model, 32).unwrap() as f64;
            let ratio = count(&other) / count(&gpt);
            assert!((0.9..1.1).contains(&ratio), "{other:?}: {ratio}");
        }
    }
}
