//! What a TIFF file says of its values, checked before it is decoded: the decoder takes the memory that the count of a
//! tag, the width of a tile and the number of samples ask for, and a JPEG inside is one of any size (TIFF, revision
//! 6.0, sections 2, 8 and 15; JPEG: Adobe Photoshop TIFF technical notes, 2002).

use super::decode::{CUT_SHORT, MAX_SIDE};

/// The tags that are checked.
const COMPRESSION: u64 = 259;
const SAMPLES_PER_PIXEL: u64 = 277;
const TILE_WIDTH: u64 = 322;
/// Tags from here on are private. The decoder reads none of them unless it is asked to, and their values may be broken.
const PRIVATE: u64 = 32_768;

/// The one kind of compression that has sizes of its own.
const JPEG: u64 = 7;
/// Red, green, blue, black and alpha, and some that are left out.
const MAX_SAMPLES: u64 = 16;

/// Refuses a file whose values are not all in it, or ask for far more memory than its pixels.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let file = File {
        bytes,
        big_endian: bytes.starts_with(b"MM"),
    };
    for entry in file.entries().ok_or(CUT_SHORT)? {
        let (tag, value) = file.value(entry).ok_or(CUT_SHORT)?;
        match tag {
            COMPRESSION if value == JPEG => {
                return Err("it is a JPEG inside a TIFF: convert it to a plain JPEG or PNG".into());
            }
            SAMPLES_PER_PIXEL if value > MAX_SAMPLES => {
                return Err(format!("it has {value} samples a pixel"));
            }
            TILE_WIDTH if value > u64::from(MAX_SIDE) => {
                return Err(format!("its tiles are {value} pixels wide"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A file, and in which order the bytes of its numbers are. All positions are bytes from its beginning.
struct File<'b> {
    bytes: &'b [u8],
    big_endian: bool,
}

impl File<'_> {
    /// The positions of the entries of the first directory, which describes the picture that is read.
    fn entries(&self) -> Option<impl Iterator<Item = u64>> {
        let directory = self.number(4, 4)?;
        let count = self.number(directory, 2)?;
        Some((0..count).map(move |index| directory + 2 + 12 * index))
    }

    /// The tag of the entry at `position` and the first of its values, as an unsigned number; 0 where it has none.
    fn value(&self, position: u64) -> Option<(u64, u64)> {
        let tag = self.number(position, 2)?;
        let unit = unit(self.number(position + 2, 2)?);
        let length = unit * self.number(position + 4, 4)?;
        if length == 0 || tag >= PRIVATE {
            return Some((tag, 0));
        }
        // Values that fit into the entry are in it; others are where it says.
        let place = match length {
            1..=4 => position + 8,
            _ => self.number(position + 8, 4)?,
        };
        if place + length > self.bytes.len() as u64 {
            return None;
        }
        Some((tag, self.number(place, unit)?))
    }

    /// The unsigned number of up to eight bytes at `position`; `None` if it is not in the file.
    fn number(&self, position: u64, length: u64) -> Option<u64> {
        let start = usize::try_from(position).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        let bytes = self.bytes.get(start..end)?;
        let join = |number: u64, &byte: &u8| (number << 8) | u64::from(byte);
        Some(if self.big_endian {
            bytes.iter().fold(0, join)
        } else {
            bytes.iter().rev().fold(0, join)
        })
    }
}

/// Bytes of one value of a type; 0 for a type that there is not, whose entry means nothing.
fn unit(kind: u64) -> u64 {
    match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ImageFormat, RgbImage};

    use super::*;

    /// A little-endian file with one directory: tag, type, count and value or place of each entry.
    fn file(entries: &[(u16, u16, u32, u32)]) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        bytes.extend((entries.len() as u16).to_le_bytes());
        for &(tag, kind, count, value) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(count.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes
    }

    fn refused(entry: (u16, u16, u32, u32)) -> String {
        check(&file(&[entry])).unwrap_err()
    }

    #[test]
    fn ordinary_files_pass() {
        let mut bytes = Cursor::new(Vec::new());
        let image = RgbImage::new(7, 5);
        image.write_to(&mut bytes, ImageFormat::Tiff).unwrap();
        assert_eq!(check(bytes.get_ref()), Ok(()));
        let entries = [(259, 3, 1, 5), (277, 3, 1, 4), (322, 4, 1, 256)];
        assert_eq!(check(&file(&entries)), Ok(()));
        assert_eq!(check(&file(&[])), Ok(()));
        // A big-endian number of two bytes stands at the left of its four.
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x42\0\x03\0\0\0\x01\x01\0\0\0";
        assert_eq!(check(big), Ok(()));
    }

    #[test]
    fn values_must_be_in_the_file() {
        let strips = (273, 4, 100, 8);
        assert_eq!(refused(strips), CUT_SHORT);
        assert_eq!(refused((270, 2, u32::MAX, 8)), CUT_SHORT);
        assert_eq!(refused((258, 3, 3, u32::MAX)), CUT_SHORT);
        assert_eq!(
            check(&file(&[(37_500, 7, 100, 8), (273, 99, 100, 8)])),
            Ok(())
        );
        let whole = file(&[(259, 4, 1, 5)]);
        for length in 0..whole.len() {
            assert!(check(&whole[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn what_asks_for_too_much_is_refused() {
        assert!(refused((322, 4, 1, u32::MAX)).contains("4294967295 pixels wide"));
        assert!(refused((277, 3, 1, 65_535)).contains("65535 samples"));
        assert!(refused((259, 3, 1, 7)).contains("JPEG inside"));
        // The same number, of eight bytes, kept elsewhere: in the first entry.
        let long = check(&file(&[(0, 0, u32::MAX, 0), (322, 16, 1, 10)]));
        assert!(long.unwrap_err().contains("pixels wide"));
    }
}
