//! Structural similarity of two pictures: Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error
//! Visibility to Structural Similarity" (2004), with K₁ = 0.01 and K₂ = 0.03.
//!
//! SSIM compares means, so it depends on where black is: pixels are taken from [-1, 1] to [0, 1] first, where papers
//! compute it (on 8 bits, with a range of 255). Channels are measured one by one and averaged. Only positions at which
//! the whole window lies inside the picture count.

use crate::error::{Error, Result};
use rayon::prelude::*;

/// (K₁ · 1)² and (K₂ · 1)²: pixels have a range of 1.
const STABILITY: [f64; 2] = [1e-4, 9e-4];

/// What local means and variances are taken over. Figures of different windows cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SsimWindow {
    /// The paper's: 11 × 11, Gaussian with σ = 1.5. scikit-image's `gaussian_weights=True, sigma=1.5,
    /// use_sample_covariance=False`.
    #[default]
    Gaussian,
    /// 7 × 7, all alike, with sample covariances: scikit-image's default.
    Uniform,
}

impl SsimWindow {
    /// To be printed beside the figure.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "Gaussian 11x11, sigma 1.5",
            Self::Uniform => "uniform 7x7, sample covariance",
        }
    }

    /// The side of the smallest picture that it fits into, in pixels.
    pub fn side(self) -> usize {
        match self {
            Self::Gaussian => 11,
            Self::Uniform => 7,
        }
    }

    /// The weights along either axis; their sum is 1.
    fn weights(self) -> Vec<f64> {
        match self {
            Self::Gaussian => {
                let bell = |place: i32| (-f64::from(place * place) / (2.0 * 1.5 * 1.5)).exp();
                let sum: f64 = (-5..=5).map(bell).sum();
                (-5..=5).map(|place| bell(place) / sum).collect()
            }
            Self::Uniform => vec![1.0 / 7.0; 7],
        }
    }

    /// From a mean of squares to a variance.
    fn correction(self) -> f64 {
        match self {
            Self::Gaussian => 1.0,
            Self::Uniform => 49.0 / 48.0,
        }
    }
}

/// The mean SSIM of two pictures `[height, width, channels]` in [-1, 1]. 1 for equal ones.
///
/// # Errors
/// [`Error::Input`] where the numbers of pixels do not fit the shape, the picture is smaller than the window, or a
/// pixel is not finite.
pub fn ssim(left: &[f32], right: &[f32], shape: [usize; 3], window: SsimWindow) -> Result<f64> {
    let least = window.side();
    check(left, right, shape, least, "SSIM")?;
    mean_over_channels(shape[2], |channel| {
        Planes::new(left, right, shape, channel)
            .similarity(window)
            .structure
    })
}

/// The mean of what `measure` says of every channel.
pub(super) fn mean_over_channels(
    channels: usize,
    measure: impl Fn(usize) -> f64 + Sync + Send,
) -> Result<f64> {
    let measured: Vec<f64> = (0..channels).into_par_iter().map(measure).collect();
    let mean = measured.iter().sum::<f64>() / channels as f64;
    if !mean.is_finite() {
        return Err(Error::input(
            "a picture with pixels that are no finite numbers has no similarity to another",
        ));
    }
    Ok(mean)
}

/// Refuses what is not two pictures of this shape, or has a side below `least`.
pub(super) fn check(
    left: &[f32],
    right: &[f32],
    shape: [usize; 3],
    least: usize,
    name: &str,
) -> Result<()> {
    let [height, width, channels] = shape;
    let pixels = height
        .checked_mul(width)
        .and_then(|pixels| pixels.checked_mul(channels));
    if pixels != Some(left.len()) || pixels != Some(right.len()) || channels == 0 {
        return Err(Error::input(format!(
            "{} and {} numbers are not two pictures of {height}x{width} pixels with {channels} channels",
            left.len(),
            right.len()
        )));
    }
    if height.min(width) < least {
        return Err(Error::input(format!(
            "{name} takes pictures of {least}x{least} pixels at least, not of {height}x{width}"
        )));
    }
    Ok(())
}

/// One channel of two pictures, in [0, 1].
pub(super) struct Planes {
    height: usize,
    width: usize,
    left: Vec<f64>,
    right: Vec<f64>,
}

/// Means over all positions of a window.
pub(super) struct Similarity {
    /// The product of all three terms: SSIM.
    pub structure: f64,
    /// Of contrast and structure alone, without that of the means.
    pub contrast: f64,
}

impl Planes {
    /// Channel `channel` of two pictures that [`check`] let pass.
    pub fn new(left: &[f32], right: &[f32], shape: [usize; 3], channel: usize) -> Self {
        let [height, width, channels] = shape;
        let plane = |pixels: &[f32]| -> Vec<f64> {
            let values = pixels.iter().skip(channel).step_by(channels);
            values
                .map(|&value| (f64::from(value) + 1.0) / 2.0)
                .collect()
        };
        Self {
            height,
            width,
            left: plane(left),
            right: plane(right),
        }
    }

    /// Half as large in either direction: means of 2 × 2 pixels. An odd side's last row or column counts twice.
    pub fn halved(&self) -> Self {
        let (rows, columns) = (self.height.div_ceil(2), self.width.div_ceil(2));
        let plane = |values: &[f64]| -> Vec<f64> {
            let pixel = |place: usize| {
                let (row, column) = (place / columns * 2, place % columns * 2);
                let below = (row + 1).min(self.height - 1);
                let beside = (column + 1).min(self.width - 1);
                let line = |row: usize| {
                    values[row * self.width + column] + values[row * self.width + beside]
                };
                (line(row) + line(below)) / 4.0
            };
            (0..rows * columns).map(pixel).collect()
        };
        Self {
            height: rows,
            width: columns,
            left: plane(&self.left),
            right: plane(&self.right),
        }
    }

    pub fn similarity(&self, window: SsimWindow) -> Similarity {
        let (weights, correction) = (window.weights(), window.correction());
        let mean = |values: &[f64]| filtered(values, self.width, &weights);
        let mean_of_product = |one: &[f64], other: &[f64]| {
            let products: Vec<f64> = one.iter().zip(other).map(|(a, b)| a * b).collect();
            mean(&products)
        };
        let [left, right] = [mean(&self.left), mean(&self.right)];
        let left_squares = mean_of_product(&self.left, &self.left);
        let right_squares = mean_of_product(&self.right, &self.right);
        let products = mean_of_product(&self.left, &self.right);
        let means = left.iter().zip(&right);
        let squares = left_squares.iter().zip(&right_squares);
        let mut sums = [0.0; 2];
        for (((a, b), (a_squared, b_squared)), product) in means.zip(squares).zip(&products) {
            let variances = correction * (a_squared - a * a + b_squared - b * b);
            let covariance = correction * (product - a * b);
            let contrast = (2.0 * covariance + STABILITY[1]) / (variances + STABILITY[1]);
            let luminance = (2.0 * a * b + STABILITY[0]) / (a * a + b * b + STABILITY[0]);
            sums[0] += luminance * contrast;
            sums[1] += contrast;
        }
        let [structure, contrast] = sums.map(|sum| sum / left.len() as f64);
        Similarity {
            structure,
            contrast,
        }
    }
}

/// Weighted means over windows that lie inside the picture, of rows of `width` values.
fn filtered(values: &[f64], width: usize, weights: &[f64]) -> Vec<f64> {
    let columns = width - weights.len() + 1;
    let weighted = |window: &[f64]| -> f64 { window.iter().zip(weights).map(|(v, w)| v * w).sum() };
    let lines = values.chunks_exact(width);
    let across: Vec<f64> = lines
        .flat_map(|line| line.windows(weights.len()).map(weighted))
        .collect();
    let rows = values.len() / width - weights.len() + 1;
    let mut result = vec![0.0; rows * columns];
    for (row, target) in result.chunks_exact_mut(columns).enumerate() {
        for (line, weight) in across[row * columns..].chunks_exact(columns).zip(weights) {
            for (target, value) in target.iter_mut().zip(line) {
                *target += weight * value;
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels in [-1, 1] that repeat nowhere.
    fn picture(shape: [usize; 3], seed: f32) -> Vec<f32> {
        let count: usize = shape.iter().product();
        (0..count)
            .map(|place| (place as f32 * seed).sin())
            .collect()
    }

    #[test]
    fn equal_pictures_and_constant_ones() {
        let shape = [13, 17, 3];
        let one = picture(shape, 0.37);
        for window in [SsimWindow::Gaussian, SsimWindow::Uniform] {
            assert_eq!(window.side(), window.weights().len());
            assert!((ssim(&one, &one, shape, window).unwrap() - 1.0).abs() < 1e-12);
            // Grey levels 0.25 and 0.75: only the term of the means is not 1.
            let [dark, light] = [-0.5, 0.5].map(|level| vec![level; 13 * 17 * 3]);
            let expected = (2.0 * 0.25 * 0.75 + 1e-4) / (0.0625 + 0.5625 + 1e-4);
            let found = ssim(&dark, &light, shape, window).unwrap();
            assert!((found - expected).abs() < 1e-9);
        }
    }

    /// A picture of one window has one position: means and variances by hand.
    #[test]
    fn a_single_window() {
        let shape = [7, 7, 1];
        let (one, other) = (picture(shape, 0.9), picture(shape, 0.31));
        let unit = |values: &[f32]| -> Vec<f64> {
            values.iter().map(|&v| f64::from(v) / 2.0 + 0.5).collect()
        };
        let (one_unit, other_unit) = (unit(&one), unit(&other));
        let mean = |values: &[f64]| values.iter().sum::<f64>() / 49.0;
        let covariance = |a: &[f64], b: &[f64]| {
            let terms = a.iter().zip(b).map(|(x, y)| (x - mean(a)) * (y - mean(b)));
            terms.sum::<f64>() / 48.0
        };
        let (a, b) = (mean(&one_unit), mean(&other_unit));
        let both = 2.0 * covariance(&one_unit, &other_unit) + 9e-4;
        let each = covariance(&one_unit, &one_unit) + covariance(&other_unit, &other_unit) + 9e-4;
        let expected = (2.0 * a * b + 1e-4) / (a * a + b * b + 1e-4) * both / each;
        let found = ssim(&one, &other, shape, SsimWindow::Uniform).unwrap();
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    }

    #[test]
    fn halves_of_odd_pictures() {
        let values: Vec<f32> = (0..9).map(|place| place as f32 / 4.0 - 1.0).collect();
        let halved = Planes::new(&values, &values, [3, 3, 1], 0).halved();
        assert_eq!((halved.height, halved.width), (2, 2));
        assert_eq!(halved.left, [0.25, 0.4375, 0.8125, 1.0]);
        assert_eq!(halved.left, halved.right);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let one = vec![0.0; 12 * 12];
        let refuses = |right: &[f32], shape: [usize; 3], reason: &str| {
            let error = ssim(&one, right, shape, SsimWindow::Gaussian).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        };
        refuses(&one[1..], [12, 12, 1], "144 and 143 numbers");
        refuses(&one, [12, 12, 3], "3 channels");
        refuses(&one, [144, 1, 1], "11x11 pixels at least");
        refuses(&one, [usize::MAX, 2, 2], "not two pictures");
        refuses(&[f32::NAN; 144], [12, 12, 1], "finite");
    }
}
