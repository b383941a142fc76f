//! How long a workload takes and how much memory it needs.

use crate::error::Result;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Runs a workload once and says how long the part of it took that counts.
pub(super) type Repetition = Box<dyn FnMut() -> Result<Duration>>;

/// Without a number of repetitions: about this many seconds, and at least so many.
const SECONDS: f64 = 10.0;
const LEAST: usize = 3;

/// How long `work` takes.
pub(super) fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

/// The median of `repeats` repetitions, or of as many as the time allows, after one that does not count.
pub(super) fn median_time(repetition: &mut Repetition, repeats: Option<usize>) -> Result<Duration> {
    repetition()?;
    let start = Instant::now();
    let mut times = Vec::new();
    while !enough(times.len(), start.elapsed().as_secs_f64(), repeats) {
        times.push(repetition()?);
    }
    Ok(median(times))
}

/// Whether one more repetition than `done`, which took `seconds` together, would be too many.
fn enough(done: usize, seconds: f64, repeats: Option<usize>) -> bool {
    match repeats {
        Some(repeats) => done >= repeats.max(1),
        None => done >= LEAST && seconds * (done + 1) as f64 / done as f64 > SECONDS,
    }
}

/// The middle one, or the mean of the two in the middle. There must be one.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let middle = times.len() / 2;
    if times.len().is_multiple_of(2) {
        (times[middle - 1] + times[middle]) / 2
    } else {
        times[middle]
    }
}

/// The most memory this process ever held, in units of 2²⁰ bytes, where the system says it.
pub(super) fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    peak_of(&status)
}

fn peak_of(status: &str) -> Option<f64> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = value.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let times =
            |times: &[u64]| median(times.iter().copied().map(Duration::from_secs).collect());
        assert_eq!(times(&[9, 1, 3]), Duration::from_secs(3));
        assert_eq!(times(&[8, 1, 3, 2]), Duration::from_millis(2500));
    }

    #[test]
    fn repetitions_end() {
        assert!(!enough(0, 0.0, None) && !enough(2, 60.0, None) && enough(3, 9.0, None));
        assert!(!enough(3, 7.0, None));
        assert!(!enough(1, 60.0, Some(2)) && enough(2, 0.0, Some(2)));
    }

    #[test]
    fn the_peak_is_read_from_the_status_of_the_process() {
        let status = "Name:\tsmalti\nVmHWM:\t  204800 kB\nVmRSS:\t  1024 kB\n";
        assert_eq!(peak_of(status), Some(200.0));
        assert_eq!(peak_of("Name:\tsmalti\n"), None);
    }
}
