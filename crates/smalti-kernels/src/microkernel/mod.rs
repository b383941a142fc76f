//! The innermost product of all layers: a few rows times a panel of columns, sums in registers.
//!
//! Convolutions, linear layers and their gradients all end here. The left operand is read where it
//! lies, one word broadcast at a time, the right one a vector at a time. [`multiply`] has rows
//! whose depth is contiguous (pixels of channels-last pictures: neighbouring taps of a kernel row
//! are one run of memory); [`multiply_transposed`] has depth whose rows are contiguous (gradients
//! of weights, sums over pixels).

#[cfg(any(target_arch = "x86_64", test))]
mod tiles;
mod vector;

use crate::dispatch::Isa;
use crate::element::Element;
#[cfg(any(target_arch = "x86_64", test))]
pub(crate) use tiles::{multiply_in_tiles, multiply_transposed_in_tiles};
use vector::Vector;
#[cfg(target_arch = "x86_64")]
use vector::{Avx2, Avx512};

/// Vectors per row of sums; a second one halves the number of broadcasts.
const VECTORS: usize = 2;

/// Columns of the widest panel of all levels.
pub(crate) const WIDEST_PANEL: usize = 32;

/// Columns of the widest panel at a level.
pub(crate) fn widest_panel(isa: Isa) -> usize {
    match isa {
        Isa::Portable => VECTORS * 4,
        Isa::Avx2 => VECTORS * 8,
        Isa::Avx512 | Isa::Amx => VECTORS * 16,
    }
}

/// Columns of the panels that `columns` columns are cut into: one vector if they all fit.
pub(crate) fn panel_width(isa: Isa, columns: usize) -> usize {
    let widest = widest_panel(isa);
    if columns <= widest / VECTORS {
        widest / VECTORS
    } else {
        widest
    }
}

/// Rows whose sums fit the registers beside their operands.
const fn most_rows(isa: Isa) -> usize {
    match isa {
        Isa::Portable | Isa::Avx2 => 6,
        Isa::Avx512 | Isa::Amx => 12,
    }
}

/// A run of the depth of a left operand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// First value, counted from that of the row.
    pub start: usize,
    /// Values; whole words.
    pub len: usize,
}

/// Rows with contiguous depth: row `r` starts at value `first + r * row_stride`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a, E> {
    pub values: &'a [E],
    pub first: usize,
    pub row_stride: usize,
    pub count: usize,
}

/// Adds `rows * panel` to `sums`, or replaces them if `fresh`.
///
/// `panel` is `[depth in words][width][values of a word]`, depth being that of all runs in order;
/// `sums` is `[rows][width]`.
pub(crate) fn multiply<E: Element>(
    isa: Isa,
    rows: Rows<'_, E>,
    runs: &[Run],
    panel: &[E],
    fresh: bool,
    sums: &mut [f32],
) {
    if rows.count == 0 {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Amx && E::PER_WORD == 2 {
        return multiply_in_tiles::<crate::amx::Hardware, E>(rows, runs, panel, fresh, sums);
    }
    let block = Block::of_rows(&rows, runs, panel, fresh, sums);
    let width = block.right_stride;
    // SAFETY: every value the block reads and writes was just checked to be inside its slice.
    unsafe { run_rows::<E, false>(isa, rows.count, width, &block) };
}

/// Asserts that a product of at least one row stays inside its operands; returns the panel's width.
fn checked_width<E: Element>(rows: &Rows<'_, E>, runs: &[Run], panel: &[E], sums: &[f32]) -> usize {
    let width = sums.len() / rows.count;
    let depth: usize = runs.iter().map(|run| run.len / E::PER_WORD).sum();
    let reach = runs
        .iter()
        .map(|run| run.start + run.len)
        .max()
        .unwrap_or(0);
    let last = rows.first + (rows.count - 1) * rows.row_stride;
    assert!(last + reach <= rows.values.len(), "rows");
    assert!(depth * width * E::PER_WORD <= panel.len(), "panel");
    assert_eq!(sums.len(), rows.count * width, "sums");
    debug_assert_eq!(rows.row_stride % E::PER_WORD, 0);
    width
}

/// A run of the depth of a transposed product, in words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransposedRun {
    /// First word of the left operand, counted from that of the first row.
    pub left: usize,
    /// First word of the right operand.
    pub right: usize,
    pub len: usize,
}

/// An operand whose depth lies `stride` words apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strided<'a, E> {
    pub values: &'a [E],
    /// First word.
    pub first: usize,
    /// Words from one step of the depth to the next.
    pub stride: usize,
}

/// Where the sums of a transposed product are added: `count` rows of `width` columns.
#[derive(Debug)]
pub(crate) struct Sums<'a> {
    pub values: &'a mut [f32],
    pub stride: usize,
    pub count: usize,
    /// A multiple of the panel's.
    pub width: usize,
    /// Whether products replace the sums.
    pub fresh: bool,
}

/// Adds `left` transposed times `right` to `sums`, or replaces them, `panel` columns at a time. Rows
/// of the left operand are consecutive words.
pub(crate) fn multiply_transposed<E: Element>(
    isa: Isa,
    left: Strided<'_, E>,
    right: Strided<'_, E>,
    runs: &[TransposedRun],
    panel: usize,
    sums: Sums<'_>,
) {
    if sums.count == 0 {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Amx && E::PER_WORD == 2 {
        return multiply_transposed_in_tiles::<crate::amx::Hardware, E>(
            left, right, runs, panel, sums,
        );
    }
    let (count, width) = (sums.count, sums.width);
    let block = Block::transposed(&left, &right, runs, sums);
    for column in (0..width).step_by(panel) {
        // SAFETY: the constructor checked that everything the block reads and writes is inside its
        // slice, for all columns.
        unsafe { run_rows::<E, true>(isa, count, panel, &block.after_columns(column)) };
    }
}

/// Asserts that a transposed product of at least one row stays inside its operands.
fn check_transposed<E: Element>(
    left: &Strided<'_, E>,
    right: &Strided<'_, E>,
    runs: &[TransposedRun],
    sums: &Sums<'_>,
) {
    for run in runs.iter().filter(|run| run.len > 0) {
        let left_end = left.first + run.left + (run.len - 1) * left.stride + sums.count;
        let right_end = right.first + run.right + (run.len - 1) * right.stride + sums.width;
        assert!(left_end * E::PER_WORD <= left.values.len(), "left operand");
        assert!(
            right_end * E::PER_WORD <= right.values.len(),
            "right operand"
        );
    }
    let last = (sums.count - 1) * sums.stride;
    assert!(last + sums.width <= sums.values.len(), "sums");
}

/// Sizes of nearly equal parts of `total`, none above `limit`.
fn even_parts(total: usize, limit: usize) -> impl Iterator<Item = usize> {
    let parts = total.div_ceil(limit);
    (0..parts).map(move |part| total * (part + 1) / parts - total * part / parts)
}

/// Operands of one block of rows. Strides count words: of a row on the left in [`multiply`], of a
/// step of the depth in [`multiply_transposed`] and on the right.
struct Block<'a, E> {
    left: *const f32,
    left_stride: usize,
    right: *const f32,
    right_stride: usize,
    sums: *mut f32,
    sums_stride: usize,
    fresh: bool,
    runs: Runs<'a>,
    element: std::marker::PhantomData<E>,
}

impl<'a, E: Element> Block<'a, E> {
    /// All rows of [`multiply`], at least one.
    ///
    /// # Panics
    /// When something lies outside of its slice.
    fn of_rows(
        rows: &Rows<'_, E>,
        runs: &'a [Run],
        panel: &[E],
        fresh: bool,
        sums: &mut [f32],
    ) -> Self {
        let width = checked_width(rows, runs, panel, sums);
        Block {
            left: rows.values[rows.first..].as_ptr().cast(),
            left_stride: rows.row_stride / E::PER_WORD,
            right: panel.as_ptr().cast(),
            right_stride: width,
            sums: sums.as_mut_ptr(),
            sums_stride: width,
            fresh,
            runs: Runs::Contiguous(runs),
            element: std::marker::PhantomData,
        }
    }

    /// All rows and columns of [`multiply_transposed`], at least one row.
    ///
    /// # Panics
    /// When something lies outside of its slice.
    fn transposed(
        left: &Strided<'_, E>,
        right: &Strided<'_, E>,
        runs: &'a [TransposedRun],
        sums: Sums<'_>,
    ) -> Self {
        check_transposed(left, right, runs, &sums);
        Block {
            left: left.values[left.first * E::PER_WORD..].as_ptr().cast(),
            left_stride: left.stride,
            right: right.values[right.first * E::PER_WORD..].as_ptr().cast(),
            right_stride: right.stride,
            sums: sums.values.as_mut_ptr(),
            sums_stride: sums.stride,
            fresh: sums.fresh,
            runs: Runs::Transposed(runs),
            element: std::marker::PhantomData,
        }
    }
}

impl<E> Block<'_, E> {
    /// The block without its first rows, whose words of the left operand lie `left_step` apart.
    ///
    /// # Safety
    /// The block has that many rows.
    unsafe fn below_row(self, row: usize, left_step: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Block {
                left: self.left.add(row * left_step),
                sums: self.sums.add(row * self.sums_stride),
                ..self
            }
        }
    }

    /// The block without its first columns.
    ///
    /// # Safety
    /// The block has that many columns.
    unsafe fn after_columns(self, columns: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Block {
                right: self.right.add(columns),
                sums: self.sums.add(columns),
                ..self
            }
        }
    }
}

impl<E> Clone for Block<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Block<'_, E> {}

#[derive(Clone, Copy)]
enum Runs<'a> {
    Contiguous(&'a [Run]),
    Transposed(&'a [TransposedRun]),
}

/// Runs a block of any number of rows, as many at a time as the registers hold.
///
/// # Safety
/// Everything the rows of the block describe can be read, their sums can be written.
unsafe fn run_rows<E: Element, const TRANSPOSED: bool>(
    isa: Isa,
    rows: usize,
    width: usize,
    operands: &Block<'_, E>,
) {
    let mut done = 0;
    for count in even_parts(rows, most_rows(isa)) {
        let step = if TRANSPOSED { 1 } else { operands.left_stride };
        // SAFETY: rows before the last one, inside what the caller vouches for.
        unsafe {
            let part = operands.below_row(done, step);
            run_block::<E, TRANSPOSED>(isa, count, width, &part);
        }
        done += count;
    }
}

/// Runs the version of [`block`] for the level, the number of rows and the width.
///
/// # Safety
/// Everything the block describes can be read, its sums can be written.
unsafe fn run_block<E: Element, const TRANSPOSED: bool>(
    isa: Isa,
    rows: usize,
    width: usize,
    operands: &Block<'_, E>,
) {
    let wide = width == widest_panel(isa);
    assert!(
        wide || width == widest_panel(isa) / VECTORS,
        "panel width {width}"
    );
    macro_rules! by_rows {
        ($version:ident ; $($count:literal)*) => {
            match (rows, wide) {
                // SAFETY: the caller vouches for the operands, the level for the instructions.
                $(($count, true) => unsafe { $version::<E, TRANSPOSED, $count, 2>(operands) },
                ($count, false) => unsafe { $version::<E, TRANSPOSED, $count, 1>(operands) },)*
                _ => unreachable!("{rows} rows do not fit the registers"),
            }
        };
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Amx if E::PER_WORD == 2 && has_bf16() => {
            by_rows!(avx512_bf16; 1 2 3 4 5 6 7 8 9 10 11 12)
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Amx => by_rows!(avx512; 1 2 3 4 5 6 7 8 9 10 11 12),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => by_rows!(avx2; 1 2 3 4 5 6),
        _ => by_rows!(portable; 1 2 3 4 5 6),
    }
}

#[cfg(target_arch = "x86_64")]
fn has_bf16() -> bool {
    is_x86_feature_detected!("avx512bf16")
}

/// # Safety
/// As [`run_block`]; the processor has AVX-512 F and BF16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn avx512_bf16<E: Element, const TRANSPOSED: bool, const R: usize, const N: usize>(
    operands: &Block<'_, E>,
) {
    // SAFETY: the caller's promise.
    unsafe { block::<E, Avx512<true>, TRANSPOSED, R, N>(operands) }
}

/// # Safety
/// As [`run_block`]; the processor has AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn avx512<E: Element, const TRANSPOSED: bool, const R: usize, const N: usize>(
    operands: &Block<'_, E>,
) {
    // SAFETY: the caller's promise.
    unsafe { block::<E, Avx512<false>, TRANSPOSED, R, N>(operands) }
}

/// # Safety
/// As [`run_block`]; the processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<E: Element, const TRANSPOSED: bool, const R: usize, const N: usize>(
    operands: &Block<'_, E>,
) {
    // SAFETY: the caller's promise.
    unsafe { block::<E, Avx2, TRANSPOSED, R, N>(operands) }
}

/// # Safety
/// As [`run_block`].
unsafe fn portable<E: Element, const TRANSPOSED: bool, const R: usize, const N: usize>(
    operands: &Block<'_, E>,
) {
    // SAFETY: the caller's promise.
    unsafe { block::<E, vector::Portable, TRANSPOSED, R, N>(operands) }
}

/// `R` rows of `N` vectors of sums.
///
/// # Safety
/// As [`run_block`]; the processor has the instruction set of `V`.
#[inline(always)]
unsafe fn block<E: Element, V: Vector, const TRANSPOSED: bool, const R: usize, const N: usize>(
    operands: &Block<'_, E>,
) {
    let mut sums = [[V::zero(); N]; R];
    // SAFETY: the caller vouches for the operands and the instruction set.
    unsafe {
        if !operands.fresh {
            for (r, row) in sums.iter_mut().enumerate() {
                for (n, sum) in row.iter_mut().enumerate() {
                    *sum = V::load(operands.sums.add(r * operands.sums_stride + n * V::WIDTH));
                }
            }
        }
        match operands.runs {
            Runs::Contiguous(runs) => {
                let mut right = operands.right;
                for run in runs {
                    let mut left = operands.left.add(run.start / E::PER_WORD);
                    for _ in 0..run.len / E::PER_WORD {
                        step::<E, V, R, N>(&mut sums, left, operands.left_stride, right);
                        left = left.add(1);
                        right = right.add(N * V::WIDTH);
                    }
                }
            }
            Runs::Transposed(runs) => {
                for run in runs {
                    let mut left = operands.left.add(run.left);
                    let mut right = operands.right.add(run.right);
                    for _ in 0..run.len {
                        step::<E, V, R, N>(&mut sums, left, 1, right);
                        left = left.wrapping_add(operands.left_stride);
                        right = right.wrapping_add(operands.right_stride);
                    }
                }
            }
        }
        for (r, row) in sums.iter().enumerate() {
            for (n, sum) in row.iter().enumerate() {
                sum.store(operands.sums.add(r * operands.sums_stride + n * V::WIDTH));
            }
        }
    }
}

/// One word of the depth: every row's word times the vectors of the panel.
///
/// # Safety
/// The words can be read; the processor has the instruction set of `V`.
#[inline(always)]
unsafe fn step<E: Element, V: Vector, const R: usize, const N: usize>(
    sums: &mut [[V; N]; R],
    left: *const f32,
    row_stride: usize,
    right: *const f32,
) {
    // SAFETY: the caller vouches for the operands and the instruction set.
    unsafe {
        let right: [V; N] = std::array::from_fn(|n| V::load(right.add(n * V::WIDTH)));
        for (r, row) in sums.iter_mut().enumerate() {
            let left = V::broadcast(left.add(r * row_stride));
            for (sum, right) in row.iter_mut().zip(right) {
                *sum = if E::PER_WORD == 2 {
                    sum.add_pair_products(left, right)
                } else {
                    sum.add_product(left, right)
                };
            }
        }
    }
}

#[cfg(test)]
mod tests;
