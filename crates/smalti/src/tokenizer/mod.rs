//! Stage 1, the VQGAN (paper section 3.1): pictures to codes and back, and how it is trained.

pub mod blocks;
pub mod config;
pub mod decoder;
pub mod discriminator;
pub mod encoder;
pub mod loss;
mod measure;
pub mod network;
pub mod perceptual;
pub mod picture;
pub mod plan;
pub mod quantizer;
pub mod recipe;
pub mod tiled;
pub mod train;
pub mod trainer;

pub use config::{QuantizerKind, TokenizerConfig};
pub use network::Tokenizer;
pub use perceptual::Lpips;
pub use recipe::{TokenizerRecipe, TokenizerTraining};
pub use train::{TokenizerJob, train};
