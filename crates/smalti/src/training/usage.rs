//! How much of a codebook is in use. "Usage" means three things in the literature, so each figure says its own name:
//! over one batch, over the last 65,536 codes, and over the validation split.

use std::collections::VecDeque;

/// The length of the rolling window, LlamaGen's.
const WINDOW: usize = 65_536;

/// Counts of the codes that went by.
pub struct CodeUsage {
    counts: Vec<u32>,
    window: VecDeque<u32>,
}

/// The share of the codebook that occurs, and the perplexity, `exp` of the entropy of the codes in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsageFigures {
    pub usage: f64,
    pub perplexity: f64,
}

impl CodeUsage {
    pub fn new(codebook_size: usize) -> Self {
        Self {
            counts: vec![0; codebook_size],
            window: VecDeque::with_capacity(WINDOW),
        }
    }

    /// Adds codes, forgetting the oldest beyond the window.
    pub fn add(&mut self, codes: &[i64]) {
        for &code in codes {
            let code = code as u32;
            if self.window.len() == WINDOW
                && let Some(old) = self.window.pop_front()
            {
                self.counts[old as usize] -= 1;
            }
            self.window.push_back(code);
            self.counts[code as usize] += 1;
        }
    }

    /// The figures of the window.
    pub fn figures(&self) -> UsageFigures {
        UsageFigures::of_counts(&self.counts)
    }

    /// The figures of these codes alone.
    pub fn of(codes: &[i64], codebook_size: usize) -> UsageFigures {
        UsageFigures::of_counts(&count(codes.iter().copied(), codebook_size))
    }

    /// The window, oldest first, to be saved.
    pub fn window(&self) -> Vec<i64> {
        self.window.iter().map(|&code| i64::from(code)).collect()
    }
}

fn count(codes: impl Iterator<Item = i64>, codebook_size: usize) -> Vec<u32> {
    let mut counts = vec![0; codebook_size];
    for code in codes {
        counts[code as usize] += 1;
    }
    counts
}

impl UsageFigures {
    /// Of how often each code occurs.
    pub fn of_counts(counts: &[u32]) -> Self {
        let used = counts.iter().filter(|&&count| count > 0).count();
        Self {
            usage: used as f64 / counts.len() as f64,
            perplexity: entropy(counts).exp(),
        }
    }
}

fn entropy(counts: &[u32]) -> f64 {
    let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    let term = |&count: &u32| {
        let share = f64::from(count) / total;
        if count == 0 { 0.0 } else { -share * share.ln() }
    };
    counts.iter().map(term).sum()
}

/// The entropy of the codes' frequencies in nats per code: what a model that knows nothing but frequencies reaches.
pub fn unigram_entropy(codes: impl Iterator<Item = i64>, codebook_size: usize) -> f64 {
    entropy(&count(codes, codebook_size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_use_has_the_perplexity_of_its_size() {
        let figures = CodeUsage::of(&[0, 1, 2, 3, 3, 2, 1, 0], 8);
        assert!((figures.usage - 0.5).abs() < 1e-12);
        assert!((figures.perplexity - 4.0).abs() < 1e-9);
    }

    #[test]
    fn the_window_forgets() {
        let mut usage = CodeUsage::new(2);
        usage.add(&vec![0; WINDOW]);
        assert!((usage.figures().usage - 0.5).abs() < 1e-12);
        usage.add(&vec![1; WINDOW]);
        assert_eq!(usage.window(), vec![1; WINDOW]);
        assert!((usage.figures().perplexity - 1.0).abs() < 1e-9);
    }
}
