//! Which codes of a picture stay and which are drawn anew when it is completed.

use crate::tokenizer::TokenizerConfig;
use image::{Rgb, RgbImage};
use std::ops::Range;

/// What is shown in place of what is drawn anew.
const HIDDEN: Rgb<u8> = Rgb([128; 3]);

/// The part of a picture that stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Keep {
    /// The upper half of its rows.
    Top,
    /// The left half of its columns.
    Left,
    /// This part of its codes, from the first in reading order. The authors' half completion is 0.5
    /// (taming/models/cond_transformer.py). Their sampling script begins every row at the column where the first half
    /// ends (scripts/sample_conditional.py), which leaves codes out where that is not the first column; here none is.
    Part(f64),
}

impl Keep {
    /// `top`, `left`, or a part of at least 0 and below 1.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "top" => Some(Self::Top),
            "left" => Some(Self::Left),
            part => {
                let part = part.parse::<f64>().ok()?;
                (0.0..1.0).contains(&part).then_some(Self::Part(part))
            }
        }
    }
}

/// Where the codes of a picture lie in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cells {
    /// Rows and columns of positions.
    positions: [usize; 2],
    /// Side of a position in pixels.
    side: usize,
    /// Codes of a position, side by side in the grid.
    depth: usize,
}

impl Cells {
    /// The cells of a grid of `rows` and `columns` of codes.
    pub fn new(tokenizer: &TokenizerConfig, [rows, columns]: [usize; 2]) -> Self {
        let depth = tokenizer.codes_per_position.max(1);
        Self {
            positions: [rows, columns / depth],
            side: tokenizer.factor(),
            depth,
        }
    }

    /// For every code in reading order, whether it is drawn anew.
    pub fn without(&self, keep: Keep) -> Vec<bool> {
        let [rows, columns] = self.positions;
        let width = columns * self.depth;
        let codes = rows * width;
        let known = |code: usize| match keep {
            Keep::Top => code / width < rows / 2,
            Keep::Left => code % width / self.depth < columns / 2,
            Keep::Part(part) => code < (part * codes as f64) as usize,
        };
        (0..codes).map(|code| !known(code)).collect()
    }

    /// The same by a mask of the picture: a code is drawn anew if any of its pixels is white, that is nearer to white
    /// than to black.
    ///
    /// # Panics
    /// If the mask is larger than the cells together.
    pub fn under(&self, mask: &RgbImage) -> Vec<bool> {
        let mut anew = vec![false; self.positions[0] * self.positions[1] * self.depth];
        for (x, y, pixel) in mask.enumerate_pixels() {
            let light: u32 = pixel.0.iter().map(|&level| u32::from(level)).sum();
            if light >= 3 * 128 {
                anew[self.codes_at(x, y)].fill(true);
            }
        }
        anew
    }

    /// The picture with what is drawn anew in grey.
    ///
    /// # Panics
    /// As [`Cells::under`], and if `anew` has fewer codes than the grid.
    pub fn hide(&self, picture: &RgbImage, anew: &[bool]) -> RgbImage {
        let mut hidden = picture.clone();
        for (x, y, pixel) in hidden.enumerate_pixels_mut() {
            if anew[self.codes_at(x, y)].contains(&true) {
                *pixel = HIDDEN;
            }
        }
        hidden
    }

    /// The codes of the position at a pixel, in reading order of the grid.
    fn codes_at(&self, x: u32, y: u32) -> Range<usize> {
        let [row, column] = [y, x].map(|place| place as usize / self.side);
        let first = (row * self.positions[1] + column) * self.depth;
        first..first + self.depth
    }
}

/// The codes that stay, as [`super::Request`] has them.
pub fn known_codes(codes: &[i64], anew: &[bool]) -> Vec<Option<i64>> {
    let pairs = codes.iter().zip(anew);
    pairs
        .map(|(&code, &anew)| (!anew).then_some(code))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3 × 4 positions of 2 × 2 pixels.
    fn cells(depth: usize) -> Cells {
        Cells {
            positions: [3, 4],
            side: 2,
            depth,
        }
    }

    /// The numbers of the codes that stay.
    fn kept(cells: Cells, keep: Keep) -> Vec<usize> {
        let anew = cells.without(keep);
        (0..anew.len()).filter(|&code| !anew[code]).collect()
    }

    #[test]
    fn parts_that_stay() {
        assert_eq!(kept(cells(1), Keep::Top), [0, 1, 2, 3]);
        assert_eq!(kept(cells(1), Keep::Left), [0, 1, 4, 5, 8, 9]);
        assert_eq!(kept(cells(1), Keep::Part(0.5)), [0, 1, 2, 3, 4, 5]);
        assert!(kept(cells(1), Keep::Part(0.0)).is_empty());
        assert_eq!(kept(cells(2), Keep::Left).len(), 12);
        assert_eq!(kept(cells(2), Keep::Left)[4], 8);
    }

    #[test]
    fn one_white_pixel_is_enough() {
        // One column less than the positions have: a picture need not fill its last cells.
        let mut mask = RgbImage::new(7, 6);
        mask.put_pixel(3, 5, Rgb([255; 3]));
        mask.put_pixel(0, 0, Rgb([127; 3]));
        let anew = cells(1).under(&mask);
        let drawn: Vec<usize> = (0..12).filter(|&code| anew[code]).collect();
        assert_eq!(drawn, [9]);
        let hidden = cells(1).hide(&mask, &anew);
        let grey = hidden.pixels().filter(|pixel| **pixel == HIDDEN).count();
        assert_eq!(grey, 4);
        assert_eq!(*hidden.get_pixel(2, 4), HIDDEN);
        let anew = cells(2).under(&mask);
        let drawn: Vec<usize> = (0..24).filter(|&code| anew[code]).collect();
        assert_eq!(drawn, [18, 19]);
    }

    #[test]
    fn known_codes_are_the_others() {
        let known = known_codes(&[5, 6, 7], &[false, true, false]);
        assert_eq!(known, [Some(5), None, Some(7)]);
    }

    #[test]
    fn what_stays_is_read() {
        assert_eq!(Keep::parse("top"), Some(Keep::Top));
        assert_eq!(Keep::parse("left"), Some(Keep::Left));
        assert_eq!(Keep::parse("0.25"), Some(Keep::Part(0.25)));
        for wrong in ["", "right", "1", "-0.1", "NaN", "1.5"] {
            assert_eq!(Keep::parse(wrong), None, "{wrong}");
        }
    }
}
