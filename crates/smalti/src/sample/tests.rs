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
            sample_codes(&gpt, &config, CODES, &requests(), options, |_| {}).unwrap()
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
    let decoder = Decoder::new(&gpt, &config, WeightFormat::F32);
    let requests = requests();
    let draw = |transformer| {
        let options = SampleOptions {
            filter: Filter::GREEDY,
            ..SampleOptions::default()
        };
        let mut sampler = Sampler::new(transformer, &config, &requests, options, 0).unwrap();
        while sampler.step() {}
        sampler.codes
    };
    let packed = draw(NextCode::packed(&decoder, requests.len(), config.codes()));
    let network = draw(NextCode::network(&gpt, requests.len(), config.codes()));
    assert_eq!(packed, network);
}
