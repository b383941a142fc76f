//! The networks against the authors' own: same codes, same pictures, same logits.

mod common;

use burn::tensor::{Shape, Tensor, TensorData};
use common::*;
use smalti::checkpoint::{HostTensor, TensorMap};
use smalti::data::{LabelImage, Raster};
use smalti::model::{Model, import};
use smalti::prior::codes::CodeSet;
use smalti::prior::condition::{Condition, Conditioning, Window};
use smalti::prior::trainer::{code_logits, nats_per_code};
use smalti::sample::{
    Filter, Request, SampleOptions, class_condition, decode_pictures, sample_codes,
};
use smalti::tokenizer::loss::label_map_loss;
use smalti::tokenizer::quantizer::Quantizer;

fn load(folder: &str) -> Option<(Model, TensorMap)> {
    let checkpoint = golden(&format!("{folder}/last.ckpt"))?;
    let config = golden(&format!("{folder}/project.yaml"))?;
    let io = golden(&format!("{folder}/io.safetensors"))?;
    let imported = import(&checkpoint, Some(&config), None, &device()).unwrap();
    Some((imported.model, read(&io)))
}

fn check_tokenizer(model: &Model, io: &TensorMap, case: usize) {
    let get = |name: &str| &io[&format!("{name}{case}")];
    let pixels = picture(get("x"), &device());
    let vectors = model.tokenizer.vectors(pixels.clone());
    assert_near(
        "pre_quant",
        &values(vectors.permute([0, 3, 1, 2])),
        get("pre_quant").as_f32().unwrap(),
        2e-4,
    );
    let quantized = model.tokenizer.encode(pixels);
    assert_eq!(
        codes(quantized.codes.clone()),
        get("indices").as_i64().unwrap()
    );
    let latent = quantized.latent.clone().permute([0, 3, 1, 2]);
    assert_near(
        "quant",
        &values(latent),
        get("quant").as_f32().unwrap(),
        2e-4,
    );
    assert_near(
        "codebook loss",
        &values(quantized.loss),
        get("codebook_loss").as_f32().unwrap(),
        1e-5,
    );
    let theirs = get("reconstruction").as_f32().unwrap();
    let reconstruction = model
        .tokenizer
        .decode(quantized.latent)
        .permute([0, 3, 1, 2]);
    assert_near("reconstruction", &values(reconstruction), theirs, 2e-4);
    let from_codes = model
        .tokenizer
        .decode_codes(quantized.codes)
        .permute([0, 3, 1, 2]);
    assert_near("decoded codes", &values(from_codes), theirs, 2e-4);
}

#[test]
fn vqgan() {
    let Some((model, io)) = load("vqgan-f4-tiny") else {
        return;
    };
    check_tokenizer(&model, &io, 0);
    check_tokenizer(&model, &io, 1);
}

#[test]
fn the_first_stage_of_a_transformer_is_the_vqgan() {
    let Some((model, _)) = load("transformer-class-tiny") else {
        return;
    };
    let Some(io) = golden("vqgan-f4-tiny/io.safetensors") else {
        return;
    };
    let io = read(&io);
    check_tokenizer(&model, &io, 0);
    check_tokenizer(&model, &io, 1);
}

/// The authors' encoder adds noise to the logits; the golden has what comes of it without.
#[test]
fn gumbel_tokenizer() {
    let Some((model, io)) = load("gumbel-f4-tiny") else {
        return;
    };
    let theirs = |name: &str| io[name].as_f32().unwrap();
    let pixels = picture(&io["x0"], &device());
    let vectors = model.tokenizer.vectors(pixels.clone());
    let Quantizer::Gumbel(gumbel) = &model.tokenizer.quantize else {
        panic!("the configuration says gumbel");
    };
    let logits = gumbel.proj.forward(vectors.clone()).permute([0, 3, 1, 2]);
    let vectors = vectors.permute([0, 3, 1, 2]);
    assert_near("pre_quant", &values(vectors), theirs("pre_quant0"), 2e-4);
    assert_near("logits", &values(logits), theirs("logits0"), 2e-4);
    let quantized = model.tokenizer.encode(pixels);
    assert_eq!(
        codes(quantized.codes.clone()),
        io["argmax_indices0"].as_i64().unwrap()
    );
    // The weight of the divergence is 1e-8.
    let unweighted = |loss: &[f32]| [loss[0] * 1e8];
    let ours = unweighted(&values(quantized.loss));
    assert_near("divergence", &ours, &unweighted(theirs("kl_loss0")), 1e-4);
    let decode = |latent| values(model.tokenizer.decode(latent).permute([0, 3, 1, 2]));
    let reconstruction = theirs("argmax_reconstruction0");
    let ours = decode(quantized.latent);
    assert_near("reconstruction", &ours, reconstruction, 2e-4);
    let ours = decode(model.tokenizer.quantize.lookup(quantized.codes));
    assert_near("decoded codes", &ours, reconstruction, 2e-4);
}

#[test]
fn segmentation_tokenizer() {
    let Some((model, io)) = load("segmentation-f4-tiny") else {
        return;
    };
    let Some(loss) = golden("segmentation-f4-tiny/loss.safetensors") else {
        return;
    };
    let loss = read(&loss);
    check_tokenizer(&model, &io, 0);
    let labels = picture(&io["x0"], &device());
    let quantized = model.tokenizer.encode(labels.clone());
    let bce = label_map_loss(labels, model.tokenizer.decode(quantized.latent));
    assert_near(
        "bce",
        &values(bce.clone()),
        loss["bce"].as_f32().unwrap(),
        1e-5,
    );
    assert_near(
        "loss",
        &values(bce + quantized.loss),
        loss["loss"].as_f32().unwrap(),
        1e-5,
    );
}

/// Greedy codes without a cache: the whole sequence is read anew for every code.
fn greedy_uncached(model: &Model, conditions: &[i64], known: &[i64], length: usize) -> Vec<i64> {
    let (config, gpt) = model.require_prior().unwrap();
    let batch = conditions.len();
    let start = known.len() / batch;
    let mut rows: Vec<Vec<i64>> = (0..batch)
        .map(|row| {
            [
                &conditions[row..=row],
                &known[row * start..(row + 1) * start],
            ]
            .concat()
        })
        .collect();
    for _ in start..length {
        for row in &mut rows {
            row.push(0);
        }
        let shape = Shape::from([batch, rows[0].len()]);
        let tokens = Tensor::from_data(TensorData::new(rows.concat(), shape), &device());
        let logits = code_logits(gpt, config, tokens);
        let [_, count, vocabulary] = logits.dims();
        let logits = values(logits);
        for (row, tokens) in rows.iter_mut().enumerate() {
            let last = &logits[(row * count + count - 1) * vocabulary..][..vocabulary];
            let best = (0..vocabulary).fold(
                0,
                |best, code| if last[code] > last[best] { code } else { best },
            );
            *tokens.last_mut().unwrap() = best as i64;
        }
    }
    rows.iter().flat_map(|row| row[1..].to_vec()).collect()
}

fn check_transformer(folder: &str) {
    let Some((model, io)) = load(folder) else {
        return;
    };
    let classes: Vec<Option<usize>> = io
        .get("c")
        .and_then(|c| c.as_i64())
        .map_or(vec![None, None], |classes| {
            classes.iter().map(|&class| Some(class as usize)).collect()
        });
    check_likelihood(&model, &io, &classes);
    check_drawing(&model, &io, &classes);
    check_drawn_pictures(&model, &io);
}

/// Logits and loss of two pictures; `classes` are theirs, if they have any.
fn check_likelihood(model: &Model, io: &TensorMap, classes: &[Option<usize>]) {
    let (config, gpt) = model.require_prior().unwrap();
    let conditions = io["c_indices"].as_i64().unwrap();
    let codes = io["z_indices"].as_i64().unwrap();
    let length = config.codes();
    let mut set = CodeSet::new(model, config.rows, config.columns);
    set.codes = codes.to_vec();
    set.classes = classes
        .iter()
        .flatten()
        .map(|&class| class as i64)
        .collect();
    let rows = smalti::prior::trainer::sequences(config, &set, &[0, 1]).unwrap();
    for (row, condition) in rows.iter().zip(conditions) {
        assert_eq!(row[0], *condition);
    }
    let shape = Shape::from([2, length + 1]);
    let tokens = Tensor::from_data(TensorData::new(rows.concat(), shape), &device());
    let logits = values(code_logits(gpt, config, tokens));
    assert_near("logits", &logits, io["logits"].as_f32().unwrap(), 1e-3);
    let nats = nats_per_code(gpt, config, &set, &[0, 1], &device()).unwrap();
    let loss = ((nats[0] + nats[1]) / 2.0) as f32;
    assert_near("loss", &[loss], io["loss"].as_f32().unwrap(), 1e-4);
}

/// Greedy codes, from nothing and from half of a picture, with the cache and without.
fn check_drawing(model: &Model, io: &TensorMap, classes: &[Option<usize>]) {
    let (config, gpt) = model.require_prior().unwrap();
    let conditions = io["c_indices"].as_i64().unwrap();
    let codes = io["z_indices"].as_i64().unwrap();
    let length = config.codes();
    let greedy = io["greedy"].as_i64().unwrap();
    let options = SampleOptions {
        filter: Filter::GREEDY,
        ..SampleOptions::default()
    };
    let draw = |known: &[i64]| -> Vec<i64> {
        let requests: Vec<Request> = classes
            .iter()
            .enumerate()
            .map(|(row, &class)| {
                let condition = class_condition(config, class).unwrap();
                let mut request = Request::new(condition, length, 0);
                let half = known.len() / 2;
                for (place, &code) in known[row * half..(row + 1) * half].iter().enumerate() {
                    request.known[place] = Some(code);
                }
                request
            })
            .collect();
        let codebook = model.tokenizer_config.codebook_size;
        sample_codes(gpt.clone(), config, codebook, &requests, options, |_| {})
            .unwrap()
            .concat()
    };
    let half: Vec<i64> = codes
        .chunks(length)
        .flat_map(|row| row[..length / 2].to_vec())
        .collect();
    assert_eq!(draw(&[]), greedy, "greedy with the cache");
    assert_eq!(
        greedy_uncached(model, conditions, &[], length),
        greedy,
        "greedy without the cache"
    );
    let greedy_half = io["greedy_half"].as_i64().unwrap();
    assert_eq!(draw(&half), greedy_half, "completion with the cache");
    assert_eq!(
        greedy_uncached(model, conditions, &half, length),
        greedy_half,
        "completion without the cache"
    );
}

/// The pictures of the greedy codes.
fn check_drawn_pictures(model: &Model, io: &TensorMap) {
    let (config, _) = model.require_prior().unwrap();
    let greedy = io["greedy"].as_i64().unwrap();
    let codes = greedy.chunks(config.codes());
    let drawn: Vec<Vec<i64>> = codes.map(<[i64]>::to_vec).collect();
    let pictures = decode_pictures(model, &drawn, [config.rows, config.columns], 2);
    let theirs = values(picture(&io["greedy_image"], &device()));
    for (picture, theirs) in pictures.iter().zip(theirs.chunks(theirs.len() / 2)) {
        let theirs: Vec<f32> = theirs
            .iter()
            .map(|value| ((value.clamp(-1.0, 1.0) + 1.0) * 127.5).round())
            .collect();
        let ours: Vec<f32> = picture
            .as_raw()
            .iter()
            .map(|&value| f32::from(value))
            .collect();
        // A rounding apart at the most.
        assert_near("greedy picture", &ours, &theirs, 1.0);
    }
}

/// The codes of a golden file, with the condition's tokens beside them.
fn with_condition(model: &Model, io: &TensorMap) -> CodeSet {
    let (config, _) = model.require_prior().unwrap();
    let mut set = CodeSet::new(model, config.rows, config.columns);
    set.codes = io["z_indices"].as_i64().unwrap().to_vec();
    set.condition = io["c_indices"].as_i64().unwrap().to_vec();
    set
}

/// Logits and loss under a condition of many tokens.
fn check_long_condition(model: &Model, io: &TensorMap) {
    let (config, gpt) = model.require_prior().unwrap();
    let set = with_condition(model, io);
    let rows = smalti::prior::trainer::sequences(config, &set, &[0, 1]).unwrap();
    let shape = Shape::from([2, config.condition.length() + config.codes()]);
    let tokens = Tensor::from_data(TensorData::new(rows.concat(), shape), &device());
    let logits = values(code_logits(gpt, config, tokens));
    assert_near("logits", &logits, io["logits"].as_f32().unwrap(), 1e-3);
    let nats = nats_per_code(gpt, config, &set, &[0, 1], &device()).unwrap();
    let loss = ((nats[0] + nats[1]) / 2.0) as f32;
    assert_near("loss", &[loss], io["loss"].as_f32().unwrap(), 1e-4);
    let pixels = picture(&io["x"], &device());
    let ours = codes(model.tokenizer.encode(pixels).codes);
    assert_eq!(ours, set.codes);
}

#[test]
fn coordinate_conditional_transformer() {
    let Some((model, io)) = load("transformer-coord-tiny") else {
        return;
    };
    check_long_condition(&model, &io);
    let (config, _) = model.require_prior().unwrap();
    let Condition::Coord(coordinates) = config.condition else {
        panic!("the configuration says coord");
    };
    // The whole picture is one crop.
    let tokens = coordinates.of_picture([64, 64]).unwrap();
    let theirs = io["c_indices"].as_i64().unwrap();
    for picture in theirs.chunks(tokens.whole().len()) {
        assert_eq!(tokens.whole(), picture);
    }
}

#[test]
fn segmentation_conditional_transformer() {
    let Some((model, io)) = load("transformer-segmentation-tiny") else {
        return;
    };
    check_long_condition(&model, &io);
    let (config, _) = model.require_prior().unwrap();
    assert_eq!(config.unmasked_prefix, 256);
    let picture = config.condition.second_picture().unwrap();
    let own = [config.rows, config.columns];
    let labels = |name: &str, index: usize| label_map(&io[name], index);
    let tokenizer = model.condition_tokenizer();
    let squares = [labels("c", 0), labels("c", 1)];
    let ours = picture.codes.of_squares(tokenizer, &squares).unwrap();
    assert_eq!(ours, io["c_indices"].as_i64().unwrap());
    // A larger one, of which the prior sees a window at a time.
    let large = labels("window_c", 0);
    let grid = [24, 20];
    let tokens = picture.codes.of_picture(tokenizer, &large, grid, own);
    let tokens = tokens.unwrap();
    let theirs = io["window_c_indices"].as_i64().unwrap();
    assert_eq!(tokens.whole(), theirs);
    let window = Window {
        rows: 5..21,
        columns: 3..19,
        grid,
    };
    let part: Vec<i64> = (5..21)
        .flat_map(|row| &theirs[row * 20 + 3..][..16])
        .copied()
        .collect();
    assert_eq!(tokens.tokens(&window), part);
}

/// A one-hot map `[b, classes, h, w]` as the indices of its classes.
fn label_map(one_hot: &HostTensor, index: usize) -> Raster {
    let [_, classes, height, width] = one_hot.shape[..] else {
        panic!("a batch of maps");
    };
    let all = one_hot.as_f32().unwrap();
    let map = &all[index * classes * height * width..][..classes * height * width];
    let label = |place: usize| {
        let mut classes = map.chunks(height * width);
        classes.position(|class| class[place] == 1.0).unwrap() as u16
    };
    let labels = (0..height * width).map(label).collect();
    let map = LabelImage::from_raw(width as u32, height as u32, labels).unwrap();
    Raster::Labels { map, classes }
}

#[test]
fn class_conditional_transformer() {
    check_transformer("transformer-class-tiny");
}

#[test]
fn unconditional_transformer() {
    check_transformer("transformer-uncond-tiny");
}
