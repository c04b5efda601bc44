//! What a snapshot is made of, in numbers, for operators and metrics.

use std::fmt;

use crate::layout::Section;
use crate::rule::RuleKind;
use crate::snapshot::Snapshot;
use crate::table::SLOTS;
use crate::verify::hex;

/// Counts and sizes of a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// Size of the file in bytes.
    pub file_bytes: u64,
    /// Distinct rules by kind.
    pub rules: Vec<(RuleKind, u64)>,
    /// Used slots of the exact table: rules, and hosts that only have paths.
    pub slots: u64,
    /// Lines of the exact table, 64 bytes each.
    pub buckets: u64,
    /// Shards of the exact table.
    pub shards: u32,
    /// Used slots among all slots, 0.0 to 1.0.
    pub load: f64,
    /// Different verdicts.
    pub verdicts: u64,
    /// Sources that voted.
    pub sources: u64,
    /// Bytes that signatures take in memory beside the file: automaton and sieve; 0 without signatures.
    pub signature_memory_bytes: u64,
    /// Name and bytes of each section, in file order.
    pub sections: Vec<(&'static str, u64)>,
}

impl Stats {
    /// Distinct rules of all kinds.
    pub fn rules_total(&self) -> u64 {
        self.rules.iter().map(|(_, count)| count).sum()
    }

    /// Bytes of buckets per used slot; 0 for an empty table.
    pub fn bytes_per_slot(&self) -> f64 {
        if self.slots == 0 { 0.0 } else { (self.buckets * 64) as f64 / self.slots as f64 }
    }
}

impl Snapshot {
    /// Counts and sizes; cheap, all of it stands in the header.
    pub fn stats(&self) -> Stats {
        let view = self.view();
        let header = &self.verified().header;
        Stats {
            file_bytes: header.file_bytes,
            rules: RuleKind::ALL.into_iter().map(|kind| (kind, header.rules[kind as usize])).collect(),
            slots: header.slots,
            buckets: view.table.buckets.len() as u64,
            shards: header.shards,
            load: header.slots as f64 / (view.table.buckets.len() * SLOTS) as f64,
            verdicts: view.templates.len() as u64 - 1,
            sources: view.sources.len() as u64,
            signature_memory_bytes: self.signatures().map_or(0, |signatures| signatures.memory_bytes() as u64),
            sections: Section::ALL.into_iter().map(|section| (section.name(), view.spans[section.index()].len() as u64)).collect(),
        }
    }

    /// The same for reading: `print!("{}", snapshot.inspect())`.
    pub fn inspect(&self) -> Inspection<'_> {
        Inspection(self)
    }
}

/// Prints a snapshot's header, counts and sections, one fact a line.
pub struct Inspection<'a>(&'a Snapshot);

impl fmt::Display for Inspection<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (snapshot, stats) = (self.0, self.0.stats());
        let profile = snapshot.profile();
        let header = &snapshot.verified().header;
        writeln!(out, "generation   {:016x}", snapshot.generation())?;
        writeln!(out, "sha256       {}", hex(snapshot.sha256()))?;
        writeln!(out, "version      {}", header.version)?;
        writeln!(out, "as of        {} s since 1970", snapshot.as_of_s())?;
        writeln!(
            out,
            "profile      {:?}, suffixes of up to {} labels, {} path prefixes",
            profile.scheme, profile.host_labels_max, profile.path_prefixes_max
        )?;
        writeln!(out, "file         {} bytes", stats.file_bytes)?;
        writeln!(out, "rules        {}", stats.rules_total())?;
        for (kind, count) in stats.rules.iter().filter(|(_, count)| *count != 0) {
            writeln!(out, "  {:<24} {count:>12}", kind.name())?;
        }
        writeln!(
            out,
            "exact table  {} slots in {} buckets of {} shards, load {:.3}, {:.2} bytes a slot",
            stats.slots,
            stats.buckets,
            stats.shards,
            stats.load,
            stats.bytes_per_slot()
        )?;
        if stats.signature_memory_bytes != 0 {
            writeln!(out, "signatures   {} bytes of memory beside the file", stats.signature_memory_bytes)?;
        }
        writeln!(out, "verdicts     {}", stats.verdicts)?;
        writeln!(out, "sources      {}", stats.sources)?;
        for source in snapshot.sources() {
            writeln!(out, "  {} ({})", source.name.escape_default(), source.licence.escape_default())?;
        }
        writeln!(out, "sections")?;
        for section in Section::ALL {
            let span = &snapshot.verified().spans[section.index()];
            writeln!(out, "  {:<14} at {:>12} {:>14} bytes", section.name(), span.start, span.len())?;
        }
        Ok(())
    }
}
