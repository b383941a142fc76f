//! From a prior to pictures: logits are filtered and drawn from, one code after another, and the codes decoded.

mod filter;
mod next_code;
pub(crate) mod window;

pub use filter::Filter;
pub use smalti_kernels::decoding::WeightFormat;

use crate::checkpoint::host_values;
use crate::data;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::ops::is_cpu;
use crate::prior::{Decoder, Gpt, PriorConfig};
use burn::tensor::{Shape, Tensor, TensorData};
use image::RgbImage;
pub(crate) use next_code::NextCode;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use window::Sampler;

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
    /// Rows and columns of codes; `None` is the prior's own grid.
    pub grid: Option<[usize; 2]>,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            batch: 8,
            seed: 0,
            weights: WeightFormat::F32,
            grid: None,
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

    /// Rows and columns of codes to draw.
    ///
    /// # Errors
    /// When they are fewer than the prior's own.
    pub fn grid(&self, config: &PriorConfig) -> Result<[usize; 2]> {
        let own = [config.rows, config.columns];
        let grid = self.grid.unwrap_or(own);
        if grid[0] < own[0] || grid[1] < own[1] {
            return Err(Error::input(format!(
                "{} × {} codes were asked for, but this prior draws at least {} × {}",
                grid[0], grid[1], own[0], own[1]
            )));
        }
        Ok(grid)
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

/// Draws the codes of each request with a KV cache, from a prior that is used up unless the caller keeps a clone: one row of `rows · columns` codes each. Picture `i` uses random
/// stream `i`. `progress` hears how many codes there are in all.
///
/// A grid larger than the prior's is drawn through a window of the prior's size that slides along with the code to be
/// drawn (paper section 3.3; `sample_conditional.py`): every code sees what a pass over its whole window would show it.
///
/// # Errors
/// Options out of range, a class the prior does not have, more known codes than a picture has.
pub fn sample_codes(
    gpt: Gpt,
    config: &PriorConfig,
    codebook_size: usize,
    requests: &[Request],
    options: SampleOptions,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Vec<i64>>> {
    options.check()?;
    let grid = options.grid(config)?;
    let (decoder, network) = if is_cpu(&gpt.pos_emb.val().device()) {
        (Some(Decoder::new(gpt, config, options.weights)), None)
    } else {
        (None, Some(gpt))
    };
    let mut sampled = Vec::with_capacity(requests.len());
    let mut drawn = 0;
    for (index, chunk) in requests.chunks(options.batch).enumerate() {
        let capacity = window::capacity(config);
        let transformer = match (&decoder, &network) {
            (Some(decoder), _) => NextCode::packed(decoder, chunk.len(), capacity),
            (None, Some(gpt)) => NextCode::network(gpt, chunk.len(), capacity),
            (None, None) => unreachable!("one of the two was just made"),
        };
        let mut pictures = Pictures::new(config, grid, chunk, options, index * options.batch)?;
        // Codes and conditions share a vocabulary that may be larger than the codebook.
        pictures.choices = codebook_size.min(config.vocabulary_size);
        let mut sampler = Sampler::new(transformer, config, pictures);
        while sampler.step() {
            drawn += chunk.len();
            progress(drawn);
        }
        sampled.extend(sampler.pictures.codes);
    }
    Ok(sampled)
}

/// A batch of pictures being drawn: what is there, and what is wanted.
pub(crate) struct Pictures {
    /// Rows and columns of codes.
    grid: [usize; 2],
    /// Each in reading order, as far as it has come.
    codes: Vec<Vec<i64>>,
    known: Vec<Vec<i64>>,
    /// What stands before the codes.
    conditions: Vec<Vec<i64>>,
    filter: Filter,
    choices: usize,
    random: Vec<ChaCha8Rng>,
}

impl Pictures {
    /// Begins pictures number `first` and following.
    pub(crate) fn new(
        config: &PriorConfig,
        grid: [usize; 2],
        requests: &[Request],
        options: SampleOptions,
        first: usize,
    ) -> Result<Self> {
        let length = grid[0] * grid[1];
        let mut conditions = Vec::new();
        for request in requests {
            if request.known.len() > length {
                return Err(Error::input(format!(
                    "{} codes are known, but a picture has {length}",
                    request.known.len()
                )));
            }
            conditions.push(config.condition.tokens(request.class)?);
        }
        let stream = |index: usize| {
            let mut random = ChaCha8Rng::seed_from_u64(options.seed);
            random.set_stream((first + index) as u64);
            random
        };
        let known = requests.iter().map(|request| request.known.clone());
        Ok(Self {
            grid,
            codes: vec![Vec::with_capacity(length); requests.len()],
            known: known.collect(),
            conditions,
            filter: options.filter,
            choices: config.vocabulary_size,
            random: (0..requests.len()).map(stream).collect(),
        })
    }

    /// How many codes every picture has.
    fn position(&self) -> usize {
        self.codes
            .first()
            .map_or(self.grid[0] * self.grid[1], Vec::len)
    }

    /// Adds the next code of every picture: the known one, or one drawn from its row of `logits` `[pictures,
    /// vocabulary]`. Without logits all of them must be known.
    fn push(&mut self, logits: &[f32]) {
        let position = self.position();
        let vocabulary = logits.len() / self.codes.len();
        for (index, codes) in self.codes.iter_mut().enumerate() {
            let code = match self.known[index].get(position) {
                Some(&code) => code,
                None => {
                    let row = &logits[index * vocabulary..][..self.choices];
                    self.filter.draw(row, &mut self.random[index]) as i64
                }
            };
            codes.push(code);
        }
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
    let [height, width] = model.tokenizer_config.pixels_of([rows, columns]);
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
