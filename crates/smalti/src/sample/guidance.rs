//! Classifier-free guidance: away from what a picture under no condition would be (Ho and Salimans, 2022).

use crate::error::{Error, Result};

/// How much a condition is stressed, and in which part of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guidance {
    /// Logits are `unconditional + scale · (conditional − unconditional)`. At 1 nothing changes, and nothing more is
    /// computed.
    pub scale: f64,
    /// The part of the codes, from 0 to 1, that it begins with.
    pub from: f64,
    /// The part that it ends before.
    pub to: f64,
}

impl Default for Guidance {
    fn default() -> Self {
        Self {
            scale: 1.0,
            from: 0.0,
            to: 1.0,
        }
    }
}

impl Guidance {
    /// Says what is wrong with values out of range.
    pub fn check(&self) -> Result<()> {
        if !(self.scale >= 0.0 && self.scale.is_finite()) {
            return Err(Error::input(format!(
                "--guidance is {}; it must be at least 0 (1 is none)",
                self.scale
            )));
        }
        let share = 0.0..=1.0;
        if !(share.contains(&self.from) && share.contains(&self.to) && self.from <= self.to) {
            return Err(Error::input(format!(
                "--guidance-from is {} and --guidance-to is {}; they are parts of the picture from 0 to 1, the first \
                 not above the second",
                self.from, self.to
            )));
        }
        Ok(())
    }

    /// Whether anything is to be computed for it.
    pub fn is_on(&self) -> bool {
        self.scale != 1.0 && self.from < self.to
    }

    /// Whether it holds at a code, `fraction` of the way into the picture.
    pub(super) fn holds(&self, fraction: f64) -> bool {
        self.is_on() && self.from <= fraction && fraction < self.to
    }

    /// Replaces `out` by the guided logits.
    pub(super) fn combine(&self, conditional: &[f32], unconditional: &[f32], out: &mut Vec<f32>) {
        let scale = self.scale as f32;
        let pairs = conditional.iter().zip(unconditional);
        out.clear();
        out.extend(pairs.map(|(with, without)| without + scale * (with - without)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_move_away_from_the_unconditional_ones() {
        let guidance = Guidance {
            scale: 3.0,
            ..Guidance::default()
        };
        let mut out = vec![9.0];
        guidance.combine(&[1.0, 2.0], &[0.5, 3.0], &mut out);
        assert_eq!(out, [2.0, 0.0]);
    }

    #[test]
    fn it_holds_in_its_part_only() {
        let guidance = Guidance {
            scale: 2.0,
            from: 0.25,
            to: 0.75,
        };
        let holds = [0.0, 0.25, 0.5, 0.75, 0.99].map(|fraction| guidance.holds(fraction));
        assert_eq!(holds, [false, true, true, false, false]);
        let none = Guidance {
            scale: 1.0,
            ..guidance
        };
        assert!(!none.is_on() && !none.holds(0.5));
        let whole = Guidance {
            scale: 2.0,
            ..Guidance::default()
        };
        assert!(whole.holds(0.0) && whole.holds(0.999));
    }

    #[test]
    fn impossible_parts_are_refused() {
        let default = Guidance::default();
        for wrong in [
            Guidance {
                scale: f64::NAN,
                ..default
            },
            Guidance {
                scale: -1.0,
                ..default
            },
            Guidance {
                from: 0.6,
                to: 0.5,
                ..default
            },
            Guidance { to: 1.5, ..default },
            Guidance {
                from: f64::NAN,
                ..default
            },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        assert!(default.check().is_ok());
    }
}
