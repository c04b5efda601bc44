//! `verdictctl feeds SNAPSHOT`: what is each source worth? From the explain store, without the feeds and without a daemon.

use crate::answer::write_json;
use crate::columns::{Cell, NOTICE, Table};
use crate::exit::{Failure, Outcome};
use crate::{date, store, text};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use verdict_intel::store::{FeedOrigin, Store, beside};

/// Tell age, rows, rejects and unique rules of each feed of a snapshot
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl feeds verdicts.snap
  verdictctl feeds --json verdicts.snap.explain

AGE is from the latest day on which a row of the feed was seen to `as_of`, in days; UNIQUE are the rules that no other feed has: what would be
lost without it.

Exit status: 0 done, 65 the store is corrupt, 66 it cannot be opened.")]
pub struct Arguments {
    /// The snapshot, or its explain store
    snapshot: PathBuf,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    generation: String,
    as_of: Option<String>,
    feeds: Vec<FeedJson>,
}

#[derive(Serialize)]
struct FeedJson {
    name: String,
    file: String,
    licence: String,
    region: String,
    reference: String,
    tlp: Option<&'static str>,
    trust: u8,
    newest: Option<String>,
    age_days: Option<u64>,
    rows: u64,
    kept: u64,
    rejected: u64,
    expired: u64,
    revoked: u64,
    rules: u64,
    unique: u64,
}

/// Reads the store and prints.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let path = if store::is_one(&arguments.snapshot) { arguments.snapshot.clone() } else { beside(&arguments.snapshot) };
    let store = Store::open(&path).map_err(|error| store::failed(&path, error))?;
    let as_of_s = store.as_of_s();
    let document = Document {
        generation: format!("{:016x}", store.generation()),
        as_of: (as_of_s != 0).then(|| date::from_seconds(as_of_s)),
        feeds: store.feeds().iter().map(|feed| FeedJson::new(feed, as_of_s)).collect(),
    };
    if arguments.json {
        write_json(out, &document)?;
        return Ok(Outcome::Done);
    }
    writeln!(out, "generation {}, as of {}", document.generation, document.as_of.as_deref().unwrap_or("a moment that is not stated"))?;
    let header = ["FEED", ">AGE", ">ROWS", ">KEPT", ">REJECTED", ">EXPIRED", ">REVOKED", ">RULES", ">UNIQUE", ">TRUST", "TLP", "LICENCE"];
    let mut table = Table::new(&header);
    for feed in &document.feeds {
        let visible = |text: &str| text::visible(text.as_bytes());
        let counted = |number: u64| Cell::from(text::grouped(number));
        let noted = |number: u64| if number == 0 { counted(number) } else { counted(number).coloured(NOTICE) };
        table.row([
            visible(&feed.name).into(),
            feed.age_days.map_or("-".to_owned(), |days| format!("{days}d")).into(),
            counted(feed.rows),
            counted(feed.kept),
            noted(feed.rejected),
            noted(feed.expired),
            noted(feed.revoked),
            counted(feed.rules),
            counted(feed.unique),
            feed.trust.to_string().into(),
            feed.tlp.unwrap_or("-").into(),
            if feed.licence.is_empty() { "-".to_owned() } else { visible(&feed.licence) }.into(),
        ]);
    }
    table.write_rows(out)?;
    Ok(Outcome::Done)
}

impl FeedJson {
    fn new(feed: &FeedOrigin, as_of_s: u64) -> Self {
        let newest = u64::from(feed.newest_day);
        let dated = newest != 0;
        Self {
            name: feed.name.clone(),
            file: feed.file.clone(),
            licence: feed.licence.clone(),
            region: feed.region.clone(),
            reference: feed.reference.clone(),
            tlp: feed.tlp.map(|tlp| tlp.name()),
            trust: feed.trust,
            newest: dated.then(|| date::from_day(newest)),
            age_days: (dated && as_of_s != 0).then(|| (as_of_s / 86_400).saturating_sub(newest)),
            rows: feed.rows,
            kept: feed.kept,
            rejected: feed.rejected,
            expired: feed.expired,
            revoked: feed.revoked,
            rules: feed.rules,
            unique: feed.unique,
        }
    }
}
