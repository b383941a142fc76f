//! The number format that networks compute in.

use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

/// What products and activations are kept in. Parameters, sums, statistics and optimisers are f32 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    F32,
    /// The upper half of f32: its range, three decimal digits. Half the memory, and twice the speed or more where the
    /// processor multiplies bf16.
    Bf16,
}

impl Precision {
    pub const ALL: [Precision; 2] = [Precision::F32, Precision::Bf16];

    /// `f32` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }

    /// The precision of that name.
    pub fn parse(name: &str) -> Option<Precision> {
        Precision::ALL
            .into_iter()
            .find(|precision| precision.name() == name)
    }

    /// The tensor in this format; gradients come back in its own.
    pub fn of<const D: usize>(self, tensor: Tensor<D>) -> Tensor<D> {
        match self {
            Precision::F32 => tensor.cast(DType::F32),
            Precision::Bf16 => tensor.cast(DType::BF16),
        }
    }
}
