//! A layout to look at: every box in the colour of its category with the category's name, on white
//! (`plot` of the authors' conditional builders).

use super::font::{HEIGHT, WIDTH, glyph};
use super::{LayoutCondition, Places};
use crate::data::{Area, Object, label_color};
use crate::error::{Error, Result};
use image::{Rgb, RgbImage};

/// The longest side of a drawing, in pixels.
const MAX_SIDE: u32 = 32_768;
/// The colour of the frame around the part of the picture that is seen.
const FRAME: [u8; 3] = [63; 3];

/// A drawing of what the tokens of a layout say, `sides` (width, height) pixels large.
///
/// # Errors
/// When the tokens are no layout ([`LayoutCondition::scene`]), or a side is 0 or above 32768.
pub fn picture_of_layout(
    condition: &LayoutCondition,
    tokens: &[i64],
    sides: (u32, u32),
) -> Result<RgbImage> {
    let (width, height) = sides;
    if width.min(height) == 0 || width.max(height) > MAX_SIDE {
        return Err(Error::input(format!(
            "a layout cannot be drawn as {width}×{height} pixels; sides are from 1 to {MAX_SIDE}"
        )));
    }
    let scene = condition.scene(tokens)?;
    let mut canvas = Canvas::new(width, height);
    for object in &scene.objects {
        match condition.places {
            Places::Boxes => canvas.outline(object.area, color(object)),
            Places::Centers => canvas.disc(object.area, color(object)),
        }
    }
    if let Some(crop) = scene.crop {
        canvas.outline(crop, FRAME);
    }
    // Names come last, so that no line crosses them.
    for object in &scene.objects {
        let corner = canvas.label_corner(object.area, condition.places);
        canvas.label(&label(condition, object), corner, color(object));
    }
    Ok(canvas.image)
}

/// The colour of an object's category.
fn color(object: &Object) -> [u8; 3] {
    // The first colour is kept for nothing.
    label_color((object.category % 65_534) as u16 + 1)
}

/// An object's category and, in brackets, the initials of what else is said of it.
fn label(condition: &LayoutCondition, object: &Object) -> String {
    let name = match condition.names.get(object.category as usize) {
        Some(name) => name.clone(),
        None => object.category.to_string(),
    };
    let flags = [
        (object.is_group_of, "g"),
        (object.is_occluded, "o"),
        (object.is_depiction, "d"),
        (object.is_inside, "i"),
    ];
    let set: Vec<&str> = flags
        .iter()
        .filter(|(set, _)| *set)
        .map(|&(_, initial)| initial)
        .collect();
    if set.is_empty() {
        name
    } else {
        format!("{name} ({})", set.join(","))
    }
}

/// Left, top, right and bottom in pixels; right and bottom are outside.
type Rectangle = [i64; 4];

struct Canvas {
    image: RgbImage,
    /// How many pixels of the picture one of a letter is.
    scale: i64,
}

impl Canvas {
    fn new(width: u32, height: u32) -> Self {
        Self {
            image: RgbImage::from_pixel(width, height, Rgb([255; 3])),
            scale: i64::from(width.max(height) / 384).clamp(1, 8),
        }
    }

    fn sides(&self) -> [i64; 2] {
        [self.image.width(), self.image.height()].map(i64::from)
    }

    /// How wide lines are.
    fn line(&self) -> i64 {
        self.scale + 1
    }

    /// An area in pixels, wide and high enough for its lines to be seen.
    fn rectangle(&self, area: Area) -> Rectangle {
        let [width, height] = self.sides();
        let pixels = |share: f64, length: i64| (share * length as f64).round() as i64;
        let left = pixels(area.x, width).min(width - self.line());
        let top = pixels(area.y, height).min(height - self.line());
        let right = pixels(area.x + area.width, width).max(left + self.line());
        let bottom = pixels(area.y + area.height, height).max(top + self.line());
        [left, top, right, bottom]
    }

    /// Fills what of a rectangle lies inside the picture.
    fn fill(&mut self, [left, top, right, bottom]: Rectangle, color: [u8; 3]) {
        let [width, height] = self.sides();
        for y in top.max(0)..bottom.min(height) {
            for x in left.max(0)..right.min(width) {
                self.image.put_pixel(x as u32, y as u32, Rgb(color));
            }
        }
    }

    fn outline(&mut self, area: Area, color: [u8; 3]) {
        let ([left, top, right, bottom], line) = (self.rectangle(area), self.line());
        self.fill([left, top, right, top + line], color);
        self.fill([left, bottom - line, right, bottom], color);
        self.fill([left, top, left + line, bottom], color);
        self.fill([right - line, top, right, bottom], color);
    }

    /// A disc in the middle of an area.
    fn disc(&mut self, area: Area, color: [u8; 3]) {
        let ([x, y], radius) = (self.middle(area), 2 * self.line());
        for down in -radius..=radius {
            let half = ((radius * radius - down * down) as f64).sqrt() as i64;
            self.fill([x - half, y + down, x + half + 1, y + down + 1], color);
        }
    }

    fn middle(&self, area: Area) -> [i64; 2] {
        let [left, top, right, bottom] = self.rectangle(area);
        [(left + right) / 2, (top + bottom) / 2]
    }

    /// Where a name goes: inside the upper left corner of a box, beside a disc.
    fn label_corner(&self, area: Area, places: Places) -> [i64; 2] {
        let line = self.line();
        match places {
            Places::Boxes => {
                let [left, top, _, _] = self.rectangle(area);
                [left + line, top + line]
            }
            Places::Centers => {
                let [x, y] = self.middle(area);
                [x + 3 * line, y - self.scale * HEIGHT / 2]
            }
        }
    }

    /// Writes on a strip of the given colour, moved inside the picture where there is room.
    fn label(&mut self, text: &str, [x, y]: [i64; 2], color: [u8; 3]) {
        let [width, height] = self.sides();
        let letters = text.chars().count() as i64;
        let strip = [
            self.scale * (letters * (WIDTH + 1) + 1),
            self.scale * (HEIGHT + 1),
        ];
        let left = x.min(width - strip[0]).max(0);
        let top = y.min(height - strip[1]).max(0);
        self.fill([left, top, left + strip[0], top + strip[1]], color);
        let [red, green, blue] = color.map(u32::from);
        let bright = 299 * red + 587 * green + 114 * blue > 140 * 1000;
        let ink = if bright { [0; 3] } else { [255; 3] };
        let mut place = left + self.scale;
        for letter in text.chars() {
            if place >= width {
                break;
            }
            self.letter(letter, [place, top + self.scale], ink);
            place += self.scale * (WIDTH + 1);
        }
    }

    fn letter(&mut self, letter: char, [x, y]: [i64; 2], color: [u8; 3]) {
        for (row, bits) in (0..).zip(glyph(letter)) {
            for column in (0..WIDTH).filter(|column| (bits >> (WIDTH - 1 - column)) & 1 == 1) {
                let (left, top) = (x + column * self.scale, y + row * self.scale);
                self.fill([left, top, left + self.scale, top + self.scale], color);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{layout, object};
    use super::*;
    use crate::data::View;

    fn drawn(condition: &LayoutCondition, objects: &[Object], sides: (u32, u32)) -> RgbImage {
        let tokens = condition.tokens(objects, View::WHOLE, None).unwrap();
        picture_of_layout(condition, &tokens, sides).unwrap()
    }

    #[test]
    fn boxes_are_drawn_in_their_places() {
        let dog = object(1, [0.0, 16.0 / 31.0, 15.0 / 31.0, 15.0 / 31.0]);
        let image = drawn(&layout(), &[dog], (310, 310));
        let at = |x, y| image.get_pixel(x, y).0;
        // The upper edge, the left edge and the lower right corner; its inside, and outside of it.
        for (x, y) in [(140, 160), (0, 250), (149, 309)] {
            assert_eq!(at(x, y), color(&dog), "{x}, {y}");
        }
        for (x, y) in [(75, 240), (75, 158), (151, 240)] {
            assert_eq!(at(x, y), [255; 3], "{x}, {y}");
        }
        let tree = object(0, [0.0, 0.0, 1.0, 1.0]);
        let both = drawn(&layout(), &[dog, tree], (310, 310));
        assert_eq!(both.get_pixel(309, 0).0, color(&tree));
        assert_ne!(color(&dog), color(&tree));
    }

    #[test]
    fn the_part_that_is_seen_has_a_frame() {
        let framed = LayoutCondition {
            encode_crop: true,
            ..layout()
        };
        let image = drawn(&framed, &[], (40, 30));
        assert_eq!(image.get_pixel(0, 29).0, FRAME);
        assert_eq!(image.get_pixel(20, 15).0, [255; 3]);
        let plain = drawn(&layout(), &[], (40, 30));
        assert!(plain.pixels().all(|pixel| pixel.0 == [255; 3]));
    }

    #[test]
    fn centres_are_discs() {
        let centers = LayoutCondition {
            places: Places::Centers,
            ..layout()
        };
        let dog = object(1, [0.0, 0.0, 1.0, 1.0]);
        let image = drawn(&centers, &[dog], (96, 64));
        assert_eq!(image.get_pixel(49, 33).0, color(&dog));
        assert_eq!(image.get_pixel(49, 50).0, [255; 3]);
    }

    #[test]
    fn names_are_written() {
        let mut canvas = Canvas::new(30, 20);
        canvas.label("IF", [2, 3], [0, 0, 200]);
        let row = |y: u32| -> String {
            let letters = (2..15).map(|x| match canvas.image.get_pixel(x, y).0 {
                [0, 0, 200] => '.',
                [255, 255, 255] => '#',
                _ => '?',
            });
            letters.collect()
        };
        assert_eq!(row(4), "..###..#####.");
        assert_eq!(row(5), "...#...#.....");
        assert_eq!(row(7), "...#...####..");
        assert_eq!(canvas.image.get_pixel(1, 4).0, [255; 3]);
        // In the corner there is no room, so that the name moves left and up.
        canvas.label("I", [29, 19], [250, 250, 0]);
        assert_eq!(canvas.image.get_pixel(29, 10).0, [250, 250, 0]);
        assert_eq!(canvas.image.get_pixel(25, 11).0, [0; 3]);
    }

    #[test]
    fn labels_say_what_is_said() {
        let mut dog = object(1, [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(label(&layout(), &dog), "dog");
        (dog.is_group_of, dog.is_inside) = (true, true);
        assert_eq!(label(&layout(), &dog), "dog (g,i)");
        let nameless = LayoutCondition {
            names: Vec::new(),
            ..layout()
        };
        dog.is_group_of = false;
        assert_eq!(label(&nameless, &dog), "1 (i)");
    }

    #[test]
    fn any_layout_can_be_drawn() {
        let long = LayoutCondition {
            names: vec!["a".repeat(10_000), "ü".into(), "\n".into()],
            ..layout()
        };
        let objects = [
            object(0, [0.99, 0.99, 0.01, 0.01]),
            object(1, [0.0, 0.0, 0.001, 0.001]),
            object(2, [0.5, 0.0, 0.5, 1.0]),
        ];
        for sides in [(1, 1), (2, 300), (1000, 3), (900, 900)] {
            assert_eq!(drawn(&long, &objects, sides).dimensions(), sides);
        }
        let tokens = long.tokens(&objects, View::WHOLE, None).unwrap();
        for sides in [(0, 5), (5, 0), (40_000, 1)] {
            assert!(picture_of_layout(&long, &tokens, sides).is_err());
        }
        let backwards = [0, 1022, 3, 1023, 0, 0, 1023, 0, 0, 1023, 0, 0];
        assert!(picture_of_layout(&long, &backwards, (50, 50)).is_ok());
    }
}
