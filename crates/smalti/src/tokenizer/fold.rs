//! Between a map and one of half its sides, of which a position holds four of the other's in reading order.

use burn::tensor::Tensor;

/// `[b, 2h, 2w, c]` to `[b, h, w, 4·c]`.
pub(super) fn fold(map: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = map.dims();
    let [rows, columns] = [height / 2, width / 2];
    let squares: Tensor<6> = map.reshape([batch, rows, 2, columns, 2, channels]);
    squares
        .swap_dims(2, 3)
        .reshape([batch, rows, columns, 4 * channels])
}

/// `[b, h, w, 4·c]` to `[b, 2h, 2w, c]`.
pub(super) fn unfold(map: Tensor<4>) -> Tensor<4> {
    let [batch, rows, columns, width] = map.dims();
    let channels = width / 4;
    let squares: Tensor<6> = map.reshape([batch, rows, columns, 2, 2, channels]);
    squares
        .swap_dims(2, 3)
        .reshape([batch, 2 * rows, 2 * columns, channels])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::host_values;
    use burn::tensor::Device;

    fn map(values: impl Iterator<Item = u8>, shape: [usize; 4]) -> Tensor<4> {
        let values: Vec<f32> = values.map(f32::from).collect();
        Tensor::<1>::from_floats(values.as_slice(), &Device::flex()).reshape(shape)
    }

    #[test]
    fn squares_are_read_row_by_row() {
        let folded = fold(map(0..8, [1, 2, 4, 1]));
        assert_eq!(folded.dims(), [1, 1, 2, 4]);
        let expected = [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0];
        assert_eq!(host_values(folded), expected);
    }

    #[test]
    fn what_is_folded_is_unfolded_again() {
        let whole = map(0..144, [2, 4, 6, 3]);
        let again = unfold(fold(whole.clone()));
        assert_eq!(again.dims(), whole.dims());
        assert_eq!(host_values(again), host_values(whole));
    }
}
