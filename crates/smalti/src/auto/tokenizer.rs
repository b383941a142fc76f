//! The recipe of stage 1: the preset `robust` at the size that was chosen, and what else follows from the pictures.

use super::squares::Shape;
use super::{Choice, Facts, Squares};
use crate::error::Result;
use crate::tokenizer::{TokenizerRecipe, presets};

/// A code should be worth so many places in the pictures.
const PLACES_PER_CODE: f64 = 50.0;

/// The least and the most codes, for greys and by the pixels of a code along a side: 4, 8, and more.
const LEAST_CODES: usize = 128;
const MOST_CODES_GREY: usize = 512;
const MOST_CODES: [usize; 3] = [1024, 2048, 4096];

/// Greys of at most this side may be letters or digits.
const WRITTEN: usize = 40;

/// Fewer pictures than this are all trained on.
const ALL_TRAINED_ON: usize = 8;

/// Pictures from this side on go eight at a time; so do fewer squares than this.
const LARGE: usize = 256;
const FEW_SQUARES: f64 = 64.0;

/// VGG16 sees nothing smaller.
const PERCEPTUAL_SIDE: usize = 16;

pub(super) fn choose(
    facts: &Facts,
    squares: &Squares,
    minutes: f64,
    choices: &mut Vec<Choice>,
) -> Result<TokenizerRecipe> {
    let mut recipe = TokenizerRecipe::default();
    let factor = format!("f{}", squares.factor);
    let names = [squares.shape.name(), factor.as_str()];
    presets::apply(&mut [&mut recipe.network, &mut recipe.training], &names)?;
    recipe.network.resolution = squares.size;
    recipe.network.codebook_size = codebook_size(facts, squares, choices);
    let training = &mut recipe.training;
    training.minutes = minutes;
    training.size = squares.size;
    training.resize = squares.resize;
    training.enlarge = squares.enlarge;
    training.flip = flip(facts, choices);
    training.validation = validation(facts, training.validation, choices);
    training.batch = batch(squares, choices);
    if squares.shape == Shape::Tiny {
        training.discriminator_channels = 32;
    }
    discriminator(&mut recipe, choices);
    let (perceptual, reason) = if squares.size < PERCEPTUAL_SIDE {
        ("none", "VGG16 sees nothing in fewer than 16 × 16 pixels")
    } else {
        ("vgg", "what looks alike counts, not only equal pixels")
    };
    recipe.training.perceptual = perceptual.into();
    choices.push(Choice::new("perceptual", perceptual, reason));
    Ok(recipe)
}

/// A power of two.
fn codebook_size(facts: &Facts, squares: &Squares, choices: &mut Vec<Choice>) -> usize {
    let most = match (facts.grey, squares.factor) {
        (true, _) => MOST_CODES_GREY,
        (_, 4) => MOST_CODES[0],
        (_, 8) => MOST_CODES[1],
        _ => MOST_CODES[2],
    };
    let places = squares.different * squares.codes() as f64;
    let mut size = LEAST_CODES;
    while size < most && (2 * size) as f64 * PLACES_PER_CODE <= places {
        size *= 2;
    }
    let reason = format!("the pictures have about {places:.0} places for codes");
    choices.push(Choice::new("codebook", format!("{size} codes"), reason));
    size
}

fn flip(facts: &Facts, choices: &mut Vec<Choice>) -> bool {
    let written = facts.grey && facts.side() <= WRITTEN;
    let (value, reason) = if written {
        ("no", "small greys may be letters or digits")
    } else {
        ("yes", "most pictures are as good mirrored")
    };
    choices.push(Choice::new("mirrored", value, reason));
    !written
}

fn validation(facts: &Facts, share: f64, choices: &mut Vec<Choice>) -> f64 {
    let (share, reason) = if facts.pictures < ALL_TRAINED_ON {
        (0.0, "too few pictures to do without one")
    } else {
        (share, "to measure with pictures that were not learned")
    };
    let value = format!("{:.0} %", 100.0 * share);
    choices.push(Choice::new("held back", value, reason));
    share
}

fn batch(squares: &Squares, choices: &mut Vec<Choice>) -> usize {
    let (batch, reason) = if squares.size >= LARGE {
        (8, "large squares take memory")
    } else if squares.different < FEW_SQUARES {
        (8, "there are few different squares")
    } else {
        (16, "steady gradients at a bearable pace")
    };
    choices.push(Choice::new("batch", batch, reason));
    batch
}

/// As many layers as the size allows, fewer where squares are small.
fn discriminator(recipe: &mut TokenizerRecipe, choices: &mut Vec<Choice>) {
    let training = &mut recipe.training;
    training.discriminator_layers = if training.size <= WRITTEN { 2 } else { 3 };
    while training.discriminator_layers > 1 && training.discriminator_config().check_size().is_err()
    {
        training.discriminator_layers -= 1;
    }
    let (value, reason) = if training.discriminator_config().check_size().is_ok() {
        let layers = training.discriminator_layers;
        (format!("{layers} layers"), "patches that fit the squares")
    } else {
        training.discriminator_weight = 0.0;
        ("none".to_string(), "it needs larger squares")
    };
    choices.push(Choice::new("discriminator", value, reason));
}
