//! Presets: settings that belong together, as small YAML files. Each says in its comment what it is for. A method, a size
//! and a downsampling factor can be named at once; what is named later wins.

use crate::error::{Error, Result};
use crate::training::settings::{Settings, set_from_text};

/// How the codebook and the losses are treated.
const METHODS: [(&str, &str); 7] = [
    ("classic", include_str!("presets/classic.yaml")),
    ("robust", include_str!("presets/robust.yaml")),
    ("fsq", include_str!("presets/fsq.yaml")),
    ("simvq", include_str!("presets/simvq.yaml")),
    ("vqvae", include_str!("presets/vqvae.yaml")),
    ("dvae", include_str!("presets/dvae.yaml")),
    ("vqvae2", include_str!("presets/vqvae2.yaml")),
];

/// Methods that have no size and no factor to choose.
const ALONE: [(&str, &str); 1] = [("colours", include_str!("presets/colours.yaml"))];

/// How large the networks are, and how many pixels a code stands for.
const SHAPES: [(&str, &str); 8] = [
    ("tiny", include_str!("presets/tiny.yaml")),
    ("small", include_str!("presets/small.yaml")),
    ("base", include_str!("presets/base.yaml")),
    ("imagenet", include_str!("presets/imagenet.yaml")),
    ("f4", include_str!("presets/f4.yaml")),
    ("f8", include_str!("presets/f8.yaml")),
    ("f16", include_str!("presets/f16.yaml")),
    ("f32", include_str!("presets/f32.yaml")),
];

/// What a new run begins with.
const DEFAULT: &str = "robust";

/// All names, methods first.
pub fn names() -> Vec<&'static str> {
    METHODS
        .iter()
        .chain(&ALONE)
        .chain(&SHAPES)
        .map(|(name, _)| *name)
        .collect()
}

/// The text of a preset, comments included.
pub fn text(name: &str) -> Option<&'static str> {
    let mut all = METHODS.iter().chain(&ALONE).chain(&SHAPES);
    all.find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Lays presets over `groups`, in order, the first being `robust` whatever is named. `classic` says everything that
/// `robust` does.
///
/// # Errors
/// A name that is none, with those there are.
pub fn apply(groups: &mut [&mut dyn Settings], chosen: &[&str]) -> Result<()> {
    lay(groups, DEFAULT)?;
    chosen.iter().try_for_each(|name| lay(groups, name))
}

fn lay(groups: &mut [&mut dyn Settings], name: &str) -> Result<()> {
    let Some(text) = text(name) else {
        return Err(Error::input(format!(
            "there is no preset `{name}`: there are {}",
            names().join(", ")
        )));
    };
    set_from_text(groups, text).map_err(|error| Error::input(format!("preset {name}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::TokenizerRecipe;
    use crate::tokenizer::train::perceptual_file;
    use crate::training::settings::parse_yaml;

    fn recipe(chosen: &[&str]) -> Result<TokenizerRecipe> {
        let mut recipe = TokenizerRecipe::plain();
        apply(&mut [&mut recipe.network, &mut recipe.training], chosen)?;
        recipe.training.data = "pictures".into();
        Ok(recipe)
    }

    #[test]
    fn every_combination_can_be_followed() {
        for (method, _) in METHODS {
            for size in ["tiny", "small", "base", "imagenet"] {
                for factor in ["f4", "f8", "f16", "f32"] {
                    let recipe = recipe(&[method, size, factor]).unwrap();
                    recipe
                        .check()
                        .unwrap_or_else(|error| panic!("{method}, {size}, {factor}: {error}"));
                    assert_eq!(format!("f{}", recipe.network.factor()), factor);
                }
            }
        }
    }

    #[test]
    fn colours_have_no_factor_but_one() {
        let colours = recipe(&["colours", "tiny"]).unwrap();
        colours.check().unwrap();
        assert_eq!(colours.network.factor(), 1);
        let error = recipe(&["colours", "f4"]).unwrap().check().unwrap_err();
        assert!(error.to_string().contains("write [1]"), "{error}");
    }

    #[test]
    fn methods_without_an_adversary_load_no_network() {
        for method in ["vqvae", "dvae", "vqvae2", "colours"] {
            let training = recipe(&[method]).unwrap().training;
            assert_eq!(training.perceptual, "none", "{method}");
            assert_eq!(training.discriminator_weight, 0.0, "{method}");
            let located = perceptual_file(&training.perceptual, |name| {
                panic!("{method} asks for {name}")
            });
            assert_eq!(located.unwrap(), None);
        }
    }

    #[test]
    fn every_preset_says_what_it_is_for() {
        for name in names() {
            let text = text(name).unwrap();
            assert!(text.starts_with("# "), "{name}");
            let wide = text.lines().find(|line| line.chars().count() > 120);
            assert_eq!(wide, None, "{name}");
        }
    }

    /// Who forgets the presets has the recipe that is documented as the default.
    #[test]
    fn the_recipes_default_is_the_default_preset() {
        let mut recipe = recipe(&[DEFAULT]).unwrap();
        recipe.training.data = TokenizerRecipe::default().training.data;
        assert_eq!(recipe, TokenizerRecipe::default());
    }

    /// `classic` is the same whatever it is laid over.
    #[test]
    fn classic_leaves_nothing_of_robust() {
        let settings = |name: &str| parse_yaml(text(name).unwrap()).unwrap();
        let (robust, classic) = (settings("robust"), settings("classic"));
        for key in robust.keys() {
            assert!(classic.contains_key(key), "classic does not say {key}");
        }
        let mut alone = TokenizerRecipe::plain();
        lay(&mut [&mut alone.network, &mut alone.training], "classic").unwrap();
        alone.training.data = "pictures".into();
        assert_eq!(recipe(&["classic"]).unwrap(), alone);
        // The settings that its measured figures belong to.
        let plain = TokenizerRecipe::plain().training;
        for (value, expected) in [
            (alone.training.l1_weight, plain.l1_weight),
            (alone.training.gradient_clip, plain.gradient_clip),
            (alone.training.lambda_max, plain.lambda_max),
            (alone.training.lecam_weight, plain.lecam_weight),
        ] {
            assert_eq!(value, expected);
        }
    }

    #[test]
    fn the_default_is_robust_and_classic_stands_alone() {
        assert_eq!(recipe(&[]).unwrap(), recipe(&["robust"]).unwrap());
        let classic = recipe(&["classic"]).unwrap();
        assert!(classic.network.legacy_beta);
        assert_eq!(classic.training.restart_below, 0.0);
        assert_eq!(classic.training.gradient_clip, 0.0);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = recipe(&["robusst"]).unwrap_err().to_string();
        assert!(
            error.contains("robusst") && error.contains("simvq"),
            "{error}"
        );
    }
}
