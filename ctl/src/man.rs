//! `verdictctl man --to DIRECTORY`: manual pages, made from the command line itself, so that they cannot lag behind it.

use crate::exit::{Failure, Outcome};
use crate::text;
use clap::CommandFactory;
use std::io::Write;
use std::path::PathBuf;

/// Write manual pages: verdictctl.1, and one for each subcommand
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: verdictctl man --to /usr/local/share/man/man1")]
pub struct Arguments {
    /// The directory, which must exist
    #[arg(long, value_name = "DIRECTORY")]
    to: PathBuf,
}

/// Writes them.
pub fn run(arguments: &Arguments, _out: &mut dyn Write) -> Result<Outcome, Failure> {
    let command = crate::Arguments::command().version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    clap_mangen::generate_to(command, &arguments.to).map_err(|error| Failure::Output(format!("{}: {error}", text::path(&arguments.to))))?;
    Ok(Outcome::Done)
}
