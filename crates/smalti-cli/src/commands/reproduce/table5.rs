//! Table 5: what reconstructions of a VQ-VAE, a discrete VAE, VQGANs of several codebooks and a VQ-VAE-2 are worth,
//! each trained for the same budget at the same factor, that of the VQ-VAE-2 being its upper level's.

use super::base::TokenizerCell;
use super::bench::{Bench, Trained};
use super::measure;
use super::show::{Shown, decimals, millions};
use serde_json::Value;
use smalti::Result;

pub const TOKENIZERS: [TokenizerCell; 6] = [
    TokenizerCell {
        name: "vqvae",
        presets: &["vqvae"],
        fixed: &[],
    },
    TokenizerCell {
        name: "dvae",
        presets: &["dvae"],
        fixed: &["codebook_size=1024"],
    },
    TokenizerCell {
        name: "vqgan-256",
        presets: &[],
        fixed: &["codebook_size=256"],
    },
    TokenizerCell {
        name: "vqgan-1024",
        presets: &[],
        fixed: &["codebook_size=1024"],
    },
    TokenizerCell {
        name: "vqgan-4096",
        presets: &[],
        fixed: &["codebook_size=4096"],
    },
    TokenizerCell {
        name: "vqvae2",
        presets: &["vqvae2"],
        fixed: &[],
    },
];

pub fn run(bench: &mut Bench<'_>) -> Result<Option<Shown>> {
    let lpips = bench.lpips()?;
    let mut rows = Vec::new();
    for cell in &TOKENIZERS {
        let Some(trained) = bench.tokenizer(cell)? else {
            return Ok(None);
        };
        let measured = bench.measured(cell.name, |bench| {
            measure::reconstruction(bench, &trained.model, lpips.as_ref())
        })?;
        let Some(measured) = measured else {
            return Ok(None);
        };
        rows.push((cell.name, trained, measured));
    }
    Ok(Some(shown(bench, &rows)))
}

fn shown(bench: &Bench<'_>, rows: &[(&'static str, Trained, Value)]) -> Shown {
    let names = measure::names(bench);
    let frechet = format!("r{}", names.frechet);
    let headings = [
        "tokenizer",
        "f",
        "codebook",
        "codes",
        "parameters",
        "steps",
        "minutes",
        frechet.as_str(),
        "PSNR",
        "SSIM",
        "LPIPS",
        "usage",
        "perplexity",
    ];
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let mut shown = Shown::table("Table 5: reconstructions", &headings, &cells);
    let pictures = rows.first().map(|(_, _, measured)| &measured["pictures"]);
    let pictures = pictures.and_then(Value::as_u64).unwrap_or(0);
    shown.note(&format!(
        "{pictures} pictures of {} pixels, those that were held back where any were; codes of one picture; the share \
         of the codebook that they use",
        bench.size()
    ));
    shown
}

fn cells((name, trained, measured): &(&'static str, Trained, Value)) -> Vec<String> {
    let config = &trained.model.tokenizer_config;
    let number = |key: &str| measured[key].as_f64();
    vec![
        name.to_string(),
        config.factor().to_string(),
        config.codes().to_string(),
        decimals(number("codes_per_picture"), 0),
        millions(trained.parameters),
        trained.steps.to_string(),
        decimals(Some(trained.minutes), 1),
        decimals(number("frechet"), 2),
        decimals(number("psnr"), 2),
        decimals(number("ssim"), 4),
        decimals(number("lpips"), 4),
        decimals(number("usage").map(|share| 100.0 * share), 1),
        decimals(number("perplexity"), 0),
    ]
}
