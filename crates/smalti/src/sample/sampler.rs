//! A prior ready to draw: pictures, and how probable pictures are to it.

use super::draw::{Drawing, Manner, Progress};
use super::path::{Path, Windowing};
use super::reader::{Job, Reader};
use super::request::{Request, condition_shape};
use super::{NextCode, SampleOptions, WeightFormat};
use crate::error::{Error, Result};
use crate::ops::is_cpu;
use crate::prior::decoder::nats_of;
use crate::prior::{Decoder, Gpt, PixelSnail, Prior, PriorConfig};

/// A prior that draws: a GPT with a KV cache, a PixelSNAIL with a pass for every code.
///
/// ```
/// use smalti::Device;
/// use smalti::initializer::Initializer;
/// use smalti::prior::{Gpt, PriorConfig};
/// use smalti::sample::{Request, SampleOptions, Sampler, class_condition};
///
/// let config = PriorConfig {
///     layers: 1,
///     heads: 2,
///     width: 16,
///     rows: 2,
///     columns: 2,
///     block_size: 4,
///     vocabulary_size: 8,
///     ..PriorConfig::default()
/// };
/// config.check()?;
/// let gpt = Gpt::new(&mut Initializer::seeded(&Device::flex(), 0), &config);
/// let sampler = Sampler::new(gpt, &config, 8, SampleOptions::default())?;
/// let request = Request::new(class_condition(&config, None)?, config.codes(), 1);
/// let codes = sampler.draw(&[request.clone()], |_| {})?;
/// assert_eq!(codes[0].len(), 4);
/// // The seed decides.
/// assert_eq!(sampler.draw(&[request], |_| {})?, codes);
/// # Ok::<(), smalti::Error>(())
/// ```
pub struct Sampler {
    network: Network,
    config: PriorConfig,
    /// Codes and conditions share a vocabulary that may be larger than the codebook.
    choices: usize,
    options: SampleOptions,
}

enum Network {
    Packed(Box<Decoder>),
    Gpt(Box<Gpt>),
    PixelSnail(Box<PixelSnail>),
}

impl Sampler {
    /// Prepares a prior, which is used up unless the caller keeps a clone.
    ///
    /// # Errors
    /// Options out of range, or that the network does not have.
    pub fn new(
        prior: impl Into<Prior>,
        config: &PriorConfig,
        codebook_size: usize,
        options: SampleOptions,
    ) -> Result<Self> {
        options.check()?;
        let network = match prior.into() {
            Prior::Gpt(gpt) if is_cpu(&gpt.pos_emb.val().device()) => {
                Network::Packed(Box::new(Decoder::new(gpt, config, options.weights)))
            }
            Prior::Gpt(gpt) => Network::Gpt(Box::new(gpt)),
            Prior::PixelSnail(network) => {
                // bf16 only says how activations are kept, where there is a choice.
                if let WeightFormat::Int8 | WeightFormat::Int4 = options.weights {
                    return Err(Error::input(format!(
                        "a pixelsnail's weights cannot be kept in {}: leave --weights out",
                        options.weights
                    )));
                }
                Network::PixelSnail(Box::new(network))
            }
        };
        Ok(Self::with(network, config, codebook_size, options))
    }

    /// A sampler that runs the network itself, as on other devices.
    #[cfg(test)]
    pub(super) fn of_network(
        gpt: Gpt,
        config: &PriorConfig,
        codebook_size: usize,
        options: SampleOptions,
    ) -> Self {
        let network = Network::Gpt(Box::new(gpt));
        Self::with(network, config, codebook_size, options)
    }

    fn with(
        network: Network,
        config: &PriorConfig,
        codebook_size: usize,
        options: SampleOptions,
    ) -> Self {
        Self {
            network,
            config: config.clone(),
            choices: codebook_size.min(config.vocabulary_size),
            options,
        }
    }

    /// Draws the codes of each request: one row of `rows · columns` codes each, in reading order. `progress` is called
    /// after every step. What comes out depends neither on the batch nor on the other requests.
    ///
    /// A grid larger than the prior's is drawn through a window of the prior's size that moves along with the code to
    /// be drawn, as [`Windowing`] says. Rows of one picture are drawn together as far as they do not see each other.
    ///
    /// # Errors
    /// Requests that do not fit the grid, the vocabulary or each other, and guidance without something to lead away
    /// from.
    pub fn draw(
        &self,
        requests: &[Request],
        mut progress: impl FnMut(&Progress<'_>),
    ) -> Result<Vec<Vec<i64>>> {
        let path = self.path(self.options.windowing)?;
        // All of them, before the first is drawn.
        self.condition(&path, requests)?;
        let lanes = path.lanes_at_once().min(self.options.batch);
        let pictures = self.options.batch / lanes;
        let (mut sampled, mut drawn) = (Vec::with_capacity(requests.len()), 0);
        for chunk in requests.chunks(pictures) {
            let mut drawing = self.begin(&path, chunk, lanes)?;
            loop {
                let count = drawing.step()?;
                if count == 0 {
                    break;
                }
                drawn += count;
                progress(&Progress {
                    drawn,
                    picture: sampled.len(),
                    codes: drawing.codes(0),
                });
            }
            sampled.extend(drawing.finish());
        }
        Ok(sampled)
    }

    /// Begins to draw some pictures together, `lanes` lanes of each.
    pub(crate) fn begin(
        &self,
        path: &Path,
        requests: &[Request],
        lanes: usize,
    ) -> Result<Drawing<'_>> {
        let condition = self.condition(path, requests)?;
        let manner = Manner {
            filter: self.options.filter,
            guidance: self.options.guidance,
            choices: self.choices,
            lanes,
        };
        let sequences = requests.len() * lanes * manner.sides();
        let reader = self.reader(condition, sequences);
        Ok(Drawing::new(reader, path.clone(), manner, requests))
    }

    /// The way through a picture of the size that was asked for.
    pub(crate) fn path(&self, windowing: Windowing) -> Result<Path> {
        let grid = self.options.grid(&self.config)?;
        let depth = self.options.codes_per_position;
        Path::new(&self.config, grid, depth, windowing)
    }

    /// How probable pictures are to the prior as the exact window shows them, whatever way they were drawn: for each
    /// the mean of minus the log-probability, in nats, of those of its `codes` that its request does not know. All of
    /// the vocabulary counts, as in training; filters and guidance do not.
    ///
    /// Blocks are quicker than the exact window and see less; this is what that costs.
    ///
    /// # Errors
    /// As [`Sampler::draw`], and for codes that do not fit the grid.
    pub fn nats_per_code(&self, requests: &[Request], codes: &[Vec<i64>]) -> Result<Vec<f64>> {
        let path = self.path(Windowing::Exact)?;
        let condition = self.condition(&path, requests)?;
        if codes.len() != requests.len() {
            return Err(Error::input(format!(
                "{} pictures for {} requests",
                codes.len(),
                requests.len()
            )));
        }
        let mut grids = Vec::with_capacity(codes.len());
        for codes in codes {
            let grid: Vec<Option<i64>> = codes.iter().copied().map(Some).collect();
            self.check_grid(&path, &grid)?;
            grids.push(grid);
        }
        let pictures = 0..requests.len();
        let lanes: Vec<(usize, usize)> = pictures
            .flat_map(|picture| (0..path.lanes()).map(move |lane| (picture, lane)))
            .collect();
        let mut measure = Measure {
            reader: self.reader(condition, self.options.batch.min(lanes.len().max(1))),
            path,
            grids,
            totals: vec![(0.0, 0); requests.len()],
        };
        for lanes in lanes.chunks(self.options.batch) {
            measure.lanes(requests, lanes)?;
        }
        let mean = |&(sum, count): &(f64, usize)| sum / count.max(1) as f64;
        Ok(measure.totals.iter().map(mean).collect())
    }

    fn reader(&self, condition: [usize; 2], sequences: usize) -> Reader<'_> {
        // The last code is drawn but never read.
        let capacity = condition[0] + condition[1] + self.config.codes() - 1;
        let next = match &self.network {
            Network::Packed(decoder) => NextCode::packed(decoder, sequences, capacity),
            Network::Gpt(gpt) => NextCode::network(gpt, sequences, capacity),
            Network::PixelSnail(network) => NextCode::pixelsnail(network, sequences),
        };
        let sizes = [self.config.width, self.config.vocabulary_size];
        Reader::new(next, sequences, condition, sizes)
    }

    /// Says what is wrong with requests; returns how many vectors and how many tokens their conditions have.
    fn condition(&self, path: &Path, requests: &[Request]) -> Result<[usize; 2]> {
        let window = path.window([0, 0]);
        let mut common = None;
        for request in requests {
            self.check_grid(path, &request.known)?;
            let unconditional = request.unconditional.as_deref();
            if self.options.guidance.is_on() && unconditional.is_none() {
                return Err(Error::input(
                    "--guidance leads away from pictures under no condition, which this prior has not learned",
                ));
            }
            for condition in [Some(&*request.condition), unconditional] {
                let Some(condition) = condition else { continue };
                let shape = condition_shape(condition, &window, self.config.width)?;
                if *common.get_or_insert(shape) != shape {
                    return Err(Error::input(
                        "conditions of pictures that are drawn together must have one length",
                    ));
                }
            }
        }
        let [vectors, tokens] = common.unwrap_or([0, 1]);
        let length = vectors.saturating_add(tokens);
        let room = (self.config.block_size + 1).saturating_sub(self.config.codes());
        if length == 0 || length > room {
            return Err(Error::input(format!(
                "the condition has {length} tokens; before {} codes this prior has room for {room}",
                self.config.codes()
            )));
        }
        let expected = self.config.condition.tokens_before();
        if !self.config.network.is_gpt() && [vectors, tokens] != [0, expected] {
            return Err(Error::input(format!(
                "the condition has {vectors} vectors and {tokens} tokens; this prior, a pixelsnail, reads {expected} \
                 tokens and nothing else"
            )));
        }
        Ok([vectors, tokens])
    }

    /// Refuses a grid of another size and codes outside the codebook.
    fn check_grid(&self, path: &Path, codes: &[Option<i64>]) -> Result<()> {
        if codes.len() != path.codes() {
            let [rows, columns] = path.grid();
            return Err(Error::input(format!(
                "a grid of {} codes where {rows} × {columns} are to be drawn",
                codes.len()
            )));
        }
        let inside = |code: i64| usize::try_from(code).is_ok_and(|code| code < self.choices);
        match codes.iter().flatten().find(|&&code| !inside(code)) {
            None => Ok(()),
            Some(code) => Err(Error::input(format!(
                "code {code} is known, but it lies outside the codebook of {}",
                self.choices
            ))),
        }
    }
}

/// Pictures whose probability is being added up.
struct Measure<'a> {
    reader: Reader<'a>,
    path: Path,
    grids: Vec<Vec<Option<i64>>>,
    /// Nats and codes of each picture.
    totals: Vec<(f64, usize)>,
}

impl Measure<'_> {
    /// Adds some lanes, which all have one length, each a picture's number and the lane's.
    fn lanes(&mut self, requests: &[Request], lanes: &[(usize, usize)]) -> Result<()> {
        self.reader.forget();
        for index in 0..self.path.length(0) {
            let (mut jobs, mut measured) = (Vec::new(), Vec::new());
            for (sequence, &(picture, lane)) in lanes.iter().enumerate() {
                let step = self.path.step(lane, index);
                if requests[picture].known[step.cell].is_some() {
                    continue;
                }
                jobs.push(Job {
                    sequence,
                    condition: &*requests[picture].condition,
                    codes: &self.grids[picture],
                    step,
                });
                measured.push((picture, self.grids[picture][step.cell]));
            }
            if jobs.is_empty() {
                continue;
            }
            let logits = self.reader.logits(&self.path, &jobs)?;
            let rows = logits.chunks_exact(logits.len() / jobs.len());
            for (row, &(picture, code)) in rows.zip(&measured) {
                let (sum, count) = &mut self.totals[picture];
                *sum += nats_of(row, code.unwrap_or_default());
                *count += 1;
            }
        }
        Ok(())
    }
}
