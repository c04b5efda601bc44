//! `verdictctl diff OLD NEW`: what does one snapshot say that another does not?
//!
//! Rules are counted from the explain stores beside the snapshots, by kind and by feed; without both stores only the kinds can be told, from the
//! headers. Exit status as of diff(1): 0 nothing differs, 1 something does.

use crate::answer::write_json;
use crate::columns::Table;
use crate::exit::{Failure, Outcome};
use crate::snapshot::load;
use crate::{store, text};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use verdict_intel::diff::{Changes, Diff};
use verdict_intel::store::{Store, beside};
use verdict_tables::Snapshot;

/// Tell what one snapshot says and another does not, by kind and by feed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl diff yesterday.snap today.snap
  verdictctl diff --json old.snap new.snap

What was added, removed and changed is known from the explain stores, OLD.explain and NEW.explain; without both only the numbers of rules
by kind are compared. `flipped` rules have another class, or are allowed or overridden in one only; `changed` ones differ in score,
confidence or categories. Of a feed it is told what that feed says, whatever others say.

Exit status: 0 nothing differs, 1 something does, 65 a file is corrupt, 66 a file cannot be opened.")]
pub struct Arguments {
    /// The snapshot before
    old: PathBuf,
    /// The snapshot after
    new: PathBuf,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    old: String,
    new: String,
    /// Of the stores; none where one is missing.
    diff: Option<Diff>,
    /// Rules by kind in the headers: before, after.
    rules_by_kind: BTreeMap<&'static str, (u64, u64)>,
}

/// Compares and prints.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let (old, new) = (load(&arguments.old)?, load(&arguments.new)?);
    let stores = (store_of(&arguments.old, &old)?, store_of(&arguments.new, &new)?);
    let diff = match stores {
        (Some(mut before), Some(mut after)) => {
            let differ = verdict_intel::diff::diff(&mut before, &mut after);
            Some(differ.map_err(|error| store::failed(&arguments.new, error))?)
        }
        _ => None,
    };
    let kinds = old.stats().rules.into_iter().zip(new.stats().rules);
    let rules_by_kind = kinds.map(|((kind, before), (_, after))| (kind.name(), (before, after))).filter(|(_, counts)| *counts != (0, 0));
    let hex = |snapshot: &Snapshot| format!("{:016x}", snapshot.generation());
    let document = Document { old: hex(&old), new: hex(&new), diff, rules_by_kind: rules_by_kind.collect() };
    if arguments.json {
        write_json(out, &document)?;
    } else {
        write(out, &document)?;
    }
    // Two builds of the same rules are the same file.
    Ok(if old.sha256() == new.sha256() { Outcome::Done } else { Outcome::Found })
}

/// The store beside a snapshot, if there is one and it is of this snapshot.
fn store_of(path: &Path, snapshot: &Snapshot) -> Result<Option<Store>, Failure> {
    let store = beside(path);
    if !store.exists() {
        return Ok(None);
    }
    let opened = Store::open(&store).map_err(|error| store::failed(&store, error))?;
    Ok(Some(opened).filter(|opened| opened.snapshot_sha256() == snapshot.sha256()))
}

fn write(out: &mut dyn Write, document: &Document) -> Result<(), Failure> {
    writeln!(out, "old  {}\nnew  {}", document.old, document.new)?;
    if let Some(diff) = &document.diff {
        return write_changes(out, diff);
    }
    writeln!(out, "an explain store is missing: only numbers of rules are compared")?;
    let mut table = Table::new(&["KIND", ">OLD", ">NEW"]);
    for (kind, (before, after)) in &document.rules_by_kind {
        table.row([(*kind).into(), text::grouped(*before).into(), text::grouped(*after).into()]);
    }
    Ok(table.write_rows(out)?)
}

/// A table by kind, and one by feed.
pub fn write_changes(out: &mut dyn Write, diff: &Diff) -> Result<(), Failure> {
    let all = [("all", &diff.total)];
    let kinds: Vec<(&str, &Changes)> = diff.by_kind.iter().map(|(kind, changes)| (*kind, changes)).chain(all).collect();
    let feeds: Vec<(&str, &Changes)> = diff.by_feed.iter().map(|(feed, changes)| (feed.as_str(), changes)).collect();
    for (what, rows) in [("KIND", kinds), ("FEED", feeds)] {
        let mut table = Table::new(&[what, ">OLD", ">NEW", ">ADDED", ">REMOVED", ">FLIPPED", ">CHANGED"]);
        for (name, changes) in rows {
            let Changes { old, new, added, removed, flipped, changed } = *changes;
            let [old, new, added, removed, flipped, changed] = [old, new, added, removed, flipped, changed].map(text::grouped);
            let name = text::visible(name.as_bytes());
            table.row([name.into(), old.into(), new.into(), added.into(), removed.into(), flipped.into(), changed.into()]);
        }
        writeln!(out)?;
        table.write_rows(out)?;
    }
    Ok(())
}
