//! What the doctor says: a finding, and how it writes numbers.

use serde::Serialize;

/// How much a finding matters, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The run will come to nothing as it is.
    Bad,
    /// Something costs quality or time.
    Warn,
    /// What is as it should be.
    Good,
    /// Worth knowing.
    Info,
}

/// Something that a run's figures show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// The name of the rule that found it; docs/troubleshooting.md has a heading for each.
    pub rule: &'static str,
    pub title: String,
    /// The figures, and the steps they are of.
    pub evidence: String,
    /// What to change, in sentences; settings are written as `--set key=value`.
    pub advice: Vec<String>,
}

impl Finding {
    pub(super) fn new(
        severity: Severity,
        rule: &'static str,
        title: impl Into<String>,
        evidence: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            rule,
            title: title.into(),
            evidence: evidence.into(),
            advice: Vec::new(),
        }
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice.push(advice.into());
        self
    }

    /// [`Finding::advise`] where `applies`.
    pub(super) fn advise_if(self, applies: bool, advice: impl Into<String>) -> Self {
        if applies { self.advise(advice) } else { self }
    }
}

/// Four digits, whatever the size.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = (3 - size.log10().floor() as i32).max(0) as usize;
    format!("{value:.digits$}")
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The nearest value of two digits, to be advised as a setting.
pub(super) fn rounded(value: f64) -> f64 {
    if !(1e-9..1e9).contains(&value) {
        return value;
    }
    let exponent = value.log10().floor() as i32 - 1;
    if exponent >= 0 {
        let unit = 10f64.powi(exponent);
        (value / unit).round() * unit
    } else {
        // Dividing by a power of ten gives the number that a person would have typed.
        let parts = 10f64.powi(-exponent);
        (value * parts).round() / parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.12346, "0.1235"),
            (21.449, "21.45"),
            (-3.0, "-3.000"),
            (65536.4, "65536"),
            (1.5e-7, "1.50e-7"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(percent(0.0029), "0.3 %");
    }

    #[test]
    fn advised_values_have_two_digits() {
        for (value, text) in [
            (0.000_133_333, "0.00013"),
            (0.0005, "0.0005"),
            (1234.0, "1200"),
        ] {
            assert_eq!(rounded(value).to_string(), text);
        }
        assert_eq!(rounded(0.0), 0.0);
        assert!(rounded(f64::NAN).is_nan());
    }
}
