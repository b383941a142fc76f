//! What came out, as lines on the terminal, as JSON, and as a page.

use super::paper::Reported;
use crate::report::Page;
use serde_json::{Value, json};
use smalti::Result;
use smalti::data::read_image;
use std::path::Path;

/// What is shown where a figure is not known.
const UNKNOWN: &str = "–";

/// A comparison, to be shown.
pub struct Shown {
    pub lines: Vec<String>,
    pub json: Value,
    pub page: Page,
}

impl Shown {
    /// A table of what was found.
    pub fn table(title: &str, headings: &[&str], rows: &[Vec<String>]) -> Self {
        let mut page = Page::new(title);
        page.table(headings, rows);
        Self {
            lines: columns(headings, rows),
            json: json!({"headings": headings, "rows": rows}),
            page,
        }
    }

    /// Something to be known of it.
    pub fn note(&mut self, text: &str) {
        self.lines.push(format!("note  {text}"));
        self.page.text(text);
    }

    /// A picture from a file that was written before.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn picture(&mut self, path: &Path, caption: &str) -> Result<()> {
        self.lines.push(format!("{}  {caption}", path.display()));
        self.page.picture(&read_image(path, [255; 3])?, caption)
    }

    /// What others report, below.
    pub fn paper(&mut self, reported: &Reported) {
        let texts = |row: &&[&str]| row.iter().map(ToString::to_string).collect();
        let rows: Vec<Vec<String>> = reported.rows.iter().map(texts).collect();
        self.lines.push(String::new());
        self.lines.push(reported.about.to_string());
        self.lines.extend(columns(reported.headings, &rows));
        self.page.heading("What is reported");
        self.page.text(reported.about);
        self.page.table(reported.headings, &rows);
    }
}

/// Rows below headings: names at the left, numbers below each other.
fn columns(headings: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let headings: Vec<String> = headings.iter().map(ToString::to_string).collect();
    let all: Vec<Vec<String>> = std::iter::once(headings)
        .chain(rows.iter().cloned())
        .collect();
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            }
        });
        let line = cells.collect::<Vec<String>>().join("  ");
        line.trim_end().to_string()
    };
    all.iter().map(line).collect()
}

/// A number with so many decimals, as a table has it.
pub fn decimals(value: Option<f64>, decimals: usize) -> String {
    match value {
        Some(value) => format!("{value:.decimals$}"),
        None => UNKNOWN.to_string(),
    }
}

/// Parameters in millions.
pub fn millions(parameters: usize) -> String {
    format!("{:.2} M", parameters as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [
            vec!["a".to_string(), "1.5".to_string()],
            vec!["longer".to_string(), decimals(None, 2)],
        ];
        let shown = Shown::table("title", &["name", "x"], &rows);
        assert_eq!(shown.lines, ["name      x", "a       1.5", "longer    –"]);
        assert_eq!(shown.json["rows"][1][1], UNKNOWN);
    }

    #[test]
    fn what_others_report_stands_below() {
        let reported = Reported {
            about: "elsewhere",
            headings: &["data", "y"],
            rows: &[&["b", "2"]],
        };
        let mut shown = Shown::table("title", &["name"], &[]);
        shown.paper(&reported);
        assert_eq!(shown.lines, ["name", "", "elsewhere", "data  y", "b     2"]);
        assert!(shown.page.html().contains("elsewhere"));
        assert_eq!(millions(2_650_000), "2.65 M");
    }
}
