//! The workload of pictures larger than the prior's: codes through the sliding window.

use super::ceiling::Phase;
use super::measure::Repetition;
use super::{Spec, cost, networks};
use crate::error::Result;
use crate::sample::{
    Filter, Request, SampleOptions, Sampler, Windowing, class_condition, picture_seed,
};
use burn::tensor::Device;
use std::time::Instant;

/// How much larger than the window the picture is, each way.
const TIMES: usize = 2;

/// The middle row of the picture, code by code. A window has as many rows above it there as it has on average over all
/// rows.
pub(super) fn window(spec: &Spec, device: &Device) -> Result<Repetition> {
    let config = spec.size.prior();
    let grid = [TIMES * config.rows, TIMES * config.columns];
    let above = networks::codes(config.rows * grid[1], config.vocabulary_size);
    let options = SampleOptions {
        filter: Filter {
            top_k: Some(100),
            ..Filter::default()
        },
        weights: spec.weights,
        grid: Some(grid),
        ..SampleOptions::default()
    };
    let condition = class_condition(&config, None)?;
    let request = |index: usize| {
        let mut request =
            Request::new(condition.clone(), grid[0] * grid[1], picture_seed(0, index));
        for (known, &code) in request.known.iter_mut().zip(&above) {
            *known = Some(code);
        }
        request
    };
    let requests: Vec<Request> = (0..spec.batch).map(request).collect();
    let gpt = networks::gpt(&config, device);
    let sampler = Sampler::new(gpt, &config, config.vocabulary_size, options)?;
    Ok(Box::new(move || {
        let path = sampler.path(Windowing::Exact)?;
        let mut drawing = sampler.begin(&path, &requests, 1)?;
        let start = Instant::now();
        for _ in 0..grid[1] {
            drawing.step()?;
        }
        Ok(start.elapsed() / grid[1] as u32)
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
