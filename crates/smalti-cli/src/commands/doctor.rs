//! `smalti doctor`: what is wrong with a training, and what to change.

use crate::{Common, output};
use clap::Args;
use serde_json::json;
use smalti::Result;
use smalti::doctor::{Finding, Kind, Severity, examine};
use std::path::PathBuf;

#[derive(Args)]
pub struct Doctor {
    /// A run folder
    run: PathBuf,
}

impl Doctor {
    pub fn run(self, common: &Common) -> Result<()> {
        let (record, findings) = examine(&self.run)?;
        let run = self.run.display().to_string();
        let json = json!({
            "run": run,
            "stage": record.kind.name(),
            "step": record.log.step,
            "findings": findings,
        });
        output::print(common, json, || lines(&run, record.kind, &findings));
        Ok(())
    }
}

/// The findings under their severity, and how settings are changed if any is advised.
fn lines(run: &str, kind: Kind, findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut heading = None;
    for finding in findings {
        if heading != Some(finding.severity) {
            if heading.is_some() {
                lines.push(String::new());
            }
            lines.push(name(finding.severity).to_string());
            heading = Some(finding.severity);
        }
        lines.push(format!("  {}", finding.title));
        lines.push(format!("    {}", finding.evidence));
        let advice = finding.advice.iter();
        lines.extend(advice.map(|advice| format!("    - {advice}")));
    }
    let advised = |finding: &Finding| finding.advice.iter().any(|line| line.contains("--set"));
    if findings.iter().any(advised) {
        lines.push(String::new());
        lines.push(format!(
            "to change settings and go on: smalti train {} --resume {run} --set key=value",
            kind.name()
        ));
    }
    lines
}

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Bad => "bad",
        Severity::Warn => "to watch",
        Severity::Good => "good",
        Severity::Info => "to know",
    }
}
