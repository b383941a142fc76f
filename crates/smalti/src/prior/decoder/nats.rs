//! How probable given codes are to a decoder: what compact weights cost on a trained prior.

use super::Decoder;

impl Decoder {
    /// Mean of minus the log-probability, in nats, of the codes of each row: each given the row's condition tokens and the
    /// codes before it. Rows of conditions have one length, at least 1, rows of codes another.
    pub fn nats_per_code(&self, conditions: &[Vec<i64>], codes: &[Vec<i64>]) -> Vec<f64> {
        let count = codes.first().map_or(0, Vec::len);
        // The last code is not read.
        let capacity = conditions.first().map_or(0, Vec::len) + count.saturating_sub(1);
        let mut state = self.start(codes.len(), capacity);
        let mut totals = vec![0.0; codes.len()];
        let mut tokens = conditions.to_vec();
        for position in 0..count {
            let logits = self.feed(&mut state, &tokens);
            let vocabulary = logits.len() / codes.len();
            for (index, logits) in logits.chunks_exact(vocabulary).enumerate() {
                let code = codes[index][position];
                totals[index] += nats_of(logits, code);
                tokens[index] = vec![code];
            }
        }
        totals.iter().map(|total| total / count as f64).collect()
    }
}

/// Minus the log-probability, in nats, of one of the choices.
pub(crate) fn nats_of(logits: &[f32], choice: i64) -> f64 {
    let largest = logits
        .iter()
        .fold(f32::NEG_INFINITY, |largest, &logit| largest.max(logit));
    let difference = |logit: f32| f64::from(logit) - f64::from(largest);
    let sum: f64 = logits.iter().map(|&logit| difference(logit).exp()).sum();
    sum.ln() - difference(logits[choice as usize])
}
