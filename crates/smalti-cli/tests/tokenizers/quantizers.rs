//! Every quantiser trains, and its codes are the picture.

use crate::common::*;
use crate::{codes_are_the_picture, one_picture};
use tempfile::tempdir;

#[test]
fn every_quantiser_trains_and_its_codes_are_the_picture() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let picture = one_picture(&data);
    let kinds: [(&str, &[&str]); 10] = [
        ("nearest", &[]),
        ("l2", &["entropy_weight=0.1"]),
        ("ema", &[]),
        ("ema-l2", &["code_gradient=rotation"]),
        (
            "gumbel",
            &[
                "kl_weight=0.001",
                "temperature=0.9",
                "restart_below=0",
                "code_gradient=straight-through",
            ],
        ),
        (
            "fsq",
            &[
                "fsq_levels=[4, 4, 2]",
                "embed_dim=3",
                "restart_below=0",
                "code_gradient=straight-through",
            ],
        ),
        (
            "lfq",
            &["embed_dim=5", "entropy_weight=0.1", "restart_below=0"],
        ),
        ("simvq", &["restart_below=0"]),
        ("residual", &["codes_per_position=3"]),
        (
            "ibq",
            &["restart_below=0", "code_gradient=straight-through"],
        ),
    ];
    for (kind, more) in kinds {
        let run = folder.path().join(kind);
        let quantizer = format!("quantizer={kind}");
        let mut settings = vec!["--set", &quantizer];
        settings.extend(more.iter().flat_map(|setting| ["--set", *setting]));
        train_tokenizer(&data, &run, "4", &settings);
        let report = json(&["info", text(&run)]);
        assert_eq!(report["tokenizer"]["quantizer"], kind);
        codes_are_the_picture(&run, &picture);
    }
}

/// Several codes stand for a position; the prior learns them as a longer grid.
#[test]
fn a_prior_learns_residual_codes() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let (tokenizer, prior) = (folder.path().join("tokenizer"), folder.path().join("prior"));
    let settings = [
        "--set",
        "quantizer=residual",
        "--set",
        "codes_per_position=2",
    ];
    train_tokenizer(&data, &tokenizer, "3", &settings);
    train_prior(&data, &tokenizer, &prior, "2", &[]);
    let report = json(&["info", text(&prior)]);
    assert_eq!(
        [&report["prior"]["rows"], &report["prior"]["columns"]],
        [4, 8]
    );
    let out = folder.path().join("samples");
    succeeds(&[
        "sample",
        "--model",
        text(&prior),
        "-n",
        "2",
        "--out",
        text(&out),
    ]);
    let (width, height) = image::image_dimensions(out.join("000000.png")).unwrap();
    assert_eq!((width, height), (16, 16));
}
