//! Files from strangers: checkpoints, models, settings, pictures, lists, annotations and statistics, changed in
//! thousands of ways. Reading one ends in a result or an error, never in a panic; it takes no more memory than so many
//! times the file's size and a little; and nothing in it is executed.
//!
//! A failure names its case, such as `pickle:123`; `SMALTI_HOSTILE_SEED=pickle:123` runs that one alone.

mod allocator;
mod annotations;
mod entry;
mod kinds;
mod measuring;
mod mutate;
mod pickles;
mod pictures;
#[allow(dead_code)]
#[path = "../../src/checkpoint/pickle/samples.rs"]
mod samples;
mod seeds;
mod tensors;
mod texts;
#[path = "../../src/text/tiny.rs"]
mod tiny;

use entry::Place;
use kinds::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use seeds::Seeds;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// Memory is counted for the whole program, so one kind runs at a time.
static TURN: Mutex<()> = Mutex::new(());

impl Kind {
    /// Reads the good files as they are, then everything as it is and changed.
    fn attack(&self) {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (place, seeds) = (Place::new(), (self.seeds)());
        // A run before this one may have failed because of it.
        let _ = std::fs::remove_file(pickles::marker());
        for (index, seed) in seeds.good.iter().enumerate() {
            if let Err(error) = (self.read)(&place, seed) {
                panic!("good {} number {index}: {error}", self.name);
            }
        }
        match self.chosen() {
            Some(Some(number)) => self.check(&place, &seeds, number),
            Some(None) => {}
            None => (0..self.cases).for_each(|number| self.check(&place, &seeds, number)),
        }
        assert!(!pickles::marker().exists(), "something was executed");
    }

    /// What SMALTI_HOSTILE_SEED asks for: a case of this kind, or none of it.
    fn chosen(&self) -> Option<Option<usize>> {
        let chosen = std::env::var("SMALTI_HOSTILE_SEED").ok()?;
        let (name, number) = chosen.split_once(':').unwrap_or((chosen.as_str(), "0"));
        let number = number.parse().expect("SMALTI_HOSTILE_SEED is kind:number");
        Some((name == self.name).then_some(number))
    }

    /// The first cases are the seeds themselves.
    fn case(&self, seeds: &Seeds, number: usize) -> Vec<u8> {
        let mut random = ChaCha8Rng::seed_from_u64(number as u64);
        match seeds.all().nth(number) {
            Some(seed) => seed.clone(),
            None => (self.make)(&mut random, seeds),
        }
    }

    fn check(&self, place: &Place, seeds: &Seeds, number: usize) {
        let bytes = self.case(seeds, number);
        allocator::begin(self.name, number);
        let read = || drop((self.read)(place, &bytes));
        let (outcome, peak) = allocator::peak_of(|| catch_unwind(AssertUnwindSafe(read)));
        let case = format!("{}:{number}, a file of {} bytes,", self.name, bytes.len());
        assert!(outcome.is_ok(), "{case} panicked");
        let most = self.factor * bytes.len() + self.allowance;
        assert!(peak <= most, "{case} took {peak} bytes; {most} are allowed");
    }
}

#[test]
fn torch_checkpoints() {
    TORCH.attack();
}

#[test]
fn pickles() {
    PICKLE.attack();
}

#[test]
fn safetensors_files() {
    SAFETENSORS.attack();
}

#[test]
fn codes_files() {
    CODES.attack();
}

#[test]
fn files_of_features() {
    FEATURES.attack();
}

#[test]
fn model_files() {
    MODEL.attack();
}

#[test]
fn recipes() {
    RECIPE.attack();
}

#[test]
fn configurations_of_the_authors() {
    AUTHORS.attack();
}

#[test]
fn images() {
    IMAGE.attack();
}

#[test]
fn list_files() {
    LIST.attack();
}

#[test]
fn logs_of_runs() {
    METRICS.attack();
}

#[test]
fn tokenizers_of_text_encoders() {
    TOKENIZER.attack();
}

#[test]
fn caption_tables() {
    CAPTIONS.attack();
}

#[test]
fn codes_of_trainings() {
    STORED_CODES.attack();
}

#[test]
fn text_encoders() {
    TEXT_ENCODER.attack();
}

#[test]
fn objects_in_the_form_of_coco() {
    COCO.attack();
}

#[test]
fn tables_of_open_images() {
    OPEN_IMAGES.attack();
}

#[test]
fn files_of_key_points() {
    KEY_POINTS.attack();
}

#[test]
fn layouts() {
    LAYOUT.attack();
}

#[test]
fn classifiers() {
    CLASSIFIER.attack();
}

#[test]
fn statistics_of_features() {
    STATISTICS.attack();
}

#[test]
fn published_statistics() {
    PUBLISHED.attack();
}

#[test]
fn there_are_ten_thousand_cases() {
    let cases: usize = KINDS.iter().map(|kind| kind.cases).sum();
    assert!(cases >= 10_000, "{cases}");
}

#[test]
fn memory_is_counted() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (length, peak) = allocator::peak_of(|| {
        let mut bytes = std::hint::black_box(vec![1_u8; 30 * MIB]);
        bytes.truncate(10 * MIB);
        bytes.shrink_to_fit();
        std::hint::black_box(&bytes).len()
    });
    assert_eq!(length, 10 * MIB);
    // Pools of threads that earlier cases woke may still give back or take a little.
    assert!((28 * MIB..32 * MIB).contains(&peak), "{peak}");
}

#[test]
#[ignore = "writes the fuzz targets' corpus from the seeds here"]
fn write_the_corpus() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for kind in KINDS {
        let folder = corpus.join(kind.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (index, seed) in (kind.seeds)().all().enumerate() {
            std::fs::write(folder.join(format!("seed-{index:03}")), seed).unwrap();
        }
    }
}
