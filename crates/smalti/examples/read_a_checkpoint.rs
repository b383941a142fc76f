//! Somebody else's checkpoint becomes a model: what `smalti import` does. The checkpoint is made here, in the authors'
//! format (`torch.save` and a YAML beside it); nothing but the folder is told to the import.
//!
//!     cargo run --release --example read_a_checkpoint

use smalti::Device;
use smalti::data::drawn::draw;
use smalti::initializer::Initializer;
use smalti::model::{ExportFormat, Model, ModelInfo, export, import};
use smalti::tokenizer::{QuantizerKind, Tokenizer, TokenizerConfig, picture};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let config = TokenizerConfig {
        resolution: 32,
        channels: 32,
        embed_dim: 16,
        codebook_size: 64,
        quantizer: QuantizerKind::Nearest,
        legacy_beta: true,
        ..TokenizerConfig::default()
    };
    let mut init = Initializer::seeded(&Device::flex(), 1);
    let theirs = Model {
        tokenizer: Tokenizer::new(&mut init, &config),
        tokenizer_config: config,
        prior: None,
        condition: None,
        info: ModelInfo::default(),
    };
    let checkpoint = folder.path().join("last.ckpt");
    export(&theirs, ExportFormat::Compvis, &checkpoint)?;

    let imported = import(folder.path(), None, None, &Device::flex())?;
    let config = &imported.model.tokenizer_config;
    println!(
        "{:?}: {} codes, f {}",
        imported.format,
        config.codebook_size,
        config.factor()
    );
    assert_eq!(config.codebook_size, 64);

    let drawn = draw(2, 0, 32);
    let codes = picture::encode(&theirs, &drawn).0;
    assert_eq!(picture::encode(&imported.model, &drawn).0, codes);
    imported
        .model
        .save(&folder.path().join("ours.safetensors"))?;
    Ok(())
}
