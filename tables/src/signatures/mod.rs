//! Signatures: texts that are looked for inside the canonical text of URLs and hosts. Everything else is found by key; these must be searched.
//!
//! ```text
//! text ──► sieve: does it hold a rare piece of any signature? ── no (nearly always) ──► done, about 50 ns
//!                                                              └ yes ──► automaton: every place of every signature ──► text::stands ──► matches
//! ```
//! The automaton (Aho and Corasick 1975) reads each byte once, whatever signatures and questions there are: that bounds what a question can
//! cost. It lives in memory only, made from the verified texts when a snapshot is loaded; the file holds texts, and nothing to lie about.

mod sieve;
pub(crate) mod text;

use aho_corasick::automaton::{Automaton, OverlappingState};
use aho_corasick::nfa::{contiguous, noncontiguous};
use aho_corasick::{Anchored, Input};
use verdict_keys::Text;

use crate::error::Error;
use crate::layout::SignatureEntry;
use crate::rule::RuleKind;
use crate::view::View;
use sieve::Sieve;

/// What is made of the signatures of a snapshot.
pub(crate) struct Signatures {
    sieve: Sieve,
    automaton: contiguous::NFA,
    /// Entries of text `n` are `first[n]..first[n + 1]`.
    first: Vec<u32>,
    /// No signature has a higher rank.
    rank_max: u8,
}

/// A place of a signature in a text.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Of the signature, among all entries.
    pub(crate) entry: u32,
    /// Its first byte.
    pub(crate) at: u32,
}

impl Signatures {
    /// `None` where there are none. Fails only where the automaton outgrows its 31-bit states, which the limits of the format exclude.
    pub(crate) fn new(view: &View<'_>) -> Result<Option<Self>, Error> {
        let texts = || view.signatures.chunk_by(|a, b| a.at == b.at).map(|entries| view.signature_text(&entries[0]));
        if view.signatures.is_empty() {
            return Ok(None);
        }
        let refused = |error: aho_corasick::BuildError| Error::corrupt("signatures", 0, "texts that an automaton takes", error);
        let states = noncontiguous::Builder::new().prefilter(false).build(texts()).map_err(refused)?;
        let automaton = contiguous::Builder::new().build_from_noncontiguous(&states).map_err(refused)?;
        let mut first = vec![0];
        for entries in view.signatures.chunk_by(|a, b| a.at == b.at) {
            first.push(first[first.len() - 1] + entries.len() as u32);
        }
        let rank_max = view.signatures.iter().map(|entry| view.templates[entry.verdict as usize].rank()).max().unwrap_or(0);
        Ok(Some(Self { sieve: Sieve::new(texts()), automaton, first, rank_max }))
    }

    /// No match of a signature has a higher rank than this: what has it already need not be searched.
    pub(crate) fn rank_max(&self) -> u8 {
        self.rank_max
    }

    /// Whether the text holds a piece of a signature; `false` is certain.
    #[inline(always)]
    pub(crate) fn admits(&self, text: &Text<'_>) -> bool {
        self.sieve.admits(text.padded())
    }

    /// Every place of every signature, by their ends.
    pub(crate) fn search(&self, entries: &[SignatureEntry], text: &Text<'_>, mut found: impl FnMut(Place)) {
        let bytes = text.bytes();
        let input = Input::new(bytes).anchored(Anchored::No);
        let mut state = OverlappingState::start();
        // Unanchored searches of an automaton without a prefilter cannot be refused.
        while self.automaton.try_find_overlapping(&input, &mut state).is_ok()
            && let Some(hit) = state.get_match()
        {
            let pattern = hit.pattern().as_usize();
            let range = self.first[pattern]..self.first[pattern + 1];
            for entry in range {
                let kind = entries[entry as usize].kind();
                let in_reach = if kind.is_host_signature() { hit.end() <= text.name_bytes } else { text.is_url };
                if in_reach && text::stands(in_view(bytes, kind, text), hit.start(), hit.end(), kind.is_token()) {
                    found(Place { entry, at: hit.start() as u32 });
                }
            }
        }
    }

    /// Bytes of memory beside the file: automaton, sieve, first.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.automaton.memory_usage() + self.sieve.memory_bytes() + self.first.len() * 4
    }
}

/// What of the text a signature sees: the name alone, or all of it.
fn in_view<'t>(bytes: &'t [u8], kind: RuleKind, text: &Text<'_>) -> &'t [u8] {
    if kind.is_host_signature() { &bytes[..text.name_bytes] } else { bytes }
}
