//! What stands behind a verdict id: everything that the 8 bytes of an answer leave out. While something is switched off, of what is left.

use crate::layout::{Record, SourceEntry};
use crate::rule::{RuleKind, Source};
use crate::snapshot::Snapshot;
use crate::switch::Switched;
use crate::verdict::{Class, Verdict};
use crate::view::View;

/// One interned verdict with its sources.
#[derive(Clone, Copy)]
pub struct Description<'a> {
    /// The answer that carries this id.
    pub verdict: Verdict,
    /// What the winning votes say.
    pub class: Class,
    /// Highest score among the winning votes, 0 to 100.
    pub score: u8,
    /// That of the winning votes together, 0 to 100.
    pub confidence: u8,
    /// The kind of rule that matched.
    pub rule_kind: RuleKind,
    /// Bit set of `category`, of the winning votes.
    pub categories: u16,
    /// `flag::ALLOWLISTED` and `flag::OVERRIDDEN`.
    pub flags: u8,
    /// Days since 1970-01-01; 0 if unknown.
    pub first_seen_day: u16,
    /// Days since 1970-01-01; 0 if unknown.
    pub last_seen_day: u16,
    /// Seconds a caller may keep the verdict.
    pub ttl_s: u32,
    record: Record,
    view: View<'a>,
    /// By what its sources are left, where some are.
    switched: Option<&'a Switched>,
}

impl<'a> Description<'a> {
    /// All that voted on the rule, winners or not, by name; without those that are switched off.
    pub fn sources(&self) -> impl Iterator<Item = Source<'a>> + use<'a> {
        let (view, switched) = (self.view, self.switched);
        let on = view.sources_of(&self.record).filter(move |number| switched.is_none_or(|switched| switched.is_on(*number)));
        on.map(move |number| source(&view, &view.sources[usize::from(number)]))
    }

    /// Whether both say the same: all but which one it is.
    pub(crate) fn says_as(&self, other: &Self) -> bool {
        let said = |of: &Self| Record { sources_at: 0, behind: [0; 3], ..of.record };
        said(self) == said(other) && self.sources().eq(other.sources())
    }
}

impl Snapshot {
    /// What the rule of an id says without what is switched off; where that is nothing, what it would say. `None` for 0 and for ids that no answer of
    /// this generation carries.
    pub fn describe(&self, id: u32) -> Option<Description<'_>> {
        let view = self.as_compiled();
        let record = view.records.get(id as usize)?;
        let left = self.answers().and_then(|switched| Some((switched.left_of(&view, record, &mut Vec::new())?, switched)));
        let (record, switched) = left.map_or((*record, None), |(left, switched)| (left, Some(switched)));
        Some(Description {
            verdict: record.template(id),
            class: Class::from_u8(record.class)?,
            score: record.score,
            confidence: record.confidence,
            rule_kind: RuleKind::from_u8(record.rule_kind)?, // that of id 0 is none
            categories: record.categories,
            flags: record.flags,
            first_seen_day: record.first_seen_day,
            last_seen_day: record.last_seen_day,
            ttl_s: record.ttl_s,
            record,
            view,
            switched,
        })
    }

    /// All sources of this snapshot, by name.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = Source<'_>> {
        let view = self.view();
        view.sources.iter().map(move |entry| source(&view, entry))
    }
}

fn source<'a>(view: &View<'a>, entry: &SourceEntry) -> Source<'a> {
    Source { name: text(view, entry.name_at, entry.name_bytes), licence: text(view, entry.licence_at, entry.licence_bytes) }
}

fn text<'a>(view: &View<'a>, at: u32, bytes: u32) -> &'a str {
    // verify() has read every span as UTF-8.
    str::from_utf8(&view.strings[at as usize..at as usize + bytes as usize]).unwrap_or_default()
}

impl<'a> View<'a> {
    /// Names of the sources, by their number.
    pub(crate) fn source_names(&self) -> impl Iterator<Item = &'a str> + use<'a, '_> {
        self.sources.iter().map(|entry| text(self, entry.name_at, entry.name_bytes))
    }
}
