//! The runs of every rule, in the groups that the rules lie in.

use super::Case;
use crate::doctor::Severity;
use crate::doctor::made::{Made, by_turns, every, falling};

fn codebook_cases() -> Vec<Case> {
    use Severity::{Bad, Warn};
    let run = Made::tokenizer;
    let usage = |share: f64| run().train("usage_65536", move |_| share);
    vec![
        Case(
            "dead-codebook",
            Bad,
            usage(0.06).train("perplexity_65536", |_| 40.0),
            usage(0.55),
        ),
        Case("dead-codebook", Warn, usage(0.4), usage(0.55)),
        Case(
            "falling-usage",
            Warn,
            run().train("usage_65536", |part| 0.98 - 0.4 * part),
            run().train("usage_65536", |part| 0.98 - 0.2 * part),
        ),
        Case(
            "uneven-codebook",
            Warn,
            run().train("perplexity_65536", |_| 100.0),
            run().train("perplexity_65536", |_| 300.0),
        ),
        Case(
            "restless-codebook",
            Warn,
            run().train("restarted", |_| 20.0),
            run().train("restarted", |part| 200.0 * falling(part)),
        ),
        Case(
            "commitment",
            Warn,
            run().train("quant_loss", |part| 0.03 * (1.0 + 4.0 * part)),
            run().train("quant_loss", |part| 0.03 * (1.0 + 0.5 * part)),
        ),
        Case(
            "commitment",
            Bad,
            run().train("quant_loss", |part| 0.001 * (10.0 * part).exp()),
            run().train("quant_loss", |part| 0.03 - 0.02 * falling(part)),
        ),
    ]
}

fn adversary_cases() -> Vec<Case> {
    use Severity::{Bad, Info, Warn};
    let run = Made::adversarial;
    let logits = |real: f64, fake: f64| {
        run()
            .late("logits_real", move |_| real)
            .late("logits_fake", move |_| fake)
    };
    let blind = || logits(0.01, 0.005).late("disc_loss", |_| 0.997);
    let strong = || {
        logits(2.0, -2.0)
            .late("disc_loss", |_| 0.02)
            .late("g_loss", |part| 2.0 * part)
    };
    // LPIPS after the discriminator has joined, as a multiple of what it would have been.
    let lpips = |run: Made, factor: f64| {
        run.validation("p_loss", move |part| {
            let without = 0.105 + 0.4 * falling(part);
            if part > 0.501 {
                factor * without
            } else {
                without
            }
        })
    };
    vec![
        Case(
            "blind-discriminator",
            Warn,
            blind(),
            logits(0.1, -0.1).late("disc_loss", |_| 0.9),
        ),
        Case(
            "blind-discriminator",
            Warn,
            blind()
                .set("adversarial_loss", "vanilla")
                .late("disc_loss", |_| 0.693),
            blind().late("disc_accuracy", |_| 0.7),
        ),
        Case(
            "strong-discriminator",
            Warn,
            strong(),
            strong().late("disc_loss", |_| 0.3),
        ),
        Case(
            "strong-discriminator",
            Bad,
            lpips(strong(), 1.2),
            lpips(run(), 1.2),
        ),
        Case(
            "seeing-discriminator",
            Info,
            strong().late("disc_accuracy", |_| 1.0).until(600),
            strong().late("disc_accuracy", |_| 0.9).until(600),
        ),
        // When it has grown up, it is judged.
        Case(
            "seeing-discriminator",
            Info,
            strong().late("disc_accuracy", |_| 1.0).until(600),
            strong().late("disc_accuracy", |_| 1.0),
        ),
        Case(
            "hurt-by-discriminator",
            Bad,
            lpips(run(), 1.6),
            lpips(run(), 1.05),
        ),
        Case(
            "hurt-by-discriminator",
            Warn,
            lpips(run(), 1.2),
            lpips(Made::tokenizer(), 1.2),
        ),
        Case(
            "hurt-by-discriminator",
            Warn,
            run().without_validation().late("nll_loss", |_| 0.28),
            run().without_validation().late("nll_loss", |_| 0.24),
        ),
        Case(
            "absent-discriminator",
            Warn,
            Made::tokenizer().set("discriminator_start", 30_001),
            Made::tokenizer().set("discriminator_start", 900),
        ),
    ]
}

fn lambda_cases() -> Vec<Case> {
    use Severity::{Bad, Warn};
    let run = Made::adversarial;
    vec![
        Case(
            "lambda-capped",
            Warn,
            run().late("lambda", |_| 1e5).late("lambda_capped", |_| 1.0),
            run()
                .late("lambda", |_| 2.0)
                .late("lambda_capped", |part| f64::from(every(3, part))),
        ),
        Case(
            "lambda-capped",
            Warn,
            run().late("d_weight", |_| 8000.0),
            run().late("d_weight", |_| 80.0),
        ),
        Case(
            "lambda-exploding",
            Bad,
            run().late("lambda", |part| 5000.0 * part),
            run().late("lambda", |part| 5.0 * part),
        ),
        Case(
            "lambda-exploding",
            Warn,
            run().late("lambda", |part| 1e4 * (part - 0.5).powi(4) + 0.1),
            run().late("lambda", |_| 500.0),
        ),
    ]
}

fn learning_cases() -> Vec<Case> {
    use Severity::{Bad, Info, Warn};
    let run = Made::tokenizer;
    let loss = |value: fn(f64) -> f64| run().train("nll_loss", value);
    let prior = |value: fn(f64) -> f64| Made::prior().train("nats_per_code", value);
    let gradient = |spike: f64| {
        run().train(
            "grad_norm",
            move |part| {
                if every(20, part) { spike } else { 1.0 }
            },
        )
    };
    let improving = || {
        run()
            .validation("pixel_loss", |part| 0.5 * (-1.2 * part).exp())
            .validation("p_loss", |part| 0.5 * (-1.2 * part).exp())
    };
    let flat = |run: Made| {
        run.train("learning_rate", |_| 4e-4)
            .set("final_learning_rate", 1.0)
    };
    vec![
        Case(
            "learning-rate-too-high",
            Bad,
            loss(|part| 0.3 + 0.5 * part),
            loss(|part| (0.2 + 0.8 * falling(part)) * (1.0 + 0.1 * by_turns(part))),
        ),
        Case(
            "learning-rate-too-high",
            Warn,
            loss(|part| 0.4 * (1.0 + 0.4 * by_turns(part))),
            // The discriminator's doing, not the learning rate's.
            Made::adversarial().late("nll_loss", |part| 0.3 + 0.5 * part),
        ),
        Case(
            "learning-rate-too-high",
            Bad,
            prior(|part| 4.5 + part),
            prior(|part| 4.2 + 0.2 * part),
        ),
        Case(
            "learning-rate-too-high",
            Warn,
            gradient(50.0),
            gradient(5.0),
        ),
        Case(
            "learning-rate-too-high",
            Bad,
            run().train("skipped_steps", |part| 50.0 * part),
            run().train("skipped_steps", |_| 3.0),
        ),
        Case(
            "learning-rate-too-low",
            Warn,
            flat(loss(|part| (-part).exp())),
            flat(run()),
        ),
        Case("not-converged", Warn, improving(), run()),
        Case(
            "not-converged",
            Warn,
            improving().set("minutes", 5.0).set("steps", 100_000),
            improving().set("steps", 100_000),
        ),
        Case(
            "not-converged",
            Warn,
            Made::prior().validation("nats_per_code", |part| 6.5 - 2.0 * part),
            Made::prior(),
        ),
        Case(
            "not-converged",
            Warn,
            loss(|part| (-2.0 * part).exp()).without_validation(),
            run().without_validation(),
        ),
        Case(
            "plateau",
            Info,
            run()
                .validation("pixel_loss", |part| 0.1 + 0.4 * falling(5.0 * part))
                .validation("p_loss", |part| 0.1 + 0.4 * falling(5.0 * part)),
            run(),
        ),
    ]
}

fn fitting_cases() -> Vec<Case> {
    use Severity::{Bad, Info, Warn};
    let run = Made::tokenizer;
    // Both parts of the validation loss turn half-way.
    let turning = |slope: f64| {
        let curve = move |part: f64| 0.105 + 0.4 * falling(part) + slope * (part - 0.5).max(0.0);
        run()
            .validation("pixel_loss", curve)
            .validation("p_loss", curve)
    };
    let apart = |gap: f64| {
        let curve = move |part: f64| 0.1 + 0.4 * falling(part) + gap;
        run()
            .validation("pixel_loss", curve)
            .validation("p_loss", curve)
    };
    let prior = |slope: f64| {
        Made::prior().validation("nats_per_code", move |part| {
            4.0 + 2.9 * falling(part) + slope * (part - 0.5).max(0.0)
        })
    };
    vec![
        Case("over-fitting", Bad, turning(0.2), turning(0.01)),
        Case("over-fitting", Warn, turning(0.04), turning(0.01)),
        // Training gets worse as well: not over-fitting.
        Case(
            "over-fitting",
            Bad,
            turning(0.2),
            turning(0.2).train("nll_loss", |part| 0.2 + part),
        ),
        Case("over-fitting", Bad, prior(1.0), prior(0.05)),
        Case("over-fitting", Warn, prior(0.3), prior(0.05)),
        Case("by-heart", Warn, apart(0.08), apart(0.02)),
        Case(
            "small-data",
            Warn,
            run().pictures(Some(20.0)),
            run().pictures(Some(40.0)),
        ),
        Case(
            "small-data",
            Warn,
            Made::prior().pictures(Some(40.0)),
            Made::prior().pictures(Some(60.0)),
        ),
        Case(
            "unmeasured",
            Info,
            run().without_validation().set("validation", 0.0),
            run().set("validate_every", 0),
        ),
        Case(
            "not-finite",
            Bad,
            run().train(
                "grad_norm",
                |part| {
                    if every(50, part) { f64::NAN } else { 1.0 }
                },
            ),
            run().train("grad_norm", |_| 1.0),
        ),
        Case(
            "not-finite",
            Warn,
            run().train("skipped_steps", |_| 3.0),
            run().train("skipped_steps", |_| 0.0),
        ),
    ]
}

fn prior_cases() -> Vec<Case> {
    use Severity::{Bad, Warn};
    let nats = |value: f64| {
        Made::prior()
            .train("nats_per_code", move |_| value)
            .validation("nats_per_code", move |_| value)
    };
    vec![
        Case("not-learning", Bad, nats(6.49), nats(6.2)),
        Case("not-learning", Bad, nats(7.2), nats(7.2).until(150)),
        Case(
            "few-codes",
            Warn,
            nats(2.5).train("unigram_entropy", |_| 3.0),
            nats(2.5).train("unigram_entropy", |_| 5.5),
        ),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    [
        codebook_cases(),
        adversary_cases(),
        lambda_cases(),
        learning_cases(),
        fitting_cases(),
        prior_cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
