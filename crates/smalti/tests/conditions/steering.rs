//! How much a condition decides: what a wrong one costs, and whether samples are what they were told to be.

use crate::album::album;
use crate::sampling::{requests, whole};
use crate::training::Learned;
use image::RgbImage;
use smalti::data::LabelAgreement;
use smalti::data::drawn::Truth;
use smalti::prior::CodeSet;
use smalti::prior::trainer::nats_per_code;
use smalti::sample::{Filter, SampleOptions, decode_pictures, sample_codes};

/// Samples that are looked at, and the temperature they are drawn at: what is looked at is where the condition puts a
/// shape, not how various shapes are.
const SAMPLES: usize = 72;
const TEMPERATURE: f64 = 0.6;

/// Pictures that were held back cost at least `least` nats per code more under the condition of another of them than
/// under their own.
#[track_caller]
pub fn assert_steers(what: &str, learned: &Learned, least: f64) {
    let set = &learned.held_back;
    let right = mean_nats(learned, set);
    let shifts = shifts(set.len());
    let wrong = shifts.map(|shift| mean_nats(learned, &with_others(set, shift)));
    let wrong = wrong.iter().sum::<f64>() / wrong.len() as f64;
    eprintln!(
        "{what}: {right:.3} nats per code, {wrong:.3} under others' conditions, {:.3} more (at least {least})",
        wrong - right
    );
    assert!(wrong - right >= least, "{what}: {right}, {wrong}");
}

/// The tokens of files that a person gives are those that were learned from.
#[track_caller]
pub fn assert_given_is_learned(learned: &Learned) {
    let (config, _) = learned.model.require_prior().unwrap();
    let window = whole(config);
    for (index, condition) in learned.conditions(8).iter().enumerate() {
        assert_eq!(
            condition.tokens(&window),
            learned.held_back.condition(index),
            "{index}"
        );
    }
}

/// Samples under label maps, or what shows the same, have shapes where their own map has them: they agree with it by at
/// least `least` more (mean intersection over union) than with others' maps.
#[track_caller]
pub fn assert_drawn_in_place(what: &str, learned: &Learned, least: f64) {
    let samples = samples(learned);
    let held_back = album().held_back();
    let truths: Vec<&Truth> = held_back.iter().map(|(_, truth)| *truth).collect();
    let truths = &truths[..SAMPLES];
    let seen: Vec<&RgbImage> = truths.iter().map(|truth| &truth.picture).collect();
    let drawn: Vec<&RgbImage> = samples.iter().collect();
    let ideal = agreement(&seen, truths, 0);
    let own = agreement(&drawn, truths, 0);
    let others = shifts(SAMPLES).map(|shift| agreement(&drawn, truths, shift));
    let others = others.iter().sum::<f64>() / others.len() as f64;
    eprintln!(
        "{what}: samples agree by {own:.3} with their own map and by {others:.3} with others' (at least {least} apart; \
         the pictures of the maps by {ideal:.3})"
    );
    assert!(own - others >= least, "{what}: {own}, {others}");
}

fn mean_nats(learned: &Learned, set: &CodeSet) -> f64 {
    let (config, gpt) = learned.model.require_prior().unwrap();
    let pictures: Vec<usize> = (0..set.len()).collect();
    let device = learned.model.device();
    let nats = nats_per_code(gpt, config, set, &pictures, &device).unwrap();
    nats.iter().sum::<f64>() / nats.len() as f64
}

/// How far conditions are moved on. Pictures come class after class, and no class has a third of them.
fn shifts(count: usize) -> [usize; 3] {
    [count / 3, count / 2, 2 * count / 3]
}

/// The same codes, each with the condition of the picture `shift` places on.
fn with_others(set: &CodeSet, shift: usize) -> CodeSet {
    let count = set.len();
    let mut others = set.clone();
    rotate(&mut others.classes, count, shift);
    rotate(&mut others.condition, count, shift);
    rotate(&mut others.texts, count, shift);
    others
}

/// Moves on the values of `count` pictures, each of which has equally many.
fn rotate<T>(values: &mut [T], count: usize, shift: usize) {
    let length = values.len() / count;
    values.rotate_left(shift * length);
}

fn samples(learned: &Learned) -> Vec<RgbImage> {
    let model = &learned.model;
    let (config, gpt) = model.require_prior().unwrap();
    let requests = requests(config, learned.conditions(SAMPLES));
    let options = SampleOptions {
        filter: Filter {
            temperature: TEMPERATURE,
            ..Filter::default()
        },
        batch: SAMPLES,
        ..SampleOptions::default()
    };
    let codebook_size = model.tokenizer_config.codes();
    let codes = sample_codes(
        gpt.clone(),
        config,
        codebook_size,
        &requests,
        options,
        |_| {},
    );
    decode_pictures(
        model,
        &codes.unwrap(),
        [config.rows, config.columns],
        SAMPLES,
    )
}

/// How well the shapes in pictures lie where the maps `shift` places on have theirs.
fn agreement(pictures: &[&RgbImage], truths: &[&Truth], shift: usize) -> f64 {
    let mut agreement = LabelAgreement::new(2);
    for (index, picture) in pictures.iter().enumerate() {
        let truth = truths[(index + shift) % truths.len()];
        let labels = truth.labels.pixels();
        let told: Vec<u16> = labels.map(|label| u16::from(label.0[0] > 0)).collect();
        let found: Vec<u16> = picture
            .pixels()
            .map(|pixel| u16::from(is_shape(pixel.0)))
            .collect();
        agreement.add(&told, &found);
    }
    agreement.mean_iou()
}

/// Shapes have a saturation of 0.85, skies one of at most 0.55.
fn is_shape([red, green, blue]: [u8; 3]) -> bool {
    let largest = red.max(green).max(blue);
    let smallest = red.min(green).min(blue);
    f32::from(largest - smallest) > 0.7 * f32::from(largest)
}
