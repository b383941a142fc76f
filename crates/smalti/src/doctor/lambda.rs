//! Is λ in proportion? It scales the adversarial gradient to the length of the reconstruction's (paper, equation 7).

use super::adversary::{lower_cap, takes_part, while_longer};
use super::curve::{Point, at_first, lately, median, steps};
use super::finding::{Finding, Severity, number, percent};
use super::record::Record;

/// λ is 0.3 to 4 in healthy runs; the authors' cap is 1e4, and people whose runs broke saw it there.
const EXPLODED: f64 = 1e3;
const GROWN: f64 = 10.0;
const AUTHORS_CAP: f64 = 1e4;

/// λ as computed, before its cap; in older runs as applied, without the discriminator's weight.
fn lambdas(run: &Record) -> Vec<Point> {
    let logged = run.train("lambda");
    if !logged.is_empty() {
        return logged.to_vec();
    }
    let weight = run
        .number("discriminator_weight")
        .filter(|weight| *weight > 0.0);
    let lambda = |point: &Point| Point {
        value: point.value / weight.unwrap_or(1.0),
        ..*point
    };
    run.train("d_weight").iter().map(lambda).collect()
}

/// λ stands at its cap.
pub(super) fn lambda_capped(run: &Record) -> Option<Finding> {
    let lambdas = lambdas(run);
    let (points, capped) = (lately(&lambdas), lately(run.train("lambda_capped")));
    let lambda = median(points)?;
    let share = capped.iter().map(|point| point.value).sum::<f64>() / capped.len() as f64;
    let at_cap = match capped {
        [] => lambda >= 0.99 * AUTHORS_CAP,
        _ => share > 0.5,
    };
    if !at_cap || !takes_part(run) {
        return None;
    }
    let cap = run.number("lambda_max").unwrap_or(AUTHORS_CAP);
    let mut evidence = format!("λ {}, its cap {}", number(lambda), number(cap));
    if !capped.is_empty() {
        evidence += &format!(", reached in {} of the steps", percent(share));
    }
    evidence += &format!(" ({})", steps(points));
    Some(calm(
        run,
        Finding::new(
            Severity::Warn,
            "lambda-capped",
            "λ is held at its cap",
            evidence,
        ),
    ))
}

/// λ has grown out of all proportion, or grows steadily.
pub(super) fn lambda_exploding(run: &Record) -> Option<Finding> {
    let lambdas = lambdas(run);
    let (then, now) = (median(at_first(&lambdas))?, median(lately(&lambdas))?);
    let grows = now > GROWN * then && now > GROWN;
    let severity = match now > EXPLODED {
        true => Severity::Bad,
        false => Severity::Warn,
    };
    let explodes = now > EXPLODED || grows;
    if !explodes || !takes_part(run) || lambda_capped(run).is_some() {
        return None;
    }
    let evidence = format!(
        "λ from {} to {} ({})",
        number(then),
        number(now),
        steps(&lambdas)
    );
    Some(calm(
        run,
        Finding::new(severity, "lambda-exploding", "λ explodes", evidence),
    ))
}

/// What keeps λ small.
fn calm(run: &Record, finding: Finding) -> Finding {
    let wait = while_longer(run);
    finding
        .advise(format!(
            "λ grows where the discriminator's gradient vanishes; let noise not grow with it: --set lambda_max={}",
            lower_cap(run)
        ))
        .advise(format!(
            "in a new run, let it learn alone before it counts: --set discriminator_warmup={wait}"
        ))
}
