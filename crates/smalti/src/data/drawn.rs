//! Pictures that the program draws itself: one shape on a sky-like gradient. They need no download and are known to the
//! last pixel ([`Truth`]), which the demonstration and the tests live on.

mod truth;

pub use truth::{HUES, Truth, truth};

use image::{Rgb, RgbImage};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The shapes, which are also the classes.
pub const SHAPES: [&str; 5] = ["circle", "cross", "diamond", "square", "star"];

/// Rays per pixel side: edges are smoothed by averaging.
const OVERSAMPLING: u32 = 4;

/// Where a shape lies, and its colours.
struct Scene {
    shape: usize,
    /// From 0 to 6.
    hue: f32,
    sky_hue: f32,
    center: [f32; 2],
    radius: f32,
    turn: f32,
    color: [f32; 3],
    sky: [[f32; 3]; 2],
}

/// Draws the picture of number `index` and class `shape` (an index into [`SHAPES`]), `size` × `size` pixels. The same
/// arguments give the same picture.
pub fn draw(shape: usize, index: u64, size: u32) -> RgbImage {
    Scene::of(shape, index).picture(size)
}

impl Scene {
    fn of(shape: usize, index: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(index);
        random.set_stream(shape as u64);
        Self::random(shape % SHAPES.len(), &mut random)
    }

    fn random(shape: usize, random: &mut ChaCha8Rng) -> Self {
        let hue = random.random_range(0.0..6.0);
        let sky_hue = random.random_range(0.0..6.0);
        Self {
            shape,
            hue,
            sky_hue,
            center: [
                random.random_range(0.35..0.65),
                random.random_range(0.35..0.65),
            ],
            radius: random.random_range(0.2..0.33),
            turn: random.random_range(-0.4..0.4),
            color: color(hue, 0.85, 0.9),
            sky: [color(sky_hue, 0.25, 0.95), color(sky_hue, 0.55, 0.55)],
        }
    }

    fn picture(&self, size: u32) -> RgbImage {
        RgbImage::from_fn(size, size, |x, y| self.pixel(x, y, size))
    }

    fn pixel(&self, x: u32, y: u32, size: u32) -> Rgb<u8> {
        let mut sum = [0.0; 3];
        for ray in 0..OVERSAMPLING * OVERSAMPLING {
            let place = |pixel: u32, part: u32| {
                (pixel as f32 + (part as f32 + 0.5) / OVERSAMPLING as f32) / size as f32
            };
            let point = [place(x, ray % OVERSAMPLING), place(y, ray / OVERSAMPLING)];
            for (sum, value) in sum.iter_mut().zip(self.color_at(point)) {
                *sum += value / (OVERSAMPLING * OVERSAMPLING) as f32;
            }
        }
        Rgb(sum.map(|value| (255.0 * value).round().clamp(0.0, 255.0) as u8))
    }

    fn color_at(&self, [x, y]: [f32; 2]) -> [f32; 3] {
        let [dx, dy] = self.offset([x, y]);
        if self.holds([dx, dy]) {
            // Light from above.
            let shade = 1.0 - 0.25 * (dy + 1.0) / 2.0;
            return self.color.map(|value| value * shade);
        }
        std::array::from_fn(|channel| self.sky[0][channel] * (1.0 - y) + self.sky[1][channel] * y)
    }

    /// From the shape's middle to a point of the picture, in radii.
    fn offset(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [
            (x - self.center[0]) / self.radius,
            (y - self.center[1]) / self.radius,
        ]
    }

    /// Whether the shape covers what lies so far from its middle.
    fn holds(&self, [dx, dy]: [f32; 2]) -> bool {
        let (sin, cos) = self.turn.sin_cos();
        let (u, v) = (dx * cos + dy * sin, dy * cos - dx * sin);
        match SHAPES[self.shape] {
            "circle" => u.hypot(v) < 0.95,
            "cross" => (u.abs() < 0.3 && v.abs() < 0.95) || (v.abs() < 0.3 && u.abs() < 0.95),
            "diamond" => u.abs() + v.abs() < 1.1,
            "square" => u.abs().max(v.abs()) < 0.8,
            _ => {
                let angle = (5.0 * v.atan2(u)).cos();
                u.hypot(v) < 0.7 + 0.3 * angle
            }
        }
    }
}

/// Hue from 0 to 6, saturation and value to red, green, blue in [0, 1].
pub(crate) fn color(hue: f32, saturation: f32, value: f32) -> [f32; 3] {
    [5.0, 3.0, 1.0].map(|offset| {
        let place = (offset + hue) % 6.0;
        let dip = place.min(4.0 - place).clamp(0.0, 1.0);
        value - value * saturation * dip
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_is_repeatable_and_classes_differ() {
        assert_eq!(draw(0, 7, 16), draw(0, 7, 16));
        assert_ne!(draw(0, 7, 16), draw(1, 7, 16));
        assert_ne!(draw(0, 7, 16), draw(0, 8, 16));
    }

    #[test]
    fn colours_are_those_of_the_wheel() {
        assert_eq!(color(0.0, 1.0, 1.0), [1.0, 0.0, 0.0]);
        assert_eq!(color(2.0, 1.0, 1.0), [0.0, 1.0, 0.0]);
        assert_eq!(color(4.0, 1.0, 1.0), [0.0, 0.0, 1.0]);
    }
}
