//! Fast versions of attention against the slow ones at every instruction set, and gradients against difference quotients.

use super::forward::exponentials;
use super::softmax_gradient::{differentiate, write_products};
use super::*;
use crate::dispatch::Isa;
use crate::testing::{assert_close, assert_gradient, in_pool, levels, values, weighted_sum};

fn shape([batch, heads, queries, keys, head_dim]: [usize; 5]) -> AttentionShape {
    AttentionShape {
        batch,
        heads,
        queries,
        keys,
        head_dim,
        causal: false,
        scale: 1.5 / (head_dim as f32).sqrt(),
        unmasked_prefix: 0,
    }
}

fn causal(sizes: [usize; 5], unmasked_prefix: usize) -> AttentionShape {
    AttentionShape {
        causal: true,
        unmasked_prefix,
        ..shape(sizes)
    }
}

fn shapes() -> Vec<AttentionShape> {
    vec![
        shape([1, 1, 1, 1, 1]),
        shape([1, 1, 153, 153, 33]),
        shape([2, 3, 5, 70, 5]),
        shape([1, 2, 70, 9, 3]),
        causal([2, 3, 17, 17, 8], 0),
        causal([1, 1, 130, 130, 16], 70),
        causal([1, 2, 1, 40, 5], 3),
        causal([2, 2, 66, 80, 4], 20),
        causal([1, 1, 5, 5, 4], 9),
        shape([0, 2, 3, 3, 4]),
    ]
}

struct Data {
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    grad_output: Vec<f32>,
}

impl Data {
    fn new(shape: &AttentionShape) -> Data {
        Data {
            query: values(1, shape.query_len()),
            key: values(2, shape.key_len()),
            value: values(3, shape.key_len()),
            grad_output: values(4, shape.query_len()),
        }
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            query: &self.query,
            key: &self.key,
            value: &self.value,
        }
    }
}

/// Output, logarithms and the gradients of queries, keys and values.
fn fast(shape: &AttentionShape, data: &Data) -> [Vec<f32>; 5] {
    let unset = |len| vec![f32::NAN; len];
    let mut output = unset(shape.query_len());
    let mut logsumexp = unset(shape.batch * shape.heads * shape.queries);
    forward(shape, data.inputs(), &mut output, &mut logsumexp);
    let saved = Saved {
        output: &output,
        logsumexp: &logsumexp,
    };
    let mut query = unset(shape.query_len());
    let (mut key, mut value) = (unset(shape.key_len()), unset(shape.key_len()));
    let gradients = Gradients {
        query: &mut query,
        key: &mut key,
        value: &mut value,
    };
    backward(shape, data.inputs(), saved, &data.grad_output, gradients);
    [output, logsumexp, query, key, value]
}

fn assert_matches_reference(shape: &AttentionShape) {
    let data = Data::new(shape);
    let results = fast(shape, &data);
    let outputs = reference::forward(shape, data.inputs());
    let gradients = reference::backward(shape, data.inputs(), &data.grad_output);
    let names = ["output", "logarithms", "query", "key", "value"];
    let truths = outputs.iter().chain(&gradients);
    for ((result, truth), name) in results.iter().zip(truths).zip(names) {
        assert_close(result, truth, 1e-5, &format!("{name} of {shape:?}"));
    }
}

#[test]
fn both_passes_match_the_reference() {
    // With many threads the gradients are shared by blocks of tokens instead of by heads.
    for threads in [1, 2, 7] {
        in_pool(threads, || {
            shapes().iter().for_each(assert_matches_reference)
        });
    }
}

#[test]
fn runs_are_identical() {
    for shape in shapes() {
        let data = Data::new(&shape);
        for threads in [2, 7] {
            let run = || in_pool(threads, || fast(&shape, &data));
            assert_eq!(run(), run());
        }
    }
}

#[test]
fn reference_gradients_match_difference_quotients() {
    let shape = causal([1, 2, 4, 5, 3], 3);
    let data = Data::new(&shape);
    let inputs = data.inputs();
    let loss = |inputs: Inputs<'_>| {
        weighted_sum(&reference::forward(&shape, inputs)[0], &data.grad_output)
    };
    let [query, key, value] = reference::backward(&shape, inputs, &data.grad_output);
    assert_gradient(&data.query, &query, |query| {
        loss(Inputs { query, ..inputs })
    });
    assert_gradient(&data.key, &key, |key| loss(Inputs { key, ..inputs }));
    assert_gradient(&data.value, &value, |value| {
        loss(Inputs { value, ..inputs })
    });
}

#[test]
fn large_scores_do_not_overflow() {
    let shape = AttentionShape {
        scale: 1e4,
        ..shape([1, 1, 2, 3, 1])
    };
    let inputs = Inputs {
        query: &[1.0, -1.0],
        key: &[1.0, 0.0, -1.0],
        value: &[5.0, 6.0, 7.0],
    };
    let (mut output, mut logsumexp) = ([0.0; 2], [0.0; 2]);
    forward(&shape, inputs, &mut output, &mut logsumexp);
    assert_eq!((output, logsumexp), ([5.0, 7.0], [1e4, 1e4]));
}

#[test]
fn levels_agree() {
    for queries in [1, 33] {
        let (scores, gradients) = (values(1, 20 * queries), values(2, 20 * queries));
        let run = |level| {
            let (mut scores, mut gradients) = (scores.clone(), gradients.clone());
            let (mut maxima, mut sums) = (vec![0.0; queries], vec![0.0; queries]);
            exponentials(level, &mut scores, &mut maxima, &mut sums);
            differentiate(level, &mut scores, &mut gradients, &maxima, &sums);
            let mut products = vec![0.0; 20];
            write_products(level, &scores, &gradients, &mut products);
            [scores, gradients, maxima, sums, products]
        };
        for level in levels() {
            assert_eq!(run(level), run(Isa::Portable));
        }
    }
}
