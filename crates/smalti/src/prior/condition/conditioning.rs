//! What pictures are drawn under, as the loop that draws them sees it.

use super::layout::PictureLayout;
use super::{Conditioning, Window};
use crate::error::{Error, Result};

/// The same tokens for every window: a start token, a class, or what stands for no condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed(pub Vec<i64>);

impl Conditioning for Fixed {
    fn tokens(&self, _: &Window) -> Vec<i64> {
        self.0.clone()
    }
}

/// Vectors in the place of tokens, the same for every window.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors(
    /// `[count, width]`, row-major.
    pub Vec<f32>,
);

impl Conditioning for Vectors {
    fn tokens(&self, _: &Window) -> Vec<i64> {
        Vec::new()
    }

    fn prefix(&self) -> Option<&[f32]> {
        Some(&self.0)
    }
}

/// The objects that a window shows, placed in it.
impl Conditioning for PictureLayout {
    fn tokens(&self, window: &Window) -> Vec<i64> {
        self.tokens_for(&window.rows, &window.columns, window.grid)
    }
}

/// A grid of tokens that lies over the whole picture, of which every window sees its part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GridTokens {
    /// In reading order.
    tokens: Vec<i64>,
    rows: usize,
    columns: usize,
    /// Rows and columns that belong to a window.
    part: [usize; 2],
}

impl GridTokens {
    /// A grid of `rows` × `columns` tokens; those of a window are `part`.
    ///
    /// # Errors
    /// A grid smaller than what belongs to a window.
    pub fn new(tokens: Vec<i64>, [rows, columns]: [usize; 2], part: [usize; 2]) -> Result<Self> {
        if rows < part[0] || columns < part[1] || tokens.len() != rows * columns {
            return Err(Error::input(format!(
                "the condition has {rows} × {columns} tokens for the whole picture, fewer than the {} × {} that belong \
                 to a window of it",
                part[0], part[1]
            )));
        }
        Ok(Self {
            tokens,
            rows,
            columns,
            part,
        })
    }

    /// The tokens of the whole picture, in reading order.
    pub fn whole(&self) -> &[i64] {
        &self.tokens
    }
}

impl Conditioning for GridTokens {
    /// The grid may be finer or coarser than that of the codes: the window's corner is found in proportion.
    fn tokens(&self, window: &Window) -> Vec<i64> {
        let corner = |start: usize, length: usize, part: usize, all: usize| {
            (start * part / length.max(1)).min(all - part)
        };
        let [rows, columns] = self.part;
        let top = corner(window.rows.start, window.rows.len(), rows, self.rows);
        let left = corner(
            window.columns.start,
            window.columns.len(),
            columns,
            self.columns,
        );
        (top..top + rows)
            .flat_map(|row| &self.tokens[row * self.columns + left..][..columns])
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(row: usize, column: usize) -> Window {
        Window {
            rows: row..row + 2,
            columns: column..column + 4,
            grid: [3, 8],
        }
    }

    #[test]
    fn a_window_sees_its_part_of_the_grid() {
        let grid = GridTokens::new((0..24).collect(), [3, 8], [2, 4]).unwrap();
        assert_eq!(grid.tokens(&window(0, 0)), [0, 1, 2, 3, 8, 9, 10, 11]);
        assert_eq!(grid.tokens(&window(1, 3)), [11, 12, 13, 14, 19, 20, 21, 22]);
        assert_eq!(grid.tokens(&window(1, 4)), [12, 13, 14, 15, 20, 21, 22, 23]);
        assert_eq!(grid.whole().len(), 24);
    }

    #[test]
    fn coarser_and_finer_grids_follow_in_proportion() {
        let coarse = GridTokens::new((0..8).collect(), [2, 4], [1, 2]).unwrap();
        assert_eq!(coarse.tokens(&window(1, 3)), [1, 2]);
        assert_eq!(coarse.tokens(&window(0, 4)), [2, 3]);
        let fine = GridTokens::new((0..96).collect(), [6, 16], [4, 8]).unwrap();
        assert_eq!(fine.tokens(&window(1, 3))[..2], [2 * 16 + 6, 2 * 16 + 7]);
        assert_eq!(fine.tokens(&window(1, 4)).len(), 32);
    }

    #[test]
    fn too_small_a_grid_is_refused() {
        for (tokens, grid) in [(8, [1, 8]), (9, [3, 3]), (5, [2, 4])] {
            let grid = GridTokens::new(vec![0; tokens], grid, [2, 4]);
            assert!(grid.is_err());
        }
    }

    #[test]
    fn fixed_conditions_are_the_same_everywhere() {
        let class = Fixed(vec![7]);
        assert_eq!(class.tokens(&window(0, 0)), class.tokens(&window(1, 4)));
        assert!(class.prefix().is_none());
        let text = Vectors(vec![0.5, 1.0]);
        assert!(text.tokens(&window(0, 0)).is_empty());
        assert_eq!(text.prefix(), Some(&[0.5, 1.0][..]));
    }
}
