//! Pictures that could not be used: how they are reported, and the error when nothing else is left.

use std::path::PathBuf;

use crate::error::Error;

/// A picture that was skipped: its path and why, in one line that does not repeat the path.
pub type BadFile = (PathBuf, String);

/// What went wrong, without the path that [`Error`] puts in front.
pub fn reason(error: Error) -> String {
    match error {
        Error::Io { source, .. } => source.to_string(),
        Error::File { message, .. } => message,
        other => other.to_string(),
    }
}

/// The error for `count` pictures of which not one is usable; `first` is the example to show.
pub fn none_readable(count: usize, first: Option<&BadFile>) -> Error {
    let example = first.map_or_else(String::new, |(path, reason)| {
        format!("; the first: {}: {reason}", path.display())
    });
    let none = match count {
        1 => "the only picture could not".to_string(),
        _ => format!("none of the {count} pictures could"),
    };
    Error::input(format!("{none} be read{example}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_first_file_once() {
        let error = Error::file("a.png", "too small");
        let first = (PathBuf::from("a.png"), reason(error));
        assert_eq!(
            none_readable(3, Some(&first)).to_string(),
            "none of the 3 pictures could be read; the first: a.png: too small"
        );
        assert_eq!(
            none_readable(1, None).to_string(),
            "the only picture could not be read"
        );
    }
}
