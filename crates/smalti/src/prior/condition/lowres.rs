//! The picture itself with fewer pixels: the prior learns what to add (paper section 4.2, stochastic superresolution;
//! `ImageNetScale` of taming/data/imagenet.py).

use super::CodesOfPicture;
use crate::data::{Filter, Kind, Raster};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How many pixels fewer, and the codes of what is left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LowresCondition {
    /// Pictures are made so many times smaller and as large again; 1 leaves them as they are.
    pub factor: usize,
    pub codes: CodesOfPicture,
}

impl LowresCondition {
    pub fn kind(&self) -> Kind {
        Kind::Pictures
    }

    /// A picture made smaller and as large again, both bicubically, as the authors' Pillow does it.
    ///
    /// # Errors
    /// A picture that cannot be scaled.
    pub fn coarse(&self, picture: &Raster) -> Result<Raster> {
        if self.factor <= 1 {
            return Ok(picture.clone());
        }
        let (width, height) = picture.dimensions();
        let factor = u32::try_from(self.factor).unwrap_or(u32::MAX);
        let small = picture.resized(
            ((width / factor).max(1), (height / factor).max(1)),
            Filter::Bicubic,
        )?;
        small.resized((width, height), Filter::Bicubic)
    }

    pub fn check(&self) -> Result<()> {
        if (1..=1024).contains(&self.factor) {
            return Ok(());
        }
        Err(Error::input(format!(
            "the factor of lowres is {}; it must be at least 1 and at most 1024",
            self.factor
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    fn condition(factor: usize) -> LowresCondition {
        LowresCondition {
            factor,
            codes: CodesOfPicture {
                tokenizer: None,
                rows: 4,
                columns: 4,
                size: 0,
            },
        }
    }

    #[test]
    fn small_things_are_lost_and_large_ones_stay() {
        let picture = Raster::from(RgbImage::from_fn(32, 32, |x, y| {
            let fine = 40 * u8::from((x + y).is_multiple_of(2));
            let large = if x < 16 { 40 } else { 180 };
            Rgb([large + fine; 3])
        }));
        let Raster::Rgb(coarse) = condition(4).coarse(&picture).unwrap() else {
            panic!("a picture stays one");
        };
        assert_eq!(coarse.dimensions(), (32, 32));
        for (x, expected) in [(4, 60), (27, 200)] {
            let column: Vec<u8> = (4..28).map(|y| coarse.get_pixel(x, y).0[0]).collect();
            let near = |level: &u8| level.abs_diff(expected) <= 2;
            assert!(column.iter().all(near), "{column:?}");
        }
        assert_eq!(condition(1).coarse(&picture).unwrap(), picture);
        assert!(condition(100).coarse(&picture).is_ok());
    }

    #[test]
    fn factors_are_checked() {
        assert!(condition(1).check().is_ok());
        for factor in [0, 1025, usize::MAX] {
            assert!(condition(factor).check().is_err());
        }
    }
}
