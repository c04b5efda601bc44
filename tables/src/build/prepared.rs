//! A snapshot between being made and being written: its name, and which vote was about which rule, for whoever keeps an explain store beside it.

use super::image::Image;
use super::seed::{RuleDigest, rule_digest};
use super::{arena, normal_form};
use crate::error::Error;
use crate::rule::Rule;
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

    /// Into a file: written beside it, synced, and renamed, so that no partial file is ever seen under `path`.
    pub fn write_file(&self, path: &Path) -> Result<(), Error> {
        Ok(self.image.write_file(path)?)
    }
}

/// One call of `Builder::add`, and the rule that it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedVote {
    /// See [`fingerprint`].
    pub fingerprint: u64,
    /// How many calls that were not refused came before.
    pub vote: u32,
}

impl TracedVote {
    pub(super) fn new(digest: &RuleDigest, vote: u32) -> Self {
        Self { fingerprint: fingerprint_of(digest), vote }
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
