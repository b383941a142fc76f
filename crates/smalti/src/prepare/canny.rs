//! Canny's edges as OpenCV finds them, bit for bit (Canny, "A Computational Approach to Edge Detection", 1986; OpenCV's
//! `Canny` with an aperture of 3): Sobel gradients, maxima across an edge in one of four directions, two thresholds.

use image::{GrayImage, Rgb, RgbImage};

use super::hysteresis::{Mark, linked};
use crate::error::{Error, Result};

/// The settings of OpenCV's `Canny`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Canny {
    /// Above this gradient a pixel lies on an edge if the edge leads to one above `high`.
    pub low: f64,
    /// Above this gradient a pixel lies on an edge.
    pub high: f64,
    /// Blurs the picture first, as OpenCV's `GaussianBlur` does with a kernel of 5 and no sigma.
    pub blur: bool,
    /// Measures a gradient by its length, not by the sum of its two parts.
    pub euclidean: bool,
}

impl Default for Canny {
    /// The thresholds that most programs have, on the picture as it is.
    fn default() -> Self {
        Self {
            low: 100.0,
            high: 200.0,
            blur: false,
            euclidean: false,
        }
    }
}

/// The tangent of 22.5° in units of 2⁻¹⁵: gradients that are flatter are horizontal.
const TANGENT: i64 = 13_573;
const UNITS: u32 = 15;

/// The blur of five pixels, in sixteenths.
const BINOMIAL: [u32; 5] = [1, 4, 6, 4, 1];

impl Canny {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// When a threshold is no number, is negative, or the lower one is above the higher one.
    pub fn check(&self) -> Result<()> {
        let Self { low, high, .. } = *self;
        if low.is_finite() && high.is_finite() && 0.0 <= low && low <= high {
            return Ok(());
        }
        Err(Error::input(format!(
            "no edges can be found with the thresholds {low} and {high}: the first must be at least 0, and the \
             second at least the first"
        )))
    }

    /// White on black: the edges of a picture, whose gradient is that of the colour where it is largest.
    pub fn edges(&self, image: &RgbImage) -> GrayImage {
        let smooth = self.blur.then(|| blurred(image));
        let gradients = Gradients::of(smooth.as_ref().unwrap_or(image), self.euclidean);
        let [low, high] = [self.low, self.high].map(|threshold| self.whole(threshold));
        let marks = gradients.marks(low, high);
        linked(image.width(), image.height(), marks)
    }

    /// A threshold for the whole numbers that gradients are measured in.
    fn whole(&self, threshold: f64) -> i32 {
        let threshold = match self.euclidean {
            // Lengths are not taken the root of, and OpenCV keeps their squares in 32 bits.
            true => threshold.min(32_767.0).powi(2),
            false => threshold,
        };
        threshold.floor() as i32
    }
}

/// The gradient of every pixel, in reading order.
struct Gradients {
    columns: usize,
    rows: usize,
    x: Vec<i16>,
    y: Vec<i16>,
    /// How large it is.
    norm: Vec<i32>,
}

impl Gradients {
    fn of(image: &RgbImage, euclidean: bool) -> Self {
        let (columns, rows) = (image.width() as usize, image.height() as usize);
        let count = columns * rows;
        let mut gradients = Self {
            columns,
            rows,
            x: Vec::with_capacity(count),
            y: Vec::with_capacity(count),
            norm: Vec::with_capacity(count),
        };
        let line = |row: usize| &image.as_raw()[row * columns * 3..(row + 1) * columns * 3];
        for row in 0..rows {
            // Beyond its borders the picture goes on as it ends.
            let lines = [row.saturating_sub(1), row, (row + 1).min(rows - 1)].map(line);
            for column in 0..columns {
                gradients.push(lines, column, euclidean);
            }
        }
        gradients
    }

    /// Adds the gradient in the middle of three lines.
    fn push(&mut self, lines: [&[u8]; 3], column: usize, euclidean: bool) {
        let (left, right) = (column.saturating_sub(1), (column + 1).min(self.columns - 1));
        let mut largest = (-1, 0, 0);
        for channel in 0..3 {
            let at = |line: usize, column: usize| i32::from(lines[line][3 * column + channel]);
            let down = |column| at(0, column) + 2 * at(1, column) + at(2, column);
            let along = |line| at(line, left) + 2 * at(line, column) + at(line, right);
            let (x, y) = (down(right) - down(left), along(2) - along(0));
            let norm = match euclidean {
                true => x * x + y * y,
                false => x.abs() + y.abs(),
            };
            if norm > largest.0 {
                largest = (norm, x, y);
            }
        }
        // Four times a byte at most, to either side.
        let (norm, x, y) = largest;
        self.norm.push(norm);
        self.x.push(x as i16);
        self.y.push(y as i16);
    }

    fn marks(&self, low: i32, high: i32) -> Vec<Mark> {
        let mut marks = Vec::with_capacity(self.norm.len());
        for row in 0..self.rows {
            for column in 0..self.columns {
                let norm = self.norm[row * self.columns + column];
                marks.push(match norm > low && self.is_ridge(column, row) {
                    true if norm > high => Mark::Strong,
                    true => Mark::Weak,
                    false => Mark::Not,
                });
            }
        }
        marks
    }

    /// Whether a pixel's gradient is larger than those before and behind it in its direction.
    fn is_ridge(&self, column: usize, row: usize) -> bool {
        let place = row * self.columns + column;
        let norm = self.norm[place];
        let near = |x: isize, y: isize| self.norm_at(column, row, [x, y]);
        let (x, y) = (i64::from(self.x[place]), i64::from(self.y[place]));
        let (width, height) = (x.abs(), y.abs() << UNITS);
        let flat = width * TANGENT;
        // The tangent of 67.5° is that of 22.5° and 2.
        let steep = flat + (width << (UNITS + 1));
        if height < flat {
            norm > near(-1, 0) && norm >= near(1, 0)
        } else if height > steep {
            norm > near(0, -1) && norm >= near(0, 1)
        } else {
            let side = if (x < 0) == (y < 0) { 1 } else { -1 };
            norm > near(-side, -1) && norm > near(side, 1)
        }
    }

    /// The size of the gradient some pixels away; outside of the picture there is none.
    fn norm_at(&self, column: usize, row: usize, [x, y]: [isize; 2]) -> i32 {
        let place = column.checked_add_signed(x).zip(row.checked_add_signed(y));
        match place {
            Some((column, row)) if column < self.columns && row < self.rows => {
                self.norm[row * self.columns + column]
            }
            _ => 0,
        }
    }
}

/// The picture after a blur over five pixels in either direction, rounded once.
fn blurred(image: &RgbImage) -> RgbImage {
    let (columns, rows) = (image.width() as usize, image.height() as usize);
    let width = 3 * columns;
    let bytes = image.as_raw();
    let mut sums = vec![0_u16; bytes.len()];
    for row in 0..rows {
        let line = &mut sums[row * width..(row + 1) * width];
        for (offset, weight) in BINOMIAL.into_iter().enumerate() {
            let start = reflected(row + offset, rows) * width;
            for (sum, &byte) in line.iter_mut().zip(&bytes[start..start + width]) {
                *sum += weight as u16 * u16::from(byte);
            }
        }
    }
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let line = &sums[y as usize * width..];
        Rgb([0, 1, 2].map(|channel| {
            let part = |offset: usize| {
                let column = reflected(x as usize + offset, columns);
                BINOMIAL[offset] * u32::from(line[3 * column + channel])
            };
            (((0..5).map(part).sum::<u32>() + 128) >> 8) as u8
        }))
    })
}

/// The place `shifted` − 2 of a line that goes on backwards at its ends, which are not repeated.
fn reflected(shifted: usize, length: usize) -> usize {
    if length == 1 {
        return 0;
    }
    let period = 2 * (length - 1);
    let place = (shifted + 2 * period - 2) % period;
    place.min(period - place)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The edges of a grey picture, a line of text per row.
    fn drawn(canny: &Canny, rows: &[&[u8]]) -> Vec<String> {
        let (width, height) = (rows[0].len() as u32, rows.len() as u32);
        let image = RgbImage::from_fn(width, height, |x, y| Rgb([rows[y as usize][x as usize]; 3]));
        let edges = canny.edges(&image);
        let lines = edges.as_raw().chunks(rows[0].len());
        let mark = |byte: &u8| if *byte == 255 { '#' } else { '.' };
        lines.map(|line| line.iter().map(mark).collect()).collect()
    }

    #[test]
    fn a_step_has_one_edge_on_its_near_side() {
        // Both pixels at the step have the gradient 4 · 100; the first of them is the maximum.
        let line: &[u8] = &[0, 0, 0, 100, 100, 100];
        let canny = Canny::default();
        assert_eq!(drawn(&canny, &[line; 4]), ["..#..."; 4]);
        let rows: [&[u8]; 6] = [&[9; 4], &[9; 4], &[9; 4], &[99; 4], &[99; 4], &[99; 4]];
        let across = ["....", "....", "####", "....", "....", "...."];
        assert_eq!(drawn(&canny, &rows), across);
    }

    #[test]
    fn thresholds_are_exceeded_and_not_met() {
        let line: &[u8] = &[0, 0, 50, 50];
        let thresholds = |low, high| Canny {
            low,
            high,
            ..Canny::default()
        };
        let lines = |canny| drawn(&canny, &[line; 3]);
        assert_eq!(lines(thresholds(0.0, 199.9)), [".#.."; 3]);
        assert_eq!(lines(thresholds(0.0, 200.0)), ["...."; 3]);
        assert_eq!(lines(thresholds(200.0, 200.0)), ["...."; 3]);
        let long = |low, high| Canny {
            euclidean: true,
            ..thresholds(low, high)
        };
        assert_eq!(lines(long(0.0, 199.9)), [".#.."; 3]);
        assert_eq!(lines(long(0.0, 200.0)), ["...."; 3]);
    }

    #[test]
    fn diagonal_edges_run_along_the_diagonal() {
        // On the diagonal of 50s the parts of the gradient are 300 each, beside it 200 each.
        let rows: [&[u8]; 5] = [
            &[0, 0, 0, 0, 50],
            &[0, 0, 0, 50, 100],
            &[0, 0, 50, 100, 100],
            &[0, 50, 100, 100, 100],
            &[50, 100, 100, 100, 100],
        ];
        let expected = ["....#", "...#.", "..#..", ".#...", "#...."];
        assert_eq!(drawn(&Canny::default(), &rows), expected);
        let mirrored = rows.map(|row| row.iter().rev().copied().collect::<Vec<u8>>());
        let mirrored = mirrored.each_ref().map(Vec::as_slice);
        let expected = ["#....", ".#...", "..#..", "...#.", "....#"];
        assert_eq!(drawn(&Canny::default(), &mirrored), expected);
    }

    #[test]
    fn the_colour_that_changes_most_decides() {
        let picture = RgbImage::from_fn(6, 3, |x, _| {
            Rgb([100 + u8::from(x > 0) * 20, 0, u8::from(x > 3) * 90])
        });
        let edges = Canny::default().edges(&picture);
        let white: Vec<u32> = (0..6)
            .filter(|&x| edges.get_pixel(x, 1).0 == [255])
            .collect();
        assert_eq!(white, [3]);
    }

    #[test]
    fn the_blur_keeps_plain_pictures_and_spreads_points() {
        let plain = RgbImage::from_pixel(3, 1, Rgb([7, 200, 255]));
        assert_eq!(blurred(&plain), plain);
        let mut point = RgbImage::new(5, 5);
        point.put_pixel(2, 2, Rgb([255, 128, 0]));
        let spread = blurred(&point);
        // 36 and 24 of 256 parts.
        assert_eq!(spread.get_pixel(2, 2).0, [36, 18, 0]);
        assert_eq!(spread.get_pixel(2, 1).0, [24, 12, 0]);
        // At the border the reflection of the row before it counts twice: 4 + 4 in place of 4, of sixteen.
        let mut edge = RgbImage::new(5, 5);
        edge.put_pixel(2, 1, Rgb([255, 0, 0]));
        assert_eq!(blurred(&edge).get_pixel(2, 0).0, [48, 0, 0]);
    }

    #[test]
    fn reflections_leave_the_ends_out() {
        let places: Vec<usize> = (0..7).map(|shifted| reflected(shifted, 3)).collect();
        assert_eq!(places, [2, 1, 0, 1, 2, 1, 0]);
        let places: Vec<usize> = (0..6).map(|shifted| reflected(shifted, 2)).collect();
        assert_eq!(places, [0, 1, 0, 1, 0, 1]);
        assert_eq!(reflected(4, 1), 0);
    }

    #[test]
    fn settings_are_checked() {
        let check = |low, high| {
            let canny = Canny {
                low,
                high,
                ..Canny::default()
            };
            canny.check()
        };
        assert!(check(0.0, 0.0).is_ok());
        for (low, high) in [
            (2.0, 1.0),
            (-1.0, 1.0),
            (f64::NAN, 1.0),
            (1.0, f64::INFINITY),
        ] {
            assert!(
                check(low, high)
                    .unwrap_err()
                    .to_string()
                    .contains("thresholds")
            );
        }
    }

    #[test]
    fn tiny_pictures_have_no_edges() {
        for (width, height) in [(0, 0), (1, 1), (1, 3), (4, 1)] {
            let canny = Canny {
                blur: true,
                ..Canny::default()
            };
            let edges = canny.edges(&RgbImage::new(width, height));
            assert_eq!(edges.dimensions(), (width, height));
            assert!(edges.as_raw().iter().all(|&byte| byte == 0));
        }
    }
}
