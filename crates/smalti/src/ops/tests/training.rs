//! What only a training needs: losses, and steps of Adam.

use super::*;
use burn::tensor::Int;

#[test]
fn feature_distances() {
    let weights = random([6], 3);
    compare(
        (
            random([2, 4, 3, 6], 1),
            random([2, 4, 3, 6], 2),
            random([1], 4),
        ),
        |l, r, a| feature_distance(l, r, weights.clone()) * a,
        |l, r, a| features::composed_feature_distance(l, r, weights.clone()) * a,
    );
}

#[test]
fn cross_entropies() {
    let targets = Tensor::<1, Int>::from_data([3, 0, 10, 3], &device());
    let logits = random([4, 11], 1).require_grad();
    let weights = random([4], 2);
    let run = |loss: Tensor<1>| {
        let gradients = (loss.clone() * weights.clone()).sum().backward();
        (loss, logits.grad(&gradients).unwrap())
    };
    let ours = run(cross_entropy(logits.clone(), targets.clone()));
    let truth = run(cross_entropy::composed(logits.clone(), targets));
    assert_near("loss", ours.0, truth.0);
    assert_near("gradient", ours.1, truth.1);
}

#[test]
fn adam_steps() {
    let plain = |seed| random([500], seed).without_autodiff();
    let mut ours = (plain(1), plain(2) * 0.0, plain(3) * 0.0);
    let mut truth = ours.clone();
    for step in 1..4 {
        let scalars = AdamStep {
            learning_rate: 0.01,
            beta1: 0.5,
            beta2: 0.9,
            epsilon: 1e-8,
            weight_decay: 0.1,
            step,
        };
        let gradient = plain(10 + step);
        ours = adam_step(ours.0, gradient.clone(), (ours.1, ours.2), scalars);
        truth = optimize::composed(truth.0, gradient, (truth.1, truth.2), scalars);
    }
    assert_near("parameter", ours.0, truth.0);
    assert_near("first moment", ours.1, truth.1);
    assert_near("second moment", ours.2, truth.2);
}
