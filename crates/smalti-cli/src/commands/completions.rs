//! `smalti completions`: what a shell must know to complete our commands.

use crate::output;
use clap::Args;
use clap_complete::aot::{Shell, generate};
use smalti::Result;

#[derive(Args)]
pub struct Completions {
    /// The shell that is to complete them
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Result<()> {
        let mut script = Vec::new();
        generate(self.shell, &mut crate::command(), "smalti", &mut script);
        output::line(String::from_utf8_lossy(&script).trim_end());
        Ok(())
    }
}
