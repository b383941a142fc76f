//! The user's cache folder, where weights are kept once they were got.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::catalogue;
use crate::error::{Error, Result};

/// The cache folder: `$SMALTI_CACHE`; else `smalti` under `$XDG_CACHE_HOME`, else under `$HOME/.cache`
/// (on Windows under `%LOCALAPPDATA%`). It need not exist yet.
///
/// # Errors
/// [`Error::Input`] when none of these variables is set.
pub fn folder() -> Result<PathBuf> {
    folder_from(|variable| std::env::var_os(variable))
}

/// Where the weights called `name` are kept: `<cache>/weights/<name>.safetensors`. The file need not exist.
///
/// # Errors
/// [`Error::Input`] for a name that is not in the catalogue, or when there is no cache folder.
pub fn cached(name: &str) -> Result<PathBuf> {
    // Only names of the catalogue become file names, so none can lead out of the folder.
    let network = catalogue::network(name)?;
    Ok(weights_file(&folder()?, network.name))
}

/// The file for `name` in a folder that has the cache's layout.
pub(super) fn weights_file(folder: &Path, name: &str) -> PathBuf {
    folder.join("weights").join(format!("{name}.safetensors"))
}

/// [`folder`] with the environment given as a function.
fn folder_from(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let path = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(folder) = path("SMALTI_CACHE") {
        return Ok(folder);
    }
    // The XDG rules ask for relative paths to be ignored.
    let base = path("LOCALAPPDATA")
        .filter(|_| cfg!(windows))
        .or_else(|| path("XDG_CACHE_HOME").filter(|base| base.is_absolute()))
        .or_else(|| path("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("smalti")).ok_or_else(|| {
        Error::input(
            "there is no cache folder: HOME is not set; set SMALTI_CACHE to a folder that may be written to",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(variables: &[(&str, &str)]) -> Result<PathBuf> {
        folder_from(|name| {
            variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_most_particular_variable_wins() {
        let all = [
            ("SMALTI_CACHE", "/own"),
            ("XDG_CACHE_HOME", "/xdg"),
            ("HOME", "/home/a"),
        ];
        assert_eq!(folder_with(&all).unwrap(), Path::new("/own"));
        assert_eq!(
            folder_with(&all[2..]).unwrap(),
            Path::new("/home/a/.cache/smalti")
        );
    }

    #[cfg(unix)]
    #[test]
    fn xdg_folders_count_only_when_they_are_absolute() {
        let home = ("HOME", "/home/a");
        let xdg = folder_with(&[("XDG_CACHE_HOME", "/xdg"), home]).unwrap();
        assert_eq!(xdg, Path::new("/xdg/smalti"));
        let relative = folder_with(&[("XDG_CACHE_HOME", "xdg"), home]).unwrap();
        assert_eq!(relative, Path::new("/home/a/.cache/smalti"));
    }

    #[test]
    fn empty_variables_count_as_unset() {
        let empty = folder_with(&[("SMALTI_CACHE", ""), ("HOME", "/home/a")]).unwrap();
        assert_eq!(empty, Path::new("/home/a/.cache/smalti"));
        let message = folder_with(&[("HOME", "")]).unwrap_err().to_string();
        assert!(message.contains("SMALTI_CACHE"), "{message}");
    }

    #[test]
    fn only_names_of_the_catalogue_become_files() {
        assert!(cached("../lpips-vgg").is_err());
        assert_eq!(
            weights_file(Path::new("c"), "lpips-vgg"),
            Path::new("c").join("weights").join("lpips-vgg.safetensors")
        );
    }
}
