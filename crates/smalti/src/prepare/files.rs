//! From a data set to a folder of the same names: which file is made of which picture, and the making of those that are
//! not there yet.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::checkpoint::write_atomic;
use crate::data::{BadFile, Dataset, reason, stems};
use crate::error::{Error, Result};

/// A picture, and the file that is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub picture: PathBuf,
    pub file: PathBuf,
}

/// What became of the pictures of a data set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many files were made.
    pub written: usize,
    /// How many were there already and were left alone.
    pub present: usize,
    /// The pictures of which nothing could be made, and why.
    pub failed: Vec<BadFile>,
}

/// The file in `out` for every picture of `data`, which is whatever [`Dataset::open`] takes: the picture's path, with
/// `extension` in place of its own.
///
/// # Errors
/// When the data set cannot be opened; when `out` lies in the folder of pictures or that in `out`, or a file would
/// replace a picture; and when two pictures differ in their endings alone.
pub fn targets(data: &Path, out: &Path, extension: &str) -> Result<Vec<Target>> {
    let dataset = Dataset::open(data)?;
    if data.is_dir() {
        refuse_nested(data, out)?;
    }
    let mut pictures: HashMap<PathBuf, &Path> = HashMap::new();
    let mut targets = Vec::new();
    for (item, stem) in dataset.items.iter().zip(stems(&dataset, data)?) {
        let inside = |part: Component| matches!(part, Component::Normal(_));
        if !stem.components().all(inside) {
            let message = "it does not lie below the data, so nothing is written for it";
            return Err(Error::file(&item.path, message));
        }
        match pictures.get(&stem) {
            // A list may name a picture twice.
            Some(other) if *other == item.path => continue,
            Some(other) => {
                let message = format!(
                    "{} differs from it in its ending alone, and one file cannot be made of both",
                    other.display()
                );
                return Err(Error::file(&item.path, message));
            }
            None => {}
        }
        targets.push(Target {
            picture: item.path.clone(),
            file: with_ending(out.join(&stem), extension),
        });
        pictures.insert(stem, &item.path);
    }
    refuse_pictures(&targets)?;
    Ok(targets)
}

/// Adds an ending; dots in the name are part of it.
fn with_ending(path: PathBuf, extension: &str) -> PathBuf {
    let mut name = path.into_os_string();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// What was made would be among the pictures the next time.
fn refuse_nested(data: &Path, out: &Path) -> Result<()> {
    let (inner, outer) = (resolved(out), resolved(data));
    if inner.starts_with(&outer) || outer.starts_with(&inner) {
        return Err(Error::input(format!(
            "{} and {} lie in one another: choose a folder beside the pictures",
            out.display(),
            data.display()
        )));
    }
    Ok(())
}

/// The path without links and detours, of which the end need not exist.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let real = absolute.ancestors().find_map(|ancestor| {
        let real = ancestor.canonicalize().ok()?;
        Some(real.join(absolute.strip_prefix(ancestor).ok()?))
    });
    real.unwrap_or(absolute)
}

fn refuse_pictures(targets: &[Target]) -> Result<()> {
    let there: Vec<PathBuf> = targets
        .iter()
        .filter_map(|target| target.file.canonicalize().ok())
        .collect();
    if there.is_empty() {
        return Ok(());
    }
    let pictures: HashSet<PathBuf> = targets
        .iter()
        .filter_map(|target| target.picture.canonicalize().ok())
        .collect();
    match there.iter().find(|file| pictures.contains(*file)) {
        Some(picture) => Err(Error::input(format!(
            "{} is one of the pictures and would be replaced: choose another folder",
            picture.display()
        ))),
        None => Ok(()),
    }
}

/// Makes the files that are not there, or all of them with `overwrite`, several at a time. `make` gives the contents of
/// the file for a picture; `done` hears of every picture that is dealt with. A picture of which nothing can be made
/// stops no other.
pub fn each(
    targets: &[Target],
    overwrite: bool,
    make: impl Fn(&Path) -> Result<Vec<u8>> + Sync,
    done: impl Fn() + Sync,
) -> Outcome {
    let results: Vec<Result<Made>> = targets
        .par_iter()
        .map(|target| {
            let result = one(target, overwrite, &make);
            done();
            result
        })
        .collect();
    summary(targets, results)
}

/// [`each`], one after the other: for makers that keep all cores busy by themselves.
pub fn one_by_one(
    targets: &[Target],
    overwrite: bool,
    make: impl Fn(&Path) -> Result<Vec<u8>>,
    done: impl Fn(),
) -> Outcome {
    let results = targets.iter().map(|target| {
        let result = one(target, overwrite, &make);
        done();
        result
    });
    summary(targets, results)
}

/// Whether a file was made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    Now,
    Before,
}

fn one(target: &Target, overwrite: bool, make: impl Fn(&Path) -> Result<Vec<u8>>) -> Result<Made> {
    if !overwrite && target.file.is_file() {
        return Ok(Made::Before);
    }
    let contents = make(&target.picture)?;
    if let Some(folder) = target.file.parent() {
        fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    }
    write_atomic(&target.file, |file| file.write_all(&contents))?;
    Ok(Made::Now)
}

fn summary(targets: &[Target], results: impl IntoIterator<Item = Result<Made>>) -> Outcome {
    let mut outcome = Outcome::default();
    for (target, result) in targets.iter().zip(results) {
        match result {
            Ok(Made::Now) => outcome.written += 1,
            Ok(Made::Before) => outcome.present += 1,
            Err(error) => outcome.failed.push((target.picture.clone(), reason(error))),
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::data::companions;
    use crate::data::testing::folder;

    fn message(data: &Path, out: &Path) -> String {
        targets(data, out, "png").unwrap_err().to_string()
    }

    #[test]
    fn a_training_finds_what_was_made() {
        let data = folder(&["sea/a.b.jpg", "c.png"]);
        let out = data.path().with_extension("made");
        let targets = targets(data.path(), &out, "png").unwrap();
        let files: Vec<PathBuf> = targets.iter().map(|target| target.file.clone()).collect();
        assert_eq!(files, [out.join("c.png"), out.join("sea/a.b.png")]);

        let seen = AtomicUsize::new(0);
        let make = |path: &Path| match path.ends_with("c.png") {
            true => Err(Error::file(path, "it is bad")),
            false => Ok(b"made".to_vec()),
        };
        let count = || {
            seen.fetch_add(1, Ordering::Relaxed);
        };
        let outcome = each(&targets, false, make, count);
        assert_eq!((outcome.written, outcome.present), (1, 0));
        let bad = (data.path().join("c.png"), "it is bad".to_string());
        assert_eq!(outcome.failed, [bad]);
        assert_eq!(seen.load(Ordering::Relaxed), 2);

        let all = |_: &Path| Ok(b"again".to_vec());
        let outcome = one_by_one(&targets, false, all, || ());
        assert_eq!((outcome.written, outcome.present), (1, 1));
        assert_eq!(fs::read(&files[1]).unwrap(), b"made");
        let outcome = one_by_one(&targets, true, all, || ());
        assert_eq!((outcome.written, outcome.present), (2, 0));
        assert_eq!(fs::read(&files[1]).unwrap(), b"again");

        let dataset = Dataset::open(data.path()).unwrap();
        assert_eq!(companions(&dataset, data.path(), &out).unwrap(), files);
        fs::remove_dir_all(&out).unwrap();
    }

    #[test]
    fn pictures_are_never_replaced() {
        let data = folder(&["a.png", "list.txt"]);
        let root = data.path();
        for out in [root.join("edges"), root.to_path_buf()] {
            assert!(message(root, &out).contains("lie in one another"));
        }
        let outer = root.parent().unwrap();
        assert!(message(root, outer).contains("lie in one another"));
        for data in ["a.png", "list.txt"] {
            fs::write(root.join("list.txt"), "a.png\n").unwrap();
            let text = message(&root.join(data), root);
            assert!(text.contains("a.png is one of the pictures"), "{text}");
            let apart = targets(&root.join(data), &root.join("edges"), "png").unwrap();
            assert_eq!(apart[0].file, root.join("edges/a.png"));
        }
    }

    #[test]
    fn one_file_is_made_of_one_picture() {
        let data = folder(&["a.jpg", "a.png"]);
        let out = data.path().with_extension("made");
        assert!(message(data.path(), &out).contains("in its ending alone"));
    }

    #[test]
    fn nothing_is_written_outside_of_the_folder() {
        let data = folder(&["lists/train.txt", "a.png", "lists/b.png"]);
        let list = data.path().join("lists/train.txt");
        let out = data.path().join("made");
        fs::write(&list, "../a.png\n").unwrap();
        assert!(message(&list, &out).contains("does not lie below"));
        fs::write(&list, "b.png\nb.png\n").unwrap();
        assert_eq!(targets(&list, &out, "png").unwrap().len(), 1);
    }
}
