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

/// As many new tokens of every sequence, all at one position.
fn spans(shape: &CacheShape, position: usize, tokens: usize) -> Vec<Span> {
    let span = |sequence| Span {
        sequence,
        position,
        tokens,
        row: sequence * tokens,
    };
    let sequences = if tokens == 0 { 0 } else { shape.batch };
    (0..sequences).map(span).collect()
}

/// Stores all tokens, in two parts, and attends from the second one, which begins at `first`.
fn decode(
    isa: Isa,
    mut cache: KeyValueCache,
    (first, rule): (usize, CausalRule),
    all: &[f32],
) -> Vec<f32> {
    let shape = cache.shape;
    let total = shape.capacity;
    cache.append(
        &spans(&shape, 0, first),
        &part(&shape, all, total, 0..first),
    );
    let new = part(&shape, all, total, first..total);
    let spans = spans(&shape, first, total - first);
    cache.append(&spans, &new);
    let mut output = vec![f32::NAN; new.len() / 3];
    let query = Queries {
        isa,
        rule,
        spans: &spans,
        projections: &new,
    };
    cache.attend_from(&query, &mut output);
    output
}

/// Where the new tokens begin, and what they see.
fn rules(shape: &CacheShape) -> Vec<(usize, CausalRule)> {
    let last = shape.capacity - 1;
    let places = [(0, 0), (last, 0), (last / 2, 3), (0, shape.capacity / 2)];
    let rule = |(first, unmasked_prefix)| {
        let scale = 2.0 / (shape.head_dim as f32).sqrt();
        let rule = CausalRule {
            unmasked_prefix,
            scale,
        };
        (first, rule)
    };
    places.into_iter().map(rule).collect()
}

#[test]
fn the_reference_is_matched_at_every_level() {
    for shape in SHAPES.map(shape) {
        let all = values(1, 3 * shape.batch * shape.width() * shape.capacity);
        let rounded: Vec<f32> = all.iter().map(|&v| bf16::from_f32(v).to_f32()).collect();
        for rule in rules(&shape) {
            let (first, seen) = rule;
            let truth = reference::attend(&shape, seen, first, &all);
            let compact_truth = reference::attend(&shape, seen, first, &rounded);
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
    let rule = rules(&shape)[0];
    let together = decode(Isa::best(), cache.clone(), rule, &all);
    for token in 0..shape.capacity {
        let new = part(&shape, &all, shape.capacity, token..token + 1);
        let spans = spans(&shape, token, 1);
        cache.append(&spans, &new);
        let mut output = vec![f32::NAN; new.len() / 3];
        cache.attend(rule.1, &spans, &new, &mut output);
        for (sequence, output) in output.chunks_exact(shape.width()).enumerate() {
            let row = sequence * shape.capacity + token;
            assert_eq!(output, &together[row * shape.width()..][..shape.width()]);
        }
    }
}

#[test]
fn sequences_advance_at_their_own_pace() {
    let shape = shape([3, 2, 5, 21]);
    let total = shape.capacity;
    let all = values(1, 3 * shape.batch * shape.width() * total);
    let rule = CausalRule {
        unmasked_prefix: 4,
        scale: 0.7,
    };
    let truth = reference::attend(&shape, rule, 0, &all);
    let mut cache = KeyValueCache::new(shape);
    let mut read = [0; 3];
    // How many tokens each sequence reads; the prefix comes at once.
    for counts in [[4, 0, 9], [1, 20, 0], [0, 1, 5], [16, 0, 7]] {
        let (mut spans, mut new, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for (sequence, tokens) in counts.into_iter().enumerate() {
            if tokens == 0 {
                continue;
            }
            let first = sequence * total + read[sequence];
            spans.push(Span {
                sequence,
                position: read[sequence],
                tokens,
                row: new.len() / (3 * shape.width()),
            });
            let rows = |width: usize| first * width..(first + tokens) * width;
            new.extend_from_slice(&all[rows(3 * shape.width())]);
            expected.extend_from_slice(&truth[rows(shape.width())]);
            read[sequence] += tokens;
        }
        cache.append(&spans, &new);
        let mut output = vec![f32::NAN; new.len() / 3];
        cache.attend(rule, &spans, &new, &mut output);
        assert_close(&output, &expected, 1e-5, &format!("{counts:?}"));
    }
    assert_eq!(read, [21; 3]);
}

#[test]
fn large_scores_do_not_overflow() {
    let shape = shape([1, 1, 1, 3]);
    let rule = CausalRule {
        unmasked_prefix: 3,
        scale: 1e4,
    };
    // Query, key and value of three tokens.
    let all = [1.0, 1.0, 5.0, -1.0, 0.0, 6.0, 1.0, -1.0, 7.0];
    let output = decode(Isa::best(), KeyValueCache::new(shape), (0, rule), &all);
    assert_eq!(output, [5.0, 7.0, 5.0]);
}

#[test]
#[should_panic(expected = "2 tokens after 2")]
fn a_full_cache_refuses() {
    let shape = shape([1, 1, 1, 3]);
    let mut cache = KeyValueCache::new(shape);
    cache.append(&spans(&shape, 2, 2), &[0.0; 6]);
}

#[test]
#[should_panic(expected = "is out of place")]
fn sequences_come_in_order() {
    let shape = shape([2, 1, 1, 3]);
    let mut spans = spans(&shape, 0, 1);
    spans.swap(0, 1);
    KeyValueCache::new(shape).append(&spans, &[0.0; 6]);
}
