//! The losses and LeCAM against difference quotients and what is known of them.

use super::*;
use crate::checkpoint::{TensorMap, Values, host_values};
use burn::tensor::Device;

const LOSSES: [AdversarialLoss; 3] = [
    AdversarialLoss::Hinge,
    AdversarialLoss::Vanilla,
    AdversarialLoss::NonSaturating,
];

fn device() -> Device {
    Device::flex().autodiff()
}

fn logits(values: &[f32]) -> Tensor<4> {
    Tensor::<1>::from_floats(values, &device()).reshape([1, 1, values.len(), 1])
}

fn both(real: &[f32], fake: &[f32]) -> Logits {
    Logits {
        real: logits(real),
        fake: logits(fake),
    }
}

fn total(loss: AdversarialLoss, real: &[f32], fake: &[f32]) -> f32 {
    discriminator_loss(loss, &both(real, fake))
        .total
        .into_scalar()
}

fn generator(loss: AdversarialLoss, fake: &[f32]) -> f32 {
    generator_loss(loss, logits(fake)).into_scalar()
}

/// The gradient of a loss at logits.
fn gradient(values: &[f32], loss: impl Fn(Tensor<4>) -> Tensor<1>) -> Vec<f32> {
    let leaf = logits(values).require_grad();
    let gradients = loss(leaf.clone()).backward();
    host_values(leaf.grad(&gradients).unwrap())
}

/// Difference quotients of `f` around `point`.
fn quotients(point: &[f32], f: impl Fn(&[f32]) -> f32) -> Vec<f32> {
    let step = 1e-2;
    (0..point.len())
        .map(|index| {
            let moved = |by: f32| {
                let mut moved = point.to_vec();
                moved[index] += by;
                f(&moved)
            };
            (moved(step) - moved(-step)) / (2.0 * step)
        })
        .collect()
}

#[track_caller]
fn assert_near(what: &str, ours: &[f32], truth: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), truth.len(), "{what}");
    for (ours, truth) in ours.iter().zip(truth) {
        let off = (ours - truth).abs();
        assert!(off <= tolerance, "{what}: {ours} instead of {truth}");
    }
}

/// None of them near a corner of the hinge.
const REAL: [f32; 4] = [-3.0, -0.4, 0.7, 2.5];
const FAKE: [f32; 4] = [-2.2, -0.6, 0.3, 4.0];

#[test]
fn gradients_are_difference_quotients() {
    for loss in LOSSES {
        let to_real = gradient(&REAL, |real| {
            let fake = logits(&FAKE);
            discriminator_loss(loss, &Logits { real, fake }).total
        });
        let slopes = quotients(&REAL, |real| total(loss, real, &FAKE));
        assert_near("real", &to_real, &slopes, 1e-3);
        let to_fake = gradient(&FAKE, |fake| {
            let real = logits(&REAL);
            discriminator_loss(loss, &Logits { real, fake }).total
        });
        let slopes = quotients(&FAKE, |fake| total(loss, &REAL, fake));
        assert_near("fake", &to_fake, &slopes, 1e-3);
        let to_generator = gradient(&FAKE, |fake| generator_loss(loss, fake));
        let slopes = quotients(&FAKE, |fake| generator(loss, fake));
        assert_near("generator", &to_generator, &slopes, 1e-3);
    }
}

#[test]
fn known_values() {
    let ln2 = std::f32::consts::LN_2;
    let blind = |loss| total(loss, &[0.0; 3], &[0.0; 3]);
    assert_near("hinge", &[blind(AdversarialLoss::Hinge)], &[1.0], 1e-6);
    assert_near("vanilla", &[blind(AdversarialLoss::Vanilla)], &[ln2], 1e-6);
    assert_near(
        "non-saturating",
        &[blind(AdversarialLoss::NonSaturating)],
        &[2.0 * ln2],
        1e-6,
    );
    for loss in LOSSES {
        let right = total(loss, &[30.0], &[-30.0]);
        assert!((0.0..1e-6).contains(&right), "{loss:?}: {right}");
    }
    assert_near(
        "generator",
        &LOSSES.map(|loss| generator(loss, &[0.5, 1.5])),
        &[-1.0, -1.0, 0.337_745],
        1e-5,
    );
}

/// Cross-entropies with logits and labels the wrong way round are linear in the logits: they neither vanish for those
/// who are right nor stop pushing them.
#[test]
fn who_is_right_is_left_alone_and_who_is_wrong_is_pushed() {
    let loss = AdversarialLoss::NonSaturating;
    let push = |fake: f32| gradient(&[fake], |fake| generator_loss(loss, fake))[0];
    assert_near(
        "fooled, wavering, seen through",
        &[push(20.0), push(0.0), push(-20.0)],
        &[0.0, -0.5, -1.0],
        1e-6,
    );
    for loss in LOSSES {
        let unsure = total(loss, &[0.5, 0.2], &[0.1, -0.3]);
        assert!(total(loss, &[0.6, 0.3], &[0.1, -0.3]) < unsure, "{loss:?}");
        assert!(total(loss, &[0.5, 0.2], &[0.0, -0.4]) < unsure, "{loss:?}");
        assert!(
            generator(loss, &[0.2]) < generator(loss, &[0.1]),
            "{loss:?}"
        );
    }
}

#[test]
fn losses_stay_finite() {
    for loss in LOSSES {
        assert!(total(loss, &[-1e6], &[1e6]).is_finite());
        let to_real = gradient(&[-1e6, 1e6], |real| {
            let fake = logits(&[1e6, -1e6]);
            discriminator_loss(loss, &Logits { real, fake }).total
        });
        assert!(to_real.iter().all(|slope| slope.is_finite()), "{loss:?}");
    }
}

#[test]
fn accuracy_counts_the_right_side_of_zero() {
    let accuracy = |real: &[f32], fake: &[f32]| -> f32 {
        let loss = discriminator_loss(AdversarialLoss::Hinge, &both(real, fake));
        loss.accuracy.into_scalar()
    };
    assert_eq!(accuracy(&[1.0, 2.0], &[-1.0, -0.1]), 1.0);
    assert_eq!(accuracy(&[-1.0, -2.0], &[1.0, 0.1]), 0.0);
    assert_eq!(accuracy(&[1.0, 2.0], &[1.0, 0.1]), 0.5);
    assert_eq!(
        accuracy(&[1.0, -2.0, 3.0, 4.0], &[-1.0, 0.1, 0.2, 0.3]),
        0.5
    );
}

#[test]
fn losses_have_the_names_of_settings() {
    let names = LOSSES.map(|loss| serde_json::to_value(loss).unwrap());
    assert_eq!(names, ["hinge", "vanilla", "non-saturating"]);
}

#[test]
fn lecam_holds_logits_to_the_other_sides_average() {
    let mut lecam = LeCam::default();
    let none: f32 = lecam.penalty(&both(&REAL, &FAKE)).into_scalar();
    assert_eq!(none, 0.0);
    lecam.update(2.0, -1.0);
    assert_near("averages", &lecam.averages().unwrap(), &[2.0, -1.0], 1e-5);
    // Real logits above −1 and fake ones below 2 are drawn back.
    let penalty: f32 = lecam
        .penalty(&both(&[-3.0, 1.0], &[0.0, 5.0]))
        .into_scalar();
    assert_near("penalty", &[penalty], &[2.0 + 2.0], 1e-4);
    let to_real = gradient(&[-3.0, 1.0], |real| {
        let fake = logits(&[0.0, 5.0]);
        lecam.penalty(&Logits { real, fake })
    });
    assert_near("real", &to_real, &[0.0, 2.0], 1e-4);
    let to_fake = gradient(&[0.0, 5.0], |fake| {
        let real = logits(&[-3.0, 1.0]);
        lecam.penalty(&Logits { real, fake })
    });
    assert_near("fake", &to_fake, &[-2.0, 0.0], 1e-4);
}

#[test]
fn lecam_averages_forget_slowly() {
    let mut lecam = LeCam::default();
    lecam.update(0.0, 4.0);
    lecam.update(1.0, 4.0);
    let expected = 1.0 / (1.0 + LeCam::DECAY);
    assert_near(
        "averages",
        &lecam.averages().unwrap(),
        &[expected, 4.0],
        1e-3,
    );
    for _ in 0..20_000 {
        lecam.update(-3.0, 4.0);
    }
    assert_near("averages", &lecam.averages().unwrap(), &[-3.0, 4.0], 1e-2);
}

#[test]
fn lecam_survives_a_state() {
    let mut lecam = LeCam::default();
    lecam.update(0.3, -0.7);
    let state = lecam.state("lecam.");
    let mut loaded = LeCam::default();
    loaded.load(&state, "lecam.").unwrap();
    assert_eq!(loaded, lecam);
    loaded.load(&TensorMap::new(), "lecam.").unwrap();
    assert_eq!(loaded, LeCam::default());
    for bad in [
        vec![0.0, 0.0],
        vec![f32::NAN, 0.0, 0.5],
        vec![0.0, 0.0, 7.0],
    ] {
        let mut state = state.clone();
        for tensor in state.values_mut() {
            tensor.values = Values::F32(bad.clone());
        }
        let error = loaded.load(&state, "lecam.").unwrap_err().to_string();
        assert!(error.contains("lecam.averages"), "{error}");
    }
}
