//! What a tokenizer puts out, as a picture to look at: colours as they are, label maps in the colours of their classes,
//! depth in grey.

use image::RgbImage;

use super::drawn::color;
use super::kind::KindName;
use super::pixels::{to_byte, to_image};
use super::raster::UNLABELLED;

/// A picture of `values`, `[height, width, channels]`: of colours in [-1, 1]; of label maps with one channel per class,
/// where the largest value decides (logits or one-hot); or of depth in [-1, 1], where white is 1.
///
/// # Panics
/// When there are more or fewer values than three per pixel of a picture or one per pixel of depth, or not equally many
/// for each pixel of a label map.
pub fn picture_of(values: &[f32], height: usize, width: usize, kind: KindName) -> RgbImage {
    let pixels = height * width;
    let bytes: Vec<u8> = match kind {
        KindName::Pictures => return to_image(values, height, width),
        KindName::Labels => {
            assert_eq!(
                values.len() % pixels.max(1),
                0,
                "values of a {width}×{height} label map"
            );
            let labels = labels_of(values, values.len() / pixels.max(1));
            labels.into_iter().flat_map(label_color).collect()
        }
        KindName::Depth => values
            .iter()
            .flat_map(|&value| depth_color(value))
            .collect(),
    };
    RgbImage::from_raw(width as u32, height as u32, bytes)
        .filter(|image| image.as_raw().len() == pixels * 3)
        .expect("one value per pixel of depth")
}

/// The class with the largest of `classes` values, pixel by pixel; the first of equal ones.
pub fn labels_of(values: &[f32], classes: usize) -> Vec<u16> {
    let largest = |values: &[f32]| {
        let mut best = 0;
        for (class, value) in values.iter().enumerate() {
            if *value > values[best] {
                best = class;
            }
        }
        best as u16
    };
    values.chunks(classes.max(1)).map(largest).collect()
}

/// The colour of a class. Class 0, which often means "nothing", is nearly black, and pixels without a class are grey.
/// The hues of the others go round the circle in steps of the golden ratio, which puts neighbouring classes far apart.
pub fn label_color(label: u16) -> [u8; 3] {
    if label == UNLABELLED {
        return [128; 3];
    }
    if label == 0 {
        return [16; 3];
    }
    let place = f32::from(label);
    let hue = (place * 0.618_034).fract() * 6.0;
    let saturation = [0.85, 0.5, 0.7][usize::from(label / 3 % 3)];
    let value = [0.95, 0.7, 0.5][usize::from(label % 3)];
    color(hue, saturation, value).map(|part| (part * 255.0).round() as u8)
}

/// Grey from black, -1, to white, 1.
pub(super) fn depth_color(depth: f32) -> [u8; 3] {
    [to_byte(depth); 3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_decides() {
        let logits = [0.1, 0.3, -2.0, 5.0, 5.0, 4.0, -1.0, -3.0, -0.5];
        assert_eq!(labels_of(&logits, 3), [1, 0, 2]);
        assert_eq!(labels_of(&[f32::NAN, f32::NAN], 2), [0]);
        let image = picture_of(&logits, 1, 3, KindName::Labels);
        let colors: Vec<[u8; 3]> = image.pixels().map(|pixel| pixel.0).collect();
        assert_eq!(colors, [1, 0, 2].map(label_color));
    }

    #[test]
    fn colours_and_depth_are_drawn_as_they_are() {
        let image = picture_of(&[-1.0, 0.0, 1.0], 1, 1, KindName::Pictures);
        assert_eq!(image.get_pixel(0, 0).0, [0, 128, 255]);
        let image = picture_of(&[-1.0, 7.0], 2, 1, KindName::Depth);
        assert_eq!(image.as_raw(), &[0, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn classes_have_colours_of_their_own() {
        let mut colors: Vec<[u8; 3]> = (0..256).map(label_color).collect();
        colors.push(label_color(UNLABELLED));
        for (index, color) in colors.iter().enumerate() {
            assert!(!colors[..index].contains(color), "class {index}");
        }
        let apart = |left: u16, right: u16| {
            let pairs = label_color(left).into_iter().zip(label_color(right));
            pairs
                .map(|(left, right)| u32::from(left.abs_diff(right)))
                .sum::<u32>()
        };
        assert!((1..182).all(|label| apart(label, label - 1) > 60));
    }
}
