//! The binary `smalti`: parses the command line, calls the library, prints. One file per command under `commands/`.

mod commands;
mod models;
mod output;
mod progress;
mod report;
mod tiles;

use clap::{Args, Parser, Subcommand};
use smalti::Error;
use smalti::ops::{Precision, check_instruction_set};
use smalti::sample::WeightFormat;
use std::process::ExitCode;

/// Learn the pieces of pictures and how they compose: VQGAN tokenizers and transformer priors on your own machine.
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
    /// What networks compute in: f32, or bf16 for half the memory and up to twice the speed [default: f32]
    #[arg(long, global = true, value_parser = parse_precision)]
    precision: Option<Precision>,
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
    Demo(commands::demo::Demo),
    /// Train a tokenizer or a prior
    #[command(subcommand)]
    Train(commands::train::Train),
    /// Make conditions of pictures: edges, poses, less resolution, depth
    #[command(subcommand)]
    Prepare(commands::prepare::Prepare),
    /// Send pictures through a tokenizer and back
    Reconstruct(commands::reconstruct::Reconstruct),
    /// Turn pictures into a file of codes
    Encode(commands::encode::Encode),
    /// Turn a file of codes into pictures
    Decode(commands::decode::Decode),
    /// Draw new pictures from a prior
    Sample(commands::sample::Sample),
    /// Draw parts of a picture anew
    Complete(commands::complete::Complete),
    /// Measure how probable pictures are to a prior
    Nll(commands::nll::Nll),
    /// Measure models, and say how
    #[command(subcommand)]
    Eval(commands::eval::Eval),
    /// Convert a checkpoint of another program
    Import(commands::import::Import),
    /// Write a model as a checkpoint of another program
    Export(commands::export::Export),
    /// Give the codes that pictures use new numbers, for a smaller vocabulary
    Remap(commands::remap::Remap),
    /// Say what a model file holds
    Info(commands::info::Info),
    /// Say what is wrong with a training, and what to change
    Doctor(commands::doctor::Doctor),
    /// Measure how fast this machine runs the networks, and how near that is to what it could do
    Bench(commands::bench::Bench),
    /// Fetch or convert the networks that losses and conditions need
    #[command(subcommand)]
    Weights(commands::weights::Weights),
}

fn main() -> ExitCode {
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
        Command::Import(command) => command.run(common),
        Command::Export(command) => command.run(common),
        Command::Remap(command) => command.run(common),
        Command::Info(command) => command.run(common),
        Command::Doctor(command) => command.run(common),
        Command::Bench(command) => command.run(common),
        Command::Weights(command) => command.run(common),
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

    #[test]
    fn every_format_of_weights_can_be_asked_for() {
        for format in WeightFormat::ALL {
            assert_eq!(parse_weights(format.name()), Ok(format));
        }
    }
}
