//! The plan of a stage-1 training, said before it starts.

use super::config::{Family, QuantizerKind, TokenizerConfig};
use super::perceptual::Lpips;
use super::recipe::TokenizerTraining;
use super::train::TokenizerJob;
use super::trainer::TokenizerTrainer;
use crate::counted;
use crate::data::KindName;
use crate::ops::Precision;
use crate::training::Budget;
use crate::training::plan::{PROGRAM, bytes, duration};
use burn::module::Module;

/// One line per thing worth knowing; `pictures` counts the training and the validation split.
pub fn describe(
    job: &TokenizerJob,
    pictures: [usize; 2],
    trainer: &TokenizerTrainer,
) -> Vec<String> {
    let (network, training) = (&job.recipe.network, &job.recipe.training);
    let side = training.size / network.factor();
    let quantizer = quantizer(network);
    let adversary = training.discriminator_weight > 0.0;
    let mut parameters = trainer.tokenizer.num_params();
    let mut line = format!("{:.2} M parameters", parameters as f64 / 1e6);
    if adversary {
        let discriminator = trainer.adversary.discriminator.num_params();
        parameters += discriminator;
        line += &format!(", discriminator {:.2} M", discriminator as f64 / 1e6);
    }
    let mut lines = vec![
        format!(
            "data      {}: {} to train on, {} held back",
            training.data.display(),
            counted(pictures[0], "picture"),
            pictures[1]
        ),
        format!(
            "network   {0} × {0} px to {side} × {side} codes of {1} (f {2}), {quantizer}, {3} dimensions; {line}",
            training.size,
            network.codebook_size,
            network.factor(),
            network.embed_dim
        ),
        format!("losses    {}", losses(job)),
        format!(
            "training  {}, batch {}, learning rate {}",
            duration(training.budget(), pictures[0], training.batch),
            training.batch,
            training.learning_rate
        ),
        format!("memory    about {}", bytes(memory(job, parameters))),
        format!("run       {}", job.out.display()),
    ];
    if let Some(line) = upkeep(training) {
        lines.insert(2, line);
    }
    lines
}

fn quantizer(network: &TokenizerConfig) -> String {
    match network.family {
        Family::Vqvae2 => {
            return "two levels, one code above four, codes as moving averages".into();
        }
        Family::Colours => return "nearest colour for every pixel".into(),
        Family::Taming | Family::Maskgit | Family::Magvit2 | Family::Dalle => {}
    }
    let name = match network.quantizer {
        QuantizerKind::Nearest => "nearest code",
        QuantizerKind::L2 => "nearest unit-length code",
        QuantizerKind::Ema => "nearest code, codes as moving averages",
        QuantizerKind::EmaL2 => "nearest unit-length code, codes as moving averages",
        QuantizerKind::Gumbel => "code drawn by Gumbel-softmax",
        QuantizerKind::Fsq => "rounded values as digits (FSQ)",
        QuantizerKind::Lfq => "signs as bits (LFQ)",
        QuantizerKind::Simvq => "nearest code of a projected random codebook (SimVQ)",
        QuantizerKind::Ibq => "code of the largest product (IBQ)",
        QuantizerKind::Residual => {
            let codes = network.codes_per_position;
            return format!("{codes} nearest codes that add up, codes as moving averages");
        }
    };
    name.into()
}

fn losses(job: &TokenizerJob) -> String {
    let training = &job.recipe.training;
    if training.data_kind == KindName::Labels {
        return "cross-entropy of labels + codebook".into();
    }
    let mut parts = Vec::new();
    for (weight, name) in [(training.l1_weight, "L1"), (training.l2_weight, "L2")] {
        if weight > 0.0 {
            parts.push(name.to_string());
        }
    }
    let lpips = job
        .lpips
        .as_ref()
        .filter(|_| training.perceptual_weight > 0.0);
    parts.extend(lpips.map(|lpips| format!("LPIPS ({})", lpips.architecture.label())));
    parts.push("codebook".into());
    format!("{}, {}", parts.join(" + "), when(training))
}

/// When the discriminator comes in.
fn when(training: &TokenizerTraining) -> String {
    if training.discriminator_weight == 0.0 {
        return "no discriminator".into();
    }
    let place = |value: f64| match training.budget() {
        _ if value >= 1.0 => format!("step {value:.0}"),
        Budget::Steps(steps) => format!("step {:.0}", (value * steps as f64).ceil()),
        Budget::Minutes(minutes) => format!("minute {:.1}", value * minutes),
    };
    let start = training.discriminator_start;
    let mut text = format!("the discriminator joins at {}", place(start));
    let length = |value: f64| match value {
        from if from < 1.0 => format!("{:.0} % of the run", 100.0 * from),
        from => format!("{from:.0} steps"),
    };
    if training.discriminator_warmup > 0.0 {
        text += &format!(
            ", after learning alone for {}",
            length(training.discriminator_warmup)
        );
    }
    if training.discriminator_ramp > 0.0 {
        text += &format!(
            ", and gains weight for {}",
            length(training.discriminator_ramp)
        );
    }
    text
}

/// What is done for the codebook, if anything is.
fn upkeep(training: &TokenizerTraining) -> Option<String> {
    let mut parts = Vec::new();
    if training.kmeans_step > 0 {
        let step = training.kmeans_step;
        parts.push(format!("k-means after {step} steps or a tenth of the run"));
    }
    if training.restart_below > 0.0 {
        let share = 100.0 * training.restart_below;
        parts.push(format!(
            "codes used less than {share:.0} % of evenly are restarted"
        ));
    }
    (!parts.is_empty()).then(|| format!("codebook  {}", parts.join(", ")))
}

/// Bytes: parameters with gradient and two moments, the activations that the backward pass needs, and the panels of
/// weights that are used more than once between two changes.
fn memory(job: &TokenizerJob, parameters: usize) -> f64 {
    let training = &job.recipe.training;
    let mut floats = activations(&job.recipe.network, training.size);
    if job.lpips.is_some() {
        // VGG16 keeps its convolutions' outputs before and after the ReLU for one side, and passes the other through.
        floats += 2.0 * 13.5 * 64.0 * (training.size * training.size) as f64 / 4.0 * 2.0;
    }
    if training.discriminator_weight > 0.0 {
        let channels = training.discriminator_channels as f64;
        floats += 6.0 * channels * (training.size * training.size) as f64 / 4.0 * 1.75;
    }
    let fixed = job.lpips.as_ref().map_or(0, Lpips::num_params) as f64;
    let at_once = match training.micro_batch {
        0 => training.batch,
        most => training.batch.min(most),
    };
    let used_again = match (training.two_passes, training.micro_batch) {
        (false, 0) => fixed,
        _ => fixed + parameters as f64,
    };
    // Half a float each, forward and backward.
    let panels = match training.precision {
        Precision::F32 => 0.0,
        Precision::Bf16 => used_again,
    };
    PROGRAM + 4.0 * (4.0 * parameters as f64 + fixed + panels + at_once as f64 * floats)
}

/// Floats that the backward pass of the network keeps for one picture: about five feature maps per residual block.
fn activations(config: &TokenizerConfig, size: usize) -> f64 {
    if config.family == Family::Colours {
        return (4 * size * size * config.in_channels) as f64;
    }
    let level = |index: usize| {
        let pixels = (size >> index).pow(2) as f64;
        let blocks = (2 * config.residual_blocks + 1) as f64;
        5.0 * blocks * pixels * config.width(index) as f64
    };
    (0..config.levels()).map(level).sum()
}
