//! How fast the program is, and how near to what the machine could do: `smalti bench`.
//!
//! A [`Workload`] is something people wait for, with networks of published size and random weights. Its time is compared
//! with the least that it could take on this machine, which follows from what the networks multiply and read in the
//! plain formulation ([`cost`]) and from how fast the machine does both ([`Ceiling`]).
//!
//! To add a workload, write its two functions, one that prepares a repetition and one that says what a repetition costs,
//! and list it in [`WORKLOADS`].

mod ceiling;
pub mod cost;
mod measure;
mod networks;
mod prior;
mod tokenizer;
mod window;

pub use ceiling::{Bound, Ceiling, Phase};
pub use networks::Size;
pub use smalti_kernels::decoding::WeightFormat;

use crate::error::{Error, Result};
use crate::ops::Precision;
use burn::tensor::Device;
use measure::Repetition;
use serde::{Deserialize, Serialize};

/// Something to measure.
pub struct Workload {
    pub name: &'static str,
    /// What its time is that of: a picture, a step, or a code of each sequence.
    pub unit: &'static str,
    batch: Batch,
    /// Whether it draws from a prior, whose weights can be kept in any format.
    draws: bool,
    prepare: fn(&Spec, &Device) -> Result<Repetition>,
    phases: fn(&Spec) -> Vec<Phase>,
}

/// The batches of a workload.
enum Batch {
    /// Always this one.
    Fixed(usize),
    /// These, unless another one is asked for.
    Any(&'static [usize]),
}

/// All there are.
pub static WORKLOADS: [Workload; 8] = [
    Workload {
        name: "reconstruct-256",
        unit: "picture",
        batch: Batch::Fixed(1),
        draws: false,
        prepare: tokenizer::reconstruct,
        phases: tokenizer::reconstruct_phases,
    },
    Workload {
        name: "encode-256",
        unit: "picture",
        batch: Batch::Fixed(1),
        draws: false,
        prepare: tokenizer::encode,
        phases: tokenizer::encode_phases,
    },
    Workload {
        name: "decode-256",
        unit: "picture",
        batch: Batch::Fixed(1),
        draws: false,
        prepare: tokenizer::decode,
        phases: tokenizer::decode_phases,
    },
    Workload {
        name: "tokenizer-step",
        unit: "step",
        batch: Batch::Fixed(2),
        draws: false,
        prepare: tokenizer::step,
        phases: tokenizer::step_phases,
    },
    Workload {
        name: "prior-step",
        unit: "step",
        batch: Batch::Fixed(1),
        draws: false,
        prepare: prior::step,
        phases: prior::step_phases,
    },
    Workload {
        name: "prior-decode",
        unit: "code",
        batch: Batch::Any(&[1, 8]),
        draws: true,
        prepare: prior::decode,
        phases: prior::decode_phases,
    },
    Workload {
        name: "sample-256",
        unit: "picture",
        batch: Batch::Fixed(1),
        draws: true,
        prepare: prior::sample,
        phases: prior::sample_phases,
    },
    Workload {
        name: "window-32x32",
        unit: "code",
        batch: Batch::Fixed(1),
        draws: true,
        prepare: window::window,
        phases: window::window_phases,
    },
];

/// The workload called `name`.
///
/// # Errors
/// [`Error::Input`] with the names there are, when `name` is none of them.
pub fn workload(name: &str) -> Result<&'static Workload> {
    let found = WORKLOADS.iter().find(|workload| workload.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        Error::input(format!(
            "there is no workload `{name}`: there are {}",
            names.join(", ")
        ))
    })
}

impl Workload {
    /// The batches to measure it at, when `asked` for one or for none in particular.
    ///
    /// # Errors
    /// [`Error::Input`] when its batch cannot be chosen.
    pub fn batches(&self, asked: Option<usize>) -> Result<Vec<usize>> {
        match (&self.batch, asked) {
            (Batch::Fixed(batch), None) => Ok(vec![*batch]),
            (Batch::Fixed(batch), Some(asked)) if asked == *batch => Ok(vec![asked]),
            (Batch::Any(batches), None) => Ok(batches.to_vec()),
            (Batch::Any(_), Some(batch)) => Ok(vec![batch]),
            (Batch::Fixed(batch), Some(_)) => {
                let chosen = |other: &&Workload| other.takes_batch();
                let others = WORKLOADS.iter().filter(chosen);
                let names: Vec<&str> = others.map(|workload| workload.name).collect();
                Err(Error::input(format!(
                    "--batch cannot be chosen for {}, which is measured at {batch}; it can for {}",
                    self.name,
                    names.join(", ")
                )))
            }
        }
    }

    /// Whether its batch can be chosen.
    pub fn takes_batch(&self) -> bool {
        matches!(self.batch, Batch::Any(_))
    }

    /// What its weights are kept in: what was `asked` for if it can be chosen, otherwise what is multiplied.
    pub fn weights(&self, asked: Option<WeightFormat>, precision: Precision) -> WeightFormat {
        match (asked, precision) {
            (Some(format), _) if self.draws => format,
            (_, Precision::F32) => WeightFormat::F32,
            (_, Precision::Bf16) => WeightFormat::Bf16,
        }
    }
}

/// A workload and how it is to run.
#[derive(Clone, Copy)]
pub struct Spec {
    pub workload: &'static Workload,
    /// What convolutions and products of matrices multiply in.
    pub precision: Precision,
    /// What the weights of a prior that is drawn from are kept in.
    pub weights: WeightFormat,
    pub batch: usize,
    pub size: Size,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Milliseconds, the median of the repetitions.
    pub ms: f64,
    /// The most memory this process ever held, building the networks included, in units of 2²⁰ bytes; `None` where the
    /// system does not say.
    pub peak_mb: Option<f64>,
}

impl Spec {
    /// Builds the networks on `device` and measures: once to warm up, then `repeats` times, or for about ten seconds.
    ///
    /// # Errors
    /// Whatever the workload says; none is expected.
    pub fn run(&self, repeats: Option<usize>, device: &Device) -> Result<Measurement> {
        let mut repetition = (self.workload.prepare)(self, device)?;
        let time = measure::median_time(&mut repetition, repeats)?;
        Ok(Measurement {
            ms: 1e3 * time.as_secs_f64(),
            peak_mb: measure::peak_mb(),
        })
    }

    /// What it cannot do without, in the parts that come one after another.
    pub fn phases(&self) -> Vec<Phase> {
        (self.workload.phases)(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_only_chosen_where_it_can_be() {
        let batches = |name, asked| workload(name).and_then(|workload| workload.batches(asked));
        assert_eq!(batches("prior-decode", None).unwrap(), [1, 8]);
        assert_eq!(batches("prior-decode", Some(3)).unwrap(), [3]);
        assert_eq!(batches("tokenizer-step", None).unwrap(), [2]);
        let message = batches("sample-256", Some(2)).unwrap_err().to_string();
        assert!(
            message.contains("--batch") && message.contains("prior-decode"),
            "{message}"
        );
        let message = batches("sample", None).unwrap_err().to_string();
        assert!(
            message.contains("reconstruct-256") && message.contains("sample-256"),
            "{message}"
        );
    }

    #[test]
    fn weights_follow_the_precision_unless_a_prior_is_drawn_from() {
        let weights = |name, asked, precision| workload(name).unwrap().weights(asked, precision);
        let int4 = Some(WeightFormat::Int4);
        let name = |format: WeightFormat| format.name();
        assert_eq!(name(weights("prior-decode", int4, Precision::F32)), "int4");
        assert_eq!(name(weights("prior-decode", None, Precision::Bf16)), "bf16");
        assert_eq!(name(weights("encode-256", int4, Precision::F32)), "f32");
    }
}
