//! Depth maps looked at, and written down in another form. Trainings read all of them, and bring every map to its own
//! range (`BaseWithDepth` of taming/data/imagenet.py); other programs do not.

use std::io::Cursor;
use std::path::Path;

use image::{ImageBuffer, Luma, RgbaImage};
use tiff::encoder::{TiffEncoder, colortype};

use super::png;
use crate::data::{DepthForm, DepthImage, is_plausible_depth, read_raw_depth};
use crate::error::{Error, Result};

/// A way to write down the depth of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepthFile {
    /// A PNG of 16-bit grey. Whole numbers from 0 to 65535 stay as they are; others are stretched from the map's own
    /// smallest to its largest.
    Grey,
    /// A PNG with alpha whose four bytes are those of a little-endian f32 (the authors' D-RIN files).
    Packed,
    /// A TIFF of f32.
    Tiff,
}

impl DepthFile {
    /// The ending of such files, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Grey | Self::Packed => "png",
            Self::Tiff => "tif",
        }
    }
}

/// What a depth map holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DepthRange {
    pub width: u32,
    pub height: u32,
    pub smallest: f32,
    pub largest: f32,
}

impl DepthRange {
    fn of(map: &DepthImage) -> Self {
        Self {
            width: map.width(),
            height: map.height(),
            smallest: map.iter().copied().fold(f32::INFINITY, f32::min),
            largest: map.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        }
    }

    /// Whether all pixels are equally deep: such a map tells a network nothing.
    pub fn is_flat(&self) -> bool {
        self.smallest == self.largest
    }
}

/// Reads a depth map through, as a training would.
///
/// # Errors
/// When the file cannot be opened, is damaged or of another form, or holds a value that is no finite number.
pub fn inspect(path: &Path, form: DepthForm) -> Result<DepthRange> {
    Ok(DepthRange::of(&read_raw_depth(path, form)?))
}

/// The contents of a file in another form with the depth of `path`.
///
/// # Errors
/// As for [`inspect`], and when floats packed into colours could not be told from colours.
pub fn convert(path: &Path, form: DepthForm, to: DepthFile) -> Result<Vec<u8>> {
    let map = read_raw_depth(path, form)?;
    match to {
        DepthFile::Grey => png(grey(&map)),
        DepthFile::Packed if !is_plausible_depth(map.as_raw()) => {
            let message = "its largest value is too small or too large to be packed into four bytes; write a TIFF";
            Err(Error::file(path, message))
        }
        DepthFile::Packed => png(packed(&map)),
        DepthFile::Tiff => float_tiff(&map)
            .map_err(|error| Error::file(path, format!("no TIFF can be made of it: {error}"))),
    }
}

fn grey(map: &DepthImage) -> ImageBuffer<Luma<u16>, Vec<u16>> {
    let limit = f32::from(u16::MAX);
    let whole = |value: &f32| value.fract() == 0.0 && (0.0..=limit).contains(value);
    let range = DepthRange::of(map);
    let smallest = f64::from(range.smallest);
    // No two floats are so near each other, but those of a flat map are all one.
    let scale = f64::from(limit) / (f64::from(range.largest) - smallest).max(1e-60);
    let stretched = |&value: &f32| ((f64::from(value) - smallest) * scale).round() as u16;
    let values = match map.iter().all(whole) {
        true => map.iter().map(|&value| value as u16).collect(),
        false => map.iter().map(stretched).collect(),
    };
    ImageBuffer::from_raw(map.width(), map.height(), values).expect("one value for every pixel")
}

fn packed(map: &DepthImage) -> RgbaImage {
    let bytes = map.iter().flat_map(|value| value.to_le_bytes()).collect();
    RgbaImage::from_raw(map.width(), map.height(), bytes).expect("four bytes for every pixel")
}

fn float_tiff(map: &DepthImage) -> tiff::TiffResult<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes)?;
    encoder.write_image::<colortype::Gray32Float>(map.width(), map.height(), map.as_raw())?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    /// A file of these values as f32, two to a line.
    fn tiff_of(values: &[f32]) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tif");
        let height = values.len() as u32 / 2;
        let map = DepthImage::from_raw(2, height, values.to_vec()).unwrap();
        fs::write(&path, float_tiff(&map).unwrap()).unwrap();
        (folder, path)
    }

    fn values(path: &Path) -> Vec<f32> {
        let map = read_raw_depth(path, DepthForm::Auto).unwrap();
        map.into_raw()
    }

    #[test]
    fn floats_survive_every_way_but_the_grey_one() {
        let depth = [0.5, -3.25, 1e-3, 7654.321, 0.0, 100.0];
        let (folder, path) = tiff_of(&depth);
        let (packed, back) = (folder.path().join("a.png"), folder.path().join("b.tif"));
        fs::write(
            &packed,
            convert(&path, DepthForm::Auto, DepthFile::Packed).unwrap(),
        )
        .unwrap();
        assert_eq!(values(&packed), depth);
        fs::write(
            &back,
            convert(&packed, DepthForm::Auto, DepthFile::Tiff).unwrap(),
        )
        .unwrap();
        assert_eq!(values(&back), depth);
        let range = inspect(&back, DepthForm::Auto).unwrap();
        let expected = DepthRange {
            width: 2,
            height: 3,
            smallest: -3.25,
            largest: 7654.321,
        };
        assert_eq!(range, expected);
        assert!(!range.is_flat());
    }

    #[test]
    fn grey_keeps_whole_numbers_and_stretches_others() {
        let grey = |depth: &[f32]| {
            let (folder, path) = tiff_of(depth);
            let grey = folder.path().join("a.png");
            fs::write(
                &grey,
                convert(&path, DepthForm::Auto, DepthFile::Grey).unwrap(),
            )
            .unwrap();
            values(&grey)
        };
        assert_eq!(
            grey(&[0.0, 1.0, 40_000.0, 65_535.0]),
            [0.0, 1.0, 40_000.0, 65_535.0]
        );
        assert_eq!(
            grey(&[-1.0, 1.0, 0.0, -0.5]),
            [0.0, 65_535.0, 32_768.0, 16_384.0]
        );
        assert_eq!(grey(&[7.0, 70_000.0]), [0.0, 65_535.0]);
        assert_eq!(grey(&[0.25, 0.25]), [0.0, 0.0]);
        assert_eq!(grey(&[f32::MIN, f32::MAX]), [0.0, 65_535.0]);
    }

    #[test]
    fn what_cannot_be_told_from_colours_is_not_packed() {
        for depth in [[0.0, 0.0], [1e12, 0.0]] {
            let (_folder, path) = tiff_of(&depth);
            let error = convert(&path, DepthForm::Auto, DepthFile::Packed).unwrap_err();
            assert!(error.to_string().contains("write a TIFF"));
        }
        let (_folder, path) = tiff_of(&[3.0, 3.0]);
        assert!(inspect(&path, DepthForm::Grey).unwrap().is_flat());
    }

    #[test]
    fn damaged_files_are_errors() {
        let (_folder, path) = tiff_of(&[f32::NAN, 1.0]);
        assert!(inspect(&path, DepthForm::Auto).is_err());
        fs::write(&path, "no depth").unwrap();
        assert!(convert(&path, DepthForm::Auto, DepthFile::Tiff).is_err());
    }
}
