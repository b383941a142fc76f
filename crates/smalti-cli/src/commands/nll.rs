//! `smalti nll`: how probable pictures are to a prior.

use crate::{Common, models, output, parse_weights, progress};
use clap::Args;
use serde_json::json;
use smalti::data::{Item, Transform};
use smalti::model::Model;
use smalti::prior::condition::Condition;
use smalti::prior::maker::SequenceMaker;
use smalti::prior::sequences::sequences;
use smalti::prior::source::Material;
use smalti::prior::squares::Cutter;
use smalti::prior::trainer::nats_per_code;
use smalti::prior::{CodeSet, Decoder, PriorConfig};
use smalti::sample::WeightFormat;
use smalti::{Error, Result};
use std::path::{Path, PathBuf};
use std::slice::from_ref;

#[derive(Args)]
pub struct Nll {
    /// A model with a prior: a file or a run folder
    #[arg(long)]
    model: PathBuf,
    /// Pictures
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The class of the pictures, by name or number
    #[arg(long)]
    class: Option<String>,
    /// For priors with another condition: the folder that has its file for each picture, under the picture's name
    #[arg(long, value_name = "PATH")]
    condition_data: Option<PathBuf>,
    /// The folder of the text encoder [default: as in training]
    #[arg(long, value_name = "DIR")]
    text_encoder: Option<PathBuf>,
    /// Measure with the weights of the prior kept in fewer bits, as `sample --weights` draws with them
    #[arg(long, value_parser = parse_weights)]
    weights: Option<WeightFormat>,
}

impl Nll {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = models::load_for_pictures(&self.model, common)?;
        let (config, prior) = model.require_prior()?;
        let [size, width] = model
            .tokenizer_config
            .pixels_of([config.rows, config.columns]);
        if size != width {
            return Err(Error::input(
                "this prior is not for square pictures; measuring those is not possible yet",
            ));
        }
        let class = config.condition.class(self.class.as_deref())?;
        if let Condition::None(_) | Condition::Class(_) = &config.condition {
            // Without a class, a class-conditional prior says so before any picture is read.
            config.condition.tokens(class)?;
        }
        let material = self.material(&model, config)?;
        let bar = progress::bar(common, self.images.len() as u64, "pictures");
        let decoder = self.decoder(&model)?;
        let mut nats = Vec::new();
        for image in &self.images {
            let mut set = sequence(&model, &material, image, size)?;
            set.classes = class.iter().map(|&class| class as i64).collect();
            nats.extend(match &decoder {
                None => nats_per_code(prior, config, &set, &[0], &model.device())?,
                Some(decoder) => {
                    let tokens = sequences(config, &set, &[0])?.concat();
                    let (condition, codes) = tokens.split_at(config.condition.tokens_before());
                    let [condition, codes] = [condition, codes].map(<[i64]>::to_vec);
                    decoder.nats_per_code(from_ref(&condition), from_ref(&codes))
                }
            });
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.report(common, &nats, model.tokenizer_config.codes());
        Ok(())
    }

    fn material(&self, model: &Model, config: &PriorConfig) -> Result<Material> {
        let trained = model.info.recipe.get("text_encoder");
        let trained = trained.and_then(|path| path.as_str());
        let trained = trained.filter(|path| !path.is_empty()).map(PathBuf::from);
        let encoder = self.text_encoder.clone().or(trained);
        let given = self.condition_data.as_deref();
        Material::for_pictures(&config.condition, given, encoder.as_deref())
    }

    /// The prior with compact weights, if these are to be measured.
    fn decoder(&self, model: &Model) -> Result<Option<Decoder>> {
        let (config, prior) = model.require_prior()?;
        let Some(weights) = self.weights else {
            return Ok(None);
        };
        if config.condition.tokens_before() == 0 {
            return Err(Error::input(
                "--weights measures priors whose condition is made of tokens; this one's is made of vectors",
            ));
        }
        let Some(gpt) = prior.gpt() else {
            return Err(Error::input(
                "--weights measures a gpt; this prior is a pixelsnail, whose weights stay as they are: leave it out",
            ));
        };
        Ok(Some(Decoder::new(gpt.clone(), config, weights)))
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

/// The middle of a picture as the prior reads it.
fn sequence(model: &Model, material: &Material, image: &Path, size: usize) -> Result<CodeSet> {
    let (config, _) = model.require_prior()?;
    let condition = &config.condition;
    let source = material.source_of(condition, image)?;
    let cutter = Cutter {
        transform: Transform::middle(size, false),
        crops: 1,
        seed: 0,
        background: model.background(),
        companions: source.companions(condition),
    };
    let item = Item {
        path: image.to_path_buf(),
        class: None,
    };
    let (squares, bad) = cutter.cut(from_ref(&item), 0)?;
    if let Some((path, reason)) = bad.into_iter().next() {
        return Err(Error::file(path, reason));
    }
    let maker = SequenceMaker {
        tokenizer: model,
        condition,
        condition_tokenizer: model.condition_tokenizer(),
        source: &source,
        seed: 0,
    };
    maker.make(&squares)
}
