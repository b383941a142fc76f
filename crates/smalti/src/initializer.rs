//! Where a new network's parameters come from: a seeded random stream, or zeros where a file will fill them.

use burn::module::Param;
use burn::tensor::{Device, Shape, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Creates parameters on a device. The same seed gives the same network on every machine.
pub struct Initializer {
    device: Device,
    random: Option<ChaCha8Rng>,
}

impl Initializer {
    /// Parameters drawn from `seed`.
    pub fn seeded(device: &Device, seed: u64) -> Self {
        Self {
            device: device.clone(),
            random: Some(ChaCha8Rng::seed_from_u64(seed)),
        }
    }

    /// Parameters that are zero until a checkpoint is loaded into them.
    pub fn zeros(device: &Device) -> Self {
        Self {
            device: device.clone(),
            random: None,
        }
    }

    /// Every value `value`.
    pub fn constant<const D: usize>(&self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::full(shape, value, &self.device))
    }

    /// 0, 1, 2, …
    pub fn counting(&self, count: usize) -> Param<Tensor<1>> {
        let values: Vec<f32> = (0..count).map(|value| value as f32).collect();
        let data = TensorData::new(values, Shape::from([count]));
        Param::from_tensor(Tensor::from_data(data, &self.device))
    }

    /// Uniform in `[-bound, bound]`.
    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f32) -> Param<Tensor<D>> {
        self.draw(shape, |random| random.random_range(-bound..=bound))
    }

    /// Normal with mean 0.
    pub fn normal<const D: usize>(
        &mut self,
        shape: [usize; D],
        deviation: f32,
    ) -> Param<Tensor<D>> {
        self.normal_around(shape, 0.0, deviation)
    }

    /// Normal around `mean`, by the Box-Muller transform.
    pub fn normal_around<const D: usize>(
        &mut self,
        shape: [usize; D],
        mean: f32,
        deviation: f32,
    ) -> Param<Tensor<D>> {
        self.draw(shape, |random| {
            let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
            let angle = std::f64::consts::TAU * random.random::<f64>();
            mean + deviation * (radius * angle.cos()) as f32
        })
    }

    /// Rows of unit length, their directions evenly distributed.
    pub fn unit_rows(&mut self, [rows, columns]: [usize; 2]) -> Param<Tensor<2>> {
        let drawn = self.normal([rows, columns], 1.0).val().without_autodiff();
        let lengths = drawn.clone().square().sum_dim(1).clamp_min(1e-24).sqrt();
        Param::from_tensor(Tensor::from_data(
            (drawn / lengths).into_data(),
            &self.device,
        ))
    }

    fn draw<const D: usize>(
        &mut self,
        shape: [usize; D],
        mut value: impl FnMut(&mut ChaCha8Rng) -> f32,
    ) -> Param<Tensor<D>> {
        let Some(random) = &mut self.random else {
            return self.constant(shape, 0.0);
        };
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| value(random)).collect();
        let data = TensorData::new(values, Shape::from(shape));
        Param::from_tensor(Tensor::from_data(data, &self.device))
    }
}
