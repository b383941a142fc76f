//! What a code may see, gradients against difference quotients, training, files and drawing.

mod drawing;
mod files;
mod learning;
mod sight;

use super::*;
use crate::checkpoint::{HostTensor, load_parameters, parameters};
use crate::prior::condition::{ClassCondition, CoordCondition};
use crate::prior::trainer::code_logits;
use crate::prior::{Architecture, Prior};

const VOCABULARY: usize = 11;
const ROWS: usize = 4;
const COLUMNS: usize = 3;
const CODES: usize = ROWS * COLUMNS;

fn unchecked(condition: Condition, shape: PixelSnailConfig) -> PriorConfig {
    PriorConfig {
        network: Architecture::PixelSnail(shape),
        layers: 2,
        heads: 2,
        width: 8,
        rows: ROWS,
        columns: COLUMNS,
        block_size: CODES - 1 + condition.length(),
        vocabulary_size: VOCABULARY,
        condition,
        ..PriorConfig::default()
    }
}

fn shape(kernel: usize) -> PixelSnailConfig {
    PixelSnailConfig {
        residual_blocks: 2,
        attention_width: 4,
        kernel,
    }
}

fn config(condition: Condition, kernel: usize) -> PriorConfig {
    let config = unchecked(condition, shape(kernel));
    config.check().unwrap();
    config
}

fn classes(classes: usize) -> Condition {
    Condition::Class(ClassCondition {
        classes,
        names: Vec::new(),
    })
}

fn coordinates(rows: usize, columns: usize) -> Condition {
    Condition::Coord(CoordCondition {
        levels: 10,
        factor: 4,
        rows,
        columns,
    })
}

fn conditions() -> [Condition; 3] {
    [Condition::default(), classes(3), coordinates(ROWS, COLUMNS)]
}

/// A prior in which every parameter matters.
fn prior(config: &PriorConfig, device: &Device) -> Prior {
    let fresh = Prior::new(&mut Initializer::zeros(device), config);
    let mut tensors = parameters(&fresh, "", str::to_string);
    let mut init = Initializer::seeded(&Device::flex(), 1);
    for tensor in tensors.values_mut() {
        let count: usize = tensor.shape.iter().product();
        let values = host_values(init.normal([count], 0.3).val());
        *tensor = HostTensor::f32(tensor.shape.clone(), values);
    }
    load_parameters(fresh, &tensors, "", str::to_string).unwrap()
}

/// The tokens of some condition and all codes of a picture.
fn sequence(config: &PriorConfig, number: usize) -> Vec<i64> {
    let tokens = (0..config.condition.tokens_before()).map(|place| (place * 7 + number) % 3);
    let codes = (0..CODES).map(|place| (place * place * 5 + place + 3 * number) % VOCABULARY);
    tokens.chain(codes).map(|token| token as i64).collect()
}

/// The logits of each code of a sequence.
fn logits(prior: &Prior, config: &PriorConfig, sequence: &[i64]) -> Vec<Vec<f32>> {
    let tokens = token_tensor(&[sequence.to_vec()], &Device::flex());
    let logits = code_logits(prior, config, tokens);
    assert_eq!(logits.dims(), [1, CODES, config.vocabulary_size]);
    let values = host_values(logits);
    let rows = values.chunks_exact(config.vocabulary_size);
    rows.map(<[f32]>::to_vec).collect()
}
