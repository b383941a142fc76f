//! Reading depth: one number per pixel in the many forms it is kept in, brought to [-1, 1] picture by picture
//! (`BaseWithDepth` of taming/data/imagenet.py).

use std::path::Path;

use image::{DynamicImage, ImageFormat};
use tiff::decoder::DecodingResult;

use super::decode::{decode_any, from_file};
use super::grey_tiff;
use super::kind::DepthForm;
use super::raster::DepthImage;
use crate::error::Result;

/// Between these lies the largest value of a depth map whose floats are packed into bytes. Colours taken for floats are
/// far outside: opaque ones are no numbers or above 1e38, transparent ones below 1e-37.
const PLAUSIBLE: std::ops::Range<f32> = 1e-6..1e9;

/// Reads a depth map; its smallest value becomes -1 and its largest 1.
///
/// # Errors
/// When the file cannot be opened, is damaged or of another form, or holds a value that is no finite number.
pub(super) fn read_depth(path: &Path, form: DepthForm) -> Result<DepthImage> {
    from_file(path, "depth map", |bytes| decode(bytes, form))
}

/// Reads a depth map with the numbers that it holds.
///
/// # Errors
/// When the file cannot be opened, is damaged or of another form, or holds a value that is no finite number.
pub(crate) fn read_raw_depth(path: &Path, form: DepthForm) -> Result<DepthImage> {
    from_file(path, "depth map", |bytes| decode_raw(bytes, form))
}

fn decode(bytes: &[u8], form: DepthForm) -> std::result::Result<DepthImage, String> {
    let mut map = decode_raw(bytes, form)?;
    normalize(&mut map);
    Ok(map)
}

fn decode_raw(bytes: &[u8], form: DepthForm) -> std::result::Result<DepthImage, String> {
    let is_tiff = image::guess_format(bytes).is_ok_and(|format| format == ImageFormat::Tiff);
    let (width, height, values) = if is_tiff && form != DepthForm::Packed {
        tiff_values(bytes)?
    } else {
        let image = decode_any(bytes)?;
        (image.width(), image.height(), values_of(image, form)?)
    };
    let bad = values.iter().filter(|value| !value.is_finite()).count();
    if bad > 0 {
        return Err(format!(
            "{bad} of its {} values are no finite numbers",
            values.len()
        ));
    }
    DepthImage::from_raw(width, height, values).ok_or_else(|| "it has too few pixels".into())
}

fn tiff_values(bytes: &[u8]) -> std::result::Result<(u32, u32, Vec<f32>), String> {
    let (width, height, samples) = grey_tiff::read(bytes)?;
    let values = match samples {
        DecodingResult::U8(samples) => samples.into_iter().map(f32::from).collect(),
        DecodingResult::U16(samples) => samples.into_iter().map(f32::from).collect(),
        DecodingResult::U32(samples) => samples.into_iter().map(|sample| sample as f32).collect(),
        DecodingResult::I16(samples) => samples.into_iter().map(f32::from).collect(),
        DecodingResult::I32(samples) => samples.into_iter().map(|sample| sample as f32).collect(),
        DecodingResult::F32(samples) => samples,
        DecodingResult::F64(samples) => samples.into_iter().map(|sample| sample as f32).collect(),
        _ => return Err("its samples are of a type that is not read as depth".into()),
    };
    Ok((width, height, values))
}

/// The depth of each pixel, not normalised yet.
fn values_of(image: DynamicImage, form: DepthForm) -> std::result::Result<Vec<f32>, String> {
    let color = image.color();
    match (form, image) {
        (DepthForm::Auto | DepthForm::Grey, DynamicImage::ImageLuma8(image)) => {
            Ok(image.into_raw().into_iter().map(f32::from).collect())
        }
        (DepthForm::Auto | DepthForm::Grey, DynamicImage::ImageLuma16(image)) => {
            Ok(image.into_raw().into_iter().map(f32::from).collect())
        }
        (DepthForm::Auto, DynamicImage::ImageRgba8(image)) => {
            let values = unpacked(image.as_raw());
            if is_plausible_depth(&values) {
                Ok(values)
            } else {
                Err("its pixels are Rgba8, and their bytes make no depth: write grey, or a TIFF of floats".into())
            }
        }
        (DepthForm::Packed, DynamicImage::ImageRgba8(image)) => Ok(unpacked(image.as_raw())),
        (DepthForm::Packed, _) => Err(format!(
            "its pixels are {color:?}; floats are packed into four channels of 8 bits"
        )),
        _ => Err(format!(
            "its pixels are {color:?}; depth is one number per pixel, as grey of 8 or 16 bits or a TIFF of floats"
        )),
    }
}

/// Whether floats that are packed into bytes are recognised as depth.
pub(crate) fn is_plausible_depth(values: &[f32]) -> bool {
    let largest = values.iter().fold(0.0, |largest: f32, value| {
        // NaN would be lost in a maximum.
        if value.is_nan() {
            f32::INFINITY
        } else {
            largest.max(value.abs())
        }
    });
    PLAUSIBLE.contains(&largest)
}

fn unpacked(bytes: &[u8]) -> Vec<f32> {
    let pixels = bytes.chunks_exact(4);
    pixels
        .map(|pixel| f32::from_le_bytes([pixel[0], pixel[1], pixel[2], pixel[3]]))
        .collect()
}

/// 2 · (value − smallest) / max(1e-8, largest − smallest) − 1, for finite values.
fn normalize(map: &mut DepthImage) {
    let smallest = map.iter().copied().fold(f32::INFINITY, f32::min);
    let largest = map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let smallest = f64::from(smallest);
    // In double precision the difference of any two floats is finite.
    let range = (f64::from(largest) - smallest).max(1e-8);
    for value in map.iter_mut() {
        *value = (2.0 * ((f64::from(*value) - smallest) / range) - 1.0) as f32;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::File;

    use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage};
    use tiff::encoder::{TiffEncoder, colortype};

    use super::super::testing::place;
    use super::*;

    fn depth(path: &Path, form: DepthForm) -> Vec<f32> {
        read_depth(path, form).unwrap().into_raw()
    }

    fn message(path: &Path, form: DepthForm) -> String {
        read_depth(path, form).unwrap_err().to_string()
    }

    fn pack(path: &Path, width: u32, values: &[f32]) {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let height = values.len() as u32 / width;
        let image = RgbaImage::from_raw(width, height, bytes).unwrap();
        image.save(path).unwrap();
    }

    #[test]
    fn grey_is_brought_to_its_own_range() {
        let (_folder, path) = place("a.png");
        let image = GrayImage::from_raw(3, 1, vec![10, 60, 110]).unwrap();
        image.save(&path).unwrap();
        for form in [DepthForm::Auto, DepthForm::Grey] {
            assert_eq!(depth(&path, form), [-1.0, 0.0, 1.0]);
        }
        let deep: ImageBuffer<Luma<u16>, Vec<u16>> =
            ImageBuffer::from_raw(3, 1, vec![5000, 1000, 2000]).unwrap();
        deep.save(&path).unwrap();
        assert_eq!(depth(&path, DepthForm::Auto), [1.0, -1.0, -0.5]);
        GrayImage::from_pixel(2, 2, Luma([9])).save(&path).unwrap();
        assert_eq!(depth(&path, DepthForm::Auto), [-1.0; 4]);
    }

    #[test]
    fn floats_packed_into_four_bytes_are_recognised() {
        let (_folder, path) = place("a.png");
        pack(&path, 2, &[112.645, 6189.75, 3151.1975, -0.5]);
        let read = depth(&path, DepthForm::Auto);
        assert_eq!(read, depth(&path, DepthForm::Packed));
        assert_eq!((read[1], read[3]), (1.0, -1.0));
        let expected = 2.0 * (3151.1975 + 0.5) / (6189.75 + 0.5) - 1.0;
        assert!((read[2] - expected as f32).abs() < 1e-6);
        assert!(message(&path, DepthForm::Grey).contains("one number per pixel"));
    }

    #[test]
    fn colours_are_no_depth() {
        let (_folder, path) = place("a.png");
        for alpha in [0, 1, 128, 255] {
            let image = RgbaImage::from_pixel(4, 4, Rgba([200, 100, 50, alpha]));
            image.save(&path).unwrap();
            assert!(message(&path, DepthForm::Auto).contains("make no depth"));
        }
        RgbImage::from_pixel(4, 4, Rgb([1, 2, 3]))
            .save(&path)
            .unwrap();
        assert!(message(&path, DepthForm::Auto).contains("Rgb8"));
        assert!(message(&path, DepthForm::Packed).contains("four channels"));
    }

    #[test]
    fn floats_of_a_tiff_are_read() {
        let (_folder, path) = place("a.tif");
        let write = |values: &[f32]| {
            let mut encoder = TiffEncoder::new(File::create(&path).unwrap()).unwrap();
            encoder
                .write_image::<colortype::Gray32Float>(values.len() as u32, 1, values)
                .unwrap();
        };
        write(&[0.25, -0.75, -0.25]);
        assert_eq!(depth(&path, DepthForm::Auto), [1.0, -1.0, 0.0]);
        write(&[f32::MAX, f32::MIN, 0.0]);
        assert_eq!(depth(&path, DepthForm::Auto), [1.0, -1.0, 0.0]);
        write(&[1.0, f32::NAN, f32::INFINITY]);
        assert!(message(&path, DepthForm::Auto).contains("2 of its 3 values"));
    }

    #[test]
    fn damaged_files_are_errors() {
        let (_folder, path) = place("a.png");
        let values: Vec<f32> = (0..4096)
            .map(|place| (place * place % 977) as f32)
            .collect();
        pack(&path, 64, &values);
        let whole = fs::read(&path).unwrap();
        for length in [0, 20, whole.len() / 2] {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(message(&path, DepthForm::Auto).lines().count(), 1);
        }
        fs::write(&path, b"II*\0\x08\0\0\0\xFF\xFF").unwrap();
        assert!(read_depth(&path, DepthForm::Grey).is_err());
        pack(&path, 1, &[f32::NAN, 1.0]);
        assert!(message(&path, DepthForm::Packed).contains("1 of its 2 values"));
    }
}
