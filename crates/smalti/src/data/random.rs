//! Independent random streams, each found from what it is for and a number, so that no draw depends on an earlier one.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a random stream decides. Streams of different purposes never coincide, whatever their seeds and numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Which pictures are held out for validation.
    Split = 1,
    /// The order of the pictures in an epoch, numbered by epoch.
    Epoch = 2,
    /// The crop and the mirroring of one sample, numbered by its position in the stream of samples.
    Sample = 3,
    /// Which of its captions a picture is shown with, numbered by the sample's position.
    Caption = 4,
}

/// The generator of stream `number` of a purpose, under the run's `seed`.
pub(crate) fn stream(seed: u64, purpose: Purpose, number: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&number.to_le_bytes());
    key[16] = purpose as u8;
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn streams_repeat_and_differ() {
        let first = |seed, purpose, number| stream(seed, purpose, number).next_u64();
        let reference = first(1, Purpose::Epoch, 2);
        assert_eq!(reference, first(1, Purpose::Epoch, 2));
        assert_ne!(reference, first(2, Purpose::Epoch, 1));
        assert_ne!(reference, first(1, Purpose::Sample, 2));
        assert_ne!(reference, first(1, Purpose::Epoch, 3));
    }
}
