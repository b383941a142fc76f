//! Cross entropy of class scores against class numbers, with its gradient.
//!
//! Logits are `[rows, classes]`; targets, losses and the saved logarithms of the sums of
//! exponentials are `[rows]`.

use crate::dispatch::{self, vectorised};
use crate::math::{exp, maximum, sum_by};
use rayon::prelude::*;

/// Sums of exponentials are carried on in double precision after this many terms.
const BLOCK: usize = 1024;

/// Computes the loss of every row and what the backward pass needs.
pub fn forward(logits: &[f32], targets: &[i64], losses: &mut [f32], logsumexp: &mut [f32]) {
    let classes = classes(logits, targets);
    assert_eq!(losses.len(), targets.len(), "losses");
    assert_eq!(logsumexp.len(), targets.len(), "logarithms");
    let isa = dispatch::isa();
    let results = losses.par_iter_mut().zip(logsumexp);
    let rows = logits.par_chunks(classes).zip(targets);
    results
        .zip(rows)
        .for_each(|((loss, logsumexp), (row, &target))| {
            *logsumexp = log_sum_exp(isa, row);
            *loss = *logsumexp - row[class(target, classes)];
        });
}

/// Computes the gradient of the logits; `grad_losses` holds the gradient of every row's loss.
pub fn backward(
    logits: &[f32],
    targets: &[i64],
    logsumexp: &[f32],
    grad_losses: &[f32],
    grad_logits: &mut [f32],
) {
    let classes = classes(logits, targets);
    assert_eq!(logsumexp.len(), targets.len(), "logarithms");
    assert_eq!(grad_losses.len(), targets.len(), "gradients of losses");
    assert_eq!(grad_logits.len(), logits.len(), "gradients of logits");
    let isa = dispatch::isa();
    let rows = logits
        .par_chunks(classes)
        .zip(grad_logits.par_chunks_mut(classes));
    let scalars = targets.par_iter().zip(logsumexp).zip(grad_losses);
    rows.zip(scalars)
        .for_each(|((row, gradient), ((&target, &logsumexp), &scale))| {
            scaled_softmax(isa, row, logsumexp, scale, gradient);
            gradient[class(target, classes)] -= scale;
        });
}

/// Number of classes; one when there are no rows.
fn classes(logits: &[f32], targets: &[i64]) -> usize {
    let classes = logits.len().checked_div(targets.len()).unwrap_or(0);
    assert_eq!(classes * targets.len(), logits.len(), "logits");
    assert!(classes > 0 || targets.is_empty(), "rows without classes");
    classes.max(1)
}

fn class(target: i64, classes: usize) -> usize {
    let class = usize::try_from(target)
        .ok()
        .filter(|&class| class < classes);
    class.unwrap_or_else(|| panic!("target {target} is not one of {classes} classes"))
}

vectorised! {
    fn log_sum_exp(row: &[f32]) -> f32 {
        let maximum = maximum(row);
        let mut sum = 0.0f64;
        for block in row.chunks(BLOCK) {
            sum += f64::from(sum_by(block, |logit| exp(logit - maximum)));
        }
        (f64::from(maximum) + sum.ln()) as f32
    }
}

vectorised! {
    fn scaled_softmax(row: &[f32], logsumexp: f32, scale: f32, target: &mut [f32]) {
        for (target, logit) in target.iter_mut().zip(row) {
            *target = scale * exp(logit - logsumexp);
        }
    }
}

/// Slow versions in double precision.
pub mod reference {
    fn log_sum_exp(row: &[f32]) -> f64 {
        let maximum = row
            .iter()
            .fold(f64::NEG_INFINITY, |m, &x| m.max(f64::from(x)));
        let terms = row.iter().map(|&x| (f64::from(x) - maximum).exp());
        maximum + terms.sum::<f64>().ln()
    }

    /// The losses and the logarithms of the sums of exponentials.
    pub fn forward(logits: &[f32], targets: &[i64]) -> [Vec<f64>; 2] {
        let (mut losses, mut logarithms) = (Vec::new(), Vec::new());
        if !targets.is_empty() {
            let rows = logits.chunks_exact(logits.len() / targets.len());
            for (row, &target) in rows.zip(targets) {
                losses.push(log_sum_exp(row) - f64::from(row[target as usize]));
                logarithms.push(log_sum_exp(row));
            }
        }
        [losses, logarithms]
    }

    /// The gradient of the logits.
    pub fn backward(logits: &[f32], targets: &[i64], grad_losses: &[f32]) -> Vec<f64> {
        let mut gradient = Vec::new();
        for (index, &logit) in logits.iter().enumerate() {
            let classes = logits.len() / targets.len();
            let (row, class) = (index / classes, index % classes);
            let sum = log_sum_exp(&logits[row * classes..][..classes]);
            let is_target = f64::from(u8::from(class == targets[row] as usize));
            let softmax = (f64::from(logit) - sum).exp();
            gradient.push((softmax - is_target) * f64::from(grad_losses[row]));
        }
        gradient
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Isa;
    use crate::testing::{assert_close, assert_gradient, levels, values, weighted_sum};

    fn logits(len: usize) -> Vec<f32> {
        values(1, len).iter().map(|value| 9.0 * value).collect()
    }

    fn targets(rows: usize, classes: usize) -> Vec<i64> {
        (0..rows).map(|row| (row * 7 % classes) as i64).collect()
    }

    #[test]
    fn both_passes_match_the_reference() {
        for [rows, classes] in [[0, 5], [1, 1], [3, 5], [17, 33], [2, 2500]] {
            let (logits, targets) = (logits(rows * classes), targets(rows, classes));
            let scales = values(2, rows);
            let (mut losses, mut sums) = (vec![f32::NAN; rows], vec![f32::NAN; rows]);
            forward(&logits, &targets, &mut losses, &mut sums);
            let truth = reference::forward(&logits, &targets);
            assert_close(&losses, &truth[0], 2e-6, "losses");
            assert_close(&sums, &truth[1], 2e-6, "logarithms");
            let run = || {
                let mut gradient = vec![f32::NAN; logits.len()];
                backward(&logits, &targets, &sums, &scales, &mut gradient);
                gradient
            };
            let truth = reference::backward(&logits, &targets, &scales);
            assert_close(&run(), &truth, 2e-6, "gradient");
            assert_eq!(run(), run());
        }
    }

    #[test]
    fn reference_gradient_matches_difference_quotients() {
        let (logits, targets, weights) = (logits(15), targets(3, 5), values(2, 3));
        let gradient = reference::backward(&logits, &targets, &weights);
        let loss =
            |logits: &[f32]| weighted_sum(&reference::forward(logits, &targets)[0], &weights);
        assert_gradient(&logits, &gradient, loss);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let (mut losses, mut sums) = ([0.0], [0.0]);
        forward(&[1e4, -1e4, 0.0], &[0], &mut losses, &mut sums);
        assert_eq!((losses[0], sums[0]), (0.0, 1e4));
    }

    #[test]
    #[should_panic(expected = "not one of 3 classes")]
    fn unknown_classes_are_refused() {
        forward(&[0.0; 3], &[-100], &mut [0.0], &mut [0.0]);
    }

    #[test]
    fn levels_agree() {
        let row = logits(1500);
        let run = |level| {
            let mut target = vec![0.0; row.len()];
            scaled_softmax(level, &row, 3.0, 0.5, &mut target);
            (log_sum_exp(level, &row), target)
        };
        for level in levels() {
            assert_eq!(run(level), run(Isa::Portable));
        }
    }
}
