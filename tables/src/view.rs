//! A verified snapshot as slices: no copies, no decoding, nothing left to check.

use std::ops::Range;

use verdict_simd::Bucket;

use crate::layout::{Record, Section, SignatureEntry, SourceEntry, VoteEntry};
use crate::lpm::tree6::Tree6;
use crate::lpm::trie4::Trie4;
use crate::table::{Geometry, Table};
use crate::verdict::Verdict;
use crate::verify::{Spans, Verified};

/// All sections. `verify` has promised that every index found in one of them lies inside the one it points to.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) table: Table<'a>,
    pub(crate) templates: &'a [Verdict],
    pub(crate) records: &'a [Record],
    pub(crate) votes: &'a [VoteEntry],
    pub(crate) sources: &'a [SourceEntry],
    pub(crate) strings: &'a [u8],
    pub(crate) suffixes: &'a [u8],
    pub(crate) signatures: &'a [SignatureEntry],
    pub(crate) signature_texts: &'a [u8],
    pub(crate) lpm4: Trie4<'a>,
    pub(crate) lpm6: Tree6<'a>,
    pub(crate) slots: u64,
    pub(crate) spans: &'a Spans,
}

impl<'a> View<'a> {
    /// `verified` came from these bytes, which begin at a multiple of 64.
    pub(crate) fn new(bytes: &'a [u8], verified: &'a Verified) -> Self {
        let of = |section: Section| -> &'a [u8] {
            let Range { start, end } = verified.spans[section.index()].clone();
            &bytes[start..end]
        };
        let buckets: &[Bucket] = bytemuck::cast_slice(of(Section::Buckets));
        let geometry = Geometry { shards: verified.header.shards, shard_buckets: verified.header.shard_buckets };
        Self {
            table: Table { geometry, buckets },
            templates: bytemuck::cast_slice(of(Section::Templates)),
            records: bytemuck::cast_slice(of(Section::Records)),
            votes: bytemuck::cast_slice(of(Section::Votes)),
            sources: bytemuck::cast_slice(of(Section::Sources)),
            strings: of(Section::Strings),
            suffixes: of(Section::PublicSuffixes),
            signatures: bytemuck::cast_slice(of(Section::Signatures)),
            signature_texts: of(Section::SignatureText),
            lpm4: Trie4 { root: bytemuck::cast_slice(of(Section::Root4)), nodes: bytemuck::cast_slice(of(Section::Nodes4)) },
            lpm6: Tree6 {
                nodes: bytemuck::cast_slice(of(Section::Tree6)),
                ids: bytemuck::cast_slice(of(Section::Verdicts6)),
                blocks: bytemuck::cast_slice(of(Section::Blocks6)),
                long_ends: bytemuck::cast_slice(of(Section::LongEnds6)),
                long_ids: bytemuck::cast_slice(of(Section::LongVerdicts6)),
            },
            slots: verified.header.slots,
            spans: &verified.spans,
        }
    }

    /// What several sources say of a rule; empty where one source alone says it, which is what the record says.
    pub(crate) fn votes_of(&self, record: &Record) -> &'a [VoteEntry] {
        match usize::from(record.source_count) {
            0 | 1 => &[],
            count => &self.votes[record.sources_at as usize..][..count],
        }
    }

    /// Numbers of the sources that say it, ascending.
    pub(crate) fn sources_of(&self, record: &Record) -> impl Iterator<Item = u16> + use<'a> {
        let (votes, one) = (self.votes_of(record), record.sources_at as u16);
        (0..usize::from(record.source_count)).map(move |place| votes.get(place).map_or(one, |vote| vote.source))
    }

    /// The text of one of its signatures.
    pub(crate) fn signature_text(&self, entry: &SignatureEntry) -> &'a [u8] {
        &self.signature_texts[entry.at as usize..][..usize::from(entry.bytes)]
    }
}
