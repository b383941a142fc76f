//! Reading a tokenizer's JSON. Of the format only what Llama 2's tokenizer needs is known; whatever else would change
//! the tokens is refused by name.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::merging::{Rule, Rules};
use super::{Spelling, Tokenizer};

/// The most added tokens, and the most bytes of one: all of them are tried at every character of a text.
const MOST_ADDED: usize = 64;

type Vocabulary = HashMap<String, u32>;

/// Reads the bytes of a file.
pub(super) fn read(json: &[u8]) -> Result<Tokenizer, String> {
    let invalid = |error: serde_json::Error| format!("not a tokenizer that can be read: {error}");
    // The types come first: parts of another type have other fields, and complaints about these would not help.
    let kinds: Kinds = serde_json::from_slice(json).map_err(invalid)?;
    kinds.check()?;
    let document: Document = serde_json::from_slice(json).map_err(invalid)?;
    document.model.check()?;
    let vocabulary = &document.model.vocab;
    Ok(Tokenizer {
        characters: single_characters(vocabulary),
        bytes: byte_tokens(vocabulary)?,
        rules: rules(vocabulary, &document.model.merges)?,
        added: added(vocabulary, document.added_tokens)?,
        spelling: document.normalizer.spelling()?,
        largest: vocabulary.values().copied().max().unwrap_or_default(),
    })
}

/// The parts by their types alone.
#[derive(Deserialize)]
struct Kinds {
    version: String,
    normalizer: Option<Kind>,
    pre_tokenizer: Option<Kind>,
    model: Kind,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    name: String,
}

impl Kinds {
    fn check(&self) -> Result<(), String> {
        let normalizer = self.normalizer.as_ref().map_or("null", Kind::name);
        let pre_tokenizer = self.pre_tokenizer.as_ref().map_or("null", Kind::name);
        let parts = [
            ("version", self.version.as_str(), "1.0"),
            ("normalizer", normalizer, "Sequence"),
            ("pre-tokenizer", pre_tokenizer, "null"),
            ("model", self.model.name(), "BPE"),
        ];
        match parts.iter().find(|(_, found, wanted)| found != wanted) {
            Some((part, found, _)) => Err(unsupported(part, &shown(found))),
            None => Ok(()),
        }
    }
}

impl Kind {
    fn name(&self) -> &str {
        &self.name
    }
}

/// The parts that decide on the tokens. What others put around them (`post_processor`, `padding`, `truncation`) is not
/// wanted here.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Normalizer,
    model: Model,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
}

#[derive(Deserialize)]
struct Normalizer {
    #[serde(default)]
    normalizers: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(rename = "type")]
    kind: String,
    prepend: Option<char>,
    pattern: Option<Pattern>,
    content: Option<char>,
}

#[derive(Deserialize)]
struct Pattern {
    #[serde(rename = "String")]
    text: Option<char>,
}

impl Normalizer {
    fn spelling(&self) -> Result<Spelling, String> {
        if let [first, second] = self.normalizers.as_slice()
            && let ("Prepend", "Replace") = (first.kind.as_str(), second.kind.as_str())
            && let (Some(prepended), Some(replacement)) = (first.prepend, second.content)
            && let Some(replaced) = second.pattern.as_ref().and_then(|pattern| pattern.text)
        {
            return Ok(Spelling {
                prepended,
                replaced,
                replacement,
            });
        }
        let steps: Vec<&str> = self
            .normalizers
            .iter()
            .map(|step| step.kind.as_str())
            .collect();
        Err(unsupported("normalizer", &shown(&steps.join(", "))))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    vocab: Vocabulary,
    merges: Vec<Merge>,
    // Where every byte has a token, nothing is unknown.
    #[serde(default, rename = "unk_token")]
    _unk_token: IgnoredAny,
    #[serde(default, rename = "fuse_unk")]
    _fuse_unk: IgnoredAny,
}

/// The two tokens of a merge, as older and as newer files have them.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a merge must be \"a b\" or [\"a\", \"b\"]")]
enum Merge {
    Text(String),
    Pair(String, String),
}

impl Model {
    fn check(&self) -> Result<(), String> {
        let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let settings = [
            (!self.byte_fallback, "without byte_fallback"),
            (self.ignore_merges, "with ignore_merges"),
            (self.dropout.unwrap_or(0.0) != 0.0, "with dropout"),
            (
                is_set(&self.continuing_subword_prefix),
                "with continuing_subword_prefix",
            ),
            (is_set(&self.end_of_word_suffix), "with end_of_word_suffix"),
        ];
        match settings.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, setting)) => Err(unsupported("model", setting)),
            None => Ok(()),
        }
    }
}

impl Merge {
    fn tokens(&self) -> Option<(&str, &str)> {
        match self {
            Self::Pair(left, right) => Some((left.as_str(), right.as_str())),
            Self::Text(text) => text
                .split_once(' ')
                .filter(|(_, right)| !right.contains(' ')),
        }
    }
}

fn unsupported(part: &str, found: &str) -> String {
    format!("its {part} {found} is not supported: only tokenizers made like Llama 2's are")
}

/// A text of the file for a message: quoted, without control characters, of bounded length.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(60).collect();
    format!("{start:?}")
}

fn single_characters(vocabulary: &Vocabulary) -> HashMap<char, u32> {
    let single = |(name, &token): (&String, &u32)| {
        let mut characters = name.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Some((character, token)),
            _ => None,
        }
    };
    vocabulary.iter().filter_map(single).collect()
}

/// The number of a token; `needed_by` is for the message.
fn number(vocabulary: &Vocabulary, name: &str, needed_by: &str) -> Result<u32, String> {
    vocabulary.get(name).copied().ok_or_else(|| {
        let name = shown(name);
        format!("{needed_by} needs the token {name}, which its vocabulary lacks")
    })
}

fn byte_tokens(vocabulary: &Vocabulary) -> Result<Vec<u32>, String> {
    (0..=u8::MAX)
        .map(|byte| number(vocabulary, &format!("<0x{byte:02X}>"), "byte_fallback"))
        .collect()
}

fn rules(vocabulary: &Vocabulary, merges: &[Merge]) -> Result<Rules, String> {
    let mut rules = Rules::with_capacity(merges.len());
    for (rank, merge) in merges.iter().enumerate() {
        let label = format!("merge {rank}");
        let (left, right) = merge
            .tokens()
            .ok_or_else(|| format!("{label} is not two tokens with a space between them"))?;
        let tokens = (
            number(vocabulary, left, &label)?,
            number(vocabulary, right, &label)?,
        );
        let merged = number(vocabulary, &format!("{left}{right}"), &label)?;
        rules.insert(tokens, Rule { rank, merged });
    }
    Ok(rules)
}

/// The added tokens, the longest first.
fn added(vocabulary: &Vocabulary, tokens: Vec<AddedToken>) -> Result<Vec<(String, u32)>, String> {
    if tokens.len() > MOST_ADDED {
        return Err(format!(
            "it has {} added tokens; the most is {MOST_ADDED}",
            tokens.len()
        ));
    }
    for token in &tokens {
        token.check(vocabulary)?;
    }
    let mut added: Vec<(String, u32)> = tokens
        .into_iter()
        .map(|token| (token.content, token.id))
        .collect();
    added.sort_by_key(|(content, _)| Reverse(content.len()));
    Ok(added)
}

impl AddedToken {
    fn check(&self, vocabulary: &Vocabulary) -> Result<(), String> {
        let name = shown(&self.content);
        if self.content.is_empty() || self.content.len() > MOST_ADDED {
            return Err(format!(
                "the added token {name} must have 1 to {MOST_ADDED} bytes"
            ));
        }
        if self.single_word || self.lstrip || self.rstrip || self.normalized {
            let settings = "with single_word, lstrip, rstrip or normalized";
            return Err(unsupported(&format!("added token {name}"), settings));
        }
        if vocabulary.get(&self.content) != Some(&self.id) {
            return Err(format!(
                "the added token {name} is not token {} of its vocabulary",
                self.id
            ));
        }
        Ok(())
    }
}
