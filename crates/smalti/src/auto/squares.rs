//! Which squares of the pictures both stages see: how large, from how large a picture, how many codes they become, and
//! how large a tokenizer there is time for.

use super::{Choice, Facts};
use crate::error::{Error, Result};

/// Pixels of pictures that the preset `small` learns from in a second, per thread (30 pictures of 32 × 32 on two).
const SPEED: f64 = 15_000.0;

/// More threads than this are not faster with networks of this size.
const MOST_THREADS: usize = 64;

/// So many squares until a tokenizer shows more than colours.
const ENOUGH: f64 = 12_000.0;

/// So many until the preset `base` is better than `small`, and so many different ones that it does not learn them by
/// heart.
const ENOUGH_FOR_BASE: f64 = 60_000.0;
const DIFFERENT_FOR_BASE: f64 = 5_000.0;

/// Pictures up to this side are learned whole.
const WHOLE: usize = 80;

/// The preset `tiny` has too few parameters for larger squares.
const TINY_SIDE: usize = 64;

/// Sides that parts or smaller versions of larger pictures have.
const SIDES: [usize; 4] = [256, 128, 64, 32];

/// Pictures are cut into parts until there are about so many different ones.
const DIFFERENT: f64 = 256.0;

/// More than this share of too small pictures is enlarged and not left out.
const LEFT_OUT: f64 = 0.05;

/// A preset of the network's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Tiny,
    Small,
    Base,
}

impl Shape {
    /// The preset's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Base => "base",
        }
    }

    /// How fast it learns, as a multiple of `small`.
    fn speed(self) -> f64 {
        match self {
            Self::Tiny => 2.7,
            Self::Small => 1.0,
            Self::Base => 0.25,
        }
    }
}

/// What of the pictures is learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Squares {
    /// Side of the squares in pixels.
    pub size: usize,
    /// What the shorter side of a picture is brought to before; 0 is `size`.
    pub resize: usize,
    /// Pixels per code along a side.
    pub factor: usize,
    pub shape: Shape,
    pub enlarge: bool,
    /// How many squares there are that do not lie over each other.
    pub different: f64,
}

impl Squares {
    /// Chooses them for a tokenizer that has so many minutes.
    ///
    /// # Errors
    /// A size wished for that no network has.
    pub(super) fn choose(
        facts: &Facts,
        wish: Option<usize>,
        minutes: f64,
        choices: &mut Vec<Choice>,
    ) -> Result<Self> {
        let seconds = 60.0 * minutes * facts.threads.min(MOST_THREADS) as f64;
        let seen = |size: usize, shape: Shape| {
            seconds * SPEED * shape.speed() / (size * size).max(1) as f64
        };
        let (size, reason) = match wish {
            Some(size) => (checked(size)?, "as asked".to_string()),
            None => size(facts, &seen),
        };
        choices.push(Choice::new(
            "size",
            format!("{size} × {size} pixels"),
            reason,
        ));
        let (resize, reason) = resize(facts, size);
        let shown = if resize == 0 { size } else { resize };
        choices.push(Choice::new(
            "shorter side",
            format!("{shown} pixels"),
            reason,
        ));
        let different = facts.pictures as f64 * (shown as f64 / size as f64).powi(2);
        let shape = shape(different, &|shape| seen(size, shape), choices);
        let factor = factor(size);
        let codes = size / factor;
        choices.push(Choice::new(
            "codes",
            format!("{codes} × {codes} (f {factor})"),
            "a prior reads up to 20 × 20 codes easily",
        ));
        Ok(Self {
            size,
            resize,
            factor,
            shape,
            enlarge: enlarge(facts, shown, choices),
            different,
        })
    }

    /// Codes of a square.
    pub(super) fn codes(&self) -> usize {
        (self.size / self.factor).pow(2)
    }

    /// Whether a picture has several of them.
    pub(super) fn are_parts(&self) -> bool {
        self.resize > self.size
    }
}

/// A size that was asked for.
fn checked(size: usize) -> Result<usize> {
    let factor = factor(size);
    if (factor..=1 << 15).contains(&size) && size.is_multiple_of(factor) {
        return Ok(size);
    }
    Err(Error::input(format!(
        "--size is {size}; it must be a multiple of {factor}, the pixels of a code at that size, and at most 32768"
    )))
}

/// The largest side at which enough squares can be seen.
fn size(facts: &Facts, seen: &dyn Fn(usize, Shape) -> f64) -> (usize, String) {
    let side = facts.side();
    let whole = (side / 4 * 4).max(4);
    if side <= WHOLE && facts.pixel_art {
        return (whole, "pixel art keeps its own pixels".into());
    }
    let mut candidates: Vec<usize> = SIDES.into_iter().filter(|&side| side < whole).collect();
    if side <= WHOLE || candidates.is_empty() || SIDES.contains(&whole) {
        candidates.insert(0, whole);
    }
    let affordable = |&size: &usize| {
        let tiny_will_do = size <= TINY_SIDE && seen(size, Shape::Tiny) >= ENOUGH;
        tiny_will_do || seen(size, Shape::Small) >= ENOUGH
    };
    let found = candidates.iter().copied().find(affordable);
    match (found, candidates.last()) {
        (Some(size), _) if size == whole => (size, "the pictures' own size".into()),
        (Some(size), _) => (size, "the most there is time for".into()),
        (None, Some(&size)) => (size, "small, for there is little time".into()),
        (None, None) => (whole, "the pictures' own size".into()),
    }
}

/// What the shorter side becomes before squares are cut, 0 being their own side.
fn resize(facts: &Facts, size: usize) -> (usize, String) {
    let side = facts.side();
    let wanted = if facts.pixel_art {
        side
    } else {
        (size as f64 * (DIFFERENT / facts.pictures.max(1) as f64).sqrt()) as usize
    };
    let resize = wanted.min(side);
    if resize <= size {
        return (
            0,
            "one square of every picture, whole along its shorter side".into(),
        );
    }
    let reason = if facts.pixel_art {
        "pixel art is cut, not scaled"
    } else {
        "so few pictures are learned in parts, at random places"
    };
    (resize, reason.into())
}

fn shape(different: f64, seen: &dyn Fn(Shape) -> f64, choices: &mut Vec<Choice>) -> Shape {
    let (shape, reason) = if seen(Shape::Base) >= ENOUGH_FOR_BASE && different >= DIFFERENT_FOR_BASE
    {
        (Shape::Base, "there is time and there are pictures for it")
    } else if seen(Shape::Small) >= ENOUGH {
        (Shape::Small, "it sees enough pictures in the time there is")
    } else {
        (
            Shape::Tiny,
            "a larger one would see too few pictures in the time there is",
        )
    };
    let about = format!("about {:.0} squares seen", seen(shape));
    choices.push(Choice::new(
        "network",
        shape.name(),
        format!("{reason} ({about})"),
    ));
    shape
}

/// Pixels per code along a side: at most 20 codes as long as codes of 16 pixels do.
fn factor(size: usize) -> usize {
    match size {
        0..=80 => 4,
        81..=160 => 8,
        161..=320 => 16,
        _ => 32,
    }
}

fn enlarge(facts: &Facts, shorter_side: usize, choices: &mut Vec<Choice>) -> bool {
    let smaller = facts.smaller_than(shorter_side);
    if smaller == 0.0 {
        return false;
    }
    let enlarge = smaller > LEFT_OUT;
    let value = if enlarge { "enlarged" } else { "left out" };
    let reason = format!(
        "{:.0} % of the pictures are smaller than {shorter_side} pixels",
        100.0 * smaller
    );
    choices.push(Choice::new("small ones", value, reason));
    enlarge
}
