//! Helpers of the tests: repeatable data, comparisons and thread pools of a chosen size.

use crate::dispatch::Isa;

/// Repeatable numbers in -1..1, different for each seed.
pub(crate) fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Instruction set levels this machine can run.
pub(crate) fn levels() -> Vec<Isa> {
    let all = Isa::ALL.into_iter();
    all.filter(|isa| isa.is_available()).collect()
}

/// Runs `work` in a pool of its own.
pub(crate) fn in_pool<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("a thread pool").install(work)
}

/// Fails unless every number is near its truth, relative to the larger of the truth and one.
pub(crate) fn assert_close(actual: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(actual.len(), expected.len(), "length of {what}");
    for (index, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(actual) - expected).abs();
        assert!(
            error <= tolerance * expected.abs().max(1.0),
            "{what}[{index}]: {actual} instead of {expected}"
        );
    }
}

/// Sum of products: turns a tensor into a loss whose gradient is `weights`.
pub(crate) fn weighted_sum(values: &[f64], weights: &[f32]) -> f64 {
    assert_eq!(values.len(), weights.len());
    let products = values.iter().zip(weights).map(|(v, &w)| v * f64::from(w));
    products.sum()
}

/// Fails unless `gradient` agrees with central differences of `loss` around `point`.
pub(crate) fn assert_gradient(point: &[f32], gradient: &[f64], loss: impl Fn(&[f32]) -> f64) {
    assert_eq!(point.len(), gradient.len());
    const STEP: f32 = 1.0 / 1024.0;
    for (index, &expected) in gradient.iter().enumerate() {
        let moved = |by: f32| {
            let mut moved = point.to_vec();
            moved[index] += by;
            (f64::from(moved[index]), loss(&moved))
        };
        let ((right, above), (left, below)) = (moved(STEP), moved(-STEP));
        let slope = (above - below) / (right - left);
        assert!(
            (slope - expected).abs() <= 2e-4 * expected.abs().max(1.0),
            "gradient[{index}]: {expected}, difference quotient {slope}"
        );
    }
}
