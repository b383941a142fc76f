//! Autoregressive decoding: products of a matrix with few vectors, and attention of the newest
//! tokens over those before them.
//!
//! A step of decoding multiplies every weight with the few rows of a batch, so what it costs is
//! reading the weights from memory. [`PackedWeights`] hold them in a compact [`WeightFormat`], in
//! the order in which they are read. Activations and sums stay `f32`.
//!
//! A row's numbers depend neither on the number of threads nor on the rows it is computed with: a
//! sequence decodes the same alone and in a batch, one token at a time and many at once.
//! Multiplications are fused with additions where the processor can, so the numbers differ in
//! their last digits from one instruction set to another.

pub mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod format;
mod lanes;
mod packed;
mod panel;
pub mod reference;
mod step;

#[cfg(test)]
mod tests;

pub use format::WeightFormat;
pub use packed::PackedWeights;
