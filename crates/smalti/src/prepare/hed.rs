//! Edges as people draw them (Xie & Tu, "Holistically-Nested Edge Detection", ICCV 2015): VGG16 whose five blocks each
//! say where edges are, at their own resolution, and a weighted sum of what they say.

use std::path::Path;

use burn::module::Param;
use burn::tensor::{Device, Shape, Tensor, TensorData};
use image::{GrayImage, RgbImage};

use crate::checkpoint::{HostTensor, TensorMap, host_values};
use crate::error::{Error, Result};
use crate::layers::Conv2d;
use crate::ops::{self, Activation, Convolution, Precision};
use crate::weights::catalogue::Kind;
use crate::weights::hed::BLOCKS;
use crate::weights::import::import;

/// How many pixels a picture has at most: the first block takes more than half a kilobyte for each of them.
pub const MAX_PIXELS: u64 = 1 << 22;

/// The edge detector. Its weights never change.
#[derive(Debug, Clone)]
pub struct Hed {
    blocks: Vec<Block>,
    /// What each block weighs in the sum, and what is added.
    weights: Vec<f32>,
    bias: f32,
    /// The mean colour: red, green, blue from 0 to 255.
    mean: Vec<f32>,
    device: Device,
    precision: Precision,
}

/// Convolutions at one resolution, and what they say of edges.
#[derive(Debug, Clone)]
struct Block {
    convs: Vec<Conv2d>,
    projection: Conv2d,
}

impl Hed {
    /// Builds the network from a file in any form that [`import`] reads.
    ///
    /// # Errors
    /// When the file cannot be read or holds no whole edge detector.
    pub fn load(file: &Path, device: &Device) -> Result<Self> {
        let (_, tensors) = import(&[file], Some(Kind::Hed))?;
        Self::new(&tensors, device)
    }

    /// Builds the network from tensors under the keys and in the shapes of [`tensors`](crate::weights::hed::tensors).
    ///
    /// # Errors
    /// A missing tensor or one of another shape, named.
    pub fn new(weights: &TensorMap, device: &Device) -> Result<Self> {
        let device = device.clone().inner();
        let mut inputs = 3;
        let mut blocks = Vec::new();
        for (number, (count, outputs)) in (1..).zip(BLOCKS) {
            let mut convs = Vec::new();
            for place in 0..count {
                let key = format!("block{number}.convs.{place}");
                convs.push(convolution(weights, &key, [inputs, outputs, 3], &device)?);
                inputs = outputs;
            }
            let key = format!("block{number}.projection");
            let projection = convolution(weights, &key, [outputs, 1, 1], &device)?;
            blocks.push(Block { convs, projection });
        }
        Ok(Self {
            blocks,
            weights: values(weights, "fuse.weight", &[1, BLOCKS.len(), 1, 1])?.to_vec(),
            bias: values(weights, "fuse.bias", &[1])?[0],
            mean: values(weights, "norm", &[1, 3, 1, 1])?.to_vec(),
            device,
            precision: Precision::F32,
        })
    }

    /// The same network with features in another format.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The edges of a picture, the whiter the surer.
    ///
    /// # Errors
    /// As for [`Hed::probabilities`].
    pub fn edges(&self, image: &RgbImage) -> Result<GrayImage> {
        let bytes = self
            .probabilities(image)?
            .into_iter()
            .map(|probability| (probability * 255.0).round() as u8)
            .collect();
        let edges = GrayImage::from_raw(image.width(), image.height(), bytes);
        Ok(edges.expect("one probability for every pixel"))
    }

    /// How sure it is that a pixel lies on an edge, in [0, 1] and in reading order.
    ///
    /// # Errors
    /// When the picture has no pixels or more than [`MAX_PIXELS`].
    pub fn probabilities(&self, image: &RgbImage) -> Result<Vec<f32>> {
        let (width, height) = image.dimensions();
        let count = u64::from(width) * u64::from(height);
        if !(1..=MAX_PIXELS).contains(&count) {
            return Err(Error::input(format!(
                "HED takes pictures of up to {MAX_PIXELS} pixels, and {width}×{height} are {count}: scale it down first"
            )));
        }
        let size = [height as usize, width as usize];
        let mut logits = vec![self.bias; count as usize];
        let mut hidden = self.precision.of(self.pixels(image));
        for (number, (block, &weight)) in self.blocks.iter().zip(&self.weights).enumerate() {
            if number > 0 {
                hidden = halved(hidden);
            }
            for conv in &block.convs {
                hidden = conv.forward_activated(hidden, Activation::Relu);
            }
            let side = block.projection.forward(hidden.clone());
            let [_, rows, columns, _] = side.dims();
            let side = host_values(side);
            add_enlarged(&mut logits, size, (&side, [rows, columns]), weight);
        }
        let sigmoid = |logit: f32| 1.0 / (1.0 + (-logit).exp());
        Ok(logits.into_iter().map(sigmoid).collect())
    }

    /// `[1, height, width, 3]`.
    fn pixels(&self, image: &RgbImage) -> Tensor<4> {
        let shape = [1, image.height() as usize, image.width() as usize, 3];
        let mean = self.mean.iter().cycle();
        let values = image.as_raw().iter().zip(mean);
        let values: Vec<f32> = values.map(|(&byte, mean)| f32::from(byte) - mean).collect();
        Tensor::from_data(TensorData::new(values, Shape::from(shape)), &self.device)
    }
}

/// The largest of every 2×2 pixels, and of what is left of them at the end of an odd side.
fn halved(input: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = input.dims();
    let mut even = input;
    // A second copy of the last line changes no maximum.
    if height % 2 == 1 {
        let last = [0..batch, height - 1..height, 0..width, 0..channels];
        let last = even.clone().slice(last);
        even = Tensor::cat(vec![even, last], 1);
    }
    if width % 2 == 1 {
        let last = [
            0..batch,
            0..height + height % 2,
            width - 1..width,
            0..channels,
        ];
        let last = even.clone().slice(last);
        even = Tensor::cat(vec![even, last], 2);
    }
    ops::max_pool(even, 2, 2)
}

/// Adds `weight` times a map, scaled up linearly to `height` × `width`, where pixels are areas and not points
/// (PyTorch's `align_corners=False`).
fn add_enlarged(
    sums: &mut [f32],
    [height, width]: [usize; 2],
    (map, [rows, columns]): (&[f32], [usize; 2]),
    weight: f32,
) {
    let across = mixtures(columns, width);
    let down = mixtures(rows, height);
    for (line, (upper, lower, y)) in sums.chunks_exact_mut(width).zip(down) {
        for (sum, &(left, right, x)) in line.iter_mut().zip(&across) {
            let at = |row: usize| {
                let (left, right) = (map[row * columns + left], map[row * columns + right]);
                left * (1.0 - x) + right * x
            };
            *sum += weight * (at(upper) * (1.0 - y) + at(lower) * y);
        }
    }
}

/// For every place of a line that is scaled from `length` to `target`: the two places it lies between, and how near it
/// is to the second.
fn mixtures(length: usize, target: usize) -> Vec<(usize, usize, f32)> {
    let scale = length as f32 / target as f32;
    let mixture = |place: usize| {
        let source = ((place as f32 + 0.5) * scale - 0.5).max(0.0);
        let first = (source as usize).min(length - 1);
        (first, (first + 1).min(length - 1), source - first as f32)
    };
    (0..target).map(mixture).collect()
}

/// A convolution that keeps the size, from channels in, channels out and the side of its kernel.
fn convolution(
    weights: &TensorMap,
    key: &str,
    [inputs, outputs, kernel]: [usize; 3],
    device: &Device,
) -> Result<Conv2d> {
    let shape = [outputs, inputs, kernel, kernel];
    let weight = values(weights, &format!("{key}.weight"), &shape)?;
    let bias = values(weights, &format!("{key}.bias"), &[outputs])?;
    let weight = TensorData::new(weight.to_vec(), Shape::from(shape));
    let bias = TensorData::new(bias.to_vec(), Shape::from([outputs]));
    let (weight, bias) = (
        Tensor::<4>::from_data(weight, device),
        Tensor::<1>::from_data(bias, device),
    );
    Ok(Conv2d {
        weight: Param::from_tensor(weight).set_require_grad(false),
        bias: Some(Param::from_tensor(bias).set_require_grad(false)),
        convolution: Convolution::padded(kernel / 2),
    })
}

fn values<'w>(weights: &'w TensorMap, key: &str, shape: &[usize]) -> Result<&'w [f32]> {
    let of_shape = |tensor: &&HostTensor| tensor.shape == shape;
    let tensor = weights.get(key).filter(of_shape);
    tensor.and_then(HostTensor::as_f32).ok_or_else(|| {
        Error::input(format!(
            "HED weights: there is no `{key}` of shape {shape:?}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sides_are_rounded_up_when_they_are_halved() {
        let values: Vec<f32> = vec![5.0, 1.0, 2.0, 0.0, 3.0, -7.0, -1.0, -2.0, -9.0];
        let shape = Shape::from([1, 3, 3, 1]);
        let tensor = Tensor::<4>::from_data(TensorData::new(values, shape), &Device::flex());
        let pooled = halved(tensor);
        assert_eq!(pooled.dims(), [1, 2, 2, 1]);
        assert_eq!(host_values(pooled), [5.0, 2.0, -1.0, -9.0]);
    }

    #[test]
    fn maps_are_scaled_up_linearly() {
        let mut sums = vec![1.0; 4];
        add_enlarged(&mut sums, [1, 4], (&[0.0, 4.0], [1, 2]), 2.0);
        assert_eq!(sums, [1.0, 3.0, 7.0, 9.0]);
        // Beyond the first row, a quarter and three quarters of the way to the second, and beyond that.
        let mut sums = vec![0.0; 8];
        add_enlarged(&mut sums, [4, 2], (&[1.0, 3.0, 5.0, 7.0], [2, 2]), 1.0);
        assert_eq!(sums, [1.0, 3.0, 2.0, 4.0, 4.0, 6.0, 5.0, 7.0]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = Hed::new(&TensorMap::new(), &Device::flex()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`block1.convs.0.weight` of shape [64, 3, 3, 3]")
        );
    }
}
