//! The workloads of stage 2: a step of training, and drawing codes one after another.

use super::ceiling::Phase;
use super::measure::{Repetition, timed};
use super::tokenizer::{LEARNING_RATE, inference, update};
use super::{Spec, WeightFormat, cost, networks};
use crate::checkpoint::host_values;
use crate::error::Result;
use crate::prior::decoder::{Decoder, DecoderState};
use crate::prior::trainer::PriorTrainer;
use crate::prior::{CodeSet, PriorConfig, PriorTraining};
use crate::sample::Filter;
use burn::tensor::{Device, Shape, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::time::Instant;

/// Tokens that are read before the time of decoding starts, and codes that are drawn in that time.
const PROMPT: usize = 16;
const DECODED: usize = 32;

/// How codes are drawn: among the hundred most probable ones, as the authors do.
const FILTER: Filter = Filter {
    temperature: 1.0,
    top_k: Some(100),
    top_p: None,
    min_p: None,
};

/// A step of training on whole pictures with AdamW, without dropout.
pub(super) fn step(spec: &Spec, device: &Device) -> Result<Repetition> {
    let config = spec.size.prior();
    let training = PriorTraining {
        batch: spec.batch,
        precision: spec.precision,
        ..PriorTraining::default()
    };
    let mut trainer = PriorTrainer::new(&config, &training, &device.clone().autodiff());
    let set = code_set(&config, spec.batch);
    let pictures: Vec<usize> = (0..spec.batch).collect();
    let learning_rate = LEARNING_RATE * spec.batch as f64;
    let mut step = 0;
    Ok(Box::new(move || {
        let start = Instant::now();
        trainer.step(&set, &pictures, learning_rate, step)?;
        step += 1;
        Ok(start.elapsed())
    }))
}

/// Codes of pictures that no tokenizer made.
fn code_set(config: &PriorConfig, pictures: usize) -> CodeSet {
    CodeSet {
        codes: networks::codes(pictures * config.codes(), config.vocabulary_size),
        rows: config.rows,
        columns: config.columns,
        codebook_size: config.vocabulary_size,
        ..CodeSet::default()
    }
}

pub(super) fn step_phases(spec: &Spec) -> Vec<Phase> {
    let config = spec.size.prior();
    let forward = cost::prior(&config, 0, config.codes());
    let pass = inference(spec, forward);
    vec![
        // The backward pass takes two more: the gradients of the inputs and those of the weights.
        Phase {
            flops: 3.0 * pass.flops,
            ..pass
        },
        update(forward.parameters),
    ]
}

/// One code of every sequence, when a short prompt has been read.
pub(super) fn decode(spec: &Spec, device: &Device) -> Result<Repetition> {
    let config = spec.size.prior();
    let mut drawing = Drawing::new(spec, &config, PROMPT + DECODED, device);
    let prompt = vec![networks::codes(PROMPT, config.vocabulary_size); spec.batch];
    Ok(Box::new(move || {
        drawing.start(&prompt);
        drawing.step();
        let time = timed(|| {
            for _ in 0..DECODED {
                drawing.step();
            }
        });
        Ok(time / DECODED as u32)
    }))
}

pub(super) fn decode_phases(spec: &Spec) -> Vec<Phase> {
    let all = drawing_phase(spec, PROMPT, DECODED);
    vec![Phase {
        flops: all.flops / DECODED as f64,
        bytes: all.bytes / DECODED as f64,
        ..all
    }]
}

/// All codes of a picture, and the picture.
pub(super) fn sample(spec: &Spec, device: &Device) -> Result<Repetition> {
    let config = spec.size.prior();
    let prompt = vec![config.condition.tokens(None)?; spec.batch];
    // The last code is drawn but never read.
    let capacity = config.condition.length() + config.codes() - 1;
    let mut drawing = Drawing::new(spec, &config, capacity, device);
    let tokenizer = networks::tokenizer(spec, device);
    let shape = Shape::from([spec.batch, config.rows, config.columns]);
    let device = device.clone();
    Ok(Box::new(move || {
        Ok(timed(|| {
            drawing.start(&prompt);
            let codes = drawing.codes(config.codes()).concat();
            let codes = Tensor::from_data(TensorData::new(codes, shape.clone()), &device);
            host_values(tokenizer.decode_codes(codes))
        }))
    }))
}

pub(super) fn sample_phases(spec: &Spec) -> Vec<Phase> {
    let codes = spec.size.prior().codes();
    let decoder = cost::decode(&spec.size.tokenizer(), spec.size.side());
    vec![drawing_phase(spec, 0, codes), inference(spec, decoder)]
}

/// `tokens` steps of drawing, when `first` tokens have been read. Every step reads all matrices, and all keys and values
/// so far, which are f32.
fn drawing_phase(spec: &Spec, first: usize, tokens: usize) -> Phase {
    let config = spec.size.prior();
    let batch = spec.batch as f64;
    let multiply_adds = cost::prior(&config, first, tokens).multiply_adds as f64;
    let matrices = (tokens * cost::prior_matrices(&config)) as f64;
    let cache = 4.0 * cost::cached_values(&config, first, tokens) as f64;
    let bits = match spec.weights {
        WeightFormat::F32 => 32.0,
        WeightFormat::Bf16 => 16.0,
        // With their scales.
        WeightFormat::Int8 => 8.25,
        WeightFormat::Int4 => 4.5,
    };
    Phase {
        flops: 2.0 * batch * multiply_adds,
        precision: spec.precision,
        bytes: bits / 8.0 * matrices + batch * cache,
    }
}

/// Sequences that grow by a drawn code at a time.
struct Drawing {
    decoder: Decoder,
    state: DecoderState,
    capacity: usize,
    vocabulary: usize,
    /// What has not been read yet, of each sequence.
    pending: Vec<Vec<i64>>,
    random: ChaCha8Rng,
}

impl Drawing {
    /// The decoder of a prior for sequences of up to `capacity` tokens.
    fn new(spec: &Spec, config: &PriorConfig, capacity: usize, device: &Device) -> Self {
        let decoder = Decoder::new(networks::gpt(config, device), config, spec.weights);
        Self {
            state: decoder.start(spec.batch, capacity),
            decoder,
            capacity,
            vocabulary: config.vocabulary_size,
            pending: Vec::new(),
            random: ChaCha8Rng::seed_from_u64(0),
        }
    }

    /// Forgets everything; the next step reads `prompt`.
    fn start(&mut self, prompt: &[Vec<i64>]) {
        self.state = self.decoder.start(prompt.len(), self.capacity);
        self.pending = prompt.to_vec();
    }

    /// Reads what is pending and draws a code of each sequence, which is pending then.
    fn step(&mut self) {
        let logits = self.decoder.feed(&mut self.state, &self.pending);
        for (pending, logits) in self.pending.iter_mut().zip(logits.chunks(self.vocabulary)) {
            *pending = vec![FILTER.draw(logits, &mut self.random) as i64];
        }
    }

    /// The next `count` codes of each sequence.
    fn codes(&mut self, count: usize) -> Vec<Vec<i64>> {
        let mut codes = vec![Vec::new(); self.pending.len()];
        for _ in 0..count {
            self.step();
            for (codes, drawn) in codes.iter_mut().zip(&self.pending) {
                codes.extend(drawn);
            }
        }
        codes
    }
}
