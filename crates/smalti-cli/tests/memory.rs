//! The end of memory: one line and an exit code, not a panic.

#![cfg(target_os = "linux")]

mod common;

use common::*;
use image::RgbImage;
use smalti::data::write_png;
use std::process::Command;
use tempfile::tempdir;

#[test]
fn without_memory_a_line_says_what_to_try() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 4, 16);
    let run = folder.path().join("run");
    train_tokenizer(&data, &run, "1", &[]);
    let large = folder.path().join("large.png");
    write_png(&large, &RgbImage::new(2048, 2048)).unwrap();
    let out = folder.path().join("codes.safetensors");
    // Maps of half a gigabyte each, in one gigabyte of addresses.
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 1000000 && exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_smalti"))
        .args([
            "encode",
            "--model",
            text(&run),
            text(&large),
            "--tile",
            "off",
        ])
        .args(["--threads", "1", "--out", text(&out)])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let message = errors.lines().last().unwrap_or_default();
    assert!(
        message.starts_with("smalti: out of memory: 537 MB"),
        "{errors}"
    );
    assert!(
        message.contains("--tile auto") && !errors.contains("panicked"),
        "{errors}"
    );
    assert!(!out.exists());
}
