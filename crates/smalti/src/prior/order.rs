//! In which order the codes of a grid stand in a sequence (taming/modules/transformer/permuter.py).

mod mersenne_twister;

use crate::error::{Error, Result};
use mersenne_twister::MersenneTwister;
use serde::{Deserialize, Serialize};

/// The seed of the authors' random order, which is the same for all their models.
const SEED: u32 = 1;

/// An order of the cells of a grid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScanOrder {
    /// Row by row, each from the left.
    #[default]
    Raster,
    /// Every second cell of every second row, again and again: coarse grids before the cells between them.
    Subsample,
    /// Along a Z of four cells, of four such groups, and so on (Morton order).
    ZCurve,
    /// From the middle outwards.
    SpiralOut,
    /// The same way back.
    SpiralIn,
    /// Row by row, every second one from the right.
    Alternate,
    /// Shuffled, always the same way.
    Random,
}

impl ScanOrder {
    /// Whether it is the plain reading order.
    pub fn is_raster(&self) -> bool {
        *self == Self::Raster
    }

    /// Whether a grid has such an order.
    ///
    /// # Errors
    /// A grid that is not square, or whose side the order cannot divide.
    pub fn check(self, rows: usize, columns: usize) -> Result<()> {
        let (fits, wanted) = match self {
            Self::Raster | Self::Alternate | Self::Random => return Ok(()),
            Self::Subsample | Self::ZCurve => (
                rows == columns && rows.is_power_of_two(),
                "a square grid whose side is a power of two",
            ),
            Self::SpiralOut | Self::SpiralIn => (
                rows == columns && rows.is_multiple_of(2) && rows > 0,
                "a square grid with an even side",
            ),
        };
        if fits {
            return Ok(());
        }
        let name = serde_json::to_value(self).unwrap_or_default();
        Err(Error::input(format!(
            "order is {name}, which needs {wanted}; the grid has {rows} × {columns} codes"
        )))
    }

    /// The cell, counted in reading order, of every code of the sequence: code k is that of cell `positions[k]`. The
    /// grid must have passed [`ScanOrder::check`].
    pub fn positions(self, rows: usize, columns: usize) -> Vec<usize> {
        let cells = rows * columns;
        match self {
            Self::Raster => (0..cells).collect(),
            Self::Subsample => (0..cells).map(|place| subsampled(place, rows)).collect(),
            Self::ZCurve => (0..cells).map(|place| on_curve(place, columns)).collect(),
            Self::SpiralOut => spiral(rows),
            Self::SpiralIn => spiral(rows).into_iter().rev().collect(),
            Self::Alternate => (0..cells).map(|place| alternate(place, columns)).collect(),
            Self::Random => shuffled(cells),
        }
    }
}

/// The base-4 digits of `place`, from the highest, choose the lowest bits of row and column first.
fn subsampled(place: usize, side: usize) -> usize {
    let levels = side.ilog2();
    let (mut row, mut column) = (0, 0);
    for level in 0..levels {
        let digit = place >> (2 * (levels - 1 - level));
        row |= ((digit >> 1) & 1) << level;
        column |= (digit & 1) << level;
    }
    row * side + column
}

/// The even bits of `place` are those of the column, the odd ones those of the row.
fn on_curve(place: usize, columns: usize) -> usize {
    let every_second = |bits: usize| {
        (0..usize::BITS / 2).fold(0, |value, bit| value | (((bits >> (2 * bit)) & 1) << bit))
    };
    every_second(place >> 1) * columns + every_second(place)
}

fn alternate(place: usize, columns: usize) -> usize {
    let (row, column) = (place / columns, place % columns);
    if row.is_multiple_of(2) {
        return place;
    }
    row * columns + columns - 1 - column
}

/// Up, right, down, left, each pair of strokes one cell longer; the last stroke ends in the lower right corner.
fn spiral(side: usize) -> Vec<usize> {
    let mut cell = side / 2 * side + side / 2 - 1;
    let mut cells = vec![cell];
    let mut stroke = |length: usize, next: fn(usize, usize) -> usize| {
        for _ in 0..length {
            cell = next(cell, side);
            cells.push(cell);
        }
    };
    for turn in 1..=side / 2 {
        stroke(2 * turn - 1, |cell, side| cell - side);
        stroke(2 * turn - 1, |cell, _| cell + 1);
        if turn < side / 2 {
            stroke(2 * turn, |cell, side| cell + side);
            stroke(2 * turn, |cell, _| cell - 1);
        } else {
            stroke(2 * turn - 1, |cell, side| cell + side);
        }
    }
    cells
}

/// What `RandomState(1).permutation(cells)` of numpy gives.
fn shuffled(cells: usize) -> Vec<usize> {
    let mut random = MersenneTwister::new(SEED);
    let mut places: Vec<usize> = (0..cells).collect();
    for last in (1..cells).rev() {
        places.swap(last, random.up_to(last as u32) as usize);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ScanOrder; 7] = [
        ScanOrder::Raster,
        ScanOrder::Subsample,
        ScanOrder::ZCurve,
        ScanOrder::SpiralOut,
        ScanOrder::SpiralIn,
        ScanOrder::Alternate,
        ScanOrder::Random,
    ];

    /// Made with the authors' classes.
    #[test]
    fn orders_are_the_authors() {
        let four = |order: ScanOrder| order.positions(4, 4);
        assert_eq!(
            four(ScanOrder::Subsample),
            [0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15]
        );
        assert_eq!(
            four(ScanOrder::ZCurve),
            [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
        );
        assert_eq!(
            four(ScanOrder::SpiralOut),
            [9, 5, 6, 10, 14, 13, 12, 8, 4, 0, 1, 2, 3, 7, 11, 15]
        );
        assert_eq!(
            four(ScanOrder::SpiralIn),
            [15, 11, 7, 3, 2, 1, 0, 4, 8, 12, 13, 14, 10, 6, 5, 9]
        );
        assert_eq!(
            four(ScanOrder::Alternate),
            [0, 1, 2, 3, 7, 6, 5, 4, 8, 9, 10, 11, 15, 14, 13, 12]
        );
        assert_eq!(
            four(ScanOrder::Random),
            [3, 13, 7, 2, 6, 10, 4, 1, 14, 0, 15, 9, 8, 12, 11, 5]
        );
        assert_eq!(ScanOrder::SpiralOut.positions(2, 2), [2, 0, 1, 3]);
        let sixteen = |order: ScanOrder| order.positions(16, 16);
        assert_eq!(
            sixteen(ScanOrder::Random)[..16],
            [
                183, 34, 185, 233, 216, 181, 160, 27, 145, 187, 255, 62, 4, 229, 44, 163
            ]
        );
        assert_eq!(
            sixteen(ScanOrder::Subsample)[..8],
            [0, 8, 128, 136, 4, 12, 132, 140]
        );
        let spiral = sixteen(ScanOrder::SpiralOut);
        assert_eq!(
            spiral[..10],
            [135, 119, 120, 136, 152, 151, 150, 134, 118, 102]
        );
        assert_eq!(spiral[251..], [191, 207, 223, 239, 255]);
        assert_eq!(
            ScanOrder::Random.positions(2, 5),
            [2, 9, 6, 4, 0, 3, 1, 7, 8, 5]
        );
    }

    #[test]
    fn every_cell_comes_once() {
        for order in ALL {
            for side in [2, 4, 8, 16] {
                order.check(side, side).unwrap();
                let mut cells = order.positions(side, side);
                cells.sort_unstable();
                assert_eq!(cells, (0..side * side).collect::<Vec<_>>(), "{order:?}");
            }
        }
        let mut cells = ScanOrder::Alternate.positions(3, 5);
        assert_eq!(cells[5..10], [9, 8, 7, 6, 5]);
        cells.sort_unstable();
        assert_eq!(cells, (0..15).collect::<Vec<_>>());
    }

    #[test]
    fn grids_without_such_an_order_are_refused() {
        for (order, rows, columns) in [
            (ScanOrder::Subsample, 4, 8),
            (ScanOrder::Subsample, 6, 6),
            (ScanOrder::ZCurve, 12, 12),
            (ScanOrder::SpiralOut, 3, 3),
            (ScanOrder::SpiralIn, 4, 6),
        ] {
            let message = order.check(rows, columns).unwrap_err().to_string();
            assert!(
                message.contains(&format!("{rows} × {columns}")),
                "{message}"
            );
        }
        for order in [ScanOrder::Raster, ScanOrder::Alternate, ScanOrder::Random] {
            order.check(3, 7).unwrap();
        }
    }

    #[test]
    fn names_are_those_of_the_settings() {
        let names = serde_json::to_string(&ALL).unwrap();
        assert_eq!(
            names,
            r#"["raster","subsample","z-curve","spiral-out","spiral-in","alternate","random"]"#
        );
    }
}
