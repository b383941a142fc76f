//! What is true of a drawn picture: what lies at every pixel and how far away it is, and the picture in words. It follows
//! from the scene and not from the pixels.

use super::{SHAPES, Scene};
use crate::data::Area;
use image::{GrayImage, ImageBuffer, Luma, RgbImage};

/// The names of the hues, evenly around the colour circle; a hue has the name of the nearest.
pub const HUES: [&str; 6] = ["red", "yellow", "green", "cyan", "blue", "magenta"];

/// Depth at the upper and at the lower edge of the picture, where there is sky.
const SKY: [f32; 2] = [60_000.0, 40_000.0];
/// Depth of the shape's middle, and how much farther away what lies a radius from it is.
const SHAPE: [f32; 2] = [10_000.0, 5_000.0];

/// A drawn picture and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    pub picture: RgbImage,
    /// What the middle of every pixel lies in: 0 is the sky, 1 + n shape number n.
    pub labels: GrayImage,
    /// How far away the middle of every pixel is, rounded. The sky is at `60000 − 20000 · y`, y being 0 at the upper edge
    /// of the picture and 1 at the lower; the shape is at `10000 + 5000 · d²` where d is the distance from its middle in
    /// radii.
    pub depth: ImageBuffer<Luma<u16>, Vec<u16>>,
    /// White where the label is another than that of the pixel to the right or below, otherwise black.
    pub edges: GrayImage,
    /// The smallest box of whole pixels around those that are labelled as the shape.
    pub area: Area,
    /// The hue of the shape, one of [`HUES`].
    pub hue: &'static str,
    /// `a star, red, on blue`: the shape, its hue, and that of the sky.
    pub caption: String,
}

/// What is true of the picture that [`draw`](super::draw) draws.
pub fn truth(shape: usize, index: u64, size: u32) -> Truth {
    let scene = Scene::of(shape, index);
    let labels = GrayImage::from_fn(size, size, |x, y| Luma([scene.label(middle(x, y, size))]));
    let hue = hue_name(scene.hue);
    Truth {
        picture: scene.picture(size),
        depth: ImageBuffer::from_fn(size, size, |x, y| Luma([scene.depth(middle(x, y, size))])),
        edges: edges_of(&labels),
        area: area_of(&labels),
        labels,
        hue,
        caption: format!(
            "a {}, {hue}, on {}",
            SHAPES[scene.shape],
            hue_name(scene.sky_hue)
        ),
    }
}

/// The middle of a pixel, in shares of the picture's sides.
fn middle(x: u32, y: u32, size: u32) -> [f32; 2] {
    [x, y].map(|place| (place as f32 + 0.5) / size as f32)
}

fn hue_name(hue: f32) -> &'static str {
    HUES[hue.round() as usize % HUES.len()]
}

impl Scene {
    fn label(&self, point: [f32; 2]) -> u8 {
        match self.holds(self.offset(point)) {
            true => 1 + self.shape as u8,
            false => 0,
        }
    }

    fn depth(&self, point: [f32; 2]) -> u16 {
        let [dx, dy] = self.offset(point);
        let depth = match self.holds([dx, dy]) {
            true => SHAPE[0] + SHAPE[1] * (dx * dx + dy * dy),
            false => SKY[0] + (SKY[1] - SKY[0]) * point[1],
        };
        depth.round() as u16
    }
}

fn edges_of(labels: &GrayImage) -> GrayImage {
    let (width, height) = labels.dimensions();
    GrayImage::from_fn(width, height, |x, y| {
        let own = labels.get_pixel(x, y);
        let differs = |x: u32, y: u32| x < width && y < height && labels.get_pixel(x, y) != own;
        Luma([255 * u8::from(differs(x + 1, y) || differs(x, y + 1))])
    })
}

/// The box around all pixels that are not sky; one without sides if there are none.
fn area_of(labels: &GrayImage) -> Area {
    let (width, height) = labels.dimensions();
    let (mut first, mut end) = ([width, height], [0, 0]);
    for (x, y, label) in labels.enumerate_pixels() {
        if label.0[0] > 0 {
            first = [first[0].min(x), first[1].min(y)];
            end = [end[0].max(x + 1), end[1].max(y + 1)];
        }
    }
    let share = |pixels: u32, of: u32| f64::from(pixels) / f64::from(of.max(1));
    Area {
        x: share(first[0].min(end[0]), width),
        y: share(first[1].min(end[1]), height),
        width: share(end[0].saturating_sub(first[0]), width),
        height: share(end[1].saturating_sub(first[1]), height),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::drawn::draw;

    const SIZE: u32 = 64;

    /// How far from grey a colour is, from 0 to 1.
    fn saturation([red, green, blue]: [u8; 3]) -> f32 {
        let largest = red.max(green).max(blue);
        let smallest = red.min(green).min(blue);
        f32::from(largest - smallest) / f32::from(largest.max(1))
    }

    /// The shape has a saturation of 0.85, the sky one of at most 0.55. Only pixels that an edge runs through may be
    /// between these or on the wrong side.
    #[test]
    fn labels_are_those_of_the_picture() {
        for shape in 0..SHAPES.len() {
            for index in 0..8 {
                let truth = truth(shape, index, SIZE);
                assert_eq!(truth.picture, draw(shape, index, SIZE));
                let (mut wrong, mut inside) = (0, 0);
                for (pixel, label) in truth.picture.pixels().zip(truth.labels.pixels()) {
                    assert!(label.0[0] == 0 || usize::from(label.0[0]) == 1 + shape);
                    inside += u32::from(label.0[0] > 0);
                    wrong += u32::from((saturation(pixel.0) > 0.7) != (label.0[0] > 0));
                }
                let edges = truth.edges.pixels().filter(|pixel| pixel.0[0] > 0).count();
                assert!(inside > 100, "{shape} {index}: {inside}");
                assert!(
                    (wrong as usize) < edges,
                    "{shape} {index}: {wrong}, {edges}"
                );
            }
        }
    }

    #[test]
    fn the_box_of_a_circle_is_where_it_is() {
        for index in 0..20 {
            let (scene, area) = (Scene::of(0, index), truth(0, index, SIZE).area);
            let reach = 0.95 * scene.radius;
            let axes = [(area.x, area.width), (area.y, area.height)];
            for ((first, length), center) in axes.into_iter().zip(scene.center) {
                for (found, expected) in [(first, center - reach), (first + length, center + reach)]
                {
                    let off = (found - f64::from(expected)).abs();
                    assert!(off < 1.0 / f64::from(SIZE), "{index}: {off}");
                }
            }
        }
    }

    #[test]
    fn depth_is_what_is_said_of_it() {
        for shape in 0..SHAPES.len() {
            let (scene, truth) = (Scene::of(shape, 3), truth(shape, 3, SIZE));
            for (x, y, depth) in truth.depth.enumerate_pixels() {
                let depth = f32::from(depth.0[0]);
                let [share_x, share_y] = [x, y].map(|place| (place as f32 + 0.5) / 64.0);
                let away = (share_x - scene.center[0]).hypot(share_y - scene.center[1]);
                let expected = match truth.labels.get_pixel(x, y).0[0] {
                    0 => 60_000.0 - 20_000.0 * share_y,
                    _ => 10_000.0 + 5_000.0 * (away / scene.radius).powi(2),
                };
                assert!((depth - expected).abs() < 1.0, "{depth} {expected}");
            }
        }
    }

    #[test]
    fn edges_and_boxes_of_known_labels() {
        let labels = GrayImage::from_raw(4, 3, vec![0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0]).unwrap();
        let edges = edges_of(&labels);
        let expected = [0, 255, 255, 0, 255, 255, 255, 0, 0, 0, 0, 0];
        assert_eq!(edges.as_raw(), &expected);
        let area = area_of(&labels);
        assert_eq!((area.x, area.width), (0.25, 0.5));
        assert_eq!((area.y, area.height), (1.0 / 3.0, 1.0 / 3.0));
        let nothing = area_of(&GrayImage::new(4, 3));
        assert_eq!((nothing.x, nothing.width), (0.0, 0.0));
    }

    #[test]
    fn words_are_those_of_the_colours() {
        let names = [0.0, 0.4, 0.6, 2.0, 4.2, 5.4, 5.6].map(hue_name);
        assert_eq!(
            names,
            ["red", "red", "yellow", "green", "blue", "magenta", "red"]
        );
        let (scene, truth) = (Scene::of(4, 5), truth(4, 5, 8));
        assert!(
            truth
                .caption
                .starts_with(&format!("a star, {}, on ", truth.hue))
        );
        assert!(truth.caption.ends_with(hue_name(scene.sky_hue)));
    }
}
