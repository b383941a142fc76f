//! The other network of stage 2: it learns, goes on, is measured and draws, and what it cannot do is refused.

use crate::common::*;
use crate::{EVERY, assert_resumes_exactly};
use std::fs;
use tempfile::tempdir;

#[test]
fn a_pixelsnail_learns_goes_on_measures_and_draws() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let place = |name: &str| folder.path().join(name);
    let (tokenizer, run, out) = (place("tokenizer"), place("prior"), place("samples"));
    train_tokenizer(&data, &tokenizer, "2", &[]);
    let network = ["--set", "network=pixelsnail", "--set", "attention_width=8"];
    let base = [
        "train",
        "prior",
        "--data",
        text(&data),
        "--tokenizer",
        text(&tokenizer),
    ];
    fails(
        &[&base[..], &network, &["--set", "order=spiral-out"]].concat(),
        &["order", "pixelsnail"],
    );
    fails(
        &[&base[..], &network, &["--set", "checkpoint_blocks=true"]].concat(),
        &["checkpoint_blocks", "pixelsnail"],
    );
    let more = [
        &EVERY[..],
        &network,
        &[
            "--condition",
            "class",
            "--set",
            "condition_dropout=0.2",
            "--set",
            "micro_batch=3",
            "--set",
            "weight_average=0.9",
        ],
    ]
    .concat();
    train_prior(&data, &tokenizer, &run, "6", &more);
    assert_resumes_exactly(folder.path(), &run, &["train", "prior"]);
    let report = succeeds(&["--json", "info", text(&run)]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["prior"]["network"]["pixelsnail"]["kernel"], 2);
    assert!(succeeds(&["info", text(&run)]).contains("pixelsnail of 1 blocks"));
    let picture = data.join("circle/0.png");
    let nll = [
        "nll",
        "--model",
        text(&run),
        text(&picture),
        "--class",
        "circle",
    ];
    succeeds(&nll);
    fails(
        &[&nll[..], &["--weights", "int8"]].concat(),
        &["pixelsnail"],
    );
    let sample = [
        "sample",
        "--model",
        text(&run),
        "-n",
        "3",
        "--out",
        text(&out),
    ];
    fails(
        &[&sample[..], &["--size", "32x16"]].concat(),
        &["pixelsnail", "4 × 4"],
    );
    succeeds(&[&sample[..], &["--guidance", "1.5"]].concat());
    assert!(fs::read_dir(&out).unwrap().count() >= 3);
}
