//! One file per command.

pub mod bench;
mod classifier;
pub mod complete;
pub mod completions;
mod conditions;
pub mod decode;
pub mod demo;
pub mod doctor;
mod drawing;
pub mod encode;
pub mod eval;
pub mod export;
mod features;
pub mod import;
pub mod info;
pub mod man;
pub mod nll;
pub mod prepare;
pub mod reconstruct;
mod rejection;
pub mod remap;
pub mod reproduce;
pub mod sample;
pub mod train;
pub mod weights;
