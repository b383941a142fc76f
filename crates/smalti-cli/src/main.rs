//! The binary `smalti`: parses the command line, calls the library, prints. One file per command under `commands/`.

mod commands;
mod models;
mod output;
mod progress;
mod report;
mod tiles;

use clap::{Args, CommandFactory, Parser, Subcommand};
use smalti::Error;
use smalti::memory::OutOfMemory;
use smalti::ops::{Precision, check_instruction_set};
use smalti::sample::WeightFormat;
use std::process::ExitCode;

/// Learn the pieces of pictures and how they compose: VQGAN tokenizers and transformer priors on your own machine
///
/// Example: smalti train --data photos --minutes 60 --out runs/photos
#[derive(Parser)]
#[command(name = "smalti", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// Options that every command has.
#[derive(Args, Clone)]
pub struct Common {
    /// Print one JSON document on standard output
    #[arg(long, global = true)]
    json: bool,
    /// No progress and no notes on standard error
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Threads to compute with [default: all cores]
    #[arg(long, global = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// What networks compute in: f32, or bf16 for less memory and, on processors with AVX512-BF16 or AMX, more speed
    /// [default: f32]
    #[arg(long, global = true, value_parser = parse_precision)]
    precision: Option<Precision>,
}

impl Common {
    /// What the weights of a prior are kept in: what was asked for, or else what networks compute in.
    fn weights(&self, asked: Option<WeightFormat>) -> WeightFormat {
        match (asked, self.precision) {
            (Some(weights), _) => weights,
            (None, Some(Precision::Bf16)) => WeightFormat::Bf16,
            (None, _) => WeightFormat::F32,
        }
    }
}

fn parse_precision(text: &str) -> Result<Precision, String> {
    Precision::parse(text).ok_or_else(|| "expected f32 or bf16".to_string())
}

/// For every command's `--weights`.
fn parse_weights(text: &str) -> Result<WeightFormat, String> {
    WeightFormat::parse(text).ok_or_else(|| "expected f32, bf16, int8 or int4".to_string())
}

#[derive(Subcommand)]
enum Command {
    /// Train both stages on pictures the program draws itself, and show what they learned
    ///
    /// Example: smalti demo --out demo
    Demo(commands::demo::Demo),
    /// Train a tokenizer and a prior, or one of them
    ///
    /// Without a sub-command both stages, one after the other: what is not said is chosen by a look at the pictures and the
    /// machine, and every choice is said with its reason. --dry-run only says them.
    ///
    /// Example: smalti train --data photos --minutes 60 --out runs/photos
    Train(Box<commands::train::Train>),
    /// Make conditions of pictures: edges, poses, less resolution, depth
    ///
    /// Example: smalti prepare edges photos --out edges
    #[command(subcommand)]
    Prepare(commands::prepare::Prepare),
    /// Send pictures through a tokenizer and back
    ///
    /// Example: smalti reconstruct --model run a.jpg b.png --out reconstructed
    Reconstruct(commands::reconstruct::Reconstruct),
    /// Turn pictures into a file of codes
    ///
    /// Example: smalti encode --model run a.png b.png --out codes.safetensors
    Encode(commands::encode::Encode),
    /// Turn a file of codes into pictures
    ///
    /// Example: smalti decode --model run codes.safetensors --out pictures
    Decode(commands::decode::Decode),
    /// Draw new pictures from a prior
    ///
    /// Example: smalti sample --model run -n 16 --top-k 100 --out samples
    Sample(commands::sample::Sample),
    /// Draw parts of a picture anew
    ///
    /// Example: smalti complete --model run photo.png --keep top -n 4 --out completed
    Complete(commands::complete::Complete),
    /// Measure how probable pictures are to a prior
    ///
    /// Pictures are scaled and cropped to the prior's own size first.
    ///
    /// Example: smalti nll --model run a.png b.png
    Nll(commands::nll::Nll),
    /// Measure models, and say how
    ///
    /// Example: smalti eval reconstruction --model runs/photos --split validation --crops 30
    #[command(subcommand)]
    Eval(commands::eval::Eval),
    /// Repeat a comparison of the paper at small scale: train, measure, tabulate
    ///
    /// Everything is trained for the same time. What is trained or measured is kept in --out, and the same command goes
    /// on after an interruption.
    ///
    /// Example: smalti reproduce table1 --data photos --minutes 30 --out runs/table1
    Reproduce(Box<commands::reproduce::Reproduce>),
    /// Convert a checkpoint of another program
    ///
    /// Reads tokenizers of taming-transformers, latent-diffusion, diffusers, LlamaGen, IBQ, Open-MAGVIT2, MaskGIT and
    /// DALL-E, and taming-transformers' priors with their YAML. Nothing in the file is executed.
    ///
    /// Example: smalti import vqgan/last.ckpt --out model.safetensors
    Import(commands::import::Import),
    /// Write a model as a checkpoint of another program
    ///
    /// What the other program cannot compute exactly is refused.
    ///
    /// Example: smalti export run --to compvis --out last.ckpt
    Export(commands::export::Export),
    /// Give the codes that pictures use new numbers, for a smaller vocabulary
    ///
    /// Looks which codes the pictures of a folder use and gives them the numbers from 0 on, so that a prior trained on
    /// the new model's codes has no vocabulary it does not need.
    ///
    /// Example: smalti remap --model tokenizer.safetensors --data photos --out fewer.safetensors
    Remap(commands::remap::Remap),
    /// Say what a model file holds
    ///
    /// Example: smalti info run
    Info(commands::info::Info),
    /// Say what is wrong with a training, and what to change
    ///
    /// Reads config.yaml and metrics.jsonl of a run, finished or not, and changes nothing.
    ///
    /// Example: smalti doctor runs/photos
    Doctor(commands::doctor::Doctor),
    /// Measure how fast this machine runs the networks, and how near that is to what it could do
    ///
    /// Example: smalti bench prior-decode --weights int8 --batch 1
    Bench(commands::bench::Bench),
    /// Fetch or convert the networks that losses and conditions need
    ///
    /// Example: smalti weights list
    #[command(subcommand)]
    Weights(commands::weights::Weights),
    /// Write what a shell needs to complete commands and options
    ///
    /// Example: smalti completions bash
    Completions(commands::completions::Completions),
    /// Write the manual: a page of every command into a folder, or the first one to standard output
    ///
    /// Example: smalti man share/man/man1
    Man(commands::man::ManPages),
}

/// The command line, for what describes it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Ends the program with one line, and not with a panic's message and trace, when there is no memory left.
fn say_out_of_memory() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let Some(end) = panic.payload().downcast_ref::<OutOfMemory>() else {
            return usual(panic);
        };
        eprintln!(
            "smalti: {end}; try --tile auto, a smaller --size or --batch, or --precision bf16"
        );
        std::process::exit(1);
    }));
}

fn main() -> ExitCode {
    say_out_of_memory();
    let cli = Cli::parse();
    if let Some(threads) = cli.common.threads {
        // This fails only if the pool exists already, and nothing has run yet.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(threads))
            .build_global();
    }
    let common = &cli.common;
    let result = check_instruction_set().and_then(|()| match cli.command {
        Command::Demo(command) => command.run(common),
        Command::Train(command) => command.run(common),
        Command::Prepare(command) => command.run(common),
        Command::Reconstruct(command) => command.run(common),
        Command::Encode(command) => command.run(common),
        Command::Decode(command) => command.run(common),
        Command::Sample(command) => command.run(common),
        Command::Complete(command) => command.run(common),
        Command::Nll(command) => command.run(common),
        Command::Eval(command) => command.run(common),
        Command::Reproduce(command) => command.run(common),
        Command::Import(command) => command.run(common),
        Command::Export(command) => command.run(common),
        Command::Remap(command) => command.run(common),
        Command::Info(command) => command.run(common),
        Command::Doctor(command) => command.run(common),
        Command::Bench(command) => command.run(common),
        Command::Weights(command) => command.run(common),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(common),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("smalti: {error}");
            match error {
                Error::Input(_) => ExitCode::from(2),
                Error::Io { .. } | Error::File { .. } | Error::Failed(_) => ExitCode::from(1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples in the help of every command and sub-command.
    fn examples(command: &clap::Command, found: &mut Vec<String>) {
        let about = command.get_long_about().map(ToString::to_string);
        let about = about.unwrap_or_default();
        let examples_of = about
            .lines()
            .filter_map(|line| line.strip_prefix("Example: "));
        let before = found.len();
        found.extend(examples_of.map(str::to_string));
        assert!(
            found.len() > before,
            "the help of `{}` has no example",
            command.get_name()
        );
        for command in command.get_subcommands() {
            examples(command, found);
        }
    }

    #[test]
    fn every_help_has_an_example_that_is_understood() {
        let mut found = Vec::new();
        examples(&command(), &mut found);
        assert!(found.len() > 25);
        for example in found {
            if let Err(error) = Cli::try_parse_from(example.split_whitespace()) {
                panic!("{example}: {error}");
            }
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn a_stage_or_both_can_be_trained() {
        let parses = |line: &str| Cli::try_parse_from(line.split_whitespace()).is_ok();
        assert!(parses("smalti train --data a --minutes 5 --out b"));
        assert!(parses(
            "smalti train tokenizer --data a --minutes 5 --out b"
        ));
        assert!(parses("smalti --quiet train prior --data a --resume b"));
        assert!(!parses("smalti train --data a tokenizer"));
        assert!(!parses("smalti train --resume a --minutes 5"));
    }

    #[test]
    fn every_format_of_weights_can_be_asked_for() {
        for format in WeightFormat::ALL {
            assert_eq!(parse_weights(format.name()), Ok(format));
        }
    }
}
