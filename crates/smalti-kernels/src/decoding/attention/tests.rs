//! Attention over a cache against the slow version, at every instruction set.

use super::*;
use crate::testing::{assert_close, in_pool, levels, values};

fn shape([batch, heads, head_dim, capacity]: [usize; 4]) -> CacheShape {
    CacheShape {
        batch,
        heads,
        head_dim,
        capacity,
    }
}

const SHAPES: [[usize; 4]; 4] = [[1, 1, 1, 1], [2, 3, 5, 40], [1, 2, 33, 70], [3, 1, 16, 16]];

/// The projections of tokens `range` of `total`, out of those of all.
fn part(shape: &CacheShape, all: &[f32], total: usize, range: std::ops::Range<usize>) -> Vec<f32> {
    let token = 3 * shape.width();
    let sequences = all.chunks_exact(total * token);
    let part = sequences.flat_map(|tokens| &tokens[range.start * token..range.end * token]);
    part.copied().collect()
}

/// Stores all tokens, in two parts, and attends from the second one.
fn decode(isa: Isa, mut cache: KeyValueCache, rule: CausalRule, all: &[f32]) -> Vec<f32> {
    let shape = cache.shape;
    let total = shape.tokens(all.len());
    cache.append(0, &part(&shape, all, total, 0..rule.position));
    let new = part(&shape, all, total, rule.position..total);
    cache.append(rule.position, &new);
    let mut output = vec![f32::NAN; new.len() / 3];
    cache.attend_at(isa, rule, &new, &mut output);
    output
}

fn rules(shape: &CacheShape) -> Vec<CausalRule> {
    let last = shape.capacity - 1;
    let places = [(0, 0), (last, 0), (last / 2, 3), (0, shape.capacity / 2)];
    let rule = |(position, unmasked_prefix)| CausalRule {
        position,
        unmasked_prefix,
        scale: 2.0 / (shape.head_dim as f32).sqrt(),
    };
    places.into_iter().map(rule).collect()
}

#[test]
fn the_reference_is_matched_at_every_level() {
    for shape in SHAPES.map(shape) {
        let all = values(1, 3 * shape.batch * shape.width() * shape.capacity);
        let rounded: Vec<f32> = all.iter().map(|&v| bf16::from_f32(v).to_f32()).collect();
        for rule in rules(&shape) {
            let truth = reference::attend(&shape, rule, &all);
            let compact_truth = reference::attend(&shape, rule, &rounded);
            for isa in levels() {
                let what = format!("{shape:?} {rule:?} {isa:?}");
                let output = decode(isa, KeyValueCache::new(shape), rule, &all);
                assert_close(&output, &truth, 1e-5, &what);
                let output = decode(isa, KeyValueCache::compact(shape), rule, &rounded);
                assert_close(&output, &compact_truth, 1e-5, &what);
            }
        }
    }
}

#[test]
fn levels_and_numbers_of_threads_agree() {
    let shape = shape([4, 4, 20, 300]);
    let all = values(1, 3 * shape.batch * shape.width() * shape.capacity);
    for rule in rules(&shape) {
        let run = |threads, isa| {
            in_pool(threads, || {
                decode(isa, KeyValueCache::new(shape), rule, &all)
            })
        };
        let truth = run(1, Isa::Portable);
        for isa in levels() {
            assert_eq!(run(2, isa), truth);
        }
    }
}

#[test]
fn tokens_attend_alone_as_they_do_together() {
    let shape = shape([2, 2, 7, 30]);
    let all = values(1, 3 * shape.batch * shape.width() * shape.capacity);
    let mut cache = KeyValueCache::compact(shape);
    let mut rule = rules(&shape)[0];
    let together = decode(Isa::best(), cache.clone(), rule, &all);
    for token in 0..shape.capacity {
        let new = part(&shape, &all, shape.capacity, token..token + 1);
        rule.position = token;
        cache.append(token, &new);
        let mut output = vec![f32::NAN; new.len() / 3];
        cache.attend(rule, &new, &mut output);
        for (sequence, output) in output.chunks_exact(shape.width()).enumerate() {
            let row = sequence * shape.capacity + token;
            assert_eq!(output, &together[row * shape.width()..][..shape.width()]);
        }
    }
}

#[test]
fn large_scores_do_not_overflow() {
    let shape = shape([1, 1, 1, 3]);
    let rule = CausalRule {
        position: 0,
        unmasked_prefix: 3,
        scale: 1e4,
    };
    // Query, key and value of three tokens.
    let all = [1.0, 1.0, 5.0, -1.0, 0.0, 6.0, 1.0, -1.0, 7.0];
    let output = decode(Isa::best(), KeyValueCache::new(shape), rule, &all);
    assert_eq!(output, [5.0, 7.0, 5.0]);
}

#[test]
#[should_panic(expected = "2 tokens after 2")]
fn a_full_cache_refuses() {
    let mut cache = KeyValueCache::new(shape([1, 1, 1, 3]));
    cache.append(2, &[0.0; 6]);
}
