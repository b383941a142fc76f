//! Products in every format against the slow version, at every instruction set.

use super::*;
use crate::dispatch::Isa;
use crate::testing::{assert_close, in_pool, levels, values};

const OUTPUTS: [usize; 5] = [1, 3, 31, 33, 100];
const INPUTS: [usize; 6] = [1, 2, 63, 65, 130, 257];

/// Matrices of all odd sizes in all formats.
fn matrices() -> impl Iterator<Item = PackedWeights> {
    let sizes = OUTPUTS.into_iter().flat_map(|o| INPUTS.map(|i| (o, i)));
    sizes.flat_map(|(outputs, inputs)| {
        let weight = values(1, outputs * inputs);
        let pack = |format| PackedWeights::pack(&weight, outputs, inputs, format);
        WeightFormat::ALL.map(pack)
    })
}

fn product(isa: Isa, weights: &PackedWeights, input: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let rows = input.len() / weights.inputs();
    let mut output = vec![f32::NAN; rows * weights.outputs()];
    weights.multiply_at(isa, input, rows, bias, &mut output);
    output
}

#[test]
fn every_format_matches_the_reference_at_every_level() {
    for weights in matrices() {
        let (outputs, inputs) = (weights.outputs(), weights.inputs());
        let (dequantized, bias) = (weights.dequantized(), values(3, outputs));
        for rows in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 17] {
            let input = values(2, rows * inputs);
            for bias in [None, Some(&bias[..])] {
                let truth = reference::multiply(&dequantized, inputs, &input, bias);
                for isa in levels() {
                    let format = weights.format();
                    let what = format!("{rows}x{inputs} to {outputs}, {format} at {isa:?}");
                    let output = product(isa, &weights, &input, bias);
                    assert_close(&output, &truth, 1e-5, &what);
                }
            }
        }
    }
}

#[test]
fn rounding_is_bounded() {
    let (outputs, inputs) = (40, 200);
    // Each few outputs have weights of another magnitude.
    let magnitude = |index: usize| 10f32.powi((index / inputs / 4) as i32 - 5);
    let drawn = values(1, outputs * inputs).into_iter().enumerate();
    let weight: Vec<f32> = drawn.map(|(i, value)| value * magnitude(i)).collect();
    // Relative to the largest weight of a block, at most and on average: half a step, and where
    // there is no number 8 a whole one. The scale is rounded as well.
    let bounds = [
        [0.0, 0.0],
        [1.0 / 256.0, 0.3 / 256.0],
        [0.503 / 127.0, 0.3 / 127.0],
        [1.03 / 8.0, 0.35 / 8.0],
    ];
    for (format, [most, average]) in WeightFormat::ALL.into_iter().zip(bounds) {
        let packed = PackedWeights::pack(&weight, outputs, inputs, format);
        let dequantized = packed.dequantized();
        let mut squares = 0.0;
        let rows = weight.chunks(inputs).zip(dequantized.chunks(inputs));
        // No block of any format reaches into two of these.
        let blocks = rows.flat_map(|(row, rounded)| row.chunks(64).zip(rounded.chunks(64)));
        for (block, rounded) in blocks {
            let largest = block
                .iter()
                .fold(0f32, |most, weight| most.max(weight.abs()));
            for (weight, rounded) in block.iter().zip(rounded) {
                let error = (weight - rounded).abs() / largest;
                assert!(error <= most, "{format}: {rounded} instead of {weight}");
                squares += error * error;
            }
        }
        let error = (squares / weight.len() as f32).sqrt();
        assert!(error <= average, "{format}: off by {error} on average");
    }
}

#[test]
fn compact_formats_are_small() {
    let weight = values(1, 64 * 256);
    let bits = |format| {
        let packed = PackedWeights::pack(&weight, 64, 256, format);
        packed.bytes() as f64 * 8.0 / weight.len() as f64
    };
    assert_eq!(WeightFormat::ALL.map(bits), [32.0, 16.0, 8.25, 4.5]);
}

#[test]
fn a_matrix_of_zeros_stays_one() {
    for format in WeightFormat::ALL {
        let packed = PackedWeights::pack(&[0.0; 33 * 70], 33, 70, format);
        assert_eq!(packed.dequantized(), [0.0; 33 * 70]);
        let mut output = [f32::NAN; 33];
        packed.multiply(&[1.0; 70], 1, None, &mut output);
        assert_eq!(output, [0.0; 33]);
    }
}

#[test]
fn results_depend_neither_on_threads_nor_on_other_rows() {
    let (outputs, inputs, rows) = (500, 600, 13);
    let (weight, input) = (values(1, outputs * inputs), values(2, rows * inputs));
    for format in WeightFormat::ALL {
        let packed = PackedWeights::pack(&weight, outputs, inputs, format);
        for isa in levels() {
            let run = |threads| in_pool(threads, || product(isa, &packed, &input, None));
            let together = run(1);
            assert_eq!(together, run(2), "{format} at {isa:?}");
            let alone = input.chunks(inputs);
            let alone: Vec<f32> = alone
                .flat_map(|row| product(isa, &packed, row, None))
                .collect();
            assert_eq!(together, alone, "{format} at {isa:?}");
        }
    }
}

#[test]
#[should_panic(expected = "inputs")]
fn vectors_of_another_length_are_refused() {
    let packed = PackedWeights::pack(&[1.0; 6], 2, 3, WeightFormat::F32);
    packed.multiply(&[1.0; 4], 1, None, &mut [0.0; 2]);
}
