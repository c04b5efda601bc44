//! Feeds and kinds of rules that are switched off: the same tables, and the answers of a snapshot that was compiled without them.
//!
//! ```text
//! the file     table ──► verdict id ──► templates  | unknown | malicious | suspicious | malicious | …
//! switched     the same ──► the same ──► templates | unknown | suspicious |  unknown   | malicious | …     8 bytes a verdict, made at the switch
//!                                                              └ combined again, of the votes that are left
//! ```
//! A rule stays in its table; what it says is looked up elsewhere, where it says what is left of it, or nothing. So a lookup is the same instructions
//! whether something is off or not, a less specific rule of another feed comes through as if the other rule were not there, and switching on again is
//! letting go.
//!
//! A rule vanishes when its kind is off, or every feed that votes on it. Of those that stay the votes are combined by the very function that the
//! builder uses. Where prefixes nest, what is behind one (`build/lpm.rs`) is answered when it vanishes or says less: ids ascend from behind to
//! in front, so that one pass over the records suffices.
//!
//! Class unknown that overrides nothing is answered as by no rule, id 0: a rule that is gone and one that says nothing weigh the same in a lookup.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::combine::{combine, in_front};
use crate::layout::{Record, VoteEntry};
use crate::rule::RuleKind;
use crate::snapshot::Snapshot;
use crate::verdict::{Class, Verdict};
use crate::view::View;

/// What is off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Off {
    /// Names of sources, whatever their licence.
    pub sources: BTreeSet<String>,
    /// Kinds of rules.
    pub kinds: BTreeSet<RuleKind>,
}

impl Off {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.kinds.is_empty()
    }
}

/// The answers of a snapshot of which something is off.
pub(crate) struct Switched {
    pub(crate) templates: Vec<Verdict>,
    /// By number.
    source_off: Vec<bool>,
    kinds_off: BTreeSet<RuleKind>,
    /// Verdicts that nobody gives any more.
    gone: usize,
}

impl Switched {
    fn new(view: &View<'_>, off: &Off) -> Self {
        let source_off = view.source_names().map(|name| off.sources.contains(name)).collect();
        let mut switched = Self { templates: vec![Verdict::default()], source_off, kinds_off: off.kinds.clone(), gone: 0 };
        switched.templates.reserve_exact(view.records.len());
        let mut votes = Vec::new();
        for (id, record) in (1..).zip(view.records.iter().skip(1)) {
            let left = switched.left_of(view, record, &mut votes);
            switched.gone += usize::from(left.is_none());
            let own = left.filter(says_something).map(|left| left.template(id));
            let behind = switched.templates[record.behind() as usize];
            switched.templates.push(in_front(own, behind));
        }
        switched
    }

    /// What a rule still says; `votes` is room for those that are left.
    pub(crate) fn left_of(&self, view: &View<'_>, record: &Record, votes: &mut Vec<VoteEntry>) -> Option<Record> {
        let kind = RuleKind::from_u8(record.rule_kind).filter(|kind| !self.kinds_off.contains(kind))?;
        let mut on = view.sources_of(record).map(|source| self.is_on(source));
        // One source alone, or all of them: as it was compiled.
        let first = on.next()?;
        if on.all(|on| on == first) {
            return first.then_some(*record);
        }
        votes.clear();
        votes.extend(view.votes_of(record).iter().filter(|vote| self.is_on(vote.source)));
        let Record { sources_at, source_count, behind, .. } = *record;
        Some(Record { sources_at, source_count, behind, ..combine(kind, votes) })
    }

    pub(crate) fn is_on(&self, source: u16) -> bool {
        !self.source_off[usize::from(source)]
    }
}

/// Whether somebody could tell it from silence.
fn says_something(record: &Record) -> bool {
    record.class != Class::Unknown as u8 || record.flags != 0
}

impl Snapshot {
    /// The same tables, without what is off: they share memory. Takes as long as a look at every verdict does.
    #[must_use]
    pub fn switched(&self, off: &Off) -> Self {
        let switched = (!off.is_empty()).then(|| Arc::new(Switched::new(&self.as_compiled(), off)));
        self.with(switched)
    }

    /// Whether an answer as compiled is not given since nothing is left of its rule.
    pub(crate) fn is_off(&self, answer: &Verdict) -> bool {
        let view = self.as_compiled();
        let record = &view.records[answer.verdict_id() as usize];
        self.answers().is_some_and(|switched| switched.left_of(&view, record, &mut Vec::new()).is_none())
    }

    /// How many of its verdicts nobody gives while something is off.
    pub fn verdicts_off(&self) -> usize {
        self.answers().map_or(0, |switched| switched.gone)
    }
}
