//! What `sample`, `complete` and `eval samples` draw pictures under: from options to conditions.

use clap::Args;
use smalti::model::{Given, GivenCondition, Model};
use smalti::prior::PriorConfig;
use smalti::prior::annotations::{are_annotations, layouts};
use smalti::prior::condition::{ClassCondition, Condition};
use smalti::sample::picture_seed;
use smalti::{Error, Result};
use std::path::{Path, PathBuf};

/// What pictures are drawn under. Several of one kind are taken in turn.
#[derive(Args, Clone)]
pub struct ConditionArgs {
    /// The class, by name or number; may be given several times. Without it, samples are of all classes of a
    /// class-conditional prior in turn
    #[arg(long)]
    class: Vec<String>,
    /// A label map, depth, edges, a pose, a picture to be made larger, or a layout, whichever the prior is conditioned on;
    /// may be given several times. Of a folder, all its files in an order that the seed decides; of annotations as
    /// trainings read them, the layouts of all their pictures likewise
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
    /// How many files or texts are given; none if there is a folder of files or a file of annotations, which are many.
    pub fn given(&self, config: &PriorConfig) -> usize {
        let layout = matches!(config.condition, Condition::Layout(_));
        let many = |path: &PathBuf| path.is_dir() || (layout && are_annotations(path));
        match self.condition.iter().any(many) {
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
        let given = [self.class.len(), self.condition.len(), self.text.len()];
        let kinds = given.iter().filter(|&&count| count > 0).count();
        if kinds > 1 {
            return Err(Error::input(
                "a prior has one condition: give only one of --class, --condition and --text",
            ));
        }
        let classes = match &config.condition {
            Condition::Class(condition) if all_classes && kinds == 0 => all_of(condition),
            _ => self.class.clone(),
        };
        let of_class = |class| Given {
            class: Some(class),
            ..self.empty()
        };
        let of_text = |text: &String| Given {
            text: Some(text.clone()),
            ..self.empty()
        };
        let classes = classes.into_iter().map(of_class);
        let mut choices: Vec<Given> = classes.collect();
        for path in &self.condition {
            choices.extend(self.of_path(path, &config.condition, seed)?);
        }
        choices.extend(self.text.iter().map(of_text));
        if choices.is_empty() {
            choices.push(self.empty());
        }
        Ok(choices)
    }

    /// What a path means: a file as it is; the files of a folder, and the pictures of annotations, in a random order.
    fn of_path(&self, path: &Path, condition: &Condition, seed: u64) -> Result<Vec<Given>> {
        if let Condition::Layout(layout) = condition
            && are_annotations(path)
        {
            let of_objects = |objects| Given {
                objects: Some(objects),
                ..self.empty()
            };
            let all = shuffled(layouts(path, layout)?, seed);
            return Ok(all.into_iter().map(of_objects).collect());
        }
        let files = match path.is_dir() {
            true => shuffled(files_of_folder(path)?, seed),
            false => vec![path.to_path_buf()],
        };
        let of_file = |file| match condition {
            Condition::Layout(_) => Given {
                layout: Some(file),
                ..self.empty()
            },
            _ => Given {
                picture: Some(file),
                ..self.empty()
            },
        };
        Ok(files.into_iter().map(of_file).collect())
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

/// The files of a folder, sorted.
fn files_of_folder(folder: &Path) -> Result<Vec<PathBuf>> {
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
    Ok(files)
}

fn shuffled<T>(items: Vec<T>, seed: u64) -> Vec<T> {
    let mut places: Vec<(u64, T)> = items
        .into_iter()
        .enumerate()
        .map(|(index, item)| (picture_seed(seed, index), item))
        .collect();
    places.sort_by_key(|(place, _)| *place);
    places.into_iter().map(|(_, item)| item).collect()
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
        // The order of a layout's objects is drawn anew for every picture.
        let layout = given.layout.is_some() || given.objects.is_some();
        let mut condition = match &read[turn] {
            Some(condition) if !layout => condition.clone(),
            _ => {
                let given = Given {
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

/// What was done to files of another size than the pictures that are drawn under them: a line for each kind, with an
/// example.
pub fn fitting_notes(given: &[GivenCondition]) -> Vec<String> {
    let fitted: Vec<[(u32, u32); 2]> = given.iter().filter_map(|given| given.fitted).collect();
    let same = |[own, wanted]: &[(u32, u32); 2]| {
        u64::from(own.0) * u64::from(wanted.1) == u64::from(own.1) * u64::from(wanted.0)
    };
    let (scaled, cropped): (Vec<_>, Vec<_>) = fitted.into_iter().partition(same);
    let example = |[own, wanted]: [(u32, u32); 2]| {
        format!("{}×{} to {}×{}", own.0, own.1, wanted.0, wanted.1)
    };
    let scaled = scaled.first().map(|&sizes| {
        let sizes = example(sizes);
        format!(
            "--condition: files of another size than the picture are scaled, such as {sizes} pixels"
        )
    });
    let cropped = cropped.first().map(|&sizes| {
        let sizes = example(sizes);
        format!(
            "--condition: files of other proportions than the picture are scaled until they cover it, and their middle \
             is taken, such as {sizes} pixels"
        )
    });
    scaled.into_iter().chain(cropped).collect()
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
        let file = ConditionArgs {
            condition: vec![PathBuf::from("map.png")],
            ..nothing.clone()
        };
        let choices = file.choices(&config, true, 0).unwrap();
        assert_eq!(choices[0].picture, Some(PathBuf::from("map.png")));
        assert_eq!((choices.len(), choices[0].class.as_ref()), (1, None));
        let both = ConditionArgs {
            class: vec!["1".to_string()],
            ..file
        };
        let error = both.choices(&config, true, 0).unwrap_err();
        assert!(error.to_string().contains("only one of"), "{error}");
        let choices = nothing.choices(&config, true, 0).unwrap();
        let number = |given: &Given| config.condition.class(given.class.as_deref()).unwrap();
        let numbers: Vec<Option<usize>> = choices.iter().map(number).collect();
        assert_eq!(numbers, [Some(0), Some(1), Some(2)]);
    }
}
