//! The figures of a tokenizer.

use crate::common::*;
use tempfile::tempdir;

#[test]
fn figures_say_how_they_were_measured() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 10, 24);
    let run = folder.path().join("run");
    train_tokenizer(
        &data,
        &run,
        "3",
        &["--set", "validation=0.2", "--set", "resize=24"],
    );
    let base = [
        "eval",
        "reconstruction",
        "--model",
        text(&run),
        "--perceptual",
        "none",
    ];
    let report = json(&[&base[..], &["--crops", "4"]].concat());
    assert_eq!(report["protocol"]["split"], "validation");
    assert_eq!(report["protocol"]["pictures"], 4);
    assert_eq!(report["figures"]["pictures"], 16);
    assert_eq!(report["figures"]["codes"], 16 * 16);
    assert!(report["figures"]["psnr"].is_number() && report["figures"]["lpips"].is_null());
    let all = json(&[&base[..], &["--data", text(&data), "--size", "16"]].concat());
    assert_eq!(all["protocol"]["split"], "all");
    assert_eq!(all["figures"]["pictures"], 20);
    assert_eq!(
        json(&[&base[..], &["--crops", "4"]].concat()),
        report,
        "crops follow from the seed"
    );
    fails(
        &[&base[..], &["--size", "15"]].concat(),
        &["--size 15", "multiple of 4"],
    );
}
