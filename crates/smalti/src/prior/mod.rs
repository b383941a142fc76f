//! Stage 2, the transformer (paper section 3.2): how codes compose, and how it is trained.

pub mod codes;
pub mod condition;
pub mod config;
pub mod decoder;
pub mod gpt;
mod plan;
mod prepare;
pub mod recipe;
pub mod train;
pub mod trainer;

pub use codes::CodeSet;
pub use config::PriorConfig;
pub use decoder::{Decoder, DecoderState};
pub use gpt::{Gpt, KvCache};
pub use recipe::{ConditionKind, PriorRecipe, PriorTraining};
pub use train::{PriorJob, train};
