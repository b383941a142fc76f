//! Where in the picture a crop was taken: one token for every patch of pixels, the place of its middle in reading order
//! (`CoordStage` of taming/modules/misc/coord.py; the coordinates of taming/data/faceshq.py). A prior that was trained
//! on crops learns with it what belongs where, and a window that slides over a large picture knows where it is.

use super::GridTokens;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How places become tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordCondition {
    /// How many steps the way from the first pixel to the last has (`n_embed`).
    pub levels: usize,
    /// The side of a patch in pixels (`down_factor`).
    pub factor: usize,
    /// Rows and columns of patches of one picture of the prior's size.
    pub rows: usize,
    pub columns: usize,
}

/// A rectangle of patches in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patches {
    /// The first pixel's row and column.
    pub corner: [usize; 2],
    /// Rows and columns of patches.
    pub count: [usize; 2],
    /// Height and width of the picture in pixels.
    pub picture: [usize; 2],
}

impl CoordCondition {
    pub fn length(&self) -> usize {
        self.rows.saturating_mul(self.columns)
    }

    /// The tokens of patches, in reading order.
    ///
    /// A pixel's coordinate is its number in reading order over their count; a patch has the mean of its pixels. The
    /// authors round it to 0 … `levels`, both included; the last, which a code may not have, does not occur here.
    pub fn tokens(&self, patches: Patches) -> Vec<i64> {
        let [height, width] = patches.picture.map(|side| side as f64);
        let middle = |first: usize, index: usize| {
            (first + index * self.factor) as f64 + (self.factor as f64 - 1.0) / 2.0
        };
        let [rows, columns] = patches.count;
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| [row, column]));
        let token = |[row, column]: [usize; 2]| {
            let [top, left] = patches.corner;
            let place = (middle(top, row) * width + middle(left, column)) / (height * width);
            let step = (self.levels as f64 * place.clamp(0.0, 1.0)).round_ties_even();
            (step as i64).min(self.levels as i64 - 1)
        };
        places.map(token).collect()
    }

    /// The tokens of a whole picture of `height` × `width` pixels.
    ///
    /// # Errors
    /// A picture smaller than the prior's own.
    pub fn of_picture(&self, [height, width]: [usize; 2]) -> Result<GridTokens> {
        let count = [height / self.factor, width / self.factor];
        let tokens = self.tokens(Patches {
            corner: [0, 0],
            count,
            picture: [height, width],
        });
        GridTokens::new(tokens, count, [self.rows, self.columns])
    }

    pub fn check(&self) -> Result<()> {
        let positive = [
            ("levels", self.levels),
            ("factor", self.factor),
            ("rows", self.rows),
            ("columns", self.columns),
        ];
        match positive
            .iter()
            .find(|(_, value)| !(1..=1 << 24).contains(value))
        {
            Some((name, value)) => Err(Error::input(format!(
                "{name} of the coordinates is {value}; it must be at least 1 and at most {}",
                1 << 24
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COORD: CoordCondition = CoordCondition {
        levels: 256,
        factor: 4,
        rows: 4,
        columns: 4,
    };

    /// The authors' way: a coordinate for every pixel, the mean over each patch.
    fn by_pixels(condition: CoordCondition, patches: Patches) -> Vec<i64> {
        let [height, width] = patches.picture;
        let mut tokens = Vec::new();
        for row in 0..patches.count[0] {
            for column in 0..patches.count[1] {
                let mut sum = 0.0;
                for y in 0..condition.factor {
                    for x in 0..condition.factor {
                        let y = patches.corner[0] + row * condition.factor + y;
                        let x = patches.corner[1] + column * condition.factor + x;
                        sum += (y * width + x) as f64 / (height * width) as f64;
                    }
                }
                let mean = sum / (condition.factor * condition.factor) as f64;
                tokens.push((mean * condition.levels as f64).round_ties_even() as i64);
            }
        }
        tokens
    }

    #[test]
    fn tokens_are_the_means_of_pixels() {
        for (corner, picture) in [([0, 0], [16, 16]), ([3, 7], [40, 61]), ([24, 5], [40, 21])] {
            let patches = Patches {
                corner,
                count: [4, 4],
                picture,
            };
            assert_eq!(COORD.tokens(patches), by_pixels(COORD, patches));
        }
    }

    #[test]
    fn a_window_knows_where_it_is() {
        use crate::prior::condition::{Conditioning, Window};
        let whole = COORD.of_picture([32, 24]).unwrap();
        let window = Window {
            rows: 3..7,
            columns: 2..6,
            grid: [8, 6],
        };
        let patches = Patches {
            corner: [12, 8],
            count: [4, 4],
            picture: [32, 24],
        };
        assert_eq!(whole.tokens(&window), COORD.tokens(patches));
        assert!(COORD.of_picture([15, 16]).is_err());
    }

    #[test]
    fn no_token_is_larger_than_the_levels() {
        let few = CoordCondition {
            levels: 3,
            factor: 1,
            ..COORD
        };
        let tokens = few.tokens(Patches {
            corner: [0, 0],
            count: [4, 4],
            picture: [4, 4],
        });
        assert_eq!((tokens[0], tokens[15]), (0, 2));
        let none = CoordCondition { levels: 0, ..COORD };
        assert!(none.check().unwrap_err().to_string().contains("levels"));
    }
}
