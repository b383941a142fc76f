//! Prints the instruction set that kernels use here: the best one, or the one that `SMALTI_ISA` names.
//! Fails if the processor lacks it.

use smalti_kernels::dispatch::Isa;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Isa::from_env() {
        Ok(isa) => {
            println!("{isa:?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
