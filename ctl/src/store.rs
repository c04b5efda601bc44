//! Explain stores for `verify` and `inspect`: is it whole, whose is it, and which feeds went into it?

use crate::answer::write_json;
use crate::exit::Failure;
use crate::text;
use serde::Serialize;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use verdict_intel::store::{FeedOrigin, Store, StoreError};
use verdict_tables::Snapshot;

/// Does the file begin as a store does? One that cannot be read does not.
pub fn is_one(path: &Path) -> bool {
    let mut head = [0; 8];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && verdict_intel::store::is_store(&head)
}

/// What an error of a store amounts to.
pub fn failed(path: &Path, error: StoreError) -> Failure {
    let shown = text::path(path);
    match error {
        StoreError::Io(error) => Failure::Input(format!("{shown}: {error}")),
        error => Failure::Data(format!("{shown}: {}", text::visible(error.to_string().as_bytes()))),
    }
}

/// Checks every byte, and with `snapshot` whether it is that snapshot's.
pub fn verify(path: &Path, snapshot: Option<&Snapshot>, out: &mut dyn Write) -> Result<(), Failure> {
    let mut store = Store::open(path).map_err(|error| failed(path, error))?;
    store.verify().map_err(|error| failed(path, error))?;
    let (votes, feeds) = (text::counted(store.votes() as usize, "vote"), text::counted(store.feeds().len(), "feed"));
    let other = snapshot.is_some_and(|snapshot| snapshot.sha256() != store.snapshot_sha256());
    let whose = if other { ", but of another snapshot: `explain` will not use it" } else { "" };
    writeln!(out, "{}: ok, {votes} of {feeds}, generation {:016x}{whose}", text::path(path), store.generation())?;
    Ok(())
}

#[derive(Serialize)]
struct Facts<'a> {
    file: String,
    generation: String,
    file_bytes: u64,
    votes: u64,
    /// Votes whose rows say where to read about them.
    references: u64,
    references_left_out: u64,
    feeds: Vec<FeedFacts<'a>>,
}

#[derive(Serialize)]
struct FeedFacts<'a> {
    name: &'a str,
    file: &'a str,
    file_bytes: u64,
    rows: u64,
    sha256: String,
}

/// Prints what a store holds.
pub fn inspect(path: &Path, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let store = Store::open(path).map_err(|error| failed(path, error))?;
    let feed = |feed: &FeedOrigin| -> String { feed.sha256.iter().map(|byte| format!("{byte:02x}")).collect() };
    let feeds = store.feeds().iter().map(|one| FeedFacts {
        name: &one.name,
        file: &one.file,
        file_bytes: one.file_bytes,
        rows: one.rows,
        sha256: feed(one),
    });
    let (references, references_left_out) = store.references();
    let facts = Facts {
        file: text::path(path),
        generation: format!("{:016x}", store.generation()),
        file_bytes: store.file_bytes(),
        votes: store.votes(),
        references,
        references_left_out,
        feeds: feeds.collect(),
    };
    if json {
        return Ok(write_json(out, &facts)?);
    }
    writeln!(out, "store       {}, {}", facts.file, text::bytes(facts.file_bytes))?;
    writeln!(out, "generation  {}", facts.generation)?;
    writeln!(out, "votes       {}", text::grouped(facts.votes))?;
    write!(out, "references  {}", text::grouped(references))?;
    match references_left_out {
        0 => writeln!(out)?,
        more => writeln!(out, ", and {} for which there was no room", text::grouped(more))?,
    }
    writeln!(out, "feeds")?;
    for FeedFacts { name, file, file_bytes, rows, .. } in &facts.feeds {
        let (name, file) = (text::visible(name.as_bytes()), text::visible(file.as_bytes()));
        writeln!(out, "  {name}  {} rows, {}, {file}", text::grouped(*rows), text::bytes(*file_bytes))?;
    }
    Ok(())
}
