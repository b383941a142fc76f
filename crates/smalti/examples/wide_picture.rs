//! A picture three times as wide as those the prior has learned is drawn through a window that moves along: what
//! `smalti sample --size` does. Reached: through both kinds of window, the exact one and blocks.
//!
//!     cargo run --release --example wide_picture

mod common;

use common::{SIZE, trained_prior};
use smalti::sample::{
    Request, SampleOptions, Sampler, Windowing, class_condition, decode_pictures,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let model = trained_prior(folder.path())?;
    let (config, gpt) = model.require_prior()?;
    let grid = [config.rows, 3 * config.columns];
    let condition = class_condition(config, Some(1))?;
    let requests = [Request::new(condition, grid[0] * grid[1], 5)];
    for windowing in [Windowing::Exact, Windowing::Blocks] {
        let options = SampleOptions {
            grid: Some(grid),
            windowing,
            ..SampleOptions::default()
        };
        let sampler = Sampler::new(gpt.clone(), config, model.tokenizer_config.codes(), options)?;
        let codes = sampler.draw(&requests, |_| {})?;
        // However it was drawn, it is measured through the exact window.
        let nats = sampler.nats_per_code(&requests, &codes)?;
        let pictures = decode_pictures(&model, &codes, grid, 1);
        println!("{windowing:?}: {:.2} nats for a code", nats[0]);
        assert_eq!(pictures[0].dimensions(), (3 * SIZE, SIZE));
        assert!(nats[0].is_finite());
    }
    Ok(())
}
