//! The least time that a workload can take on this machine.

use crate::ops::Precision;
use smalti_kernels::ceiling;

/// A part of a workload that overlaps with no other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    /// Floating-point operations, two per multiply-add.
    pub flops: f64,
    /// What they multiply.
    pub precision: Precision,
    /// Bytes that have to come from memory meanwhile.
    pub bytes: f64,
}

/// What the machine can do at most, measured with all threads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceiling {
    /// Floating-point operations per second on f32.
    pub f32: f64,
    /// On bf16, with sums in f32.
    pub bf16: f64,
    /// Bytes per second read from memory.
    pub bandwidth: f64,
}

/// A least time and its reason.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    pub seconds: f64,
    /// What most of the time goes into: `multiply` or `memory`.
    pub by: &'static str,
}

impl Ceiling {
    /// Measures for about a second.
    pub fn measure() -> Self {
        let f32 = ceiling::multiply_rate_f32();
        Self {
            f32,
            // A value of bf16 can be multiplied as one of f32.
            bf16: ceiling::multiply_rate_bf16().max(f32),
            bandwidth: ceiling::read_bandwidth(),
        }
    }

    /// The least time that phases take, one after another. A phase multiplies and reads at the same time.
    pub fn bound(&self, phases: &[Phase]) -> Bound {
        let (mut multiply, mut memory) = (0.0, 0.0);
        for phase in phases {
            let rate = match phase.precision {
                Precision::F32 => self.f32,
                Precision::Bf16 => self.bf16,
            };
            let (multiplying, reading) = (phase.flops / rate, phase.bytes / self.bandwidth);
            if multiplying >= reading {
                multiply += multiplying;
            } else {
                memory += reading;
            }
        }
        Bound {
            seconds: multiply + memory,
            by: if multiply >= memory {
                "multiply"
            } else {
                "memory"
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_each_other_and_the_slower_half_of_each_counts() {
        let ceiling = Ceiling {
            f32: 100.0,
            bf16: 200.0,
            bandwidth: 10.0,
        };
        let phase = |flops, precision, bytes| Phase {
            flops,
            precision,
            bytes,
        };
        let networks = phase(300.0, Precision::F32, 5.0);
        let bound = ceiling.bound(&[networks]);
        assert_eq!((bound.seconds, bound.by), (3.0, "multiply"));
        let update = phase(0.0, Precision::F32, 20.0);
        let bound = ceiling.bound(&[networks, update]);
        assert_eq!((bound.seconds, bound.by), (5.0, "multiply"));
        let compact = phase(300.0, Precision::Bf16, 5.0);
        let bound = ceiling.bound(&[compact, update]);
        assert_eq!((bound.seconds, bound.by), (3.5, "memory"));
    }
}
