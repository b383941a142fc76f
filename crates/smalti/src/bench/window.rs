//! The workload of pictures larger than the prior's: codes through the sliding window.

use super::ceiling::Phase;
use super::measure::{Repetition, timed};
use super::{Spec, cost, networks};
use crate::error::Result;
use crate::prior::decoder::Decoder;
use crate::sample::window::{Sampler, capacity};
use crate::sample::{Filter, NextCode, Pictures, Request, SampleOptions};
use burn::tensor::Device;

/// How much larger than the window the picture is, each way.
const TIMES: usize = 2;

/// The middle row of the picture. A window has as many rows above it there as it has on average over all rows.
pub(super) fn window(spec: &Spec, device: &Device) -> Result<Repetition> {
    let config = spec.size.prior();
    let grid = [TIMES * config.rows, TIMES * config.columns];
    let decoder = Decoder::new(networks::gpt(&config, device), &config, spec.weights);
    let batch = spec.batch;
    let above = networks::codes(config.rows * grid[1], config.vocabulary_size);
    let options = SampleOptions {
        filter: Filter {
            top_k: Some(100),
            ..Filter::default()
        },
        ..SampleOptions::default()
    };
    Ok(Box::new(move || {
        let request = Request {
            class: None,
            known: above.clone(),
        };
        let requests = vec![request; batch];
        let pictures = Pictures::new(&config, grid, &requests, options, 0)?;
        let transformer = NextCode::packed(&decoder, batch, capacity(&config));
        let mut sampler = Sampler::new(transformer, &config, pictures);
        for _ in 0..above.len() {
            sampler.step();
        }
        let time = timed(|| {
            for _ in 0..grid[1] {
                sampler.step();
            }
        });
        Ok(time / grid[1] as u32)
    }))
}

/// What the plain formulation costs: a pass over the whole window for every code.
pub(super) fn window_phases(spec: &Spec) -> Vec<Phase> {
    let config = spec.size.prior();
    vec![super::tokenizer::inference(
        spec,
        cost::prior(&config, 0, config.codes()),
    )]
}
