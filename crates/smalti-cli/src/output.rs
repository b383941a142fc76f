//! Files a command writes: never over something that is there, unless asked.

use crate::Common;
use smalti::{Error, Result};
use std::path::{Path, PathBuf};

/// Refuses a file that exists.
pub fn free(path: &Path, overwrite: bool) -> Result<()> {
    if path.exists() && !overwrite {
        return Err(Error::input(format!(
            "{} exists: choose another --out, or say --overwrite",
            path.display()
        )));
    }
    if path.is_dir() {
        return Err(Error::input(format!(
            "{} is a folder; name a file",
            path.display()
        )));
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => folder(parent),
        _ => Ok(()),
    }
}

/// Creates a folder and those above it.
pub fn folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|error| Error::io(path, error))
}

/// The files `names` in `folder`, which is created; refuses them if one exists.
pub fn free_in(folder_path: &Path, names: &[String], overwrite: bool) -> Result<Vec<PathBuf>> {
    let paths: Vec<PathBuf> = names.iter().map(|name| folder_path.join(name)).collect();
    if let Some(path) = paths.iter().find(|path| path.exists() && !overwrite) {
        return Err(Error::input(format!(
            "{} exists: choose another --out, or say --overwrite",
            path.display()
        )));
    }
    folder(folder_path)?;
    Ok(paths)
}

/// Writes a line to standard output. A reader that has seen enough (`| head`) ends the program quietly.
pub fn line(text: impl std::fmt::Display) {
    use std::io::Write;
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Prints `json` if asked for JSON, `text` otherwise.
pub fn print(common: &Common, json: serde_json::Value, text: impl FnOnce() -> Vec<String>) {
    if common.json {
        line(format_args!("{json:#}"));
        return;
    }
    for text in text() {
        line(text);
    }
}

/// `NAME.png` for each picture, told apart by a number where two have the same name.
pub fn picture_names(inputs: &[PathBuf]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for input in inputs {
        let stem = input
            .file_stem()
            .map_or("picture".into(), |stem| stem.to_string_lossy());
        let mut name = format!("{stem}.png");
        let mut number = 2;
        while names.contains(&name) {
            name = format!("{stem}-{number}.png");
            number += 1;
        }
        names.push(name);
    }
    names
}
