//! `verdictctl explain KEY`: how is a key read, what is asked for it, which rules match, which of them wins and why, and which line of which feed said so?
//!
//! ```text
//! daemon (EXPLAIN, DESCRIBE) ┐                  ┌ explain store: every vote on those rules, losers too
//!                            ├─► Reading ──► why ┤
//! snapshot file (offline)    ┘  what matches     └ feed files: the lines, where they are still what was compiled
//! ```
//! Both ways go through the same canonicaliser, probes and precedence; this command decides nothing, it tells.

mod about;
mod ask;
mod evidence;
mod reading;
mod show;
mod why;

use crate::answer::write_json;
use crate::daemon::Connection;
use crate::exit::{Failure, Outcome};
use crate::question::{KindChoice, Question};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use verdict_tables::Class;

/// Explain how a key is read, which rules match it, which wins and why, and which feed lines said so
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl explain 'HTTP://user@EXAMPLE.test:80/a/../b%20c?x=1'
  verdictctl explain --store verdicts.snap.explain http://example.test/
  verdictctl explain --snapshot verdicts.snap 192.0.2.1

Without --snapshot the daemon is asked, and the store is used if it is of the generation that the daemon serves. With --snapshot no daemon is
needed, and the store beside it, FILE.explain, is used.

Exit status: as `lookup`: 0 nothing malicious or suspicious wins, 1 something does, 65 the key is no key or a file is corrupt.")]
pub struct Arguments {
    /// URL, host, IPv4 or IPv6 address, SHA-256, SHA-1 or MD5
    key: OsString,
    /// Ask this snapshot instead of a daemon
    #[arg(long, value_name = "FILE", conflicts_with = "offline")]
    snapshot: Option<PathBuf>,
    /// Ask nobody: only the canonical form and the expressions of the widest profile
    #[arg(long)]
    offline: bool,
    /// The explain store [default: SNAPSHOT.explain]
    #[arg(long, value_name = "FILE", env = "VERDICT_STORE", hide_env_values = true, conflicts_with = "offline")]
    store: Option<PathBuf>,
    /// Take the key as this kind instead of by its look
    #[arg(long, value_enum, default_value_t = KindChoice::Auto)]
    kind: KindChoice,
    /// One JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Reads, asks, gathers what was said, and prints.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let question = Question::new(arguments.key.as_bytes(), arguments.kind)?;
    let mut reading = match &arguments.snapshot {
        Some(snapshot) => ask::snapshot(&question, snapshot)?,
        None if arguments.offline => ask::nobody(&question),
        None => ask::daemon(&question, &arguments.connection)?,
    };
    let beside = arguments.snapshot.as_deref().map(verdict_intel::store::beside).filter(|path| path.exists());
    reading.store_note = (!arguments.offline).then(|| "no explain store: which lines said so is not known".to_owned());
    // What operators say stands in no store.
    let own = reading.matches.iter().take_while(|one| one.found.overlay).count();
    let rules = reading.matches.split_off(own);
    let own = std::mem::replace(&mut reading.matches, rules);
    // The first that is of this generation; VERDICT_STORE may name that of the daemon while a snapshot file is asked.
    for store in arguments.store.iter().chain(&beside) {
        if reading.store.is_none() {
            evidence::gather(&mut reading, store)?;
        }
    }
    reading.matches.splice(0..0, own);
    why::tell(&mut reading);
    if arguments.json {
        write_json(out, &reading)?
    } else {
        show::write(out, &reading)?
    }
    Ok(match (&reading.unparseable, reading.winner().map(|winner| winner.found.class)) {
        (Some(_), _) => Outcome::Unparseable,
        (None, Some(Class::Malicious | Class::Suspicious)) => Outcome::Found,
        (None, _) => Outcome::Done,
    })
}
