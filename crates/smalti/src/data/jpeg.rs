//! Whether a JPEG file reaches its end. The decoder fills what is missing of a cut-off file with grey and says nothing,
//! which would teach a network to paint grey; so the file's markers are followed to the last one before decoding.

const END_OF_IMAGE: u8 = 0xD9;
/// Markers that carry no segment: TEM, the restarts RST0 to RST7, and the start of the image.
const TEMPORARY: u8 = 0x01;
const FIRST_RESTART: u8 = 0xD0;
const START_OF_IMAGE: u8 = 0xD8;

/// Whether the end marker of the outermost picture is present (one inside an embedded preview does not count).
/// `bytes` is a file that begins with the start marker.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    let mut position = 0;
    while let Some((marker, after)) = next_marker(bytes, position) {
        position = match marker {
            END_OF_IMAGE => return true,
            TEMPORARY | FIRST_RESTART..=START_OF_IMAGE => after,
            _ => match segment_length(bytes, after) {
                Some(length) => after + length,
                None => return false,
            },
        };
    }
    false
}

/// The first marker at or behind `position`, and the position behind it. 0xFF followed by 0x00 is compressed data, and
/// any number of 0xFF may stand before a marker.
fn next_marker(bytes: &[u8], mut position: usize) -> Option<(u8, usize)> {
    loop {
        let found = bytes
            .get(position..)?
            .iter()
            .position(|&byte| byte == 0xFF)?;
        position += found + 1;
        match *bytes.get(position)? {
            0x00 => position += 1,
            0xFF => {}
            marker => return Some((marker, position + 1)),
        }
    }
}

/// The length of the segment at `position`, its two length bytes included.
fn segment_length(bytes: &[u8], position: usize) -> Option<usize> {
    let length = bytes.get(position..position + 2)?;
    Some(usize::from(u16::from_be_bytes([length[0], length[1]])))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ImageFormat, Rgb, RgbImage};

    use super::*;

    fn encoded() -> Vec<u8> {
        let image = RgbImage::from_fn(40, 40, |x, y| Rgb([(x * y) as u8, (x * 7) as u8, y as u8]));
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_whole_file_is_complete_and_no_beginning_of_it_is() {
        let bytes = encoded();
        assert!(is_complete(&bytes));
        for length in 0..bytes.len() {
            assert!(!is_complete(&bytes[..length]), "{length} bytes");
        }
    }

    #[test]
    fn an_embedded_preview_does_not_count() {
        let bytes = encoded();
        let preview: [u8; 4] = [0xFF, 0xD8, 0xFF, 0xD9];
        let mut with_preview = bytes[..2].to_vec();
        with_preview.extend_from_slice(&[0xFF, 0xE1, 0, 2 + preview.len() as u8]);
        with_preview.extend_from_slice(&preview);
        with_preview.extend_from_slice(&bytes[2..]);
        assert!(is_complete(&with_preview));
        assert!(!is_complete(&with_preview[..with_preview.len() - 2]));
    }

    #[test]
    fn nonsense_ends_the_search() {
        assert!(!is_complete(&[]));
        assert!(!is_complete(&[0xFF; 100]));
        assert!(!is_complete(&[0xFF, 0xD8, 0xFF, 0xE0, 0xFF, 0xFF, 0xFF]));
        assert!(!is_complete(&[0xFF, 0xD8, 0xFF, 0xE0, 0, 0, 0, 0]));
    }
}
