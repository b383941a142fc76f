//! Runs the commands of README.md, docs/*.md and the pages beside other programs, page by page and in their order, on
//! small pictures and tiny networks.
//! What is not run is listed here with its reason; a block that is neither is a mistake.

#[path = "../common/mod.rs"]
mod common;
mod fixture;
mod page;
mod quick;

use fixture::Fixture;
use page::{Block, blocks, words};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Commands that begin like this are not run.
static SKIPPED: [(&str, &str); 15] = [
    ("scripts/fetch-assets", "it fetches packages"),
    ("scripts/compare-presets", "it trains for many minutes"),
    ("cargo test", "it runs what is running now"),
    ("smalti bench", "it measures the machine for minutes"),
    (
        "cargo run --release -p smalti --example",
        "a test of its own runs all examples",
    ),
    ("cargo build", "it builds what is running now"),
    ("python3 -m venv", "it makes an environment for PyTorch"),
    ("venv/bin/", "it fetches or runs PyTorch"),
    (
        "bench/compare",
        "it measures the machine for hours, beside PyTorch",
    ),
    ("rustup", "it fetches a compiler"),
    ("cargo install", "it fetches a program"),
    ("cargo +nightly fuzz", "it runs until something is found"),
    (
        "smalti reproduce sampling --data assets/",
        "the same is run on other pictures",
    ),
    (
        "smalti reproduce rejection --data assets/",
        "the same is run on other pictures",
    ),
    (
        "smalti reproduce table5 --data assets/",
        "the same is run on other pictures",
    ),
];

/// Commands of which only the form is shown, or which are for another place, and what is run for them.
static RUN_INSTEAD: [(&str, &[&str]); 10] = [
    ("cargo run --release -- demo", &["smalti demo"]),
    (
        "smalti prepare edges|pose|lowres|depth DATA --out DIR",
        &[
            "smalti prepare edges photos --out edges",
            "smalti prepare lowres photos --factor 2 --out lowres",
        ],
    ),
    (
        "smalti export M --to compvis|diffusers --out FILE",
        &[
            "smalti export run --to compvis --out exported.ckpt",
            "smalti export run --to diffusers --out exported",
        ],
    ),
    (
        "smalti remap --model M --data DIR --out M2",
        &["smalti remap --model run --data photos --out fewer.safetensors"],
    ),
    (
        "smalti completions bash|elvish|fish|powershell|zsh",
        &["smalti completions zsh"],
    ),
    ("smalti man DIR", &["smalti man man1"]),
    (
        "smalti train classifier --data DIR --out C",
        &["smalti train classifier --data animals --out C"],
    ),
    (
        "smalti sample --model M --accept 0.05 --classifier C",
        &["smalti sample --model runs/animals -n 64 --accept 0.5 --classifier C --out kept"],
    ),
    ("smalti weights fetch|import|list", &["smalti weights list"]),
    (
        "smalti import last.ckpt --out M",
        &["smalti import last.ckpt --out imported.safetensors"],
    ),
];

/// Blocks that are no commands, by the beginning of their first line.
static NO_COMMANDS: [(&str, &str); 5] = [
    ("annotations/instances_", "files of COCO"),
    ("class-descriptions-", "files of Open Images"),
    ("{\"objects\"", "a layout"),
    ("activities/", "captions"),
    ("file,caption", "captions"),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// README.md, docs/*.md, and the pages beside other programs.
fn pages() -> Vec<PathBuf> {
    let beside = ["README.md", "bench/README.md", "fuzz/README.md"];
    let mut pages: Vec<PathBuf> = beside.map(|page| repository().join(page)).to_vec();
    for entry in fs::read_dir(repository().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    pages
}

/// Not through `eprintln!`, which the test harness swallows.
fn say_aloud(text: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {text}");
}

/// What was met of the lists above, so that they do not outlive the pages.
#[derive(Default)]
struct Met(BTreeSet<&'static str>);

/// The commands of a page that can be run, in order.
fn runnable(page: &Path, met: &mut Met) -> Vec<String> {
    let name = page.strip_prefix(repository()).unwrap().display();
    let name = name.to_string();
    let text = fs::read_to_string(page).unwrap();
    let mut runnable = Vec::new();
    for block in blocks(&text) {
        let Some(commands) = block.commands() else {
            check_no_commands(&name, &block, met);
            continue;
        };
        for command in commands {
            let place = format!("{name}:{}: {command}", block.line);
            let skipped = SKIPPED.iter().find(|(start, _)| command.starts_with(start));
            let instead = RUN_INSTEAD.iter().find(|(shown, _)| *shown == command);
            if let Some((start, reason)) = skipped {
                met.0.insert(*start);
                say_aloud(&format!("{place}: {reason}"));
            } else if let Some((shown, commands)) = instead {
                met.0.insert(*shown);
                runnable.extend(commands.iter().map(ToString::to_string));
            } else {
                assert!(
                    command.starts_with("smalti "),
                    "{place}: neither run nor listed"
                );
                runnable.push(command);
            }
        }
    }
    runnable
}

fn check_no_commands(name: &str, block: &Block, met: &mut Met) {
    let first = block.lines.first().map(String::as_str).unwrap_or_default();
    let known = NO_COMMANDS
        .iter()
        .find(|(start, _)| first.starts_with(start));
    met.0.extend(known.map(|(start, _)| *start));
    assert!(
        known.is_some() || block.is_labelled_otherwise(),
        "{name}:{}: `{first}` is no command, and not listed as something else",
        block.line
    );
}

/// Runs the commands of a page in a folder of its own; returns what went wrong.
fn run(page: &Path, commands: &[String], fixture: &Fixture) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let made: Vec<String> = commands
        .iter()
        .flat_map(|command| {
            let words = words(command);
            let place = words.iter().position(|word| word == "--out");
            place.and_then(|place| words.get(place + 1).cloned())
        })
        // `M` stands for a model everywhere else.
        .filter(|made| made != "M")
        .collect();
    fixture.copy(folder.path(), &made);
    let mut failures = Vec::new();
    for (number, command) in commands.iter().enumerate() {
        let arguments = quick::arguments(&words(command)[1..], number);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = common::command(&arguments)
            .current_dir(folder.path())
            .env("SMALTI_ASSETS", fixture.assets())
            .output()
            .unwrap();
        if !output.status.success() {
            failures.push(format!(
                "{}: {command}\nrun as smalti {}\n{}",
                page.display(),
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr)
            ));
        }
    }
    failures
}

#[test]
fn every_command_of_the_pages_runs() {
    let fixture = Fixture::new();
    let mut met = Met::default();
    let (mut count, mut failures) = (0, Vec::new());
    for page in pages() {
        let commands = runnable(&page, &mut met);
        failures.extend(run(&page, &commands, &fixture));
        count += commands.len();
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count > 25, "only {count} commands were found");
    let lists = SKIPPED
        .iter()
        .map(|(start, _)| start)
        .chain(RUN_INSTEAD.iter().map(|(shown, _)| shown))
        .chain(NO_COMMANDS.iter().map(|(start, _)| start));
    for entry in lists {
        assert!(met.0.contains(entry), "`{entry}` is listed, but on no page");
    }
}
