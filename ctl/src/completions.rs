//! `verdictctl completions SHELL`: made from the command line itself, so that they cannot lag behind it.

use crate::exit::{Failure, Outcome};
use clap::CommandFactory;
use std::io::Write;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: verdictctl completions bash > /etc/bash_completion.d/verdictctl")]
pub struct Arguments {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::Arguments::command(), "verdictctl", &mut script);
    out.write_all(&script)?;
    Ok(Outcome::Done)
}
