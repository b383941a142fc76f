//! What becomes of a page's command so that it takes seconds, and so that letters which stand for something do stand for it.
//! The program itself knows nothing of this.

use crate::common::{TINY, TINY_PRIOR};

/// Letters that stand for something, and what that is here.
const STANDS_FOR: [(&str, &str); 11] = [
    ("IMAGE…", "photo.png"),
    ("IMAGE", "photo.png"),
    ("PICTURE", "photo.png"),
    ("DATA", "photos"),
    ("RUN", "M"),
    ("DIR", "photos"),
    // The one network that there is.
    ("inception-fid", "efficientnet-lite0"),
    ("…", "efficientnet-lite0"),
    // As many pictures as are soon drawn.
    ("5000", "12"),
    ("1000", "4"),
    ("64", "4"),
];

/// What stands for a file or folder that does not exist yet.
const NEW: [&str; 5] = ["DIR", "M", "M2", "FILE", "OUT"];

/// Options that say how long to train.
const BUDGETS: [&str; 3] = ["--minutes", "--steps", "--epochs"];

/// Networks so small that a step takes milliseconds, for `smalti train`.
const TINY_WHOLE: [&str; 20] = [
    "--perceptual",
    "none",
    "--set",
    "tokenizer.channels=32",
    "--set",
    "tokenizer.channel_multipliers=[1, 1, 1]",
    "--set",
    "tokenizer.batch=4",
    "--set",
    "tokenizer.kmeans_step=0",
    "--set",
    "tokenizer.steps=2",
    "--set",
    "prior.layers=1",
    "--set",
    "prior.heads=2",
    "--set",
    "prior.width=32",
    "--set",
    "prior.steps=2",
];

/// The same for `smalti reproduce`, with few samples and values to go through.
const TINY_REPRODUCTION: [&str; 28] = [
    "--steps",
    "2",
    "--size",
    "32",
    "--perceptual",
    "none",
    "-n",
    "6",
    "--top-k",
    "0,4",
    "--top-p",
    "1",
    "--accept",
    "1,0.5",
    "--set",
    "tokenizer.channels=32",
    "--set",
    "tokenizer.batch=4",
    "--set",
    "tokenizer.kmeans_step=0",
    "--set",
    "tokenizer.validation=0.25",
    "--set",
    "prior.layers=1",
    "--set",
    "prior.heads=2",
    "--set",
    "prior.width=32",
];

/// The arguments that are run for the words of a command behind `smalti`; `number` tells its files from others'.
pub fn arguments(words: &[String], number: usize) -> Vec<String> {
    let mut arguments = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let is_new = place > 0 && words[place - 1] == "--out" && NEW.contains(&word.as_str());
        arguments.push(match is_new {
            true => format!("{word}-{number}"),
            false => stands_for(word),
        });
    }
    let said = |option: &str| words.iter().any(|word| word == option);
    let named: Vec<&str> = words.iter().take(2).map(String::as_str).collect();
    let add: Vec<&str> = match named[..] {
        // Its network is nothing already.
        ["train", "tokenizer"] if said("colours") => budgeted(&mut arguments, &[]),
        ["train", "tokenizer"] => budgeted(&mut arguments, &TINY),
        ["train", "prior"] => budgeted(&mut arguments, &TINY_PRIOR),
        ["train", option] if option.starts_with('-') && !resumes(&arguments) => {
            without_budget(&mut arguments);
            TINY_WHOLE.to_vec()
        }
        ["reproduce", _] => {
            without_budget(&mut arguments);
            TINY_REPRODUCTION.to_vec()
        }
        ["demo", ..] => {
            without_budget(&mut arguments);
            vec!["--minutes", "0.05"]
        }
        ["eval", "reconstruction"] => {
            // One of twelve pictures is held back, which is too few for a covariance.
            let all = if said("--features") {
                "all"
            } else {
                "validation"
            };
            vec!["--perceptual", "none", "--split", all]
        }
        ["eval", "samples" | "sweep"] if !said("--features") => {
            vec!["--features", "efficientnet-lite0", "-n", "12"]
        }
        _ => Vec::new(),
    };
    arguments.extend(add.into_iter().map(String::from));
    arguments
}

fn stands_for(word: &str) -> String {
    let known = STANDS_FOR.iter().find(|(letters, _)| *letters == word);
    known.map_or(word, |(_, meaning)| meaning).to_string()
}

fn resumes(arguments: &[String]) -> bool {
    arguments.iter().any(|argument| argument == "--resume")
}

/// What is added to a training: few steps, and a tiny network unless it has one already.
fn budgeted<'a>(arguments: &mut Vec<String>, tiny: &[&'a str]) -> Vec<&'a str> {
    without_budget(arguments);
    match resumes(arguments) {
        true => vec!["--steps", "4"],
        false => [&["--steps", "2"][..], tiny].concat(),
    }
}

fn without_budget(arguments: &mut Vec<String>) {
    while let Some(place) = arguments
        .iter()
        .position(|argument| BUDGETS.contains(&argument.as_str()))
    {
        arguments.drain(place..(place + 2).min(arguments.len()));
    }
}

#[test]
fn trainings_become_short_and_letters_names() {
    let quick = |command: &str| {
        let words: Vec<String> = command.split(' ').map(String::from).collect();
        arguments(&words, 7).join(" ")
    };
    assert_eq!(quick("info M"), "info M");
    assert_eq!(
        quick("sample --model M --out DIR"),
        "sample --model M --out DIR-7"
    );
    assert_eq!(
        quick("remap --data DIR --out M2"),
        "remap --data photos --out M2-7"
    );
    let prior = quick("train prior --minutes 60 --out runs/prior");
    assert!(
        prior.starts_with("train prior --out runs/prior --steps 2 --set layers=1"),
        "{prior}"
    );
    assert_eq!(
        quick("train tokenizer --resume runs/a --steps 20000"),
        "train tokenizer --resume runs/a --steps 4"
    );
    assert!(quick("train --data photos --minutes 60").contains("prior.steps=2"));
    let reproduction = quick("reproduce table1 --minutes 30 --out runs/table1");
    assert!(
        reproduction.starts_with("reproduce table1 --out runs/table1 --steps 2 --size 32"),
        "{reproduction}"
    );
}
