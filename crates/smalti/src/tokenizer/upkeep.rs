//! Keeps codebooks alive while they train: a start from k-means, moving averages, and new places for codes that nothing
//! chooses. It works on the host, on what the last step searched for and found.

use super::kmeans::{Points, add_up, kmeans, to_unit_length};
use super::quantizer::{Codebook, EmbeddingEma, Quantizer, Rows, Search};
use crate::checkpoint::{HostTensor, TensorMap, host_indices, host_values};
use burn::module::Param;
use burn::tensor::{Shape, Tensor, TensorData};
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

/// How a codebook is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpkeepConfig {
    /// Of the moving averages that rows follow, per step.
    pub decay: f32,
    /// A code chosen less often than this share of an even use gets a new place; 0 leaves dead codes dead.
    pub restart_below: f32,
    pub seed: u64,
}

/// Vectors per code that k-means is given, if so many were seen.
const POINTS_PER_CODE: usize = 4;
/// The fewest vectors it is given.
const FEWEST_POINTS: usize = 16_384;
/// At most this part of them is of one step, so that they are of different pictures.
const STEPS: usize = 4;
/// At most this part of a step's vectors become codes at once, so that new codes are not all of one picture.
const RESTARTS: usize = 8;
/// A code's share is a mean over so many choices of it, were all codes chosen evenly, but over no fewer and no more steps
/// than these: a large codebook needs longer to be judged, and none so long that a run ends before it.
const CHOICES: f32 = 5.0;
const FEWEST_STEPS: f32 = 10.0;
const MOST_STEPS: f32 = 200.0;
/// Of the Laplace smoothing of cluster sizes (the authors' `eps`).
const SMOOTHING: f32 = 1e-5;

/// What the upkeep of a step did.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct UpkeepReport {
    /// Codes that were given a new place.
    pub restarted: usize,
    /// Codes below the threshold that have to wait for theirs.
    pub dead: usize,
    /// Rows that changed by more than an average.
    pub rewritten: Vec<Rewritten>,
}

/// Rows of one codebook that hold something new.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewritten {
    /// The path of the codebook below the quantiser.
    pub path: String,
    pub rows: Vec<usize>,
    /// The length of a row.
    pub width: usize,
}

/// The upkeep of all codebooks of a quantiser.
pub struct Upkeep {
    config: UpkeepConfig,
    books: Vec<Book>,
}

/// What is remembered about one codebook.
#[derive(Default)]
struct Book {
    /// How often each code is chosen, as a share of an even use: a moving average that starts at 1.
    share: Vec<f32>,
    /// The newest vectors before the start, row-major.
    gathered: Vec<f32>,
}

/// One step's finds on the host.
struct Found {
    vectors: Vec<f32>,
    codes: Vec<i64>,
    dimension: usize,
    /// How many vectors chose each code, and their sums.
    sizes: Vec<f32>,
    sums: Vec<f32>,
}

impl Upkeep {
    pub fn new(config: UpkeepConfig) -> Self {
        Self {
            config,
            books: Vec::new(),
        }
    }

    /// Before step `step` (from 0), the first whose vectors do not pass unquantised (`bypass`): sets the codes by k-means
    /// of the vectors that passed.
    pub fn before_step(
        &mut self,
        quantizer: &mut Quantizer,
        bypass: bool,
        step: u64,
    ) -> UpkeepReport {
        let mut report = UpkeepReport::default();
        let waiting = self.books.iter().any(|book| !book.gathered.is_empty());
        if waiting && !bypass {
            self.each(quantizer, step, &mut report, |mut book, _| book.start());
        }
        report
    }

    /// Brings the codebooks up to date after step `step` (from 0), or keeps its vectors for k-means if it was a
    /// `bypass`.
    pub fn after_step(
        &mut self,
        quantizer: &mut Quantizer,
        searches: Vec<Search>,
        bypass: bool,
        step: u64,
    ) -> UpkeepReport {
        let mut report = UpkeepReport::default();
        self.books.resize_with(searches.len(), Book::default);
        let mut searches: Vec<Option<Search>> = searches.into_iter().map(Some).collect();
        self.each(quantizer, step, &mut report, |mut book, index| {
            if let Some(search) = searches[index].take() {
                book.after_step(search, bypass);
            }
        });
        report
    }

    fn each(
        &mut self,
        quantizer: &mut Quantizer,
        step: u64,
        report: &mut UpkeepReport,
        mut change: impl FnMut(OneBook<'_>, usize),
    ) {
        let books = quantizer.codebooks().into_iter().zip(&mut self.books);
        for (index, (codebook, book)) in books.enumerate() {
            let mut random = stream(self.config.seed, step, index as u64);
            let book = OneBook {
                config: self.config,
                codebook,
                book,
                random: &mut random,
                report: &mut *report,
            };
            change(book, index);
        }
    }

    /// What must be kept to go on exactly.
    pub fn state(&self, prefix: &str) -> TensorMap {
        let mut tensors = TensorMap::new();
        for (index, book) in self.books.iter().enumerate() {
            for (name, values) in [("share", &book.share), ("gathered", &book.gathered)] {
                let tensor = HostTensor::f32([values.len()], values.clone());
                tensors.insert(format!("{prefix}{index}.{name}"), tensor);
            }
        }
        tensors
    }

    /// Takes up what [`Upkeep::state`] wrote. What is missing starts anew.
    pub fn load(&mut self, tensors: &TensorMap, prefix: &str) {
        let values = |index: usize, name: &str| {
            let tensor = tensors.get(&format!("{prefix}{index}.{name}"))?;
            tensor.as_f32().map(<[f32]>::to_vec)
        };
        self.books = (0..)
            .map_while(|index| {
                Some(Book {
                    share: values(index, "share")?,
                    gathered: values(index, "gathered")?,
                })
            })
            .collect();
    }
}

/// The random draws of a step are a function of the step, so a continued run draws the same.
fn stream(seed: u64, step: u64, codebook: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&step.to_le_bytes());
    key[16..24].copy_from_slice(&codebook.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

struct OneBook<'a> {
    config: UpkeepConfig,
    codebook: Codebook<'a>,
    book: &'a mut Book,
    random: &'a mut ChaCha8Rng,
    report: &'a mut UpkeepReport,
}

impl OneBook<'_> {
    fn after_step(&mut self, search: Search, bypass: bool) {
        let [codes, dimension] = self.codebook.dims();
        let found = Found::new(search, codes, dimension);
        if bypass {
            return self.gather(&found);
        }
        if let Rows::Averaged(embedding) = &mut self.codebook.rows {
            follow_averages(embedding, &found, &self.config, self.codebook.unit_length);
        }
        if self.config.restart_below > 0.0 {
            self.count(&found);
            self.restart(&found);
        }
    }

    fn gather(&mut self, found: &Found) {
        let [codes, dimension] = self.codebook.dims();
        let most = (codes * POINTS_PER_CODE).max(FEWEST_POINTS);
        let (count, of_step) = (found.codes.len(), most / STEPS);
        let gathered = &mut self.book.gathered;
        if count > of_step {
            for vector in index::sample(self.random, count, of_step) {
                gathered.extend_from_slice(&found.vectors[vector * dimension..][..dimension]);
            }
        } else {
            gathered.extend_from_slice(&found.vectors);
        }
        let surplus = gathered.len().saturating_sub(most * dimension);
        gathered.drain(..surplus);
    }

    fn start(&mut self) {
        let [codes, dimension] = self.codebook.dims();
        let gathered = std::mem::take(&mut self.book.gathered);
        let points = Points {
            values: &gathered,
            dimension,
            unit_length: self.codebook.unit_length,
        };
        let (rows, sizes) = kmeans(&points, codes, self.random);
        // Sums as large as one even step's, so that the averages neither freeze nor forget the start at once.
        let total: f32 = sizes.iter().sum();
        let sizes: Vec<f32> = sizes
            .iter()
            .map(|size| (size / total * codes as f32).max(0.1))
            .collect();
        self.book.share = vec![1.0; codes];
        self.codebook.write(&rows, &sizes);
        self.note((0..codes).collect());
    }

    fn note(&mut self, rows: Vec<usize>) {
        self.report.rewritten.push(Rewritten {
            path: self.codebook.path.clone(),
            rows,
            width: self.codebook.dims()[1],
        });
    }

    fn count(&mut self, found: &Found) {
        let codes = found.sizes.len();
        let share = &mut self.book.share;
        if share.len() != codes {
            *share = vec![1.0; codes];
        }
        let even = found.codes.len() as f32 / codes as f32;
        let forget = 1.0 / (CHOICES / even).clamp(FEWEST_STEPS, MOST_STEPS);
        for (share, size) in share.iter_mut().zip(&found.sizes) {
            *share += forget * (size / even - *share);
        }
    }

    /// Moves the codes that nothing chooses onto vectors of this step, the least used first.
    fn restart(&mut self, found: &Found) {
        let share = &mut self.book.share;
        let mut dead: Vec<usize> = (0..share.len())
            .filter(|&code| share[code] < self.config.restart_below)
            .collect();
        dead.sort_by(|&left, &right| share[left].total_cmp(&share[right]));
        let vectors = found.codes.len();
        let count = dead.len().min(vectors.div_ceil(RESTARTS));
        self.report.restarted += count;
        self.report.dead += dead.len() - count;
        dead.truncate(count);
        if dead.is_empty() {
            return;
        }
        let chosen = index::sample(self.random, vectors, count);
        let dimension = found.dimension;
        let even = vectors as f32 / share.len() as f32;
        let rows = dead.iter().zip(chosen.iter()).map(|(&code, vector)| {
            share[code] = 1.0;
            (code, &found.vectors[vector * dimension..][..dimension])
        });
        self.codebook.rewrite(rows, even);
        self.note(dead);
    }
}

impl Found {
    fn new(search: Search, codes: usize, dimension: usize) -> Self {
        let mut found = Self {
            vectors: host_values(search.vectors),
            codes: host_indices(search.codes),
            dimension,
            sizes: vec![0.0; codes],
            sums: vec![0.0; codes * dimension],
        };
        let points = Points {
            values: &found.vectors,
            dimension,
            unit_length: false,
        };
        add_up(&points, &found.codes, &mut found.sums, &mut found.sizes);
        found
    }
}

/// The update of the authors' `EmbeddingEMA`, with Laplace smoothing of the cluster sizes.
fn follow_averages(
    embedding: &mut EmbeddingEma,
    found: &Found,
    config: &UpkeepConfig,
    unit_length: bool,
) {
    let follow = |average: &mut [f32], new: &[f32]| {
        for (average, new) in average.iter_mut().zip(new) {
            *average = config.decay * *average + (1.0 - config.decay) * new;
        }
    };
    let mut sizes = host_values(embedding.cluster_size.val());
    let mut sums = host_values(embedding.embed_avg.val());
    follow(&mut sizes, &found.sizes);
    follow(&mut sums, &found.sums);
    let total: f32 = sizes.iter().sum();
    let smoothed =
        |size: f32| (size + SMOOTHING) / (total + sizes.len() as f32 * SMOOTHING) * total;
    let mut rows = sums.clone();
    for (row, &size) in rows.chunks_mut(found.dimension).zip(&sizes) {
        row.iter_mut().for_each(|value| *value /= smoothed(size));
        if unit_length {
            to_unit_length(row);
        }
    }
    replace(&mut embedding.weight, rows);
    replace(&mut embedding.embed_avg, sums);
    replace(&mut embedding.cluster_size, sizes);
}

impl Codebook<'_> {
    /// `[codes, dimension]`.
    fn dims(&self) -> [usize; 2] {
        match &self.rows {
            Rows::Learned(weight) => weight.dims(),
            Rows::Averaged(embedding) => embedding.weight.dims(),
        }
    }

    /// Replaces all rows, with the cluster sizes that belong to them.
    fn write(&mut self, rows: &[f32], sizes: &[f32]) {
        match &mut self.rows {
            Rows::Learned(weight) => replace(weight, rows.to_vec()),
            Rows::Averaged(embedding) => {
                let dimension = embedding.weight.dims()[1];
                let mut sums = rows.to_vec();
                for (sum, size) in sums.chunks_mut(dimension).zip(sizes) {
                    sum.iter_mut().for_each(|value| *value *= size);
                }
                replace(&mut embedding.weight, rows.to_vec());
                replace(&mut embedding.embed_avg, sums);
                replace(&mut embedding.cluster_size, sizes.to_vec());
            }
        }
    }

    /// Replaces some rows. Rows that follow averages get both of their sums anew, or the next update would undo it.
    fn rewrite<'v>(&mut self, rows: impl Iterator<Item = (usize, &'v [f32])>, size: f32) {
        let put = |table: &mut [f32], row: usize, values: &[f32], scale: f32| {
            let place = &mut table[row * values.len()..][..values.len()];
            for (place, value) in place.iter_mut().zip(values) {
                *place = value * scale;
            }
        };
        match &mut self.rows {
            Rows::Learned(weight) => {
                let mut table = host_values(weight.val());
                rows.for_each(|(row, values)| put(&mut table, row, values, 1.0));
                replace(weight, table);
            }
            Rows::Averaged(embedding) => {
                let mut table = host_values(embedding.weight.val());
                let mut sums = host_values(embedding.embed_avg.val());
                let mut sizes = host_values(embedding.cluster_size.val());
                for (row, values) in rows {
                    put(&mut table, row, values, 1.0);
                    put(&mut sums, row, values, size);
                    sizes[row] = size;
                }
                replace(&mut embedding.weight, table);
                replace(&mut embedding.embed_avg, sums);
                replace(&mut embedding.cluster_size, sizes);
            }
        }
    }
}

/// New values for a parameter, which keeps its identity and whether it wants a gradient.
fn replace<const D: usize>(parameter: &mut Param<Tensor<D>>, values: Vec<f32>) {
    let wants_gradient = parameter.is_require_grad();
    *parameter = std::mem::replace(parameter, Param::from_tensor(parameter.val())).map(|old| {
        let data = TensorData::new(values, Shape::from(old.dims()));
        Tensor::from_data(data, &old.device()).set_require_grad(wants_gradient)
    });
}

#[cfg(test)]
mod tests;
