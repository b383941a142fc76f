//! How probable pictures are to a prior: what `smalti nll` does. Reached: pictures of the kind it has learned are more
//! probable than codes that were thrown together.
//!
//!     cargo run --release --example how_probable

mod common;

use common::{SIZE, UNSEEN, trained_prior};
use smalti::Result;
use smalti::data::drawn::draw;
use smalti::sample::{Request, SampleOptions, Sampler, class_condition};
use smalti::tokenizer::picture;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let model = trained_prior(folder.path())?;
    let (config, gpt) = model.require_prior()?;
    let codebook = model.tokenizer_config.codes();
    let options = SampleOptions::default();
    let sampler = Sampler::new(gpt.clone(), config, codebook, options)?;

    let pictures: Vec<Vec<i64>> = (0..8)
        .map(|index| picture::encode(&model, &draw(index % 2, UNSEEN + index as u64, SIZE)).0)
        .collect();
    let thrown = |picture: usize| -> Vec<i64> {
        let code = |place: usize| ((place * 29 + picture * 17 + 5) % codebook) as i64;
        (0..config.codes()).map(code).collect()
    };
    let thrown: Vec<Vec<i64>> = (0..8).map(thrown).collect();
    let requests = (0..8)
        .map(|index| {
            let condition = class_condition(config, Some(index % 2))?;
            Ok(Request::new(condition, config.codes(), 0))
        })
        .collect::<Result<Vec<_>>>()?;
    let mean = |codes: &[Vec<i64>]| -> Result<f64> {
        let nats = sampler.nats_per_code(&requests, codes)?;
        Ok(nats.iter().sum::<f64>() / nats.len() as f64)
    };
    let (of_pictures, of_nothing) = (mean(&pictures)?, mean(&thrown)?);
    println!("nats for a code: pictures {of_pictures:.2}, codes thrown together {of_nothing:.2}");
    assert!(of_pictures < of_nothing);
    Ok(())
}
