//! The recipe of stage 2: as large a transformer as the codes and the time are good for.

use super::{Choice, Facts, Squares};
use crate::error::{Error, Result};
use crate::prior::recipe::PriorNetwork;
use crate::prior::{ConditionKind, PriorRecipe};
use crate::tokenizer::TokenizerRecipe;

/// Codes that a transformer of a million parameters learns from in a second, per thread (116 sequences of 64 codes with
/// 2.65 million parameters on two).
const SPEED: f64 = 9_800.0;

/// More threads than this are not faster with networks of this size.
const MOST_THREADS: usize = 64;

/// So many codes until a transformer has learned something.
const ENOUGH: f64 = 4e6;

/// Layers, heads and width of the transformers there are, smallest first, and from how many sequences on.
const SHAPES: [([usize; 3], usize); 4] = [
    ([4, 4, 128], 0),
    ([6, 6, 192], 500),
    ([8, 8, 256], 5_000),
    ([12, 8, 512], 50_000),
];

/// Parts of pictures are cut at random places until there are about so many.
const PARTS: usize = 1024;

/// Below so many sequences there is more dropout, and fewer at a time.
const SOON_BY_HEART: usize = 10_000;
const FEW: usize = 64;

/// A class is worth learning from so many pictures on, on average; more classes than this are not.
const PICTURES_OF_A_CLASS: usize = 10;
const MOST_CLASSES: usize = 1000;

/// Held-back pictures that are enough to end a training by, and after how many measurements without a better one.
const HELD_BACK: f64 = 8.0;
const PATIENCE: u64 = 6;

/// `squares` come with whether classes are wished for.
pub(super) fn choose(
    facts: &Facts,
    (squares, classes): (&Squares, Option<bool>),
    tokenizer: &TokenizerRecipe,
    minutes: f64,
    choices: &mut Vec<Choice>,
) -> Result<PriorRecipe> {
    let stage_1 = &tokenizer.training;
    let mut recipe = PriorRecipe::default();
    let training = &mut recipe.training;
    training.minutes = minutes;
    training.condition = condition(facts, classes, choices)?;
    training.size = squares.size;
    training.resize = squares.resize;
    training.enlarge = squares.enlarge;
    training.flip = stage_1.flip;
    training.validation = stage_1.validation;
    training.crops = crops(facts, squares, choices);
    let sequences = facts
        .pictures
        .saturating_mul(training.sequences_per_picture());
    training.batch = batch(sequences, squares);
    training.patience = patience(facts, training.validation, choices);
    let seconds = 60.0 * minutes * facts.threads.min(MOST_THREADS) as f64;
    recipe.network = network(sequences, squares.codes(), seconds, choices);
    Ok(recipe)
}

fn condition(
    facts: &Facts,
    wish: Option<bool>,
    choices: &mut Vec<Choice>,
) -> Result<ConditionKind> {
    let (learn, reason) = match wish {
        Some(true) if facts.classes == 0 || facts.without_class > 0 => {
            return Err(Error::input(
                "classes were asked for, but not every picture lies in a folder that is its class",
            ));
        }
        Some(learn) => (learn, "as asked"),
        None => worth_learning(facts),
    };
    let (kind, value) = match learn {
        true => (ConditionKind::Class, format!("class ({})", facts.classes)),
        false => (ConditionKind::None, "none".to_string()),
    };
    choices.push(Choice::new("condition", value, reason));
    Ok(kind)
}

fn worth_learning(facts: &Facts) -> (bool, &'static str) {
    match facts.classes {
        0 => (false, "the pictures lie in no sub-folders"),
        1 => (false, "all pictures are of one class"),
        _ if facts.without_class > 0 => (false, "some pictures lie in no sub-folder"),
        classes if classes > MOST_CLASSES => (false, "more classes than can be learned"),
        classes if facts.pictures < PICTURES_OF_A_CLASS * classes => {
            (false, "too few pictures of a class")
        }
        _ => (true, "every sub-folder is a class"),
    }
}

fn crops(facts: &Facts, squares: &Squares, choices: &mut Vec<Choice>) -> usize {
    if !squares.are_parts() {
        return 1;
    }
    let crops = PARTS.div_ceil(facts.pictures.max(1)).max(1);
    let value = format!("{crops} of each picture");
    choices.push(Choice::new(
        "squares",
        value,
        "parts of pictures, at random places",
    ));
    crops
}

fn batch(sequences: usize, squares: &Squares) -> usize {
    match squares.codes() {
        _ if sequences < FEW => 8,
        0..=256 => 32,
        _ => 16,
    }
}

fn patience(facts: &Facts, validation: f64, choices: &mut Vec<Choice>) -> u64 {
    let measurable = validation * facts.pictures as f64 >= HELD_BACK;
    let (patience, value, reason) = if measurable {
        (
            PATIENCE,
            "when it learns by heart",
            "the best model so far is kept",
        )
    } else {
        (
            0,
            "with the time",
            "too few pictures are held back to judge by",
        )
    };
    choices.push(Choice::new("prior ends", value, reason));
    patience
}

/// The largest transformer that the sequences and the time are enough for.
fn network(
    sequences: usize,
    codes: usize,
    seconds: f64,
    choices: &mut Vec<Choice>,
) -> PriorNetwork {
    let seen = |[layers, _, width]: [usize; 3]| {
        let millions = 12.0 * (layers * width * width) as f64 / 1e6;
        seconds * SPEED / millions
    };
    let good_for =
        |&(shape, from): &([usize; 3], usize)| sequences >= from && seen(shape) >= ENOUGH;
    let largest = SHAPES.into_iter().rev().find(good_for);
    let ([layers, heads, width], _) = largest.unwrap_or(SHAPES[0]);
    let dropout = if sequences < SOON_BY_HEART { 0.2 } else { 0.1 };
    choices.push(Choice::new(
        "transformer",
        format!("{layers} layers, width {width}"),
        format!("{sequences} sequences of {codes} codes; {dropout} dropout"),
    ));
    PriorNetwork {
        layers,
        heads,
        width,
        embedding_dropout: dropout,
        residual_dropout: dropout,
        ..PriorNetwork::default()
    }
}
