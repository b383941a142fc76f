//! Figures and the protocol of their measurement, as rows of text: the same ones on the terminal and on a page.

use serde_json::Value;
use smalti::metrics::Interval;

/// A row of a table: a figure, where it lies, and what is to be known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    pub name: String,
    pub value: String,
    /// The interval, or nothing.
    pub spread: String,
    /// A few words, or nothing.
    pub about: String,
}

impl Figure {
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            spread: String::new(),
            about: String::new(),
        }
    }

    /// With the interval it lies in, with so many decimals.
    pub fn within(self, interval: Option<&Interval>, decimals: usize) -> Self {
        let spread = interval.map_or(String::new(), |interval| {
            format!(
                "{:.decimals$} … {:.decimals$} ({:.0} %)",
                interval.low,
                interval.high,
                100.0 * interval.confidence
            )
        });
        Self { spread, ..self }
    }

    pub fn about(self, about: impl Into<String>) -> Self {
        Self {
            about: about.into(),
            ..self
        }
    }
}

/// The figures in columns.
pub fn table(figures: &[Figure]) -> Vec<String> {
    let width = |column: fn(&Figure) -> &str| {
        let widths = figures.iter().map(|figure| column(figure).chars().count());
        widths.max().unwrap_or(0)
    };
    let (names, values) = (
        width(|figure| figure.name.as_str()).max(9),
        width(|figure| figure.value.as_str()),
    );
    let spreads = width(|figure| figure.spread.as_str());
    let line = |figure: &Figure| {
        let Figure {
            name,
            value,
            spread,
            about,
        } = figure;
        let line = format!("{name:names$}  {value:values$}  {spread:spreads$}  {about}");
        line.trim_end().to_string()
    };
    figures.iter().map(line).collect()
}

/// What figures were measured with, an entry each: its name and its value.
pub fn protocol_entries(protocol: &Value) -> Vec<(String, String)> {
    let Value::Object(entries) = protocol else {
        return Vec::new();
    };
    let said = entries.iter().filter(|(_, value)| !value.is_null());
    said.map(|(name, value)| (name.replace('_', " "), plain(value)))
        .collect()
}

/// The same in columns.
pub fn protocol_lines(protocol: &Value) -> Vec<String> {
    let entries = protocol_entries(protocol);
    let widths = entries.iter().map(|(name, _)| name.chars().count());
    let width = widths.max().unwrap_or(0);
    entries
        .iter()
        .map(|(name, value)| format!("  {name:width$}  {value}"))
        .collect()
}

/// Without the signs of JSON: `a: 1, b: 2`.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(entries) => {
            let said = entries.iter().filter(|(_, value)| !value.is_null());
            let said = said.map(|(name, value)| format!("{name}: {}", plain(value)));
            said.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_stand_under_each_other() {
        let interval = Interval {
            estimate: 2.0,
            low: 1.0,
            high: 3.0,
            standard_error: 0.5,
            confidence: 0.95,
            resamples: 10,
        };
        let figures = [
            Figure::new("|x − x̂|", "0.1").about("mean"),
            Figure::new("PSNR", "20.00 dB").within(Some(&interval), 1),
        ];
        let lines = table(&figures);
        assert_eq!(lines[0].chars().position(|sign| sign == '0'), Some(11));
        assert_eq!(lines[1], "PSNR       20.00 dB  1.0 … 3.0 (95 %)");
    }

    #[test]
    fn protocols_are_said_plainly() {
        let protocol =
            json!({"picture_size": 16, "resize": null, "lpips": {"network": "vgg", "of": [1, 2]}});
        let lines = protocol_lines(&protocol);
        assert_eq!(
            lines,
            [
                "  picture size  16",
                "  lpips         network: vgg, of: 1, 2"
            ]
        );
        assert!(protocol_entries(&json!(3)).is_empty());
    }
}
