//! The order in which the codes of a picture are drawn, and the window that each is drawn in.
//!
//! A picture of the prior's own size is one window, and its codes follow the prior's own order. A larger one is drawn
//! in lanes, one behind the other and side by side: a code may be drawn as soon as the lane above it is far enough, and
//! what it then sees does not depend on how far that lane is by then. So lanes are drawn together, and the codes are
//! those of drawing one after the other.

use crate::error::{Error, Result};
use crate::prior::PriorConfig;
use crate::prior::condition::Window;
use std::ops::Range;

/// How pictures larger than the prior's own are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Windowing {
    /// The window stands so that the code to be drawn is in its middle, or as near to that as the borders allow, as the
    /// authors have it (paper section 3.3; scripts/sample_conditional.py). It moves with nearly every code, and all it
    /// shows is read again.
    #[default]
    Exact,
    /// The window stands still while a block of half its sides is drawn in its lower right corner. It is read once for
    /// each block, and a code near the right edge of a block sees less of what is above and to the right of it.
    Blocks,
}

impl Windowing {
    /// `exact` or `blocks`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "exact" => Some(Self::Exact),
            "blocks" => Some(Self::Blocks),
            _ => None,
        }
    }
}

/// A code to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Which code of the picture, in reading order.
    pub cell: usize,
    /// The window's first row and column.
    pub origin: [usize; 2],
    /// Which code of the window's sequence. It sees those before it.
    pub place: usize,
    /// How many codes the lane above must have.
    pub needs: usize,
}

/// The way through the codes of a picture.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    kind: Kind,
    /// Rows and columns of the picture.
    grid: [usize; 2],
    /// Rows and columns of the window.
    window: [usize; 2],
    /// Which cell of a window each code of its sequence is, in reading order.
    cells: Vec<usize>,
    /// Codes that stand side by side for one position of the picture: a window holds whole positions.
    depth: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The window is the picture; the only lane is the prior's sequence.
    Own,
    /// A lane is a row.
    Exact,
    /// A lane is a band of blocks.
    Blocks,
}

impl Path {
    /// The way through a picture of `grid` rows and columns, neither of which is below the prior's own. Of the columns,
    /// `depth` at a time are one position.
    ///
    /// # Errors
    /// A larger picture from a prior whose sequence is not in reading order: its window cannot slide. Columns that are
    /// no whole positions.
    pub fn new(
        config: &PriorConfig,
        grid: [usize; 2],
        depth: usize,
        windowing: Windowing,
    ) -> Result<Self> {
        let window = [config.rows, config.columns];
        if depth == 0 || !window[1].is_multiple_of(depth) || !grid[1].is_multiple_of(depth) {
            return Err(Error::input(format!(
                "{} columns of codes, of which this prior draws {} at a time, are not whole positions of {depth} codes",
                grid[1], window[1]
            )));
        }
        Ok(Self {
            depth,
            ..Self::with_cells(window, config.positions(), grid, windowing)?
        })
    }

    /// [`Path::new`] through codes of which each is a position, in a given order.
    pub(super) fn with_cells(
        window: [usize; 2],
        cells: Vec<usize>,
        grid: [usize; 2],
        windowing: Windowing,
    ) -> Result<Self> {
        let kind = match windowing {
            _ if grid == window => Kind::Own,
            Windowing::Exact => Kind::Exact,
            Windowing::Blocks => Kind::Blocks,
        };
        if kind != Kind::Own && !cells.is_sorted() {
            return Err(Error::input(format!(
                "{} × {} codes were asked for, but this prior does not draw row by row: only its own {} × {} are \
                 possible",
                grid[0], grid[1], window[0], window[1]
            )));
        }
        Ok(Self {
            kind,
            grid,
            window,
            cells,
            depth: 1,
        })
    }

    /// Rows and columns of the picture.
    pub fn grid(&self) -> [usize; 2] {
        self.grid
    }

    /// Codes of the picture.
    pub fn codes(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// How many lanes there are. Each needs those above it only.
    pub fn lanes(&self) -> usize {
        match self.kind {
            Kind::Own => 1,
            Kind::Exact => self.grid[0],
            Kind::Blocks => blocks(self.grid[0], self.window[0]),
        }
    }

    /// The most lanes that can advance at the same time: each begins when the one above has a window's width.
    pub fn lanes_at_once(&self) -> usize {
        let width = match self.kind {
            Kind::Own => 1,
            Kind::Exact => self.grid[1].div_ceil(self.window[1]),
            Kind::Blocks => blocks(self.grid[1] / self.depth, self.window[1] / self.depth),
        };
        width.min(self.lanes())
    }

    /// How many codes a lane has.
    pub fn length(&self, lane: usize) -> usize {
        match self.kind {
            Kind::Own => self.codes(),
            Kind::Exact => self.grid[1],
            Kind::Blocks => block(self.grid[0], self.window[0], lane).len() * self.grid[1],
        }
    }

    /// Code number `index` of a lane.
    pub fn step(&self, lane: usize, index: usize) -> Step {
        match self.kind {
            Kind::Own => Step {
                cell: self.cells[index],
                origin: [0, 0],
                place: index,
                needs: 0,
            },
            Kind::Exact => self.step_of_row(lane, index),
            Kind::Blocks => self.step_of_band(lane, index),
        }
    }

    fn step_of_row(&self, row: usize, column: usize) -> Step {
        let origin = [
            origin(row, self.grid[0], self.window[0]),
            self.depth
                * origin(
                    column / self.depth,
                    self.grid[1] / self.depth,
                    self.window[1] / self.depth,
                ),
        ];
        // The window's last column is the furthest that is seen of the row above.
        self.seen_from(row, column, origin, origin[1] + self.window[1])
    }

    fn step_of_band(&self, band: usize, index: usize) -> Step {
        let [window_rows, window_columns] = self.window;
        let rows = block(self.grid[0], window_rows, band);
        let first = rows.len() * window_columns;
        let (number, index) = match index.checked_sub(first) {
            None => (0, index),
            Some(rest) => {
                let size = rows.len() * self.depth * half(window_columns / self.depth);
                (1 + rest / size, rest % size)
            }
        };
        let columns = self.columns_of_block(number);
        let row = rows.start + index / columns.len();
        let column = columns.start + index % columns.len();
        let origin = [rows.end - window_rows, columns.end - window_columns];
        let above = match band {
            0 => 0,
            _ => block(self.grid[0], window_rows, band - 1).len(),
        };
        self.seen_from(row, column, origin, above * columns.end)
    }

    fn columns_of_block(&self, number: usize) -> Range<usize> {
        let positions = block(
            self.grid[1] / self.depth,
            self.window[1] / self.depth,
            number,
        );
        positions.start * self.depth..positions.end * self.depth
    }

    fn seen_from(&self, row: usize, column: usize, origin: [usize; 2], needs: usize) -> Step {
        Step {
            cell: row * self.grid[1] + column,
            origin,
            place: (row - origin[0]) * self.window[1] + column - origin[1],
            needs,
        }
    }

    /// The part of the picture that is seen with the window at `origin`.
    pub fn window(&self, origin: [usize; 2]) -> Window {
        Window {
            rows: origin[0]..origin[0] + self.window[0],
            columns: origin[1]..origin[1] + self.window[1],
            grid: self.grid,
        }
    }

    /// Which code of the picture, in reading order, is number `place` of the sequence of the window at `origin`.
    pub fn cell(&self, origin: [usize; 2], place: usize) -> usize {
        let cell = self.cells[place];
        let (row, column) = (cell / self.window[1], cell % self.window[1]);
        (origin[0] + row) * self.grid[1] + origin[1] + column
    }

    /// How far into the picture a step is, from 0 to below 1. It does not depend on the order in which lanes advance.
    pub fn fraction(&self, step: &Step) -> f64 {
        let number = match self.kind {
            Kind::Own => step.place,
            Kind::Exact | Kind::Blocks => step.cell,
        };
        number as f64 / self.codes() as f64
    }
}

/// The first row or column of the window for a code in row or column `place` of `extent`.
fn origin(place: usize, extent: usize, window: usize) -> usize {
    place.saturating_sub(window / 2).min(extent - window)
}

/// A block's side, where it is not the first.
fn half(window: usize) -> usize {
    (window / 2).max(1)
}

/// How many blocks lie along `extent` rows or columns.
fn blocks(extent: usize, window: usize) -> usize {
    1 + (extent - window).div_ceil(half(window))
}

/// The rows or columns of block `number`. The first fills a window, the others half of one, the last what is left.
fn block(extent: usize, window: usize, number: usize) -> Range<usize> {
    if number == 0 {
        return 0..window;
    }
    let start = window + (number - 1) * half(window);
    start..(start + half(window)).min(extent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRIDS: [[usize; 2]; 6] = [[3, 4], [3, 9], [7, 4], [8, 10], [4, 5], [12, 23]];

    fn path(grid: [usize; 2], windowing: Windowing) -> Path {
        Path::with_cells([3, 4], (0..12).collect(), grid, windowing).unwrap()
    }

    /// The same with two codes for a position: windows and pictures are twice as wide.
    fn deep_path([rows, columns]: [usize; 2], windowing: Windowing) -> Path {
        let config = PriorConfig {
            rows: 3,
            columns: 8,
            ..PriorConfig::default()
        };
        Path::new(&config, [rows, 2 * columns], 2, windowing).unwrap()
    }

    /// Lets lanes advance as far as they may, all of them at a time or only the last that can, and calls `seen` for
    /// each step with what is there. Returns how many advanced at a time at the most.
    fn walk(path: &Path, together: bool, seen: &dyn Fn(&Step, &[bool])) -> usize {
        let mut there = vec![false; path.codes()];
        let mut progress = vec![0; path.lanes()];
        let mut most = 0;
        while there.contains(&false) {
            let before = progress.clone();
            let mut advanced = 0;
            for lane in (0..path.lanes()).rev() {
                if before[lane] == path.length(lane) {
                    continue;
                }
                let step = path.step(lane, before[lane]);
                if lane > 0 && before[lane - 1] < step.needs {
                    continue;
                }
                seen(&step, &there);
                assert!(!there[step.cell], "{step:?} twice");
                there[step.cell] = true;
                progress[lane] += 1;
                advanced += 1;
                if !together {
                    break;
                }
            }
            assert!(advanced > 0, "{path:?} stands still");
            most = most.max(advanced);
        }
        assert!((0..path.lanes()).all(|lane| progress[lane] == path.length(lane)));
        most
    }

    #[test]
    fn everything_a_code_sees_is_there_before_it() {
        for grid in GRIDS {
            for windowing in [Windowing::Exact, Windowing::Blocks] {
                check(&path(grid, windowing), windowing);
                check(&deep_path(grid, windowing), windowing);
            }
        }
    }

    fn check(path: &Path, windowing: Windowing) {
        let seen = |step: &Step, there: &[bool]| {
            assert_eq!(path.cell(step.origin, step.place), step.cell);
            for place in 0..step.place {
                let cell = path.cell(step.origin, place);
                assert!(there[cell], "{path:?} {step:?}");
            }
            let (window, grid) = (path.window(step.origin), path.grid());
            assert!(window.rows.end <= grid[0] && window.columns.end <= grid[1]);
            assert_eq!(step.origin[1] % path.depth, 0);
        };
        assert_eq!(walk(path, false, &seen), 1);
        let most = walk(path, true, &seen);
        match windowing {
            Windowing::Exact => assert_eq!(most, path.lanes_at_once(), "{path:?}"),
            Windowing::Blocks => assert!(most <= path.lanes_at_once(), "{path:?}"),
        }
    }

    #[test]
    fn windows_hold_whole_positions() {
        let deep = deep_path([3, 9], Windowing::Exact);
        // Positions 0 to 8; the fifth is in the middle of a window that begins with the third.
        assert_eq!([8, 9].map(|column| deep.step(0, column).origin[1]), [4, 4]);
        assert_eq!(deep.step(0, 9).place, 5);
        let config = PriorConfig {
            rows: 3,
            columns: 8,
            ..PriorConfig::default()
        };
        let error = Path::new(&config, [3, 17], 2, Windowing::Exact).unwrap_err();
        assert!(error.to_string().contains("17 columns"), "{error}");
    }

    #[test]
    fn the_window_stands_as_the_authors_have_it() {
        // local = i up to 8, 16 - (H - i) near the end, 8 between (sample_conditional.py).
        for extent in [16, 17, 24, 32, 40] {
            for place in 0usize..extent {
                let local = match place {
                    place if place <= 8 => place,
                    place if extent - place < 8 => 16 - (extent - place),
                    _ => 8,
                };
                let expected = place.saturating_sub(local).min(extent - 16);
                assert_eq!(origin(place, extent, 16), expected, "{place} of {extent}");
            }
        }
    }

    #[test]
    fn a_block_is_drawn_in_one_window() {
        // Rows 0..3, 3, 4, …, and columns 0..4, 4..6, 6..8, 8.
        let path = path([5, 9], Windowing::Blocks);
        assert_eq!((path.lanes(), path.lanes_at_once()), (3, 3));
        let origins = |lane: usize| -> Vec<[usize; 2]> {
            let mut origins: Vec<_> = (0..path.length(lane))
                .map(|index| path.step(lane, index).origin)
                .collect();
            origins.dedup();
            origins
        };
        assert_eq!(origins(0), [[0, 0], [0, 2], [0, 4], [0, 5]]);
        assert_eq!(origins(2), [[2, 0], [2, 2], [2, 4], [2, 5]]);
        // The second code of the second block of the last row has the window's last place.
        let step = path.step(2, 5);
        assert_eq!((step.cell, step.place, step.needs), (4 * 9 + 5, 11, 6));
    }

    #[test]
    fn other_orders_are_for_the_own_size_only() {
        let order: Vec<usize> = (0..12).rev().collect();
        let own = Path::with_cells([3, 4], order.clone(), [3, 4], Windowing::Exact).unwrap();
        assert_eq!(own.step(0, 0).cell, 11);
        assert_eq!(own.fraction(&own.step(0, 3)), 0.25);
        assert_eq!(own.cell([0, 0], 3), 8);
        let larger = Path::with_cells([3, 4], order, [3, 5], Windowing::Exact);
        let error = larger.unwrap_err().to_string();
        assert!(
            error.contains("3 × 5") && error.contains("row by row"),
            "{error}"
        );
    }
}
