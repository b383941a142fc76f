//! smalti: "Taming Transformers for High-Resolution Image Synthesis" (Esser, Rombach, Ommer, CVPR 2021) in Rust.
//!
//! Stage 1, the [`tokenizer`], is a VQGAN: it turns pictures into grids of codes and back. Stage 2, the [`prior`], is a
//! transformer that learns how codes compose; [`sample`] draws new pictures from it. [`data`] brings pictures in,
//! [`text`] what they show in words, [`prepare`] makes conditions of them, [`model`] is both stages in one file,
//! [`checkpoint`] reads and writes tensors,
//! [`training`] holds what both stages share, [`auto`] chooses what to train when nobody says, and [`ops`] has the
//! operations that the networks are written in. The folder `examples` has a small program for each of these.

pub mod auto;
pub mod bench;
pub mod checkpoint;
mod counted;
pub mod data;
pub mod doctor;
pub mod error;
pub mod initializer;
pub mod layers;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod ops;
pub mod prepare;
pub mod prior;
pub mod sample;
pub mod text;
pub mod tokenizer;
pub mod training;
pub mod weights;

/// burn's types that appear in this library's interface.
pub use burn::module::Module;
pub use burn::tensor::{Device, Tensor};
pub use counted::counted;
pub use error::{Error, Result};
