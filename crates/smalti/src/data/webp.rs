//! What a WebP file says of its parts, checked before it is decoded: the decoder takes the memory that the length of
//! the metadata and the sides of a frame ask for, however short the file is and however small the picture the frame is
//! for (container: RFC 9649, section 2; frames: RFC 6386, section 9.1).

use super::decode::CUT_SHORT;

/// `RIFF`, the file's length, `WEBP`.
const HEADER: usize = 12;
/// What stands in an animation's frame before its own chunks: place, size, duration and flags.
const FRAME_HEADER: usize = 16;
/// The chunks that a decoder reads. Others may be anything, or what some program left behind the end.
const KNOWN: [&[u8; 4]; 9] = [
    b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ",
];

/// Refuses a file that ends within a chunk, or holds a frame of more than `budget` bytes as RGB.
pub(super) fn check(bytes: &[u8], budget: u64) -> Result<(), String> {
    for chunk in Chunks(bytes.get(HEADER..).unwrap_or_default()) {
        if chunk.is_cut && KNOWN.contains(&&chunk.name) {
            return Err(CUT_SHORT.into());
        }
        check_frame(&chunk, budget)?;
        if chunk.name == *b"ANMF" {
            let frame = chunk.contents.get(FRAME_HEADER..).unwrap_or_default();
            for part in Chunks(frame) {
                check_frame(&part, budget)?;
            }
        }
    }
    Ok(())
}

fn check_frame(chunk: &Chunk<'_>, budget: u64) -> Result<(), String> {
    match sides(chunk.contents).filter(|_| chunk.name == *b"VP8 ") {
        Some([width, height]) if 3 * width * height > budget => Err(format!(
            "it holds a frame of {width}×{height} pixels, more than it may unpack to"
        )),
        _ => Ok(()),
    }
}

/// Width and height of a lossy frame; of a lossless one the decoder compares them with the picture's before it begins.
fn sides(frame: &[u8]) -> Option<[u64; 2]> {
    let after_signature = frame.get(3..)?.strip_prefix(b"\x9D\x01\x2A")?;
    let (sides, _) = after_signature.split_first_chunk::<4>()?;
    // The two highest bits ask for scaling.
    let side = |low, high| u64::from(u16::from_le_bytes([low, high]) & 0x3FFF);
    Some([side(sides[0], sides[1]), side(sides[2], sides[3])])
}

struct Chunk<'b> {
    name: [u8; 4],
    contents: &'b [u8],
    /// Whether there is less of it than it says.
    is_cut: bool,
}

/// The chunks of a file one after the other.
struct Chunks<'b>(&'b [u8]);

impl<'b> Iterator for Chunks<'b> {
    type Item = Chunk<'b>;

    fn next(&mut self) -> Option<Chunk<'b>> {
        let (name, rest) = self.0.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        // A chunk of odd length is followed by one more byte.
        self.0 = rest.get(length.next_multiple_of(2)..).unwrap_or_default();
        Some(Chunk {
            name: *name,
            contents: rest.get(..length).unwrap_or(rest),
            is_cut: rest.len() < length,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ImageFormat, RgbImage};

    use super::*;

    const BUDGET: u64 = 1 << 20;

    fn chunk(name: &[u8; 4], length: u32, contents: &[u8]) -> Vec<u8> {
        [&name[..], &length.to_le_bytes()[..], contents].concat()
    }

    fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
        let chunks = chunks.concat();
        let length = (4 + chunks.len() as u32).to_le_bytes();
        [&b"RIFF"[..], &length[..], &b"WEBP"[..], &chunks[..]].concat()
    }

    fn lossy(side: u16) -> Vec<u8> {
        let [low, high] = side.to_le_bytes();
        let header = [0x10, 0, 0, 0x9D, 0x01, 0x2A, low, high, low, high];
        chunk(b"VP8 ", header.len() as u32, &header)
    }

    #[test]
    fn ordinary_files_pass() {
        let mut bytes = Cursor::new(Vec::new());
        let image = RgbImage::new(7, 5);
        image.write_to(&mut bytes, ImageFormat::WebP).unwrap();
        let bytes = bytes.into_inner();
        assert_eq!(check(&bytes, BUDGET), Ok(()));
        let with_rest = [&bytes[..], &b"something else"[..]].concat();
        assert_eq!(check(&with_rest, BUDGET), Ok(()));
        assert_eq!(check(&file(&[lossy(100)]), BUDGET), Ok(()));
        assert_eq!(check(b"RIFF", BUDGET), Ok(()));
    }

    #[test]
    fn metadata_must_be_there() {
        let extended = chunk(b"VP8X", 10, &[8, 0, 0, 0, 9, 0, 0, 9, 0, 0]);
        let odd = chunk(b"ICCP", 3, &[1, 2, 3, 0]);
        let whole = chunk(b"EXIF", 4, &[1, 2, 3, 4]);
        let endless = chunk(b"EXIF", u32::MAX, &[1, 2, 3, 4]);
        let unknown = chunk(b"note", u32::MAX, &[]);
        let check = |last| check(&file(&[extended.clone(), odd.clone(), last]), BUDGET);
        assert_eq!(check(whole), Ok(()));
        assert_eq!(check(unknown), Ok(()));
        assert_eq!(check(endless), Err(CUT_SHORT.to_string()));
    }

    #[test]
    fn frames_must_fit_the_budget() {
        let refused = |bytes: Vec<u8>| check(&bytes, BUDGET).unwrap_err();
        assert!(refused(file(&[lossy(16_383)])).contains("16383×16383"));
        let inner = [vec![0; FRAME_HEADER], lossy(4), lossy(16_383)].concat();
        let animated = chunk(b"ANMF", inner.len() as u32, &inner);
        assert!(refused(file(&[animated])).contains("16383×16383"));
        let mut inner = [vec![0; FRAME_HEADER], lossy(16_383)].concat();
        inner[FRAME_HEADER + 4] = 200;
        let cut = chunk(b"ANMF", inner.len() as u32, &inner);
        assert!(refused(file(&[cut])).contains("16383×16383"));
    }
}
