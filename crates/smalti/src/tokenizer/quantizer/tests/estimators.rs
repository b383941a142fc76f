//! Gradients through choices that have none, against the definitions of their estimators.

use super::*;
use crate::tokenizer::quantizer::gumbel::gumbel_noise;
use burn::module::Param;
use burn::tensor::activation::softmax;

/// A number of every latent, with different slopes, `[1]`.
fn weighted(latent: Tensor<4>) -> Tensor<1> {
    (latent * vectors(20).without_autodiff()).sum()
}

/// The gradient of `of` at `values`.
fn gradient(values: &Tensor<4>, of: impl Fn(Tensor<4>) -> Tensor<1>) -> Vec<f32> {
    let input = values.clone().detach().require_grad();
    let gradients = of(input.clone()).backward();
    host_values(input.grad(&gradients).unwrap())
}

fn slopes(values: &Tensor<4>, of: impl Fn(Tensor<4>) -> Tensor<1>) -> Vec<f32> {
    quotients(&host_values(values.clone()), |moved| {
        of(grid(&moved)).into_scalar()
    })
}

/// Gradients are those of the squeezed vectors before they are rounded.
#[test]
fn fsq_has_the_gradient_of_the_bound() {
    let quantizer = quantizer(&config(QuantizerKind::Fsq, false));
    let latent = |vectors, bypass| {
        let step = QuantizerStep {
            bypass,
            ..QuantizerStep::default()
        };
        weighted(quantizer.forward_training(vectors, &step).latent)
    };
    let values = vectors(13);
    let ours = gradient(&values, |vectors| latent(vectors, false));
    let truth = slopes(&values, |vectors| latent(vectors, true));
    assert_near("vectors", &ours, &truth);
}

#[test]
fn gumbel_has_the_gradient_of_the_soft_choice() {
    let Quantizer::Gumbel(gumbel) = quantizer(&config(QuantizerKind::Gumbel, false)) else {
        panic!("the kind is gumbel");
    };
    let step = QuantizerStep {
        temperature: 0.7,
        seed: 4,
        ..QuantizerStep::default()
    };
    let soft = |vectors: Tensor<4>| {
        let logits = gumbel.proj.forward(vectors).reshape([4, 5]);
        let noisy = logits + gumbel_noise([4, 5], step.seed, &device());
        let soft = softmax(noisy / step.temperature, 1);
        weighted(soft.matmul(gumbel.embed.weight.val()).reshape([1, 2, 2, 3]))
    };
    let values = vectors(13);
    let ours = gradient(&values, |vectors| {
        weighted(gumbel.forward(vectors, Some(&step)).latent)
    });
    assert_near("vectors", &ours, &slopes(&values, soft));

    let quantized = gumbel.forward(values, Some(&step));
    let codes = host_codes(quantized.codes);
    let gradients = weighted(quantized.latent).backward();
    let table = gumbel.embed.weight.val();
    let to_table = host_values(table.grad(&gradients).unwrap());
    let weights = host_values(vectors(20));
    let mut truth = vec![0.0f32; 15];
    for (code, weights) in codes.into_iter().zip(weights.chunks(3)) {
        for (sum, weight) in truth[3 * code as usize..].iter_mut().zip(weights) {
            *sum += weight;
        }
    }
    assert_near("table", &to_table, &truth);
}

#[test]
fn gumbel_draws_codes_by_their_probabilities() {
    let Quantizer::Gumbel(gumbel) = quantizer(&config(QuantizerKind::Gumbel, false)) else {
        panic!("the kind is gumbel");
    };
    let vector = vectors(14).slice([0..1, 0..1, 0..1, 0..3]);
    let logits = gumbel.proj.forward(vector.clone()).reshape([1, 5]);
    let probabilities = host_values(softmax(logits, 1));
    let many = vector.repeat(&[1, 40, 50, 1]);
    let quantized = gumbel.forward(many, Some(&QuantizerStep::default()));
    let mut shares = [0.0f32; 5];
    for code in host_codes(quantized.codes) {
        shares[code as usize] += 1.0 / 2000.0;
    }
    for (share, probability) in shares.iter().zip(probabilities) {
        assert!((share - probability).abs() < 0.05, "{share}, {probability}");
    }
}

#[test]
fn the_gumbel_loss_is_the_divergence_from_an_even_choice() {
    let config = TokenizerConfig {
        kl_weight: 1.0,
        ..config(QuantizerKind::Gumbel, false)
    };
    let quantizer = quantizer(&config);
    let values = vectors(13);
    let of = |vectors| {
        let step = QuantizerStep::default();
        quantizer.forward_training(vectors, &step).loss
    };
    assert_near("vectors", &gradient(&values, of), &slopes(&values, of));
    let in_training: f32 = of(values.clone()).into_scalar();
    let half = QuantizerStep {
        divergence: 0.5,
        ..QuantizerStep::default()
    };
    let half = quantizer.forward_training(values.clone(), &half).loss;
    assert!((half.into_scalar::<f32>() - 0.5 * in_training).abs() < 1e-6);
    let in_blocks: f32 = quantizer.forward(values.clone()).loss.into_scalar();
    assert!((in_training - in_blocks).abs() < 1e-6);
    assert!(in_training > 1e-3);
    let even = Quantizer::new(&mut Initializer::zeros(&device()), &config);
    let nothing: f32 = even.forward(values).loss.into_scalar();
    assert!(nothing.abs() < 1e-6);
}

/// Half of the loss lets its gradient through the choice, and the other halves stop it on one side each.
#[test]
fn ibq_moves_every_code() {
    let quantizer = quantizer(&config(QuantizerKind::Ibq, false));
    let Quantizer::Ibq(ibq) = &quantizer else {
        panic!("the kind is ibq");
    };
    let step = QuantizerStep::default();
    let values = vectors(13);
    let table = ibq.embedding.weight.val().without_autodiff();
    let chosen = quantizer.forward(values.clone()).latent.without_autodiff();
    let choice = |vectors: Tensor<4>, codes: Tensor<2>| {
        softmax(vectors.reshape([4, 3]).matmul(codes.transpose()), 1)
    };
    let soft = |vectors: Tensor<4>| {
        let latent = choice(vectors, table.clone()).matmul(table.clone());
        latent.reshape([1, 2, 2, 3])
    };
    let ours = gradient(&values, |vectors| {
        weighted(ibq.forward(vectors, Some(&step)).latent)
    });
    let truth = slopes(&values, |vectors| weighted(soft(vectors)));
    assert_near("vectors", &ours, &truth);

    let at_values = soft(values.clone()).without_autodiff();
    let ours = gradient(&values, |vectors| ibq.forward(vectors, Some(&step)).loss);
    let truth = slopes(&values, |vectors| {
        let latent = chosen.clone() + soft(vectors.clone()) - at_values.clone();
        let commitment = (chosen.clone() - vectors.clone()).square().mean();
        (latent - vectors).square().mean() + commitment * 0.25
    });
    assert_near("loss", &ours, &truth);

    let quantized = ibq.forward(values.clone(), Some(&step));
    let codes = quantized.codes.clone();
    let gradients = weighted(quantized.latent).backward();
    let learned = ibq.embedding.weight.val();
    let to_table = host_values(learned.grad(&gradients).unwrap());
    let truth = quotients(&host_values(learned), |moved| {
        let moved = Tensor::<1>::from_floats(moved.as_slice(), &device()).reshape([5, 3]);
        let rows = gather_rows(moved.clone(), codes.clone());
        let latent = choice(values.clone(), moved).matmul(table.clone());
        weighted(rows + latent.reshape([1, 2, 2, 3])).into_scalar()
    });
    assert_near("table", &to_table, &truth);
    let moves = |row: &[f32]| row.iter().any(|&slope| slope != 0.0);
    assert!(to_table.chunks(3).all(moves));
}

#[test]
fn simvq_moves_its_layer_and_not_its_codes() {
    let Quantizer::Simvq(simvq) = quantizer(&config(QuantizerKind::Simvq, false)) else {
        panic!("the kind is simvq");
    };
    let step = QuantizerStep::default();
    let gradients = simvq.forward(vectors(13), Some(&step)).loss.backward();
    assert!(simvq.embedding.weight.val().grad(&gradients).is_none());
    let weight = simvq.embedding_proj.weight.val();
    let ours = host_values(weight.grad(&gradients).unwrap());
    let truth = quotients(&host_values(weight), |moved| {
        let mut simvq = simvq.clone();
        let moved = Tensor::<1>::from_floats(moved.as_slice(), &device()).reshape([3, 3]);
        simvq.embedding_proj.weight = Param::from_tensor(moved);
        let loss = simvq.forward(vectors(13), Some(&step)).loss;
        // The codes' share of a squared distance that is weighed by 1 for them and by 0.25 for the vectors.
        loss.into_scalar::<f32>() / 1.25
    });
    assert_near("layer", &ours, &truth);
}
