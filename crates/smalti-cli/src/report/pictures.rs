//! Pictures as text, to be part of a page: PNG in base64 (RFC 4648, section 4).

use image::imageops::{FilterType, resize};
use image::{ImageFormat, RgbImage};
use smalti::{Error, Result};
use std::io::Cursor;

/// The longest side of one picture on a page.
const LONGEST: u32 = 256;

const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A `data:` URI.
pub fn data_uri(picture: &RgbImage) -> Result<String> {
    let mut png = Cursor::new(Vec::new());
    picture
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|error| Error::failed(format!("a picture of the report: {error}")))?;
    Ok(format!(
        "data:image/png;base64,{}",
        base64(&png.into_inner())
    ))
}

/// A picture as it is shown on a page: no longer than 256 pixels.
pub fn shown(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    if longest <= LONGEST {
        return picture.clone();
    }
    let side =
        |side: u32| (u64::from(side) * u64::from(LONGEST) / u64::from(longest)).max(1) as u32;
    resize(picture, side(width), side(height), FilterType::Triangle)
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for sign in 0..4 {
            // So many signs hold something; the others fill up.
            if sign <= three.len() {
                let six = (bits >> (18 - 6 * sign)) & 63;
                text.push(char::from(SIGNS[six as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of RFC 4648, section 10.
    #[test]
    fn as_the_standard_has_it() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn large_pictures_are_shown_smaller() {
        assert_eq!(shown(&RgbImage::new(512, 3)).dimensions(), (256, 1));
        assert_eq!(shown(&RgbImage::new(16, 20)).dimensions(), (16, 20));
    }
}
