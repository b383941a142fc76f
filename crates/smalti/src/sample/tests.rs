//! Drawing with a small untrained prior: what its options may change, and what they may not. The truth is a loop
//! without cache that reads the whole window for every code.

mod conditions;

use super::path::{Path, Step};
use super::*;
use crate::checkpoint::{HostTensor, load_parameters, parameters};
use crate::initializer::Initializer;
use crate::prior::Gpt;
use crate::prior::codes::token_tensor;
use crate::prior::condition::{Conditioning, Fixed, Window};
use crate::prior::decoder::nats_of;
use burn::tensor::Device;
use std::sync::Arc;

const CODES: usize = 13;
const WINDOW: [usize; 2] = [3, 4];
const GRIDS: [[usize; 2]; 5] = [[3, 4], [3, 9], [7, 4], [8, 10], [4, 5]];

/// A prior with more tokens than codes, in which every parameter matters: new ones have positions and
/// biases of zero.
fn prior() -> (PriorConfig, Gpt) {
    let config = PriorConfig {
        layers: 2,
        heads: 2,
        width: 16,
        rows: WINDOW[0],
        columns: WINDOW[1],
        block_size: 20,
        vocabulary_size: CODES + 2,
        unmasked_prefix: 5,
        ..PriorConfig::default()
    };
    let gpt = scrambled(&config);
    (config, gpt)
}

/// A network all of whose parameters are random.
fn scrambled(config: &PriorConfig) -> Gpt {
    let mut init = Initializer::seeded(&Device::flex(), 1);
    let gpt = Gpt::new(&mut init, config);
    let mut tensors = parameters(&gpt, "", str::to_string);
    for (key, tensor) in &mut tensors {
        let count: usize = tensor.shape.iter().product();
        // Large biases would draw the same code everywhere.
        let deviation = if key.ends_with("bias") { 0.1 } else { 1.0 };
        let values = host_values(init.normal([count], deviation).val());
        *tensor = HostTensor::f32(tensor.shape.clone(), values);
    }
    load_parameters(gpt, &tensors, "", str::to_string).unwrap()
}

/// Two vectors, and three tokens that depend on the window.
struct Place {
    vectors: Vec<f32>,
    token: usize,
}

impl Conditioning for Place {
    fn tokens(&self, window: &Window) -> Vec<i64> {
        let first = self.token + 5 * window.rows.start + 3 * window.columns.start;
        (first..first + 3)
            .map(|token| (token % CODES) as i64)
            .collect()
    }

    fn prefix(&self) -> Option<&[f32]> {
        Some(&self.vectors)
    }
}

fn place(token: usize) -> Arc<dyn Conditioning> {
    let vectors = (0..2 * 16).map(|index| ((index * 7 + token) % 5) as f32 / 4.0 - 0.5);
    Arc::new(Place {
        vectors: vectors.collect(),
        token,
    })
}

/// Five pictures: nothing known, the first codes, every third code, the last row, and everything but one.
fn requests([rows, columns]: [usize; 2]) -> Vec<Request> {
    let codes = rows * columns;
    let known = |picture: usize, code: usize| match picture {
        0 => false,
        1 => code < codes / 2,
        2 => code % 3 == 1,
        3 => code >= codes - columns,
        _ => code != codes / 3,
    };
    let request = |picture: usize| {
        let mut request = Request::new(place(picture), codes, picture_seed(5, picture));
        request.unconditional = Some(place(20 + picture));
        for code in (0..codes).filter(|&code| known(picture, code)) {
            request.known[code] = Some(((code * 5 + picture) % CODES) as i64);
        }
        request
    };
    (0..5).map(request).collect()
}

fn options(grid: [usize; 2], windowing: Windowing) -> SampleOptions {
    SampleOptions {
        grid: Some(grid),
        windowing,
        filter: Filter::GREEDY,
        ..SampleOptions::default()
    }
}

fn draw(options: SampleOptions, requests: &[Request]) -> Vec<Vec<i64>> {
    let (config, gpt) = prior();
    sample_codes(gpt, &config, CODES, requests, options, |_| {}).unwrap()
}

/// The logits of a code from a pass over its whole window, whatever stands behind the code.
fn logits(
    gpt: &Gpt,
    path: &Path,
    condition: &dyn Conditioning,
    codes: &[Option<i64>],
    step: &Step,
) -> Vec<f32> {
    let mut tokens = condition.tokens(&path.window(step.origin));
    let vectors = condition.prefix().unwrap_or_default();
    let width = gpt.pos_emb.dims()[2];
    let before = vectors.len() / width + tokens.len();
    for place in 0..WINDOW[0] * WINDOW[1] - 1 {
        tokens.push(codes[path.cell(step.origin, place)].unwrap_or(7));
    }
    let device = Device::flex();
    let embedded = gpt.tok_emb.forward(token_tensor(&[tokens], &device));
    let shape = Shape::from([1, vectors.len() / width, width]);
    let vectors = Tensor::from_data(TensorData::new(vectors.to_vec(), shape), &device);
    let logits = gpt.forward_vectors(Tensor::cat(vec![vectors, embedded], 1));
    let vocabulary = logits.dims()[2];
    let last = before - 1 + step.place;
    host_values(logits.slice([0..1, last..last + 1, 0..vocabulary]))
}

/// The most probable codes, lane after lane.
fn draw_slowly(path: &Path, request: &Request, guidance: Guidance) -> Vec<i64> {
    let (_, gpt) = prior();
    let mut codes = request.known.clone();
    for lane in 0..path.lanes() {
        for index in 0..path.length(lane) {
            let step = path.step(lane, index);
            if codes[step.cell].is_some() {
                continue;
            }
            let mut row = logits(&gpt, path, &*request.condition, &codes, &step);
            if guidance.holds(path.fraction(&step)) {
                let unconditional = request.unconditional.as_deref().unwrap();
                let without = logits(&gpt, path, unconditional, &codes, &step);
                for (with, without) in row.iter_mut().zip(without) {
                    *with = without + guidance.scale as f32 * (*with - without);
                }
            }
            let best = |best: usize, code: usize| if row[code] > row[best] { code } else { best };
            codes[step.cell] = Some((0..CODES).fold(0, best) as i64);
        }
    }
    codes.into_iter().flatten().collect()
}

fn path(grid: [usize; 2], windowing: Windowing) -> Path {
    Path::with_cells(WINDOW, (0..12).collect(), grid, windowing).unwrap()
}

#[test]
fn the_batch_decides_nothing_but_speed() {
    for (grid, windowing) in [
        ([3, 4], Windowing::Exact),
        ([5, 9], Windowing::Exact),
        ([5, 9], Windowing::Blocks),
    ] {
        let requests = requests(grid);
        for weights in [WeightFormat::F32, WeightFormat::Int4] {
            let draw = |batch: usize, requests: &[Request]| {
                let options = SampleOptions {
                    filter: Filter::default(),
                    guidance: Guidance {
                        scale: 1.5,
                        ..Guidance::default()
                    },
                    batch,
                    weights,
                    ..options(grid, windowing)
                };
                draw(options, requests)
            };
            let one_by_one = draw(1, &requests);
            for batch in [2, 3, 8] {
                assert_eq!(
                    draw(batch, &requests),
                    one_by_one,
                    "{grid:?} {weights} {batch}"
                );
            }
            // Nor do the other pictures.
            assert_eq!(draw(8, &requests[2..3])[0], one_by_one[2]);
            for (codes, request) in one_by_one.iter().zip(&requests) {
                assert_eq!(codes.len(), grid[0] * grid[1]);
                assert!(codes.iter().all(|&code| (0..CODES as i64).contains(&code)));
                let pairs = codes.iter().zip(&request.known);
                for (code, known) in pairs.filter(|(_, known)| known.is_some()) {
                    assert_eq!(Some(*code), *known);
                }
            }
        }
    }
}

#[test]
fn pictures_of_any_size_are_those_of_the_loop_without_cache() {
    for grid in GRIDS {
        for windowing in [Windowing::Exact, Windowing::Blocks] {
            let requests = requests(grid);
            let drawn = draw(options(grid, windowing), &requests);
            let path = path(grid, windowing);
            for (picture, request) in requests.iter().enumerate() {
                let truth = draw_slowly(&path, request, Guidance::default());
                assert_eq!(drawn[picture], truth, "{grid:?} {windowing:?} {picture}");
            }
        }
    }
}

#[test]
fn guided_pictures_are_those_of_the_loop_without_cache() {
    let guidance = Guidance {
        scale: 2.5,
        from: 0.2,
        to: 0.7,
    };
    for grid in [[3, 4], [5, 9]] {
        let requests = requests(grid);
        let drawn = draw(
            SampleOptions {
                guidance,
                ..options(grid, Windowing::Exact)
            },
            &requests,
        );
        assert_ne!(drawn, draw(options(grid, Windowing::Exact), &requests));
        let path = path(grid, Windowing::Exact);
        for (picture, request) in requests.iter().enumerate() {
            let truth = draw_slowly(&path, request, guidance);
            assert_eq!(drawn[picture], truth, "{grid:?} {picture}");
        }
    }
}

#[test]
fn guidance_of_one_and_of_no_part_is_none() {
    let with = |scale: f64, from: f64| {
        let options = SampleOptions {
            filter: Filter::default(),
            guidance: Guidance {
                scale,
                from,
                to: 1.0,
            },
            ..options([5, 9], Windowing::Exact)
        };
        draw(options, &requests([5, 9]))
    };
    let none = with(1.0, 0.0);
    assert_eq!(with(3.0, 1.0), none);
    assert_ne!(with(3.0, 0.0), none);
    let mut requests = requests([5, 9]);
    for request in &mut requests {
        request.unconditional = None;
    }
    let options = SampleOptions {
        filter: Filter::default(),
        ..options([5, 9], Windowing::Exact)
    };
    assert_eq!(draw(options, &requests), none);
}

#[test]
fn packed_weights_draw_what_the_network_draws() {
    let (config, gpt) = prior();
    for (grid, windowing) in [
        ([3, 4], Windowing::Exact),
        ([4, 9], Windowing::Exact),
        ([4, 9], Windowing::Blocks),
    ] {
        let options = options(grid, windowing);
        let requests = requests(grid);
        let network = Sampler::of_network(gpt.clone(), &config, CODES, options);
        let by_network = |requests: &[Request]| network.draw(requests, |_| {}).unwrap();
        assert_eq!(draw(options, &requests), by_network(&requests), "{grid:?}");
        // Pictures of which nothing is known advance together, and the network keeps a cache.
        let fresh: Vec<Request> = (0..3)
            .map(|picture| Request::new(place(picture), grid[0] * grid[1], 0))
            .collect();
        assert_eq!(draw(options, &fresh), by_network(&fresh), "{grid:?}");
    }
}

#[test]
fn codes_are_placed_where_the_order_says() {
    let (config, gpt) = prior();
    let order = vec![11, 3, 7, 0, 5, 1, 10, 2, 9, 4, 8, 6];
    let path = Path::with_cells(WINDOW, order, WINDOW, Windowing::Exact).unwrap();
    let requests = requests(WINDOW);
    let options = options(WINDOW, Windowing::Exact);
    let sampler = Sampler::new(gpt, &config, CODES, options).unwrap();
    let mut drawing = sampler.begin(&path, &requests, 1).unwrap();
    while drawing.step().unwrap() > 0 {}
    let drawn = drawing.finish();
    assert_ne!(drawn, draw(options, &requests));
    for (codes, request) in drawn.iter().zip(&requests) {
        assert_eq!(*codes, draw_slowly(&path, request, Guidance::default()));
    }
}

#[test]
fn nats_are_those_of_the_exact_window() {
    let (config, gpt) = prior();
    let grid = [5, 9];
    let requests = requests(grid);
    let sampler = |batch: usize| {
        let options = SampleOptions {
            filter: Filter::default(),
            batch,
            ..options(grid, Windowing::Blocks)
        };
        Sampler::new(gpt.clone(), &config, CODES, options).unwrap()
    };
    let drawn = sampler(4).draw(&requests, |_| {}).unwrap();
    let nats = sampler(4).nats_per_code(&requests, &drawn).unwrap();
    for (one, all) in sampler(1)
        .nats_per_code(&requests, &drawn)
        .unwrap()
        .iter()
        .zip(&nats)
    {
        // Only the order of the sum differs.
        assert!((one - all).abs() < 1e-12, "{one} {all}");
    }
    let path = path(grid, Windowing::Exact);
    for (picture, request) in requests.iter().enumerate() {
        let codes: Vec<Option<i64>> = drawn[picture].iter().copied().map(Some).collect();
        let mut sum = 0.0;
        for row in 0..grid[0] {
            for column in 0..grid[1] {
                let step = path.step(row, column);
                if request.known[step.cell].is_none() {
                    let row = logits(&gpt, &path, &*request.condition, &codes, &step);
                    sum += nats_of(&row, drawn[picture][step.cell]);
                }
            }
        }
        let truth = sum / request.unknown() as f64;
        assert!(
            (nats[picture] - truth).abs() < 1e-4,
            "{} instead of {truth}",
            nats[picture]
        );
    }
}

#[test]
fn the_most_probable_code_is_that_of_any_seed_and_batch() {
    let grid = [4, 6];
    let greedy = draw(options(grid, Windowing::Exact), &requests(grid));
    let mut reseeded = requests(grid);
    for request in &mut reseeded {
        request.seed += 1;
    }
    assert_eq!(draw(options(grid, Windowing::Exact), &reseeded), greedy);
    let cold = SampleOptions {
        filter: Filter {
            min_p: Some(1.0),
            ..Filter::default()
        },
        ..options(grid, Windowing::Exact)
    };
    assert_eq!(draw(cold, &reseeded), greedy);
}

#[test]
fn progress_counts_what_is_drawn() {
    let (config, gpt) = prior();
    let requests = requests([3, 9]);
    let options = SampleOptions {
        batch: 2,
        ..options([3, 9], Windowing::Exact)
    };
    let (mut counts, mut pictures) = (Vec::new(), Vec::new());
    let drawn = sample_codes(gpt, &config, CODES, &requests, options, |progress| {
        counts.push(progress.drawn);
        pictures.push(progress.picture);
        let there = progress.codes.iter().flatten().count();
        assert!(there <= 27 && progress.codes.len() == 27);
    });
    assert_eq!(drawn.unwrap().len(), 5);
    assert!(counts.is_sorted() && pictures.is_sorted());
    let unknown: usize = requests.iter().map(Request::unknown).sum();
    assert_eq!(counts.last(), Some(&unknown));
    assert_eq!(pictures.last(), Some(&4));
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |options: SampleOptions, requests: &[Request], words: &[&str]| {
        let (config, gpt) = prior();
        let result = sample_codes(gpt, &config, CODES, requests, options, |_| {});
        let error = result.unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "no `{word}` in {error}");
        }
    };
    let own = options(WINDOW, Windowing::Exact);
    let small = options([2, 9], Windowing::Exact);
    refused(small, &requests([2, 9]), &["at least 3 × 4"]);
    refused(own, &requests([3, 5]), &["a grid of 15 codes", "3 × 4"]);
    let mut outside = requests(WINDOW);
    outside[1].known[0] = Some(CODES as i64);
    refused(own, &outside, &["code 13", "codebook of 13"]);
    let mut alone = requests(WINDOW);
    alone[4].unconditional = None;
    let guided = SampleOptions {
        guidance: Guidance {
            scale: 2.0,
            ..Guidance::default()
        },
        ..own
    };
    refused(guided, &alone, &["--guidance"]);
    let mut unlike = requests(WINDOW);
    unlike[2].condition = Arc::new(Fixed(vec![1]));
    refused(own, &unlike, &["one length"]);
    let long = Request::new(Arc::new(Fixed(vec![1; 10])), 12, 0);
    refused(own, &[long], &["10 tokens", "room for 9"]);
    let foreign = Request::new(Arc::new(Fixed(vec![1, 2, 3, 4, 99])), 12, 0);
    refused(own, &[foreign], &["token 99", "vocabulary is 15"]);
    let none = Request::new(Arc::new(Fixed(Vec::new())), 12, 0);
    refused(own, &[none], &["0 tokens"]);
}
