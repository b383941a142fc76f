//! One file per command.

pub mod bench;
pub mod decode;
pub mod demo;
pub mod doctor;
pub mod encode;
pub mod eval;
pub mod export;
pub mod import;
pub mod info;
pub mod nll;
pub mod prepare;
pub mod reconstruct;
pub mod sample;
pub mod train;
pub mod weights;
