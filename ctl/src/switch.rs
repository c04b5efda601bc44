//! `verdictctl switch off|on|list`: parts of a running daemon that an operator takes out, at once and until they are switched on again; `freeze` and
//! `thaw`, `pin`, `revert` and `unpin`: which generation it serves.
//!
//! Each returns when the daemon has it on disk and every shard answers by it; exit status 0 means that it holds.

use crate::answer::write_json;
use crate::block::parse_reason;
use crate::columns::{ALARM, Cell, NOTICE, Table};
use crate::control::{Control, Done};
use crate::date;
use crate::exit::{Failure, Outcome};
use crate::text;
use serde::Serialize;
use std::io::Write;
use std::time::Duration;
use verdict_tables::RuleKind;
use verdict_wire::{Act, ActRequest, Class, PART_BYTES_MAX, Told};

/// What all of them have.
#[derive(Debug, clap::Args)]
struct Common {
    /// Why, for whoever asks later: one line, at most 128 bytes
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: String,
    #[command(flatten)]
    shown: Shown,
}

/// Likewise, where no reason is asked for.
#[derive(Debug, clap::Args)]
struct Shown {
    /// One JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    control: Control,
}

/// Switch a feed, a kind of rules, a model, the overlay or all enforcement off on this node, and on again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl switch off feed openphish --reason 'it lists our own login page'
  verdictctl switch off rule host-substring --reason 'ticket 4713'
  verdictctl switch off enforcement --reason 'blocks everything, cause unknown'
  verdictctl switch on feed openphish --reason 'fixed at the source'
  verdictctl switch list

It holds until it is switched on again, through restarts too. A rule goes when its kind is off, or all feeds that list it are; less specific rules of
other feeds then come through. With enforcement off every answer is unknown, flagged monitor.

Exit status: 0 it holds; 3 the daemon refuses it, or it was not off; 69 the daemon cannot be reached; 75 it could not be written down.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Switch a part off
    Off {
        #[command(subcommand)]
        part: Part,
    },
    /// Switch it on again
    On {
        #[command(subcommand)]
        part: Part,
    },
    /// Every part that is off, and what is pinned: since when, by whom, why
    List {
        #[command(flatten)]
        shown: Shown,
    },
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// A feed, by the name that `verdictctl inspect` and `explain` tell
    Feed {
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// A kind of rules
    Rule {
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(RuleKind::ALL.map(RuleKind::name)))]
        kind: String,
        #[command(flatten)]
        common: Common,
    },
    /// A model, by its name
    Model {
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// What operators have blocked and unblocked by hand
    Overlay {
        #[command(flatten)]
        common: Common,
    },
    /// All of it: every answer is unknown, flagged monitor
    Enforcement {
        #[command(flatten)]
        common: Common,
    },
}

impl Part {
    /// As the daemon knows it.
    fn name(&self) -> String {
        match self {
            Part::Feed { name, .. } => format!("feed {name}"),
            Part::Rule { kind, .. } => format!("rule {kind}"),
            Part::Model { name, .. } => format!("model {name}"),
            Part::Overlay { .. } => "overlay".to_owned(),
            Part::Enforcement { .. } => "enforcement".to_owned(),
        }
    }

    fn common(&self) -> &Common {
        match self {
            Part::Feed { common, .. }
            | Part::Rule { common, .. }
            | Part::Model { common, .. }
            | Part::Overlay { common }
            | Part::Enforcement { common } => common,
        }
    }
}

/// Take no new snapshot on this node, until thawed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: verdictctl freeze --reason 'the last snapshots are odd, ticket 4714'

What is served stays, through restarts too. `verdictctl thaw` ends it.

Exit status: 0 frozen; 69 the daemon cannot be reached; 75 it could not be written down.")]
pub struct FreezeArguments {
    #[command(flatten)]
    common: Common,
}

/// Take new snapshots again, beginning with what is published now
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: verdictctl thaw --reason 'ticket 4714 is solved'

Exit status: 0 thawed; 3 it was not frozen; 69 the daemon cannot be reached; 75 it could not be written down.")]
pub struct ThawArguments {
    #[command(flatten)]
    common: Common,
}

/// Serve one of the kept generations on this node, and nothing newer
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl pin --epoch 17 --reason '18 blocks a third of all traffic'
  verdictctl pin --generation 58c1a9e6d0f3b274 --reason 'known to be good'

Daemons with snapshot.directory keep three. It is verified again before it is served, and holds through restarts, until `verdictctl unpin`. To go
back on every node publish the older one again: `verdictctl rollback`.

Exit status: 0 served by every shard; 3 it is not kept, or must not be served; 69 the daemon cannot be reached; 75 it failed.")]
pub struct PinArguments {
    /// By the epoch of its manifest
    #[arg(long, value_name = "EPOCH", required_unless_present = "generation")]
    epoch: Option<u64>,
    /// By its name, up to 16 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = parse_generation, conflicts_with = "epoch")]
    generation: Option<u64>,
    #[command(flatten)]
    common: Common,
}

/// Go back to the snapshot before the one that is served, on this node, and stay there
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: verdictctl revert --reason 'since the last update half of all logins are blocked'

It pins the newest kept generation that is older than what is served; again, and it is the one before that. `verdictctl unpin` ends it.

Exit status: 0 served by every shard; 3 nothing older is kept, or it must not be served; 69 the daemon cannot be reached; 75 it failed.")]
pub struct RevertArguments {
    #[command(flatten)]
    common: Common,
}

/// Take newer snapshots again after pin or revert, beginning with what is published now
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: verdictctl unpin --reason 'epoch 19 is good'

Exit status: 0 done; 3 nothing was pinned; 69 the daemon cannot be reached; 75 it could not be written down.")]
pub struct UnpinArguments {
    #[command(flatten)]
    common: Common,
}

fn parse_generation(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| "a generation has up to 16 hexadecimal digits".to_owned())
}

/// Asks or acts, and tells.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    match &arguments.command {
        Command::Off { part } => act(Act::Off, &part.name(), part.common(), out),
        Command::On { part } => act(Act::On, &part.name(), part.common(), out),
        Command::List { shown } => list(shown, out),
    }
}

/// Nothing newer.
pub fn freeze(arguments: &FreezeArguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    act(Act::Off, "updates", &arguments.common, out)
}

/// Newer ones again.
pub fn thaw(arguments: &ThawArguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    act(Act::On, "updates", &arguments.common, out)
}

/// This one.
pub fn pin(arguments: &PinArguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let epoch = arguments.epoch.map(|epoch| format!("epoch {epoch}"));
    let generation = arguments.generation.map(|generation| format!("generation {generation:016x}"));
    act(Act::Pin, &epoch.or(generation).unwrap_or_default(), &arguments.common, out)
}

/// The one before.
pub fn revert(arguments: &RevertArguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    act(Act::Pin, "previous", &arguments.common, out)
}

/// Newer ones again.
pub fn unpin(arguments: &UnpinArguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    act(Act::On, "pin", &arguments.common, out)
}

fn act(act: Act, part: &str, common: &Common, out: &mut dyn Write) -> Result<Outcome, Failure> {
    if part.len() > PART_BYTES_MAX || part.chars().any(char::is_control) {
        return Err(Failure::Data(format!("a name has at most {PART_BYTES_MAX} bytes, and no control characters")));
    }
    let request = ActRequest { act, kind: None, class: Class::Unknown, ttl_s: 0, key: part.as_bytes(), reason: &common.reason };
    let done: Done = common.shown.control.told(&request, |_| ())?;
    if common.shown.json {
        write_json(out, &done)?;
        return Ok(Outcome::Done);
    }
    writeln!(out, "{}", done.text)?;
    let took = text::duration(Duration::from_micros(done.took_us.into()));
    writeln!(out, "by every shard after {took}; {} off", text::counted(done.entries as usize, "part"))?;
    Ok(Outcome::Done)
}

/// A part that is off, or what is pinned.
#[derive(Debug, Serialize)]
struct Entry {
    /// `off` or `pin`.
    act: &'static str,
    part: String,
    since: String,
    uid: u32,
    pid: u32,
    reason: String,
}

fn list(shown: &Shown, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let all = ActRequest { act: Act::Switches, kind: None, class: Class::Unknown, ttl_s: 0, key: b"", reason: "" };
    let mut entries = Vec::new();
    shown.control.told(&all, |told| entries.push(entry(told)))?;
    if shown.json {
        write_json(out, &entries)?;
        return Ok(Outcome::Done);
    }
    if entries.is_empty() {
        writeln!(out, "everything is on, and nothing is pinned")?;
        return Ok(Outcome::Done);
    }
    let mut table = Table::new(&["ACT", "PART", "SINCE", ">UID", ">PID", "REASON"]);
    for Entry { act, part, since, uid, pid, reason } in entries {
        let style = if part == "enforcement" { ALARM } else { NOTICE };
        let part = Cell::from(part).coloured(style);
        table.row([act.into(), part, since.into(), uid.to_string().into(), pid.to_string().into(), reason.into()]);
    }
    table.write_rows(out)?;
    Ok(Outcome::Done)
}

fn entry(told: &Told<'_>) -> Entry {
    Entry {
        act: Act::from_raw(told.head.act).map_or("unknown", Act::name),
        part: text::visible(told.key),
        since: date::from_seconds(u64::from_le_bytes(told.head.at_ms) / 1000),
        uid: u32::from_le_bytes(told.head.uid),
        pid: u32::from_le_bytes(told.head.pid),
        reason: text::visible(told.text.as_bytes()),
    }
}
