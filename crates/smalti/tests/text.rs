//! The text encoder against the wordllama package, whose files it reads: the same tokens and vectors. What the package
//! does is in `text/wordllama.json`, made by `text/make.py`.

mod common;

use common::{assert_near, text_encoder};
use serde::Deserialize;
use smalti::text::{TextEncoder, Tokenizer};

#[derive(Deserialize)]
struct Reference {
    /// A text, its tokens, and of its vector the first numbers and the length.
    cases: Vec<(String, Vec<u32>, Vec<f32>)>,
    long: Long,
}

/// A text that is another many times over.
#[derive(Deserialize)]
struct Long {
    repeated: String,
    times: usize,
    /// How many tokens it has, and what [`checksum`] makes of them.
    count: usize,
    checksum: u32,
    /// The first numbers of its vector.
    numbers: Vec<f32>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("text/wordllama.json")).unwrap()
}

fn checksum(tokens: &[u32]) -> u32 {
    tokens.iter().fold(0_u32, |sum, token| {
        sum.wrapping_mul(31).wrapping_add(token + 1)
    })
}

#[test]
fn tokens_are_the_packages() {
    let Some(weights) = text_encoder() else {
        return;
    };
    let tokenizer = weights.with_file_name("l2_supercat_tokenizer_config.json");
    let tokenizer = Tokenizer::load(&tokenizer).unwrap();
    let Reference { cases, long } = reference();
    for (text, tokens, _) in &cases {
        assert_eq!(&tokenizer.encode(text), tokens, "{text:?}");
    }
    let tokens = tokenizer.encode(&long.repeated.repeat(long.times));
    assert_eq!(tokens.len(), long.count);
    assert_eq!(checksum(&tokens), long.checksum);
}

#[test]
fn vectors_are_the_packages() {
    let Some(weights) = text_encoder() else {
        return;
    };
    let encoder = TextEncoder::load(&weights).unwrap();
    assert_eq!(encoder.width(), 256);
    let Reference { cases, long } = reference();
    for (text, _, expected) in &cases {
        let vector = encoder.encode(text);
        let length: f32 = vector.iter().map(|value| value * value).sum();
        let mut numbers = vector[..expected.len() - 1].to_vec();
        numbers.push(length.sqrt());
        assert_near(text, &numbers, expected, 3e-6);
    }
    let vector = encoder.encode(&long.repeated.repeat(long.times));
    let count = long.numbers.len();
    assert_near("long", &vector[..count], &long.numbers, 3e-6);
}

#[test]
fn texts_that_mean_the_same_are_near_one_another() {
    let Some(weights) = text_encoder() else {
        return;
    };
    let encoder = TextEncoder::load(weights.parent().unwrap()).unwrap();
    let similarity = |left: &str, right: &str| {
        let (left, right) = (encoder.encode(left), encoder.encode(right));
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        product(&left, &right) / (product(&left, &left) * product(&right, &right)).sqrt()
    };
    let near = similarity("a dog on the beach", "a puppy at the sea");
    let far = similarity("a dog on the beach", "a table of interest rates");
    assert!(near > far + 0.1, "{near}, {far}");
}
