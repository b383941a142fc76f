//! From a prior to pictures: logits are filtered and drawn from, one code after another, and the codes decoded.

mod filter;
mod next_code;

pub use filter::Filter;
pub use smalti_kernels::decoding::WeightFormat;

use crate::checkpoint::host_values;
use crate::data;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::prior::{Decoder, Gpt, PriorConfig};
use burn::tensor::{Shape, Tensor, TensorData};
use image::RgbImage;
use next_code::NextCode;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// How codes are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleOptions {
    pub filter: Filter,
    /// Pictures drawn at the same time. It decides speed and memory; every picture has its own random stream.
    pub batch: usize,
    /// Every picture has its own random stream, found from this and its number.
    pub seed: u64,
    /// How the transformer's weights are kept while drawing on the CPU. Compact ones are read faster and round.
    pub weights: WeightFormat,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            batch: 8,
            seed: 0,
            weights: WeightFormat::F32,
        }
    }
}

impl SampleOptions {
    /// Says what is wrong with options that cannot be used.
    pub fn check(&self) -> Result<()> {
        if self.batch == 0 {
            return Err(Error::input("--batch is 0; it must be at least 1"));
        }
        self.filter.check()
    }
}

/// What one picture is to become.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Its class, for a class-conditional prior.
    pub class: Option<usize>,
    /// Codes that are known already, from the first in reading order; the others are drawn.
    pub known: Vec<i64>,
}

/// Draws the codes of each request with a KV cache: one row of `rows · columns` codes each. Picture `i` uses random
/// stream `i`. `progress` hears how many codes have been drawn in all.
///
/// # Errors
/// Options out of range, a class the prior does not have, more known codes than a picture has.
pub fn sample_codes(
    gpt: &Gpt,
    config: &PriorConfig,
    codebook_size: usize,
    requests: &[Request],
    options: SampleOptions,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Vec<i64>>> {
    options.check()?;
    let packed = Decoder::supports(&gpt.pos_emb.val().device());
    let decoder = packed.then(|| Decoder::new(gpt, config, options.weights));
    // The last code is drawn but never read.
    let capacity = config.condition.length() + config.codes() - 1;
    let mut sampled = Vec::with_capacity(requests.len());
    let mut drawn = 0;
    for (index, chunk) in requests.chunks(options.batch).enumerate() {
        let first = index * options.batch;
        let transformer = match &decoder {
            Some(decoder) => NextCode::packed(decoder, chunk.len(), capacity),
            None => NextCode::network(gpt, chunk.len(), capacity),
        };
        let mut sampler = Sampler::new(transformer, config, chunk, options, first)?;
        // Codes and conditions share a vocabulary that may be larger than the codebook.
        sampler.choices = codebook_size.min(config.vocabulary_size);
        while sampler.step() {
            drawn += chunk.len();
            progress(drawn);
        }
        sampled.extend(sampler.codes);
    }
    Ok(sampled)
}

/// A batch of pictures being drawn.
struct Sampler<'a> {
    transformer: NextCode<'a>,
    filter: Filter,
    /// Codes per picture.
    length: usize,
    choices: usize,
    codes: Vec<Vec<i64>>,
    known: Vec<Vec<i64>>,
    /// What the transformer has not read yet.
    pending: Vec<Vec<i64>>,
    random: Vec<ChaCha8Rng>,
}

impl<'a> Sampler<'a> {
    fn new(
        transformer: NextCode<'a>,
        config: &PriorConfig,
        requests: &[Request],
        options: SampleOptions,
        first: usize,
    ) -> Result<Self> {
        let length = config.codes();
        let mut pending = Vec::new();
        for request in requests {
            if request.known.len() > length {
                return Err(Error::input(format!(
                    "{} codes are known, but a picture has {length}",
                    request.known.len()
                )));
            }
            pending.push(config.condition.tokens(request.class)?);
        }
        let stream = |index: usize| {
            let mut random = ChaCha8Rng::seed_from_u64(options.seed);
            random.set_stream((first + index) as u64);
            random
        };
        Ok(Self {
            transformer,
            filter: options.filter,
            length,
            choices: config.vocabulary_size,
            codes: vec![Vec::with_capacity(length); requests.len()],
            known: requests
                .iter()
                .map(|request| request.known.clone())
                .collect(),
            pending,
            random: (0..requests.len()).map(stream).collect(),
        })
    }

    /// Adds one code to every picture; `false` when they were complete.
    fn step(&mut self) -> bool {
        let position = self.codes.first().map_or(self.length, Vec::len);
        if position >= self.length {
            return false;
        }
        let logits = self.transformer.logits(&self.pending);
        let vocabulary = logits.len() / self.codes.len();
        for (index, row) in logits.chunks(vocabulary).enumerate() {
            let code = match self.known[index].get(position) {
                Some(&code) => code,
                None => self
                    .filter
                    .draw(&row[..self.choices], &mut self.random[index])
                    as i64,
            };
            self.codes[index].push(code);
            self.pending[index] = vec![code];
        }
        true
    }
}

/// Codes of `rows` × `columns` each, to pictures.
pub fn decode_pictures(
    model: &Model,
    codes: &[Vec<i64>],
    [rows, columns]: [usize; 2],
    batch: usize,
) -> Vec<RgbImage> {
    let device = model.device();
    let factor = model.tokenizer_config.factor();
    let (height, width) = (rows * factor, columns * factor);
    let mut pictures = Vec::with_capacity(codes.len());
    for chunk in codes.chunks(batch.max(1)) {
        let shape = Shape::from([chunk.len(), rows, columns]);
        let codes = Tensor::from_data(TensorData::new(chunk.concat(), shape), &device);
        let pixels = host_values(model.tokenizer.decode_codes(codes));
        for picture in pixels.chunks(height * width * 3) {
            pictures.push(data::to_image(picture, height, width));
        }
    }
    pictures
}

#[cfg(test)]
mod tests;
