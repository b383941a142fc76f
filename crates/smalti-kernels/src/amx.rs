//! Products of bf16 in the tile registers of AMX: sixteen rows of sixteen sums at a time.
//!
//! A tile has sixteen rows of 64 bytes. One instruction multiplies a tile of sixteen rows of 32
//! values with one of sixteen pairs of rows and adds the 16×16 products to a third. Two tiles of
//! rows and two of columns share four tiles of sums, so each tile that is loaded is used twice.
//! What does not fill a tile is left to AVX-512.
//!
//! The instructions are behind [`Tiles`], which the tests emulate: everything but the instructions
//! themselves is tested on any processor.

#[cfg(target_arch = "x86_64")]
mod hardware;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
pub(crate) use hardware::{Hardware, is_available};

use crate::transpose::{SIDE, Square, transpose};

/// Bytes of a row of a tile.
const ROW: usize = 4 * SIDE;

/// The eight tile registers, each configured as sixteen rows of 64 bytes.
pub(crate) trait Tiles {
    /// Configures all tiles; what they hold is arbitrary.
    fn new() -> Self;

    fn zero<const TILE: usize>(&mut self);

    /// Loads rows that begin `stride` bytes apart.
    ///
    /// # Safety
    /// Sixteen rows of 64 bytes can be read.
    unsafe fn load<const TILE: usize>(&mut self, from: *const u8, stride: usize);

    /// Stores rows that begin `stride` bytes apart.
    ///
    /// # Safety
    /// Sixteen rows of 64 bytes can be written.
    unsafe fn store<const TILE: usize>(&mut self, to: *mut u8, stride: usize);

    /// Adds the products of pairs of bf16: `sums[m][n] += left[m][2k..2k + 2] · right[k][2n..2n + 2]`.
    fn multiply<const SUMS: usize, const LEFT: usize, const RIGHT: usize>(&mut self);
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn is_available() -> bool {
    false
}

/// Sixteen words of the depth: how many words into the operands they begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub left: usize,
    pub right: usize,
}

/// Where the operands of a block of sums lie.
pub(crate) struct Operands<'a> {
    pub steps: &'a [Step],
    pub left: *const f32,
    /// Words from one row of the left operand to the next.
    pub left_stride: usize,
    pub right: *const f32,
    /// Words from one word of the depth to the next.
    pub right_stride: usize,
    pub sums: *mut f32,
    pub sums_stride: usize,
    /// Whether products replace the sums.
    pub fresh: bool,
}

/// Sums of `rows` (16 or 32) rows and `columns` (16 or 32) columns.
///
/// # Safety
/// Every step's sixteen words of every row and every column can be read, the sums be written.
pub(crate) unsafe fn multiply_block<T: Tiles>(
    tiles: &mut T,
    rows: usize,
    columns: usize,
    operands: &Operands<'_>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match (rows, columns) {
            (32, 32) => block::<T, true, true>(tiles, operands),
            (32, 16) => block::<T, true, false>(tiles, operands),
            (16, 32) => block::<T, false, true>(tiles, operands),
            (16, 16) => block::<T, false, false>(tiles, operands),
            _ => unreachable!("{rows}x{columns} sums are no tiles"),
        }
    }
}

/// Tiles 0 to 3 are sums, 4 and 5 rows, 6 and 7 columns.
///
/// # Safety
/// As [`multiply_block`].
#[inline(always)]
unsafe fn block<T: Tiles, const TALL: bool, const WIDE: bool>(
    tiles: &mut T,
    operands: &Operands<'_>,
) {
    let (left_bytes, right_bytes) = (4 * operands.left_stride, 4 * operands.right_stride);
    let sums_bytes = 4 * operands.sums_stride;
    let sums = operands.sums.cast::<u8>();
    let lower = SIDE * sums_bytes;
    // SAFETY: the caller's promise; the second tile of rows or columns is touched only if there is
    // one.
    unsafe {
        if operands.fresh {
            tiles.zero::<0>();
            tiles.zero::<1>();
            tiles.zero::<2>();
            tiles.zero::<3>();
        } else {
            tiles.load::<0>(sums, sums_bytes);
            if WIDE {
                tiles.load::<1>(sums.add(ROW), sums_bytes);
            }
            if TALL {
                tiles.load::<2>(sums.add(lower), sums_bytes);
            }
            if TALL && WIDE {
                tiles.load::<3>(sums.add(lower + ROW), sums_bytes);
            }
        }
        for step in operands.steps {
            let left = operands.left.add(step.left).cast::<u8>();
            let right = operands.right.add(step.right).cast::<u8>();
            tiles.load::<6>(right, right_bytes);
            tiles.load::<4>(left, left_bytes);
            tiles.multiply::<0, 4, 6>();
            if WIDE {
                tiles.load::<7>(right.add(ROW), right_bytes);
                tiles.multiply::<1, 4, 7>();
            }
            if TALL {
                tiles.load::<5>(left.add(SIDE * left_bytes), left_bytes);
                tiles.multiply::<2, 5, 6>();
            }
            if TALL && WIDE {
                tiles.multiply::<3, 5, 7>();
            }
        }
        tiles.store::<0>(sums, sums_bytes);
        if WIDE {
            tiles.store::<1>(sums.add(ROW), sums_bytes);
        }
        if TALL {
            tiles.store::<2>(sums.add(lower), sums_bytes);
        }
        if TALL && WIDE {
            tiles.store::<3>(sums.add(lower + ROW), sums_bytes);
        }
    }
}

/// Copies sixteen steps of the depth, `stride` words apart, of sixteen neighbouring rows to a tile
/// whose rows have the depth side by side.
///
/// # Safety
/// Sixteen words can be read from `left` and from every `stride` words after it.
pub(crate) unsafe fn turn(left: *const f32, stride: usize, tile: &mut Square) {
    for (step, row) in tile.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *row = unsafe {
            left.add(step * stride)
                .cast::<[f32; SIDE]>()
                .read_unaligned()
        };
    }
    transpose(crate::dispatch::isa(), tile);
}
