//! Transposes of small squares of words, in registers.

use crate::dispatch::Isa;

/// Side of a square.
pub(crate) const SIDE: usize = 16;

/// Rows of words.
pub(crate) type Square = [[f32; SIDE]; SIDE];

/// Exchanges rows and columns. Words are moved as bits.
pub(crate) fn transpose(isa: Isa, square: &mut Square) {
    #[cfg(target_arch = "x86_64")]
    if isa >= Isa::Avx512 {
        // SAFETY: the level has AVX-512 F.
        return unsafe { avx512(square) };
    }
    let _ = isa;
    for row in 1..SIDE {
        for column in 0..row {
            let (above, below) = square.split_at_mut(row);
            std::mem::swap(&mut above[column][row], &mut below[0][column]);
        }
    }
}

/// Four rounds that exchange blocks of 1, 2, 4 and 8 words between pairs of rows.
///
/// # Safety
/// The processor has AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(square: &mut Square) {
    use std::arch::x86_64::*;
    // SAFETY: rows are sixteen floats each; loads and stores are unaligned.
    unsafe {
        let load = |row: &[f32; SIDE]| _mm512_loadu_ps(row.as_ptr());
        let rows: [__m512; SIDE] = std::array::from_fn(|index| load(&square[index]));
        let pairs: [__m512; SIDE] = std::array::from_fn(|index| {
            let (upper, lower) = (rows[index & !1], rows[index | 1]);
            if index & 1 == 0 {
                _mm512_unpacklo_ps(upper, lower)
            } else {
                _mm512_unpackhi_ps(upper, lower)
            }
        });
        // Column `4 q + k` of four rows lies in lane q of vector k.
        let fours: [__m512; SIDE] = std::array::from_fn(|index| {
            let (group, column) = (index & !3, index & 3);
            let double = |vector| _mm512_castps_pd(vector);
            let (upper, lower) = (
                double(pairs[group + column / 2]),
                double(pairs[group + 2 + column / 2]),
            );
            _mm512_castpd_ps(if column & 1 == 0 {
                _mm512_unpacklo_pd(upper, lower)
            } else {
                _mm512_unpackhi_pd(upper, lower)
            })
        });
        for column in 0..4 {
            let [a, b, c, d] = [0, 4, 8, 12].map(|group| fours[group + column]);
            let (even_low, odd_low) = (
                _mm512_shuffle_f32x4::<0x88>(a, b),
                _mm512_shuffle_f32x4::<0xdd>(a, b),
            );
            let (even_high, odd_high) = (
                _mm512_shuffle_f32x4::<0x88>(c, d),
                _mm512_shuffle_f32x4::<0xdd>(c, d),
            );
            let quarters = [
                _mm512_shuffle_f32x4::<0x88>(even_low, even_high),
                _mm512_shuffle_f32x4::<0x88>(odd_low, odd_high),
                _mm512_shuffle_f32x4::<0xdd>(even_low, even_high),
                _mm512_shuffle_f32x4::<0xdd>(odd_low, odd_high),
            ];
            for (quarter, vector) in quarters.into_iter().enumerate() {
                _mm512_storeu_ps(square[4 * quarter + column].as_mut_ptr(), vector);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::levels;

    #[test]
    fn rows_become_columns() {
        let place = |row: usize, column: usize| (row * SIDE + column) as f32;
        let filled = |place: &dyn Fn(usize, usize) -> f32| -> Square {
            std::array::from_fn(|row| std::array::from_fn(|column| place(row, column)))
        };
        for isa in levels() {
            let mut square = filled(&place);
            transpose(isa, &mut square);
            assert_eq!(square, filled(&|row, column| place(column, row)), "{isa:?}");
        }
    }
}
