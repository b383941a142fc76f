//! A tokenizer learns the parts of drawn pictures, and continues from its checkpoint: what `smalti train tokenizer` does.
//! Reached: its loss falls by more than a quarter in 150 steps.
//!
//!     cargo run --release --example train_tokenizer

mod common;

use common::{UNSEEN, Watch, drawn_pictures, tokenizer_recipe};
use smalti::Device;
use smalti::data::drawn::draw;
use smalti::tokenizer::{self, TokenizerJob, picture};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let data = drawn_pictures(folder.path())?;
    let out = folder.path().join("run");
    let mut recipe = tokenizer_recipe(&data)?;
    let mut watch = Watch::new("nll_loss");
    let job = TokenizerJob {
        recipe: recipe.clone(),
        out: out.clone(),
        resume: false,
        lpips: None,
    };
    tokenizer::train(job, &Device::flex(), &mut watch)?;
    let [first, last] = watch.ends();
    println!("loss {first:.3} in the first steps, {last:.3} in the last");
    assert!(last < 0.75 * first);

    // The run goes on for ten steps.
    recipe.training.steps += 10;
    let job = TokenizerJob {
        recipe,
        out,
        resume: true,
        lpips: None,
    };
    let trained = tokenizer::train(job, &Device::flex(), &mut watch)?;
    assert_eq!(trained.model.info.step, 160);

    let unseen = draw(0, UNSEEN, common::SIZE);
    let psnr = picture::psnr(&unseen, &picture::reconstruct(&trained.model, &unseen));
    println!("a picture it has never seen comes back with {psnr:.1} dB");
    Ok(())
}
