//! Memory: how much of it the machine has, and with what a computation ends when there is none left.

use crate::training::plan::bytes;
use std::fmt;
use std::fs;

/// Where the limits of control groups of either version stand.
const GROUPS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// The payload of the panic with which a computation ends when the system has no memory left for it: kernels have no
/// errors to return. Whoever starts the computation can tell it from a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory {
    /// How many bytes were asked for last.
    pub bytes: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "out of memory: {} more was asked for",
            bytes(self.bytes as f64)
        )
    }
}

/// How many bytes of memory the machine has, or the control group has that the program runs in. `None` where the system
/// does not say.
pub fn of_machine() -> Option<f64> {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let limits = GROUPS.map(|path| text(path).trim().parse::<u64>().ok());
    let limits = limits.into_iter().flatten().map(|limit| limit as f64);
    limits.chain(total(&text("/proc/meminfo"))).reduce(f64::min)
}

/// The bytes of `MemTotal:  16384 kB`.
fn total(meminfo: &str) -> Option<f64> {
    let mut lines = meminfo.lines();
    let line = lines.find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024.0 * kilobytes as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read() {
        let text = "Foo:  1 kB\nMemTotal:       16315940 kB\nMemFree:  5 kB\n";
        assert_eq!(total(text), Some(16_315_940.0 * 1024.0));
        for text in ["", "MemTotal: 5 MB", "MemTotal: much kB"] {
            assert_eq!(total(text), None);
        }
        assert!(of_machine().is_none_or(|bytes| bytes > 1e6));
    }
}
