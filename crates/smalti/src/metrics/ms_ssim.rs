//! Structural similarity at several scales: Wang, Simoncelli and Bovik, "Multi-scale Structural Similarity for Image
//! Quality Assessment" (2003), with the Gaussian window of [`ssim`](super::ssim()).
//!
//! Between scales pictures are halved by means of 2 × 2 pixels. Contrast and structure are compared at all scales,
//! means at the last alone; negative terms count as zero, as they have no power.

use super::ssim::{Planes, SsimWindow, check, mean_over_channels};
use crate::error::Result;

/// The paper's exponents, finest scale first.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// Halved four times it still holds the window of 11 pixels.
pub(super) const LEAST: usize = 161;

/// The MS-SSIM of two pictures `[height, width, channels]` in [-1, 1], channels averaged. 1 for equal ones.
///
/// # Errors
/// [`Error::Input`](crate::Error::Input) where the numbers of pixels do not fit the shape, a side is shorter than 161
/// pixels, or a pixel is not finite.
pub fn ms_ssim(left: &[f32], right: &[f32], shape: [usize; 3]) -> Result<f64> {
    check(left, right, shape, LEAST, "MS-SSIM")?;
    mean_over_channels(shape[2], |channel| {
        of_channel(Planes::new(left, right, shape, channel))
    })
}

fn of_channel(mut planes: Planes) -> f64 {
    let mut product = 1.0;
    for (scale, weight) in WEIGHTS.iter().enumerate() {
        let similarity = planes.similarity(SsimWindow::Gaussian);
        let last = scale + 1 == WEIGHTS.len();
        let term = if last {
            similarity.structure
        } else {
            planes = planes.halved();
            similarity.contrast
        };
        // Not `max`, which would make zero of what is no number.
        let term = if term < 0.0 { 0.0 } else { term };
        product *= term.powf(*weight);
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pictures_and_constant_ones() {
        let shape = [161, 170, 1];
        let wave: Vec<f32> = (0..161 * 170)
            .map(|place| (place as f32 * 0.37).sin())
            .collect();
        assert!((ms_ssim(&wave, &wave, shape).unwrap() - 1.0).abs() < 1e-12);
        // Only the means differ, and only the last scale compares them.
        let [dark, light] = [-0.5, 0.5].map(|level| vec![level; 161 * 170]);
        let means: f64 = (2.0 * 0.25 * 0.75 + 1e-4) / (0.0625 + 0.5625 + 1e-4);
        let found = ms_ssim(&dark, &light, shape).unwrap();
        assert!((found - means.powf(0.1333)).abs() < 1e-9);
        let negative: Vec<f32> = wave.iter().map(|value| -value).collect();
        assert_eq!(ms_ssim(&wave, &negative, shape).unwrap(), 0.0);
    }

    #[test]
    fn small_pictures_and_bad_pixels_are_refused() {
        let error = ms_ssim(&[0.0; 160 * 200], &[0.0; 160 * 200], [160, 200, 1]).unwrap_err();
        assert!(error.to_string().contains("161x161 pixels at least"));
        let mut bad = vec![0.0; 161 * 161];
        bad[80 * 161 + 80] = f32::NAN;
        assert!(ms_ssim(&bad, &bad, [161, 161, 1]).is_err());
    }
}
