//! Pictures, from files to training batches: which pictures there are and how they divide, how one is read, scaled and
//! cropped, and how an endless stream of batches is prepared in the background and continued exactly after a restart.
//! Label maps and depth go the same way.

mod agreement;
mod bad;
mod cache;
pub mod coco;
mod dataset;
mod decode;
mod depth_map;
pub mod drawn;
mod grey_tiff;
mod jpeg;
pub(crate) mod json;
mod kind;
mod label_map;
mod list;
mod load_all;
mod loader;
mod object_crop;
mod objects;
pub mod open_images;
pub(crate) mod order;
mod pairs;
mod pixels;
pub(crate) mod random;
mod raster;
mod scale;
mod show;
mod squares;
#[cfg(test)]
pub(crate) mod testing;
mod tiff;
mod transform;
mod walk;
mod webp;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use agreement::LabelAgreement;
pub use bad::{BadFile, none_readable, reason};
pub use dataset::{Dataset, Item};
pub use decode::{read_image, write_png};
pub(crate) use depth_map::{is_plausible_depth, read_raw_depth};
pub use kind::{DepthForm, Kind, KindName};
pub use load_all::{Loaded, load_all, load_rasters};
pub use loader::{Batch, Loader, LoaderConfig};
pub use object_crop::{CropMethod, ObjectCrop};
pub use objects::{Area, Category, Object, ObjectFilter, ObjectSet, PictureObjects, View};
pub use pairs::{companions, stems};
pub use pixels::{
    GRID_BACKGROUND, GRID_PADDING, bytes_to_floats, floats_to_bytes, grid, pairs_grid,
    stacked_grid, to_image,
};
pub use raster::{DepthImage, LabelImage, Raster, UNLABELLED};
pub(crate) use scale::{averaged_rgb, rgb as scaled_rgb};
pub use show::{label_color, labels_of, picture_of};
pub use squares::{mirrored, square, squares, tensor_of};
pub use transform::{Crop, Filter, Place, Resize, Transform};

/// Locks what loading threads share. A thread that panicked leaves nothing half-changed behind: all that is done under a
/// lock here is to look something up or to put something in.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
