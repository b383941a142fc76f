//! Does a run learn its pictures or pictures? Rules about the gap between the splits and the size of the data, for both
//! stages.

use super::curve::{Point, before, lately, lowest, median, newest, since};
use super::finding::{Finding, Severity, number, percent, rounded};
use super::record::{Kind, Record};

/// A validation loss this much above its best has turned. Measurements of stage 1 scatter by 1 to 3 %, since the
/// discriminator keeps moving; those of stage 2 by less than 0.1 %.
const TURNED: [f64; 2] = [0.05, 0.01];
const LOST: [f64; 2] = [0.15, 0.05];
/// The gap between the splits, as a share of the validation loss: 9 % in the emoji tokenizer, 17 % in the emoji prior,
/// which had just begun to learn by heart (docs/emoji.md).
const GAP: f64 = 0.25;
/// The most passes through the data of a recipe that was published: IBQ's tokenizers, 330; LlamaGen's priors, 300.
const PASSES: f64 = 330.0;

/// The validation split gets worse while the training gets better.
pub(super) fn overfitting(run: &Record) -> Option<Finding> {
    let measured = run.validation_loss();
    let points = since(&measured, run.settled());
    let best = lowest(points)?;
    // The better of the last two: one bad measurement is no turn.
    let last = lowest(newest(points, 2))?;
    let rise = last.value / best.value - 1.0;
    let turned = points.len() >= 4 && rise > run.by_stage(TURNED);
    let then = median(lately(before(
        run.train_loss(),
        best.step.saturating_add(1),
    )))?;
    let now = median(lately(run.train_loss()))?;
    let learns_on = now < then;
    if !turned || !learns_on {
        return None;
    }
    let severity = match rise > run.by_stage(LOST) {
        true => Severity::Bad,
        false => Severity::Warn,
    };
    let evidence = format!(
        "validation loss {} at step {}, {} at step {}; training loss {} and {}",
        number(best.value),
        best.step,
        number(last.value),
        last.step,
        number(then),
        number(now)
    );
    let finding = Finding::new(
        severity,
        "over-fitting",
        "It learns its pictures by heart and gets worse on others",
        evidence,
    );
    let end = match run.budget() {
        Some(_) => "",
        None => " --set minutes=0",
    };
    Some(resist(
        run,
        finding.advise(format!(
            "in a new run, end where it was best: --set steps={}{end}",
            best.step
        )),
    ))
}

/// What makes learning by heart harder, apart from more pictures.
fn resist(run: &Record, finding: Finding) -> Finding {
    let unflipped = run.settings.get("flip").and_then(|flip| flip.as_bool()) == Some(false);
    let finding = finding.advise("more pictures help most").advise_if(
        unflipped,
        "in a new run, mirror the pictures: --set flip=true",
    );
    match run.kind {
        Kind::Tokenizer => finding.advise_if(
            run.is("crop", "center"),
            "in a new run, crop anywhere: --set crop=random",
        ),
        Kind::Prior => finding
            .advise("replace some input codes by random ones: --set pkeep=0.9")
            .advise("in a new run, drop more out: --set residual_dropout=0.2 --set embedding_dropout=0.2")
            .advise(format!(
                "in a new run, a smaller network: --set layers={}",
                (run.number("layers").unwrap_or(6.0) / 2.0).clamp(1.0, 1e3) as u64
            )),
    }
}

/// The training loss is far below the validation split's.
pub(super) fn by_heart(run: &Record) -> Option<Finding> {
    let measured = run.validation_loss();
    let last = measured.last()?;
    let train = lately(before(run.train_loss(), last.step.saturating_add(1)));
    let loss = median(train)?;
    let gap = 1.0 - loss / last.value;
    let far = gap > GAP && train.len() >= 5 && last.step > run.warm();
    if !far || overfitting(run).is_some() {
        return None;
    }
    let evidence = format!(
        "training loss {}, validation loss {} at step {}: {} apart{}",
        number(loss),
        number(last.value),
        last.step,
        percent(gap),
        earlier_gap(run, &measured)
    );
    let finding = Finding::new(
        Severity::Warn,
        "by-heart",
        "It knows its own pictures much better than others",
        evidence,
    );
    Some(resist(run, finding))
}

/// What the gap was half-way, in words.
fn earlier_gap(run: &Record, measured: &[Point]) -> String {
    let half = measured[measured.len() / 2];
    let train = median(lately(before(
        run.train_loss(),
        half.step.saturating_add(1),
    )));
    match train {
        Some(train) if measured.len() > 2 => format!(
            ", {} at step {}",
            percent(1.0 - train / half.value),
            half.step
        ),
        _ => String::new(),
    }
}

/// The same pictures were seen again and again.
pub(super) fn small_data(run: &Record) -> Option<Finding> {
    let pictures = run.pictures?;
    let batch = run.number("batch")?;
    let passes = run.log.step as f64 * batch / pictures;
    let crops = crops(run);
    let many = passes / crops > PASSES;
    if !many {
        return None;
    }
    let mut evidence = format!(
        "{} steps of {batch} from {pictures} {}: {passes:.0} times through the data",
        run.log.step,
        match run.kind {
            Kind::Tokenizer => "pictures",
            Kind::Prior => "sequences of codes",
        }
    );
    if crops > 1.0 {
        evidence += &format!(
            ", {:.0} times with about {} different crops of each",
            passes / crops,
            number(crops)
        );
    }
    let finding = Finding::new(
        Severity::Warn,
        "small-data",
        "Few pictures for so many steps",
        evidence,
    );
    let size = run.number("size").unwrap_or_default();
    let crops_fit = run.kind == Kind::Tokenizer && size >= 1.0;
    Some(
        finding
            .advise("more pictures help most")
            .advise_if(
                crops_fit,
                format!(
                    "in a new run, let crops differ: --set crop=random --set resize={}",
                    rounded(1.5 * size).round()
                ),
            )
            .advise(format!(
                "fewer steps do as well: --set steps={} --set minutes=0",
                (PASSES * crops * pictures / batch.max(1.0)).max(1.0) as u64
            )),
    )
}

/// How many different squares a picture gives, as areas go; mirrored ones count. Stage 2 has its sequences counted.
fn crops(run: &Record) -> f64 {
    if run.kind == Kind::Prior {
        return 1.0;
    }
    let (size, resize) = (run.number("size"), run.number("resize"));
    let area = match (size, resize) {
        (Some(size), Some(resize)) if resize > size && run.is("crop", "random") => {
            (resize / size).powi(2)
        }
        _ => 1.0,
    };
    let flips = run.settings.get("flip").and_then(|flip| flip.as_bool()) == Some(true);
    if flips { 2.0 * area } else { area }
}

/// Nothing says how the run does on pictures it was not trained on.
pub(super) fn unmeasured(run: &Record) -> Option<Finding> {
    let held_back = run.number("validation").is_none_or(|share| share > 0.0);
    let rarely = run.number("validate_every") == Some(0.0);
    if !run.validation_loss().is_empty() || (held_back && !rarely) {
        return None;
    }
    let (evidence, advice) = match held_back {
        false => (
            "validation is 0: no picture is held back",
            "in a new run, hold some back: --set validation=0.05",
        ),
        true => (
            "validate_every is 0: held-back pictures are measured at the end only",
            "measure on the way: --set validate_every=250",
        ),
    };
    Some(
        Finding::new(
            Severity::Info,
            "unmeasured",
            "Over-fitting could not be seen in this run",
            evidence,
        )
        .advise(advice),
    )
}
