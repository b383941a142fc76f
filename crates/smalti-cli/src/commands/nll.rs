//! `smalti nll`: how probable pictures are to a prior.

use crate::{Common, models, output, parse_weights, progress};
use clap::Args;
use serde_json::json;
use smalti::data::{Transform, read_image};
use smalti::prior::trainer::nats_per_code;
use smalti::prior::{CodeSet, Decoder};
use smalti::sample::WeightFormat;
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
    /// Measure with the weights of the prior kept in fewer bits, as `sample --weights` draws with them
    #[arg(long, value_parser = parse_weights)]
    weights: Option<WeightFormat>,
}

impl Nll {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = models::load_for_pictures(&self.model, common)?;
        let (config, gpt) = model.require_prior()?;
        let [size, width] = model
            .tokenizer_config
            .pixels_of([config.rows, config.columns]);
        if size != width {
            return Err(Error::input(
                "this prior is not for square pictures; measuring those is not possible yet",
            ));
        }
        let class = config.condition.class(self.class.as_deref())?;
        // Without a class, a class-conditional prior says so before any picture is read.
        config.condition.tokens(class)?;
        let transform = Transform::middle(size, false);
        let bar = progress::bar(common, self.images.len() as u64, "pictures");
        let compact = |weights| Decoder::new(gpt.clone(), config, weights);
        let decoder = self.weights.map(compact);
        let mut nats = Vec::new();
        let mut set = CodeSet::new(&model, config.rows, config.columns);
        set.classes = class.iter().map(|&class| class as i64).collect();
        for image in &self.images {
            let middle = transform
                .center(&read_image(image, model.background())?)
                .map_err(|error| Error::file(image, error.to_string()))?;
            set.codes.clear();
            set.encode(&model, &[middle], size);
            nats.extend(match &decoder {
                None => nats_per_code(gpt, config, &set, &[0], &model.device())?,
                Some(decoder) => {
                    let condition = config.condition.tokens(class)?;
                    let codes = set.picture(0).to_vec();
                    decoder.nats_per_code(&[condition], &[codes])
                }
            });
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
            "count": images.len(),
            "pictures": images,
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
