//! Averages against their formula, restarts that last, and the start from k-means.

use super::*;
use crate::initializer::Initializer;
use crate::tokenizer::config::{QuantizerKind, TokenizerConfig};
use crate::tokenizer::quantizer::QuantizerStep;
use burn::tensor::Device;

const CODES: usize = 4;

fn quantizer(kind: QuantizerKind) -> Quantizer {
    let config = TokenizerConfig {
        quantizer: kind,
        embed_dim: 2,
        codebook_size: CODES,
        ..TokenizerConfig::default()
    };
    Quantizer::new(&mut Initializer::seeded(&device(), 2), &config)
}

fn device() -> Device {
    Device::flex().autodiff()
}

fn config() -> UpkeepConfig {
    UpkeepConfig {
        decay: 0.9,
        restart_below: 0.0,
        seed: 7,
    }
}

fn vectors(rows: &[[f32; 2]]) -> Tensor<4> {
    let values: Vec<f32> = rows.iter().flatten().copied().collect();
    let data = TensorData::new(values, Shape::from([1, 1, rows.len(), 2]));
    Tensor::from_data(data, &device())
}

fn search(quantizer: &Quantizer, rows: &[[f32; 2]]) -> Vec<Search> {
    let step = QuantizerStep::default();
    quantizer.forward_training(vectors(rows), &step).searches
}

fn set_rows(quantizer: &mut Quantizer, rows: &[[f32; 2]]) {
    let flat: Vec<f32> = rows.iter().flatten().copied().collect();
    quantizer.codebooks()[0].write(&flat, &[1.0; CODES]);
}

fn rows(quantizer: &mut Quantizer) -> Vec<f32> {
    match &quantizer.codebooks()[0].rows {
        Rows::Learned(weight) => host_values(weight.val()),
        Rows::Averaged(embedding) => host_values(embedding.weight.val()),
    }
}

#[test]
fn averages_follow_the_formula() {
    let mut quantizer = quantizer(QuantizerKind::Ema);
    set_rows(
        &mut quantizer,
        &[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [5.0, 5.0]],
    );
    let points = [[0.9, 0.1], [1.2, 0.0], [0.1, 1.1]];
    let searches = search(&quantizer, &points);
    assert_eq!(host_indices(searches[0].codes.clone()), [1, 1, 2]);
    Upkeep::new(config()).after_step(&mut quantizer, searches, false, 0);
    // Sizes 0.9·1 + 0.1·count; sums 0.9·row + 0.1·Σz; smoothing by 1e-5 changes rows by less than 1e-4.
    let row = |size: f32, sum: [f32; 2]| [sum[0] / size, sum[1] / size];
    let expected = [
        row(0.9, [0.0, 0.0]),
        row(1.1, [0.9 + 0.21, 0.01]),
        row(1.0, [0.01, 0.9 + 0.11]),
        row(0.9, [4.5, 4.5]),
    ];
    for (value, expected) in rows(&mut quantizer).iter().zip(expected.iter().flatten()) {
        assert!(
            (value - expected).abs() < 2e-4,
            "{value} instead of {expected}"
        );
    }
}

#[test]
fn directions_stay_of_length_one() {
    let mut quantizer = quantizer(QuantizerKind::EmaL2);
    let mut upkeep = Upkeep::new(config());
    for step in 0..3 {
        let searches = search(&quantizer, &[[3.0, 1.0], [-0.1, 0.2], [0.5, -4.0]]);
        upkeep.after_step(&mut quantizer, searches, false, step);
    }
    for row in rows(&mut quantizer).chunks(2) {
        assert!((row[0].hypot(row[1]) - 1.0).abs() < 1e-5);
    }
}

/// Three heaps and a code that is out of reach of them: it moves to one of the vectors, and the averages of the steps after
/// must not bring it back.
#[test]
fn a_dead_code_is_restarted_for_good() {
    for kind in [QuantizerKind::Nearest, QuantizerKind::Ema] {
        let mut quantizer = quantizer(kind);
        set_rows(
            &mut quantizer,
            &[[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [90.0, 90.0]],
        );
        let points: Vec<[f32; 2]> = (0..24)
            .map(|index| {
                let near = 0.03 * (index / 3) as f32;
                [[near, 0.0], [4.0, near], [near, 4.0]][index % 3]
            })
            .collect();
        let mut upkeep = Upkeep::new(UpkeepConfig {
            restart_below: 0.3,
            ..config()
        });
        let mut restarted = 0;
        for step in 0..60 {
            let searches = search(&quantizer, &points);
            restarted += upkeep
                .after_step(&mut quantizer, searches, false, step)
                .restarted;
        }
        assert!(restarted >= 1, "{kind:?}");
        let far = rows(&mut quantizer).iter().any(|&value| value > 10.0);
        assert!(!far, "{kind:?}: {:?}", rows(&mut quantizer));
    }
}

#[test]
fn nothing_is_restarted_unless_asked() {
    let mut quantizer = quantizer(QuantizerKind::Nearest);
    let before = rows(&mut quantizer);
    let mut upkeep = Upkeep::new(config());
    for step in 0..60 {
        let searches = search(&quantizer, &[[1.0, 1.0]]);
        let report = upkeep.after_step(&mut quantizer, searches, false, step);
        assert_eq!(report, UpkeepReport::default());
    }
    assert_eq!(rows(&mut quantizer), before);
}

/// Otherwise the end of one batch would be all there is where pictures have many vectors.
#[test]
fn a_large_step_gives_a_share_of_its_vectors() {
    let mut quantizer = quantizer(QuantizerKind::Ema);
    let mut upkeep = Upkeep::new(config());
    let points: Vec<[f32; 2]> = (0..6000u16).map(|index| [f32::from(index), 0.0]).collect();
    let searches = search(&quantizer, &points);
    upkeep.after_step(&mut quantizer, searches, true, 0);
    let state = upkeep.state("");
    let gathered = state["0.gathered"].as_f32().unwrap();
    assert_eq!(gathered.len(), 2 * 4096);
    let late = gathered.chunks(2).filter(|row| row[0] >= 3000.0).count();
    assert!((1900..2200).contains(&late), "{late} of the later half");
}

#[test]
fn kmeans_sets_the_codes_once_vectors_are_quantised() {
    let heaps = [[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [8.0, 8.0]];
    for kind in [QuantizerKind::Nearest, QuantizerKind::Ema] {
        let mut quantizer = quantizer(kind);
        let mut upkeep = Upkeep::new(config());
        let before = rows(&mut quantizer);
        for step in 0..4 {
            let bypass = step < 3;
            assert_eq!(rows(&mut quantizer), before, "{kind:?}");
            let report = upkeep.before_step(&mut quantizer, bypass, step);
            assert_eq!(report.rewritten.len(), usize::from(!bypass));
            if bypass {
                let searches = search(&quantizer, &heaps);
                upkeep.after_step(&mut quantizer, searches, bypass, step);
            }
        }
        // It is done once.
        assert_eq!(
            upkeep.before_step(&mut quantizer, false, 5),
            UpkeepReport::default()
        );
        let mut found: Vec<[i32; 2]> = rows(&mut quantizer)
            .chunks(2)
            .map(|row| [row[0].round() as i32, row[1].round() as i32])
            .collect();
        found.sort_unstable();
        found.dedup();
        assert!(found.len() >= 3, "{kind:?}: {found:?}");
    }
}
