//! What a code may see, gradients against difference quotients, training, files and drawing.

use super::*;
use crate::checkpoint::{
    HostTensor, ParameterPath, TensorMap, load_parameters, parameters, read_tensors,
};
use crate::model::{Model, ModelInfo};
use crate::prior::condition::{
    ClassCondition, CodesOfPicture, CoordCondition, LowresCondition, TextCondition,
};
use crate::prior::trainer::{PriorTrainer, code_logits, nats_per_code, next_code_loss};
use crate::prior::{Architecture, CodeSet, Prior, PriorTraining, ScanOrder};
use crate::sample::{
    Filter, Request, SampleOptions, Sampler, WeightFormat, class_condition, picture_seed,
    sample_codes,
};
use crate::tokenizer::{Tokenizer, TokenizerConfig};
use burn::module::{ModuleVisitor, Param};
use burn::optim::GradientsParams;

const VOCABULARY: usize = 11;
const ROWS: usize = 4;
const COLUMNS: usize = 3;
const CODES: usize = ROWS * COLUMNS;

fn unchecked(condition: Condition, shape: PixelSnailConfig) -> PriorConfig {
    PriorConfig {
        network: Architecture::PixelSnail(shape),
        layers: 2,
        heads: 2,
        width: 8,
        rows: ROWS,
        columns: COLUMNS,
        block_size: CODES - 1 + condition.length(),
        vocabulary_size: VOCABULARY,
        condition,
        ..PriorConfig::default()
    }
}

fn shape(kernel: usize) -> PixelSnailConfig {
    PixelSnailConfig {
        residual_blocks: 2,
        attention_width: 4,
        kernel,
    }
}

fn config(condition: Condition, kernel: usize) -> PriorConfig {
    let config = unchecked(condition, shape(kernel));
    config.check().unwrap();
    config
}

fn classes(classes: usize) -> Condition {
    Condition::Class(ClassCondition {
        classes,
        names: Vec::new(),
    })
}

fn coordinates(rows: usize, columns: usize) -> Condition {
    Condition::Coord(CoordCondition {
        levels: 10,
        factor: 4,
        rows,
        columns,
    })
}

fn conditions() -> [Condition; 3] {
    [Condition::default(), classes(3), coordinates(ROWS, COLUMNS)]
}

/// A prior in which every parameter matters.
fn prior(config: &PriorConfig, device: &Device) -> Prior {
    let fresh = Prior::new(&mut Initializer::zeros(device), config);
    let mut tensors = parameters(&fresh, "", str::to_string);
    let mut init = Initializer::seeded(&Device::flex(), 1);
    for tensor in tensors.values_mut() {
        let count: usize = tensor.shape.iter().product();
        let values = host_values(init.normal([count], 0.3).val());
        *tensor = HostTensor::f32(tensor.shape.clone(), values);
    }
    load_parameters(fresh, &tensors, "", str::to_string).unwrap()
}

/// The tokens of some condition and all codes of a picture.
fn sequence(config: &PriorConfig, number: usize) -> Vec<i64> {
    let tokens = (0..config.condition.tokens_before()).map(|place| (place * 7 + number) % 3);
    let codes = (0..CODES).map(|place| (place * place * 5 + place + 3 * number) % VOCABULARY);
    tokens.chain(codes).map(|token| token as i64).collect()
}

/// The logits of each code of a sequence.
fn logits(prior: &Prior, config: &PriorConfig, sequence: &[i64]) -> Vec<Vec<f32>> {
    let tokens = token_tensor(&[sequence.to_vec()], &Device::flex());
    let logits = code_logits(prior, config, tokens);
    assert_eq!(logits.dims(), [1, CODES, config.vocabulary_size]);
    let values = host_values(logits);
    let rows = values.chunks_exact(config.vocabulary_size);
    rows.map(<[f32]>::to_vec).collect()
}

#[track_caller]
fn assert_near(left: &[f32], right: &[f32]) {
    assert_eq!(left.len(), right.len());
    for (left, right) in left.iter().zip(right) {
        assert!((left - right).abs() < 1e-4, "{left} and {right}");
    }
}

#[test]
fn a_code_changes_what_follows_it_and_nothing_else() {
    for condition in conditions() {
        for kernel in [1, 2, 3] {
            let config = config(condition.clone(), kernel);
            let prior = prior(&config, &Device::flex());
            let sequence = sequence(&config, 1);
            let first = config.condition.tokens_before();
            let before = logits(&prior, &config, &sequence);
            for code in 0..CODES {
                let mut other = sequence.clone();
                other[first + code] = (other[first + code] + 4) % VOCABULARY as i64;
                let after = logits(&prior, &config, &other);
                assert_eq!(before[..=code], after[..=code], "code {code}");
                let mut later = before.iter().zip(&after).skip(code + 1);
                assert!(later.all(|(before, after)| before != after), "code {code}");
            }
        }
    }
}

#[test]
fn all_of_the_condition_is_seen() {
    for condition in conditions() {
        let config = config(condition, 2);
        let prior = prior(&config, &Device::flex());
        let sequence = sequence(&config, 0);
        let before = logits(&prior, &config, &sequence);
        for token in 0..config.condition.tokens_before() {
            let mut other = sequence.clone();
            other[token] = (other[token] + 1) % 3;
            let after = logits(&prior, &config, &other);
            match config.condition {
                Condition::None(_) => assert_eq!(before, after),
                _ => assert_ne!(before[CODES - 1], after[CODES - 1], "token {token}"),
            }
        }
    }
}

#[test]
fn no_condition_has_a_vector_of_its_own() {
    let config = PriorConfig {
        vocabulary_size: VOCABULARY + 1,
        nothing_token: Some(VOCABULARY),
        ..config(classes(3), 2)
    };
    config.check().unwrap();
    let prior = prior(&config, &Device::flex());
    let tensors = parameters(&prior, "", str::to_string);
    assert_eq!(tensors["condition.table.weight"].shape, [4, 8]);
    let mut sequence = sequence(&config, 0);
    sequence[0] = VOCABULARY as i64;
    let nothing = logits(&prior, &config, &sequence);
    for class in 0..3 {
        sequence[0] = class;
        assert_ne!(logits(&prior, &config, &sequence), nothing);
    }
}

#[test]
fn a_part_of_the_grid_is_enough() {
    for condition in conditions() {
        let config = config(condition, 2);
        let prior = prior(&config, &Device::flex());
        let Prior::PixelSnail(network) = &prior else {
            panic!("the configuration asks for one");
        };
        let first = config.condition.tokens_before();
        let lengths = [0, 4, 3, CODES - 1];
        let known: Vec<Vec<i64>> = lengths
            .iter()
            .enumerate()
            .map(|(number, length)| sequence(&config, number)[..first + length].to_vec())
            .collect();
        let together = network.next_codes(&known);
        for (number, (length, next)) in lengths.iter().zip(together.chunks(VOCABULARY)).enumerate()
        {
            let whole = logits(&prior, &config, &sequence(&config, number));
            assert_near(next, &whole[*length]);
            assert_near(&network.next_codes(&known[number..=number]), next);
        }
    }
}

/// Gradients as tensors, by parameter.
struct Named<'a> {
    path: ParameterPath,
    gradients: &'a GradientsParams,
    found: TensorMap,
}

impl ModuleVisitor for Named<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let shape = gradient.dims().to_vec();
            let tensor = HostTensor::f32(shape, host_values(gradient));
            self.found.insert(self.path.dotted(), tensor);
        }
    }
}

/// The mean loss of three pictures.
fn loss(prior: &Prior, config: &PriorConfig, device: &Device) -> Tensor<1> {
    let rows: Vec<Vec<i64>> = (0..3).map(|number| sequence(config, number)).collect();
    next_code_loss(prior, config, &rows, &rows, device).mean()
}

#[test]
fn gradients_are_difference_quotients() {
    const STEP: f32 = 1e-2;
    for condition in conditions() {
        let config = config(condition, 2);
        let (device, plain) = (Device::flex().autodiff(), Device::flex());
        let network = prior(&config, &device);
        let gradients = loss(&network, &config, &device).backward();
        let gradients = GradientsParams::from_grads(gradients, &network);
        let mut visitor = Named {
            path: ParameterPath::default(),
            gradients: &gradients,
            found: TensorMap::new(),
        };
        network.visit(&mut visitor);
        let network = prior(&config, &plain);
        let weights = parameters(&network, "", str::to_string);
        assert!(visitor.found.keys().eq(weights.keys()));
        for (key, gradient) in &visitor.found {
            let gradient = gradient.as_f32().unwrap();
            let squares: f32 = gradient.iter().map(|value| value * value).sum();
            let length = squares.sqrt();
            // Along the gradient the loss grows by its length.
            let at = |step: f32| {
                let weight = &weights[key];
                let pairs = weight.as_f32().unwrap().iter().zip(gradient);
                let moved = pairs.map(|(value, slope)| value + step * slope / length);
                let moved = HostTensor::f32(weight.shape.clone(), moved.collect());
                let mut weights = weights.clone();
                weights.insert(key.clone(), moved);
                let moved = load_parameters(network.clone(), &weights, "", str::to_string).unwrap();
                loss(&moved, &config, &plain).into_scalar::<f32>()
            };
            let quotient = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            assert!(
                (quotient - length).abs() < 0.02 * length + 3e-4,
                "{key}: {quotient} instead of {length}"
            );
        }
    }
}

/// Seven pictures of 4 × 4 codes, each of which follows from its first code.
fn patterns() -> CodeSet {
    let code = |start: usize, row: usize, column: usize| {
        (start + 2 * row + 3 * column + start * row * column) % 7
    };
    let codes = (0..7 * 16).map(|place| code(place / 16, place / 4 % 4, place % 4) as i64);
    CodeSet {
        codes: codes.collect(),
        rows: 4,
        columns: 4,
        classes: (0..7).collect(),
        ..CodeSet::default()
    }
}

/// Nats per code after a short training.
fn learned(condition: Condition) -> f64 {
    let config = PriorConfig {
        width: 16,
        columns: 4,
        block_size: 16,
        vocabulary_size: 7,
        ..unchecked(
            condition,
            PixelSnailConfig {
                residual_blocks: 1,
                attention_width: 8,
                kernel: 2,
            },
        )
    };
    config.check().unwrap();
    let device = Device::flex().autodiff();
    let mut trainer = PriorTrainer::new(&config, &PriorTraining::default(), &device);
    let pictures: Vec<usize> = (0..7).collect();
    for step in 0..100 {
        trainer.step(&patterns(), &pictures, 1e-2, step).unwrap();
    }
    let result = trainer.result();
    let nats = nats_per_code(&result, &config, &patterns(), &pictures, &device.inner()).unwrap();
    nats.iter().sum::<f64>() / nats.len() as f64
}

#[test]
fn a_pattern_is_learned_and_nothing_that_cannot_be_known() {
    let nats = learned(classes(7));
    assert!(nats < 0.03, "{nats}");
    // Without its class, the first code of a picture is any of seven.
    let least = 7f64.ln() / 16.0;
    let nats = learned(Condition::default());
    assert!((least - 1e-4..least + 0.05).contains(&nats), "{nats}");
}

fn model(config: PriorConfig) -> Model {
    let tokenizer_config = TokenizerConfig {
        resolution: 16,
        channels: 32,
        channel_multipliers: vec![1, 1, 1],
        z_channels: 8,
        codebook_size: VOCABULARY,
        ..TokenizerConfig::default()
    };
    let mut init = Initializer::seeded(&Device::flex(), 4);
    Model {
        tokenizer: Tokenizer::new(&mut init, &tokenizer_config),
        tokenizer_config,
        prior: Some((config.clone(), prior(&config, &Device::flex()))),
        condition: None,
        info: ModelInfo::default(),
    }
}

#[test]
fn files_keep_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let config = config(classes(3), 3);
    let model = model(config.clone());
    model.save(&path).unwrap();
    let (mut tensors, _) = read_tensors(&path).unwrap();
    for key in [
        "pixelsnail.codes.weight",
        "pixelsnail.above.weight",
        "pixelsnail.blocks.1.residual.0.condition.weight",
        "pixelsnail.blocks.0.attention.merge.auxiliary.bias",
        "pixelsnail.head.bias",
    ] {
        assert!(tensors.contains_key(key), "{key}");
    }
    assert_eq!(tensors["pixelsnail.above.weight"].shape, [8, 8, 3, 5]);
    assert!(tensors.keys().all(|key| !key.starts_with("transformer.")));
    let read = Model::load(&path, &Device::flex()).unwrap();
    let (read_config, read_prior) = read.require_prior().unwrap();
    assert_eq!(*read_config, config);
    let all = |prior: &Prior| parameters(prior, "", str::to_string);
    let (_, written) = model.require_prior().unwrap();
    assert_eq!(all(read_prior), all(written));
    let tokens = sequence(&config, 2);
    assert_eq!(
        logits(read_prior, &config, &tokens),
        logits(written, &config, &tokens)
    );
    // The least that is asked for is never more than there is.
    let counts = all(written);
    let values = |tensor: &HostTensor| tensor.shape.iter().product::<usize>();
    let parameters: usize = counts.values().map(values).sum();
    assert!(config.least_parameters() <= parameters);
    assert!(config.least_tensors() <= counts.len());
    tensors.remove("pixelsnail.left.bias");
    let tokenizer = model.tokenizer_config.clone();
    let error = Model::from_tensors(tokenizer, Some(config), &tensors, &Device::flex());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("pixelsnail.left.bias"), "{error}");
}

#[test]
fn configurations_name_it() {
    let config = config(classes(3), 2);
    let text = serde_json::to_string(&config).unwrap();
    let network =
        r#""network":{"pixelsnail":{"residual_blocks":2,"attention_width":4,"kernel":2}}"#;
    assert!(text.contains(network), "{text}");
    assert_eq!(serde_json::from_str::<PriorConfig>(&text).unwrap(), config);
    assert!(config.describe().starts_with("pixelsnail of 2 blocks"));
}

#[track_caller]
fn refused(config: PriorConfig, words: &str) {
    let error = config.check().unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn what_it_cannot_be_is_refused() {
    let lowres = |rows: usize, columns: usize| {
        let codes = CodesOfPicture {
            tokenizer: None,
            rows,
            columns,
            size: 0,
        };
        Condition::Lowres(LowresCondition { factor: 4, codes })
    };
    config(lowres(ROWS, COLUMNS), 2);
    refused(unchecked(lowres(2, 2), shape(2)), "lowres has 2 × 2 tokens");
    refused(
        unchecked(coordinates(COLUMNS, ROWS), shape(2)),
        "3 × 4 tokens for 4 × 3",
    );
    let text = Condition::Text(TextCondition {
        vectors: 2,
        length: 3,
        encoder: String::new(),
        droppable: false,
    });
    refused(unchecked(text, shape(2)), "cannot be conditioned on text");
    let plain = || unchecked(Condition::default(), shape(2));
    let spiral = PriorConfig {
        order: ScanOrder::SpiralOut,
        ..plain()
    };
    refused(spiral, "order must be raster");
    let open = PriorConfig {
        unmasked_prefix: 1,
        ..plain()
    };
    refused(open, "unmasked_prefix");
    let heads = PriorConfig {
        heads: 3,
        ..plain()
    };
    refused(heads, "attention_width is 4 and heads is 3");
    let large = PriorConfig {
        rows: 1 << 12,
        columns: 1 << 12,
        block_size: 1 << 24,
        ..plain()
    };
    refused(large, "too many for a pixelsnail");
    for kernel in [0, 10] {
        refused(unchecked(Condition::default(), shape(kernel)), "kernel is");
    }
}

/// Four pictures: nothing known, half of the codes, every third, all but one.
fn requests(config: &PriorConfig) -> Vec<Request> {
    let known = |picture: usize, code: usize| match picture {
        0 => false,
        1 => code < CODES / 2,
        2 => code % 3 == 1,
        _ => code != 7,
    };
    let request = |picture: usize| {
        let condition = class_condition(config, Some(picture % 3)).unwrap();
        let mut request = Request::new(condition, CODES, picture_seed(5, picture));
        for code in (0..CODES).filter(|&code| known(picture, code)) {
            request.known[code] = Some(((code * 5 + picture) % VOCABULARY) as i64);
        }
        request
    };
    (0..4).map(request).collect()
}

/// The most probable codes, each from a pass over the whole grid.
fn drawn_slowly(prior: &Prior, config: &PriorConfig, class: usize, request: &Request) -> Vec<i64> {
    let mut codes = request.known.clone();
    for place in 0..CODES {
        if codes[place].is_none() {
            let mut sequence = vec![class as i64];
            sequence.extend(codes.iter().map(|code| code.unwrap_or(2)));
            let row = &logits(prior, config, &sequence)[place];
            let best = |best: usize, code: usize| if row[code] > row[best] { code } else { best };
            codes[place] = Some((0..VOCABULARY).fold(0, best) as i64);
        }
    }
    codes.into_iter().flatten().collect()
}

#[test]
fn drawing_reads_the_whole_grid_for_every_code() {
    let config = config(classes(3), 2);
    let prior = prior(&config, &Device::flex());
    let requests = requests(&config);
    let draw = |filter: Filter, batch: usize| {
        let options = SampleOptions {
            filter,
            batch,
            ..SampleOptions::default()
        };
        sample_codes(
            prior.clone(),
            &config,
            VOCABULARY,
            &requests,
            options,
            |_| {},
        )
        .unwrap()
    };
    let slow: Vec<Vec<i64>> = requests
        .iter()
        .enumerate()
        .map(|(picture, request)| drawn_slowly(&prior, &config, picture % 3, request))
        .collect();
    for batch in [1, 3, 8] {
        assert_eq!(draw(Filter::GREEDY, batch), slow);
        assert_eq!(draw(Filter::default(), batch), draw(Filter::default(), 2));
    }
}

#[test]
fn a_sampler_measures_what_the_trainer_does() {
    let config = config(classes(3), 2);
    let prior = prior(&config, &Device::flex());
    let sequences = [sequence(&config, 0), sequence(&config, 1)];
    let set = CodeSet {
        codes: sequences.iter().flat_map(|row| row[1..].to_vec()).collect(),
        rows: ROWS,
        columns: COLUMNS,
        classes: sequences.iter().map(|row| row[0]).collect(),
        ..CodeSet::default()
    };
    let expected = nats_per_code(&prior, &config, &set, &[0, 1], &Device::flex()).unwrap();
    let requests: Vec<Request> = sequences
        .iter()
        .map(|row| {
            let condition = class_condition(&config, Some(row[0] as usize)).unwrap();
            Request::new(condition, CODES, 0)
        })
        .collect();
    let codes: Vec<Vec<i64>> = sequences.iter().map(|row| row[1..].to_vec()).collect();
    let sampler = Sampler::new(prior, &config, VOCABULARY, SampleOptions::default()).unwrap();
    let nats = sampler.nats_per_code(&requests, &codes).unwrap();
    for (nats, expected) in nats.iter().zip(&expected) {
        assert!((nats - expected).abs() < 1e-4, "{nats} and {expected}");
    }
}

#[test]
fn larger_pictures_and_compact_weights_are_refused() {
    let config = config(classes(3), 2);
    let prior = prior(&config, &Device::flex());
    let draw = |options: SampleOptions, request: Request| {
        let drawn = sample_codes(
            prior.clone(),
            &config,
            VOCABULARY,
            &[request],
            options,
            |_| {},
        );
        drawn.unwrap_err().to_string()
    };
    let condition = || class_condition(&config, Some(0)).unwrap();
    let wide = SampleOptions {
        grid: Some([ROWS, 2 * COLUMNS]),
        ..SampleOptions::default()
    };
    let error = draw(wide, Request::new(condition(), 2 * CODES, 0));
    assert!(error.contains("its own 4 × 3 only"), "{error}");
    let compact = SampleOptions {
        weights: WeightFormat::Int8,
        ..SampleOptions::default()
    };
    let error = draw(compact, Request::new(condition(), CODES, 0));
    assert!(error.contains("--weights"), "{error}");
}
