//! `verdictctl verify SNAPSHOT`: would a daemon take it? And would `explain` take its store?

use crate::exit::{Failure, Outcome};
use crate::snapshot::load;
use crate::store;
use crate::text;
use std::io::Write;
use std::path::PathBuf;

/// Check every byte of a snapshot, as the daemon does before it serves one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: verdictctl verify new.snap && mv new.snap /var/lib/verdictd/verdicts.snap && systemctl reload verdictd

The explain store beside it, SNAPSHOT.explain, is checked as well, if there is one; a store may also be named itself.

Exit status: 0 it is as its builder wrote it; 65 it is not, with section and offset; 66 it cannot be read.")]
pub struct Arguments {
    /// The file
    snapshot: PathBuf,
}

/// Verifies and says so.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    if store::is_one(&arguments.snapshot) {
        return store::verify(&arguments.snapshot, None, out).map(|()| Outcome::Done);
    }
    let snapshot = load(&arguments.snapshot)?;
    let rules = text::grouped(snapshot.stats().rules_total());
    writeln!(out, "{}: ok, generation {:016x}, {rules} rules", text::path(&arguments.snapshot), snapshot.generation())?;
    let beside = verdict_intel::store::beside(&arguments.snapshot);
    if beside.exists() {
        store::verify(&beside, Some(&snapshot), out)?;
    }
    Ok(Outcome::Done)
}
