//! Rectangles of maps.

use std::ops::Range;

/// Rows and columns of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

impl Area {
    /// All of a map of `[rows, columns]`.
    pub fn whole([rows, columns]: [usize; 2]) -> Self {
        Self {
            rows: 0..rows,
            columns: 0..columns,
        }
    }

    /// Rows and columns.
    pub fn size(&self) -> [usize; 2] {
        [self.rows.len(), self.columns.len()]
    }

    /// How many positions it has.
    pub fn positions(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// The same part of a map whose sides were doubled so many times.
    pub(super) fn doubled(&self, times: usize) -> Self {
        self.each(|range, _| range.start << times..range.end << times, [0; 2])
    }

    /// What downsampling makes of it, if it begins at an even row and column.
    pub(super) fn halved(&self) -> Self {
        self.each(|range, _| range.start / 2..range.end / 2, [0; 2])
    }

    /// What is read of a map of `[rows, columns]` to upsample it to this area: the 3×3 convolution after the doubling
    /// reads the neighbours of every position.
    pub(super) fn upsampled_from(&self, size: [usize; 2]) -> Self {
        let source = |range: &Range<usize>, limit: usize| {
            range.start.saturating_sub(1) / 2..(range.end / 2 + 1).min(limit)
        };
        self.each(source, size)
    }

    /// It, and `before` positions above and to the left of it and `after` below and to the right, as far as a map of
    /// `[rows, columns]` goes.
    pub(super) fn grown(&self, [before, after]: [usize; 2], size: [usize; 2]) -> Self {
        let grow = |range: &Range<usize>, limit: usize| {
            range.start.saturating_sub(before)..(range.end + after).min(limit)
        };
        self.each(grow, size)
    }

    /// Its place in `outer`, which contains it.
    pub(super) fn within(&self, outer: &Area) -> Self {
        let shift = |range: &Range<usize>, by: usize| range.start - by..range.end - by;
        self.each(shift, [outer.rows.start, outer.columns.start])
    }

    /// Changes both ranges, each with its own number.
    fn each(
        &self,
        change: impl Fn(&Range<usize>, usize) -> Range<usize>,
        [rows, columns]: [usize; 2],
    ) -> Self {
        Self {
            rows: change(&self.rows, rows),
            columns: change(&self.columns, columns),
        }
    }
}
