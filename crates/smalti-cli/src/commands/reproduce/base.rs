//! What all cells of a comparison are trained with, and the recipes of cells that differ from it. What nobody says is
//! chosen by a look at the pictures, once: it is kept with the results, so that a comparison goes on with the same
//! recipes wherever and whenever it is continued.

use super::results::Settings;
use super::{Name, Reproduce};
use crate::{Common, progress};
use serde_json::{Value, json};
use smalti::auto::{Choices, Facts, Wishes, choose};
use smalti::prior::PriorRecipe;
use smalti::tokenizer::{Family, TokenizerRecipe, presets};
use smalti::training::settings::{
    Settings as Group, set, set_from_argument, set_from_text, to_yaml,
};
use smalti::{Error, Result};

/// Steps after which k-means has found its colours; there are no networks to train.
const STEPS_FOR_COLOURS: u64 = 300;

/// All factors of figure 7 divide such a side.
const SIDE: usize = 32;

/// A tokenizer of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct TokenizerCell {
    pub name: &'static str,
    /// Presets; none is what was chosen for the pictures, the preset `robust`.
    pub presets: &'static [&'static str],
    /// What makes the cell what it is, whatever else is asked for.
    pub fixed: &'static [&'static str],
}

/// The recipes of both stages.
pub struct Base {
    pub tokenizer: TokenizerRecipe,
    pub prior: PriorRecipe,
    /// What was asked for with `--set`, for either stage.
    settings: [Vec<String>; 2],
}

impl Base {
    /// Chooses for the pictures, and lays over it what was asked for.
    ///
    /// # Errors
    /// Pictures that cannot be read, settings that cannot be used.
    pub fn choose(ask: &Reproduce, common: &Common) -> Result<Self> {
        let facts = Facts::of(&ask.data, rayon::current_num_threads())?;
        progress::note(
            common,
            format_args!("{}: {}", ask.data.display(), facts.describe()),
        );
        let wishes = Wishes {
            minutes: 2.0 * ask.minutes,
            size: ask.size,
            classes: match ask.name {
                Name::Table1 | Name::Figure7 | Name::Table5 => Some(false),
                Name::Sampling => None,
                Name::Rejection => Some(true),
            },
        };
        let chosen = sized(ask, &facts, &wishes)?;
        for choice in &chosen.choices {
            progress::note(
                common,
                format_args!("{:<14}{:<24}{}", choice.about, choice.value, choice.reason),
            );
        }
        let mut base = Self {
            tokenizer: chosen.tokenizer,
            prior: chosen.prior,
            settings: divided(&ask.settings)?,
        };
        base.lay_over(ask, common)?;
        Ok(base)
    }

    /// Takes up what was chosen when the comparison began.
    ///
    /// # Errors
    /// Settings that somebody has spoilt.
    pub fn read(ask: &Reproduce, settings: &Settings) -> Result<Self> {
        let mut base = Self {
            tokenizer: TokenizerRecipe::plain(),
            prior: PriorRecipe::default(),
            settings: divided(&ask.settings)?,
        };
        set_from_text(&mut of_tokenizer(&mut base.tokenizer), &settings.tokenizer)?;
        set_from_text(&mut of_prior(&mut base.prior), &settings.prior)?;
        base.tokenizer.check()?;
        base.prior.check()?;
        Ok(base)
    }

    /// To be kept.
    pub fn settings(&self, asked: Value) -> Result<Settings> {
        Ok(Settings {
            asked,
            tokenizer: to_yaml(&[&self.tokenizer.network, &self.tokenizer.training])?,
            prior: to_yaml(&[&self.prior.network, &self.prior.training])?,
        })
    }

    /// Whole pictures, so that samples can be compared with pictures; then the command line.
    fn lay_over(&mut self, ask: &Reproduce, common: &Common) -> Result<()> {
        let mut both = vec![
            ("data", json!(ask.data)),
            ("seed", json!(ask.seed)),
            ("resize", json!(0)),
            ("enlarge", json!(true)),
            ("minutes", json!(ask.minutes)),
        ];
        if let Some(steps) = ask.steps {
            both.push(("steps", json!(steps)));
            both.push(("minutes", json!(0.0)));
        }
        if let Some(precision) = common.precision {
            both.push(("precision", json!(precision)));
        }
        for (key, value) in &both {
            set(&mut of_tokenizer(&mut self.tokenizer), key, value)?;
            set(&mut of_prior(&mut self.prior), key, value)?;
        }
        self.prior.training.crops = 1;
        if let Some(perceptual) = &ask.perceptual {
            self.tokenizer.training.perceptual = perceptual.clone();
        }
        let [of_stage_1, of_stage_2] = self.settings.clone();
        say(&mut of_tokenizer(&mut self.tokenizer), &of_stage_1)?;
        say(&mut of_prior(&mut self.prior), &of_stage_2)?;
        self.tokenizer.check()?;
        self.prior.check()
    }

    /// The recipe of a tokenizer.
    ///
    /// # Errors
    /// One that cannot be followed, with the cell's name.
    pub fn tokenizer(&self, cell: &TokenizerCell) -> Result<TokenizerRecipe> {
        let made = self.made(cell).and_then(|recipe| {
            recipe.check()?;
            Ok(recipe)
        });
        made.map_err(|error| Error::input(format!("{}: {error}", cell.name)))
    }

    fn made(&self, cell: &TokenizerCell) -> Result<TokenizerRecipe> {
        let mut recipe = self.tokenizer.clone();
        if !cell.presets.is_empty() {
            presets::apply(&mut of_tokenizer(&mut recipe), cell.presets)?;
            if recipe.network.family == Family::Colours {
                self.limit_colours(&mut recipe);
            } else {
                self.take_budget(&mut recipe);
                say(&mut of_tokenizer(&mut recipe), &self.settings[0])?;
            }
        }
        for setting in cell.fixed {
            set_from_argument(&mut of_tokenizer(&mut recipe), setting)?;
        }
        Ok(recipe)
    }

    /// Presets may say how long they need; here all cells take the same.
    fn take_budget(&self, recipe: &mut TokenizerRecipe) {
        recipe.training.steps = self.tokenizer.training.steps;
        recipe.training.minutes = self.tokenizer.training.minutes;
    }

    /// k-means is done before long.
    fn limit_colours(&self, recipe: &mut TokenizerRecipe) {
        let base = &self.tokenizer.training;
        let most = match base.minutes > 0.0 {
            true => STEPS_FOR_COLOURS,
            false => base.steps,
        };
        recipe.training.steps = most.min(STEPS_FOR_COLOURS);
        recipe.training.minutes = 0.0;
    }
}

/// What is chosen, with a size that the comparison can use.
fn sized(ask: &Reproduce, facts: &Facts, wishes: &Wishes) -> Result<Choices> {
    let chosen = choose(facts, wishes)?;
    let size = chosen.tokenizer.training.size;
    if ask.name != Name::Figure7 || size.is_multiple_of(SIDE) {
        return Ok(chosen);
    }
    if ask.size.is_some() {
        return Err(Error::input(format!(
            "--size is {size}; for codes of 2, 8 and 16 pixels a side it must be a multiple of {SIDE}"
        )));
    }
    let wishes = Wishes {
        size: Some(size.next_multiple_of(SIDE)),
        ..*wishes
    };
    choose(facts, &wishes)
}

fn of_tokenizer(recipe: &mut TokenizerRecipe) -> [&mut dyn Group; 2] {
    [&mut recipe.network, &mut recipe.training]
}

fn of_prior(recipe: &mut PriorRecipe) -> [&mut dyn Group; 2] {
    [&mut recipe.network, &mut recipe.training]
}

/// Sets `key=value`s. Who asks for steps means steps, whatever minutes there are.
fn say(groups: &mut [&mut dyn Group], settings: &[String]) -> Result<()> {
    for setting in settings {
        set_from_argument(groups, setting)?;
        if setting.starts_with("steps=") {
            set(groups, "minutes", &json!(0.0))?;
        }
    }
    Ok(())
}

/// `stage.key=value`s, by their stage.
fn divided(settings: &[String]) -> Result<[Vec<String>; 2]> {
    let mut stages = [Vec::new(), Vec::new()];
    for setting in settings {
        let (stage, setting) = match setting.split_once('.') {
            Some(("tokenizer", setting)) => (0, setting),
            Some(("prior", setting)) => (1, setting),
            _ => {
                return Err(Error::input(format!(
                    "`--set {setting}`: say of which stage, as tokenizer.key=value or prior.key=value"
                )));
            }
        };
        stages[stage].push(setting.to_string());
    }
    Ok(stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Base {
        let mut base = Base {
            tokenizer: TokenizerRecipe::default(),
            prior: PriorRecipe::default(),
            settings: [vec!["channels=32".to_string()], Vec::new()],
        };
        base.tokenizer.training.minutes = 5.0;
        base.tokenizer.training.batch = 4;
        base
    }

    fn cell(presets: &'static [&'static str], fixed: &'static [&'static str]) -> TokenizerCell {
        TokenizerCell {
            name: "cell",
            presets,
            fixed,
        }
    }

    #[test]
    fn cells_differ_in_what_they_are_and_in_nothing_else() {
        let base = base();
        let recipe = base.tokenizer(&cell(&[], &["codebook_size=256"])).unwrap();
        assert_eq!(recipe.network.codebook_size, 256);
        assert_eq!(recipe.training, base.tokenizer.training);
        let recipe = base.tokenizer(&cell(&["vqvae"], &[])).unwrap();
        assert_eq!((recipe.network.channels, recipe.training.batch), (32, 4));
        assert_eq!(recipe.training.l2_weight, 1.0);
        assert_eq!(recipe.training.minutes, 5.0);
        let recipe = base.tokenizer(&cell(&["colours"], &[])).unwrap();
        assert_eq!((recipe.training.minutes, recipe.training.steps), (0.0, 300));
        let error = base
            .tokenizer(&cell(&[], &["codebook_size=0"]))
            .unwrap_err();
        assert!(error.to_string().starts_with("cell: "), "{error}");
    }

    #[test]
    fn settings_belong_to_a_stage() {
        let both = ["tokenizer.batch=4", "prior.width=32"].map(String::from);
        let divided = divided(&both).unwrap();
        assert_eq!(divided, [["batch=4"], ["width=32"]]);
        assert!(super::divided(&["batch=4".to_string()]).is_err());
    }
}
