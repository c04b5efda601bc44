//! `verdictctl quarantine list|lift`: snapshots that a daemon refused by their hash and never tries again, and letting one be tried again.
//!
//! ```text
//! STATE/quarantine/<sha256 of the snapshot>      one line: why
//! ```
//! It works on the daemon's state directory, running or not: what may be served is a matter of files there, and whoever may write them may decide it.
//! To lift is not to trust: signature, epoch, checksums, structure and canaries are checked again, and what fails again comes back.

use crate::answer::write_json;
use crate::columns::Table;
use crate::exit::{Failure, Outcome};
use crate::{date, text};
use serde::Serialize;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use verdict_tables::manifest::unhex;

/// Of a reason, as the daemon reads it.
const REASON_BYTES_MAX: u64 = 1024;
/// Digits that name a snapshot, if no other begins with them.
const DIGITS_MIN: usize = 8;

/// Show which snapshots a daemon never tries again, or let one be tried again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl quarantine list
  verdictctl quarantine lift 5b1e90aa

A snapshot gets there by being unsound, by answering a canary wrongly, or by three starts that did not last. Lift it when the cause lay elsewhere and is
mended: a wrong canary of this node, a machine without memory, a defect of an older verdictd. All checks are made again.

Exit status: 0 done; 3 there is none of that hash; 66 the state directory cannot be read; 73 it cannot be written.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Every snapshot in quarantine: since when, and why
    List {
        /// One JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        state: State,
    },
    /// Let one be tried again
    Lift {
        /// SHA-256 of the snapshot, or its first digits, 8 at least
        #[arg(value_parser = parse_hash)]
        hash: String,
        #[command(flatten)]
        state: State,
    },
}

#[derive(Debug, clap::Args)]
struct State {
    /// The daemon's state directory, `snapshot.state` in its configuration
    #[arg(long = "state", value_name = "DIR", env = "VERDICT_STATE", hide_env_values = true, default_value = "/var/lib/verdictd")]
    directory: PathBuf,
}

/// One in quarantine.
#[derive(Debug, Serialize)]
struct Held {
    sha256: String,
    /// `2026-06-01T12:00:00Z`.
    since: String,
    why: String,
}

fn parse_hash(given: &str) -> Result<String, String> {
    let is_hex = given.bytes().all(|byte| byte.is_ascii_hexdigit());
    match given.len() {
        DIGITS_MIN..=64 if is_hex => Ok(given.to_ascii_lowercase()),
        _ => Err(format!("a hash has 64 hexadecimal digits; its first {DIGITS_MIN} or more will do")),
    }
}

/// Shows or lifts.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    match &arguments.command {
        Command::List { json, state } => list(*json, &held(&state.directory)?, out),
        Command::Lift { hash, state } => lift(hash, &state.directory, out),
    }
}

fn list(json: bool, held: &[Held], out: &mut dyn Write) -> Result<Outcome, Failure> {
    if json {
        write_json(out, &held)?;
    } else if held.is_empty() {
        writeln!(out, "no snapshot is in quarantine")?;
    } else {
        let mut table = Table::new(&["SHA256", "SINCE", "WHY"]);
        held.iter().for_each(|held| table.row([held.sha256.as_str().into(), held.since.as_str().into(), held.why.as_str().into()]));
        table.write_rows(out)?;
    }
    Ok(Outcome::Done)
}

fn lift(hash: &str, state: &Path, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let all = held(state)?;
    let matching: Vec<&Held> = all.iter().filter(|held| held.sha256.starts_with(hash)).collect();
    let held = match matching.as_slice() {
        [held] => held,
        [] => return Err(Failure::Refused(format!("no snapshot in quarantine begins with {hash}: `verdictctl quarantine list`"))),
        several => return Err(Failure::Usage(format!("{} snapshots begin with {hash}: give more digits", several.len()))),
    };
    let directory = state.join("quarantine");
    let path = directory.join(&held.sha256);
    // On disk when it is told.
    std::fs::remove_file(&path).and_then(|()| File::open(&directory)?.sync_all()).map_err(|error| {
        let hint = if error.kind() == ErrorKind::PermissionDenied { " (it takes root or the daemon's user)" } else { "" };
        Failure::Output(format!("{}: {error}{hint}", text::path(&path)))
    })?;
    writeln!(out, "{}: lifted; it was there since {}: {}", held.sha256, held.since, held.why)?;
    writeln!(
        out,
        "a daemon tries it again at its next look at what is published (within snapshot.poll_s or so; SIGHUP: at once), with all its checks"
    )?;
    Ok(Outcome::Done)
}

/// All of them, by hash. What the daemon is writing at this moment has another name.
fn held(state: &Path) -> Result<Vec<Held>, Failure> {
    let directory = state.join("quarantine");
    let failed = |path: &Path, error: std::io::Error| {
        let hint = match error.kind() {
            ErrorKind::NotFound => " (--state names the daemon's state directory, snapshot.state)",
            ErrorKind::PermissionDenied => " (it takes root or the daemon's user)",
            _ => "",
        };
        Failure::Input(format!("{}: {error}{hint}", text::path(path)))
    };
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(|error| failed(&directory, error))? {
        let entry = entry.map_err(|error| failed(&directory, error))?;
        let Some(sha256) = entry.file_name().to_str().filter(|name| unhex::<32>(name).is_some()).map(str::to_owned) else { continue };
        let mut why = Vec::new();
        let read = File::open(entry.path()).and_then(|file| file.take(REASON_BYTES_MAX).read_to_end(&mut why).and(entry.metadata()));
        let since = match read.and_then(|metadata| metadata.modified()) {
            Ok(time) => time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            Err(error) if error.kind() == ErrorKind::NotFound => continue, // lifted meanwhile
            Err(error) => return Err(failed(&entry.path(), error)),
        };
        all.push(Held { sha256, since: date::from_seconds(since), why: text::visible(why.trim_ascii_end()) });
    }
    all.sort_by(|a, b| a.sha256.cmp(&b.sha256));
    Ok(all)
}
