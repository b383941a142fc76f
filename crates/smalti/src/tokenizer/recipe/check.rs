//! Which recipes can be followed.

use super::{TokenizerRecipe, TokenizerTraining, Trained};
use crate::data::KindName;
use crate::error::{Error, Result};
use crate::tokenizer::config::Family;
use crate::tokenizer::quantizer::CodeGradient;
use crate::training::settings::check_range;

impl TokenizerRecipe {
    /// Says what is wrong with a recipe that cannot be followed, naming the setting.
    pub fn check(&self) -> Result<()> {
        self.network.check()?;
        if self.network.family == Family::Dalle {
            return Err(Error::input(
                "DALL-E's tokenizer can be used, but not trained: its pictures are not what its last convolution gives",
            ));
        }
        if self.network.used_codes > 0 && self.training.train == Trained::All {
            return Err(Error::input(
                "used_codes renumbers a finished codebook: only the decoder can be trained on (train=decoder)",
            ));
        }
        self.check_kind()?;
        self.check_colours()?;
        let training = &self.training;
        training.transform().check()?;
        let factor = self.network.factor();
        if !training.size.is_multiple_of(factor) {
            return Err(Error::input(format!(
                "size is {}; it must be a multiple of {factor}, the downsampling factor of {} levels",
                training.size,
                self.network.levels()
            )));
        }
        for (name, value, low, high) in training.ranges() {
            check_range(name, value, low, high)?;
        }
        if training.train == Trained::Decoder && training.init_from.as_os_str().is_empty() {
            return Err(Error::input(
                "train is decoder: say with init_from (--init-from) whose encoder and codebook it belongs to",
            ));
        }
        self.check_codebook()?;
        self.check_discriminator()
    }

    /// Networks fit what they are shown, and losses what they compare.
    fn check_kind(&self) -> Result<()> {
        let training = &self.training;
        let channels = training.kind()?.channels();
        let network = [self.network.in_channels, self.network.out_channels];
        if network != [channels; 2] {
            return Err(Error::input(format!(
                "in_channels and out_channels are {network:?}; {} have {channels}: set both to {channels}",
                training.data_kind.label()
            )));
        }
        let adversarial = training.discriminator_weight > 0.0;
        if training.data_kind == KindName::Labels && (adversarial || training.perceptual != "none")
        {
            return Err(Error::input(
                "label maps are learned by cross-entropy alone: set perceptual to none and discriminator_weight to 0",
            ));
        }
        Ok(())
    }

    /// A tokenizer without networks has nothing that a loss could move.
    fn check_colours(&self) -> Result<()> {
        let training = &self.training;
        if self.network.family != Family::Colours {
            return Ok(());
        }
        if training.discriminator_weight > 0.0 {
            return Err(Error::input(
                "colours are found by k-means, not against a discriminator: set discriminator_weight to 0",
            ));
        }
        if training.train == Trained::Decoder {
            return Err(Error::input(
                "train is decoder, but colours are all there is to this tokenizer: set it to all",
            ));
        }
        Ok(())
    }

    /// What a quantiser does not know would be ignored, or, as with the steps before k-means, do harm.
    fn check_codebook(&self) -> Result<()> {
        let (kind, training) = (self.network.quantizer, &self.training);
        let refused = |what: String, who: &str, set: &str| {
            let name = kind.name();
            Err(Error::input(format!(
                "{what}, which quantizer {name} does not know: {who}; set {set}"
            )))
        };
        let (steps, below) = (training.kmeans_step, training.restart_below);
        if !kind.has_rows() && (steps > 0 || below > 0.0) {
            return refused(
                format!("kmeans_step is {steps} and restart_below {below}"),
                "only nearest, l2, ema, ema-l2 and residual have codes that can be set and moved one by one",
                "both to 0",
            );
        }
        if !kind.has_entropy_loss() && training.entropy_weight > 0.0 {
            return refused(
                format!("entropy_weight is {}", training.entropy_weight),
                "all but gumbel and fsq have an entropy loss",
                "it to 0",
            );
        }
        if !kind.takes_code_gradient() && training.code_gradient != CodeGradient::StraightThrough {
            return refused(
                "code_gradient is rotation".into(),
                "gumbel, fsq and ibq have an estimator of their own",
                "it to straight-through",
            );
        }
        Ok(())
    }

    fn check_discriminator(&self) -> Result<()> {
        let discriminator = self.training.discriminator_config();
        discriminator.check()?;
        if self.training.discriminator_weight > 0.0 {
            discriminator.check_size()?;
        }
        Ok(())
    }
}

impl TokenizerTraining {
    /// The settings that are numbers, with the least and the most each may be.
    fn ranges(&self) -> Vec<(&'static str, f64, f64, f64)> {
        const MANY: f64 = 1e18;
        let weight = |name, value: f32| (name, f64::from(value), 0.0, 1e6);
        vec![
            ("steps", self.steps as f64, 1.0, MANY),
            ("minutes", self.minutes, 0.0, 1e7),
            ("checkpoint_minutes", self.checkpoint_minutes, 0.0, 1e7),
            ("batch", self.batch as f64, 1.0, 1e6),
            ("log_every", self.log_every as f64, 1.0, MANY),
            ("learning_rate", self.learning_rate, 0.0, 1.0),
            ("final_learning_rate", self.final_learning_rate, 0.0, 1.0),
            ("validation", self.validation, 0.0, 0.9),
            ("weight_average", self.weight_average, 0.0, 0.999_999),
            ("codebook_decay", f64::from(self.codebook_decay), 0.0, 1.0),
            ("restart_below", f64::from(self.restart_below), 0.0, 1.0),
            ("temperature", f64::from(self.temperature), 1e-6, 1e3),
            (
                "final_temperature",
                f64::from(self.final_temperature),
                1e-6,
                1e3,
            ),
            ("kl_warmup", self.kl_warmup, 0.0, MANY),
            ("discriminator_start", self.discriminator_start, 0.0, MANY),
            ("discriminator_warmup", self.discriminator_warmup, 0.0, MANY),
            ("discriminator_ramp", self.discriminator_ramp, 0.0, MANY),
            ("r1_every", self.r1_every as f64, 1.0, MANY),
            weight("gradient_clip", self.gradient_clip),
            weight("codebook_weight", self.codebook_weight),
            weight("entropy_weight", self.entropy_weight),
            weight("l1_weight", self.l1_weight),
            weight("l2_weight", self.l2_weight),
            weight("perceptual_weight", self.perceptual_weight),
            weight("discriminator_weight", self.discriminator_weight),
            weight("lambda_max", self.lambda_max),
            weight("lecam_weight", self.lecam_weight),
            weight("r1_weight", self.r1_weight),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::config::{QuantizerKind, TokenizerConfig};

    #[test]
    fn colours_have_no_adversary_and_no_decoder() {
        let mut recipe = TokenizerRecipe {
            network: TokenizerConfig {
                family: Family::Colours,
                channel_multipliers: vec![1],
                embed_dim: 3,
                quantizer: QuantizerKind::Ema,
                ..TokenizerConfig::default()
            },
            training: TokenizerTraining::default(),
        };
        let message = |recipe: &TokenizerRecipe| recipe.check().unwrap_err().to_string();
        assert!(message(&recipe).contains("discriminator_weight to 0"));
        recipe.training.discriminator_weight = 0.0;
        recipe.check().unwrap();
        recipe.training.train = Trained::Decoder;
        recipe.training.init_from = "model".into();
        assert!(message(&recipe).contains("set it to all"));
    }

    fn of_kind(quantizer: QuantizerKind) -> TokenizerConfig {
        let config = TokenizerConfig {
            quantizer,
            embed_dim: 3,
            codebook_size: 8,
            ..TokenizerConfig::default()
        };
        match quantizer {
            QuantizerKind::Fsq => TokenizerConfig {
                fsq_levels: vec![2; 3],
                ..config
            },
            _ => config,
        }
    }

    /// Each of the settings alone is refused exactly where it would do nothing, with its name.
    #[test]
    fn what_a_quantiser_does_not_know_is_refused() {
        for kind in QuantizerKind::ALL {
            let plain = TokenizerRecipe {
                network: of_kind(kind),
                ..TokenizerRecipe::plain()
            };
            plain.check().unwrap();
            let checked = |change: fn(&mut TokenizerTraining)| {
                let mut recipe = plain.clone();
                change(&mut recipe.training);
                recipe.check().map_err(|error| error.to_string())
            };
            type Change = fn(&mut TokenizerTraining);
            let settings: [(&str, bool, Change); 4] = [
                ("kmeans_step", kind.has_rows(), |training| {
                    training.kmeans_step = 9;
                }),
                ("restart_below", kind.has_rows(), |training| {
                    training.restart_below = 0.1;
                }),
                ("entropy_weight", kind.has_entropy_loss(), |training| {
                    training.entropy_weight = 0.1;
                }),
                ("code_gradient", kind.takes_code_gradient(), |training| {
                    training.code_gradient = CodeGradient::Rotation;
                }),
            ];
            for (name, known, change) in settings {
                match checked(change) {
                    Ok(()) => assert!(known, "{kind:?} ignores {name}"),
                    Err(message) => {
                        assert!(!known && message.contains(name), "{kind:?}: {message}");
                        assert!(message.contains(&kind.name()), "{message}");
                    }
                }
            }
        }
    }

    /// Whatever the model's quantiser is, the default recipe can go on from it.
    #[test]
    fn a_model_of_any_kind_can_be_started_from() {
        for kind in QuantizerKind::ALL {
            let mut recipe = TokenizerRecipe::default();
            recipe.start_from("model".into(), of_kind(kind));
            recipe.check().unwrap();
            assert_eq!(recipe.training.kmeans_step, 0);
            assert_eq!(recipe.training.restart_below > 0.0, kind.has_rows());
        }
    }
}
