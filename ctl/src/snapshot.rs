//! Opening a snapshot file, and its facts in words and as JSON; shared by `compile`, `inspect`, `verify` and `explain`.

use crate::date;
use crate::exit::Failure;
use crate::text;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;
use verdict_keys::Profile;
use verdict_tables::{Error, Snapshot, Stats};

/// Reads the file and verifies every byte of it. A corrupt file names section and offset.
pub fn load(path: &Path) -> Result<Snapshot, Failure> {
    Snapshot::load(path).map_err(|error| {
        let told = format!("{}: {}", text::path(path), text::visible(error.to_string().as_bytes()));
        if matches!(error, Error::Io(_)) { Failure::Input(told) } else { Failure::Data(told) }
    })
}

/// What a snapshot is, as JSON: a promise, keys are added and never renamed.
#[derive(Debug, Serialize)]
pub struct Facts {
    file: String,
    generation: String,
    sha256: String,
    version: u32,
    file_bytes: u64,
    as_of: Option<String>,
    profile: ProfileJson,
    rules: u64,
    rules_by_kind: Vec<Count>,
    table: TableJson,
    verdicts: u64,
    sections: Vec<Bytes>,
    sources: Vec<SourceJson>,
}

#[derive(Debug, Serialize)]
struct ProfileJson {
    scheme: &'static str,
    host_labels_max: u8,
    path_prefixes_max: u8,
}

#[derive(Debug, Serialize)]
struct Count {
    kind: &'static str,
    rules: u64,
}

#[derive(Debug, Serialize)]
struct TableJson {
    slots: u64,
    buckets: u64,
    shards: u32,
    load: f64,
    bytes_per_slot: f64,
}

#[derive(Debug, Serialize)]
struct Bytes {
    section: &'static str,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct SourceJson {
    name: String,
    licence: String,
}

impl Facts {
    /// Of a verified snapshot.
    pub fn new(path: &Path, snapshot: &Snapshot) -> Self {
        let Stats { file_bytes, rules, slots, buckets, shards, load, verdicts, sections, .. } = snapshot.stats();
        let bytes_per_slot = snapshot.stats().bytes_per_slot();
        let &Profile { scheme, host_labels_max, path_prefixes_max, .. } = snapshot.profile();
        Self {
            file: text::path(path),
            generation: format!("{:016x}", snapshot.generation()),
            sha256: snapshot.sha256().iter().map(|byte| format!("{byte:02x}")).collect(),
            version: verdict_tables::layout::VERSION,
            file_bytes,
            as_of: (snapshot.as_of_s() != 0).then(|| date::from_seconds(snapshot.as_of_s())),
            profile: ProfileJson { scheme: scheme.name(), host_labels_max, path_prefixes_max },
            rules: rules.iter().map(|(_, count)| count).sum(),
            rules_by_kind: rules.into_iter().map(|(kind, rules)| Count { kind: kind.name(), rules }).collect(),
            table: TableJson { slots, buckets, shards, load, bytes_per_slot },
            verdicts,
            sections: sections.into_iter().map(|(section, bytes)| Bytes { section, bytes }).collect(),
            sources: snapshot
                .sources()
                .map(|source| SourceJson { name: source.name.to_owned(), licence: source.licence.to_owned() })
                .collect(),
        }
    }

    /// What it is and how much: a line per fact.
    pub fn write_head(&self, out: &mut dyn Write) -> io::Result<()> {
        let ProfileJson { scheme, host_labels_max, path_prefixes_max } = &self.profile;
        writeln!(out, "snapshot    {}", self.file)?;
        writeln!(out, "generation  {}", self.generation)?;
        writeln!(out, "sha256      {}", self.sha256)?;
        writeln!(out, "bytes       {} ({})", text::grouped(self.file_bytes), text::bytes(self.file_bytes))?;
        writeln!(out, "as of       {}", self.as_of.as_deref().unwrap_or("not stated"))?;
        writeln!(out, "profile     {scheme}, host suffixes of up to {host_labels_max} labels, {path_prefixes_max} path prefixes")?;
        let kinds = self.rules_by_kind.iter().filter(|count| count.rules > 0);
        let kinds = kinds.map(|count| format!("{} {}", count.kind, text::grouped(count.rules))).collect::<Vec<_>>().join(", ");
        writeln!(out, "rules       {}{}", text::grouped(self.rules), if kinds.is_empty() { kinds } else { format!(": {kinds}") })
    }

    /// How it is laid out, and whose data it holds.
    pub fn write_tail(&self, out: &mut dyn Write) -> io::Result<()> {
        let TableJson { slots, buckets, shards, load, bytes_per_slot } = &self.table;
        writeln!(out, "version     {}", self.version)?;
        writeln!(
            out,
            "table       {} slots in {} buckets of 64 bytes, {shards} shards, load {load:.3}, {bytes_per_slot:.2} bytes a slot",
            text::grouped(*slots),
            text::grouped(*buckets)
        )?;
        writeln!(out, "verdicts    {}", text::grouped(self.verdicts))?;
        writeln!(out, "sections")?;
        for Bytes { section, bytes } in &self.sections {
            writeln!(out, "  {section:<14} {:>16} bytes", text::grouped(*bytes))?;
        }
        writeln!(out, "sources")?;
        for SourceJson { name, licence } in &self.sources {
            let licence = if licence.is_empty() { "no licence stated" } else { licence };
            writeln!(out, "  {} ({})", text::visible(name.as_bytes()), text::visible(licence.as_bytes()))?;
        }
        Ok(())
    }
}
