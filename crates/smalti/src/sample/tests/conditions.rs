//! Drawing under every condition and in every order of codes: packed weights, the network with its cache and the network
//! without it draw the same codes, and neither the batch nor guidance that is none changes any.

use super::scrambled;
use crate::checkpoint::host_values;
use crate::data::{Area, DepthForm, Object};
use crate::prior::codes::token_tensor;
use crate::prior::condition::layout::{PictureLayout, Places};
use crate::prior::condition::{
    ClassCondition, CodesOfPicture, Condition, Conditioning, CoordCondition, DepthCondition,
    EdgesCondition, Fixed, GridTokens, LayoutCondition, LowresCondition, Patches, PoseCondition,
    SegmentationCondition, StartToken, TextCondition, Window,
};
use crate::prior::{Gpt, PriorConfig, ScanOrder};
use crate::sample::{
    Filter, Guidance, Request, SampleOptions, Sampler, class_condition, picture_seed, sample_codes,
};
use burn::tensor::{Device, Shape, Tensor, TensorData};
use std::sync::Arc;

const CODES: usize = 13;
const SIDE: usize = 4;
const WIDTH: usize = 16;
/// No code and no token of a condition.
const NOTHING: usize = 15;

const ORDERS: [ScanOrder; 7] = [
    ScanOrder::Raster,
    ScanOrder::Subsample,
    ScanOrder::ZCurve,
    ScanOrder::SpiralOut,
    ScanOrder::SpiralIn,
    ScanOrder::Alternate,
    ScanOrder::Random,
];

fn conditions() -> Vec<Condition> {
    let codes = CodesOfPicture {
        tokenizer: None,
        rows: 2,
        columns: 3,
        size: 0,
    };
    vec![
        Condition::None(StartToken { start_token: 14 }),
        Condition::Class(ClassCondition {
            classes: 5,
            names: Vec::new(),
        }),
        Condition::Coord(CoordCondition {
            levels: CODES,
            factor: 4,
            rows: SIDE,
            columns: SIDE,
        }),
        Condition::Segmentation(SegmentationCondition {
            classes: 5,
            ignore_value: None,
            codes: codes.clone(),
        }),
        Condition::Depth(DepthCondition {
            form: DepthForm::Auto,
            codes: codes.clone(),
        }),
        Condition::Edges(EdgesCondition {
            codes: codes.clone(),
        }),
        Condition::Pose(PoseCondition {
            codes: codes.clone(),
        }),
        Condition::Lowres(LowresCondition { factor: 2, codes }),
        Condition::Layout(LayoutCondition {
            classes: 3,
            names: Vec::new(),
            places: Places::Boxes,
            max_objects: 2,
            token_count: CODES,
            encode_crop: true,
            use_group_parameter: false,
            use_additional_parameters: false,
        }),
        Condition::Text(TextCondition {
            vectors: 3,
            length: 2,
            encoder: String::new(),
            droppable: true,
        }),
    ]
}

/// The positions of the condition see each other in both directions.
fn config(condition: Condition, order: ScanOrder) -> PriorConfig {
    let config = PriorConfig {
        layers: 2,
        heads: 2,
        width: WIDTH,
        rows: SIDE,
        columns: SIDE,
        block_size: SIDE * SIDE - 1 + condition.length(),
        vocabulary_size: NOTHING + 1,
        unmasked_prefix: condition.length(),
        nothing_token: (condition.tokens_before() > 0).then_some(NOTHING),
        condition,
        order,
        ..PriorConfig::default()
    };
    config.check().unwrap();
    config
}

/// What a picture is drawn under, another for each.
fn told(config: &PriorConfig, gpt: &Gpt, picture: usize) -> Arc<dyn Conditioning> {
    match &config.condition {
        Condition::None(_) | Condition::Class(_) => {
            class_condition(config, Some(picture % 5)).unwrap()
        }
        Condition::Coord(condition) => Arc::new(Fixed(condition.tokens(Patches {
            corner: [8 * picture, 8],
            count: [SIDE, SIDE],
            picture: [64, 64],
        }))),
        Condition::Layout(condition) => Arc::new(layout(condition, picture)),
        Condition::Text(_) => {
            let text = [picture as f32 - 1.5, 0.5];
            Arc::new(gpt.text_vectors(&text).unwrap())
        }
        other => {
            let codes = other.second_picture().unwrap().codes;
            let tokens = (0..codes.length()).map(|place| ((place * 5 + picture) % CODES) as i64);
            let grid = [codes.rows, codes.columns];
            Arc::new(GridTokens::new(tokens.collect(), grid, grid).unwrap())
        }
    }
}

/// One object or two.
fn layout(condition: &LayoutCondition, picture: usize) -> PictureLayout {
    let object = |number: usize| Object {
        category: ((number + picture) % 3) as u32,
        area: Area {
            x: 0.1 * picture as f64,
            y: 0.4 * number as f64,
            width: 0.5,
            height: 0.4,
        },
        is_group_of: false,
        is_occluded: false,
        is_depiction: false,
        is_inside: false,
    };
    let objects = (0..1 + picture % 2).map(object).collect();
    PictureLayout::new(condition, objects, Some(picture as u64)).unwrap()
}

/// Pictures of which nothing is known.
fn fresh(config: &PriorConfig, gpt: &Gpt) -> Vec<Request> {
    let nothing: Option<Arc<dyn Conditioning>> = match gpt.vectors_without_text() {
        Some(vectors) => Some(Arc::new(vectors)),
        None => config.unconditional(),
    };
    let request = |picture: usize| {
        let condition = told(config, gpt, picture);
        let mut request = Request::new(condition, config.codes(), picture_seed(3, picture));
        request.unconditional = nothing.clone();
        request
    };
    (0..4).map(request).collect()
}

/// The same, but that of the second and the fourth some codes are known.
fn begun(config: &PriorConfig, gpt: &Gpt) -> Vec<Request> {
    let mut requests = fresh(config, gpt);
    for (picture, request) in requests.iter_mut().enumerate().skip(1).step_by(2) {
        for code in (picture..config.codes()).step_by(3) {
            request.known[code] = Some((code * 5 % CODES) as i64);
        }
    }
    requests
}

/// The most probable codes; the network reads everything again for each of them.
fn draw_slowly(config: &PriorConfig, gpt: &Gpt, request: &Request) -> Vec<i64> {
    let window = Window {
        rows: 0..SIDE,
        columns: 0..SIDE,
        grid: [SIDE; 2],
    };
    let mut read = request.condition.tokens(&window);
    let mut codes = vec![0; config.codes()];
    for cell in config.positions() {
        codes[cell] = match request.known[cell] {
            Some(code) => code,
            None => {
                let row = logits(gpt, request.condition.prefix(), &read);
                let best =
                    |best: usize, code: usize| if row[code] > row[best] { code } else { best };
                (0..CODES).fold(0, best) as i64
            }
        };
        read.push(codes[cell]);
    }
    codes
}

/// The logits of what follows vectors and tokens.
fn logits(gpt: &Gpt, vectors: Option<&[f32]>, tokens: &[i64]) -> Vec<f32> {
    let device = Device::flex();
    let mut parts = Vec::new();
    if let Some(vectors) = vectors {
        let shape = Shape::from([1, vectors.len() / WIDTH, WIDTH]);
        let data = TensorData::new(vectors.to_vec(), shape);
        parts.push(Tensor::<3>::from_data(data, &device));
    }
    if !tokens.is_empty() {
        let tokens = token_tensor(&[tokens.to_vec()], &device);
        parts.push(gpt.tok_emb.forward(tokens));
    }
    let logits = gpt.forward_vectors(Tensor::cat(parts, 1));
    let [_, count, vocabulary] = logits.dims();
    host_values(logits.slice([0..1, count - 1..count, 0..vocabulary]))
}

/// Runs `check` on a random prior of every condition and every order.
fn for_all(check: impl Fn(&PriorConfig, &Gpt, &str)) {
    for condition in conditions() {
        for order in ORDERS {
            let name = format!("{} {order:?}", condition.name());
            let config = config(condition.clone(), order);
            check(&config, &scrambled(&config), &name);
        }
    }
}

fn draw(
    config: &PriorConfig,
    gpt: &Gpt,
    requests: &[Request],
    options: SampleOptions,
) -> Vec<Vec<i64>> {
    sample_codes(gpt.clone(), config, CODES, requests, options, |_| {}).unwrap()
}

#[test]
fn packed_weights_the_cache_and_the_loop_without_it_draw_the_same() {
    let greedy = SampleOptions {
        filter: Filter::GREEDY,
        ..SampleOptions::default()
    };
    for_all(|config, gpt, name| {
        let network = Sampler::of_network(gpt.clone(), config, CODES, greedy);
        for requests in [fresh(config, gpt), begun(config, gpt)] {
            let packed = draw(config, gpt, &requests, greedy);
            assert_eq!(packed, network.draw(&requests, |_| {}).unwrap(), "{name}");
            for (codes, request) in packed.iter().zip(&requests) {
                assert_eq!(*codes, draw_slowly(config, gpt, request), "{name}");
            }
        }
    });
}

#[test]
fn the_batch_and_guidance_of_one_change_nothing() {
    for_all(|config, gpt, name| {
        let requests = begun(config, gpt);
        let drawn = |scale: f64, batch: usize, requests: &[Request]| {
            let options = SampleOptions {
                guidance: Guidance {
                    scale,
                    ..Guidance::default()
                },
                batch,
                ..SampleOptions::default()
            };
            draw(config, gpt, requests, options)
        };
        for scale in [1.0, 2.0] {
            let one_by_one = drawn(scale, 1, &requests);
            assert_eq!(one_by_one, drawn(scale, 8, &requests), "{name} {scale}");
        }
        let mut unguided = requests.clone();
        for request in &mut unguided {
            request.unconditional = None;
        }
        assert_eq!(drawn(1.0, 8, &unguided), drawn(1.0, 8, &requests), "{name}");
        assert_ne!(drawn(2.0, 8, &requests), drawn(1.0, 8, &requests), "{name}");
    });
}

#[test]
fn conditions_change_what_is_drawn() {
    let greedy = SampleOptions {
        filter: Filter::GREEDY,
        ..SampleOptions::default()
    };
    for_all(|config, gpt, name| {
        let drawn = draw(config, gpt, &fresh(config, gpt), greedy);
        let same = drawn.iter().all(|codes| *codes == drawn[0]);
        let none = matches!(config.condition, Condition::None(_));
        assert_eq!(same, none, "{name}");
    });
}
