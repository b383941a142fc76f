//! What the readers of JSON files share. A file is read as a stream into entries of a known form; what is not asked for
//! is skipped and never kept, however deep it goes.

use std::fmt::{self, Display};
use std::fs::File;
use std::io::BufReader;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};

/// Reads a JSON file.
///
/// # Errors
/// When the file cannot be opened or does not have the form of `T`.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let read = serde_json::from_reader(BufReader::with_capacity(1 << 20, file));
    read.map_err(|error| match error.io_error_kind() {
        Some(kind) => Error::io(path, kind.into()),
        None => Error::file(path, one_line(error)),
    })
}

/// A message may quote what a file says.
fn one_line(message: impl Display) -> String {
    let message = message.to_string();
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What one entry of a list is called in errors.
pub(crate) trait Entry {
    const NAME: &'static str;
}

/// A list. An error in it names the entry, counted from 1.
pub(crate) struct Entries<T>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de> + Entry> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_seq(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Entry> Visitor<'de> for EntriesVisitor<T> {
    type Value = Entries<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list: one {} after the other", T::NAME)
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut list: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        loop {
            match list.next_element() {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => return Ok(Entries(entries)),
                Err(error) => {
                    let place = entries.len() + 1;
                    return Err(A::Error::custom(format!("{} {place}: {error}", T::NAME)));
                }
            }
        }
    }
}

/// What identifies something: text, or a whole number, which is the same as its digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Id(pub(crate) String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a whole number or text")
    }

    fn visit_u64<E>(self, number: u64) -> std::result::Result<Id, E> {
        Ok(Id(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> std::result::Result<Id, E> {
        Ok(Id(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Id, E> {
        Ok(Id(text.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[derive(Deserialize)]
    struct Thing {
        id: Id,
        size: f64,
    }

    impl Entry for Thing {
        const NAME: &'static str = "thing";
    }

    #[derive(Deserialize)]
    struct Things {
        things: Entries<Thing>,
    }

    fn read_text(text: &str) -> Result<Things> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("things.json");
        fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn what_is_not_asked_for_is_skipped() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let text = format!(
            r#"{{"more": {deep}, "things": [{{"id": 7, "size": 2, "deep": {deep}}}, {{"size": 0.5, "id": "x"}}]}}"#
        );
        let things = read_text(&text).unwrap().things.0;
        assert_eq!(things.len(), 2);
        assert_eq!((things[0].id.0.as_str(), things[0].size), ("7", 2.0));
        assert_eq!((things[1].id.0.as_str(), things[1].size), ("x", 0.5));
    }

    #[test]
    fn errors_name_the_file_and_the_entry() {
        let message = |text: &str| read_text(text).err().unwrap().to_string();
        let missing = message(r#"{"things": [{"id": 1, "size": 1}, {"id": 2}]}"#);
        assert!(
            missing.contains("things.json: thing 2: missing field `size`"),
            "{missing}"
        );
        assert!(missing.contains("line 1 column "), "{missing}");
        let deep = message(&format!(r#"{{"things": [{{"id": {}"#, "[".repeat(100_000)));
        assert!(deep.contains("thing 1: invalid type: sequence"), "{deep}");
        let short = message(r#"{"things": [{"id": 1, "size": 1}"#);
        assert!(short.contains("thing 2: EOF"), "{short}");
        assert!(message(r#"{"things": 3}"#).contains("a list: one thing after the other"));
        assert!(message("").contains("EOF"));
        assert!(
            message("{\"things\": [{\"id\": \"a\nb\"}]}")
                .lines()
                .count()
                == 1
        );
    }
}
