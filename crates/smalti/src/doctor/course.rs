//! Where is a run going? Rules about what its last part has gained, for both stages.

use super::curve::{Point, lowest, medians, since, steps};
use super::finding::{Finding, Severity, number, percent};
use super::fitting::overfitting;
use super::learning::{is_flat, longer, rate_too_low, rises};
use super::record::{Kind, Record};

/// What the last quarter of a run may still gain: the emoji runs (docs/emoji.md) gained 2.4 % and 1.1 % and were as
/// good as done.
const UNFINISHED: [f64; 2] = [0.05, 0.02];
/// What the second half of a run must gain to be worth its time.
const WORTHWHILE: f64 = 0.005;

/// The losses since everything took part that was to: of the validation split if it was measured often enough, or of
/// the training in medians of eighths.
struct Course {
    points: Vec<Point>,
    split: &'static str,
    /// How much more it scatters than a validation split's.
    scatter: f64,
}

impl Course {
    /// The fewest measurements that say where a run is going.
    const FEWEST: usize = 6;

    fn of(run: &Record) -> Option<Self> {
        let measured = run.validation_loss();
        let measured = since(&measured, run.settled());
        if measured.len() >= Self::FEWEST {
            return Some(Self {
                points: measured.to_vec(),
                split: "validation",
                scatter: 1.0,
            });
        }
        let train = since(run.train_loss(), run.settled());
        let ends = (1..=8).map(|part| train.get(part * train.len() / 8 - 1).map(|end| end.step));
        let points = medians(train, 8)?.into_iter().zip(ends);
        let points = points.map(|(value, step)| Some(Point { step: step?, value }));
        Some(Self {
            points: points.collect::<Option<_>>()?,
            split: "training",
            scatter: 2.0,
        })
    }

    /// The best loss in the first part of the run's steps and the best of all, and the share by which it is better.
    fn gain(&self, part: f64) -> Option<(Point, Point, f64)> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let until = first.step + (part * (last.step - first.step) as f64) as u64;
        let early: Vec<Point> = self
            .points
            .iter()
            .filter(|point| point.step <= until)
            .copied()
            .collect();
        let (then, best) = (lowest(&early)?, lowest(&self.points)?);
        Some((then, best, 1.0 - best.value / then.value))
    }

    fn evidence(&self, then: Point, best: Point) -> String {
        format!(
            "best {} loss {} at step {}, {} at step {}",
            self.split,
            number(then.value),
            then.step,
            number(best.value),
            best.step
        )
    }
}

/// The run ends while it is still getting better.
pub(super) fn not_converged(run: &Record) -> Option<Finding> {
    let course = Course::of(run)?;
    let (then, best, gain) = course.gain(0.75)?;
    let improves = gain > course.scatter * run.by_stage(UNFINISHED);
    if !improves || run.under_way() || rate_too_low(run).is_some() {
        return None;
    }
    let evidence = format!(
        "{}: {} better in the last quarter",
        course.evidence(then, best),
        percent(gain)
    );
    let finding = Finding::new(
        Severity::Warn,
        "not-converged",
        "Still getting better at the end",
        evidence,
    );
    Some(finding.advise(longer(run)))
}

/// The second half of the run brought nothing.
pub(super) fn plateau(run: &Record) -> Option<Finding> {
    let course = Course::of(run)?;
    let (then, best, gain) = course.gain(0.5)?;
    let stands = gain < WORTHWHILE;
    if !stands || overfitting(run).is_some() || rises(run).is_some() {
        return None;
    }
    let evidence = format!(
        "{}: the second half of {} brought {}",
        course.evidence(then, best),
        steps(&course.points),
        percent(gain)
    );
    let finding = Finding::new(
        Severity::Info,
        "plateau",
        "Nothing is gained any more",
        evidence,
    );
    let waits = run.kind == Kind::Tokenizer
        && run.joined().is_none()
        && run.number("discriminator_weight") > Some(0.0);
    Some(
        finding
            .advise_if(
                is_flat(run),
                "bring the learning rate down: --set final_learning_rate=0.1",
            )
            .advise_if(
                waits,
                "it is time for the discriminator: --set discriminator_start=0.5",
            )
            .advise(larger(run)),
    )
}

/// The advice to give the network more to learn with.
fn larger(run: &Record) -> String {
    let (key, usual) = match run.kind {
        Kind::Tokenizer => ("channels", 64.0),
        Kind::Prior => ("layers", 6.0),
    };
    let size = run.number(key).filter(|size| (1.0..1e6).contains(size));
    format!(
        "in a new run, a larger network: --set {key}={}",
        2.0 * size.unwrap_or(usual)
    )
}
