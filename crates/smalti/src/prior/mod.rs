//! Stage 2, the transformer (paper section 3.2) or another network: how codes compose, and how it is trained.

pub mod annotations;
pub mod codes;
pub mod condition;
pub mod config;
pub mod decoder;
pub mod gpt;
pub mod maker;
pub mod network;
pub mod order;
mod patience;
pub mod pixelsnail;
mod plan;
mod prepare;
mod preview;
pub mod recipe;
pub mod sequences;
pub mod source;
pub mod squares;
mod store;
pub mod train;
pub mod trainer;

pub use codes::CodeSet;
pub use config::PriorConfig;
pub use decoder::{Decoder, DecoderState};
pub use gpt::{Gpt, KvCache};
pub use network::{Architecture, Prior};
pub use order::ScanOrder;
pub use pixelsnail::{PixelSnail, PixelSnailConfig};
pub use recipe::{ConditionKind, NetworkKind, PriorRecipe, PriorTraining};
pub use store::StoredCodes;
pub use train::{PriorJob, train};
