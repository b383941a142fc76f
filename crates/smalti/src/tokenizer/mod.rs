//! Stage 1, the VQGAN (paper section 3.1): pictures to codes and back, and how it is trained.

pub mod adversarial;
pub mod blocks;
pub mod colours;
pub mod config;
pub mod dalle;
pub mod decoder;
pub mod discriminator;
pub mod encoder;
pub mod family;
mod fold;
mod guard;
mod kmeans;
pub mod loss;
pub mod magvit2;
pub mod maskgit;
mod measure;
pub mod network;
pub mod perceptual;
pub mod picture;
pub mod plan;
pub mod presets;
pub mod quantizer;
pub mod recipe;
pub mod remap;
#[cfg(test)]
mod testing;
pub mod tiled;
pub mod train;
pub mod trainer;
pub mod upkeep;
pub mod vqvae2;

pub use config::{Family, QuantizerKind, TokenizerConfig};
pub use network::Tokenizer;
pub use perceptual::Lpips;
pub use recipe::{TokenizerRecipe, TokenizerTraining};
pub use train::{TokenizerJob, train};
