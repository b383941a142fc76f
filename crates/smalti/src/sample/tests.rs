//! Drawing with a small untrained prior: what its options may change, and what they may not.

use super::*;
use crate::initializer::Initializer;
use burn::tensor::Device;

const CODES: usize = 13;

fn prior() -> (PriorConfig, Gpt) {
    let config = PriorConfig {
        layers: 2,
        heads: 2,
        width: 16,
        rows: 3,
        columns: 4,
        block_size: 12,
        vocabulary_size: CODES,
        ..PriorConfig::default()
    };
    config.check().unwrap();
    let gpt = Gpt::new(&mut Initializer::seeded(&Device::flex(), 1), &config);
    (config, gpt)
}

/// Five pictures, some of them begun.
fn requests() -> Vec<Request> {
    let request = |index: i64| Request {
        class: None,
        known: (0..index).collect(),
    };
    (0..5).map(request).collect()
}

#[test]
fn the_batch_decides_nothing_but_speed() {
    let (config, gpt) = prior();
    for weights in WeightFormat::ALL {
        let draw = |batch| {
            let options = SampleOptions {
                batch,
                weights,
                ..SampleOptions::default()
            };
            sample_codes(gpt.clone(), &config, CODES, &requests(), options, |_| {}).unwrap()
        };
        let codes = draw(5);
        assert_eq!(codes, draw(1), "{weights}");
        assert_eq!(codes, draw(3), "{weights}");
        for (codes, request) in codes.iter().zip(requests()) {
            assert_eq!(codes.len(), config.codes());
            assert!(codes.starts_with(&request.known));
        }
    }
}

#[test]
fn packed_weights_draw_what_the_network_draws() {
    let (config, gpt) = prior();
    let decoder = Decoder::new(gpt.clone(), &config, WeightFormat::F32);
    let requests = requests();
    let draw = |transformer| {
        let options = SampleOptions {
            filter: Filter::GREEDY,
            ..SampleOptions::default()
        };
        let grid = [config.rows, config.columns];
        let pictures = Pictures::new(&config, grid, &requests, options, 0).unwrap();
        let mut sampler = Sampler::new(transformer, &config, pictures);
        while sampler.step() {}
        sampler.pictures.codes
    };
    let packed = draw(NextCode::packed(&decoder, requests.len(), config.codes()));
    let network = draw(NextCode::network(&gpt, requests.len(), config.codes()));
    assert_eq!(packed, network);
}

/// The authors' loop: a pass over the whole window for every code, whatever stands behind the code.
fn slide_without_cache(
    gpt: &Gpt,
    config: &PriorConfig,
    [rows, columns]: [usize; 2],
    known: &[i64],
) -> Vec<i64> {
    let mut grid = vec![7; rows * columns];
    grid[..known.len()].copy_from_slice(known);
    let origin = |place: usize, extent: usize, window: usize| {
        place.saturating_sub(window / 2).min(extent - window)
    };
    for position in known.len()..rows * columns {
        let (row, column) = (position / columns, position % columns);
        let top = origin(row, rows, config.rows);
        let left = origin(column, columns, config.columns);
        let mut tokens = config.condition.tokens(None).unwrap();
        for y in top..top + config.rows {
            tokens.extend(&grid[y * columns + left..][..config.columns]);
        }
        tokens.pop();
        let tokens = crate::prior::codes::token_tensor(&[tokens], &Device::flex());
        let logits = host_values(gpt.forward(tokens));
        let place = (row - top) * config.columns + column - left;
        let logits = &logits[place * config.vocabulary_size..][..config.vocabulary_size];
        let best = |best: usize, index: usize| {
            if logits[index] > logits[best] {
                index
            } else {
                best
            }
        };
        grid[position] = (0..CODES).fold(0, best) as i64;
    }
    grid
}

#[test]
fn larger_pictures_are_those_of_the_loop_without_cache() {
    let (config, gpt) = prior();
    for grid in [[3, 4], [3, 9], [7, 4], [8, 10]] {
        let options = SampleOptions {
            filter: Filter::GREEDY,
            grid: Some(grid),
            ..SampleOptions::default()
        };
        let codes =
            sample_codes(gpt.clone(), &config, CODES, &requests(), options, |_| {}).unwrap();
        for (codes, request) in codes.iter().zip(requests()) {
            assert_eq!(
                *codes,
                slide_without_cache(&gpt, &config, grid, &request.known),
                "{grid:?}"
            );
        }
    }
}

#[test]
fn a_grid_smaller_than_the_window_is_refused() {
    let (config, gpt) = prior();
    let options = SampleOptions {
        grid: Some([2, 9]),
        ..SampleOptions::default()
    };
    let result = sample_codes(gpt.clone(), &config, CODES, &requests(), options, |_| {});
    assert!(result.unwrap_err().to_string().contains("at least 3 × 4"));
}
