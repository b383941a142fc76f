//! `smalti bench`: how fast this program is here, and how near to what the machine could do.

use crate::{Common, models, output, parse_weights, progress};
use clap::Args;
use serde_json::{Value, json};
use smalti::bench::{self, Bound, Ceiling, Measurement, Size, Spec, WORKLOADS, WeightFormat};
use smalti::ops::Precision;
use smalti::{Error, Result};
use std::process::{Command, Stdio};

#[derive(Args)]
pub struct Bench {
    /// Workloads: reconstruct-256, encode-256, decode-256, tokenizer-step, prior-step, prior-decode, sample-256,
    /// window-32x32
    /// [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// What weights are kept in when codes are drawn: f32, bf16, int8 or int4 [default: as --precision]
    #[arg(long, value_parser = parse_weights)]
    weights: Option<WeightFormat>,
    /// Sequences that prior-decode draws at the same time [default: 1, then 8]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: Option<u32>,
    /// Timed repetitions, of which the median counts [default: about ten seconds of them]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: Option<u32>,
    /// Small networks, for tests
    #[arg(long, hide = true)]
    tiny: bool,
    /// Measure the one workload in this process and print its measurement
    #[arg(long, hide = true)]
    in_process: bool,
}

/// A measured workload.
struct Row {
    spec: Spec,
    measurement: Measurement,
    bound: Bound,
}

impl Bench {
    pub fn run(self, common: &Common) -> Result<()> {
        let specs = self.specs(common.precision.unwrap_or_default())?;
        if self.in_process {
            return self.measure_here(&specs);
        }
        say(common, "measuring what this machine can do at most");
        let ceiling = Ceiling::measure();
        say(common, ceiling_line(&ceiling));
        let mut rows = Vec::new();
        for spec in specs {
            let name = spec.workload.name;
            say(common, format_args!("{name}, batch {}", spec.batch));
            rows.push(Row {
                measurement: self.measure_in_child(common, &spec)?,
                bound: ceiling.bound(&spec.phases()),
                spec,
            });
        }
        let json: Value = rows.iter().map(Row::json).collect();
        output::print(common, json, || table(&rows, &ceiling));
        Ok(())
    }

    /// What is to be measured, in order.
    fn specs(&self, precision: Precision) -> Result<Vec<Spec>> {
        let workloads: Vec<_> = if self.names.is_empty() {
            WORKLOADS.iter().collect()
        } else {
            let named = self.names.iter().map(|name| bench::workload(name));
            named.collect::<Result<_>>()?
        };
        let mut specs = Vec::new();
        for workload in workloads {
            for batch in workload.batches(self.batch.map(|batch| batch as usize))? {
                specs.push(Spec {
                    workload,
                    precision,
                    weights: workload.weights(self.weights, precision),
                    batch,
                    size: if self.tiny { Size::Tiny } else { Size::Full },
                });
            }
        }
        Ok(specs)
    }

    /// Measures, and prints what the process that asked reads.
    fn measure_here(&self, specs: &[Spec]) -> Result<()> {
        let [spec] = specs else {
            return Err(Error::input(
                "--in-process measures one workload at one batch",
            ));
        };
        let repeats = self.repeats.map(|repeats| repeats as usize);
        output::line(json!(spec.run(repeats, &models::device())?));
        Ok(())
    }

    /// Measures in a process of its own, so that the peak of memory is this workload's.
    fn measure_in_child(&self, common: &Common, spec: &Spec) -> Result<Measurement> {
        let program = std::env::current_exe()
            .map_err(|error| Error::failed(format!("the file of this program: {error}")))?;
        let run = Command::new(&program)
            .args(self.arguments(common, spec))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| Error::io(&program, error))?;
        let name = spec.workload.name;
        if !run.status.success() {
            return Err(Error::failed(format!(
                "{name} could not be measured: its process ended with {}",
                run.status
            )));
        }
        serde_json::from_slice(&run.stdout)
            .map_err(|error| Error::failed(format!("the measurement of {name}: {error}")))
    }

    /// The command line that measures `spec` in its process.
    fn arguments(&self, common: &Common, spec: &Spec) -> Vec<String> {
        let mut arguments = vec!["bench", spec.workload.name, "--in-process", "--quiet"];
        arguments.extend(["--precision", spec.precision.name()]);
        arguments.extend(["--weights", spec.weights.name()]);
        if self.tiny {
            arguments.push("--tiny");
        }
        let batch = spec.workload.takes_batch().then_some(spec.batch as u64);
        let numbers = [
            ("--batch", batch),
            ("--repeats", self.repeats.map(u64::from)),
            ("--threads", common.threads.map(u64::from)),
        ];
        let mut arguments: Vec<String> = arguments.into_iter().map(String::from).collect();
        for (option, number) in numbers {
            if let Some(number) = number {
                arguments.extend([option.to_string(), number.to_string()]);
            }
        }
        arguments
    }
}

impl Row {
    /// The share of the least time in the measured one.
    fn ceiling_fraction(&self) -> f64 {
        1e3 * self.bound.seconds / self.measurement.ms
    }

    fn json(&self) -> Value {
        json!({
            "name": self.spec.workload.name,
            "precision": self.spec.precision.name(),
            "weights": self.spec.weights.name(),
            "batch": self.spec.batch,
            "ms": self.measurement.ms,
            "ceiling_fraction": self.ceiling_fraction(),
            "peak_mb": self.measurement.peak_mb,
        })
    }

    fn line(&self) -> String {
        let peak = self.measurement.peak_mb;
        format!(
            "{:<16} {:<9} {:<7} {:>5} {:>10.2}  {:<8} {:>6.1} %  {:<8} {:>8}",
            self.spec.workload.name,
            self.spec.precision.name(),
            self.spec.weights.name(),
            self.spec.batch,
            self.measurement.ms,
            self.spec.workload.unit,
            100.0 * self.ceiling_fraction(),
            self.bound.by,
            peak.map_or("?".into(), |peak| format!("{peak:.0}")),
        )
    }
}

/// Progress, which would disturb a document.
fn say(common: &Common, text: impl std::fmt::Display) {
    if !common.json {
        progress::note(common, text);
    }
}

fn table(rows: &[Row], ceiling: &Ceiling) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<16} {:<9} {:<7} {:>5} {:>10}  {:<8} {:>8}  {:<8} {:>8}",
        "workload", "precision", "weights", "batch", "ms", "per", "ceiling", "bound by", "peak MB"
    )];
    lines.extend(rows.iter().map(Row::line));
    lines.push(ceiling_line(ceiling));
    lines.push(
        "100 % is the time that multiplying (plain formulation) or reading memory would take alone; a step of \
         prior-decode is one code of each sequence"
            .to_string(),
    );
    lines
}

fn ceiling_line(ceiling: &Ceiling) -> String {
    format!(
        "ceiling: {:.0} GFLOP/s in f32, {:.0} in bf16, {:.1} GB/s from memory",
        ceiling.f32 / 1e9,
        ceiling.bf16 / 1e9,
        ceiling.bandwidth / 1e9
    )
}
