//! Tokenizers of other programs at their published sizes: found, imported, and compared with what the programs' own
//! networks compute (see `foreign/harness.rs`).

mod common;
#[path = "foreign/harness.rs"]
mod harness;

use common::device;
use harness::{Configured, check, compare, generate, import_generated};
use smalti::model::{Format, import};
use smalti::tokenizer::{Family, QuantizerKind};
use std::path::Path;

/// What must be found out about a checkpoint: pixels per code, the number of codes and their length, the quantiser.
fn describe(name: &str, format: Format, [f, codes, length]: [usize; 3], kind: QuantizerKind) {
    let imported = check(name);
    let config = &imported.model.tokenizer_config;
    assert_eq!(imported.format, format);
    assert_eq!(config.factor(), f);
    assert_eq!(config.codebook_size, codes);
    assert_eq!(config.embed_dim, length);
    assert_eq!(config.quantizer, kind);
    // Only LlamaGen weighs the losses as the paper has them.
    assert_eq!(config.legacy_beta, format != Format::Llamagen);
}

/// The bits here are those of `generator.py`.
#[test]
fn both_sides_generate_the_same_values() {
    let bits = |key: &str, shape: &[usize], factors: &[f64]| {
        let values = generate(key, shape, factors);
        values.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
    };
    let weight = bits("encoder.conv_in.weight", &[2, 3, 1, 1], &[]);
    let expected: [u32; 6] = [
        0xbd83_1620,
        0xbddd_3f40,
        0xbe9f_f0ac,
        0xbf17_2c90,
        0xbde9_17b0,
        0x3df0_7c20,
    ];
    assert_eq!(weight, expected);
    let norm = bits("encoder.norm_out.weight", &[3], &[]);
    assert_eq!(norm, [0x3f6d_cd49_u32, 0x3f85_74c7, 0x3f72_a7b0]);
    let scaled = bits("encoder.norm_out.bias", &[3], &[17.0]);
    assert_eq!(scaled, [0xbfb8_18a3_u32, 0x3fa6_cbbd, 0xbfd1_f855]);
    assert_eq!(bits("model_ema.decay", &[], &[]), [0_u32]);
}

#[test]
fn compvis_f16_1024() {
    let expected = [16, 1024, 256];
    describe(
        "compvis-f16-1024",
        Format::Taming,
        expected,
        QuantizerKind::Nearest,
    );
}

#[test]
fn compvis_gumbel_f8() {
    let expected = [8, 8192, 256];
    describe(
        "compvis-gumbel-f8",
        Format::Taming,
        expected,
        QuantizerKind::Gumbel,
    );
}

#[test]
fn latent_diffusion_vq_f4() {
    let (format, kind) = (Format::LatentDiffusion, QuantizerKind::Nearest);
    describe("ldm-vq-f4", format, [4, 8192, 3], kind);
}

#[test]
fn latent_diffusion_vq_f4_without_attention() {
    let (format, kind) = (Format::LatentDiffusion, QuantizerKind::Nearest);
    describe("ldm-vq-f4-noattn", format, [4, 8192, 3], kind);
}

#[test]
fn latent_diffusion_vq_f8() {
    let (format, kind) = (Format::LatentDiffusion, QuantizerKind::Nearest);
    describe("ldm-vq-f8", format, [8, 16384, 4], kind);
}

#[test]
fn latent_diffusion_vq_f16() {
    let (format, kind) = (Format::LatentDiffusion, QuantizerKind::Nearest);
    describe("ldm-vq-f16", format, [16, 16384, 8], kind);
}

/// The network that the tensors show is the one that the YAML describes.
#[test]
fn the_yaml_tells_nothing_that_the_tensors_do_not() {
    let configuration = |configured| {
        let imported = import_generated("ldm-vq-f8", configured);
        imported.model.tokenizer_config
    };
    assert_eq!(
        configuration(Configured::No),
        configuration(Configured::Yes)
    );
}

#[test]
fn diffusers_with_the_old_names_of_attention() {
    let (format, kind) = (Format::Diffusers, QuantizerKind::Nearest);
    describe("diffusers-ldm-celebahq", format, [4, 8192, 3], kind);
}

#[test]
fn diffusers_with_the_new_names_of_attention() {
    let (format, kind) = (Format::Diffusers, QuantizerKind::Nearest);
    describe("diffusers-vq-diffusion", format, [8, 4096, 128], kind);
}

#[test]
fn diffusers_without_attention() {
    let (format, kind) = (Format::Diffusers, QuantizerKind::Nearest);
    describe("diffusers-amused", format, [16, 8192, 64], kind);
}

#[test]
fn llamagen_vq_8() {
    describe(
        "llamagen-vq-8",
        Format::Llamagen,
        [8, 16384, 8],
        QuantizerKind::L2,
    );
}

#[test]
fn llamagen_vq_16() {
    describe(
        "llamagen-vq-16",
        Format::Llamagen,
        [16, 16384, 8],
        QuantizerKind::L2,
    );
}

/// The weights used are the moving averages, whose values here are other ones.
#[test]
fn ibq_16384() {
    describe(
        "ibq-16384",
        Format::Ibq,
        [16, 16384, 256],
        QuantizerKind::Ibq,
    );
}

/// Families with networks of their own.
fn describe_family(name: &str, family: Family, [f, codes]: [usize; 2], kind: QuantizerKind) {
    let imported = check(name);
    let config = &imported.model.tokenizer_config;
    assert_eq!(config.family, family);
    assert_eq!([config.factor(), config.codebook_size], [f, codes]);
    assert_eq!(config.quantizer, kind);
}

#[test]
fn maskgit() {
    let kind = QuantizerKind::Nearest;
    describe_family("maskgit", Family::Maskgit, [16, 1024], kind);
}

/// Its file holds averages beside the weights.
#[test]
fn magvit2_256() {
    let kind = QuantizerKind::Lfq;
    describe_family("magvit2-256", Family::Magvit2, [16, 262_144], kind);
}

#[test]
fn magvit2_128() {
    let kind = QuantizerKind::Lfq;
    describe_family("magvit2-128", Family::Magvit2, [8, 262_144], kind);
}

#[test]
fn dalle() {
    let kind = QuantizerKind::Gumbel;
    describe_family("dalle", Family::Dalle, [8, 8192], kind);
}

/// The published files are pickles of whole modules, one in each of PyTorch's two file formats here.
#[test]
fn dalle_as_pickled_modules() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/dalle-tiny");
    let imported = import(&folder, None, None, &device()).unwrap();
    assert_eq!(imported.format, Format::Dalle);
    compare(&imported, &folder.join("io.safetensors"));
}
