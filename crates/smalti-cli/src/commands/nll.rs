//! `smalti nll`: how probable pictures are to a prior.

use crate::{Common, models, output, progress};
use clap::Args;
use serde_json::json;
use smalti::data::{Transform, read_image};
use smalti::prior::CodeSet;
use smalti::prior::condition::Condition;
use smalti::prior::trainer::nats_per_code;
use smalti::{Error, Result};
use std::path::PathBuf;

/// Example: smalti nll --model run a.png b.png
///
/// Pictures are scaled and cropped to the prior's own size first.
#[derive(Args)]
pub struct Nll {
    /// A model with a prior: a file or a run folder
    #[arg(long)]
    model: PathBuf,
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The class of the pictures, by name or number
    #[arg(long)]
    class: Option<String>,
}

impl Nll {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = models::load(&self.model)?;
        let (config, gpt) = model.require_prior()?;
        if config.rows != config.columns {
            return Err(Error::input("this prior is not for square pictures"));
        }
        let class = match (&config.condition, &self.class) {
            (Condition::Class(condition), Some(text)) => Some(condition.find(text)?),
            (Condition::None(_), Some(_)) => {
                return Err(Error::input(
                    "--class is given, but this prior has no classes",
                ));
            }
            (_, None) => None,
        };
        // Without a class, a class-conditional prior says so before any picture is read.
        config.condition.tokens(class)?;
        let size = config.rows * model.tokenizer_config.factor();
        let transform = Transform::middle(size, false);
        let bar = progress::bar(common, self.images.len() as u64, "pictures");
        let mut nats = Vec::new();
        for image in &self.images {
            let square = transform
                .center(&read_image(image, [255; 3])?)
                .map_err(|error| Error::file(image, error.to_string()))?;
            let mut set = CodeSet::encode(&model, &[square], size, &models::device(), |_| {});
            set.classes = class.iter().map(|&class| class as i64).collect();
            nats.extend(nats_per_code(gpt, config, &set, &[0], &models::device())?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.report(common, &nats, model.tokenizer_config.codebook_size);
        Ok(())
    }

    fn report(&self, common: &Common, nats: &[f64], codebook_size: usize) {
        let bits = |nats: f64| nats / std::f64::consts::LN_2;
        let mean = nats.iter().sum::<f64>() / nats.len() as f64;
        let log_k = (codebook_size as f64).ln();
        let images: Vec<_> = self
            .images
            .iter()
            .zip(nats)
            .map(|(image, &nats)| json!({"image": image, "nats_per_code": nats, "bits_per_code": bits(nats)}))
            .collect();
        let json = json!({
            "images": images,
            "mean": {"nats_per_code": mean, "bits_per_code": bits(mean)},
            "log_codebook_size": log_k,
        });
        output::print(common, json, || {
            let mut lines: Vec<String> = self
                .images
                .iter()
                .zip(nats)
                .map(|(image, &nats)| {
                    format!(
                        "{}  {nats:.4} nats/code  {:.4} bits/code",
                        image.display(),
                        bits(nats)
                    )
                })
                .collect();
            lines.push(format!(
                "mean  {mean:.4} nats/code  {:.4} bits/code  (knowing nothing: {log_k:.4} nats/code)",
                bits(mean)
            ));
            lines
        });
    }
}
