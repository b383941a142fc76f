//! The authors' most probable codes under conditions of many tokens: of pictures of the prior's own size, of halves
//! that are completed, and of a larger one through the sliding window.

mod common;

use common::*;
use smalti::checkpoint::{TensorMap, load_parameters};
use smalti::initializer::Initializer;
use smalti::prior::condition::{Conditioning, Window};
use smalti::prior::{Gpt, PriorConfig};
use smalti::sample::{Filter, Request, SampleOptions, Windowing, sample_codes};
use std::sync::Arc;

/// A grid of condition codes as large as that of the picture.
struct Grid {
    codes: Vec<i64>,
    columns: usize,
}

impl Conditioning for Grid {
    fn tokens(&self, window: &Window) -> Vec<i64> {
        let row = |row: usize| &self.codes[row * self.columns..][window.columns.clone()];
        window.rows.clone().flat_map(row).copied().collect()
    }
}

/// The transformer of a golden folder, as its project.yaml has it, and the tensors beside it.
fn load(folder: &str, unmasked_prefix: usize) -> Option<(PriorConfig, Gpt, TensorMap)> {
    let checkpoint = read(&golden(&format!("{folder}/last.ckpt"))?);
    let io = read(&golden(&format!("{folder}/io.safetensors"))?);
    let config = PriorConfig {
        layers: 2,
        heads: 4,
        width: 64,
        rows: 16,
        columns: 16,
        block_size: 512,
        vocabulary_size: 256,
        unmasked_prefix,
        ..PriorConfig::default()
    };
    let gpt = Gpt::new(&mut Initializer::seeded(&device(), 1), &config);
    let gpt = load_parameters(gpt, &checkpoint, "transformer.", Gpt::key).unwrap();
    Some((config, gpt, io))
}

fn options(grid: [usize; 2], batch: usize) -> SampleOptions {
    SampleOptions {
        filter: Filter::GREEDY,
        grid: Some(grid),
        batch,
        ..SampleOptions::default()
    }
}

/// Requests for pictures of `columns` columns of which the first `known` codes are known.
fn requests(conditions: &[i64], codes: &[i64], size: [usize; 2], known: usize) -> Vec<Request> {
    let length = size[0] * size[1];
    let pictures = conditions.chunks(length).zip(codes.chunks(length));
    let request = |(conditions, codes): (&[i64], &[i64])| {
        let condition = Arc::new(Grid {
            codes: conditions.to_vec(),
            columns: size[1],
        });
        let mut request = Request::new(condition, length, 0);
        for (known, &code) in request.known.iter_mut().zip(codes).take(known) {
            *known = Some(code);
        }
        request
    };
    pictures.map(request).collect()
}

fn check(folder: &str, unmasked_prefix: usize) {
    let Some((config, gpt, io)) = load(folder, unmasked_prefix) else {
        return;
    };
    let own = [16, 16];
    let get = |name: &str| io[name].as_i64().unwrap();
    let draw = |known: usize, batch: usize| {
        let requests = requests(get("c_indices"), get("z_indices"), own, known);
        let options = options(own, batch);
        sample_codes(gpt.clone(), &config, 256, &requests, options, |_| {})
            .unwrap()
            .concat()
    };
    for batch in [1, 2] {
        assert_eq!(draw(0, batch), get("greedy"));
        assert_eq!(draw(128, batch), get("greedy_half"));
    }
}

#[test]
fn segmentation() {
    check("transformer-segmentation-tiny", 256);
}

#[test]
fn coordinates() {
    check("transformer-coord-tiny", 0);
}

/// 24 × 20 codes, one row after the other and several rows at a time.
#[test]
fn the_sliding_window() {
    let Some((config, gpt, io)) = load("transformer-segmentation-tiny", 256) else {
        return;
    };
    let size = [24, 20];
    let conditions = io["window_c_indices"].as_i64().unwrap();
    let truth = io["window_greedy"].as_i64().unwrap();
    for batch in [1, 8] {
        for known in [0, 170] {
            let requests = requests(conditions, truth, size, known);
            let draw = |windowing: Windowing| {
                let options = SampleOptions {
                    windowing,
                    ..options(size, batch)
                };
                sample_codes(gpt.clone(), &config, 256, &requests, options, |_| {}).unwrap()
            };
            assert_eq!(draw(Windowing::Exact)[0], truth, "batch {batch}");
            // Blocks see less: they are no truth, but keep what is known.
            let blocks = draw(Windowing::Blocks);
            assert_eq!(blocks[0][..known], truth[..known]);
            assert_ne!(blocks[0], truth);
        }
    }
}
