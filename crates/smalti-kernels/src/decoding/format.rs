//! The formats that weights are kept in for decoding.

use std::fmt;

/// How a matrix is stored. Compact formats round the weights; what is multiplied with them is not
/// rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightFormat {
    /// As they are: 32 bits a weight.
    #[default]
    F32,
    /// Eight significant bits: 16 bits a weight.
    Bf16,
    /// Whole numbers of 8 bits, and a scale for every 64 inputs of an output: 8.25 bits a weight.
    Int8,
    /// Whole numbers of 4 bits, and a scale for every 32 inputs of an output: 4.5 bits a weight.
    Int4,
}

impl WeightFormat {
    /// Every format, from the largest to the smallest.
    pub const ALL: [WeightFormat; 4] = [
        WeightFormat::F32,
        WeightFormat::Bf16,
        WeightFormat::Int8,
        WeightFormat::Int4,
    ];

    /// The name that [`WeightFormat::parse`] knows it by.
    pub fn name(self) -> &'static str {
        match self {
            WeightFormat::F32 => "f32",
            WeightFormat::Bf16 => "bf16",
            WeightFormat::Int8 => "int8",
            WeightFormat::Int4 => "int4",
        }
    }

    /// The format of a name, if there is one.
    pub fn parse(name: &str) -> Option<WeightFormat> {
        let mut all = WeightFormat::ALL.into_iter();
        all.find(|format| format.name() == name)
    }
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed() {
        for format in WeightFormat::ALL {
            assert_eq!(WeightFormat::parse(&format.to_string()), Some(format));
        }
        assert_eq!(WeightFormat::parse("int3"), None);
    }
}
