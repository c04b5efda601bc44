//! `verdictctl fetch feeds.toml`: brings the feeds that say where they are from, those that are due.
//!
//! The only subcommand that speaks to strangers on a network. It changes the files that feeds.toml names, and beside each its state (`FEED.fetch`);
//! what goes wrong with a feed leaves its last good file as it is.

use crate::answer::write_json;
use crate::columns::{ALARM, Cell, FINE, NOTICE, Table};
use crate::exit::{Failure, Outcome};
use crate::text;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use verdict_fetch::{Outcome as Fetched, Wanted, What};
use verdict_intel::{Config, Feed};

/// Bring feeds from where they are published
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl fetch feeds.toml                  # what is due
  verdictctl fetch feeds.toml --now --feed urlhaus

Feeds with [feed.fetch] are asked, eight at once, by conditional requests, and not before they are due; FEED.fetch
beside each file says when. A new file replaces the old one in one step, after it came whole and gave at least one
rule (docs/feeds.md).

Exit status: 0 all that was due is here, 2 no such feed, 65 feeds.toml is wrong, 75 a feed could not be brought and
its last good file stays.")]
pub struct Arguments {
    /// Which feeds there are
    #[arg(value_name = "FEEDS.TOML")]
    feeds: PathBuf,
    /// Only this feed; may be given more than once
    #[arg(long = "feed", value_name = "NAME")]
    names: Vec<String>,
    /// Also what is not due
    #[arg(long)]
    now: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    feeds: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    feed: &'a str,
    result: &'static str,
    #[serde(flatten)]
    state: &'a verdict_fetch::State,
}

/// Fetches and tells.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let config = Config::load(&arguments.feeds).map_err(|mistakes| Failure::Data(mistakes.to_string()))?;
    for name in &arguments.names {
        let feed = config.feeds.iter().find(|feed| feed.name == *name);
        if feed.and_then(|feed| feed.fetch.as_ref()).is_none() {
            let why = if feed.is_some() { "has no [feed.fetch]" } else { "is not there" };
            return Err(Failure::Usage(format!("{}: the feed {name:?} {why}", text::path(&arguments.feeds))));
        }
    }
    let check = |feed: &Feed, path: &Path| gives_rules(&config, feed, path);
    let wanted = Wanted { config: &config, names: &arguments.names, now: arguments.now, check: &check };
    let mut table = Table::new(&["FEED", "RESULT", ">BYTES", "NEXT", "WHY"]);
    let mut written = Ok(());
    let outcomes = verdict_fetch::run(&wanted, &mut |outcome| {
        if !arguments.json && written.is_ok() {
            table.row(cells(outcome));
            written = table.write_rows(out);
        }
    })
    .map_err(|error| Failure::Temporary(error.to_string()))?;
    written?;
    if arguments.json {
        let row = |outcome| Row { feed: name(outcome), result: result(outcome), state: &outcome.state };
        write_json(out, &Document { feeds: outcomes.iter().map(row).collect() })?;
    } else if outcomes.is_empty() {
        writeln!(out, "no feed of {} has [feed.fetch]", text::path(&arguments.feeds))?;
    }
    let failed = outcomes.iter().any(|outcome| matches!(outcome.what, What::Failed(_)));
    Ok(if failed { Outcome::TryAgain } else { Outcome::Done })
}

fn name(outcome: &Fetched) -> &str {
    &outcome.feed
}

fn result(outcome: &Fetched) -> &'static str {
    match outcome.what {
        What::NotDue => "not due",
        What::Unchanged => "unchanged",
        What::New(_) => "new",
        What::Failed(_) => "failed",
    }
}

fn cells(outcome: &Fetched) -> [Cell; 5] {
    let style = match outcome.what {
        What::NotDue => NOTICE,
        What::Unchanged | What::New(_) => FINE,
        What::Failed(_) => ALARM,
    };
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let next = match outcome.state.due_s.saturating_sub(now_s) {
        0 => "now".to_owned(),
        seconds => format!("in {}", text::duration(Duration::from_secs(seconds))),
    };
    let why = match &outcome.what {
        What::Failed(error) => text::visible(error.to_string().as_bytes()),
        What::NotDue => outcome.state.error.as_ref().map_or_else(String::new, |error| text::visible(format!("last: {error}").as_bytes())),
        _ => String::new(),
    };
    let bytes = if outcome.state.bytes > 0 { text::bytes(outcome.state.bytes) } else { String::new() };
    [text::visible(outcome.feed.as_bytes()).into(), Cell::from(result(outcome)).coloured(style), bytes.into(), next.into(), why.into()]
}

/// What `compile` would make of this file in the place of the feed's: a rule at least, unless it may be empty.
fn gives_rules(config: &Config, feed: &Feed, path: &Path) -> Result<(), String> {
    let backend = verdict_simd::detect().map_err(|error| error.to_string())?;
    let alone = Config { feeds: vec![Feed { path: path.to_owned(), ..feed.clone() }], ..config.clone() };
    match verdict_intel::compile(backend, &alone, &mut ()) {
        Ok(_) => Ok(()),
        // A snapshot of no rules is refused; a feed that may be without one is not.
        Err(refused) if feed.may_be_empty && refused.report.feeds.iter().all(|report| report.error.is_none()) => Ok(()),
        // Named by its temporary name, which is gone when this is read.
        Err(refused) => Err(refused.to_string().replace(&path.display().to_string(), &feed.path.display().to_string())),
    }
}
