//! Known answers: which codes vectors get, and what codes look up.

use super::*;
use burn::module::Param;

/// Codes in a single row.
fn row_of_codes(codes: &[i64]) -> Tensor<3, Int> {
    let shape = [1, 1, codes.len()];
    Tensor::<1, Int>::from_data(codes, &device()).reshape(shape)
}

/// Vectors in a single row.
fn row_of_vectors(values: &[f32], dimension: usize) -> Tensor<4> {
    let shape = [1, 1, values.len() / dimension, dimension];
    Tensor::<1>::from_floats(values, &device()).reshape(shape)
}

/// What the code of the paper's appendix gives.
#[test]
fn fsq_rounds_as_the_paper_does() {
    let quantizer = quantizer(&config(QuantizerKind::Fsq, false));
    let vectors = [
        0.3, -1.2, 0.7, -2.0, 0.1, 3.0, 0.0, 0.0, 0.0, 0.9, 0.6, -0.4,
    ];
    let quantized = quantizer.forward(row_of_vectors(&vectors, 3));
    assert_eq!(host_codes(quantized.codes), [38, 52, 30, 23]);
    assert_eq!(
        host_values(quantized.latent),
        [
            0.0, -1.0, 0.5, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.5, 1.0, -0.5
        ]
    );
}

#[test]
fn fsq_codes_spell_their_latents() {
    let quantizer = quantizer(&config(QuantizerKind::Fsq, false));
    let codes: Vec<i64> = (0..60).collect();
    let (mut latents, mut vectors) = (Vec::new(), Vec::new());
    for code in &codes {
        for (levels, digit) in [(4i64, code % 4), (3, code / 4 % 3), (5, code / 12)] {
            let half_width = levels / 2;
            latents.push((digit - half_width) as f32 / half_width as f32);
            // The vector that is squeezed to this level, or nearly so at the ends.
            let half_range = (levels - 1) as f64 * 0.999 / 2.0;
            let offset = if levels % 2 == 0 { 0.5 } else { 0.0 };
            let squeezed = ((digit - half_width) as f64 + offset) / half_range;
            let vector = squeezed.clamp(-0.999, 0.999).atanh() - (offset / half_range).tan();
            vectors.push(vector as f32);
        }
    }
    assert_eq!(host_values(quantizer.lookup(row_of_codes(&codes))), latents);
    let quantized = quantizer.forward(row_of_vectors(&vectors, 3));
    assert_eq!(host_codes(quantized.codes), codes);
    assert_eq!(host_values(quantized.latent), latents);
}

#[test]
fn lfq_codes_spell_their_signs() {
    let codes: Vec<i64> = (0..8).collect();
    for lfq_high_bit_first in [false, true] {
        let config = TokenizerConfig {
            lfq_high_bit_first,
            ..config(QuantizerKind::Lfq, false)
        };
        let quantizer = quantizer(&config);
        let bits = if lfq_high_bit_first {
            [2, 1, 0]
        } else {
            [0, 1, 2]
        };
        let sign = |code: i64, bit: i64| if (code >> bit) & 1 == 1 { 1.0 } else { -1.0 };
        let latents: Vec<f32> = codes
            .iter()
            .flat_map(|&code| bits.map(|bit| sign(code, bit)))
            .collect();
        assert_eq!(host_values(quantizer.lookup(row_of_codes(&codes))), latents);
        let vectors = row_of_vectors(&latents, 3) * 0.3;
        assert_eq!(host_codes(quantizer.forward(vectors).codes), codes);
        let zeros = row_of_vectors(&[0.0; 3], 3);
        assert_eq!(host_codes(quantizer.forward(zeros).codes), [0]);
    }
}

/// Tens, then ones: 11.2 is 10 + 1, 0.9 is 0 + 1.
#[test]
fn every_level_quantises_what_is_left_over() {
    let config = TokenizerConfig {
        embed_dim: 1,
        codebook_size: 2,
        codes_per_position: 2,
        ..config(QuantizerKind::Residual, false)
    };
    let mut quantizer = quantizer(&config);
    let Quantizer::Residual(residual) = &mut quantizer else {
        panic!("the kind is residual");
    };
    for (layer, row) in residual.layers.iter_mut().zip([10.0f32, 1.0]) {
        let rows = Tensor::<2>::from_floats([[0.0], [row]], &device());
        layer.embedding.weight = Param::from_tensor(rows).set_require_grad(false);
    }
    let vectors = row_of_vectors(&[11.2, 0.9], 1);
    let quantized = quantizer.forward_training(vectors, &QuantizerStep::default());
    assert_eq!(quantized.codes.dims(), [1, 1, 4]);
    assert_eq!(host_codes(quantized.codes.clone()), [1, 1, 0, 1]);
    assert_near("latent", &host_values(quantized.latent), &[11.0, 1.0]);
    let looked_up = host_values(quantizer.lookup(quantized.codes));
    assert_eq!(looked_up, [11.0, 1.0]);
    // Squared errors after the tens are 1.44 and 0.81, after the ones 0.04 and 0.01.
    let loss = 0.25 * (1.125 + 0.025) / 2.0;
    assert_near("loss", &host_values(quantized.loss), &[loss]);
    let searched: Vec<Vec<f32>> = quantized
        .searches
        .into_iter()
        .map(|search| host_values(search.vectors))
        .collect();
    assert_near("first search", &searched[0], &[11.2, 0.9]);
    assert_near("second search", &searched[1], &[1.2, 0.9]);
    let paths: Vec<String> = quantizer
        .codebooks()
        .into_iter()
        .map(|codebook| codebook.path)
        .collect();
    assert_eq!(
        paths,
        ["layers.0.embedding.weight", "layers.1.embedding.weight"]
    );
}

/// So many codes that only eight vectors are compared at once.
#[test]
fn ibq_takes_the_largest_product_in_every_block() {
    let config = TokenizerConfig {
        embed_dim: 2,
        codebook_size: 1 << 19,
        ..config(QuantizerKind::Ibq, false)
    };
    let quantizer = quantizer(&config);
    let Quantizer::Ibq(ibq) = &quantizer else {
        panic!("the kind is ibq");
    };
    let table = host_values(ibq.embedding.weight.val());
    let vectors = host_values(Initializer::seeded(&device(), 7).normal([20, 2], 1.0).val());
    let codes = host_codes(quantizer.forward(row_of_vectors(&vectors, 2)).codes);
    assert_eq!(codes.len(), 20);
    for (vector, code) in vectors.chunks(2).zip(codes) {
        let product = |row: &[f32]| row[0] * vector[0] + row[1] * vector[1];
        let largest = table.chunks(2).map(product).fold(f32::MIN, f32::max);
        let chosen = product(&table[2 * code as usize..][..2]);
        assert!(largest - chosen < 1e-5, "{chosen} instead of {largest}");
    }
}
