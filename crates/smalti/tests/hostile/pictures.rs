//! Pictures of all kinds: small good ones, and files that claim to be enormous.

use crate::mutate::{self, PNG, checksum};
use crate::seeds::Seeds;
use image::{DynamicImage, ImageBuffer, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::io::Cursor;

/// Changes a picture, and puts the checksums of a PNG right half of the times.
pub fn make(random: &mut ChaCha8Rng, seeds: &Seeds) -> Vec<u8> {
    let file = seeds.any(random);
    let mut changed = mutate::bytes(random, file, &seeds.good);
    if random.random_bool(0.5) {
        mutate::repair_png(&mut changed);
    }
    changed
}

/// Pictures.
pub fn pictures() -> Seeds {
    let rgb = RgbImage::from_fn(19, 13, |x, y| {
        Rgb([(x * 13) as u8, (y * 19) as u8, (x * y) as u8])
    });
    let alpha = RgbaImage::from_fn(7, 9, |x, y| {
        Rgba([(x * 30) as u8, 9, (y * 20) as u8, (x * y) as u8])
    });
    let deep: ImageBuffer<Rgb<u16>, Vec<u16>> =
        ImageBuffer::from_fn(5, 6, |x, y| Rgb([(x * 9000) as u16, (y * 9000) as u16, 77]));
    let float: ImageBuffer<Rgb<f32>, Vec<f32>> =
        ImageBuffer::from_fn(4, 3, |x, y| Rgb([x as f32 / 4.0, y as f32 / 3.0, 0.5]));
    let (rgb, alpha) = (DynamicImage::from(rgb), DynamicImage::from(alpha));
    let grey = DynamicImage::from(rgb.to_luma8());
    let good = vec![
        encoded(&rgb, ImageFormat::Png),
        encoded(&alpha, ImageFormat::Png),
        encoded(&grey, ImageFormat::Png),
        encoded(&DynamicImage::from(deep), ImageFormat::Png),
        encoded(&rgb, ImageFormat::Jpeg),
        encoded(&grey, ImageFormat::Jpeg),
        encoded(&rgb, ImageFormat::WebP),
        encoded(&alpha, ImageFormat::WebP),
        encoded(&alpha, ImageFormat::Gif),
        encoded(&rgb, ImageFormat::Bmp),
        encoded(&rgb, ImageFormat::Tiff),
        encoded(&DynamicImage::from(float), ImageFormat::Tiff),
    ];
    let mut bad = enormous(&encoded(&rgb, ImageFormat::Jpeg));
    bad.extend(webp());
    bad.extend(tiff());
    Seeds::files(good, bad)
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// Headers of pictures as large as they can be, with next to nothing behind them.
fn enormous(jpeg: &[u8]) -> Vec<Vec<u8>> {
    let mut pictures = Vec::new();
    for side in [2000_u32, 16_000, 32_768, 65_535, u32::MAX] {
        for (depth, colour) in [(1, 0), (16, 6), (8, 2), (8, 3)] {
            pictures.push(png(side, depth, colour));
        }
        pictures.push(gif(side as u16));
        pictures.push(bmp(side as i32, 24));
        pictures.push(bmp(side as i32, 8));
        pictures.push(with_sides(jpeg, side as u16));
    }
    pictures
}

fn png(side: u32, depth: u8, colour: u8) -> Vec<u8> {
    let side = side.to_be_bytes();
    let header = [&side[..], &side[..], &[depth, colour, 0, 0, 0][..]].concat();
    // A stream of no pixels.
    let pixels = [0x78, 0x9C, 0x03, 0, 0, 0, 0, 1];
    let chunks = [
        png_chunk(b"IHDR", &header),
        png_chunk(b"PLTE", &[1, 2, 3]),
        png_chunk(b"IDAT", &pixels),
        png_chunk(b"IEND", &[]),
    ];
    [PNG, &chunks.concat()[..]].concat()
}

fn png_chunk(name: &[u8; 4], contents: &[u8]) -> Vec<u8> {
    let length = (contents.len() as u32).to_be_bytes();
    let chunk = [&name[..], contents].concat();
    [&length[..], &chunk[..], &checksum(&chunk).to_be_bytes()[..]].concat()
}

fn gif(side: u16) -> Vec<u8> {
    let side = side.to_le_bytes();
    let picture = [
        &b"\x2C\0\0\0\0"[..],
        &side[..],
        &side[..],
        &b"\0\x02\x02\x44\x01\0\x3B"[..],
    ]
    .concat();
    [
        &b"GIF89a"[..],
        &side[..],
        &side[..],
        &b"\x80\0\0\x01\x02\x03\x04\x05\x06"[..],
        &picture[..],
    ]
    .concat()
}

fn bmp(side: i32, bits: u16) -> Vec<u8> {
    let side = side.to_le_bytes();
    [
        &b"BM\x40\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"[..],
        &side[..],
        &side[..],
        &b"\x01\0"[..],
        &bits.to_le_bytes()[..],
        &[0; 24][..],
        &[0; 8][..],
    ]
    .concat()
}

/// A JPEG whose frame says that it has other sides.
fn with_sides(jpeg: &[u8], side: u16) -> Vec<u8> {
    let mut file = jpeg.to_vec();
    if let Some(frame) = file.windows(2).position(|marker| marker == b"\xFF\xC0") {
        let side = side.to_be_bytes();
        file[frame + 5..frame + 9].copy_from_slice(&[side, side].concat());
    }
    file
}

fn webp() -> Vec<Vec<u8>> {
    let extended = |flags: u8| webp_chunk(b"VP8X", &[flags, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let lossy = webp_chunk(
        b"VP8 ",
        b"\x10\x02\0\x9D\x01\x2A\xFF\x3F\xFF\x3F\0\0\0\0\0\0\0\0",
    );
    let lossless = webp_chunk(b"VP8L", b"\x2F\xFF\xFF\xFF\x0F\0\0\0\0\0");
    let small = webp_chunk(b"VP8L", b"\x2F\0\0\0\0\0\0\0\0\0");
    let endless = b"EXIF\xFE\xFF\xFF\xFFII*\0".to_vec();
    let animation = webp_chunk(b"ANIM", &[0; 6]);
    let frame = webp_chunk(b"ANMF", &[&[0; 16][..], &lossy[..]].concat());
    [
        vec![lossy.clone()],
        vec![lossless],
        vec![extended(0), lossy.clone()],
        vec![extended(8), small.clone(), endless],
        vec![extended(2), animation, frame],
        vec![extended(0x10), webp_chunk(b"ALPH", &[1, 0]), lossy],
        vec![
            webp_chunk(b"VP8X", &[0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
            small,
        ],
    ]
    .map(|chunks| webp_file(&chunks.concat()))
    .to_vec()
}

fn webp_chunk(name: &[u8; 4], contents: &[u8]) -> Vec<u8> {
    let length = (contents.len() as u32).to_le_bytes();
    let padding = vec![0; contents.len() % 2];
    [&name[..], &length[..], contents, &padding[..]].concat()
}

fn webp_file(chunks: &[u8]) -> Vec<u8> {
    let length = (4 + chunks.len() as u32).to_le_bytes();
    [&b"RIFF"[..], &length[..], &b"WEBP"[..], chunks].concat()
}

/// TIFF files of four pixels: tag, type, count and value of what makes them harmful.
fn tiff() -> Vec<Vec<u8>> {
    let harmful = [
        (322, 4, 1, u32::MAX),
        (322, 4, 1, 32_768),
        (277, 3, 1, 0xFFFF),
        (259, 3, 1, 7),
        (259, 3, 1, 5),
        (273, 4, 0x0FFF_FFFF, 8),
        (258, 3, u32::MAX, 8),
        (274, 1, 0x0FFF_FFFF, 8),
        (338, 3, 0x0FFF_FFFF, 8),
        (256, 4, 1, 32_768),
        (257, 4, 1, u32::MAX),
        (347, 7, 0x0FFF_FFFF, 8),
    ];
    harmful.map(tiff_with).to_vec()
}

/// A tiled picture of floats, with one entry more or of another value.
fn tiff_with(harmful: (u16, u16, u32, u32)) -> Vec<u8> {
    let mut entries = vec![
        (256, 4, 1, 2),
        (257, 4, 1, 2),
        (258, 3, 1, 32),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (277, 3, 1, 3),
        (317, 3, 1, 3),
        (322, 4, 1, 16),
        (323, 4, 1, 16),
        (324, 4, 1, 8),
        (325, 4, 1, 48),
        (339, 3, 1, 3),
    ];
    entries.retain(|&(tag, ..)| tag != harmful.0);
    entries.push(harmful);
    entries.sort_unstable();
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file
}
