//! The loop that draws one code after another, through a window that slides over the picture.
//!
//! The window has the size that the prior was trained on and stands so that the code to be drawn is in its middle, or as
//! near to that as the borders allow. Tokens keep their place in the cache only while the window stands still; when it
//! moves, the codes before the one to be drawn are read again, all at once, and none behind it.

use super::{NextCode, Pictures};
use crate::prior::PriorConfig;

/// The most tokens that are read of a window: the last code is drawn but never read.
pub(crate) fn capacity(config: &PriorConfig) -> usize {
    config.condition.length() + config.codes() - 1
}

/// The first row or column of the window for a code in row or column `place` of `extent`.
fn origin(place: usize, extent: usize, window: usize) -> usize {
    place.saturating_sub(window / 2).min(extent - window)
}

/// A transformer and the pictures it draws.
pub(crate) struct Sampler<'a> {
    transformer: NextCode<'a>,
    pub(crate) pictures: Pictures,
    /// Rows and columns of the window.
    window: [usize; 2],
    /// Where the window stands that the transformer has read from, and how many of its codes it has read.
    read: Option<([usize; 2], usize)>,
}

impl<'a> Sampler<'a> {
    pub(crate) fn new(transformer: NextCode<'a>, config: &PriorConfig, pictures: Pictures) -> Self {
        Self {
            transformer,
            pictures,
            window: [config.rows, config.columns],
            read: None,
        }
    }

    /// Adds one code to every picture; `false` when they were complete.
    pub(crate) fn step(&mut self) -> bool {
        let [rows, columns] = self.pictures.grid;
        let position = self.pictures.position();
        if position >= rows * columns {
            return false;
        }
        // Codes that all pictures know are read when the next one is drawn.
        if self
            .pictures
            .known
            .iter()
            .all(|known| known.len() > position)
        {
            self.pictures.push(&[]);
            return true;
        }
        let (row, column) = (position / columns, position % columns);
        let place = [
            origin(row, rows, self.window[0]),
            origin(column, columns, self.window[1]),
        ];
        let before = (row - place[0]) * self.window[1] + column - place[1];
        let tokens = match self.read {
            Some((read_place, read)) if read_place == place => self.tokens(place, read..before),
            _ => {
                self.transformer.restart();
                let mut tokens = self.pictures.conditions.clone();
                for (tokens, codes) in tokens.iter_mut().zip(self.tokens(place, 0..before)) {
                    tokens.extend(codes);
                }
                tokens
            }
        };
        self.read = Some((place, before));
        self.pictures.push(self.transformer.logits(&tokens));
        true
    }

    /// The codes of every picture in places `range` of the window at `origin`, in reading order.
    fn tokens(&self, origin: [usize; 2], range: std::ops::Range<usize>) -> Vec<Vec<i64>> {
        let columns = self.pictures.grid[1];
        let place = |index: usize| {
            let (row, column) = (index / self.window[1], index % self.window[1]);
            (origin[0] + row) * columns + origin[1] + column
        };
        let pictures = self.pictures.codes.iter();
        pictures
            .map(|codes| range.clone().map(|index| codes[place(index)]).collect())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
