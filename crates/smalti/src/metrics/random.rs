//! Random streams of the metrics, each found from a seed and a number: no draw depends on an earlier one, so that
//! resamples can be drawn by any thread.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Stream `number` under `seed`.
pub(super) fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(number);
    random
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn streams_repeat_and_differ() {
        let first = |seed, number| stream(seed, number).next_u64();
        assert_eq!(first(1, 2), first(1, 2));
        assert_ne!(first(1, 2), first(2, 1));
        assert_ne!(first(1, 2), first(1, 3));
    }
}
