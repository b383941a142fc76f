//! The loop that both stages train in: steps, logs, validation, checkpoints, stopping.

use super::{Clock, Event, Logs, Metrics, Observer, Run};
use crate::checkpoint::{HostTensor, TensorMap};
use crate::counted;
use crate::data::{BadFile, write_png};
use crate::error::{Error, Result};
use crate::model::Model;
use image::RgbImage;
use std::time::Instant;

/// A stage, as the loop sees it.
pub trait Stage {
    /// Pictures per step.
    fn batch(&self) -> usize;

    /// Takes step number `step` (from 0), when `progress` (0 to 1) of the run is over.
    fn step(&mut self, step: u64, progress: f64) -> Result<Metrics>;

    /// What is worth a line since this was last asked.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Why there is no use in going on, when there is none.
    fn finished(&self) -> Option<String> {
        None
    }

    /// Measures the validation split.
    fn validate(&mut self) -> Result<Validation>;

    /// The model after `step` steps.
    fn model(&self, step: u64) -> Model;

    /// What must be kept beside the model to go on.
    fn state(&self) -> TensorMap;
}

/// What a validation found.
pub struct Validation {
    /// Empty where no picture is held back.
    pub metrics: Metrics,
    /// Something to look at, and its name.
    pub picture: Option<(&'static str, RgbImage)>,
}

/// What is done every so many steps or minutes, and how many checkpoints are kept.
#[derive(Debug, Clone, Copy)]
pub struct Routine {
    pub log_every: u64,
    pub validate_every: u64,
    pub checkpoint_every: u64,
    /// Since the last checkpoint; 0 counts steps alone.
    pub checkpoint_minutes: f64,
    pub keep: usize,
}

impl Routine {
    /// Whether a checkpoint is due after `step` steps and so many seconds without one. When it is written makes no
    /// difference to what follows.
    fn saves(&self, step: u64, seconds: f64) -> bool {
        let waited = self.checkpoint_minutes > 0.0 && seconds >= 60.0 * self.checkpoint_minutes;
        waited || due(step, self.checkpoint_every)
    }
}

/// Whether something that is done every so many steps is done after `step` of them; 0 is never.
fn due(step: u64, every: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
}

/// A trained model.
pub struct Trained {
    pub model: Model,
    /// Whether the observer stopped it before its time.
    pub stopped: bool,
}

/// Trains `stage` until the clock or the stage itself says that it is done, or the observer stops it. Either way a
/// checkpoint is left.
///
/// # Errors
/// Whatever the stage or the disk says; a loss that is no number, before it reaches a checkpoint.
pub fn drive(
    stage: &mut dyn Stage,
    run: &Run,
    clock: Clock,
    routine: Routine,
    observer: &mut dyn Observer,
) -> Result<Trained> {
    let mut training = Loop {
        logs: Logs::open(run.folder(), clock.step())?,
        stage,
        run,
        clock,
        routine,
        observer,
        measured: None,
        saved: Instant::now(),
    };
    let done_before = training.done();
    while !training.done() {
        training.step()?;
        if training.observer.interrupted() {
            training.save()?;
            training
                .observer
                .event(Event::Note("stopped; go on with --resume".into()));
            return Ok(training.trained(true));
        }
    }
    // A run that was finished already has been measured and saved.
    if !done_before {
        if let Some(reason) = training.stage.finished() {
            training.observer.event(Event::Note(reason));
        }
        if training.measured != Some(training.clock.step()) {
            training.validate()?;
        }
        training.save()?;
    }
    Ok(training.trained(false))
}

struct Loop<'a> {
    stage: &'a mut dyn Stage,
    run: &'a Run,
    logs: Logs,
    clock: Clock,
    routine: Routine,
    observer: &'a mut dyn Observer,
    /// The step that was measured last.
    measured: Option<u64>,
    /// When the last checkpoint was written, or the loop began.
    saved: Instant,
}

impl Loop<'_> {
    fn done(&self) -> bool {
        self.clock.done() || self.stage.finished().is_some()
    }

    fn step(&mut self) -> Result<()> {
        let metrics = self.stage.step(self.clock.step(), self.clock.progress())?;
        self.clock.advance();
        let step = self.clock.step();
        self.check_finite(&metrics)?;
        if step == 1 || step.is_multiple_of(self.routine.log_every) {
            self.logs.write("train", step, &metrics)?;
        }
        self.observer.event(Event::Step {
            step,
            steps: self.clock.steps(),
            rate: self.clock.rate() * self.stage.batch() as f64,
            left: self.clock.left(),
            metrics: &metrics,
        });
        for note in self.stage.notes() {
            self.observer.event(Event::Note(note));
        }
        if self.clock.done() {
            return Ok(());
        }
        let measures = self.routine.validate_every;
        if due(step, measures) || (step == 1 && measures > 0) {
            self.validate()?;
        }
        let unsaved = self.saved.elapsed().as_secs_f64();
        if self.routine.saves(step, unsaved) {
            self.save()?;
        }
        Ok(())
    }

    /// A network that has left the numbers must not take the place of a good checkpoint.
    fn check_finite(&self, metrics: &Metrics) -> Result<()> {
        match metrics.iter().find(|(_, value)| !value.is_finite()) {
            Some((name, _)) => Err(self.diverged(name)),
            None => Ok(()),
        }
    }

    fn diverged(&self, name: &str) -> Error {
        let last = match self.run.latest() {
            Ok(Some(checkpoint)) => {
                format!("the checkpoint of step {} is untouched", checkpoint.step)
            }
            _ => "there is no checkpoint yet".into(),
        };
        Error::file(
            self.run.folder(),
            format!(
                "{name} is no longer a number at step {}; {last}. Lower learning_rate with --set and go on with --resume",
                self.clock.step()
            ),
        )
    }

    fn validate(&mut self) -> Result<()> {
        let step = self.clock.step();
        let validation = self.stage.validate()?;
        self.measured = Some(step);
        if let Some((name, picture)) = &validation.picture {
            write_png(&self.run.picture(name, step), picture)?;
            self.logs
                .picture(&format!("validation/{name}"), step, picture)?;
        }
        let metrics = &validation.metrics;
        if metrics.iter().next().is_some() {
            self.logs.write("validation", step, metrics)?;
            self.observer.event(Event::Validation { step, metrics });
        }
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        let mut state = self.stage.state();
        // A gradient that is no number spoils the optimiser one step before it shows in a loss.
        if let Some((name, _)) = state.iter().find(|(_, tensor)| !is_finite(tensor)) {
            return Err(self.diverged(name));
        }
        self.clock.save(&mut state);
        let step = self.clock.step();
        let model = self.stage.model(step);
        let checkpoint = self
            .run
            .save(step, |path| model.save(path), &state, self.routine.keep)?;
        self.saved = Instant::now();
        self.observer.event(Event::Saved(checkpoint.model()));
        Ok(())
    }

    fn trained(&self, stopped: bool) -> Trained {
        Trained {
            model: self.stage.model(self.clock.step()),
            stopped,
        }
    }
}

fn is_finite(tensor: &HostTensor) -> bool {
    let values = tensor.as_f32().unwrap_or_default();
    values.iter().all(|value| value.is_finite())
}

/// Which pictures were skipped, in no more lines than fit a screen.
pub fn skipped_pictures(skipped: &[BadFile]) -> Vec<String> {
    let line = |(path, reason): &BadFile| format!("skipped {}: {reason}", path.display());
    let mut lines: Vec<String> = skipped.iter().take(10).map(line).collect();
    if skipped.len() > 10 {
        let more = counted(skipped.len() - 10, "more picture");
        lines.push(format!("skipped {more}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_due_by_steps_and_by_minutes() {
        let routine = |checkpoint_every, checkpoint_minutes| Routine {
            log_every: 1,
            validate_every: 0,
            checkpoint_every,
            checkpoint_minutes,
            keep: 1,
        };
        let both = routine(500, 5.0);
        assert!(both.saves(500, 1.0) && both.saves(1000, 0.0));
        assert!(!both.saves(501, 299.0) && both.saves(501, 300.0));
        let steps = routine(500, 0.0);
        assert!(steps.saves(500, 0.0) && !steps.saves(501, 1e9));
        let minutes = routine(0, 0.5);
        assert!(!minutes.saves(500, 29.0) && minutes.saves(501, 31.0));
        assert!(!routine(0, 0.0).saves(500, 1e9));
    }
}
