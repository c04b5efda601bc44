//! `verdictctl overlay list|remove`: what operators have blocked and unblocked on this node, and taking one of them back before its end.

use crate::answer::write_json;
use crate::block::{parse_reason, question, tell};
use crate::columns::{ALARM, Cell, FINE, NOTICE, Table};
use crate::control::{Control, Entry, request};
use crate::exit::{Failure, Outcome};
use crate::question::KindChoice;
use crate::text;
use std::ffi::OsString;
use std::io::Write;
use verdict_wire::{Act, ActRequest, Class};

/// Show what is blocked and unblocked by hand on this node, or take one of them back
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl overlay list
  verdictctl overlay remove www.example.test --reason 'the site is clean again'

Exit status: 0 done; 3 there is no such entry, or the daemon refuses; 69 the daemon cannot be reached; 75 it could not be written down.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Every act in force: key, who, when, until when, and why
    List {
        /// One JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        control: Control,
    },
    /// Take a block or unblock back before its end
    Remove {
        /// The key, in any spelling
        key: OsString,
        /// Why
        #[arg(long, value_name = "TEXT", value_parser = parse_reason, default_value = "removed")]
        reason: String,
        /// Take the key as this kind instead of by its look
        #[arg(long, value_enum, default_value_t = KindChoice::Auto)]
        kind: KindChoice,
        /// One JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        control: Control,
    },
}

/// Asks or acts, and tells.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    match &arguments.command {
        Command::List { json, control } => list(*json, control, out),
        Command::Remove { key, reason, kind, json, control } => {
            let question = question(key, *kind)?;
            let done = control.act(&request(Act::Remove, Class::Unknown, &question, 0, reason), |_| ())?;
            tell(&done, *json, out)
        }
    }
}

fn list(json: bool, control: &Control, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let mut entries = Vec::new();
    let all = ActRequest { act: Act::List, kind: None, class: Class::Unknown, ttl_s: 0, key: b"", reason: "" };
    control.act(&all, |entry| entries.push(entry))?;
    if json {
        write_json(out, &entries)?;
        return Ok(Outcome::Done);
    }
    if entries.is_empty() {
        writeln!(out, "nothing is blocked or unblocked by hand")?;
        return Ok(Outcome::Done);
    }
    let mut table = Table::new(&["ACT", "CLASS", "KIND", "KEY", "AT", "UNTIL", ">UID", ">PID", "REASON"]);
    entries.iter().for_each(|entry| table.row(row(entry)));
    table.write_rows(out)?;
    Ok(Outcome::Done)
}

fn row(entry: &Entry) -> [Cell; 9] {
    let style = match entry.class {
        "malicious" => ALARM,
        "suspicious" => NOTICE,
        _ => FINE,
    };
    [
        entry.act.into(),
        Cell::from(entry.class).coloured(style),
        entry.kind.into(),
        text::shortened(&entry.key, text::KEY_COLUMNS_MAX).into(),
        entry.at.clone().into(),
        entry.until.clone().into(),
        entry.uid.to_string().into(),
        entry.pid.to_string().into(),
        entry.reason.clone().into(),
    ]
}
