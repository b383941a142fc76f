//! The decoder against the network it is made from.

use super::*;
use crate::checkpoint::{HostTensor, load_parameters, parameters};
use crate::initializer::Initializer;
use crate::prior::codes::token_tensor;
use burn::tensor::Device;
use std::slice::from_ref;

const BATCH: usize = 2;
const TOKENS: usize = 9;
const VOCABULARY: usize = 37;

fn config(unmasked_prefix: usize) -> PriorConfig {
    PriorConfig {
        layers: 2,
        heads: 2,
        width: 24,
        block_size: 12,
        vocabulary_size: VOCABULARY,
        unmasked_prefix,
        ..PriorConfig::default()
    }
}

/// A network in which every parameter matters: new ones have biases and positions of zero.
fn network(config: &PriorConfig) -> Gpt {
    let mut init = Initializer::seeded(&Device::flex(), 1);
    let gpt = Gpt::new(&mut init, config);
    let mut tensors = parameters(&gpt, "", str::to_string);
    for tensor in tensors.values_mut() {
        let count: usize = tensor.shape.iter().product();
        let values = host_values(init.normal([count], 0.3).val());
        *tensor = HostTensor::f32(tensor.shape.clone(), values);
    }
    load_parameters(gpt, &tensors, "", str::to_string).unwrap()
}

fn sequences() -> Vec<Vec<i64>> {
    let token = |sequence: usize, index: usize| (index * 7 + sequence * 11) % VOCABULARY;
    let row = |sequence| (0..TOKENS).map(move |index| token(sequence, index) as i64);
    (0..BATCH).map(|sequence| row(sequence).collect()).collect()
}

/// Tokens `from..to` of every sequence.
fn part(sequences: &[Vec<i64>], from: usize, to: usize) -> Vec<Vec<i64>> {
    sequences.iter().map(|row| row[from..to].to_vec()).collect()
}

/// The logits after every token from the third on: three read at once, then one by one.
fn decode(decoder: &Decoder, sequences: &[Vec<i64>]) -> Vec<Vec<f32>> {
    let mut state = decoder.start(sequences.len(), TOKENS);
    let mut logits = vec![decoder.feed(&mut state, &part(sequences, 0, 3)).to_vec()];
    for index in 3..TOKENS {
        let token = part(sequences, index, index + 1);
        logits.push(decoder.feed(&mut state, &token).to_vec());
    }
    assert_eq!(state.length(0), TOKENS);
    logits
}

#[track_caller]
fn assert_near(what: &str, ours: &[f32], truth: &[f32]) {
    assert_eq!(ours.len(), truth.len(), "{what}");
    let largest = truth
        .iter()
        .fold(1.0f32, |most, value| most.max(value.abs()));
    for (index, (ours, truth)) in ours.iter().zip(truth).enumerate() {
        assert!(
            (ours - truth).abs() <= 1e-5 * largest,
            "{what}[{index}]: {ours} instead of {truth}"
        );
    }
}

fn length(values: impl Iterator<Item = f32>) -> f32 {
    values.map(|value| value * value).sum::<f32>().sqrt()
}

#[test]
fn logits_are_those_of_the_network() {
    for unmasked_prefix in [0, 3] {
        let (config, device) = (config(unmasked_prefix), Device::flex());
        let (gpt, sequences) = (network(&config), sequences());
        let decoder = Decoder::new(gpt.clone(), &config, WeightFormat::F32);
        let mut cache = gpt.cache(BATCH, TOKENS);
        let mut read = 0;
        for (ours, count) in decode(&decoder, &sequences).iter().zip(3..) {
            let whole = gpt.forward(token_tensor(&part(&sequences, 0, count), &device));
            let last = whole.slice([0..BATCH, count - 1..count, 0..VOCABULARY]);
            assert_near("logits", ours, &host_values(last));
            let new = token_tensor(&part(&sequences, read, count), &device);
            let cached = gpt.forward_cached(new, &mut cache);
            assert_near("logits with a cache", ours, &host_values(cached));
            read = count;
        }
    }
}

#[test]
fn compact_weights_change_logits_little() {
    let config = config(0);
    let (gpt, sequences) = (network(&config), sequences());
    let logits = |format| decode(&Decoder::new(gpt.clone(), &config, format), &sequences).concat();
    let truth = logits(WeightFormat::F32);
    // Relative to their length; two to three times what a simulation of such networks gives.
    let bounds = [
        (WeightFormat::Bf16, 0.006),
        (WeightFormat::Int8, 0.02),
        (WeightFormat::Int4, 0.3),
    ];
    for (format, bound) in bounds {
        let rounded = logits(format).into_iter();
        let differences = rounded.zip(&truth).map(|(ours, truth)| ours - truth);
        let error = length(differences) / length(truth.iter().copied());
        assert!(error > 0.0 && error < bound, "{format}: {error}");
    }
}

#[test]
fn a_sequence_decodes_alone_and_at_once_as_in_company_and_one_by_one() {
    let config = config(0);
    let (gpt, sequences) = (network(&config), sequences());
    for format in WeightFormat::ALL {
        let decoder = Decoder::new(gpt.clone(), &config, format);
        let together = decode(&decoder, &sequences);
        for (index, sequence) in sequences.iter().enumerate() {
            let mut state = decoder.start(1, TOKENS);
            let alone = decoder.feed(&mut state, std::slice::from_ref(sequence));
            let row = &together[TOKENS - 3][index * VOCABULARY..][..VOCABULARY];
            assert_eq!(alone, row, "{format}");
        }
    }
}

#[test]
fn forgotten_tokens_leave_no_trace() {
    let config = config(0);
    let (gpt, sequences) = (network(&config), sequences());
    let decoder = Decoder::new(gpt.clone(), &config, WeightFormat::Int8);
    let mut state = decoder.start(BATCH, TOKENS);
    let truth = decoder.feed(&mut state, &part(&sequences, 0, 7)).to_vec();
    let forget = |state: &mut DecoderState| (0..BATCH).for_each(|row| state.truncate(row, 2));
    forget(&mut state);
    decoder.feed(&mut state, &part(&sequences, 4, TOKENS));
    forget(&mut state);
    assert_eq!(decoder.feed(&mut state, &part(&sequences, 2, 7)), truth);
    assert_eq!(state.length(BATCH - 1), 7);
}

#[test]
fn sequences_advance_at_their_own_pace() {
    let config = config(3);
    let (gpt, sequences) = (network(&config), sequences());
    for format in WeightFormat::ALL {
        let decoder = Decoder::new(gpt.clone(), &config, format);
        let truth = decode(&decoder, &sequences);
        let mut state = decoder.start(BATCH, TOKENS);
        let input = |sequence: usize, from: usize, to: usize| Input {
            sequence,
            vectors: &[],
            tokens: &sequences[sequence][from..to],
        };
        // `truth[i]` is what stands after the first i + 3 tokens.
        let expected =
            |after: usize, row: usize| &truth[after - 3][row * VOCABULARY..][..VOCABULARY];
        let logits = decoder.feed_some(&mut state, &[input(0, 0, 3), input(1, 0, 5)]);
        assert_eq!(&logits[..VOCABULARY], expected(3, 0), "{format}");
        assert_eq!(&logits[VOCABULARY..], expected(5, 1), "{format}");
        let logits = decoder.feed_some(&mut state, &[input(1, 5, 6)]);
        assert_eq!(logits, expected(6, 1), "{format}");
        let logits = decoder.feed_some(&mut state, &[input(0, 3, 9), input(1, 6, 7)]);
        assert_eq!(&logits[..VOCABULARY], expected(9, 0), "{format}");
        assert_eq!(&logits[VOCABULARY..], expected(7, 1), "{format}");
        assert_eq!([state.length(0), state.length(1)], [9, 7]);
    }
}

#[test]
fn vectors_stand_in_the_place_of_embeddings() {
    let config = config(3);
    let (gpt, sequences) = (network(&config), sequences());
    let decoder = Decoder::new(gpt.clone(), &config, WeightFormat::F32);
    let embeddings = host_values(gpt.tok_emb.weight.val());
    let embedded = |tokens: &[i64]| -> Vec<f32> {
        let row = |&token: &i64| &embeddings[token as usize * config.width..][..config.width];
        tokens.iter().flat_map(row).copied().collect()
    };
    let mut state = decoder.start(1, TOKENS);
    let truth = decoder.feed(&mut state, &sequences[..1]).to_vec();
    for count in [2, TOKENS] {
        let mut state = decoder.start(1, TOKENS);
        let input = Input {
            sequence: 0,
            vectors: &embedded(&sequences[0][..count]),
            tokens: &sequences[0][count..],
        };
        assert_eq!(decoder.feed_some(&mut state, &[input]), truth, "{count}");
    }
}

#[test]
#[should_panic(expected = "1 tokens after 9, but room for 9")]
fn a_full_state_refuses() {
    let config = config(0);
    let decoder = Decoder::new(network(&config), &config, WeightFormat::F32);
    let mut state = decoder.start(BATCH, TOKENS);
    let sequences = sequences();
    decoder.feed(&mut state, &sequences);
    decoder.feed(&mut state, &part(&sequences, 0, 1));
}

#[test]
fn nats_are_those_of_the_network() {
    let config = config(0);
    let gpt = network(&config);
    let codes = sequences().remove(0);
    let condition = config.condition.tokens(None).unwrap();
    let decoder = Decoder::new(gpt.clone(), &config, WeightFormat::F32);
    let ours = decoder.nats_per_code(from_ref(&condition), from_ref(&codes))[0];
    let rows = [[condition, codes].concat()];
    let device = burn::tensor::Device::flex();
    let losses = crate::prior::trainer::next_code_loss(&gpt.into(), &config, &rows, &rows, &device);
    let truth: f32 = losses.mean().into_scalar();
    assert!(
        (ours - f64::from(truth)).abs() < 1e-5,
        "{ours} instead of {truth}"
    );
}
