//! Minibatch standard deviation: one more feature map, which says how different the pictures of a group are from one
//! another, so that a batch of all the same pictures is found out (Karras et al., "Progressive growing of GANs", 2018).

use super::signal::Signal;
use burn::tensor::Tensor;

/// Keeps the root of a variance differentiable where pictures are alone or the same.
const EPSILON: f32 = 1e-8;

/// Appends a channel: the standard deviation over the pictures of a group, averaged over channels and positions.
/// `[b, h, w, c]` to `[b, h, w, c + 1]`, f32. A lone picture differs from nothing.
pub fn append_deviation(signal: Signal) -> Signal {
    let Signal { value, tangent } = signal;
    let [batch, height, width, channels] = value.dims();
    let group = group_size(batch);
    let groups = |maps: Tensor<4>| -> Tensor<3> {
        maps.reshape([group, batch / group, height * width * channels])
    };
    let append = |maps: Tensor<4>, figures: Tensor<3>| {
        let channel = figures
            .mean_dim(2)
            .expand([group, batch / group, 1])
            .reshape([batch, 1, 1, 1])
            .expand([batch, height, width, 1]);
        Tensor::cat(vec![maps, channel], 3)
    };
    let grouped = groups(value.clone());
    let centred = grouped.clone() - grouped.mean_dim(0);
    let deviation = (centred.clone().square().mean_dim(0) + EPSILON).sqrt();
    // The mean of `centred` is 0, so the tangent's own mean would not change the product.
    let tangent = tangent.map(|tangent| {
        let shared = (centred * groups(tangent.clone())).mean_dim(0);
        append(tangent, shared / deviation.clone())
    });
    Signal {
        value: append(value, deviation),
        tangent,
    }
}

/// How many pictures are compared with one another: the largest of 4, 3 and 2 that divides the batch, otherwise all.
fn group_size(batch: usize) -> usize {
    let divides = |size: &usize| batch.is_multiple_of(*size);
    [4, 3, 2].into_iter().find(divides).unwrap_or(batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::host_values;
    use burn::tensor::Device;

    fn appended(values: &[f32], shape: [usize; 4]) -> Vec<f32> {
        let maps = Tensor::<1>::from_floats(values, &Device::flex()).reshape(shape);
        host_values(append_deviation(Signal::plain(maps)).value)
    }

    #[test]
    fn two_pictures_get_their_mean_deviation() {
        let appended = appended(&[1.0, 2.0, 3.0, 6.0], [2, 1, 1, 2]);
        assert_eq!(appended, [1.0f32, 2.0, 1.5, 3.0, 6.0, 1.5]);
    }

    #[test]
    fn a_lone_picture_differs_from_nothing() {
        let appended = appended(&[1.0, 2.0], [1, 1, 1, 2]);
        assert!(appended[2].abs() < 1e-3, "{appended:?}");
    }

    /// The groups of eight pictures are the even and the odd ones.
    #[test]
    fn groups_are_told_apart() {
        let appended = appended(&[0.0, 5.0, 2.0, 5.0, 0.0, 5.0, 2.0, 5.0], [8, 1, 1, 1]);
        for picture in appended.chunks(4) {
            assert!((picture[1] - 1.0).abs() < 1e-5 && picture[3].abs() < 1e-3);
        }
    }

    #[test]
    fn groups_divide_the_batch() {
        let sizes: Vec<usize> = (1..=9).map(group_size).collect();
        assert_eq!(sizes, [1, 2, 3, 4, 5, 3, 7, 4, 3]);
    }
}
