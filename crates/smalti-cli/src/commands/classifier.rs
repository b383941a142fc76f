//! `smalti train classifier`: what rates pictures for rejection sampling.

use super::features::load_network;
use crate::{Common, output, progress};
use clap::Args;
use serde_json::json;
use smalti::metrics::Classifier;
use smalti::metrics::classifier::{ClassifierInfo, ClassifierTraining};
use smalti::{Error, Result, counted};
use std::path::PathBuf;

#[derive(Args)]
pub struct TrainClassifier {
    /// A folder with a folder of pictures for each class, or a list with classes
    #[arg(long)]
    data: PathBuf,
    /// The network whose features it reads: inception-fid, inception-torchvision, efficientnet-lite0, or a file of weights
    #[arg(long, value_name = "NAME|FILE", default_value = "efficientnet-lite0")]
    features: String,
    /// The file to write
    #[arg(long)]
    out: PathBuf,
    /// Bring pictures to middle squares of so many pixels first, as the model's own are [default: not scaled]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    size: Option<u32>,
    /// The part of every class that is held back to measure the accuracy
    #[arg(long, default_value_t = 0.1)]
    validation: f64,
    /// How much large weights cost: more for fewer pictures
    #[arg(long, default_value_t = 0.01)]
    penalty: f64,
    /// Decides which pictures are held back
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,
}

impl TrainClassifier {
    pub fn run(self, common: &Common) -> Result<()> {
        output::refuse_existing(&self.out, self.overwrite)?;
        if !(self.penalty > 0.0 && self.penalty.is_finite()) {
            return Err(Error::input("--penalty must be above 0"));
        }
        let settings = ClassifierTraining {
            size: self.size.unwrap_or(0) as usize,
            validation: self.validation,
            penalty: self.penalty,
            seed: self.seed,
            ..ClassifierTraining::default()
        };
        let network = load_network(&self.features, common)?;
        let bar = progress::bar(common, 0, "pictures");
        let trained = Classifier::train(network, &self.data, &settings, &mut |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        let (classifier, notes) = trained?;
        for note in notes {
            progress::note(common, note);
        }
        output::folder_of(&self.out)?;
        classifier.save(&self.out)?;
        let json = json!({"out": self.out, "classifier": classifier.info()});
        output::print(common, json, || {
            let mut lines: Vec<String> = classifier.info().map(describe).into_iter().collect();
            let out = self.out.display();
            lines.push(format!(
                "{out}; try: smalti sample --model M --accept 0.05 --classifier {out} --out DIR"
            ));
            lines
        });
        Ok(())
    }
}

fn describe(info: &ClassifierInfo) -> String {
    let accuracy = match info.accuracy {
        Some(accuracy) => format!(
            "{:.1} % of {} held back rightly classified",
            100.0 * accuracy,
            counted(info.held_back, "picture")
        ),
        None => "no pictures were held back, so that nothing is known of its accuracy".to_string(),
    };
    format!(
        "{} classes on {}, learned from {}: {accuracy}",
        info.classes.len(),
        info.network,
        counted(info.pictures, "picture")
    )
}
