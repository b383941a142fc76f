//! How often each code of a codebook occurs in many grids of codes, and how two such counts differ: those of real
//! pictures and of samples, say.

use crate::error::{Error, Result};
use serde::Serialize;

/// Counts of codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeHistogram {
    counts: Vec<u64>,
}

/// What counts of codes tell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CodeFigures {
    /// Codes counted.
    pub codes: u64,
    pub codebook_size: usize,
    /// The share of the codebook that occurs.
    pub usage: f64,
    /// Of the codes' frequencies, in bits per code.
    pub entropy: f64,
    /// 2 to the power of the entropy: so many codes, used evenly, would have it.
    pub perplexity: f64,
    /// The frequency of the most frequent code.
    pub largest_share: f64,
}

impl CodeHistogram {
    /// Of no codes yet.
    pub fn new(codebook_size: usize) -> Self {
        Self {
            counts: vec![0; codebook_size],
        }
    }

    /// Of codes that were counted elsewhere: how often each occurs.
    pub fn of_counts(counts: Vec<u64>) -> Self {
        Self { counts }
    }

    /// Counts codes.
    ///
    /// # Errors
    /// [`Error::Input`] for a code outside the codebook; nothing is counted then.
    pub fn add(&mut self, codes: &[i64]) -> Result<()> {
        let size = self.counts.len();
        let place = |code: i64| usize::try_from(code).ok().filter(|&place| place < size);
        if let Some(code) = codes.iter().find(|&&code| place(code).is_none()) {
            return Err(Error::input(format!(
                "code {code} does not belong to a codebook of {size}"
            )));
        }
        for &code in codes {
            self.counts[code as usize] += 1;
        }
        Ok(())
    }

    /// Adds the counts of `other`.
    ///
    /// # Errors
    /// [`Error::Input`] for codebooks of different size.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.check_like(other)?;
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count += other;
        }
        Ok(())
    }

    /// How often each code occurs.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How often each code occurs, divided by all codes; zeros where there are none.
    pub fn frequencies(&self) -> Vec<f64> {
        let codes = self.codes().max(1) as f64;
        let shares = self.counts.iter().map(|&count| count as f64 / codes);
        shares.collect()
    }

    pub fn figures(&self) -> CodeFigures {
        let frequencies = self.frequencies();
        let used = self.counts.iter().filter(|&&count| count > 0).count();
        let entropy = entropy(&frequencies);
        CodeFigures {
            codes: self.codes(),
            codebook_size: self.counts.len(),
            usage: used as f64 / self.counts.len().max(1) as f64,
            entropy,
            perplexity: entropy.exp2(),
            largest_share: frequencies.iter().copied().fold(0.0, f64::max),
        }
    }

    /// The Jensen-Shannon divergence of the frequencies in bits: 0 for equal ones, 1 where no code occurs on both
    /// sides. Two draws from one distribution differ too, by about (1/n + 1/m) / (8 ln 2) times the codes in use, for n
    /// and m codes.
    ///
    /// # Errors
    /// [`Error::Input`] for codebooks of different size, or a side without codes.
    pub fn divergence(&self, other: &Self) -> Result<f64> {
        self.check_like(other)?;
        if self.codes() == 0 || other.codes() == 0 {
            return Err(Error::input("there are no codes to compare"));
        }
        let (one, other) = (self.frequencies(), other.frequencies());
        let both = one.iter().zip(&other);
        let mixture: Vec<f64> = both.map(|(one, other)| (one + other) / 2.0).collect();
        let divergence = entropy(&mixture) - (entropy(&one) + entropy(&other)) / 2.0;
        Ok(divergence.max(0.0))
    }

    fn codes(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn check_like(&self, other: &Self) -> Result<()> {
        let (one, other) = (self.counts.len(), other.counts.len());
        if one == other {
            return Ok(());
        }
        Err(Error::input(format!(
            "codes of a codebook of {one} and of one of {other} cannot be compared: they come from different tokenizers"
        )))
    }
}

/// In bits.
fn entropy(frequencies: &[f64]) -> f64 {
    let occurring = frequencies.iter().filter(|&&frequency| frequency > 0.0);
    let terms = occurring.map(|frequency| frequency * frequency.log2());
    // Not -0 where there is nothing to add.
    0.0 - terms.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(codes: &[i64]) -> CodeHistogram {
        let mut histogram = CodeHistogram::new(8);
        histogram.add(codes).unwrap();
        histogram
    }

    #[test]
    fn figures_by_hand() {
        let figures = of(&[0, 1, 2, 3, 3, 2, 1, 0]).figures();
        assert_eq!((figures.codes, figures.codebook_size), (8, 8));
        assert_eq!(
            [figures.usage, figures.entropy, figures.perplexity],
            [0.5, 2.0, 4.0]
        );
        assert_eq!(figures.largest_share, 0.25);
        let none = CodeHistogram::new(4).figures();
        assert_eq!([none.usage, none.entropy, none.perplexity], [0.0, 0.0, 1.0]);
    }

    #[test]
    fn divergences() {
        let one = of(&[0, 0, 1, 1]);
        assert_eq!(one.divergence(&of(&[1, 0])).unwrap(), 0.0);
        let apart = one.divergence(&of(&[2, 3, 4])).unwrap();
        assert!((apart - 1.0).abs() < 1e-12);
        // Halves in common: the mixture is (1/4, 1/2, 1/4).
        assert_eq!(one.divergence(&of(&[1, 2])).unwrap(), 0.5);
    }

    #[test]
    fn merged_as_if_added() {
        let mut one = of(&[0, 5, 5]);
        one.merge(&of(&[5, 7])).unwrap();
        assert_eq!(one, of(&[0, 5, 5, 5, 7]));
        assert_eq!(one.counts()[5], 3);
        assert_eq!(CodeHistogram::of_counts(one.counts().to_vec()), one);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut one = of(&[1]);
        for code in [8, -1, i64::MAX] {
            let error = one.add(&[0, code]).unwrap_err().to_string();
            assert!(error.contains(&code.to_string()), "{error}");
        }
        assert_eq!(one, of(&[1]));
        assert!(one.merge(&CodeHistogram::new(9)).is_err());
        assert!(one.divergence(&CodeHistogram::new(9)).is_err());
        assert!(one.divergence(&CodeHistogram::new(8)).is_err());
    }
}
