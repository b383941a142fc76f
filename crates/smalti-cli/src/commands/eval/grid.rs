//! The combinations that a sweep goes through.

use serde::{Deserialize, Serialize};
use smalti::sample::Filter;
use smalti::{Error, Result};

/// One way to draw and to keep samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The share of the samples that is kept.
    pub accept: f64,
    /// 0: all codes.
    pub top_k: usize,
    /// 1: all codes.
    pub top_p: f64,
    pub temperature: f64,
}

/// What a sweep varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    Accept,
    TopK,
    TopP,
    Temperature,
}

pub const AXES: [Axis; 4] = [Axis::Accept, Axis::TopK, Axis::TopP, Axis::Temperature];

/// The values of every axis; the first of each go with those of the others.
#[derive(Debug, Clone)]
pub struct Lists {
    pub accept: Vec<f64>,
    pub top_k: Vec<usize>,
    pub top_p: Vec<f64>,
    pub temperature: Vec<f64>,
}

impl Axis {
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "acceptance rate",
            Self::TopK => "top-k",
            Self::TopP => "top-p",
            Self::Temperature => "temperature",
        }
    }

    pub fn value(self, cell: &Cell) -> f64 {
        match self {
            Self::Accept => cell.accept,
            Self::TopK => cell.top_k as f64,
            Self::TopP => cell.top_p,
            Self::Temperature => cell.temperature,
        }
    }

    /// As a person reads it.
    pub fn shown(self, cell: &Cell) -> String {
        match self.value(cell) {
            0.0 => "all".to_string(),
            value => value.to_string(),
        }
    }

    /// Whether values are far apart.
    pub fn is_logarithmic(self) -> bool {
        matches!(self, Self::Accept | Self::TopK)
    }
}

impl Cell {
    /// How its codes are drawn.
    pub fn filter(&self) -> Filter {
        Filter {
            temperature: self.temperature,
            top_k: (self.top_k > 0).then_some(self.top_k),
            top_p: (self.top_p < 1.0).then_some(self.top_p),
            ..Filter::default()
        }
    }

    /// `accept 0.05, top-k 100, top-p 1, temperature 1`.
    pub fn describe(&self) -> String {
        format!("accept {}, {}", self.accept, self.describe_drawing())
    }

    pub fn describe_drawing(&self) -> String {
        let top_k = Axis::TopK.shown(self);
        format!(
            "top-k {top_k}, top-p {}, temperature {}",
            self.top_p, self.temperature
        )
    }

    /// Groups of cells that differ only in what is kept, in the order in which they first occur.
    pub fn drawn_alike(cells: &[Cell]) -> Vec<Vec<Cell>> {
        let mut groups: Vec<Vec<Cell>> = Vec::new();
        for cell in cells {
            let alike = |group: &&mut Vec<Cell>| group[0].filter() == cell.filter();
            match groups.iter_mut().find(alike) {
                Some(group) => group.push(*cell),
                None => groups.push(vec![*cell]),
            }
        }
        groups
    }
}

impl Lists {
    /// All combinations, or only those in which at most one axis has another than its first value. None twice.
    ///
    /// # Errors
    /// An empty list, and values out of range.
    pub fn cells(&self, all: bool) -> Result<Vec<Cell>> {
        let base = self.base()?;
        let mut cells = vec![base];
        for accept in &self.accept {
            for &top_k in &self.top_k {
                for top_p in &self.top_p {
                    for temperature in &self.temperature {
                        let cell = Cell {
                            accept: *accept,
                            top_k,
                            top_p: *top_p,
                            temperature: *temperature,
                        };
                        check(&cell)?;
                        if (all || base.differs_in(&cell) <= 1) && !cells.contains(&cell) {
                            cells.push(cell);
                        }
                    }
                }
            }
        }
        Ok(cells)
    }

    /// Whether a cell has the first values of all axes but this one.
    pub fn is_along(&self, axis: Axis, cell: &Cell) -> bool {
        let Ok(base) = self.base() else { return false };
        AXES.into_iter()
            .all(|other| other == axis || other.value(cell) == other.value(&base))
    }

    fn base(&self) -> Result<Cell> {
        let first = (
            self.accept.first(),
            self.top_k.first(),
            self.top_p.first(),
            self.temperature.first(),
        );
        let (Some(&accept), Some(&top_k), Some(&top_p), Some(&temperature)) = first else {
            return Err(Error::input("a list of values to go through is empty"));
        };
        Ok(Cell {
            accept,
            top_k,
            top_p,
            temperature,
        })
    }
}

impl Cell {
    /// In how many axes another cell differs.
    fn differs_in(&self, other: &Cell) -> usize {
        let differs = |axis: &Axis| axis.value(self) != axis.value(other);
        AXES.iter().filter(|axis| differs(axis)).count()
    }
}

fn check(cell: &Cell) -> Result<()> {
    if !(cell.accept > 0.0 && cell.accept <= 1.0) {
        return Err(Error::input(format!(
            "--accept is {}; it must be above 0 and at most 1",
            cell.accept
        )));
    }
    if !(cell.top_p > 0.0 && cell.top_p <= 1.0) {
        return Err(Error::input(format!(
            "--top-p is {}; it must be above 0 and at most 1",
            cell.top_p
        )));
    }
    cell.filter().check()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Lists {
        Lists {
            accept: vec![1.0, 0.5, 0.05],
            top_k: vec![0, 100],
            top_p: vec![1.0],
            temperature: vec![1.0, 0.9],
        }
    }

    #[test]
    fn one_axis_at_a_time_or_all() {
        let one = lists().cells(false).unwrap();
        assert_eq!(one.len(), 1 + 2 + 1 + 1);
        assert_eq!(lists().cells(true).unwrap().len(), 3 * 2 * 2);
        let along = |axis: Axis| {
            one.iter()
                .filter(|cell| lists().is_along(axis, cell))
                .count()
        };
        assert_eq!(AXES.map(along), [3, 2, 1, 2]);
        let twice = Lists {
            accept: vec![1.0, 1.0],
            ..lists()
        };
        assert_eq!(twice.cells(false).unwrap().len(), 3);
    }

    #[test]
    fn shares_of_the_same_samples_are_drawn_together() {
        let groups = Cell::drawn_alike(&lists().cells(true).unwrap());
        let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 3, 3, 3]);
        assert!(Cell::drawn_alike(&[]).is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |lists: Lists, reason: &str| {
            let error = lists.cells(false).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        let accept = vec![1.0, 0.0];
        refused(Lists { accept, ..lists() }, "--accept is 0");
        let top_p = vec![f64::NAN];
        refused(Lists { top_p, ..lists() }, "--top-p is NaN");
        let temperature = vec![1.0, -1.0];
        refused(
            Lists {
                temperature,
                ..lists()
            },
            "--temperature is -1",
        );
        let top_k = Vec::new();
        refused(Lists { top_k, ..lists() }, "empty");
    }
}
