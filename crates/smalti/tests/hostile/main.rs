//! Files from strangers: checkpoints, models, settings, pictures, lists, annotations and statistics, changed in
//! thousands of ways. Reading one ends in a result or an error, never in a panic; it takes no more memory than so many
//! times the file's size and a little; and nothing in it is executed.
//!
//! A failure names its case, such as `pickle:123`; `SMALTI_HOSTILE_SEED=pickle:123` runs that one alone.

#[path = "hostile/allocator.rs"]
mod allocator;
#[path = "hostile/annotations.rs"]
mod annotations;
#[path = "hostile/entry.rs"]
mod entry;
#[path = "hostile/measuring.rs"]
mod measuring;
#[path = "hostile/mutate.rs"]
mod mutate;
#[path = "hostile/pickles.rs"]
mod pickles;
#[path = "hostile/pictures.rs"]
mod pictures;
#[allow(dead_code)]
#[path = "../src/checkpoint/pickle/samples.rs"]
mod samples;
#[path = "hostile/seeds.rs"]
mod seeds;
#[path = "hostile/tensors.rs"]
mod tensors;
#[path = "hostile/texts.rs"]
mod texts;
#[path = "../src/text/tiny.rs"]
mod tiny;

use entry::{Entry, Place};
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

const MIB: usize = 1 << 20;

/// A kind of file, and what reading one of it may cost.
struct Kind {
    /// The name of its fuzz target too.
    name: &'static str,
    read: Entry,
    seeds: fn() -> Seeds,
    make: fn(&mut ChaCha8Rng, &Seeds) -> Vec<u8>,
    cases: usize,
    /// Reading a file of n bytes takes at most `factor` · n + `allowance` bytes.
    factor: usize,
    allowance: usize,
}

/// One byte of a pickle can make an object of a hundred bytes, and a torch file may unpack to a megabyte of 8-bit
/// numbers more than its size, which take eight times as much.
const TORCH: Kind = Kind {
    name: "torch_checkpoint",
    read: entry::checkpoint,
    seeds: pickles::torch,
    make: pickles::make_torch,
    cases: 1800,
    factor: 256,
    allowance: 32 * MIB,
};

const PICKLE: Kind = Kind {
    name: "pickle",
    read: entry::checkpoint,
    seeds: pickles::plain,
    make: pickles::make_plain,
    cases: 2400,
    factor: 256,
    allowance: 32 * MIB,
};

const SAFETENSORS: Kind = Kind {
    name: "safetensors",
    read: entry::safetensors,
    seeds: tensors::safetensors,
    make: tensors::make,
    cases: 1400,
    factor: 24,
    allowance: MIB,
};

const CODES: Kind = Kind {
    name: "codes_file",
    read: entry::codes_file,
    seeds: tensors::codes,
    make: tensors::make,
    cases: 900,
    factor: 32,
    allowance: MIB,
};

/// Features are in arrays of numpy, or in any file of tensors.
const FEATURES: Kind = Kind {
    name: "features",
    read: entry::features,
    seeds: tensors::features,
    make: tensors::make_features,
    cases: 700,
    factor: 256,
    allowance: 32 * MIB,
};

/// Provenance is any JSON, of which two bytes can be a value of seventy.
const MODEL: Kind = Kind {
    name: "model_file",
    read: entry::model_file,
    seeds: tensors::models,
    make: tensors::make_model,
    cases: 900,
    factor: 128,
    allowance: 32 * MIB,
};

const RECIPE: Kind = Kind {
    name: "yaml_recipe",
    read: entry::yaml_recipe,
    seeds: texts::settings,
    make: texts::make,
    cases: 1500,
    factor: 512,
    allowance: 4 * MIB,
};

const AUTHORS: Kind = Kind {
    name: "authors_yaml",
    read: entry::authors_yaml,
    seeds: texts::authors,
    make: texts::make,
    cases: 1000,
    factor: 512,
    allowance: 4 * MIB,
};

/// A picture may unpack to 4096 times its size and 64 MiB; decoding it takes a few times as much as it unpacks to.
const IMAGE: Kind = Kind {
    name: "image",
    read: entry::image,
    seeds: pictures::pictures,
    make: pictures::make,
    cases: 1600,
    factor: 8 * 4096,
    allowance: 8 * 64 * MIB,
};

const LIST: Kind = Kind {
    name: "list_file",
    read: entry::list_file,
    seeds: texts::lists,
    make: texts::make,
    cases: 700,
    factor: 128,
    allowance: MIB,
};

const METRICS: Kind = Kind {
    name: "metrics",
    read: entry::metrics,
    seeds: texts::logs,
    make: texts::make,
    cases: 200,
    factor: 16,
    allowance: MIB,
};

/// One byte of a list in it may be buffered as a value of dozens.
const TOKENIZER: Kind = Kind {
    name: "tokenizer_json",
    read: entry::tokenizer,
    seeds: texts::tokenizers,
    make: texts::make,
    cases: 900,
    factor: 256,
    allowance: MIB,
};

const CAPTIONS: Kind = Kind {
    name: "caption_table",
    read: entry::caption_table,
    seeds: texts::captions,
    make: texts::make,
    cases: 700,
    factor: 128,
    allowance: MIB,
};

const STORED_CODES: Kind = Kind {
    name: "stored_codes",
    read: entry::stored_codes,
    seeds: tensors::stored_codes,
    make: tensors::make,
    cases: 500,
    factor: 32,
    // The model that the codes are for.
    allowance: 32 * MIB,
};

/// Any file of tensors, of which those of 8 bits take eight times as much.
const TEXT_ENCODER: Kind = Kind {
    name: "text_encoder",
    read: entry::text_encoder,
    seeds: tensors::text_vectors,
    make: tensors::make,
    cases: 500,
    factor: 256,
    allowance: 32 * MIB,
};

/// A short row can be a picture of its own, with a path and room for objects. A file is read through a megabyte.
const COCO: Kind = Kind {
    name: "coco_objects",
    read: entry::coco_objects,
    seeds: annotations::coco,
    make: texts::make,
    cases: 900,
    factor: 128,
    allowance: 4 * MIB,
};

const OPEN_IMAGES: Kind = Kind {
    name: "open_images",
    read: entry::open_images,
    seeds: annotations::open_images,
    make: texts::make,
    cases: 700,
    factor: 128,
    allowance: 8 * MIB,
};

const KEY_POINTS: Kind = Kind {
    name: "key_points",
    read: entry::key_points,
    seeds: annotations::key_points,
    make: texts::make,
    cases: 700,
    factor: 128,
    allowance: 4 * MIB,
};

const LAYOUT: Kind = Kind {
    name: "layout",
    read: entry::layout,
    seeds: annotations::layouts,
    make: texts::make,
    cases: 700,
    factor: 64,
    allowance: 4 * MIB,
};

const CLASSIFIER: Kind = Kind {
    name: "classifier",
    read: entry::classifier,
    seeds: measuring::classifiers,
    make: tensors::make,
    cases: 600,
    factor: 256,
    allowance: 32 * MIB,
};

/// The distance takes several matrices of the size of the covariance, and room for products of them.
const STATISTICS: Kind = Kind {
    name: "statistics",
    read: entry::statistics,
    seeds: measuring::statistics,
    make: tensors::make,
    cases: 500,
    factor: 64,
    allowance: 32 * MIB,
};

/// A file may unpack to a megabyte more than four times its size, of numbers of 16 bits.
const PUBLISHED: Kind = Kind {
    name: "published_statistics",
    read: entry::published_statistics,
    seeds: measuring::published,
    make: measuring::make_published,
    cases: 700,
    factor: 256,
    allowance: 64 * MIB,
};

const KINDS: [&Kind; 22] = [
    &TORCH,
    &PICKLE,
    &SAFETENSORS,
    &CODES,
    &FEATURES,
    &MODEL,
    &RECIPE,
    &AUTHORS,
    &IMAGE,
    &LIST,
    &METRICS,
    &TOKENIZER,
    &CAPTIONS,
    &STORED_CODES,
    &TEXT_ENCODER,
    &COCO,
    &OPEN_IMAGES,
    &KEY_POINTS,
    &LAYOUT,
    &CLASSIFIER,
    &STATISTICS,
    &PUBLISHED,
];

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
