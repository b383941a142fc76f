//! The results of a sweep as a table, and as a page with plots along every list that has several values.

use super::grid::{AXES, Cell, Lists};
use super::results::Record;
use crate::report::page::Page;
use crate::report::plot::{Line, lines};
use serde_json::Value;
use smalti::metrics::{FigureNames, SetFigures};

/// What the columns of the table are called.
fn headings(names: &FigureNames) -> [&str; 9] {
    [
        "accept",
        "top-k",
        "top-p",
        "temperature",
        &names.frechet,
        &names.kernel,
        &names.score,
        "precision",
        "recall",
    ]
}

/// A row of the table.
fn row(record: &Record) -> Vec<String> {
    let known = |value: Option<f64>, decimals: usize| match value {
        Some(value) => format!("{value:.decimals$}"),
        None => "–".to_string(),
    };
    let SetFigures {
        frechet,
        kernel,
        manifold,
        score,
    } = &record.figures;
    let mut cells: Vec<String> = AXES.map(|axis| axis.shown(&record.cell)).to_vec();
    cells.push(format!("{:.2}", frechet.distance));
    cells.push(known(kernel.as_ref().map(|kernel| kernel.mean), 5));
    cells.push(known(score.as_ref().map(|score| score.mean), 2));
    cells.push(known(manifold.as_ref().map(|found| found.precision), 3));
    cells.push(known(manifold.as_ref().map(|found| found.recall), 3));
    cells
}

/// The table as lines of text, columns below each other.
pub fn text_table(records: &[&Record], names: &FigureNames) -> Vec<String> {
    let headings = headings(names).map(str::to_string).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(headings)
        .chain(records.iter().map(|record| row(record)))
        .collect();
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..AXES.len() + 5).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, &width)| format!("{cell:>width$}"))
            .collect();
        cells.join("  ")
    };
    rows.iter().map(line).collect()
}

/// The page: a table, and plots along every list that has several values.
pub fn page(lists: &Lists, records: &[&Record], names: &FigureNames, protocol: &Value) -> Page {
    // To draw among all codes is to draw among that many.
    let codes = protocol["codes"].as_f64().unwrap_or(1.0);
    let mut page = Page::new("Sweep");
    let rows: Vec<Vec<String>> = records.iter().map(|record| row(record)).collect();
    page.table(&headings(names), &rows);
    for axis in AXES {
        let along: Vec<&Record> = records
            .iter()
            .copied()
            .filter(|record| lists.is_along(axis, &record.cell))
            .collect();
        if along.len() < 2 {
            continue;
        }
        let x = |cell: &Cell| match axis.value(cell) {
            0.0 => codes,
            value => value,
        };
        let line = |name: &str, value: fn(&SetFigures) -> Option<f64>| {
            let point = |record: &&Record| Some((x(&record.cell), value(&record.figures)?));
            let mut points: Vec<(f64, f64)> = along.iter().filter_map(point).collect();
            points.sort_by(|left, right| left.0.total_cmp(&right.0));
            Line::new(name, points)
        };
        let frechet = line(&names.frechet, |figures| Some(figures.frechet.distance));
        let score = line(&names.score, |figures| Some(figures.score.as_ref()?.mean));
        let manifold = [
            line("precision", |figures| {
                Some(figures.manifold.as_ref()?.precision)
            }),
            line("recall", |figures| Some(figures.manifold.as_ref()?.recall)),
        ];
        let plots = [
            (&names.frechet, vec![frechet]),
            (&names.score, vec![score]),
            (&"precision and recall".to_string(), manifold.into()),
        ]
        .map(|(figure, drawn)| {
            let title = format!("{figure} by {}", axis.name());
            lines(&title, axis.name(), figure, &drawn, axis.is_logarithmic())
        });
        for plot in plots {
            page.plot(&plot);
        }
    }
    page.protocol(protocol);
    page
}
