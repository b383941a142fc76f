//! The endless stream of training batches, prepared by threads ahead of their use. The batch of a step follows from the
//! data set, the configuration and the number of the step alone: threads change when it is ready, never what is in it,
//! and a run that is continued sees what it would have seen.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use burn::tensor::{Device, Shape, Tensor, TensorData};

use super::bad::{BadFile, none_readable, reason};
use super::cache::Cache;
use super::dataset::Dataset;
use super::kind::Kind;
use super::lock;
use super::order::Order;
use super::raster::Raster;
use super::transform::Transform;
use crate::error::{Error, Result};

/// How many batches are being prepared at any time, at least.
const LOOK_AHEAD: usize = 4;

/// The pictures of one training step.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[n, size, size, channels]`: in [-1, 1], or of label maps 0 and 1.
    pub pixels: Vec<f32>,
    /// The class of each picture, 0 where it has none.
    pub classes: Vec<usize>,
    /// Which of [`Dataset::items`] each picture is.
    pub indices: Vec<usize>,
    /// The side of the pictures, in pixels.
    pub size: usize,
    /// 3 for pictures, the number of classes for label maps, 1 for depth.
    pub channels: usize,
}

/// A batch and, of a data set of label maps, the squares that are to become its pixels: one-hot maps are so large that
/// only the batch that is handed out is made of them.
type Prepared = (Batch, Vec<Raster>);

impl Batch {
    /// The pixels as a tensor `[n, size, size, channels]`.
    pub fn into_tensor(self, device: &Device) -> Tensor<4> {
        let count = self.indices.len();
        let shape = Shape::from([count, self.size, self.size, self.channels]);
        Tensor::from_data(TensorData::new(self.pixels, shape), device)
    }
}

/// How batches are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Pictures per batch, at least 1.
    pub batch: usize,
    /// What the files of the data set hold.
    pub kind: Kind,
    /// How pictures become squares.
    pub transform: Transform,
    /// The colour under transparent pictures (red, green, blue).
    pub background: [u8; 3],
    /// What order, crops and mirroring follow from.
    pub seed: u64,
    /// How many threads prepare batches; 0 counts as 1. No influence on what is in them.
    pub workers: usize,
    /// The step of the first batch: 0 for a new run, the number of finished steps for a continued one.
    pub first_step: u64,
    /// How many bytes of decoded and scaled pictures may be kept in memory; 0 for none. No influence on the batches.
    pub cache_bytes: usize,
}

/// Prepares batches in the background. Dropping it ends its threads.
pub struct Loader {
    shared: Arc<Shared>,
    order: Order,
    /// The step of the batch to be asked for next; the waiting ones are of the steps before.
    next_step: u64,
    look_ahead: usize,
    /// `None` only while the loader is being dropped.
    jobs: Option<Sender<Job>>,
    /// The batches being prepared, in the order of their steps.
    waiting: VecDeque<Receiver<Result<Prepared>>>,
    workers: Vec<JoinHandle<()>>,
}

/// The order to prepare one batch.
struct Job {
    /// Of the batch's first picture in the stream of samples.
    first_position: u64,
    items: Vec<usize>,
    reply: Sender<Result<Prepared>>,
}

impl Loader {
    /// Starts the threads; they begin to work with the first call of [`Loader::next`].
    ///
    /// # Errors
    /// When the data set or the batch is empty, transform or kind fail their check, or a thread cannot be started.
    pub fn new(dataset: Arc<Dataset>, config: LoaderConfig) -> Result<Self> {
        config.transform.check()?;
        config.kind.check()?;
        if dataset.is_empty() {
            return Err(Error::input("there are no pictures to train on"));
        }
        if config.batch == 0 {
            return Err(Error::input("a batch needs at least one picture"));
        }
        let workers = config.workers.max(1);
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut loader = Self {
            order: Order::new(config.seed, dataset.len()),
            next_step: config.first_step,
            look_ahead: LOOK_AHEAD.max(workers),
            jobs: Some(jobs),
            waiting: VecDeque::new(),
            workers: Vec::new(),
            shared: Arc::new(Shared::new(dataset, config)),
        };
        for number in 0..workers {
            let (shared, queue) = (Arc::clone(&loader.shared), Arc::clone(&queue));
            let worker = thread::Builder::new()
                .name(format!("pictures {number}"))
                .spawn(move || work(&shared, &queue))
                .map_err(|error| {
                    Error::input(format!(
                        "a thread for loading pictures cannot be started: {error}"
                    ))
                })?;
            loader.workers.push(worker);
        }
        Ok(loader)
    }

    /// The batch of the next step, waiting for it if it is not ready.
    ///
    /// A picture that cannot be read or is too small is replaced by the next one in the data set that can be used, and
    /// reported by [`Loader::bad_files`].
    ///
    /// # Errors
    /// When not one picture of the data set can be used.
    #[allow(
        clippy::should_implement_trait,
        reason = "it never ends, so callers should not have to look into an Option"
    )]
    pub fn next(&mut self) -> Result<Batch> {
        // One more than the look-ahead: this one is taken away at once.
        while self.waiting.len() <= self.look_ahead {
            let batch = self.ask();
            self.waiting.push_back(batch);
        }
        let received = self.waiting.pop_front().map(|batch| batch.recv());
        match received {
            Some(Ok(prepared)) => prepared.map(complete),
            _ => Err(Error::input(
                "a thread for loading pictures stopped unexpectedly",
            )),
        }
    }

    /// The pictures that were skipped so far, in the order of the data set, each once. As batches are prepared ahead of
    /// their use, some may belong to batches that are still to come.
    pub fn bad_files(&self) -> Vec<BadFile> {
        lock(&self.shared.bad)
            .iter()
            .map(|(&item, reason)| (self.shared.path(item), reason.clone()))
            .collect()
    }

    /// Hands the next step's batch to the threads.
    fn ask(&mut self) -> Receiver<Result<Prepared>> {
        let batch = self.shared.config.batch as u64;
        // Wrapping around, because no number in a checkpoint may end the program.
        let first_position = self.next_step.wrapping_mul(batch);
        let items = (0..batch)
            .map(|place| self.order.item(first_position.wrapping_add(place)))
            .collect();
        self.next_step = self.next_step.wrapping_add(1);
        let (reply, receiver) = mpsc::channel();
        if let Some(jobs) = &self.jobs {
            // It fails when every thread is gone, and then the receiver will tell.
            let _ = jobs.send(Job {
                first_position,
                items,
                reply,
            });
        }
        receiver
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // Without a sender, threads that wait for a job wake up and end.
        self.jobs = None;
        for worker in self.workers.drain(..) {
            // A panic has been printed already, and dropping must not cause another.
            let _ = worker.join();
        }
    }
}

/// The batch with all its pixels.
fn complete((mut batch, maps): Prepared) -> Batch {
    let values = maps.len() * batch.size * batch.size * batch.channels;
    batch.pixels.reserve_exact(values);
    for map in &maps {
        map.extend_floats(&mut batch.pixels);
    }
    batch
}

/// What a thread does: one batch after another until the loader is dropped.
fn work(shared: &Shared, queue: &Mutex<Receiver<Job>>) {
    loop {
        let received = lock(queue).recv();
        let Ok(job) = received else { return };
        if shared.stopping.load(Ordering::Relaxed) {
            return;
        }
        // Nobody may be waiting any more, which is no loss.
        let _ = job.reply.send(shared.batch(&job));
    }
}

/// What all threads of a loader use.
struct Shared {
    dataset: Arc<Dataset>,
    config: LoaderConfig,
    cache: Cache,
    /// Why an item cannot be used, by its index.
    bad: Mutex<BTreeMap<usize, String>>,
    stopping: AtomicBool,
}

impl Shared {
    fn new(dataset: Arc<Dataset>, config: LoaderConfig) -> Self {
        Self {
            dataset,
            cache: Cache::new(config.cache_bytes),
            config,
            bad: Mutex::default(),
            stopping: AtomicBool::new(false),
        }
    }

    fn path(&self, item: usize) -> PathBuf {
        self.dataset.items[item].path.clone()
    }

    fn batch(&self, job: &Job) -> Result<Prepared> {
        let (size, channels) = (self.config.transform.size, self.config.kind.channels());
        let mut maps = Vec::new();
        let mut batch = Batch {
            pixels: Vec::new(),
            classes: Vec::with_capacity(job.items.len()),
            indices: Vec::with_capacity(job.items.len()),
            size,
            channels,
        };
        if !matches!(self.config.kind, Kind::Labels { .. }) {
            let values = job.items.len() * size * size * channels;
            batch.pixels.reserve_exact(values);
        }
        for (place, &item) in job.items.iter().enumerate() {
            if self.stopping.load(Ordering::Relaxed) {
                return Err(Error::input("loading pictures was stopped"));
            }
            let position = job.first_position.wrapping_add(place as u64);
            let (used, square) = self.sample(item, position)?;
            match square {
                Raster::Labels { .. } => maps.push(square),
                square => square.extend_floats(&mut batch.pixels),
            }
            batch
                .classes
                .push(self.dataset.items[used].class.unwrap_or(0));
            batch.indices.push(used);
        }
        Ok((batch, maps))
    }

    /// The square for a position in the stream of samples, from `item` or the first usable one behind it, and which
    /// item that was.
    fn sample(&self, item: usize, position: u64) -> Result<(usize, Raster)> {
        let count = self.dataset.len();
        for candidate in (item..count).chain(0..item) {
            if lock(&self.bad).contains_key(&candidate) {
                continue;
            }
            match self.square(candidate, position) {
                Ok(square) => return Ok((candidate, square)),
                Err(error) => {
                    lock(&self.bad).insert(candidate, reason(error));
                }
            }
        }
        let first = lock(&self.bad)
            .first_key_value()
            .map(|(&item, reason)| (self.path(item), reason.clone()));
        Err(none_readable(count, first.as_ref()))
    }

    fn square(&self, item: usize, position: u64) -> Result<Raster> {
        let (transform, seed) = (&self.config.transform, self.config.seed);
        let scaled = self.scaled(item)?;
        let place = transform.place(scaled.dimensions(), seed, position)?;
        transform.cut(&scaled, place)
    }

    /// An item's picture, ready for cropping.
    fn scaled(&self, item: usize) -> Result<Arc<Raster>> {
        if let Some(image) = self.cache.get(item) {
            return Ok(image);
        }
        let path = &self.dataset.items[item].path;
        let decoded = Raster::read(path, self.config.kind, self.config.background)?;
        let image = Arc::new(self.config.transform.scaled(decoded)?);
        self.cache.offer(item, &image);
        Ok(image)
    }
}

#[cfg(test)]
mod tests;
