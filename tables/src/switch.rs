//! Feeds and kinds of rules that are switched off: the same tables, other answers.
//!
//! ```text
//! the file     table ──► verdict id ──► templates  | unknown | malicious | suspicious | malicious | …
//! switched     the same ──► the same ──► templates | unknown | malicious |  unknown   | malicious | …     8 bytes a verdict, made at the switch
//! ```
//! A rule stays in its table; what it says is looked up elsewhere, where it says nothing. So a lookup is the same instructions whether something is
//! off or not, a less specific rule of another feed comes through as if the other rule were not there, and switching on again is letting go.
//!
//! A rule vanishes when its kind is off, or when every feed that votes on it is. Where another feed votes on it too its verdict stays as it was
//! compiled, of all votes: the file holds what they came to, not each of them. So it is where an address prefix lies inside another one: the file
//! holds the one that won, and the other does not come back.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::rule::RuleKind;
use crate::snapshot::Snapshot;
use crate::verdict::Verdict;
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
    /// Verdicts that nobody gives any more.
    gone: usize,
}

impl Switched {
    fn new(view: &View<'_>, off: &Off) -> Self {
        let source_off: Vec<bool> = view.source_names().map(|name| off.sources.contains(name)).collect();
        let kind_off: Vec<bool> = (0..=u8::MAX).map(|kind| RuleKind::from_u8(kind).is_some_and(|kind| off.kinds.contains(&kind))).collect();
        let (mut templates, mut gone) = (view.templates.to_vec(), 0);
        for (template, record) in templates.iter_mut().zip(view.records).skip(1) {
            let from = record.sources_at as usize;
            let mut sources = view.source_sets[from..from + usize::from(record.source_count)].iter();
            if kind_off[usize::from(record.rule_kind)] || sources.all(|source| source_off[usize::from(*source)]) {
                *template = Verdict::default();
                gone += 1;
            }
        }
        Self { templates, gone }
    }
}

impl Snapshot {
    /// The same tables, without what is off: they share memory. Takes as long as a look at every verdict does.
    #[must_use]
    pub fn switched(&self, off: &Off) -> Self {
        let switched = (!off.is_empty()).then(|| Arc::new(Switched::new(&self.as_compiled(), off)));
        self.with(switched)
    }

    /// How many of its verdicts nobody gives while something is off.
    pub fn verdicts_off(&self) -> usize {
        self.answers().map_or(0, |switched| switched.gone)
    }
}

/// Whether a verdict of the file is given; `false` while its rule is off.
pub(crate) fn is_given(view: &View<'_>, id: u32) -> bool {
    id == 0 || view.templates[id as usize].verdict_id() != 0
}
