//! What sampling may not depend on, under any condition: the cache, the batch, and guidance that is none.

use crate::common::values;
use crate::training::Learned;
use burn::tensor::{Device, Int, Shape, Tensor, TensorData};
use smalti::model::Model;
use smalti::prior::condition::{Conditioning, Window};
use smalti::prior::{Gpt, PriorConfig};
use smalti::sample::{Filter, Guidance, Request, SampleOptions, picture_seed, sample_codes};
use std::sync::Arc;

/// Pictures that are drawn.
const COUNT: usize = 8;

/// The window of a picture of the prior's own size.
pub fn whole(config: &PriorConfig) -> Window {
    Window {
        rows: 0..config.rows,
        columns: 0..config.columns,
        grid: [config.rows, config.columns],
    }
}

/// A picture under each condition, of which nothing is known.
pub fn requests(config: &PriorConfig, conditions: Vec<Arc<dyn Conditioning>>) -> Vec<Request> {
    let request = |(index, condition): (usize, Arc<dyn Conditioning>)| {
        Request::new(condition, config.codes(), picture_seed(1, index))
    };
    conditions.into_iter().enumerate().map(request).collect()
}

/// All of it for one prior.
#[track_caller]
pub fn assert_sound(learned: &Learned) {
    let model = &learned.model;
    let (config, _) = model.require_prior().unwrap();
    let conditions = learned.conditions(COUNT);
    let plain = requests(config, conditions.clone());
    let greedy = SampleOptions {
        filter: Filter::GREEDY,
        ..SampleOptions::default()
    };
    let cached = draw(model, &plain, greedy);
    for (codes, condition) in cached.iter().zip(&conditions) {
        assert_eq!(*codes, most_probable(model, &**condition));
    }

    let mut with_nothing = plain.clone();
    for request in &mut with_nothing {
        request.unconditional = model.unconditional().unwrap();
    }
    let guided = |scale: f64, batch: usize| {
        let options = SampleOptions {
            guidance: Guidance {
                scale,
                ..Guidance::default()
            },
            batch,
            ..SampleOptions::default()
        };
        draw(model, &with_nothing, options)
    };
    assert_eq!(
        guided(1.0, 8),
        draw(model, &plain, SampleOptions::default())
    );
    assert_ne!(guided(1.0, 8), guided(3.0, 8));
    for scale in [1.0, 3.0] {
        assert_eq!(guided(scale, 1), guided(scale, 8), "{scale}");
    }
}

fn draw(model: &Model, requests: &[Request], options: SampleOptions) -> Vec<Vec<i64>> {
    let (config, gpt) = model.require_prior().unwrap();
    let codebook_size = model.tokenizer_config.codes();
    sample_codes(
        gpt.clone(),
        config,
        codebook_size,
        requests,
        options,
        |_| {},
    )
    .unwrap()
}

/// The most probable codes without cache or packed weights: the network reads everything again for each.
fn most_probable(model: &Model, condition: &dyn Conditioning) -> Vec<i64> {
    let (config, prior) = model.require_prior().unwrap();
    let gpt = prior.gpt().unwrap();
    let mut read = condition.tokens(&whole(config));
    let mut codes = vec![0; config.codes()];
    for cell in config.positions() {
        let logits = logits(gpt, condition.prefix(), &read, &model.device());
        let logits = &logits[..model.tokenizer_config.codes()];
        let best = |best: usize, code: usize| {
            if logits[code] > logits[best] {
                code
            } else {
                best
            }
        };
        codes[cell] = (0..logits.len()).fold(0, best) as i64;
        read.push(codes[cell]);
    }
    codes
}

/// The logits of what follows vectors and tokens.
fn logits(gpt: &Gpt, vectors: Option<&[f32]>, tokens: &[i64], device: &Device) -> Vec<f32> {
    let width = gpt.pos_emb.dims()[2];
    let mut parts = Vec::new();
    if let Some(vectors) = vectors {
        let shape = Shape::from([1, vectors.len() / width, width]);
        let data = TensorData::new(vectors.to_vec(), shape);
        parts.push(Tensor::<3>::from_data(data, device));
    }
    if !tokens.is_empty() {
        let data = TensorData::new(tokens.to_vec(), Shape::from([1, tokens.len()]));
        let tokens = Tensor::<2, Int>::from_data(data, device);
        parts.push(gpt.tok_emb.forward(tokens));
    }
    let logits = gpt.forward_vectors(Tensor::cat(parts, 1));
    let [_, count, vocabulary] = logits.dims();
    values(logits.slice([0..1, count - 1..count, 0..vocabulary]))
}
