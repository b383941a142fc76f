//! What both stages share: the optimiser, schedules, the run folder with its logs and checkpoints, and the events a
//! program shows to the person who waits.

mod adam;
mod average;
mod clock;
mod drive;
mod event;
mod gradients;
mod logs;
#[cfg(test)]
mod named_gradients;
mod owned;
pub mod plan;
mod run;
mod schedule;
pub mod settings;
mod tensorboard;
mod usage;

pub use adam::{Adam, AdamConfig};
pub use average::WeightAverage;
pub use clock::{Budget, Clock};
pub use drive::{Routine, Stage, Trained, Validation, drive, skipped_pictures};
pub use event::{Event, Observer};
pub use gradients::{clip_scale, gradient_norm};
pub use logs::{Logs, Metrics};
#[cfg(test)]
pub use named_gradients::named_gradients;
pub use owned::Owned;
pub use run::{Checkpoint, Run, model_file};
pub use schedule::LearningRate;
pub use usage::{CodeUsage, UsageFigures, unigram_entropy};
