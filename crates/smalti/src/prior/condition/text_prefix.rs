//! A text before the codes: a learned projection makes a few vectors, as wide as the transformer's, of a text encoder's
//! one vector. Where there is no text, learned vectors stand in their place; with these as the other side, sampling can
//! be guided (Ho and Salimans, "Classifier-free diffusion guidance", 2022).

use crate::initializer::Initializer;
use crate::layers::Linear;
use crate::ops::Precision;
use burn::module::{Module, Param};
use burn::tensor::{Shape, Tensor, TensorData};

/// The vectors that stand for a text.
#[derive(Module, Debug)]
pub struct TextPrefix {
    /// From the length of a text's vector to that of all vectors before the codes.
    pub projection: Linear,
    /// The vectors of no text, `[vectors, width]`.
    pub nothing: Param<Tensor<2>>,
}

impl TextPrefix {
    /// What its keys begin with: `condition.text.projection.weight`, `….projection.bias`, `condition.text.nothing`.
    pub const KEYS: &str = "condition.text.";

    /// How many vectors a text becomes where nothing else is said.
    pub const VECTORS: usize = 4;

    /// A new prefix of `vectors` vectors of length `width`, for texts of `length` numbers; drawn like the transformer's
    /// embeddings.
    pub fn new(init: &mut Initializer, length: usize, [vectors, width]: [usize; 2]) -> Self {
        Self {
            projection: Linear::new(init, [length, vectors * width], true),
            nothing: init.normal([vectors, width], 0.02),
        }
    }

    /// The vectors of texts `[b, length]`: `[b, vectors, width]`.
    pub fn forward(&self, texts: Tensor<2>) -> Tensor<3> {
        let [batch, length] = texts.dims();
        let [vectors, width] = self.nothing.dims();
        let texts = texts.reshape([batch, 1, length]);
        self.projection
            .forward(texts, Precision::F32)
            .reshape([batch, vectors, width])
    }

    /// The vectors of no text, for each of a batch: `[b, vectors, width]`.
    pub fn without_text(&self, batch: usize) -> Tensor<3> {
        let [vectors, width] = self.nothing.dims();
        let nothing = self.nothing.val().reshape([1, vectors, width]);
        nothing.expand([batch, vectors, width])
    }

    /// [`TextPrefix::forward`] for training: `dropped` says of each text whether it counts as none this time.
    pub fn forward_training(&self, texts: Tensor<2>, dropped: &[bool]) -> Tensor<3> {
        let [batch, _] = texts.dims();
        let shares = dropped.iter().map(|&dropped| f32::from(!dropped));
        let data = TensorData::new(shares.collect::<Vec<f32>>(), Shape::from([batch, 1, 1]));
        let kept = Tensor::<3>::from_data(data, &texts.device());
        let given = self.forward(texts);
        let without = self.without_text(batch);
        given * kept.clone() + without * (kept.neg() + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{HostTensor, TensorMap, host_values, load_parameters, parameters};
    use burn::tensor::Device;

    fn device() -> Device {
        Device::flex().autodiff()
    }

    /// Two vectors of length 3 for texts of two numbers.
    fn prefix() -> TextPrefix {
        let weight = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0, 0.0, 0.0, 2.0, 0.5, 0.5];
        let bias = [0.0, 0.0, 10.0, 0.0, 0.0, 20.0];
        let nothing = [7.0, 8.0, 9.0, -7.0, -8.0, -9.0];
        let tensors = TensorMap::from([
            key("projection.weight", [6, 2], &weight),
            key("projection.bias", [6], &bias),
            key("nothing", [2, 3], &nothing),
        ]);
        let empty = TextPrefix::new(&mut Initializer::zeros(&device()), 2, [2, 3]);
        load_parameters(empty, &tensors, TextPrefix::KEYS, str::to_string).unwrap()
    }

    fn key<const D: usize>(name: &str, shape: [usize; D], values: &[f32]) -> (String, HostTensor) {
        let key = format!("{}{name}", TextPrefix::KEYS);
        (key, HostTensor::f32(shape, values.to_vec()))
    }

    fn texts() -> Tensor<2> {
        let values = [1.0f32, 2.0, 3.0, -1.0];
        Tensor::<1>::from_floats(values.as_slice(), &device()).reshape([2, 2])
    }

    #[track_caller]
    fn assert_equal<const D: usize>(tensor: Tensor<D>, expected: &[f32]) {
        assert_eq!(host_values(tensor), expected);
    }

    #[test]
    fn keys_are_those_of_model_files() {
        let tensors = parameters(&prefix(), TextPrefix::KEYS, str::to_string);
        let keys: Vec<&str> = tensors.keys().map(String::as_str).collect();
        let expected = [
            "condition.text.nothing",
            "condition.text.projection.bias",
            "condition.text.projection.weight",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn a_text_becomes_its_projection() {
        let vectors = prefix().forward(texts());
        assert_eq!(vectors.dims(), [2, 2, 3]);
        let first = [1.0f32, 2.0, 13.0, -1.0, 4.0, 21.5];
        let second = [3.0f32, -1.0, 12.0, -3.0, -2.0, 21.0];
        assert_equal(vectors, &[first, second].concat());
    }

    #[test]
    fn dropped_texts_become_nothing_and_teach_nothing_else() {
        let prefix = prefix();
        let vectors = prefix.forward_training(texts(), &[false, true]);
        let first = [1.0f32, 2.0, 13.0, -1.0, 4.0, 21.5];
        let second = [7.0f32, 8.0, 9.0, -7.0, -8.0, -9.0];
        assert_equal(vectors.clone(), &[first, second].concat());
        assert_equal(prefix.without_text(2), &[second, second].concat());

        let slopes: Vec<f32> = (1..13).map(|value| value as f32).collect();
        let slopes: Tensor<3> =
            Tensor::<1>::from_floats(slopes.as_slice(), &device()).reshape([2, 2, 3]);
        let gradients = (vectors * slopes).sum().backward();
        let nothing = prefix.nothing.val().grad(&gradients).unwrap();
        assert_equal(nothing, &[7.0, 8.0, 9.0, 10.0, 11.0, 12.0]);
        let weight = prefix.projection.weight.val().grad(&gradients).unwrap();
        let expected = [1.0, 2.0, 2.0, 4.0, 3.0, 6.0, 4.0, 8.0, 5.0, 10.0, 6.0, 12.0];
        assert_equal(weight, &expected);
    }

    /// For a text's vector of length 1.
    #[test]
    fn a_new_prefix_is_as_small_as_embeddings() {
        let mut init = Initializer::seeded(&device(), 1);
        let prefix = TextPrefix::new(&mut init, 64, [TextPrefix::VECTORS, 96]);
        let text = Tensor::<1>::from_floats([0.125f32; 64].as_slice(), &device()).reshape([1, 64]);
        for vectors in [prefix.forward(text), prefix.without_text(1)] {
            assert_eq!(vectors.dims(), [1, 4, 96]);
            let values = host_values(vectors);
            let power: f32 = values.iter().map(|value| value * value).sum();
            let deviation = (power / values.len() as f32).sqrt();
            assert!((0.017..0.023).contains(&deviation), "{deviation}");
        }
    }
}
