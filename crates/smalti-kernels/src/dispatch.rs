//! Choice of the instruction set for loops that the compiler vectorises.
//!
//! The crate is built for the oldest supported processor. Each hot loop is therefore compiled
//! several times from one body, and the best version the processor can run is taken when it is
//! called. `SMALTI_ISA` (`portable`, `avx2`, `avx512` or `amx`) forces one of them. The bodies never
//! fuse a multiplication with an addition, so all versions give the same bits; only the matrix
//! products of [`crate::microkernel`] differ from level to level.

use std::env::{self, VarError};
use std::sync::OnceLock;

const VARIABLE: &str = "SMALTI_ISA";

/// An instruction set that loops are compiled for, from the least to the most capable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What every processor of the target architecture has.
    Portable,
    /// 256-bit vectors (AVX2 and FMA).
    Avx2,
    /// 512-bit vectors (AVX-512 F, BW, DQ and VL; BF16 where the processor has it).
    Avx512,
    /// Tiles of bf16 (AMX), beside AVX-512 with BF16.
    Amx,
}

impl Isa {
    /// Every level, in ascending order.
    pub const ALL: [Isa; 4] = [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Amx];

    /// The level asked for by the environment, or the best available one if none is named.
    ///
    /// # Errors
    /// When the variable holds an unknown name or a level this processor lacks.
    pub fn from_env() -> Result<Isa, String> {
        match env::var(VARIABLE) {
            Ok(name) => Isa::parse(&name),
            Err(VarError::NotPresent) => Ok(Isa::best()),
            Err(VarError::NotUnicode(_)) => Err(format!("{VARIABLE} is not valid text")),
        }
    }

    /// The most capable level of this processor.
    pub fn best() -> Isa {
        let available = Isa::ALL.into_iter().rev().find(|isa| isa.is_available());
        available.unwrap_or(Isa::Portable)
    }

    /// Whether this processor can run code compiled for the level.
    pub fn is_available(self) -> bool {
        // Asked in every kernel, so found out once.
        static FOUND: OnceLock<Isa> = OnceLock::new();
        let best = FOUND.get_or_init(|| {
            let found = Isa::ALL.into_iter().rev().find(|isa| isa.detect());
            found.unwrap_or(Isa::Portable)
        });
        self <= *best
    }

    #[cfg(target_arch = "x86_64")]
    fn detect(self) -> bool {
        match self {
            Isa::Portable => true,
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Isa::Avx512 => {
                Isa::Avx2.detect()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            Isa::Amx => {
                Isa::Avx512.detect()
                    && is_x86_feature_detected!("avx512bf16")
                    && crate::amx::is_available()
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detect(self) -> bool {
        self == Isa::Portable
    }

    fn parse(name: &str) -> Result<Isa, String> {
        let isa = match name {
            "portable" => Isa::Portable,
            "avx2" => Isa::Avx2,
            "avx512" => Isa::Avx512,
            "amx" => Isa::Amx,
            _ => {
                return Err(format!(
                    "{VARIABLE}={name}: expected portable, avx2, avx512 or amx"
                ));
            }
        };
        if isa.is_available() {
            Ok(isa)
        } else {
            Err(format!("{VARIABLE}={name}: this processor lacks it"))
        }
    }
}

/// The level all kernels use, decided at the first call.
///
/// An unusable value in the environment is ignored here; [`Isa::from_env`] reports it.
pub fn isa() -> Isa {
    static CHOSEN: OnceLock<Isa> = OnceLock::new();
    *CHOSEN.get_or_init(|| Isa::from_env().unwrap_or_else(|_| Isa::best()))
}

/// Defines a function whose body is compiled once per [`Isa`]; the level becomes its first
/// argument. Everything the body calls must be `#[inline(always)]`, or it stays portable code.
macro_rules! vectorised {
    (
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident $(<$($type:ident: $bound:ident),+>)?
        ($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)?
        $body:block
    ) => {
        $(#[$attribute])*
        $visibility fn $name $(<$($type: $bound),+>)? (
            isa: $crate::dispatch::Isa,
            $($argument: $kind),*
        ) $(-> $result)? {
            #[inline(always)]
            fn body $(<$($type: $bound),+>)? ($($argument: $kind),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$($type: $bound),+>)? ($($argument: $kind),*) $(-> $result)? {
                body($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512 $(<$($type: $bound),+>)? ($($argument: $kind),*) $(-> $result)? {
                body($($argument),*)
            }

            match isa {
                #[cfg(target_arch = "x86_64")]
                $crate::dispatch::Isa::Amx | $crate::dispatch::Isa::Avx512
                    if $crate::dispatch::Isa::Avx512.is_available() =>
                {
                    // SAFETY: the guard found every feature the function is compiled for.
                    unsafe { avx512($($argument),*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::dispatch::Isa::Avx2 if isa.is_available() => {
                    // SAFETY: the guard found every feature the function is compiled for.
                    unsafe { avx2($($argument),*) }
                }
                _ => body($($argument),*),
            }
        }
    };
}
pub(crate) use vectorised;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::levels;

    vectorised! {
        fn add(left: &[f32], right: &mut [f32]) -> usize {
            for (target, value) in right.iter_mut().zip(left) {
                *target += value;
            }
            left.len()
        }
    }

    #[test]
    fn names_are_parsed() {
        assert_eq!(Isa::parse("portable"), Ok(Isa::Portable));
        assert!(Isa::parse("AVX9").unwrap_err().contains("expected"));
        for level in levels() {
            assert!(level <= Isa::best());
        }
    }

    #[test]
    fn every_level_runs_the_same_body() {
        for level in levels() {
            let mut sums = vec![1.0; 37];
            assert_eq!(add(level, &[2.0; 37], &mut sums), 37);
            assert_eq!(sums, vec![3.0; 37]);
        }
    }
}
