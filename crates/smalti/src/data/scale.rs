//! Pictures, label maps and depth maps scaled to given sides.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{
    FilterType, IntoImageView, IntoImageViewMut, PixelType, ResizeAlg, ResizeOptions, Resizer,
};
use image::RgbImage;

use super::raster::{DepthImage, LabelImage};
use super::transform::Filter;
use crate::error::{Error, Result};

impl Filter {
    fn algorithm(self) -> ResizeAlg {
        match self {
            Self::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
            Self::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Self::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Self::Nearest => ResizeAlg::Nearest,
        }
    }
}

/// A picture scaled to `width` × `height`.
pub(crate) fn rgb(
    image: &RgbImage,
    (width, height): (u32, u32),
    filter: Filter,
) -> Result<RgbImage> {
    let mut result = RgbImage::new(width, height);
    resize(image, &mut result, filter.algorithm())?;
    Ok(result)
}

/// A picture scaled down to `width` × `height`: every pixel is the mean of what it covers.
pub(crate) fn averaged_rgb(image: &RgbImage, (width, height): (u32, u32)) -> Result<RgbImage> {
    let mut result = RgbImage::new(width, height);
    resize(image, &mut result, ResizeAlg::Convolution(FilterType::Box))?;
    Ok(result)
}

/// A label map scaled to `width` × `height`: every pixel takes the label of the nearest one.
pub(super) fn labels(map: &LabelImage, (width, height): (u32, u32)) -> Result<LabelImage> {
    let mut result = LabelImage::new(width, height);
    resize(map, &mut result, ResizeAlg::Nearest)?;
    Ok(result)
}

/// A depth map scaled linearly to `width` × `height`.
pub(super) fn depth(map: &DepthImage, (width, height): (u32, u32)) -> Result<DepthImage> {
    let samples: &[u8] = bytemuck::cast_slice(map.as_raw());
    let source = ImageRef::new(map.width(), map.height(), samples, PixelType::F32)
        .map_err(|error| not_scaled(&error))?;
    let mut values = vec![0.0_f32; width as usize * height as usize];
    {
        let samples: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
        let mut target = Image::from_slice_u8(width, height, samples, PixelType::F32)
            .map_err(|error| not_scaled(&error))?;
        resize(&source, &mut target, Filter::Bilinear.algorithm())?;
    }
    for value in &mut values {
        // Weights may sum to a little more than 1.
        *value = value.clamp(-1.0, 1.0);
    }
    Ok(DepthImage::from_raw(width, height, values).expect("one value for every pixel"))
}

fn resize(
    source: &impl IntoImageView,
    target: &mut impl IntoImageViewMut,
    algorithm: ResizeAlg,
) -> Result<()> {
    let options = ResizeOptions::new().resize_alg(algorithm);
    Resizer::new()
        .resize(source, target, &options)
        .map_err(|error| not_scaled(&error))
}

fn not_scaled(error: &dyn std::error::Error) -> Error {
    Error::input(format!("it cannot be scaled: {error}"))
}
