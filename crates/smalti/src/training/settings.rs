//! Flat settings: a YAML file or `--set key=value` laid over typed defaults, with every unknown key and wrong value
//! named.

use crate::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::Path;

/// A group of settings whose keys can be set by name.
pub trait Settings {
    /// All keys, in the order in which they are written.
    fn keys(&self) -> Vec<String>;

    /// Sets one key; `false` if there is none of that name.
    ///
    /// # Errors
    /// A value of the wrong type or out of range, with the key's name.
    fn set(&mut self, key: &str, value: &Value) -> Result<bool>;
}

impl<T: Serialize + DeserializeOwned> Settings for T {
    fn keys(&self) -> Vec<String> {
        object(self).keys().cloned().collect()
    }

    fn set(&mut self, key: &str, value: &Value) -> Result<bool> {
        let mut fields = object(self);
        if !fields.contains_key(key) {
            return Ok(false);
        }
        fields.insert(key.to_string(), value.clone());
        *self = serde_json::from_value(Value::Object(fields))
            .map_err(|error| Error::input(format!("{key}: {error}")))?;
        Ok(true)
    }
}

fn object(settings: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// Sets one key in whichever of `groups` has it.
///
/// # Errors
/// A key that none has, with the most similar one.
pub fn set(groups: &mut [&mut dyn Settings], key: &str, value: &Value) -> Result<()> {
    for group in groups.iter_mut() {
        if group.set(key, value)? {
            return Ok(());
        }
    }
    let known: Vec<String> = groups.iter().flat_map(|group| group.keys()).collect();
    Err(Error::input(unknown("setting", key, &known)))
}

/// Lays a YAML file over `groups`.
pub fn set_from_file(groups: &mut [&mut dyn Settings], path: &Path) -> Result<()> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
    set_from_text(groups, &text).map_err(|error| Error::file(path, error.to_string()))
}

/// Lays a YAML document over `groups`.
pub fn set_from_text(groups: &mut [&mut dyn Settings], text: &str) -> Result<()> {
    let fields = parse_yaml(text).map_err(Error::input)?;
    fields
        .iter()
        .try_for_each(|(key, value)| set(groups, key, value))
}

/// Sets `key=value`, the value in YAML.
pub fn set_from_argument(groups: &mut [&mut dyn Settings], argument: &str) -> Result<()> {
    let (key, value) = argument
        .split_once('=')
        .ok_or_else(|| Error::input(format!("`--set {argument}`: write it as key=value")))?;
    let value = from_yaml(value)
        .map_err(|message| Error::input(format!("`--set {argument}`: {message}")))?;
    set(groups, key.trim(), &value)
}

/// A YAML mapping as JSON. An empty document is an empty mapping.
pub fn parse_yaml(text: &str) -> std::result::Result<Map<String, Value>, String> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match from_yaml(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err("this is not a list of `key: value` lines".into()),
        Err(message) => Err(format!("this is not YAML: {message}")),
    }
}

/// Reads one YAML value. Aliases repeat what they stand for; with all of them written out, the text may not have more
/// than twice its own length in values or in letters, and a little more, and no settings need the most that is allowed.
fn from_yaml(text: &str) -> std::result::Result<Value, String> {
    let twice = text.len().saturating_mul(2);
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: twice.saturating_add(1 << 10).min(250_000),
            max_total_scalar_bytes: twice.saturating_add(1 << 16).min(64 << 20),
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| first_line(&error))
}

/// All settings of `groups` as a YAML document.
pub fn to_yaml(groups: &[&dyn erased::Fields]) -> Result<String> {
    let mut all = Map::new();
    for group in groups {
        all.extend(group.fields());
    }
    serde_saphyr::to_string(&Value::Object(all)).map_err(|error| Error::input(error.to_string()))
}

/// Serialisation behind a pointer, for lists of different settings.
pub mod erased {
    use super::{Map, Serialize, Value, object};

    pub trait Fields {
        fn fields(&self) -> Map<String, Value>;
    }

    impl<T: Serialize> Fields for T {
        fn fields(&self) -> Map<String, Value> {
            object(self)
        }
    }
}

/// Refuses a number outside `low` to `high`, and what is no number, by the setting's name.
pub fn check_range(name: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let bound = if value > high {
        format!("at most {high}")
    } else {
        format!("at least {low}")
    };
    Err(Error::input(format!(
        "{name} is {value}; it must be {bound}"
    )))
}

/// `there is no WHAT `name`; did you mean `other`?`
pub fn unknown(what: &str, name: &str, known: &[String]) -> String {
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    match nearest {
        Some(nearest) => format!("there is no {what} `{name}`; did you mean `{nearest}`?"),
        None => format!("there is no {what} `{name}`"),
    }
}

fn first_line(error: &impl std::fmt::Display) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::PriorTraining;
    use crate::tokenizer::{TokenizerConfig, TokenizerTraining};

    /// Both stages declare what they share themselves, with docstrings of their own; this holds their defaults together.
    #[test]
    fn settings_of_one_name_have_one_default_in_both_stages() {
        let (tokenizer, prior) = (
            object(&TokenizerTraining::default()),
            object(&PriorTraining::default()),
        );
        let different: Vec<&String> = tokenizer
            .iter()
            .filter(|(key, value)| prior.get(*key).is_some_and(|other| other != *value))
            .map(|(key, _)| key)
            .collect();
        assert_eq!(different, ["size", "learning_rate"]);
        assert!(prior.contains_key("checkpoint_minutes") && tokenizer.contains_key("keep"));
    }

    #[test]
    fn a_misspelt_key_is_named_with_the_nearest_right_one() {
        let mut config = TokenizerConfig::default();
        let error = set_from_argument(&mut [&mut config], "codebok_size=12").unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("codebok_size") && message.contains("codebook_size"),
            "{message}"
        );
    }

    #[test]
    fn values_are_typed() {
        let mut config = TokenizerConfig::default();
        set_from_argument(&mut [&mut config], "channel_multipliers=[1, 2]").unwrap();
        assert_eq!(config.channel_multipliers, [1, 2]);
        let error = set_from_argument(&mut [&mut config], "beta=many").unwrap_err();
        assert!(error.to_string().starts_with("beta: "), "{error}");
    }

    #[test]
    fn yaml_round_trips() {
        let config = TokenizerConfig {
            beta: 0.125,
            ..TokenizerConfig::default()
        };
        let yaml = to_yaml(&[&config]).unwrap();
        let mut read = TokenizerConfig::default();
        for (key, value) in parse_yaml(&yaml).unwrap() {
            set(&mut [&mut read], &key, &value).unwrap();
        }
        assert_eq!(read, config);
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut bomb = String::from("a: &a [1,1,1,1,1,1,1,1,1,1]\n");
        for (previous, next) in "abcdefgh".chars().zip("bcdefghi".chars()) {
            let aliases = vec![format!("*{previous}"); 10].join(",");
            bomb += &format!("{next}: &{next} [{aliases}]\n");
        }
        assert!(parse_yaml(&bomb).is_err());
    }

    #[test]
    fn aliases_may_not_make_much_of_little() {
        let repeated = |times: usize| {
            let aliases = vec!["*long"; times].join(", ");
            parse_yaml(&format!("a: &long {}\nb: [{aliases}]\n", "x".repeat(1000)))
        };
        assert!(repeated(10).is_ok());
        assert!(repeated(90).is_err());
    }
}
