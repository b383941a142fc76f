//! The generator behind numpy's `RandomState` (Matsumoto and Nishimura 1998, MT19937, seeded by `init_genrand`): the
//! authors' random order of codes is drawn from it.

const SIZE: usize = 624;
/// How far apart the two words are that a new word is made of.
const SHIFT: usize = 397;

pub struct MersenneTwister {
    words: [u32; SIZE],
    /// How many of the words have been handed out.
    used: usize,
}

impl MersenneTwister {
    pub fn new(seed: u32) -> Self {
        let mut words = [seed; SIZE];
        for place in 1..SIZE {
            let last = words[place - 1];
            words[place] = 1_812_433_253_u32
                .wrapping_mul(last ^ (last >> 30))
                .wrapping_add(place as u32);
        }
        Self { words, used: SIZE }
    }

    /// A number from 0 to `largest`: words with all bits above those of `largest` taken off, until one is small enough,
    /// as numpy does it.
    pub fn up_to(&mut self, largest: u32) -> u32 {
        let mask = largest
            .checked_next_power_of_two()
            .map_or(u32::MAX, |power| (power - 1) | largest);
        loop {
            let value = self.word() & mask;
            if value <= largest {
                return value;
            }
        }
    }

    fn word(&mut self) -> u32 {
        if self.used == SIZE {
            self.renew();
        }
        let mut word = self.words[self.used];
        self.used += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    fn renew(&mut self) {
        for place in 0..SIZE {
            let mixed =
                (self.words[place] & 0x8000_0000) | (self.words[(place + 1) % SIZE] & 0x7fff_ffff);
            let twisted = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
            self.words[place] = self.words[(place + SHIFT) % SIZE] ^ (mixed >> 1) ^ twisted;
        }
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first words of the authors' `init_genrand(5489)`, and the ten-thousandth, which C++ prescribes.
    #[test]
    fn words_are_the_published_ones() {
        let mut random = MersenneTwister::new(5489);
        let first: Vec<u32> = (0..3).map(|_| random.word()).collect();
        assert_eq!(first, [3_499_211_612, 581_869_302, 3_890_346_734]);
        let last = (3..10_000).map(|_| random.word()).last();
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut random = MersenneTwister::new(7);
        for largest in [0, 1, 2, 5, 255, 256, u32::MAX] {
            assert!((0..200).all(|_| random.up_to(largest) <= largest));
        }
        let seen: Vec<u32> = (0..200).map(|_| random.up_to(4)).collect();
        assert!((0..=4).all(|value| seen.contains(&value)));
    }
}
