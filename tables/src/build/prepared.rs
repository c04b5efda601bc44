//! A snapshot between being made and being written: its name, and which vote was about which rule, for whoever keeps an explain store beside it.

use super::image::{Image, Pending};
use super::seed::{RuleDigest, rule_digest};
use super::{arena, normal_form};
use crate::error::Error;
use crate::rule::{Rule, RuleKind};
use std::path::Path;

/// A snapshot that is finished, but not yet in one piece.
pub struct Prepared {
    pub(super) image: Image,
    pub(super) votes: Vec<TracedVote>,
}

impl Prepared {
    /// Its name.
    pub fn generation(&self) -> u64 {
        self.image.generation
    }

    /// What its header's SHA-256 is.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.image.sha256
    }

    /// Every vote by the fingerprint of its rule, if `Builder::trace` asked for them.
    pub fn votes(&self) -> &[TracedVote] {
        &self.votes
    }

    /// Complete on disk beside `path`, so that the very bytes can be judged before they get their name.
    pub fn write_pending(&self, path: &Path) -> Result<Pending, Error> {
        Ok(self.image.write_pending(path)?)
    }

    /// Into a file: written beside it, synced, and renamed, so that no partial file is ever seen under `path`.
    pub fn write_file(&self, path: &Path) -> Result<(), Error> {
        Ok(self.image.write_pending(path)?.commit()?)
    }
}

/// One call of `Builder::add` or `Builder::revoke`, and the rule that it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedVote {
    /// See [`fingerprint`].
    pub fingerprint: u64,
    /// How many calls that were not refused came before.
    pub vote: u32,
    /// What the rule is, in its one spelling.
    pub kind: RuleKind,
}

const _: () = assert!(size_of::<TracedVote>() == 16);

impl TracedVote {
    pub(super) fn new(digest: &RuleDigest, vote: u32, kind: RuleKind) -> Self {
        Self { fingerprint: fingerprint_of(digest), vote, kind }
    }
}

/// The name of a rule in an explain store: the first 8 bytes of the SHA-256 of its canonical encoding (FORMAT.md, "Whose hash key"), most
/// significant first. Rules that mean the same have the same. Refuses what `Builder::add` would refuse in any scheme.
pub fn fingerprint(rule: Rule<'_>) -> Result<u64, Error> {
    let mut encoding = Vec::new();
    arena::encode(&normal_form(rule)?, &mut encoding);
    Ok(fingerprint_of(&rule_digest(&encoding)))
}

fn fingerprint_of(digest: &RuleDigest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
