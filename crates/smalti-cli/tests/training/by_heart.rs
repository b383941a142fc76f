//! Both stages on a single picture, which they must learn by heart.

use crate::common::*;
use crate::{last, lines};
use std::path::Path;
use tempfile::tempdir;

#[test]
fn one_picture_is_learned_by_heart() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 1, 16);
    let (tokenizer, prior) = (folder.path().join("tokenizer"), folder.path().join("prior"));
    let by_heart = [
        "--set",
        "flip=false",
        "--set",
        "learning_rate=0.002",
        "--set",
        "warmup_steps=20",
    ];
    train_tokenizer(
        &data,
        &tokenizer,
        "500",
        &[&by_heart[..], &["--set", "discriminator_weight=0"]].concat(),
    );
    let loss = last(&lines(&tokenizer), "train")["pixel_loss"]
        .as_f64()
        .unwrap();
    assert!(loss < 0.02, "L1 is {loss}");

    let dropout = [
        "--set",
        "embedding_dropout=0",
        "--set",
        "residual_dropout=0",
    ];
    train_prior(
        &data,
        &tokenizer,
        &prior,
        "300",
        &[&by_heart[..], &dropout].concat(),
    );
    let nats = last(&lines(&prior), "train")["nats_per_code"]
        .as_f64()
        .unwrap();
    assert!(nats < 0.05, "{nats} nats per code");

    check_greedy_sample(&prior, &data.join("circle/0.png"), folder.path());
}

/// The greedy sample is the picture, in codes and to look at.
fn check_greedy_sample(prior: &Path, picture: &Path, folder: &Path) {
    let (out, encoded) = (folder.join("samples"), folder.join("codes.safetensors"));
    let sampled = folder.join("sampled.safetensors");
    succeeds(&[
        "sample",
        "--model",
        text(prior),
        "-n",
        "1",
        "--top-k",
        "1",
        "--out",
        text(&out),
        "--codes",
        text(&sampled),
    ]);
    succeeds(&[
        "encode",
        "--model",
        text(prior),
        text(picture),
        "--out",
        text(&encoded),
    ]);
    let read = |path: &Path| smalti::prior::CodeSet::load(path).unwrap().codes;
    assert_eq!(
        read(&sampled),
        read(&encoded),
        "the greedy sample is the picture's own codes"
    );
    let original = smalti::data::read_image(picture, [255; 3]).unwrap();
    let sample = smalti::data::read_image(&out.join("000000.png"), [255; 3]).unwrap();
    let psnr = smalti::tokenizer::picture::psnr(&original, &sample);
    assert!(psnr > 30.0, "PSNR {psnr}");
}
