//! Texts to numbers of tokens by byte-pair encoding, as Llama 2's tokenizer does it (Sennrich et al., "Neural machine
//! translation of rare words with subword units", 2016): the characters of the whole text are merged pair by pair,
//! always the pair whose merge was learned first; a character without a token becomes the tokens of its bytes.

mod file;
mod merging;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use merging::{Rules, merge};

/// A tokenizer read from a file.
#[derive(Debug)]
pub struct Tokenizer {
    characters: HashMap<char, u32>,
    /// The token of every byte.
    bytes: Vec<u32>,
    rules: Rules,
    /// Texts that are one token wherever they stand, the longest first.
    added: Vec<(String, u32)>,
    spelling: Spelling,
    largest: u32,
}

/// How a text is changed first: one character is put before it, and another is replaced throughout.
#[derive(Debug, Clone, Copy)]
struct Spelling {
    prepended: char,
    replaced: char,
    replacement: char,
}

impl Tokenizer {
    /// Reads a tokenizer from JSON in the form of Hugging Face's `tokenizers`.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] for a file that is damaged, contradicts itself, or asks for something that is
    /// not supported, which the message names.
    pub fn load(path: &Path) -> Result<Self> {
        let json = fs::read(path).map_err(|source| Error::io(path, source))?;
        Self::from_json(&json).map_err(|message| Error::file(path, message))
    }

    /// [`Tokenizer::load`] for what the file holds.
    pub(super) fn from_json(json: &[u8]) -> std::result::Result<Self, String> {
        file::read(json)
    }

    /// The largest number of a token.
    pub fn largest(&self) -> u32 {
        self.largest
    }

    /// The tokens of a text, none for an empty one; nothing is put before or behind them. Added tokens (`</s>`) are
    /// found in the text. n characters take of the order of n log n steps.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        let (mut start, mut place) = (0, 0);
        while let Some(character) = text[place..].chars().next() {
            match self.added_at(&text[place..]) {
                Some((length, token)) => {
                    self.encode_part(&text[start..place], &mut tokens);
                    tokens.push(token);
                    place += length;
                    start = place;
                }
                None => place += character.len_utf8(),
            }
        }
        self.encode_part(&text[start..], &mut tokens);
        tokens
    }

    /// The length in bytes and the number of the added token that `text` begins with.
    fn added_at(&self, text: &str) -> Option<(usize, u32)> {
        self.added
            .iter()
            .find(|(content, _)| text.starts_with(content))
            .map(|(content, token)| (content.len(), *token))
    }

    /// Appends the tokens of a text that has no added ones.
    fn encode_part(&self, text: &str, tokens: &mut Vec<u32>) {
        if text.is_empty() {
            return;
        }
        let mut smallest = Vec::with_capacity(text.len());
        for character in std::iter::once(self.spelling.prepended).chain(text.chars()) {
            let character = self.spelling.of(character);
            match self.characters.get(&character) {
                Some(&token) => smallest.push(token),
                None => {
                    let mut buffer = [0; 4];
                    let bytes = character.encode_utf8(&mut buffer).bytes();
                    smallest.extend(bytes.map(|byte| self.bytes[usize::from(byte)]));
                }
            }
        }
        tokens.extend(merge(&self.rules, &smallest));
    }
}

impl Spelling {
    fn of(self, character: char) -> char {
        if character == self.replaced {
            self.replacement
        } else {
            character
        }
    }
}

#[cfg(test)]
mod tests;
