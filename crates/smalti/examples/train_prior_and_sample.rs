//! A transformer learns how the codes of drawn pictures follow each other, and draws new ones: what `smalti train prior`
//! and `smalti sample` do. Reached: it knows more about the next code than nothing, and the same seed draws the same.
//!
//!     cargo run --release --example train_prior_and_sample

mod common;

use common::{Watch, drawn_pictures, prior_recipe, trained_tokenizer};
use smalti::data::{GRID_PADDING, grid, write_png};
use smalti::prior::{self, PriorJob};
use smalti::sample::{
    Filter, Request, SampleOptions, class_condition, decode_pictures, picture_seed, sample_codes,
};
use smalti::{Device, Result};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let data = drawn_pictures(folder.path())?;
    let mut watch = Watch::new("nats_per_code");
    let job = PriorJob {
        recipe: prior_recipe(&data),
        tokenizer: trained_tokenizer(&data, folder.path())?,
        condition_tokenizer: None,
        out: folder.path().join("prior"),
        resume: false,
    };
    let model = prior::train(job, &Device::flex(), &mut watch)?.model;
    let nothing = (model.tokenizer_config.codes() as f64).ln();
    let [_, last] = watch.ends();
    println!("{last:.2} nats for a code; knowing nothing costs {nothing:.2}");
    assert!(last < nothing);

    let (config, gpt) = model.require_prior()?;
    let options = SampleOptions {
        filter: Filter {
            top_p: Some(0.95),
            ..Filter::default()
        },
        ..SampleOptions::default()
    };
    let request = |index: usize| -> Result<Request> {
        let condition = class_condition(config, Some(index % 2))?;
        Ok(Request::new(
            condition,
            config.codes(),
            picture_seed(7, index),
        ))
    };
    let requests = (0..8).map(request).collect::<Result<Vec<_>>>()?;
    let codebook = model.tokenizer_config.codes();
    let draw = |requests: &[Request]| {
        sample_codes(gpt.clone(), config, codebook, requests, options, |_| {})
    };
    let codes = draw(&requests)?;
    // Neither the batch nor the other pictures decide what a picture becomes.
    assert_eq!(draw(&requests[3..4])?[0], codes[3]);

    let pictures = decode_pictures(&model, &codes, [config.rows, config.columns], 8);
    let sheet = folder.path().join("sheet.png");
    write_png(&sheet, &grid(&pictures, 4, GRID_PADDING))?;
    println!("{} pictures on {}", pictures.len(), sheet.display());
    Ok(())
}
