//! Decoded and scaled pictures kept in memory, so that a small data set is decoded once and not in every epoch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::lock;
use super::raster::Raster;

/// Pictures by item index, up to a number of bytes. What has come in stays: with every picture being asked for once per
/// epoch, replacing the oldest ones would never leave one in place until it is needed again.
pub(super) struct Cache {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    bytes: usize,
    images: HashMap<usize, Arc<Raster>>,
}

impl Cache {
    /// A cache for at most `limit` bytes of pixels.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: Mutex::default(),
        }
    }

    /// The picture of an item, if it is kept.
    pub(super) fn get(&self, item: usize) -> Option<Arc<Raster>> {
        lock(&self.kept).images.get(&item).cloned()
    }

    /// Keeps an item's picture if there is room for it.
    pub(super) fn offer(&self, item: usize, image: &Arc<Raster>) {
        let mut kept = lock(&self.kept);
        let bytes = kept.bytes.saturating_add(image.bytes());
        // Two threads may have decoded the same picture; it counts once.
        if bytes <= self.limit && kept.images.insert(item, Arc::clone(image)).is_none() {
            kept.bytes = bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;

    #[test]
    fn pictures_are_kept_while_there_is_room() {
        let cache = Cache::new(30);
        let image = Arc::new(Raster::Rgb(RgbImage::new(2, 2)));
        for item in [0, 1, 1, 2] {
            cache.offer(item, &image);
        }
        assert!(cache.get(0).is_some() && cache.get(1).is_some());
        assert!(cache.get(2).is_none());
        cache.offer(3, &Arc::new(Raster::Rgb(RgbImage::new(2, 1))));
        assert!(cache.get(3).is_some());
    }
}
