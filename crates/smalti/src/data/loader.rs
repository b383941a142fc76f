//! The endless stream of training batches, prepared by threads ahead of their use. The batch of a step follows from the
//! data set, the configuration and the number of the step alone: threads change when it is ready, never what is in it,
//! and a run that is continued sees what it would have seen.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use image::RgbImage;

use super::bad::{BadFile, none_readable, reason};
use super::cache::Cache;
use super::dataset::Dataset;
use super::decode::read_image;
use super::lock;
use super::order::Order;
use super::pixels::to_float;
use super::random::{Purpose, stream};
use super::transform::Transform;
use crate::error::{Error, Result};

/// How many batches are being prepared at any time, at least.
const LOOK_AHEAD: usize = 4;

/// The pictures of one training step.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[n, size, size, 3]` in [-1, 1].
    pub pixels: Vec<f32>,
    /// The class of each picture, 0 where it has none.
    pub classes: Vec<usize>,
    /// Which of [`Dataset::items`] each picture is.
    pub indices: Vec<usize>,
    /// The side of the pictures, in pixels.
    pub size: usize,
}

/// How batches are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Pictures per batch, at least 1.
    pub batch: usize,
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
    waiting: VecDeque<Receiver<Result<Batch>>>,
    workers: Vec<JoinHandle<()>>,
}

/// The order to prepare one batch.
struct Job {
    /// Of the batch's first picture in the stream of samples.
    first_position: u64,
    items: Vec<usize>,
    reply: Sender<Result<Batch>>,
}

impl Loader {
    /// Starts the threads; they begin to work with the first call of [`Loader::next`].
    ///
    /// # Errors
    /// When the data set or the batch is empty, the transform fails its check, or a thread cannot be started.
    pub fn new(dataset: Arc<Dataset>, config: LoaderConfig) -> Result<Self> {
        config.transform.check()?;
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
            Some(Ok(batch)) => batch,
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
    fn ask(&mut self) -> Receiver<Result<Batch>> {
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

    fn batch(&self, job: &Job) -> Result<Batch> {
        let size = self.config.transform.size;
        let mut batch = Batch {
            pixels: Vec::with_capacity(job.items.len() * size * size * 3),
            classes: Vec::with_capacity(job.items.len()),
            indices: Vec::with_capacity(job.items.len()),
            size,
        };
        for (place, &item) in job.items.iter().enumerate() {
            if self.stopping.load(Ordering::Relaxed) {
                return Err(Error::input("loading pictures was stopped"));
            }
            let position = job.first_position.wrapping_add(place as u64);
            let (used, square) = self.sample(item, position)?;
            batch
                .pixels
                .extend(square.iter().map(|&byte| to_float(byte)));
            batch
                .classes
                .push(self.dataset.items[used].class.unwrap_or(0));
            batch.indices.push(used);
        }
        Ok(batch)
    }

    /// The square for a position in the stream of samples, from `item` or the first usable one behind it, and which
    /// item that was.
    fn sample(&self, item: usize, position: u64) -> Result<(usize, Vec<u8>)> {
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

    fn square(&self, item: usize, position: u64) -> Result<Vec<u8>> {
        let image = self.scaled(item)?;
        let mut generator = stream(self.config.seed, Purpose::Sample, position);
        self.config.transform.cut(&image, &mut generator)
    }

    /// An item's picture, ready for cropping.
    fn scaled(&self, item: usize) -> Result<Arc<RgbImage>> {
        if let Some(image) = self.cache.get(item) {
            return Ok(image);
        }
        let decoded = read_image(&self.dataset.items[item].path, self.config.background)?;
        let resized = self.config.transform.resized(&decoded)?;
        let image = Arc::new(resized.unwrap_or(decoded));
        self.cache.offer(item, &image);
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;

    use image::{ImageFormat, Rgb};
    use tempfile::TempDir;

    use super::*;
    use crate::data::{Crop, Filter, Resize};

    const CONFIG: LoaderConfig = LoaderConfig {
        batch: 3,
        transform: Transform {
            size: 16,
            resize: Resize::Shortest(20),
            crop: Crop::Random,
            flip: true,
            filter: Filter::Bilinear,
        },
        background: [255; 3],
        seed: 11,
        workers: 1,
        first_step: 0,
        cache_bytes: 0,
    };

    fn picture(number: u32) -> RgbImage {
        RgbImage::from_fn(30, 24 + number, |x, y| {
            Rgb([(x * 8) as u8, (y * 6) as u8, (number * 20) as u8])
        })
    }

    /// A folder of `count` different pictures in two classes.
    fn folder(count: u32) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..count {
            let class = folder.path().join(if number.is_multiple_of(2) {
                "even"
            } else {
                "odd"
            });
            fs::create_dir_all(&class).unwrap();
            let path = class.join(format!("{number}.png"));
            picture(number).save(path).unwrap();
        }
        folder
    }

    fn open(folder: &TempDir) -> Arc<Dataset> {
        Arc::new(Dataset::open(folder.path()).unwrap())
    }

    fn batches(dataset: &Arc<Dataset>, config: LoaderConfig, count: usize) -> Vec<Batch> {
        let mut loader = Loader::new(Arc::clone(dataset), config).unwrap();
        let batches = (0..count).map(|_| loader.next().unwrap()).collect();
        assert!(loader.bad_files().is_empty());
        batches
    }

    #[test]
    fn batches_depend_on_the_step_alone() {
        let folder = folder(7);
        let dataset = open(&folder);
        let reference = batches(&dataset, CONFIG, 12);
        for (workers, cache_bytes) in [(1, 1 << 20), (3, 0), (3, 1 << 20), (3, 3000), (9, 0)] {
            let config = LoaderConfig {
                workers,
                cache_bytes,
                ..CONFIG
            };
            assert!(batches(&dataset, config, 12) == reference);
        }
        for first_step in [1, 5, 11] {
            let config = LoaderConfig {
                workers: 2,
                first_step,
                ..CONFIG
            };
            let rest = &reference[first_step as usize..];
            assert!(batches(&dataset, config, rest.len()) == rest);
        }
        let other_seed = LoaderConfig { seed: 12, ..CONFIG };
        assert!(batches(&dataset, other_seed, 12) != reference);
    }

    #[test]
    fn batches_hold_every_picture_once_per_epoch() {
        let folder = folder(6);
        let dataset = open(&folder);
        let batches = batches(&dataset, CONFIG, 4);
        for epoch in batches.chunks(2) {
            let mut indices: Vec<usize> = epoch
                .iter()
                .flat_map(|batch| batch.indices.clone())
                .collect();
            indices.sort_unstable();
            assert_eq!(indices, [0, 1, 2, 3, 4, 5]);
        }
        for batch in &batches {
            assert_eq!((batch.size, batch.pixels.len()), (16, 3 * 16 * 16 * 3));
            assert!(
                batch
                    .pixels
                    .iter()
                    .all(|value| (-1.0..=1.0).contains(value))
            );
            for (&index, &class) in batch.indices.iter().zip(&batch.classes) {
                assert_eq!(dataset.items[index].class, Some(class));
            }
        }
        // The same picture is cropped anew in the next epoch.
        assert_ne!(batches[0].pixels, batches[2].pixels);
    }

    #[test]
    fn a_batch_may_be_larger_than_the_data_set() {
        let folder = folder(2);
        let config = LoaderConfig { batch: 5, ..CONFIG };
        let batches = batches(&open(&folder), config, 2);
        let indices: Vec<usize> = batches
            .iter()
            .flat_map(|batch| batch.indices.clone())
            .collect();
        for epoch in indices.chunks(2) {
            assert_ne!(epoch[0], epoch[1]);
        }
    }

    #[test]
    fn kept_pictures_are_not_read_again() {
        let folder = folder(3);
        let dataset = open(&folder);
        let reference = batches(&dataset, CONFIG, 9);
        let config = LoaderConfig {
            cache_bytes: 1 << 20,
            ..CONFIG
        };
        let mut loader = Loader::new(dataset, config).unwrap();
        // One epoch: afterwards the only thread has read all three.
        assert!(loader.next().unwrap() == reference[0]);
        drop(folder);
        for batch in &reference[1..] {
            assert!(loader.next().unwrap() == *batch);
        }
    }

    #[test]
    fn bad_pictures_are_replaced_and_named() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "c.png"] {
            picture(1).save(folder.path().join(name)).unwrap();
        }
        let mut jpeg = Cursor::new(Vec::new());
        picture(2).write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
        let jpeg = jpeg.into_inner();
        fs::write(folder.path().join("b.jpg"), &jpeg[..jpeg.len() - 40]).unwrap();
        fs::write(folder.path().join("d.png"), "no picture").unwrap();

        let dataset = open(&folder);
        let config = LoaderConfig { batch: 4, ..CONFIG };
        let mut runs = Vec::new();
        for workers in [1, 3] {
            let config = LoaderConfig {
                workers,
                ..config.clone()
            };
            let mut loader = Loader::new(Arc::clone(&dataset), config).unwrap();
            let batches: Vec<Batch> = (0..6).map(|_| loader.next().unwrap()).collect();
            for batch in &batches {
                let mut indices = batch.indices.clone();
                indices.sort_unstable();
                // c.png stands in for b.jpg behind which it comes, and a.png for d.png, the last one.
                assert_eq!(indices, [0, 0, 2, 2]);
            }
            let bad = loader.bad_files();
            assert_eq!(bad.len(), 2);
            assert!(bad[0].0.ends_with("b.jpg") && bad[0].1.contains("cut short"));
            assert!(bad[1].0.ends_with("d.png"));
            runs.push(batches);
        }
        assert!(runs[0] == runs[1]);
    }

    #[test]
    fn pictures_too_small_to_crop_are_named() {
        let folder = tempfile::tempdir().unwrap();
        picture(0).save(folder.path().join("a.png")).unwrap();
        let small = RgbImage::new(40, 10);
        small.save(folder.path().join("b.png")).unwrap();
        let transform = Transform {
            resize: Resize::None,
            ..CONFIG.transform
        };
        let config = LoaderConfig {
            transform,
            ..CONFIG
        };
        let mut loader = Loader::new(open(&folder), config).unwrap();
        assert_eq!(loader.next().unwrap().indices, [0, 0, 0]);
        assert!(loader.bad_files()[0].1.contains("40×10"));
    }

    #[test]
    fn nothing_but_bad_pictures_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "b.png"] {
            fs::write(folder.path().join(name), "no picture").unwrap();
        }
        let mut loader = Loader::new(open(&folder), CONFIG).unwrap();
        for _ in 0..2 {
            let message = loader.next().unwrap_err().to_string();
            assert!(message.starts_with("none of the 2 pictures could be read; the first: "));
            assert!(message.contains("a.png"));
        }
    }

    #[test]
    fn settings_are_checked() {
        let folder = folder(1);
        let dataset = open(&folder);
        let empty = Arc::new(dataset.limit(0));
        assert!(Loader::new(empty, CONFIG).is_err());
        let no_batch = LoaderConfig { batch: 0, ..CONFIG };
        assert!(Loader::new(Arc::clone(&dataset), no_batch).is_err());
        let no_workers = LoaderConfig {
            workers: 0,
            first_step: u64::MAX,
            ..CONFIG
        };
        assert_eq!(batches(&dataset, no_workers, 2).len(), 2);
    }

    #[test]
    fn dropping_ends_the_threads() {
        let folder = folder(4);
        let dataset = open(&folder);
        for used in 0..3 {
            let config = LoaderConfig {
                workers: 4,
                ..CONFIG
            };
            let mut loader = Loader::new(Arc::clone(&dataset), config).unwrap();
            for _ in 0..used {
                loader.next().unwrap();
            }
            drop(loader);
            // The threads held the data set too.
            assert_eq!(Arc::strong_count(&dataset), 1);
        }
    }
}
