//! Steps of small networks: what the settings may change, and what they may not.

use super::*;
use crate::checkpoint::HostTensor;
use crate::ops::Precision;
use crate::prior::condition::{ClassCondition, CoordCondition, TextCondition};
use crate::prior::{CodeSet, ScanOrder};
use crate::training::named_gradients;

const PICTURES: [usize; 5] = [0, 1, 2, 3, 4];

fn config(condition: Condition) -> PriorConfig {
    let config = PriorConfig {
        layers: 1,
        heads: 2,
        width: 8,
        rows: 2,
        columns: 2,
        block_size: 3 + condition.length(),
        vocabulary_size: 11,
        condition,
        ..PriorConfig::default()
    };
    config.check().unwrap();
    config
}

fn classes() -> Condition {
    Condition::Class(ClassCondition {
        classes: 3,
        names: Vec::new(),
    })
}

fn coordinates() -> Condition {
    Condition::Coord(CoordCondition {
        levels: 10,
        factor: 4,
        rows: 2,
        columns: 2,
    })
}

fn text() -> Condition {
    Condition::Text(TextCondition {
        vectors: 2,
        length: 3,
        encoder: String::new(),
        droppable: true,
    })
}

fn set() -> CodeSet {
    let numbers =
        |count: usize, step: usize| (0..count).map(move |place| (place * step % 10) as i64);
    CodeSet {
        codes: numbers(20, 7).collect(),
        rows: 2,
        columns: 2,
        classes: numbers(5, 3).map(|class| class % 3).collect(),
        condition: numbers(20, 3).collect(),
        texts: (0..15).map(|value| value as f32 / 10.0 - 0.7).collect(),
        ..CodeSet::default()
    }
}

fn device() -> Device {
    Device::flex().autodiff()
}

fn trainer(config: &PriorConfig, training: &PriorTraining) -> PriorTrainer {
    PriorTrainer::new(config, training, &device())
}

fn weights(trainer: &PriorTrainer) -> TensorMap {
    parameters(&*trainer.prior, "", str::to_string)
}

#[track_caller]
fn assert_near(left: &TensorMap, right: &TensorMap, tolerance: f32) {
    assert!(left.keys().eq(right.keys()));
    for (key, left) in left {
        let pairs = left
            .as_f32()
            .unwrap()
            .iter()
            .zip(right[key].as_f32().unwrap());
        for (left, right) in pairs {
            assert!(
                (left - right).abs() <= tolerance,
                "{key}: {left} and {right}"
            );
        }
    }
}

/// The gradients of one step, and its loss.
fn gradients(trainer: &PriorTrainer, dropped: bool) -> (TensorMap, f64) {
    let mut batch = Batch::new(&trainer.config, &set(), &PICTURES).unwrap();
    batch.dropped = vec![dropped; PICTURES.len()];
    let (gradients, nats) = trainer.gradients(&batch, 0);
    (named_gradients(&*trainer.prior, &gradients), nats)
}

/// The sum of the squares of a parameter's gradient; 0 without one.
fn squares(gradients: &TensorMap, key: &str) -> f32 {
    let values = gradients.get(key).and_then(HostTensor::as_f32);
    let values = values.unwrap_or_default();
    values.iter().map(|value| value * value).sum()
}

#[test]
fn a_batch_in_parts_has_the_gradient_of_the_whole() {
    for condition in [classes(), coordinates(), text()] {
        let config = config(condition);
        let with = |micro_batch| {
            let training = PriorTraining {
                micro_batch,
                ..PriorTraining::default()
            };
            gradients(&trainer(&config, &training), false)
        };
        let (whole, nats) = with(0);
        assert!(squares(&whole, "head.weight") > 0.0);
        for micro_batch in [1, 2, 4, 5, 9] {
            let (parts, sum) = with(micro_batch);
            assert_near(&whole, &parts, 1e-6);
            assert!((nats - sum).abs() < 1e-5);
        }
    }
}

#[test]
fn blocks_that_run_twice_have_the_gradients_of_those_that_run_once() {
    for (condition, precision) in [
        (classes(), Precision::F32),
        (classes(), Precision::Bf16),
        (coordinates(), Precision::F32),
        (text(), Precision::F32),
    ] {
        let config = PriorConfig {
            layers: 3,
            ..config(condition)
        };
        for (micro_batch, dropped) in [(0, false), (0, true), (2, false), (2, true)] {
            let with = |checkpoint_blocks| {
                let training = PriorTraining {
                    checkpoint_blocks,
                    micro_batch,
                    precision,
                    ..PriorTraining::default()
                };
                gradients(&trainer(&config, &training), dropped)
            };
            let (once, nats) = with(false);
            assert!(squares(&once, "blocks.0.mlp.fc.weight") > 0.0);
            assert_eq!(with(true), (once, nats));
        }
    }
}

/// What is left out and replaced is drawn as without them.
#[test]
fn steps_with_blocks_that_run_twice_are_the_same_steps() {
    let config = PriorConfig {
        layers: 2,
        vocabulary_size: 12,
        nothing_token: Some(11),
        ..config(coordinates())
    };
    let after_steps = |checkpoint_blocks| {
        let training = PriorTraining {
            checkpoint_blocks,
            condition_dropout: 0.3,
            pkeep: 0.8,
            micro_batch: 2,
            gradient_clip: 0.5,
            ..PriorTraining::default()
        };
        let mut trainer = trainer(&config, &training);
        let steps = (0..3).map(|step| trainer.step(&set(), &PICTURES, 1e-2, step).unwrap());
        let steps: Vec<PriorStep> = steps.collect();
        (steps, weights(&trainer))
    };
    assert_eq!(after_steps(true), after_steps(false));
}

#[test]
fn losses_are_those_of_codes_given_the_condition() {
    let plain = config(coordinates());
    let inner = device().inner();
    let trained = trainer(&plain, &PriorTraining::default());
    let prior = trained.result();
    let nats = nats_per_code(&prior, &plain, &set(), &PICTURES, &inner).unwrap();
    let each = nats_of_codes(&prior, &plain, &set(), &PICTURES, &inner).unwrap();
    let rows = sequences(&plain, &set(), &PICTURES).unwrap();
    for ((row, nats), each) in rows.iter().zip(nats).zip(each) {
        let mut sum = 0.0;
        for place in 4..8 {
            let tokens = token_tensor(&[row[..place].to_vec()], &inner);
            let logits = prior.gpt().unwrap().forward(tokens);
            let last = logits
                .slice([0..1, place - 1..place, 0..11])
                .reshape([1, 11]);
            let target = token_tensor(&[vec![row[place]]], &inner).reshape([1]);
            let loss = f64::from(ops::cross_entropy(last, target).into_scalar::<f32>());
            assert!((loss - each[place - 4]).abs() < 1e-5, "{loss}");
            sum += loss;
        }
        assert!((sum / 4.0 - nats).abs() < 1e-5, "{nats}");
    }
    // Another order asks for the same codes in another order.
    let spiral = PriorConfig {
        order: ScanOrder::SpiralOut,
        ..plain.clone()
    };
    let turned_rows = sequences(&spiral, &set(), &[0]).unwrap();
    let turned: Vec<i64> = [2, 0, 1, 3].map(|cell: usize| rows[0][4 + cell]).to_vec();
    assert_eq!(turned_rows[0][4..], turned);
}

#[test]
fn a_condition_that_is_left_out_does_not_matter() {
    let config = PriorConfig {
        vocabulary_size: 12,
        nothing_token: Some(11),
        ..config(coordinates())
    };
    let training = PriorTraining {
        condition_dropout: 0.5,
        ..PriorTraining::default()
    };
    let trainer = trainer(&config, &training);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut left_out = 0;
    for _ in 0..60 {
        let mut batch = Batch::new(&config, &set(), &PICTURES).unwrap();
        trainer.leave_out(&mut batch, &mut random);
        for ((input, target), dropped) in
            batch.inputs.iter().zip(&batch.targets).zip(&batch.dropped)
        {
            assert_eq!(input[4..], target[4..], "codes stay");
            let expected = if *dropped { &[11; 4][..] } else { &target[..4] };
            assert_eq!(&input[..4], expected);
            left_out += usize::from(*dropped);
        }
    }
    assert!((110..190).contains(&left_out), "{left_out} of 300");
}

#[test]
fn texts_are_learned_and_so_is_their_absence() {
    let config = config(text());
    let trainer = trainer(&config, &PriorTraining::default());
    let (with, _) = gradients(&trainer, false);
    assert!(squares(&with, "text.projection.weight") > 0.0);
    assert_eq!(squares(&with, "text.nothing"), 0.0);
    let (without, _) = gradients(&trainer, true);
    assert_eq!(squares(&without, "text.projection.weight"), 0.0);
    assert!(squares(&without, "text.nothing") > 0.0);
    let other = CodeSet {
        texts: vec![0.0; 10],
        ..set()
    };
    let error = nats_per_code(&trainer.result(), &config, &other, &[0], &Device::flex());
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("texts of 2 numbers")
    );
}

#[test]
fn gradients_are_shortened() {
    let config = config(classes());
    let step = |gradient_clip| {
        let training = PriorTraining {
            gradient_clip,
            ..PriorTraining::default()
        };
        let mut trainer = trainer(&config, &training);
        trainer
            .step(&set(), &PICTURES, 1e-3, 0)
            .unwrap()
            .gradient_norm
    };
    assert_eq!(step(0.0), None);
    assert!(step(1e-3).unwrap() > 1e-3);
}

/// A run that is saved after two steps and loaded again goes on as if it had not been.
#[test]
fn averages_and_weights_are_both_kept() {
    let config = config(classes());
    let training = PriorTraining {
        weight_average: 0.9,
        condition_dropout: 0.3,
        pkeep: 0.8,
        micro_batch: 2,
        gradient_clip: 0.5,
        ..PriorTraining::default()
    };
    let steps = |trainer: &mut PriorTrainer, range: std::ops::Range<u64>| {
        for step in range {
            trainer.step(&set(), &PICTURES, 1e-2, step).unwrap();
        }
    };
    let mut whole = trainer(&config, &training);
    steps(&mut whole, 0..4);
    let mut first = trainer(&config, &training);
    steps(&mut first, 0..2);
    let (model, state) = (first.result(), first.state());
    assert!(state.contains_key("weights.pos_emb"));
    let saved = parameters(&model, "", str::to_string);
    let fresh = Prior::new(&mut Initializer::zeros(&device()), &config);
    let read = load_parameters(fresh, &saved, "", str::to_string).unwrap();
    let mut second = trainer(&config, &training);
    second.load(read, &state).unwrap();
    steps(&mut second, 2..4);
    assert_eq!(weights(&second), weights(&whole));
    let averages = |trainer: &PriorTrainer| parameters(&trainer.result(), "", str::to_string);
    assert_eq!(averages(&second), averages(&whole));
    assert_ne!(averages(&whole), weights(&whole));
    // Without averages, nothing of them is kept.
    let plain = trainer(&config, &PriorTraining::default());
    assert!(plain.state().keys().all(|key| key.starts_with("adam.")));
}
