//! Lines with round ends and smooth borders.

use image::RgbImage;

/// What a line is drawn with.
pub(super) struct Pen {
    /// Half the width of a line, in pixels.
    pub(super) radius: f64,
    /// Red, green and blue from 0 to 255.
    pub(super) color: [f64; 3],
}

/// Draws a line between two places, in pixels from the middle of the upper left one; a disc if they are one. A pixel
/// takes the colour in so far as it is covered: the border runs over one pixel.
pub(super) fn line(canvas: &mut RgbImage, from: [f64; 2], to: [f64; 2], pen: &Pen) {
    let reach = pen.radius + 0.5;
    let columns = touched([from[0], to[0]], reach, canvas.width());
    let rows = touched([from[1], to[1]], reach, canvas.height());
    for y in rows {
        for x in columns.clone() {
            let away = distance([f64::from(x), f64::from(y)], from, to);
            let covered = (reach - away).clamp(0.0, 1.0);
            if covered > 0.0 {
                let parts = canvas.get_pixel_mut(x, y).0.iter_mut();
                for (part, color) in parts.zip(pen.color) {
                    let old = f64::from(*part);
                    *part = (old + (color - old) * covered).round() as u8;
                }
            }
        }
    }
}

/// The pixels of a line of them that can be nearer than `reach` to something between two places.
fn touched(ends: [f64; 2], reach: f64, length: u32) -> std::ops::Range<u32> {
    let first = ends[0].min(ends[1]) - reach;
    let last = ends[0].max(ends[1]) + reach;
    // Conversions stop at 0.
    first.floor() as u32..length.min((last.ceil() + 1.0) as u32)
}

/// How far a place is from the nearest one between two others.
fn distance([x, y]: [f64; 2], from: [f64; 2], to: [f64; 2]) -> f64 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let length = along[0] * along[0] + along[1] * along[1];
    let part = match length > 0.0 {
        true => ((x - from[0]) * along[0] + (y - from[1]) * along[1]) / length,
        false => 0.0,
    };
    let part = part.clamp(0.0, 1.0);
    (x - from[0] - part * along[0]).hypot(y - from[1] - part * along[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [f64; 3] = [200.0, 0.0, 0.0];

    fn reds(from: [f64; 2], to: [f64; 2], radius: f64) -> Vec<Vec<u8>> {
        let mut canvas = RgbImage::new(7, 5);
        let pen = Pen { radius, color: RED };
        line(&mut canvas, from, to, &pen);
        let rows = canvas.as_raw().chunks(7 * 3);
        rows.map(|row| row.iter().step_by(3).copied().collect())
            .collect()
    }

    #[test]
    fn a_line_of_one_pixel_covers_its_pixels() {
        let rows = reds([1.0, 2.0], [5.0, 2.0], 0.5);
        assert_eq!(rows[2], [0, 200, 200, 200, 200, 200, 0]);
        assert!([0, 1, 3, 4].iter().all(|&row| rows[row] == [0; 7]));
    }

    #[test]
    fn borders_are_mixed_by_what_is_covered() {
        // Between two rows, each is covered by half.
        let rows = reds([-9.0, 1.5], [99.0, 1.5], 0.5);
        assert_eq!(rows[1], [100; 7]);
        assert_eq!(rows[2], [100; 7]);
        assert_eq!(rows[3], [0; 7]);
        // A quarter more than the middle row.
        let rows = reds([3.0, -9.0], [3.0, 99.0], 0.75);
        assert_eq!(rows[4], [0, 0, 50, 200, 50, 0, 0]);
    }

    #[test]
    fn a_point_is_a_disc() {
        let rows = reds([3.0, 2.0], [3.0, 2.0], 1.5);
        // Corners are √2 away, of 2; what is 2 away is not touched.
        let corner = (200.0_f64 * (2.0 - 2.0_f64.sqrt())).round() as u8;
        assert_eq!(rows[1], [0, 0, corner, 200, corner, 0, 0]);
        assert_eq!(rows[2], [0, 0, 200, 200, 200, 0, 0]);
        assert_eq!(rows[0], [0; 7]);
    }

    #[test]
    fn what_is_outside_is_not_drawn() {
        for (from, to) in [
            ([-50.0, -50.0], [-20.0, -9.0]),
            ([1e6, 0.0], [1e6, 1e6]),
            ([0.0, 20.0], [7.0, 20.0]),
        ] {
            let rows = reds(from, to, 2.0);
            assert!(rows.iter().flatten().all(|&red| red == 0));
        }
    }
}
