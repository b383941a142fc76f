//! A picture becomes codes, goes through a file of codes, and becomes a picture again: what `smalti encode` and `decode`
//! do. The tokenizer here has random weights; `train_tokenizer` makes a better one.
//!
//!     cargo run --release --example encode_and_decode

use smalti::Device;
use smalti::data::drawn::draw;
use smalti::initializer::Initializer;
use smalti::model::{Model, ModelInfo};
use smalti::prior::CodeSet;
use smalti::sample::decode_pictures;
use smalti::tokenizer::{Tokenizer, TokenizerConfig, picture};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let config = TokenizerConfig {
        channels: 32,
        codebook_size: 256,
        ..TokenizerConfig::default()
    };
    let mut init = Initializer::seeded(&Device::flex(), 0);
    let model = Model {
        tokenizer: Tokenizer::new(&mut init, &config),
        tokenizer_config: config,
        prior: None,
        condition: None,
        info: ModelInfo::default(),
    };
    // A model is one file, with its configuration.
    let file = folder.path().join("tokenizer.safetensors");
    model.save(&file)?;
    let model = Model::load(&file, &Device::flex())?;

    let drawn = draw(4, 0, 64);
    let (codes, [rows, columns]) = picture::encode(&model, &drawn);
    println!("64 × 64 pixels became {rows} × {columns} codes");
    assert_eq!([rows, columns], [16, 16]);

    let mut set = CodeSet::new(&model, rows, columns);
    set.codes = codes;
    let file = folder.path().join("codes.safetensors");
    set.save(&file)?;
    let set = CodeSet::load(&file)?;
    set.check_tokenizer(&model, &file)?;

    let decoded = decode_pictures(&model, &[set.picture(0).to_vec()], [rows, columns], 1);
    let at_once = picture::reconstruct(&model, &drawn);
    let psnr = picture::psnr(&decoded[0], &at_once);
    println!("decoded, against the way through the tokenizer at once: {psnr:.1} dB");
    assert!(psnr > 50.0);
    Ok(())
}
