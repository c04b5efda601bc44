//! `verdictctl inspect SNAPSHOT`: what is in it? Explain stores are known by their first bytes.

use crate::answer::write_json;
use crate::exit::{Failure, Outcome};
use crate::snapshot::{Facts, load};
use crate::store;
use std::io::Write;
use std::path::PathBuf;

/// Print what a snapshot holds: generation, rules by kind, profile, table, sections, sources
#[derive(Debug, clap::Args)]
#[command(after_help = "The file is verified first, as before any use: a corrupt one is not looked into (exit status 65).")]
pub struct Arguments {
    /// The file
    snapshot: PathBuf,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// Verifies and prints.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    if store::is_one(&arguments.snapshot) {
        return store::inspect(&arguments.snapshot, arguments.json, out).map(|()| Outcome::Done);
    }
    let facts = Facts::new(&arguments.snapshot, &load(&arguments.snapshot)?);
    if arguments.json {
        write_json(out, &facts)?;
        return Ok(Outcome::Done);
    }
    facts.write_head(out)?;
    facts.write_tail(out)?;
    Ok(Outcome::Done)
}
