//! Reading label maps: files that hold the index of a class per pixel, as grey or as palette. The index itself is read;
//! the colours of a palette mean nothing.

use std::io::Cursor;
use std::path::Path;

use image::ImageFormat;
use png::{BitDepth, ColorType};
use tiff::decoder::DecodingResult;

use super::decode::{MAX_SIDE, budget, from_file};
use super::grey_tiff;
use super::raster::{LabelImage, UNLABELLED};
use crate::error::{Error, Result};

/// Reads a label map: a PNG of up to 16 bits, grey or with a palette, or a grey TIFF of 8 or 16 bits. Pixels of the
/// index `ignore` become [`UNLABELLED`], even if it is below `classes`.
///
/// # Errors
/// When the file cannot be opened, is no such file or damaged, or holds another index that is not below `classes`.
pub(super) fn read_labels(path: &Path, classes: usize, ignore: Option<u16>) -> Result<LabelImage> {
    let mut map = from_file(path, "label map", decode)?;
    let width = map.width() as usize;
    for (place, index) in map.iter_mut().enumerate() {
        if Some(*index) == ignore {
            *index = UNLABELLED;
        } else if usize::from(*index) >= classes {
            let (column, row) = (place % width, place / width);
            return Err(Error::file(
                path,
                format!(
                    "the label {index} in column {column}, row {row} is none of the model's {classes} classes (0 to \
                     {}); a training is told with `classes` how many there are, and with `ignore_value` which label is \
                     none",
                    classes - 1
                ),
            ));
        }
    }
    Ok(map)
}

fn decode(bytes: &[u8]) -> std::result::Result<LabelImage, String> {
    let format = image::guess_format(bytes).map_err(|error| error.to_string())?;
    let (width, height, indices) = match format {
        ImageFormat::Png => png_indices(bytes)?,
        ImageFormat::Tiff => tiff_indices(bytes)?,
        other => {
            return Err(format!(
                "{other:?} files hold colours; a label map is a PNG or a TIFF with one index per pixel"
            ));
        }
    };
    LabelImage::from_raw(width, height, indices).ok_or_else(|| "it has too few pixels".into())
}

/// Width, height and indices of a PNG as they are stored, in 1 to 16 bits.
fn png_indices(bytes: &[u8]) -> std::result::Result<(u32, u32, Vec<u16>), String> {
    let limits = png::Limits {
        bytes: budget(bytes) as usize,
    };
    let decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let (width, height) = reader.info().size();
    let (color, depth) = reader.output_color_type();
    if !matches!(color, ColorType::Grayscale | ColorType::Indexed) {
        return Err(format!(
            "its pixels are {color:?}; a label map has one index per pixel, as grey or palette"
        ));
    }
    let length = reader.output_buffer_size().unwrap_or(usize::MAX);
    if width.max(height) > MAX_SIDE || 2 * length as u64 > budget(bytes) {
        return Err(format!("{width}×{height} pixels are too many"));
    }
    let mut buffer = vec![0; length];
    let frame = reader
        .next_frame(&mut buffer)
        .map_err(|error| error.to_string())?;
    if (frame.width, frame.height) != (width, height) {
        return Err("its first frame is only a part of it".into());
    }
    let mut indices = Vec::with_capacity(width as usize * height as usize);
    for line in buffer.chunks_exact(frame.line_size) {
        unpack(line, depth, width as usize, &mut indices);
    }
    Ok((width, height, indices))
}

/// The samples of a line: big-endian, those of fewer than 8 bits packed from the highest bit on.
fn unpack(line: &[u8], depth: BitDepth, width: usize, indices: &mut Vec<u16>) {
    if depth == BitDepth::Sixteen {
        let pairs = line.chunks_exact(2);
        indices.extend(pairs.map(|pair| u16::from_be_bytes([pair[0], pair[1]])));
        return;
    }
    let bits = depth as usize;
    let mask = (1_u16 << bits) - 1;
    indices.extend((0..width).map(|column| {
        let first = column * bits;
        let byte = u16::from(line[first / 8]);
        (byte >> (8 - bits - first % 8)) & mask
    }));
}

fn tiff_indices(bytes: &[u8]) -> std::result::Result<(u32, u32, Vec<u16>), String> {
    let (width, height, samples) = grey_tiff::read(bytes)?;
    let indices = match samples {
        DecodingResult::U8(samples) => samples.into_iter().map(u16::from).collect(),
        DecodingResult::U16(samples) => samples,
        _ => return Err("its samples are not of 8 or 16 bits without a sign".into()),
    };
    Ok((width, height, indices))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage};

    use super::super::testing::place;
    use super::*;

    /// A PNG of these packed samples; a palette of greys goes backwards, so that its colours are not the indices.
    fn encoded(width: u32, height: u32, color: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            let entries = 1_usize << depth as usize;
            let palette: Vec<u8> = (0..entries)
                .flat_map(|entry| [255 - entry as u8; 3])
                .collect();
            encoder.set_palette(palette);
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(data).unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn indices(path: &Path, classes: usize) -> Vec<u16> {
        read_labels(path, classes, None).unwrap().into_raw()
    }

    #[test]
    fn a_palette_gives_its_indices() {
        let (_folder, path) = place("a.png");
        let cases: [(BitDepth, &[u8], [u16; 6]); 4] = [
            (
                BitDepth::One,
                &[0b1010_0000, 0b0110_0000],
                [1, 0, 1, 0, 1, 1],
            ),
            (
                BitDepth::Two,
                &[0b1101_1000, 0b0001_1000],
                [3, 1, 2, 0, 1, 2],
            ),
            (
                BitDepth::Four,
                &[0x5F, 0x20, 0x01, 0x70],
                [5, 15, 2, 0, 1, 7],
            ),
            (
                BitDepth::Eight,
                &[181, 0, 7, 150, 1, 2],
                [181, 0, 7, 150, 1, 2],
            ),
        ];
        for (depth, data, expected) in cases {
            for color in [ColorType::Indexed, ColorType::Grayscale] {
                fs::write(&path, encoded(3, 2, color, depth, data)).unwrap();
                assert_eq!(indices(&path, 182), expected, "{color:?} {depth:?}");
            }
        }
    }

    #[test]
    fn sixteen_bits_and_tiffs_are_read() {
        let (_folder, path) = place("a.png");
        let deep: ImageBuffer<Luma<u16>, Vec<u16>> =
            ImageBuffer::from_raw(2, 1, vec![258, 40_000]).unwrap();
        deep.save(&path).unwrap();
        assert_eq!(indices(&path, 50_000), [258, 40_000]);
        let tiff = path.with_extension("tif");
        deep.save(&tiff).unwrap();
        assert_eq!(indices(&tiff, 50_000), [258, 40_000]);
        let shallow = GrayImage::from_raw(2, 1, vec![150, 0]).unwrap();
        shallow.save(&tiff).unwrap();
        assert_eq!(indices(&tiff, 151), [150, 0]);
    }

    #[test]
    fn an_index_that_is_no_class_is_named() {
        let (_folder, path) = place("map.png");
        let map = GrayImage::from_raw(2, 2, vec![0, 150, 255, 3]).unwrap();
        map.save(&path).unwrap();
        let error = read_labels(&path, 151, None).unwrap_err().to_string();
        for part in ["map.png: ", "label 255", "column 0, row 1", "151 classes"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(read_labels(&path, 150, Some(255)).is_err());
        let read = read_labels(&path, 151, Some(255)).unwrap();
        assert_eq!(read.as_raw(), &[0, 150, UNLABELLED, 3]);
        let read = read_labels(&path, 256, Some(0)).unwrap();
        assert_eq!(read.as_raw(), &[UNLABELLED, 150, 255, 3]);
    }

    #[test]
    fn colours_are_no_labels() {
        let (_folder, path) = place("a.png");
        RgbImage::from_pixel(2, 2, Rgb([1; 3])).save(&path).unwrap();
        let error = read_labels(&path, 10, None).unwrap_err().to_string();
        assert!(
            error.contains("not a label map that can be read: its pixels are Rgb"),
            "{error}"
        );
        let jpeg = path.with_extension("jpg");
        GrayImage::new(8, 8).save(&jpeg).unwrap();
        let error = read_labels(&jpeg, 10, None).unwrap_err().to_string();
        assert!(error.contains("Jpeg files hold colours"), "{error}");
    }

    #[test]
    fn damaged_files_are_errors() {
        let (_folder, path) = place("a.png");
        let samples: Vec<u8> = (0..64 * 64)
            .map(|place| (place * place % 251) as u8)
            .collect();
        let whole = encoded(64, 64, ColorType::Grayscale, BitDepth::Eight, &samples);
        for length in [0, 8, 30, whole.len() / 2] {
            fs::write(&path, &whole[..length]).unwrap();
            let error = read_labels(&path, 256, None).unwrap_err().to_string();
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        let long = encoded(40_000, 1, ColorType::Grayscale, BitDepth::One, &[0; 5000]);
        fs::write(&path, &long).unwrap();
        let error = read_labels(&path, 2, None).unwrap_err().to_string();
        assert!(error.contains("40000×1 pixels are too many"), "{error}");
        fs::write(&path, b"II*\0\x08\0\0\0\xFF\xFF").unwrap();
        assert!(read_labels(&path, 2, None).is_err());
    }
}
