//! `verdictctl doctor`: what this host lacks for a daemon, told by the daemon that would run here.
//!
//! The daemon knows its own needs, so it is asked: `verdictd --doctor`, the one beside this program, else the one of PATH. Without a configuration it could
//! not say what to look for, so a missing one is told by it too.

use crate::exit::{Failure, Outcome};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// Tell what this host lacks for a daemon, with causes and remedies
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl doctor
  sudo -u verdictd verdictctl doctor

A line for each thing that was looked at: `ok`, `advice` (it would serve, not at its best) or
`MISSING` (it would not start). Files are judged by the rights of whoever asks.

Exit status: 0 nothing is missing; 1 something is; 69 there is no verdictd to ask.")]
pub struct Arguments {
    /// The daemon's configuration
    #[arg(long, value_name = "FILE", default_value = "/etc/verdictd/verdictd.toml")]
    config: PathBuf,
}

/// Asks and tells.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("verdictd")).filter(|path| path.exists());
    let program = beside.unwrap_or_else(|| "verdictd".into());
    let asked = Command::new(&program).arg("--config").arg(&arguments.config).arg("--doctor").output();
    let output = asked.map_err(|error| Failure::Unavailable(format!("{}: {error}", program.display())))?;
    out.write_all(&output.stdout)?;
    if output.status.success() {
        return Ok(Outcome::Done);
    }
    out.write_all(&output.stderr)?;
    Ok(Outcome::Found)
}
