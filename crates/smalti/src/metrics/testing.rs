//! Repeatable data for the tests.

/// Pseudo-random numbers in -1..1, different for each seed and exact in 32 bits; their variance is 1/3.
pub(super) fn uniform(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1_u32 << 23) - 1.0
    };
    (0..count).map(next).collect()
}

/// The same in single precision.
pub(super) fn uniform_f32(seed: u64, count: usize) -> Vec<f32> {
    let numbers = uniform(seed, count).into_iter();
    numbers.map(|number| number as f32).collect()
}
