//! Every condition of stage 2 decides what is drawn: priors learn under each of them on pictures that the program draws
//! itself, and a picture that was held back then costs more under the condition of another picture than under its own.
//! Samples under label maps and edges have their shapes where these have them. Each prior is also sampled from in ways
//! that must not matter.

#[path = "conditions/album.rs"]
mod album;
mod common;
#[path = "conditions/sampling.rs"]
mod sampling;
#[path = "conditions/steering.rs"]
mod steering;
#[path = "conditions/training.rs"]
mod training;

use album::{SIZE, album};
use sampling::assert_sound;
use smalti::data::drawn::SHAPES;
use smalti::data::{DepthForm, Kind};
use smalti::prior::{ConditionKind, PriorTraining};
use steering::{assert_drawn_in_place, assert_given_is_learned, assert_steers};
use training::{Learned, learn, settings, tokenizer_of};

/// Steps that teach a prior to draw under a second picture; to tell right ones from wrong ones takes half as many.
const STEPS: u64 = 1200;

/// A prior under pictures of a folder of the album, with a tokenizer of its own where a kind is named.
fn under_pictures(training: PriorTraining, name: &str, own: Option<Kind>) -> Learned {
    let training = PriorTraining {
        condition_data: album().path(name),
        ..training
    };
    let learned = learn(training, own.map(|kind| tokenizer_of(name, kind)));
    assert_eq!(learned.model.condition.is_some(), own.is_some());
    assert_given_is_learned(&learned);
    learned
}

#[test]
fn classes() {
    let learned = learn(settings(ConditionKind::Class), None);
    assert_steers("class", &learned, 0.12);
    assert_sound(&learned);
}

#[test]
fn label_maps() {
    let kind = Kind::Labels {
        classes: 1 + SHAPES.len(),
        ignore: None,
    };
    let training = PriorTraining {
        steps: STEPS,
        ..settings(ConditionKind::Segmentation)
    };
    let learned = under_pictures(training, "labels", Some(kind));
    assert_steers("segmentation", &learned, 0.15);
    assert_drawn_in_place("segmentation", &learned, 0.05);
    assert_sound(&learned);
}

#[test]
fn depth() {
    let kind = Kind::Depth {
        form: DepthForm::Auto,
    };
    let learned = under_pictures(settings(ConditionKind::Depth), "depth", Some(kind));
    assert_steers("depth", &learned, 0.15);
    assert_sound(&learned);
}

#[test]
fn edges() {
    let training = PriorTraining {
        steps: STEPS,
        ..settings(ConditionKind::Edges)
    };
    let learned = under_pictures(training, "edges", Some(Kind::Pictures));
    assert_steers("edges", &learned, 0.12);
    assert_drawn_in_place("edges", &learned, 0.05);
    assert_sound(&learned);
}

#[test]
fn poses() {
    let learned = under_pictures(settings(ConditionKind::Pose), "poses", None);
    assert_steers("pose", &learned, 0.08);
    assert_sound(&learned);
}

#[test]
fn coarse_pictures() {
    let learned = learn(settings(ConditionKind::Lowres), None);
    assert_given_is_learned(&learned);
    assert_steers("lowres", &learned, 1.0);
    assert_sound(&learned);
}

#[test]
fn coordinates() {
    let training = PriorTraining {
        data: album().path("large"),
        resize: 2 * SIZE as usize,
        crops: 4,
        ..settings(ConditionKind::Coord)
    };
    let learned = learn(training, None);
    // What there is to know are 17 × 17 places: at most 5.7 nats for all 64 codes of a picture.
    assert_steers("coord", &learned, 0.03);
    assert_sound(&learned);
}

#[test]
fn layouts() {
    let training = PriorTraining {
        condition_data: album().path("objects.json"),
        layout_objects: 2,
        layout_crop: false,
        layout_groups: false,
        ..settings(ConditionKind::Layout)
    };
    let learned = learn(training, None);
    // A box of this kind says no more than some 6 nats of all 64 codes of a picture.
    assert_steers("layout", &learned, 0.04);
    assert_sound(&learned);
}

#[test]
fn texts() {
    let training = PriorTraining {
        condition_data: album().path("captions.tsv"),
        text_encoder: album().path("encoder"),
        ..settings(ConditionKind::Text)
    };
    let learned = learn(training, None);
    assert_steers("text", &learned, 0.3);
    assert_sound(&learned);
}
