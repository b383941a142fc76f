//! Files a command writes: never over something that is there, unless asked.

use crate::Common;
use smalti::{Error, Result};
use std::path::{Path, PathBuf};

/// Refuses a file that exists, and a folder in its place.
pub fn refuse_existing(path: &Path, overwrite: bool) -> Result<()> {
    if path.is_dir() {
        return Err(Error::input(format!(
            "{} is a folder; name a file",
            path.display()
        )));
    }
    if path.exists() && !overwrite {
        return Err(Error::input(format!(
            "{} exists: choose another file, or say --overwrite",
            path.display()
        )));
    }
    Ok(())
}

/// The files `names` in `folder`; refuses them if one exists.
pub fn files_in(folder: &Path, names: &[String], overwrite: bool) -> Result<Vec<PathBuf>> {
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    for path in &paths {
        refuse_existing(path, overwrite)?;
    }
    Ok(paths)
}

/// Creates the folder that a file will lie in.
pub fn folder_of(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => folder(parent),
        _ => Ok(()),
    }
}

/// Creates a folder and those above it.
pub fn folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|error| Error::io(path, error))
}

/// Writes a line to standard output. A reader that has seen enough (`| head`) ends the program quietly.
pub fn line(text: impl std::fmt::Display) {
    use std::io::Write;
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("smalti: standard output: {error}");
            std::process::exit(1);
        }
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

/// The name of the picture that shows all others.
pub const GRID: &str = "grid.png";

/// `NAME.png` for each picture, told apart by a number where two have the same name or that of the grid.
pub fn picture_names(inputs: &[PathBuf]) -> Vec<String> {
    let mut names = vec![GRID.to_string()];
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
    names.split_off(1)
}
