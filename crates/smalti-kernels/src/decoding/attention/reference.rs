//! The slow version of attention over a cache in double precision.

use super::{CacheShape, CausalRule};

/// Where query (0), key (1) or value (2) of one head of a token starts in projections of `tokens`
/// tokens.
fn offset(shape: &CacheShape, tokens: usize, part: usize, place: [usize; 3]) -> usize {
    let [sequence, token, head] = place;
    let row = (sequence * tokens + token) * 3 + part;
    (row * shape.heads + head) * shape.head_dim
}

/// What the tokens from position `first` on attend to, `[batch, tokens, heads, head_dim]`, from the
/// projections of all tokens, those before it included.
pub fn attend(shape: &CacheShape, rule: CausalRule, first: usize, projections: &[f32]) -> Vec<f64> {
    let dim = shape.head_dim;
    let total = projections.len() / (3 * shape.batch * shape.heads * dim);
    let vector = |part, place| &projections[offset(shape, total, part, place)..][..dim];
    let mut output = Vec::new();
    for sequence in 0..shape.batch {
        for token in first..total {
            let in_prefix = |position: usize| position < rule.unmasked_prefix;
            let sees = |other: usize| other <= token || in_prefix(token) && in_prefix(other);
            for head in 0..shape.heads {
                let query = vector(0, [sequence, token, head]);
                let weight = |other| {
                    let key = vector(1, [sequence, other, head]);
                    let terms = query.iter().zip(key);
                    let score: f64 = terms.map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
                    (f64::from(rule.scale) * score).exp()
                };
                let seen = (0..total).filter(|&other| sees(other));
                let weights: Vec<_> = seen.map(|other| (other, weight(other))).collect();
                let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
                for channel in 0..dim {
                    let value = |other| f64::from(vector(2, [sequence, other, head])[channel]);
                    let terms = weights.iter().map(|&(other, weight)| weight * value(other));
                    output.push(terms.sum::<f64>() / sum);
                }
            }
        }
    }
    output
}
