//! `smalti bench` with networks so small that a workload takes a moment. What it measures is not asserted.

mod common;

use common::*;
use serde_json::Value;

/// The rows of `smalti --json bench`, once each.
#[track_caller]
fn rows(arguments: &[&str]) -> Vec<Value> {
    let base = ["--json", "bench", "--tiny", "--repeats", "1"];
    let output = smalti(&[&base[..], arguments].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn check_numbers(row: &Value) {
    assert!(row["ms"].as_f64().unwrap() > 0.0, "{row}");
    assert!(row["ceiling_fraction"].as_f64().unwrap() > 0.0, "{row}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let said = row["peak_mb"].as_f64().is_some_and(|peak| peak > 1.0);
    assert_eq!(said, status.contains("VmHWM:"), "{row}");
}

#[test]
fn every_workload_runs() {
    let rows = rows(&[]);
    let measured: Vec<(&str, u64)> = rows
        .iter()
        .map(|row| {
            (
                row["name"].as_str().unwrap(),
                row["batch"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("reconstruct-256", 1),
        ("encode-256", 1),
        ("decode-256", 1),
        ("tokenizer-step", 2),
        ("prior-step", 1),
        ("prior-decode", 1),
        ("prior-decode", 8),
        ("sample-256", 1),
        ("window-32x32", 1),
    ];
    assert_eq!(measured, expected);
    for row in &rows {
        assert_eq!(row["precision"], "f32");
        assert_eq!(row["weights"], "f32");
        check_numbers(row);
    }
}

#[test]
fn every_workload_runs_in_bf16() {
    let rows = rows(&["--precision", "bf16"]);
    assert_eq!(rows.len(), 9);
    for row in &rows {
        assert_eq!(row["precision"], "bf16");
        assert_eq!(row["weights"], "bf16");
        check_numbers(row);
    }
}

#[test]
fn weights_are_compact_where_codes_are_drawn() {
    for weights in ["bf16", "int8", "int4"] {
        let chosen = ["prior-decode", "encode-256", "--weights", weights];
        let rows = rows(&chosen);
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0]["weights"], weights);
        assert_eq!(rows[2]["weights"], "f32");
        rows.iter().for_each(check_numbers);
    }
    let rows = rows(&["prior-decode", "--batch", "3", "--threads", "1"]);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["batch"], 3);
}

#[test]
fn the_table_says_what_bounds_a_workload() {
    let table = succeeds(&["--quiet", "bench", "encode-256", "--tiny", "--repeats", "2"]);
    let line = table
        .lines()
        .find(|line| line.starts_with("encode-256"))
        .unwrap();
    assert!(
        line.contains("multiply") || line.contains("memory"),
        "{line}"
    );
    assert!(
        table.contains("ceiling: ") && table.contains("GB/s"),
        "{table}"
    );
}

#[test]
fn an_unknown_workload_is_answered_with_the_names() {
    fails(
        &["bench", "reconstruct"],
        &[
            "`reconstruct`",
            "reconstruct-256",
            "prior-decode",
            "sample-256",
            "window-32x32",
        ],
    );
    assert_eq!(smalti(&["bench", "reconstruct"]).status.code(), Some(2));
}

#[test]
fn a_batch_is_for_workloads_that_take_one() {
    fails(
        &["bench", "sample-256", "--batch", "2"],
        &["--batch", "prior-decode"],
    );
    assert_eq!(smalti(&["bench", "--batch", "2"]).status.code(), Some(2));
    assert_eq!(
        smalti(&["bench", "--weights", "int3"]).status.code(),
        Some(2)
    );
    assert_eq!(
        smalti(&["bench", "--precision", "f64"]).status.code(),
        Some(2)
    );
}
