//! What the files of one kind begin as.

use crate::mutate::pick;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Files to be changed.
pub struct Seeds {
    /// Files that are read without an error.
    pub good: Vec<Vec<u8>>,
    /// Files made to do harm, which may be read or refused.
    pub bad: Vec<Vec<u8>>,
    /// Parts of files, where files are put together after the change.
    pub parts: Vec<Vec<u8>>,
}

impl Seeds {
    /// Files alone.
    pub fn files(good: Vec<Vec<u8>>, bad: Vec<Vec<u8>>) -> Self {
        Self {
            good,
            bad,
            parts: Vec::new(),
        }
    }

    /// All files: the good ones, then the others.
    pub fn all(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.good.iter().chain(&self.bad)
    }

    /// One of the files: a good one half of the times.
    pub fn any(&self, random: &mut ChaCha8Rng) -> &[u8] {
        let files = match random.random_bool(0.5) {
            true => &self.good,
            false => &self.bad,
        };
        pick::<Vec<u8>>(random, files)
    }
}
