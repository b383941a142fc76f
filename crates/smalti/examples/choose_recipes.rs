//! Recipes of both stages are chosen by a look at pictures and machine: what `smalti train` does before it begins.
//!
//!     cargo run --release --example choose_recipes

mod common;

use common::{SIZE, drawn_pictures};
use smalti::auto::{Facts, Wishes, choose};
use smalti::prior::ConditionKind;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let data = drawn_pictures(folder.path())?;
    let facts = Facts::of(&data, 2)?;
    println!("{}", facts.describe());
    let wishes = Wishes {
        minutes: 60.0,
        size: None,
        classes: None,
    };
    let chosen = choose(&facts, &wishes)?;
    for choice in &chosen.choices {
        println!("{}: {} ({})", choice.about, choice.value, choice.reason);
    }
    assert_eq!(chosen.tokenizer.training.size, SIZE as usize);
    assert_eq!(chosen.prior.training.condition, ConditionKind::Class);
    Ok(())
}
