//! The layout of one picture as the condition of any part of it (`scripts/make_scene_samples.py`): where the prior's
//! window moves over a larger picture, the tokens are built anew for what the window shows.

use super::{LayoutCondition, picture_of_layout};
use crate::data::{Area, Object, View};
use crate::error::Result;
use image::RgbImage;
use std::ops::Range;

/// The objects of a picture that is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureLayout {
    condition: LayoutCondition,
    objects: Vec<Object>,
    shuffle: Option<u64>,
}

impl PictureLayout {
    /// The layout of these objects, which may be none. `shuffle` as for [`LayoutCondition::tokens`]; the authors drew a
    /// new order for every code, and one seed gives one order for the same objects.
    ///
    /// # Errors
    /// When an object has a category that the prior does not know.
    pub fn new(
        condition: &LayoutCondition,
        objects: Vec<Object>,
        shuffle: Option<u64>,
    ) -> Result<Self> {
        condition.check_objects(&objects)?;
        Ok(Self {
            condition: condition.clone(),
            objects,
            shuffle,
        })
    }

    /// The tokens for these rows and columns of a grid of codes (`grid`: rows, columns). Of the picture's objects,
    /// those that the window does not show are left out first: a large picture may have many more than there is room
    /// for.
    pub fn tokens_for(
        &self,
        rows: &Range<usize>,
        columns: &Range<usize>,
        grid: [usize; 2],
    ) -> Vec<i64> {
        let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        let area = Area {
            x: share(columns.start, grid[1]),
            y: share(rows.start, grid[0]),
            width: share(columns.len(), grid[1]),
            height: share(rows.len(), grid[0]),
        };
        let shown = self
            .objects
            .iter()
            .filter(|object| object.area.overlaps(area));
        let view = View {
            area,
            mirrored: false,
        };
        self.condition.build(shown.collect(), view, self.shuffle)
    }

    /// A drawing of the layout, `sides` (width, height) pixels large.
    ///
    /// # Errors
    /// As for [`picture_of_layout`].
    pub fn picture(&self, sides: (u32, u32)) -> Result<RgbImage> {
        let tokens = self.tokens_for(&(0..1), &(0..1), [1, 1]);
        picture_of_layout(&self.condition, &tokens, sides)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{layout, object};
    use super::*;

    #[test]
    fn the_whole_grid_is_the_whole_picture() {
        let objects = vec![
            object(0, [0.1, 0.2, 0.3, 0.4]),
            object(2, [0.0, 0.0, 1.0, 1.0]),
        ];
        for shuffle in [None, Some(3)] {
            let whole = layout().tokens(&objects, View::WHOLE, shuffle).unwrap();
            let picture = PictureLayout::new(&layout(), objects.clone(), shuffle).unwrap();
            assert_eq!(picture.tokens_for(&(0..16), &(0..16), [16, 16]), whole);
            assert_eq!(picture.tokens_for(&(0..5), &(0..9), [5, 9]), whole);
        }
    }

    #[test]
    fn a_window_has_the_tokens_of_its_part() {
        let objects = vec![
            object(0, [0.0, 0.0, 0.5, 0.5]),
            object(1, [0.5, 0.25, 0.25, 0.5]),
        ];
        let picture = PictureLayout::new(&layout(), objects.clone(), None).unwrap();
        let view = View {
            area: Area {
                x: 0.5,
                y: 0.25,
                width: 0.5,
                height: 0.25,
            },
            mirrored: false,
        };
        let expected = layout().tokens(&objects, view, None).unwrap();
        let found = picture.tokens_for(&(8..16), &(16..32), [32, 32]);
        assert_eq!(found, expected);
        // Of the grid of 32 rows and columns, the window's upper left corner is 0 and its lower edge is in row 31.
        assert_eq!(found[..3], [1, 0, 31 * 32 + 16]);
        assert_eq!(found[3..], [1023; 9]);
    }

    #[test]
    fn what_is_elsewhere_takes_no_room() {
        let objects: Vec<Object> = (0..8_u8)
            .map(|place| object(0, [f64::from(place) / 8.0, 0.0, 0.125, 1.0]))
            .collect();
        let picture = PictureLayout::new(&layout(), objects, None).unwrap();
        let last = picture.tokens_for(&(0..8), &(4..8), [8, 8]);
        let described = last.chunks(3).filter(|object| object[0] == 0).count();
        assert_eq!((described, last.len()), (4, 12));
    }

    #[test]
    fn nothing_is_a_layout_too() {
        let picture = PictureLayout::new(&layout(), Vec::new(), None).unwrap();
        assert_eq!(picture.tokens_for(&(0..4), &(0..4), [4, 4]), [1023; 12]);
        assert_eq!(picture.tokens_for(&(0..0), &(0..0), [0, 0]), [1023; 12]);
        let unknown = object(3, [0.0, 0.0, 1.0, 1.0]);
        assert!(PictureLayout::new(&layout(), vec![unknown], None).is_err());
    }
}
