//! Features of pictures as they come out of files and decoders, each of its own size.

use super::{AT_ONCE, FeatureNetwork};
use crate::checkpoint::host_values;
use crate::data::{Raster, tensor_of};
use crate::error::Result;
use burn::tensor::{Shape, Tensor, TensorData};
use image::RgbImage;

/// Pixels that are floats at a time, where a picture has not more by itself.
const PIXELS: usize = 1 << 22;

impl FeatureNetwork {
    /// The features of pictures of any sizes, `[n, d]` row-major. Neighbours of one size go through together.
    ///
    /// # Errors
    /// As [`FeatureNetwork::features`].
    pub fn features_of(&self, pictures: &[RgbImage]) -> Result<Vec<f32>> {
        let device = self.head.bias.device();
        let mut features = Vec::with_capacity(pictures.len() * self.dimension());
        for alike in pictures.chunk_by(|one, next| one.dimensions() == next.dimensions()) {
            let pixels = alike[0].as_raw().len() / 3;
            let at_once = (PIXELS / pixels.max(1)).clamp(1, AT_ONCE);
            for some in alike.chunks(at_once) {
                let rasters: Vec<Raster> = some.iter().cloned().map(Raster::from).collect();
                let some = self.features(tensor_of(&rasters, &device))?;
                features.extend(host_values(some));
            }
        }
        Ok(features)
    }

    /// Whether `other` gives the same features: it has the same weights and prepares pictures alike.
    pub fn is_like(&self, other: &FeatureNetwork) -> bool {
        self.checksum == other.checksum && self.preprocessing == other.preprocessing
    }

    /// The logits of the classes, `[n, classes]` row-major, from features `[n, d]`; without the last layer's bias as
    /// the Inception Score has them where `unbiased` says so.
    pub fn logits_of(&self, features: &[f32], unbiased: bool) -> Vec<f32> {
        let shape = [features.len() / self.dimension(), self.dimension()];
        if shape[0] == 0 {
            return Vec::new();
        }
        let data = TensorData::new(features.to_vec(), Shape::from(shape));
        let features = Tensor::<2>::from_data(data, &self.head.bias.device());
        host_values(match unbiased {
            true => self.unbiased_logits(features),
            false => self.logits(features),
        })
    }
}
