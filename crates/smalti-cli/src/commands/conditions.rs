//! What `sample`, `complete` and `eval samples` draw pictures under: from options to conditions.

use clap::Args;
use smalti::model::{Given, GivenCondition, Model};
use smalti::prior::PriorConfig;
use smalti::prior::condition::{ClassCondition, Condition};
use smalti::sample::picture_seed;
use smalti::{Error, Result};
use std::path::{Path, PathBuf};

/// What pictures are drawn under. Several of one kind are taken in turn.
#[derive(Args)]
pub struct ConditionArgs {
    /// The class, by name or number; may be given several times. Without it, samples are of all classes of a
    /// class-conditional prior in turn
    #[arg(long)]
    class: Vec<String>,
    /// A label map, depth, edges, a pose, a picture to be made larger, or a layout, whichever the prior is conditioned on;
    /// may be given several times. Of a folder, all its files in an order that the seed decides
    #[arg(long, value_name = "FILE|DIR")]
    condition: Vec<PathBuf>,
    /// What the picture shows, in words; may be given several times
    #[arg(long)]
    text: Vec<String>,
    /// The folder of the text encoder [default: as in training]
    #[arg(long, value_name = "DIR")]
    text_encoder: Option<PathBuf>,
}

impl ConditionArgs {
    /// How many files or texts are given; none if there is a folder of files, which has no end to it.
    pub fn given(&self) -> usize {
        match self.condition.iter().any(|path| path.is_dir()) {
            true => 0,
            false => self.condition.len() + self.text.len(),
        }
    }

    /// What pictures are drawn under, one after the other and then from the first again. With `all_classes`, a
    /// class-conditional prior takes all its classes where none is given.
    pub fn choices(
        &self,
        config: &PriorConfig,
        all_classes: bool,
        seed: u64,
    ) -> Result<Vec<Given>> {
        let classes = match (&config.condition, self.class.is_empty()) {
            (Condition::Class(condition), true) if all_classes => all_of(condition),
            _ => self.class.clone(),
        };
        let files = files(&self.condition, seed)?;
        if [classes.len(), files.len(), self.text.len()]
            .iter()
            .filter(|&&count| count > 0)
            .count()
            > 1
        {
            return Err(Error::input(
                "a prior has one condition: give only one of --class, --condition and --text",
            ));
        }
        let layout = matches!(config.condition, Condition::Layout(_));
        let of_class = |class| Given {
            class: Some(class),
            ..self.empty()
        };
        let of_file = |path| match layout {
            true => Given {
                layout: Some(path),
                ..self.empty()
            },
            false => Given {
                picture: Some(path),
                ..self.empty()
            },
        };
        let of_text = |text: &String| Given {
            text: Some(text.clone()),
            ..self.empty()
        };
        let classes = classes.into_iter().map(of_class);
        let files = files.into_iter().map(of_file);
        let mut choices: Vec<Given> = classes.chain(files).collect();
        choices.extend(self.text.iter().map(of_text));
        if choices.is_empty() {
            choices.push(self.empty());
        }
        Ok(choices)
    }

    /// Classes, files and texts, to be said with figures of pictures that are drawn under all of them in turn.
    pub fn described(&self, config: &PriorConfig) -> [Option<String>; 3] {
        let listed = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
        let classes = match (&config.condition, self.class.is_empty()) {
            (Condition::Class(_), true) => Some("all in turn".to_string()),
            _ => listed(&self.class),
        };
        let files = self.condition.iter().map(|path| path.display().to_string());
        let files: Vec<String> = files.collect();
        [classes, listed(&files), listed(&self.text)]
    }

    fn empty(&self) -> Given {
        Given {
            text_encoder: self.text_encoder.clone(),
            ..Given::default()
        }
    }
}

/// All classes by name, as the name of one may be the number of another; by number where names are not known.
fn all_of(condition: &ClassCondition) -> Vec<String> {
    let name = |class: usize| condition.names.get(class).cloned();
    (0..condition.classes)
        .map(|class| name(class).unwrap_or_else(|| class.to_string()))
        .collect()
}

/// The files that are meant: each as it is, and those of folders in a random order.
fn files(paths: &[PathBuf], seed: u64) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => all.extend(files_of_folder(path, seed)?),
            false => all.push(path.clone()),
        }
    }
    Ok(all)
}

fn files_of_folder(folder: &Path, seed: u64) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|source| Error::io(folder, source))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| Error::io(folder, source))?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if path.is_file() && !hidden {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Error::file(folder, "there is no file in this folder"));
    }
    files.sort_unstable();
    let mut shuffled: Vec<(u64, PathBuf)> = files
        .into_iter()
        .enumerate()
        .map(|(index, file)| (picture_seed(seed, index), file))
        .collect();
    shuffled.sort_unstable();
    Ok(shuffled.into_iter().map(|(_, file)| file).collect())
}

/// The conditions of `count` pictures of `grid` codes. A file that several pictures share is read once; pictures of them
/// are kept only if they are to be `shown`.
pub fn conditions(
    model: &Model,
    choices: &[Given],
    (count, grid, seed): (usize, [usize; 2], u64),
    shown: bool,
) -> Result<Vec<GivenCondition>> {
    let mut read: Vec<Option<GivenCondition>> = vec![None; choices.len()];
    let mut all = Vec::with_capacity(count);
    for index in 0..count {
        let turn = index % choices.len();
        let given = &choices[turn];
        let mut condition = match (&read[turn], &given.layout) {
            (Some(condition), None) => condition.clone(),
            _ => {
                let given = Given {
                    // The order of a layout's objects is drawn anew for every picture.
                    seed: picture_seed(seed, index),
                    ..given.clone()
                };
                model.conditioning(&given, grid)?
            }
        };
        condition.picture = condition.picture.filter(|_| shown);
        read[turn] = Some(condition.clone());
        all.push(condition);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_whose_names_are_numbers_all_have_their_turn() {
        let config = PriorConfig {
            condition: Condition::Class(ClassCondition {
                classes: 3,
                names: ["1", "2", "3"].map(String::from).to_vec(),
            }),
            ..PriorConfig::default()
        };
        let nothing = ConditionArgs {
            class: Vec::new(),
            condition: Vec::new(),
            text: Vec::new(),
            text_encoder: None,
        };
        let choices = nothing.choices(&config, true, 0).unwrap();
        let number = |given: &Given| config.condition.class(given.class.as_deref()).unwrap();
        let numbers: Vec<Option<usize>> = choices.iter().map(number).collect();
        assert_eq!(numbers, [Some(0), Some(1), Some(2)]);
    }
}
