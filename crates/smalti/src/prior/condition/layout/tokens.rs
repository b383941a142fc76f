//! From objects to tokens and back (`ObjectsBoundingBoxConditionalBuilder`, `ObjectsCenterPointsConditionalBuilder`).

use super::{LayoutCondition, Places};
use crate::data::{Area, Object, View};
use crate::error::{Error, Result};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// What the tokens of a layout say.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// The objects in the order of the tokens. Where only centres are told, a box has no width and height.
    pub objects: Vec<Object>,
    /// The part of the picture that is seen, where that is told.
    pub crop: Option<Area>,
}

impl LayoutCondition {
    /// The tokens of a picture's objects, seen in a part of it: [`LayoutCondition::length`] whole numbers. Objects
    /// outside of the part are left out, and so are those beyond the first `max_objects`. With `shuffle`, a seed, the
    /// order is random, as it was whenever the authors' models were trained or drew; otherwise it stays.
    ///
    /// # Errors
    /// When an object has a category that this prior does not know.
    pub fn tokens(&self, objects: &[Object], view: View, shuffle: Option<u64>) -> Result<Vec<i64>> {
        self.check_objects(objects)?;
        Ok(self.build(objects.iter().collect(), view, shuffle))
    }

    /// What tokens say.
    ///
    /// # Errors
    /// When there are more or fewer than [`LayoutCondition::length`], or one is neither an object nor a place where
    /// there has to be one.
    pub fn scene(&self, tokens: &[i64]) -> Result<Scene> {
        if tokens.len() != self.length() {
            return Err(Error::input(format!(
                "a layout of {} tokens: this prior's have {}",
                tokens.len(),
                self.length()
            )));
        }
        let (described, crop) =
            tokens.split_at(tokens.len() - if self.encode_crop { 2 } else { 0 });
        let mut objects = Vec::new();
        for description in described.chunks_exact(1 + self.places.points()) {
            if description[0] != self.none() {
                objects.push(self.object(description)?);
            }
        }
        let crop = match crop {
            &[first, second] => Some(self.area(first, second)?),
            _ => None,
        };
        Ok(Scene { objects, crop })
    }

    /// Whether this prior knows the categories of all objects.
    pub(super) fn check_objects(&self, objects: &[Object]) -> Result<()> {
        let unknown = |object: &&Object| object.category as usize >= self.classes;
        match objects.iter().find(unknown) {
            Some(object) => Err(Error::input(format!(
                "there is no category {}: this prior has {}",
                object.category,
                self.describe()
            ))),
            None => Ok(()),
        }
    }

    /// [`LayoutCondition::tokens`] of objects that have been checked.
    pub(super) fn build(
        &self,
        mut objects: Vec<&Object>,
        view: View,
        shuffle: Option<u64>,
    ) -> Vec<i64> {
        objects.truncate(self.max_objects);
        if let Some(seed) = shuffle {
            objects.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        }
        objects.retain(|object| object.area.overlaps(view.area));
        let frame = if self.encode_crop {
            Area::FULL
        } else {
            view.area
        };
        let seen = |area: Area| {
            if view.mirrored { area.mirrored() } else { area }
        };
        let mut tokens = Vec::with_capacity(self.length());
        for object in objects {
            tokens.push(self.description(object));
            self.push_place(seen(object.area.within(frame)), &mut tokens);
        }
        tokens.resize(self.max_objects * (1 + self.places.points()), self.none());
        if self.encode_crop {
            self.push_corners(seen(view.area), &mut tokens);
        }
        tokens
    }

    /// The token that stands where there is no object.
    fn none(&self) -> i64 {
        self.token_count as i64 - 1
    }

    /// How many rows and columns the grid of points has.
    fn sections(&self) -> i64 {
        self.token_count.isqrt() as i64
    }

    /// The token for what an object is.
    fn description(&self, object: &Object) -> i64 {
        let group = self.use_group_parameter && object.is_group_of;
        let flags = [object.is_occluded, object.is_depiction, object.is_inside]
            .map(|flag| self.use_additional_parameters && flag);
        let [occluded, depiction, inside] = flags.map(i64::from);
        let flags = i64::from(group) + 2 * occluded + 4 * depiction + 8 * inside;
        i64::from(object.category) + self.classes as i64 * flags
    }

    fn push_place(&self, area: Area, tokens: &mut Vec<i64>) {
        match self.places {
            Places::Boxes => self.push_corners(area, tokens),
            Places::Centers => {
                tokens.push(self.point(area.x + area.width / 2.0, area.y + area.height / 2.0));
            }
        }
    }

    fn push_corners(&self, area: Area, tokens: &mut Vec<i64>) {
        tokens.push(self.point(area.x, area.y));
        tokens.push(self.point(area.x + area.width, area.y + area.height));
    }

    /// The token of the nearest point of the grid; halfway between two, the even one.
    fn point(&self, x: f64, y: f64) -> i64 {
        let last = self.sections() - 1;
        // Sums of shares may exceed 1 by a rounding error.
        let nearest = |share: f64| (share.clamp(0.0, 1.0) * last as f64).round_ties_even() as i64;
        nearest(y) * self.sections() + nearest(x)
    }

    /// The place of a point's token.
    fn place(&self, token: i64) -> Result<[f64; 2]> {
        let sections = self.sections();
        if !(0..sections * sections).contains(&token) {
            return Err(Error::input(format!(
                "the token {token} is no place: there are {sections}×{sections}"
            )));
        }
        let share = |place: i64| place as f64 / (sections - 1) as f64;
        Ok([share(token % sections), share(token / sections)])
    }

    /// The area between two points.
    fn area(&self, first: i64, second: i64) -> Result<Area> {
        let ([x, y], [right, bottom]) = (self.place(first)?, self.place(second)?);
        Ok(Area {
            x,
            y,
            width: right - x,
            height: bottom - y,
        })
    }

    /// The object that a description and its place stand for.
    fn object(&self, tokens: &[i64]) -> Result<Object> {
        let described = usize::try_from(tokens[0])
            .ok()
            .filter(|&token| token < self.descriptions());
        let Some(description) = described else {
            return Err(Error::input(format!(
                "the token {} is no object: this prior has {}",
                tokens[0],
                self.describe()
            )));
        };
        let flags = description / self.classes;
        Ok(Object {
            category: (description % self.classes) as u32,
            // The only point of a centre is both corners of its box.
            area: self.area(tokens[1], tokens[tokens.len() - 1])?,
            is_group_of: flags & 1 != 0,
            is_occluded: flags & 2 != 0,
            is_depiction: flags & 4 != 0,
            is_inside: flags & 8 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{layout, object};
    use super::*;

    /// Three objects whose corners are points of a grid of five rows and columns.
    fn objects() -> Vec<Object> {
        let mut objects = vec![
            object(0, [0.0, 0.25, 0.5, 0.75]),
            object(2, [0.75, 0.0, 0.25, 0.25]),
            object(1, [0.25, 0.25, 0.25, 0.5]),
        ];
        objects[1].is_group_of = true;
        objects
    }

    /// Of 25 tokens: 0 to 5 are objects, 24 is none, and places are `5 · row + column`.
    fn small() -> LayoutCondition {
        LayoutCondition {
            token_count: 25,
            ..layout()
        }
    }

    #[test]
    fn known_answers() {
        let none = 24;
        let boxes = small().tokens(&objects(), View::WHOLE, None).unwrap();
        assert_eq!(boxes, [0, 5, 22, 5, 3, 9, 1, 6, 17, none, none, none]);
        let mirrored = View {
            mirrored: true,
            ..View::WHOLE
        };
        let boxes = small().tokens(&objects(), mirrored, None).unwrap();
        assert_eq!(boxes, [0, 7, 24, 5, 0, 6, 1, 7, 18, none, none, none]);
        let centers = LayoutCondition {
            places: Places::Centers,
            ..small()
        };
        // 0.625 of 4 is 2.5: halfway, so the even row 2; and 0.875 is 3.5, so 4.
        let tokens = centers.tokens(&objects(), View::WHOLE, None).unwrap();
        assert_eq!(tokens, [0, 11, 5, 4, 1, 12, none, none]);
    }

    #[test]
    fn a_part_of_the_picture_has_its_own_places() {
        let area = Area {
            x: 0.0,
            y: 0.5,
            width: 0.5,
            height: 0.5,
        };
        let view = View {
            area,
            mirrored: false,
        };
        // The second object is outside; the third begins above and keeps its height as far as there is room.
        let seen = small().tokens(&objects(), view, None).unwrap();
        assert_eq!(seen[..6], [0, 0, 24, 1, 2, 24]);
        assert_eq!(seen[6..], [24; 6]);
        let encoded = LayoutCondition {
            encode_crop: true,
            ..small()
        };
        let told = encoded.tokens(&objects(), view, None).unwrap();
        assert_eq!(told[..6], [0, 5, 22, 1, 6, 17]);
        assert_eq!(told[12..], [10, 22]);
        assert_eq!(encoded.scene(&told).unwrap().crop, Some(area));
        let mirrored = View {
            mirrored: true,
            ..view
        };
        let told = encoded.tokens(&objects(), mirrored, None).unwrap();
        assert_eq!(told[..3], [0, 7, 24]);
        assert_eq!(told[12..], [12, 24]);
    }

    #[test]
    fn tokens_become_objects_again() {
        let tokens = small().tokens(&objects(), View::WHOLE, None).unwrap();
        let scene = small().scene(&tokens).unwrap();
        assert_eq!((scene.objects, scene.crop), (objects(), None));
        let all = LayoutCondition {
            use_additional_parameters: true,
            ..layout()
        };
        for flags in 0..16_u8 {
            let mut object = object(2, [0.0, 0.0, 1.0, 1.0]);
            object.is_group_of = flags & 1 != 0;
            object.is_occluded = flags & 2 != 0;
            object.is_depiction = flags & 4 != 0;
            object.is_inside = flags & 8 != 0;
            let tokens = all.tokens(&[object], View::WHOLE, None).unwrap();
            assert_eq!(tokens[0], 2 + 3 * i64::from(flags));
            assert_eq!(all.scene(&tokens).unwrap().objects, [object]);
        }
    }

    #[test]
    fn flags_that_are_not_told_are_lost() {
        let plain = LayoutCondition {
            use_group_parameter: false,
            ..small()
        };
        let mut object = object(1, [0.0, 0.0, 1.0, 1.0]);
        (object.is_group_of, object.is_inside) = (true, true);
        let tokens = plain.tokens(&[object], View::WHOLE, None).unwrap();
        assert_eq!(tokens[..3], [1, 0, 24]);
    }

    #[test]
    fn the_order_follows_from_the_seed() {
        let objects: Vec<Object> = (0..4_u8)
            .map(|number| object(0, [0.25 * f64::from(number), 0.0, 0.25, 1.0]))
            .collect();
        let tokens = |seed| small().tokens(&objects, View::WHOLE, seed).unwrap();
        let sorted = |tokens: Vec<i64>| {
            let mut objects: Vec<Vec<i64>> = tokens.chunks(3).map(<[i64]>::to_vec).collect();
            objects.sort();
            objects
        };
        let orders: Vec<Vec<i64>> = (0..20).map(|seed| tokens(Some(seed))).collect();
        assert!(orders.iter().any(|order| *order != orders[0]));
        for (seed, order) in (0..20).zip(orders) {
            assert_eq!(order, tokens(Some(seed)));
            assert_eq!(sorted(order), sorted(tokens(None)));
        }
    }

    #[test]
    fn objects_without_room_are_left_out() {
        let many = [object(1, [0.0, 0.0, 1.0, 1.0]); 9];
        let tokens = small().tokens(&many, View::WHOLE, Some(1)).unwrap();
        assert_eq!(tokens, [1, 0, 24].repeat(4));
        let none = small().tokens(&[], View::WHOLE, None).unwrap();
        assert_eq!(none, [24; 12]);
    }

    #[test]
    fn any_box_becomes_tokens() {
        let wild = [
            -1e300,
            -1.0,
            -1e-9,
            0.0,
            1e-300,
            0.5,
            1.0,
            1.000001,
            1e300,
            f64::MAX,
        ];
        let view = View {
            area: Area {
                x: 0.1,
                y: 0.2,
                width: 0.3,
                height: 0.4,
            },
            mirrored: true,
        };
        for x in wild {
            for width in wild {
                let object = object(1, [x, width, width, x]);
                for view in [view, View::WHOLE] {
                    let tokens = small().tokens(&[object], view, None).unwrap();
                    assert!(small().scene(&tokens).is_ok(), "{tokens:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_layout_is_an_error() {
        let message = |tokens: &[i64]| small().scene(tokens).unwrap_err().to_string();
        assert!(message(&[0; 11]).contains("11 tokens: this prior's have 12"));
        let with = |place: usize, token: i64| {
            let mut tokens = small().tokens(&objects(), View::WHOLE, None).unwrap();
            tokens[place] = token;
            message(&tokens)
        };
        assert!(with(0, 6).contains("the token 6 is no object"));
        assert!(with(0, -1).contains("the token -1 is no object"));
        assert!(with(1, 25).contains("the token 25 is no place: there are 5×5"));
        assert!(with(2, i64::MIN).contains("is no place"));
        let unknown = small().tokens(&[object(3, [0.0; 4])], View::WHOLE, None);
        assert!(unknown.unwrap_err().to_string().contains("no category 3"));
    }
}
