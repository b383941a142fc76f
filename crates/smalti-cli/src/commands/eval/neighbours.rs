//! Samples beside the training pictures nearest to them: whether pictures were learned by heart.

use super::drawn::Drawing;
use crate::report::{Figure, Page, shown};
use image::RgbImage;
use serde_json::{Value, json};
use smalti::Result;
use smalti::data::{GRID_PADDING, grid};
use smalti::sample::neighbours::{Gallery, Neighbour};

/// Samples whose neighbours are looked for.
pub const WITH_NEIGHBOURS: usize = 16;

/// How many neighbours of each.
const NEAREST: usize = 5;

/// A sample beside its nearest training pictures.
pub struct Neighbours {
    row: Vec<RgbImage>,
    found: Vec<Neighbour>,
}

impl Neighbours {
    pub fn of(gallery: &Gallery, drawing: &Drawing, (codes, sample): (&[i64], &RgbImage)) -> Self {
        let all = gallery.neighbours(codes, sample);
        let found: Vec<Neighbour> = all.into_iter().take(NEAREST).collect();
        let near = found
            .iter()
            .map(|neighbour| gallery.picture(&drawing.model, neighbour.index));
        Self {
            row: std::iter::once(sample.clone()).chain(near).collect(),
            found,
        }
    }

    fn distances(&self) -> String {
        let distances = self
            .found
            .iter()
            .map(|found| format!("{:.1}", found.distance));
        distances.collect::<Vec<_>>().join(", ")
    }
}

/// As JSON, and how near the nearest is.
pub fn describe(neighbours: &[Neighbours]) -> (Value, Figure) {
    let row = |sample: &Neighbours| -> Vec<Value> {
        let found = sample.found.iter();
        found
            .map(|found| {
                json!({
                    "picture": found.index,
                    "distance": found.distance,
                    "equal_codes": found.equal_codes,
                })
            })
            .collect()
    };
    let rows: Vec<Vec<Value>> = neighbours.iter().map(row).collect();
    let nearest = neighbours.iter().filter_map(|sample| sample.found.first());
    let least = nearest
        .map(|found| found.distance)
        .fold(f64::INFINITY, f64::min);
    let figure = Figure::new("nearest", format!("{least:.1} levels")).about(format!(
        "the nearest training picture of any of the first {} samples",
        neighbours.len()
    ));
    (json!(rows), figure)
}

/// On a page, if there are any.
pub fn show(page: &mut Page, neighbours: &[Neighbours]) -> Result<()> {
    if neighbours.is_empty() {
        return Ok(());
    }
    page.heading("Beside the nearest training pictures");
    page.text(
        "Each row: a sample, then the nearest training pictures as the tokenizer gives them back, and their distances in \
         levels of 256.",
    );
    for sample in neighbours {
        let row: Vec<RgbImage> = sample.row.iter().map(shown).collect();
        let sheet = grid(&row, row.len(), GRID_PADDING);
        page.picture(&sheet, &sample.distances())?;
    }
    Ok(())
}
