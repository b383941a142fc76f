//! The upper half of a picture stays, the lower half is drawn: what `smalti complete --keep top` does.
//!
//!     cargo run --release --example complete_half

mod common;

use common::{SIZE, UNSEEN, trained_prior};
use smalti::data::drawn::draw;
use smalti::sample::{
    Cells, Keep, Request, SampleOptions, class_condition, decode_pictures, known_codes,
    sample_codes,
};
use smalti::tokenizer::picture;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let model = trained_prior(folder.path())?;
    let (config, gpt) = model.require_prior()?;

    let (codes, grid) = picture::encode(&model, &draw(0, UNSEEN, SIZE));
    let anew = Cells::new(&model.tokenizer_config, grid).without(Keep::Top);
    let request = Request {
        known: known_codes(&codes, &anew),
        ..Request::new(class_condition(config, Some(0))?, codes.len(), 3)
    };
    let drawn = request.unknown();
    let completed = sample_codes(
        gpt.clone(),
        config,
        model.tokenizer_config.codes(),
        &[request],
        SampleOptions::default(),
        |_| {},
    )?;
    println!("{drawn} of {} codes were drawn", codes.len());
    assert_eq!(drawn, codes.len() / 2);
    assert_eq!(completed[0][..drawn], codes[..drawn]);

    let pictures = decode_pictures(&model, &completed, grid, 1);
    assert_eq!(pictures[0].dimensions(), (SIZE, SIZE));
    Ok(())
}
