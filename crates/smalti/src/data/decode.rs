//! Reading one picture file of any format as 8-bit RGB the right way up, and writing one as PNG. Nothing a file may
//! contain stops the program: what cannot be read is an error that names the file and fits on a line.

use std::fmt::Display;
use std::fs;
use std::io::Cursor;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use image::metadata::Orientation;
use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage, RgbaImage,
};

use super::{jpeg, tiff, webp};
use crate::error::{Error, Result};

/// What is said of a file that ends too early, whatever its kind.
pub(super) const CUT_SHORT: &str = "the file is cut short";
/// The longest side of a picture that is read or made, in pixels.
pub(super) const MAX_SIDE: u32 = 32_768;
/// The largest file that is read and the largest picture that is decoded, in bytes: a small file may unpack to far more
/// than a machine has.
pub(super) const MAX_BYTES: u64 = 1 << 30;
/// How many times its own size a file may unpack to, and how much more any file may. DEFLATE packs a thousandfold, and
/// a grey pixel becomes three bytes; a plain colour as lossless WebP takes almost nothing.
const FACTOR: u64 = 4096;
const ALLOWANCE: u64 = 64 << 20;

/// Reads a picture as 8-bit RGB.
///
/// The format is found from the contents, not the name. A rotation noted in the file (EXIF) is applied, transparency is
/// laid over `background` (red, green, blue), grey becomes RGB, 16-bit and float samples are rounded to 8 bits, and of an
/// animation the first frame is taken.
///
/// # Errors
/// When the file cannot be opened or is no picture: damaged, cut short, of an unknown kind, larger than 32768 pixels a
/// side or 1 GiB, or of far more pixels than a file of its size accounts for.
pub fn read_image(path: &Path, background: [u8; 3]) -> Result<RgbImage> {
    from_file(path, "picture", |bytes| decode(bytes, background))
}

/// What `decode` makes of a file's contents; `what` says in an error what the file should be.
pub(super) fn from_file<T>(
    path: &Path,
    what: &str,
    decode: impl FnOnce(&[u8]) -> std::result::Result<T, String>,
) -> Result<T> {
    let unreadable = |message: &str| {
        let message = one_line(message);
        Error::file(path, format!("not a {what} that can be read: {message}"))
    };
    let metadata = fs::metadata(path).map_err(|source| Error::io(path, source))?;
    if metadata.len() > MAX_BYTES {
        return Err(unreadable("the file is larger than 1 GiB"));
    }
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    // A decoder that panics on a damaged file must cost this file and not the run; nothing it leaves behind is used.
    match panic::catch_unwind(AssertUnwindSafe(|| decode(&bytes))) {
        Ok(decoded) => decoded.map_err(|message| unreadable(&message)),
        Err(_) => Err(unreadable("its decoder failed")),
    }
}

fn one_line(message: impl Display) -> String {
    let message = message.to_string();
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// [`read_image`] from a file's contents; the error is what is wrong with them.
fn decode(bytes: &[u8], background: [u8; 3]) -> std::result::Result<RgbImage, String> {
    let image = decode_any(bytes)?;
    Ok(if image.color().has_alpha() {
        composite(&image.into_rgba8(), background)
    } else {
        image.into_rgb8()
    })
}

/// The picture with the samples it has in the file, the right way up.
pub(super) fn decode_any(bytes: &[u8]) -> std::result::Result<DynamicImage, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    let budget = budget(bytes);
    match reader.format() {
        Some(ImageFormat::Jpeg) if !jpeg::is_complete(bytes) => return Err(CUT_SHORT.into()),
        Some(ImageFormat::Tiff) => tiff::check(bytes)?,
        Some(ImageFormat::WebP) => webp::check(bytes, budget)?,
        _ => {}
    }
    reader.limits(limits(budget));
    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err("it has no pixels".into());
    }
    // In whatever form it is stored, it becomes three bytes a pixel.
    let pixels = u64::from(width) * u64::from(height);
    if decoder.total_bytes().max(pixels.saturating_mul(3)) > budget {
        return Err(format!(
            "{width}×{height} pixels are more than a file of {} bytes may unpack to",
            bytes.len()
        ));
    }
    // Damaged notes about the camera are no reason to lose the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// How many bytes of pixels a file may unpack to.
pub(super) fn budget(bytes: &[u8]) -> u64 {
    let bytes = bytes.len() as u64;
    let budget = bytes.saturating_mul(FACTOR).saturating_add(ALLOWANCE);
    budget.min(MAX_BYTES)
}

fn limits(budget: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(budget);
    limits
}

/// Lays a picture over a background colour, rounding to the nearest of the 8-bit levels.
fn composite(image: &RgbaImage, background: [u8; 3]) -> RgbImage {
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0;
        let alpha = u32::from(alpha);
        let mix = |over: u8, under: u8| {
            let sum = u32::from(over) * alpha + u32::from(under) * (255 - alpha);
            ((sum + 127) / 255) as u8
        };
        Rgb([
            mix(red, background[0]),
            mix(green, background[1]),
            mix(blue, background[2]),
        ])
    })
}

/// Writes a picture as PNG. A reader of `path` sees the old file or the whole new one, never a part.
///
/// # Errors
/// When the folder of `path` does not exist or cannot be written to, or the picture has no pixels.
pub fn write_png(path: &Path, image: &RgbImage) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        let message = format!("cannot be written: no such folder: {}", folder.display());
        return Err(Error::file(path, message));
    }
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|error| {
            Error::file(
                path,
                format!("cannot be written as PNG: {}", one_line(error)),
            )
        })?;
    crate::checkpoint::write_atomic(path, |file| file.write_all(bytes.get_ref()))
}

#[cfg(test)]
mod tests {
    use image::codecs::gif::GifEncoder;
    use image::{Frame, GrayAlphaImage, GrayImage, ImageBuffer, Luma, LumaA, Rgba};

    use super::super::testing::place;
    use super::*;

    const WHITE: [u8; 3] = [255; 3];

    fn noise(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let value = x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503);
            Rgb([value as u8, (value >> 8) as u8, (value >> 16) as u8])
        })
    }

    fn jpeg_bytes(image: &RgbImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    /// A JPEG with an EXIF segment that holds nothing but the orientation.
    fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0".to_vec();
        exif.extend_from_slice(&[0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
        exif.extend_from_slice(&[0; 4]);
        let mut bytes = jpeg[..2].to_vec();
        bytes.extend_from_slice(&[0xFF, 0xE1, 0, 2 + exif.len() as u8]);
        bytes.extend_from_slice(&exif);
        bytes.extend_from_slice(&jpeg[2..]);
        bytes
    }

    fn is_red(pixel: &Rgb<u8>) -> bool {
        pixel.0[0] > 200 && pixel.0[2] < 60
    }

    #[test]
    fn exif_orientation_is_applied() {
        let (_folder, path) = place("photo.jpg");
        let red_left = RgbImage::from_fn(32, 16, |x, _| {
            Rgb(if x < 16 { [255, 0, 0] } else { [0, 0, 255] })
        });
        let jpeg = jpeg_bytes(&red_left);

        fs::write(&path, &jpeg).unwrap();
        let plain = read_image(&path, WHITE).unwrap();
        assert_eq!(plain.dimensions(), (32, 16));
        assert!(is_red(plain.get_pixel(2, 8)));

        // 6: turn clockwise, so that the left side becomes the top.
        fs::write(&path, with_orientation(&jpeg, 6)).unwrap();
        let turned = read_image(&path, WHITE).unwrap();
        assert_eq!(turned.dimensions(), (16, 32));
        assert!(is_red(turned.get_pixel(8, 2)) && !is_red(turned.get_pixel(8, 29)));

        // 2: mirrored.
        fs::write(&path, with_orientation(&jpeg, 2)).unwrap();
        let mirrored = read_image(&path, WHITE).unwrap();
        assert!(is_red(mirrored.get_pixel(29, 8)) && !is_red(mirrored.get_pixel(2, 8)));
    }

    #[test]
    fn transparency_is_laid_over_the_background() {
        let (_folder, path) = place("a.png");
        let mut image = RgbaImage::from_pixel(3, 1, Rgba([200, 100, 0, 128]));
        image.put_pixel(1, 0, Rgba([9, 9, 9, 0]));
        image.put_pixel(2, 0, Rgba([9, 8, 7, 255]));
        image.save(&path).unwrap();
        let over_white = read_image(&path, WHITE).unwrap();
        assert_eq!(
            over_white.as_raw(),
            &[227, 177, 127, 255, 255, 255, 9, 8, 7]
        );
        let over_colour = read_image(&path, [1, 2, 3]).unwrap();
        assert_eq!(over_colour.get_pixel(1, 0).0, [1, 2, 3]);
    }

    #[test]
    fn grey_and_deep_pictures_become_rgb() {
        let (_folder, path) = place("a.png");
        let first = |path: &Path| read_image(path, [0; 3]).unwrap().get_pixel(0, 0).0;

        GrayImage::from_pixel(4, 4, Luma([77])).save(&path).unwrap();
        assert_eq!(first(&path), [77; 3]);

        GrayAlphaImage::from_pixel(4, 4, LumaA([200, 51]))
            .save(&path)
            .unwrap();
        assert_eq!(first(&path), [40; 3]);

        let deep: ImageBuffer<Rgb<u16>, Vec<u16>> =
            ImageBuffer::from_pixel(4, 4, Rgb([65_535, 128 * 257, 100]));
        deep.save(&path).unwrap();
        assert_eq!(first(&path), [255, 128, 0]);

        let deep_grey: ImageBuffer<Luma<u16>, Vec<u16>> =
            ImageBuffer::from_pixel(4, 4, Luma([128 * 257]));
        deep_grey.save(&path).unwrap();
        assert_eq!(first(&path), [128; 3]);

        let tiff = path.with_extension("tif");
        let float: ImageBuffer<Rgb<f32>, Vec<f32>> =
            ImageBuffer::from_pixel(4, 4, Rgb([-1.0, 0.5, 2.0]));
        float.save(&tiff).unwrap();
        assert_eq!(first(&tiff), [0, 128, 255]);
    }

    #[test]
    fn an_animation_gives_its_first_frame() {
        let (_folder, path) = place("a.gif");
        let frame = |colour| Frame::new(RgbaImage::from_pixel(8, 8, Rgba(colour)));
        let mut encoder = GifEncoder::new(fs::File::create(&path).unwrap());
        encoder
            .encode_frames([frame([255, 0, 0, 255]), frame([0, 0, 255, 255])])
            .unwrap();
        drop(encoder);
        let image = read_image(&path, WHITE).unwrap();
        assert!(is_red(image.get_pixel(4, 4)));
    }

    #[test]
    fn the_name_does_not_decide_the_format() {
        let (_folder, path) = place("really_jpeg.png");
        fs::write(&path, jpeg_bytes(&noise(20, 10))).unwrap();
        assert_eq!(read_image(&path, WHITE).unwrap().dimensions(), (20, 10));
    }

    #[test]
    fn what_is_no_picture_is_named_on_one_line() {
        let (_folder, path) = place("a.png");
        let message = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read_image(&path, WHITE).unwrap_err().to_string()
        };
        let mut png = Cursor::new(Vec::new());
        noise(40, 40).write_to(&mut png, ImageFormat::Png).unwrap();
        let png = png.into_inner();
        let jpeg = jpeg_bytes(&noise(40, 40));
        let broken: [&[u8]; 5] = [
            b"",
            b"just\nsome text\n",
            b"\x89PNG\r\n\x1a\n and no more",
            &png[..png.len() / 2],
            &jpeg[..jpeg.len() / 2],
        ];
        for bytes in broken {
            let message = message(bytes);
            assert!(
                message.contains("a.png: not a picture that can be read: "),
                "{message}"
            );
            assert_eq!(message.lines().count(), 1);
        }
    }

    #[test]
    fn enormous_sides_are_refused() {
        let (_folder, path) = place("long.png");
        GrayImage::new(40_000, 1).save(&path).unwrap();
        assert!(read_image(&path, WHITE).is_err());
    }

    #[test]
    fn a_tiny_file_is_no_enormous_picture() {
        let (_folder, path) = place("huge.gif");
        let gif = |side: u16| {
            let [low, high] = side.to_le_bytes();
            let mut bytes = b"GIF89a".to_vec();
            // Two colours, then a picture of one pixel in the corner of all this.
            bytes.extend([low, high, low, high, 0x80, 0, 0, 1, 2, 3, 4, 5, 6]);
            bytes.extend([0x2C, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0, 0x3B]);
            bytes
        };
        fs::write(&path, gif(100)).unwrap();
        assert_eq!(read_image(&path, WHITE).unwrap().dimensions(), (100, 100));
        fs::write(&path, gif(16_000)).unwrap();
        let error = read_image(&path, WHITE).unwrap_err().to_string();
        assert!(error.contains("more than a file of 35 bytes"), "{error}");
    }

    #[test]
    fn a_large_picture_of_nothing_is_read() {
        let (_folder, path) = place("flat.png");
        GrayImage::new(5000, 5000).save(&path).unwrap();
        let image = read_image(&path, WHITE).unwrap();
        assert_eq!(image.dimensions(), (5000, 5000));
    }

    #[test]
    fn png_keeps_every_pixel() {
        let (_folder, path) = place("a.png");
        let image = noise(33, 17);
        write_png(&path, &RgbImage::new(1, 1)).unwrap();
        write_png(&path, &image).unwrap();
        let read = read_image(&path, WHITE).unwrap();
        assert_eq!(read.dimensions(), image.dimensions());
        assert_eq!(read.as_raw(), image.as_raw());
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn writing_into_no_folder_is_an_error() {
        let (_folder, path) = place("nowhere");
        let error = write_png(&path.join("a.png"), &noise(2, 2)).unwrap_err();
        assert!(error.to_string().contains("no such folder"));
        let (_folder, path) = place("empty.png");
        assert!(write_png(&path, &RgbImage::new(0, 0)).is_err());
        assert!(!path.exists());
    }
}
