//! Conditions made of pictures: edges, skeletons, less resolution, and depth in another form. What is made goes into a
//! folder of its own under the pictures' names, where a training finds it ([`companions`](crate::data::companions)).

pub mod canny;
pub mod depth;
mod files;
pub mod hed;
mod hysteresis;
pub mod imagenet_edges;
pub mod lowres;
pub mod pose;
mod reading;

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};

use crate::error::{Error, Result};

pub use files::{Outcome, Target, each, one_by_one, targets};
pub use reading::Reading;

/// A picture as the contents of a PNG file.
///
/// # Errors
/// When it has no pixels.
pub fn png(image: impl Into<DynamicImage>) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let written = image.into().write_to(&mut bytes, ImageFormat::Png);
    written.map_err(|error| Error::failed(format!("no PNG can be made of it: {error}")))?;
    Ok(bytes.into_inner())
}
