//! The two storage types of the kernels: `f32`, and `bf16`, the upper half of an `f32`.
//!
//! Sums are always kept in `f32`. Products read their operands in 32-bit words: one `f32`, or two
//! `bf16` that are multiplied with their counterparts and added.

pub use half::bf16;

/// A type that tensors are stored in.
pub trait Element: Copy + Default + PartialEq + Send + Sync + std::fmt::Debug + 'static {
    /// How many values a 32-bit word holds.
    const PER_WORD: usize;

    /// The value, without loss.
    fn to_f32(self) -> f32;

    /// The nearest value of this type, ties to even.
    fn from_f32(value: f32) -> Self;
}

impl Element for f32 {
    const PER_WORD: usize = 1;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(value: f32) -> f32 {
        value
    }
}

impl Element for bf16 {
    const PER_WORD: usize = 2;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    // Without a branch, unlike the conversion of `half`, so that loops around it vectorise.
    #[inline(always)]
    fn from_f32(value: f32) -> bf16 {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        let quiet = bits >> 16 | 0x40;
        bf16::from_bits(if value.is_nan() { quiet } else { rounded } as u16)
    }
}

/// Values per pixel or row when each word belongs to one of them alone.
pub(crate) fn padded<E: Element>(channels: usize) -> usize {
    channels.next_multiple_of(E::PER_WORD)
}

/// Converts every value.
pub fn convert<A: Element, B: Element>(values: &[A], converted: &mut [B]) {
    use rayon::prelude::*;
    const BLOCK: usize = 16 * 1024;
    assert_eq!(values.len(), converted.len(), "lengths of a conversion");
    let isa = crate::dispatch::isa();
    let blocks = converted
        .par_chunks_mut(BLOCK)
        .zip(values.par_chunks(BLOCK));
    blocks.for_each(|(converted, values)| convert_block(isa, values, converted));
}

crate::dispatch::vectorised! {
    /// [`convert`] on one thread.
    pub(crate) fn convert_block<A: Element, B: Element>(values: &[A], converted: &mut [B]) {
        for (converted, value) in converted.iter_mut().zip(values) {
            *converted = B::from_f32(value.to_f32());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_half() {
        let special = [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN_POSITIVE,
        ];
        let drawn = (0..20_000u32).map(|index| f32::from_bits(index.wrapping_mul(0x9e37_79b9)));
        for value in special.into_iter().chain(drawn) {
            let (ours, theirs) = (<bf16 as Element>::from_f32(value), bf16::from_f32(value));
            assert!(
                ours == theirs || ours.is_nan() && theirs.is_nan(),
                "{value}"
            );
        }
    }
}
