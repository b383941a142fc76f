//! The edges of the authors' `ImageNetEdges` (taming/data/imagenet.py): what `canny` of scikit-image finds in grey with
//! `sigma=2`. Unlike OpenCV's it blurs by a Gaussian of any width, and looks for maxima between pixels too. Numbers are
//! rounded to f32 where scikit-image and SciPy round them, so that ties are decided alike.

use image::{GrayImage, Rgb, RgbImage};

use super::hysteresis::{Mark, linked};

/// The width of the blur, in pixels, and where its kernel ends, in widths.
const SIGMA: f64 = 2.0;
const TRUNCATED: f64 = 4.0;

/// The gradients of pixels in [-1, 1] from which a pixel may lie and does lie on an edge.
const LOW: f32 = 0.1;
const HIGH: f32 = 0.2;

/// What red, green and blue weigh in grey.
const GREY: [f32; 3] = [0.2125, 0.7154, 0.0721];

/// White on black: the edges of a picture.
pub fn imagenet_edges(image: &RgbImage) -> GrayImage {
    let (width, height) = image.dimensions();
    let kernel = gaussian(SIGMA);
    let blurred = |plane: &Plane| {
        let down = plane.correlated(&kernel, Axis::Y, Border::Zero);
        down.correlated(&kernel, Axis::X, Border::Zero)
    };
    let grey = Plane::grey(image);
    // Outside of the picture everything is 0; divided by what is left of 1, the blur is the mean of what is inside.
    let mut smooth = blurred(&grey);
    let inside = blurred(&grey.filled(1.0));
    for (value, share) in smooth.values.iter_mut().zip(inside.values) {
        *value /= share + f32::EPSILON;
    }
    let marks = Gradients::of(&smooth).marks();
    linked(width, height, marks)
}

/// A Gaussian's values at whole numbers, with the sum 1.
fn gaussian(sigma: f64) -> Vec<f64> {
    let radius = (TRUNCATED * sigma + 0.5) as i32;
    let value = |place: i32| (-0.5 * f64::from(place * place) / (sigma * sigma)).exp();
    let values: Vec<f64> = (-radius..=radius).map(value).collect();
    let sum: f64 = values.iter().sum();
    values.into_iter().map(|value| value / sum).collect()
}

/// Along which axis lines are taken.
#[derive(Clone, Copy)]
enum Axis {
    X,
    Y,
}

/// What lies outside of the picture.
#[derive(Clone, Copy)]
enum Border {
    /// Zeros.
    Zero,
    /// Its last pixel.
    Repeat,
}

/// One number per pixel, in reading order.
struct Plane {
    columns: usize,
    rows: usize,
    values: Vec<f32>,
}

impl Plane {
    fn grey(image: &RgbImage) -> Self {
        let part = |byte: u8| (f64::from(byte) / 127.5 - 1.0) as f32;
        let grey = |pixel: &Rgb<u8>| {
            let [red, green, blue] = pixel.0.map(part);
            red * GREY[0] + green * GREY[1] + blue * GREY[2]
        };
        Self {
            columns: image.width() as usize,
            rows: image.height() as usize,
            values: image.pixels().map(grey).collect(),
        }
    }

    /// A plane of the same size with one value.
    fn filled(&self, value: f32) -> Self {
        Self {
            values: vec![value; self.values.len()],
            ..*self
        }
    }

    /// Every line along `axis` correlated with `weights`, of which there is an odd number; the middle one stands at the
    /// pixel.
    fn correlated(&self, weights: &[f64], axis: Axis, border: Border) -> Self {
        let (lines, length, next_line, next) = match axis {
            Axis::X => (self.rows, self.columns, self.columns, 1),
            Axis::Y => (self.columns, self.rows, 1, self.columns),
        };
        let radius = weights.len() / 2;
        let mut values = vec![0.0; self.values.len()];
        let mut line = vec![0.0; length + 2 * radius];
        for start in (0..lines).map(|number| number * next_line) {
            for (place, value) in line.iter_mut().enumerate() {
                let inside = place.clamp(radius, radius + length - 1);
                *value = match border {
                    Border::Zero if inside != place => 0.0,
                    Border::Zero | Border::Repeat => {
                        f64::from(self.values[start + (inside - radius) * next])
                    }
                };
            }
            for (place, window) in line.windows(weights.len()).enumerate() {
                values[start + place * next] = weighted(window, weights) as f32;
            }
        }
        Self { values, ..*self }
    }
}

/// The sum of products; the weights are the same forwards and backwards, but for the sign. Adds in SciPy's order.
fn weighted(window: &[f64], weights: &[f64]) -> f64 {
    let last = weights.len() - 1;
    let middle = weights.len() / 2;
    let mut sum = window[middle] * weights[middle];
    for (place, weight) in weights[..middle].iter().enumerate() {
        let (left, right) = (window[place], window[last - place]);
        let pair = match *weight == weights[last - place] {
            true => left + right,
            false => left - right,
        };
        sum += pair * weight;
    }
    sum
}

/// The gradient of every pixel.
struct Gradients {
    columns: usize,
    rows: usize,
    x: Vec<f32>,
    y: Vec<f32>,
    norm: Vec<f32>,
}

impl Gradients {
    /// Sobel's, not divided by the weights' sum.
    fn of(plane: &Plane) -> Self {
        let sobel = |along, across| {
            let change = plane.correlated(&[-1.0, 0.0, 1.0], along, Border::Repeat);
            change.correlated(&[1.0, 2.0, 1.0], across, Border::Repeat)
        };
        let (x, y) = (
            sobel(Axis::X, Axis::Y).values,
            sobel(Axis::Y, Axis::X).values,
        );
        let norm = x.iter().zip(&y).map(|(x, y)| (y * y + x * x).sqrt());
        Self {
            columns: plane.columns,
            rows: plane.rows,
            norm: norm.collect(),
            x,
            y,
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let mut marks = vec![Mark::Not; self.norm.len()];
        // The outermost pixels have no neighbours on one side.
        for row in 1..self.rows.saturating_sub(1) {
            for column in 1..self.columns.saturating_sub(1) {
                let place = row * self.columns + column;
                let norm = self.norm[place];
                if norm >= LOW && self.is_ridge(place) {
                    marks[place] = if norm >= HIGH {
                        Mark::Strong
                    } else {
                        Mark::Weak
                    };
                }
            }
        }
        marks
    }

    /// Whether the gradient of a pixel that is not at the border is as large as those one step before and behind it in
    /// its direction, each between a neighbour beside or above the pixel and one at a corner.
    fn is_ridge(&self, place: usize) -> bool {
        let (x, y) = (self.x[place], self.y[place]);
        let falling = (x > 0.0) == (y > 0.0);
        let steep = if falling {
            y.abs() > x.abs()
        } else {
            y.abs() >= x.abs()
        };
        let to_corner = match steep {
            true => x.abs() / y.abs(),
            false => y.abs() / x.abs(),
        };
        let below = self.columns as isize;
        let corner = if falling { below + 1 } else { 1 - below };
        let beside = match (steep, falling) {
            (false, _) => 1,
            (true, true) => below,
            (true, false) => -below,
        };
        let at = |offset: isize| self.norm[place.wrapping_add_signed(offset)];
        let between = |side: isize| {
            let corner = f64::from(at(side * corner) * to_corner);
            corner + f64::from(at(side * beside)) * (1.0 - f64::from(to_corner))
        };
        let norm = f64::from(self.norm[place]);
        between(1) <= norm && between(-1) <= norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_even_and_sums_to_one() {
        let kernel = gaussian(SIGMA);
        assert_eq!(kernel.len(), 17);
        assert!((kernel.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((0..8).all(|place| kernel[place] == kernel[16 - place]));
        assert!((kernel[8] / kernel[6] - 0.5_f64.exp()).abs() < 1e-12);
    }

    #[test]
    fn plain_pictures_have_no_edges_even_at_the_border() {
        for (width, height) in [(0, 0), (1, 1), (2, 9), (40, 3), (30, 30)] {
            let image = RgbImage::from_pixel(width, height, Rgb([250, 3, 99]));
            let edges = imagenet_edges(&image);
            assert_eq!(edges.dimensions(), (width, height));
            assert!(edges.as_raw().iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn a_soft_step_has_one_edge_in_its_middle() {
        let image = RgbImage::from_fn(31, 21, |x, _| Rgb([(10 * x.clamp(13, 17)) as u8; 3]));
        let edges = imagenet_edges(&image);
        for (x, y, pixel) in edges.enumerate_pixels() {
            let expected = x == 15 && (1..20).contains(&y);
            assert_eq!(pixel.0 == [255], expected, "{x}, {y}");
        }
    }
}
