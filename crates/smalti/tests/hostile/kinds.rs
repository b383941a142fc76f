//! The kinds of files: how each is read, what it is made of, and what reading one may cost.

use crate::entry::{self, Entry};
use crate::seeds::Seeds;
use crate::{annotations, measuring, pickles, pictures, tensors, texts};
use rand_chacha::ChaCha8Rng;

pub const MIB: usize = 1 << 20;

/// A kind of file, and what reading one of it may cost.
pub struct Kind {
    /// The name of its fuzz target too.
    pub name: &'static str,
    pub read: Entry,
    pub seeds: fn() -> Seeds,
    pub make: fn(&mut ChaCha8Rng, &Seeds) -> Vec<u8>,
    pub cases: usize,
    /// Reading a file of n bytes takes at most `factor` · n + `allowance` bytes.
    pub factor: usize,
    pub allowance: usize,
}

/// One byte of a pickle can make an object of a hundred bytes, and a torch file may unpack to a megabyte of 8-bit
/// numbers more than its size, which take eight times as much.
pub const TORCH: Kind = Kind {
    name: "torch_checkpoint",
    read: entry::checkpoint,
    seeds: pickles::torch,
    make: pickles::make_torch,
    cases: 1800,
    factor: 256,
    allowance: 32 * MIB,
};

pub const PICKLE: Kind = Kind {
    name: "pickle",
    read: entry::checkpoint,
    seeds: pickles::plain,
    make: pickles::make_plain,
    cases: 2400,
    factor: 256,
    allowance: 32 * MIB,
};

pub const SAFETENSORS: Kind = Kind {
    name: "safetensors",
    read: entry::safetensors,
    seeds: tensors::safetensors,
    make: tensors::make,
    cases: 1400,
    factor: 24,
    allowance: MIB,
};

pub const CODES: Kind = Kind {
    name: "codes_file",
    read: entry::codes_file,
    seeds: tensors::codes,
    make: tensors::make,
    cases: 900,
    factor: 32,
    allowance: MIB,
};

/// Features are in arrays of numpy, or in any file of tensors.
pub const FEATURES: Kind = Kind {
    name: "features",
    read: entry::features,
    seeds: tensors::features,
    make: tensors::make_features,
    cases: 700,
    factor: 256,
    allowance: 32 * MIB,
};

/// Provenance is any JSON, of which two bytes can be a value of seventy.
pub const MODEL: Kind = Kind {
    name: "model_file",
    read: entry::model_file,
    seeds: tensors::models,
    make: tensors::make_model,
    cases: 900,
    factor: 128,
    allowance: 32 * MIB,
};

pub const RECIPE: Kind = Kind {
    name: "yaml_recipe",
    read: entry::yaml_recipe,
    seeds: texts::settings,
    make: texts::make,
    cases: 1500,
    factor: 512,
    allowance: 4 * MIB,
};

pub const AUTHORS: Kind = Kind {
    name: "authors_yaml",
    read: entry::authors_yaml,
    seeds: texts::authors,
    make: texts::make,
    cases: 1000,
    factor: 512,
    allowance: 4 * MIB,
};

/// A picture may unpack to 4096 times its size and 64 MiB; decoding it takes a few times as much as it unpacks to.
pub const IMAGE: Kind = Kind {
    name: "image",
    read: entry::image,
    seeds: pictures::pictures,
    make: pictures::make,
    cases: 1600,
    factor: 8 * 4096,
    allowance: 8 * 64 * MIB,
};

pub const LIST: Kind = Kind {
    name: "list_file",
    read: entry::list_file,
    seeds: texts::lists,
    make: texts::make,
    cases: 700,
    factor: 128,
    allowance: MIB,
};

pub const METRICS: Kind = Kind {
    name: "metrics",
    read: entry::metrics,
    seeds: texts::logs,
    make: texts::make,
    cases: 200,
    factor: 16,
    allowance: MIB,
};

/// One byte of a list in it may be buffered as a value of dozens.
pub const TOKENIZER: Kind = Kind {
    name: "tokenizer_json",
    read: entry::tokenizer,
    seeds: texts::tokenizers,
    make: texts::make,
    cases: 900,
    factor: 256,
    allowance: MIB,
};

pub const CAPTIONS: Kind = Kind {
    name: "caption_table",
    read: entry::caption_table,
    seeds: texts::captions,
    make: texts::make,
    cases: 700,
    factor: 128,
    allowance: MIB,
};

pub const STORED_CODES: Kind = Kind {
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
pub const TEXT_ENCODER: Kind = Kind {
    name: "text_encoder",
    read: entry::text_encoder,
    seeds: tensors::text_vectors,
    make: tensors::make,
    cases: 500,
    factor: 256,
    allowance: 32 * MIB,
};

/// A short row can be a picture of its own, with a path and room for objects. A file is read through a megabyte.
pub const COCO: Kind = Kind {
    name: "coco_objects",
    read: entry::coco_objects,
    seeds: annotations::coco,
    make: texts::make,
    cases: 900,
    factor: 128,
    allowance: 4 * MIB,
};

pub const OPEN_IMAGES: Kind = Kind {
    name: "open_images",
    read: entry::open_images,
    seeds: annotations::open_images,
    make: texts::make,
    cases: 700,
    factor: 128,
    allowance: 8 * MIB,
};

pub const KEY_POINTS: Kind = Kind {
    name: "key_points",
    read: entry::key_points,
    seeds: annotations::key_points,
    make: texts::make,
    cases: 700,
    factor: 128,
    allowance: 4 * MIB,
};

pub const LAYOUT: Kind = Kind {
    name: "layout",
    read: entry::layout,
    seeds: annotations::layouts,
    make: texts::make,
    cases: 700,
    factor: 64,
    allowance: 4 * MIB,
};

pub const CLASSIFIER: Kind = Kind {
    name: "classifier",
    read: entry::classifier,
    seeds: measuring::classifiers,
    make: tensors::make,
    cases: 600,
    factor: 256,
    allowance: 32 * MIB,
};

/// The distance takes several matrices of the size of the covariance, and room for products of them.
pub const STATISTICS: Kind = Kind {
    name: "statistics",
    read: entry::statistics,
    seeds: measuring::statistics,
    make: tensors::make,
    cases: 500,
    factor: 64,
    allowance: 32 * MIB,
};

/// A file may unpack to a megabyte more than four times its size, of numbers of 16 bits.
pub const PUBLISHED: Kind = Kind {
    name: "published_statistics",
    read: entry::published_statistics,
    seeds: measuring::published,
    make: measuring::make_published,
    cases: 700,
    factor: 256,
    allowance: 64 * MIB,
};

pub const KINDS: [&Kind; 22] = [
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
