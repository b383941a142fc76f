//! Which pictures are measured.

use clap::{Args, ValueEnum};
use serde_json::Value;
use smalti::data::Dataset;
use smalti::{Error, Result};
use std::path::PathBuf;

/// A part of a data set.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Split {
    /// Those that the model's training held back
    Validation,
    /// All there are
    All,
}

impl Split {
    pub fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::All => "all",
        }
    }
}

#[derive(Args)]
pub struct PictureArgs {
    /// A folder of pictures, or a list file [default: the model's training data]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Which of the pictures [default: validation without --data, otherwise all]
    #[arg(long, value_enum)]
    split: Option<Split>,
}

impl PictureArgs {
    /// Where the pictures are; `recipe` is that of the model.
    pub fn path(&self, recipe: &Value) -> Result<PathBuf> {
        let trained_on = recipe.get("data").and_then(Value::as_str);
        let data = self.data.clone().or(trained_on.map(PathBuf::from));
        data.ok_or_else(|| {
            Error::input("the model does not say what it was trained on: name pictures with --data")
        })
    }

    pub fn split(&self) -> Split {
        let default = match self.data {
            None => Split::Validation,
            Some(_) => Split::All,
        };
        self.split.unwrap_or(default)
    }

    /// The part of `dataset` to be measured: the held back pictures are those that the training chose.
    pub fn part(&self, dataset: Dataset, recipe: &Value) -> Result<Dataset> {
        if self.split() == Split::All {
            return Ok(dataset);
        }
        let share = recipe.get("validation").and_then(Value::as_f64);
        let seed = recipe.get("seed").and_then(Value::as_u64);
        let (Some(share), Some(seed)) = (share, seed) else {
            return Err(Error::input(
                "the model does not say which pictures its training held back: use --split all",
            ));
        };
        let (_, held_back) = dataset.split(share, seed);
        if held_back.items.is_empty() {
            return Err(Error::input(
                "the training held no pictures back: use --split all",
            ));
        }
        Ok(held_back)
    }
}
