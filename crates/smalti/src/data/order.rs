//! In which order pictures are shown: one shuffled pass over all of them after another, each pass (epoch) found from the
//! seed and its number alone.

use rand::seq::SliceRandom;

use super::random::{Purpose, stream};

/// The endless sequence of item indices. Position `p` lies in epoch `p / count`.
pub(crate) struct Order {
    seed: u64,
    count: usize,
    epoch: Option<u64>,
    permutation: Vec<usize>,
}

impl Order {
    /// The order of `count` items (at least one).
    pub(crate) fn new(seed: u64, count: usize) -> Self {
        Self {
            seed,
            count,
            epoch: None,
            permutation: Vec::new(),
        }
    }

    /// The item at a position of the sequence. Only the epoch asked for last is held, so neighbouring positions are
    /// cheap; any position may be asked for.
    pub(crate) fn item(&mut self, position: u64) -> usize {
        let epoch = position / self.count as u64;
        if self.epoch != Some(epoch) {
            self.permutation = (0..self.count).collect();
            self.permutation
                .shuffle(&mut stream(self.seed, Purpose::Epoch, epoch));
            self.epoch = Some(epoch);
        }
        self.permutation[(position % self.count as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_shows_every_item_once() {
        let mut order = Order::new(7, 10);
        let epochs: Vec<Vec<usize>> = (0..3)
            .map(|epoch| {
                (0..10)
                    .map(|place| order.item(epoch * 10 + place))
                    .collect()
            })
            .collect();
        for epoch in &epochs {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(epochs[0], epochs[1]);
    }

    #[test]
    fn positions_may_be_asked_for_in_any_order() {
        let mut forwards = Order::new(1, 4);
        let sequence: Vec<usize> = (0..12).map(|position| forwards.item(position)).collect();
        let mut backwards = Order::new(1, 4);
        for position in (0..12).rev() {
            assert_eq!(backwards.item(position), sequence[position as usize]);
        }
    }
}
