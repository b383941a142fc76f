//! `smalti eval reconstruction` and `eval prior`, their JSON and their pages.

mod common;

use common::*;
use serde_json::Value;
use tempfile::tempdir;

#[test]
fn reconstructions_have_intervals_and_a_page() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 10, 16);
    let place = |name: &str| folder.path().join(name);
    let run = place("run");
    let settings = ["--set", "validation=0.3", "--set", "log_every=1"];
    train_tokenizer(&data, &run, "6", &settings);
    let html = place("page/figures.html");
    let base = [
        "eval",
        "reconstruction",
        "--model",
        text(&run),
        "--perceptual",
        "none",
        "--report",
        text(&html),
    ];
    let report = json(&base);
    let figures = &report["figures"];
    let psnr = figures["psnr"].as_f64().unwrap();
    let interval = &figures["intervals"]["psnr"];
    assert!((interval["estimate"].as_f64().unwrap() - psnr).abs() < 1e-9);
    assert!(interval["low"].as_f64().unwrap() < psnr && psnr < interval["high"].as_f64().unwrap());
    // Pictures of 16 pixels hold the window of SSIM, and not that of MS-SSIM.
    assert!(figures["ssim"].is_number() && figures["ms_ssim"].is_null());
    assert!(figures["features"].is_null());
    let counts = figures["code_counts"].as_array().unwrap();
    assert_eq!(counts.len(), 32);
    let sum: u64 = counts.iter().filter_map(Value::as_u64).sum();
    assert_eq!(sum, figures["codes"].as_u64().unwrap());
    assert_eq!(report["protocol"]["pictures"], 6);
    assert_eq!(report["protocol"]["skipped_pictures"], 0);
    let shown = page(&html);
    for part in [
        "PSNR",
        "Best reconstructions",
        "Worst",
        "data:image/png",
        "Codebook",
        "Training",
    ] {
        assert!(shown.contains(part), "no {part}");
    }
    fails(&base, &["exists", "--overwrite"]);
    let table = succeeds(&[&base[..], &["--overwrite"]].concat());
    assert!(table.contains("PSNR") && table.contains("(95 %)") && table.contains("split"));
}

#[test]
fn names_of_files_cannot_change_a_page() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 3, 16);
    let run = folder.path().join("run");
    train_tokenizer(&data, &run, "1", &[]);
    let hostile = data.join("circle/<img src=x onerror='alert(1)'>.png");
    std::fs::copy(data.join("circle/0.png"), hostile).unwrap();
    let html = folder.path().join("figures.html");
    let report = json(&[
        "eval",
        "reconstruction",
        "--model",
        text(&run),
        "--data",
        text(&data),
        "--perceptual",
        "none",
        "--report",
        text(&html),
    ]);
    let shown = page(&html);
    // Four pictures are too few for an interval.
    assert!(report["figures"]["intervals"]["psnr"].is_null());
    assert!(shown.contains("no intervals of 4 pictures"));
    assert!(shown.contains("&lt;img src=x onerror=&#39;alert(1)&#39;&gt;.png"));
    assert!(!shown.contains("<img src=x"));
}

#[test]
fn the_likelihood_of_held_back_pictures() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 10, 16);
    let place = |name: &str| folder.path().join(name);
    let (tokenizer, prior) = (place("tokenizer"), place("prior"));
    train_tokenizer(&data, &tokenizer, "3", &[]);
    let more = ["--condition", "class", "--set", "validation=0.3"];
    train_prior(&data, &tokenizer, &prior, "3", &more);
    let html = place("prior.html");
    let base = ["eval", "prior", "--model", text(&prior)];
    let report = json(&[&base[..], &["--report", text(&html)]].concat());
    let figures = &report["figures"];
    assert_eq!(report["protocol"]["split"], "validation");
    assert_eq!(figures["pictures"], 6);
    assert_eq!(figures["codes_per_picture"], 16);
    let nats = figures["nats_per_code"].as_f64().unwrap();
    let interval = &figures["interval"];
    assert!(
        interval["low"].as_f64().unwrap() <= nats && nats <= interval["high"].as_f64().unwrap()
    );
    let bits = figures["bits_per_code"].as_f64().unwrap();
    assert!((bits * std::f64::consts::LN_2 - nats).abs() < 1e-9);
    let per_pixel = figures["bits_per_pixel"].as_f64().unwrap();
    assert!((per_pixel - bits * 16.0 / (16.0 * 16.0)).abs() < 1e-9);
    assert!((figures["bits_per_dimension"].as_f64().unwrap() - per_pixel / 3.0).abs() < 1e-9);
    let log_k = figures["log_codebook_size"].as_f64().unwrap();
    assert!((log_k - 32_f64.ln()).abs() < 1e-9);
    let positions = figures["by_position"].as_array().unwrap();
    let mean = positions.iter().filter_map(Value::as_f64).sum::<f64>() / 16.0;
    assert!((mean - nats).abs() < 1e-9);
    let shown = page(&html);
    assert!(shown.contains("this prior") && shown.contains("nats per code"));

    // One picture, as `nll` measures it.
    let picture = data.join("circle/0.png");
    let list = place("list.txt");
    std::fs::write(&list, "pictures/circle/0.png\tcircle\n").unwrap();
    let alone = place("one.html");
    let one = [&base[..], &["--data", text(&list)]].concat();
    let shown = succeeds(&[&one[..], &["--report", text(&alone)]].concat());
    assert!(shown.contains("bits/pixel"), "{shown}");
    for said in [shown, page(&alone)] {
        assert!(said.contains("no intervals of 1 picture"), "{said}");
        assert!(!said.contains("(95 %)"), "{said}");
    }
    let one = json(&one);
    assert!(one["figures"]["interval"].is_null() && one["figures"]["error_by_position"].is_null());
    let arguments = [
        "nll",
        "--model",
        text(&prior),
        text(&picture),
        "--class",
        "circle",
    ];
    let expected = json(&arguments)["mean"]["nats_per_code"].as_f64().unwrap();
    let found = one["figures"]["nats_per_code"].as_f64().unwrap();
    assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
    std::fs::write(&list, "pictures/circle/0.png\tsquirrel\n").unwrap();
    fails(
        &[&base[..], &["--data", text(&list)]].concat(),
        &["squirrel", "circle"],
    );
    fails(
        &["eval", "prior", "--model", text(&tokenizer)],
        &["without a prior"],
    );
}
