//! The slow version of products in double precision.

/// `input · weightᵀ + bias`: `weight` `[outputs, inputs]`, `input` `[rows, inputs]`, `bias`
/// `[outputs]`, to `[rows, outputs]`.
pub fn multiply(weight: &[f32], inputs: usize, input: &[f32], bias: Option<&[f32]>) -> Vec<f64> {
    let mut products = Vec::new();
    for vector in input.chunks_exact(inputs) {
        for (output, row) in weight.chunks_exact(inputs).enumerate() {
            let terms = vector.iter().zip(row);
            let sum: f64 = terms.map(|(&l, &r)| f64::from(l) * f64::from(r)).sum();
            products.push(sum + bias.map_or(0.0, |bias| f64::from(bias[output])));
        }
    }
    products
}
