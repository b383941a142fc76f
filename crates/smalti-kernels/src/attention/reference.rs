//! Slow versions of attention in double precision: what the tests take as the truth.

use super::{AttentionShape, Inputs};

/// Whether a query sees a key.
fn sees(shape: &AttentionShape, query: usize, key: usize) -> bool {
    let position = query + shape.keys.saturating_sub(shape.queries);
    let in_prefix = position < shape.unmasked_prefix && key < shape.unmasked_prefix;
    !shape.causal || key <= position || in_prefix
}

/// Calls `visit` with batch entry, head and query of everything that is attended from.
fn for_each_query(shape: &AttentionShape, mut visit: impl FnMut(usize, usize, usize)) {
    for batch in 0..shape.batch {
        for head in 0..shape.heads {
            for query in 0..shape.queries {
                visit(batch, head, query);
            }
        }
    }
}

/// Where one head of a token starts in a tensor with `tokens` tokens.
fn offset(shape: &AttentionShape, tokens: usize, batch: usize, token: usize, head: usize) -> usize {
    ((batch * tokens + token) * shape.heads + head) * shape.head_dim
}

fn dot(left: &[f32], right: &[f32]) -> f64 {
    let terms = left.iter().zip(right);
    terms.map(|(&l, &r)| f64::from(l) * f64::from(r)).sum()
}

/// Probabilities of all keys for one query, and the logarithm of the sum of exponentials.
fn probabilities(
    shape: &AttentionShape,
    inputs: Inputs<'_>,
    [batch, head, query]: [usize; 3],
) -> (Vec<f64>, f64) {
    let dim = shape.head_dim;
    let query_row = &inputs.query[offset(shape, shape.queries, batch, query, head)..][..dim];
    let score = |key| {
        let row = &inputs.key[offset(shape, shape.keys, batch, key, head)..][..dim];
        f64::from(shape.scale) * dot(query_row, row)
    };
    let exponentials = (0..shape.keys).map(|key| {
        if sees(shape, query, key) {
            score(key).exp()
        } else {
            0.0
        }
    });
    let exponentials: Vec<f64> = exponentials.collect();
    let sum: f64 = exponentials.iter().sum();
    (exponentials.iter().map(|e| e / sum).collect(), sum.ln())
}

/// The output and the logarithms of the sums of exponentials.
pub fn forward(shape: &AttentionShape, inputs: Inputs<'_>) -> [Vec<f64>; 2] {
    let mut output = vec![0.0; inputs.query.len()];
    let mut logarithms = Vec::new();
    for_each_query(shape, |batch, head, query| {
        let (weights, logarithm) = probabilities(shape, inputs, [batch, head, query]);
        logarithms.push(logarithm);
        let target = offset(shape, shape.queries, batch, query, head);
        for (key, weight) in weights.iter().enumerate() {
            let source = offset(shape, shape.keys, batch, key, head);
            for channel in 0..shape.head_dim {
                output[target + channel] += weight * f64::from(inputs.value[source + channel]);
            }
        }
    });
    [output, logarithms]
}

/// The gradients of queries, keys and values.
pub fn backward(shape: &AttentionShape, inputs: Inputs<'_>, grad_output: &[f32]) -> [Vec<f64>; 3] {
    let dim = shape.head_dim;
    let mut grad_query = vec![0.0; inputs.query.len()];
    let mut grad_key = vec![0.0; inputs.key.len()];
    let mut grad_value = vec![0.0; inputs.value.len()];
    for_each_query(shape, |batch, head, query| {
        let (weights, _) = probabilities(shape, inputs, [batch, head, query]);
        let row = offset(shape, shape.queries, batch, query, head);
        let gradient = &grad_output[row..][..dim];
        let key_row = |key| offset(shape, shape.keys, batch, key, head);
        let slopes = (0..shape.keys).map(|k| dot(gradient, &inputs.value[key_row(k)..][..dim]));
        let slopes: Vec<f64> = slopes.collect();
        let average: f64 = weights.iter().zip(&slopes).map(|(w, s)| w * s).sum();
        for (key, (weight, slope)) in weights.iter().zip(&slopes).enumerate() {
            let score = weight * (slope - average) * f64::from(shape.scale);
            for (channel, &slope) in gradient.iter().enumerate() {
                let (query, key) = (row + channel, key_row(key) + channel);
                grad_query[query] += score * f64::from(inputs.key[key]);
                grad_key[key] += score * f64::from(inputs.query[query]);
                grad_value[key] += weight * f64::from(slope);
            }
        }
    });
    [grad_query, grad_key, grad_value]
}
