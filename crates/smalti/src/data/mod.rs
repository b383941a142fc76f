//! Pictures, from files to training batches: which pictures there are and how they divide, how one is read, scaled and
//! cropped, and how an endless stream of batches is prepared in the background and continued exactly after a restart.

mod bad;
mod cache;
mod dataset;
mod decode;
pub mod drawn;
mod jpeg;
mod list;
mod load_all;
mod loader;
pub(crate) mod order;
mod pixels;
mod random;
mod squares;
mod tiff;
mod transform;
mod walk;
mod webp;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use bad::{BadFile, none_readable};
pub use dataset::{Dataset, Item};
pub use decode::{read_image, write_png};
pub use load_all::{Loaded, load_all};
pub use loader::{Batch, Loader, LoaderConfig};
pub use pixels::{
    GRID_BACKGROUND, GRID_PADDING, bytes_to_floats, floats_to_bytes, grid, pairs_grid, to_image,
};
pub use squares::{mirrored, square, squares};
pub use transform::{Crop, Filter, Resize, Transform};

/// Locks what loading threads share. A thread that panicked leaves nothing half-changed behind: all that is done under a
/// lock here is to look something up or to put something in.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
