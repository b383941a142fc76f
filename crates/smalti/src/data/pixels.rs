//! Pixels as numbers and back: bytes 0 to 255 are the floats -1 to 1 of the networks, rows from the top, the three
//! channels of a pixel side by side. And sheets of pictures for looking at.

use image::{Rgb, RgbImage, imageops};

/// The width of the lines between the pictures of [`pairs_grid`], in pixels; a good choice for [`grid`] too.
pub const GRID_PADDING: u32 = 2;
/// The colour between and around the pictures of a sheet.
pub const GRID_BACKGROUND: [u8; 3] = [240; 3];

/// One byte as a float: 0 becomes -1 and 255 becomes 1.
pub(super) fn to_float(byte: u8) -> f32 {
    f32::from(byte) / 127.5 - 1.0
}

/// The nearest byte. The published code cuts the fraction off instead, which darkens by half a level on average.
/// What is outside of -1 to 1 is clamped, and NaN becomes 0.
pub(super) fn to_byte(value: f32) -> u8 {
    ((value.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8
}

/// Bytes as floats in [-1, 1]: `x / 127.5 - 1`.
pub fn bytes_to_floats(bytes: &[u8]) -> Vec<f32> {
    bytes.iter().map(|&byte| to_float(byte)).collect()
}

/// Floats as bytes: clamped to [-1, 1], then `(x + 1) · 127.5` rounded to the nearest. Every byte survives the way through
/// [`bytes_to_floats`] and back.
pub fn floats_to_bytes(pixels: &[f32]) -> Vec<u8> {
    pixels.iter().map(|&value| to_byte(value)).collect()
}

/// A picture from floats in [-1, 1], `[height, width, 3]`, converted as [`floats_to_bytes`] does.
///
/// # Panics
/// When `pixels` does not hold `height · width · 3` values.
pub fn to_image(pixels: &[f32], height: usize, width: usize) -> RgbImage {
    assert_eq!(
        pixels.len(),
        height * width * 3,
        "values of a {width}×{height} picture"
    );
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let start = (y as usize * width + x as usize) * 3;
        Rgb([0, 1, 2].map(|channel| to_byte(pixels[start + channel])))
    })
}

/// One sheet of pictures in rows of `columns` (at least 1; fewer if there are fewer pictures), `padding` pixels between
/// and around them. Cells are as large as the largest picture.
pub fn grid(images: &[RgbImage], columns: usize, padding: u32) -> RgbImage {
    let cells: Vec<Option<&RgbImage>> = images.iter().map(Some).collect();
    arrange(&cells, columns.clamp(1, images.len().max(1)), padding)
}

/// One sheet of pictures to compare, such as inputs and reconstructions: each row of `top` pictures stands over the row
/// of its `bottom` pictures. `columns` as for [`grid`]. Of unequal lists the longer one's rest is left out.
pub fn pairs_grid(top: &[RgbImage], bottom: &[RgbImage], columns: usize) -> RgbImage {
    stacked_grid(&[top, bottom], columns)
}

/// [`pairs_grid`] of any number of lists, whose rows stand below each other.
pub fn stacked_grid(lists: &[&[RgbImage]], columns: usize) -> RgbImage {
    let count = lists.iter().map(|list| list.len()).min().unwrap_or(0);
    let columns = columns.clamp(1, count.max(1));
    let mut cells = Vec::new();
    for start in (0..count).step_by(columns) {
        for list in lists {
            let row = &list[start..(start + columns).min(count)];
            cells.extend(row.iter().map(Some));
            // The last row may be shorter, and the row under it must still start on the left.
            cells.resize(cells.len() + columns - row.len(), None);
        }
    }
    arrange(&cells, columns, GRID_PADDING)
}

/// Puts pictures into cells, row by row; `None` leaves a cell empty.
fn arrange(cells: &[Option<&RgbImage>], columns: usize, padding: u32) -> RgbImage {
    let widths = cells.iter().flatten().map(|image| image.width());
    let heights = cells.iter().flatten().map(|image| image.height());
    let width = widths.max().unwrap_or(0);
    let height = heights.max().unwrap_or(0);
    // Where the cell behind `count` others begins, which is also how much `count` cells take with their lines.
    let span = |count: usize, length: u32| count as u32 * (length + padding) + padding;
    let rows = cells.len().div_ceil(columns);
    let mut sheet = RgbImage::from_pixel(
        span(columns, width),
        span(rows, height),
        Rgb(GRID_BACKGROUND),
    );
    for (index, cell) in cells.iter().enumerate() {
        if let Some(image) = cell {
            let x = span(index % columns, width);
            let y = span(index / columns, height);
            imageops::replace(&mut sheet, *image, i64::from(x), i64::from(y));
        }
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(level: u8) -> RgbImage {
        RgbImage::from_pixel(4, 3, Rgb([level; 3]))
    }

    #[test]
    fn bytes_survive_the_way_to_floats_and_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        let floats = bytes_to_floats(&bytes);
        assert_eq!((floats[0], floats[255]), (-1.0, 1.0));
        assert_eq!(floats_to_bytes(&floats), bytes);
    }

    #[test]
    fn floats_are_clamped_and_rounded() {
        let floats = [-9.0, 9.0, f32::NAN, f32::INFINITY, 0.0, 0.499 / 127.5 - 1.0];
        assert_eq!(floats_to_bytes(&floats), [0, 255, 0, 255, 128, 0]);
    }

    #[test]
    fn floats_become_a_picture() {
        let image = to_image(&bytes_to_floats(&[1, 2, 3, 4, 5, 6]), 1, 2);
        assert_eq!(image.dimensions(), (2, 1));
        assert_eq!(image.as_raw(), &[1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_sheet_has_rows_and_lines() {
        let images = [plain(1), plain(2), plain(3)];
        let sheet = grid(&images, 2, 1);
        assert_eq!(sheet.dimensions(), (2 * 5 + 1, 2 * 4 + 1));
        assert_eq!(sheet.get_pixel(0, 0).0, GRID_BACKGROUND);
        assert_eq!(sheet.get_pixel(1, 1).0, [1; 3]);
        assert_eq!(sheet.get_pixel(6, 1).0, [2; 3]);
        assert_eq!(sheet.get_pixel(1, 5).0, [3; 3]);
        assert_eq!(sheet.get_pixel(6, 5).0, GRID_BACKGROUND);
        assert_eq!(grid(&images, 100, 0).dimensions(), (12, 3));
        assert_eq!(grid(&images, 0, 0).dimensions(), (4, 9));
        assert_eq!(grid(&[], 4, 2).dimensions(), (4, 2));
    }

    #[test]
    fn pairs_stand_over_each_other() {
        let top = [plain(1), plain(2), plain(3), plain(4)];
        let bottom = [plain(11), plain(12), plain(13)];
        let sheet = pairs_grid(&top, &bottom, 2);
        let cell = |column: u32, row: u32| sheet.get_pixel(2 + column * 6, 2 + row * 5).0[0];
        let rows: Vec<[u8; 2]> = (0..4).map(|row| [cell(0, row), cell(1, row)]).collect();
        let empty = GRID_BACKGROUND[0];
        assert_eq!(rows, [[1, 2], [11, 12], [3, empty], [13, empty]]);
        assert_eq!(sheet.height(), 4 * 5 + 2);
    }
}
