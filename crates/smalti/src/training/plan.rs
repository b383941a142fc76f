//! How the plans of both stages put things.

use super::Budget;

/// Bytes that the program takes before it has a network: code, threads, pictures on their way.
pub const PROGRAM: f64 = 5e7;

/// `3000 steps (8.0 times through the data)` or `20 minutes`.
pub fn duration(budget: Budget, pictures: usize, batch: usize) -> String {
    match budget {
        Budget::Steps(steps) => {
            let epochs = (steps as f64 * batch as f64) / pictures.max(1) as f64;
            format!("{steps} steps ({epochs:.1} times through the data)")
        }
        Budget::Minutes(minutes) => format!("{minutes} minutes"),
    }
}

/// `330 MB` or `2.4 GB`.
pub fn bytes(bytes: f64) -> String {
    if bytes < 1e9 {
        format!("{:.0} MB", bytes / 1e6)
    } else {
        format!("{:.1} GB", bytes / 1e9)
    }
}
