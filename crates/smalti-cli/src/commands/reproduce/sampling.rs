//! Samples under several top-k and top-p, and samples of which a classifier keeps several shares (section 4.4): one
//! tokenizer and one prior, and `eval sweep` over what they draw.

use super::bench::{Bench, Trained};
use super::show::{Shown, millions};
use super::{Name, TOKENIZER};
use crate::commands::eval::{EvalSweep, PublishedArgs};
use crate::commands::features::{ClassifierArgs, load_network};
use crate::progress;
use serde_json::{Value, json};
use smalti::Result;
use smalti::metrics::Classifier;
use smalti::metrics::classifier::ClassifierTraining;
use smalti::weights::catalogue;
use std::path::PathBuf;

/// The most pictures of the reference whose features are kept.
const KEPT: usize = 10_000;

pub fn run(bench: &mut Bench<'_>) -> Result<Option<Shown>> {
    let mut notes = Vec::new();
    if bench.ask.name == Name::Rejection
        && let Some(note) = same_network(bench)
    {
        // Before hours of training as well as beside the figures.
        progress::note(bench.common, note);
    }
    let model = match bench.ask.model.clone() {
        Some(model) => model,
        None => {
            let Some(prior) = prior(bench)? else {
                return Ok(None);
            };
            notes.push(format!(
                "the prior has {} parameters and took {} steps, {:.1} minutes",
                millions(prior.parameters),
                prior.steps,
                prior.minutes
            ));
            prior.file()
        }
    };
    let classifier = match bench.ask.name {
        Name::Rejection => {
            if progress::interrupted() {
                return Ok(None);
            }
            notes.extend(same_network(bench));
            notes.extend(classifier(bench)?);
            ClassifierArgs::of_file(&file(bench), network_file(classifier_features(bench)))
        }
        _ => ClassifierArgs::none(),
    };
    let swept = sweep(bench, model, classifier).sweep(bench.common)?;
    if !swept.complete {
        return Ok(None);
    }
    let mut shown = Shown {
        lines: swept.table,
        json: swept.json,
        page: swept.page,
    };
    for note in notes {
        shown.note(&note);
    }
    Ok(Some(shown))
}

fn prior(bench: &mut Bench<'_>) -> Result<Option<Trained>> {
    let Some(tokenizer) = bench.tokenizer(&TOKENIZER)? else {
        return Ok(None);
    };
    let recipe = bench.base.prior.clone();
    bench.prior("prior", recipe, &tokenizer)
}

fn sweep(bench: &Bench<'_>, model: PathBuf, classifier: ClassifierArgs) -> EvalSweep {
    let ask = bench.ask;
    let rejects = ask.name == Name::Rejection;
    EvalSweep {
        model,
        reference: ask.data.clone(),
        published: PublishedArgs::default(),
        features: ask.features.clone(),
        accept: if rejects {
            ask.accept.clone()
        } else {
            vec![1.0]
        },
        classifier,
        top_k: if rejects { vec![0] } else { ask.top_k.clone() },
        top_p: if rejects {
            vec![1.0]
        } else {
            ask.top_p.clone()
        },
        temperature: vec![1.0],
        all: false,
        n: ask.n,
        manifold_pictures: KEPT,
        seed: ask.seed,
        batch: ask.batch,
        out: ask.out.join("sweep"),
        report: None,
        overwrite: false,
    }
}

fn file(bench: &Bench<'_>) -> PathBuf {
    bench.ask.out.join("classifier.safetensors")
}

fn classifier_features<'a>(bench: &Bench<'a>) -> &'a str {
    let own = bench.ask.classifier_features.as_deref();
    own.unwrap_or(&bench.ask.features)
}

/// Where a network is that is not known by a name.
fn network_file(text: &str) -> Option<PathBuf> {
    catalogue::network(text)
        .is_err()
        .then(|| PathBuf::from(text))
}

/// Trains a classifier of the data's classes, unless there is one; returns what is to be known of it.
fn classifier(bench: &mut Bench<'_>) -> Result<Option<String>> {
    const CELL: &str = "trained classifier";
    if bench.results.get(CELL).is_none() {
        let network = load_network(classifier_features(bench), bench.common)?;
        let settings = ClassifierTraining {
            size: bench.size(),
            seed: bench.ask.seed,
            ..ClassifierTraining::default()
        };
        let bar = progress::bar(bench.common, 0, "pictures");
        let trained = Classifier::train(network, &bench.ask.data, &settings, &mut |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        let (classifier, notes) = trained?;
        for note in notes {
            progress::note(bench.common, note);
        }
        classifier.save(&file(bench))?;
        let info = classifier.info();
        let outcome = json!({
            "classes": classifier.names(),
            "pictures": info.map(|info| info.pictures),
            "held_back": info.map(|info| info.held_back),
            "accuracy": info.and_then(|info| info.accuracy),
        });
        bench.results.add(CELL.into(), outcome)?;
    }
    let accuracy = bench.results.get(CELL).map(|outcome| &outcome["accuracy"]);
    let accuracy = accuracy.and_then(Value::as_f64);
    let right = accuracy.map(|share| {
        let percent = 100.0 * share;
        format!("the classifier is right about {percent:.1} % of the pictures that were held back from it")
    });
    Ok(right)
}

/// What is to be said where the classifier's network is the one that measures.
fn same_network(bench: &Bench<'_>) -> Option<String> {
    let features = &bench.ask.features;
    (classifier_features(bench) == features).then(|| {
        format!(
            "the classifier reads the features that are compared, those of {features}: figures look better than they \
             are, and recall tells most; --classifier-features names another network for it"
        )
    })
}
