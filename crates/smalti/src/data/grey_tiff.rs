//! The samples of TIFF files with one number per pixel. They are read apart from other pictures because there is no
//! picture of 32-bit numbers.

use std::io::Cursor;

use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult};

use super::decode::{MAX_SIDE, budget};
use super::tiff as file;

/// Width, height and the samples, one per pixel in reading order; or what is wrong with the file.
pub(super) fn read(bytes: &[u8]) -> std::result::Result<(u32, u32, DecodingResult), String> {
    file::check(bytes)?;
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions().map_err(|error| error.to_string())?;
    let color = decoder.colortype().map_err(|error| error.to_string())?;
    if !matches!(color, ColorType::Gray(8 | 16 | 32 | 64)) {
        return Err(format!(
            "its pixels are {color:?}; one grey number of 8, 16, 32 or 64 bits per pixel is read"
        ));
    }
    if width == 0 || height == 0 || width.max(height) > MAX_SIDE {
        return Err(format!("{width}×{height} pixels cannot be read"));
    }
    // Up to eight bytes a sample.
    if 8 * u64::from(width) * u64::from(height) > budget(bytes) {
        return Err(format!(
            "{width}×{height} pixels are more than a file of its size accounts for"
        ));
    }
    let samples = decoder.read_image().map_err(|error| error.to_string())?;
    Ok((width, height, samples))
}
