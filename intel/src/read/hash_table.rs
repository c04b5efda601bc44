//! Digests in a table with a header, `hash,type,source,family` by commas or tabs. The type must fit the digest's length.

use super::table::{Preset, Role};
use crate::judge::Expect;

/// By commas or tabs, whichever the first line has.
pub const PRESET: Preset = Preset {
    delimiters: b"\t,",
    quotes: true,
    signatures: &[&["hash", "type"]],
    roles: &[
        ("hash", Role::Indicator(Expect::Digest)),
        ("type", Role::Type),
        ("first_seen", Role::FirstSeen),
        ("last_seen", Role::LastSeen),
    ],
    orders: &[&["hash", "type", "source", "family"]],
    types: &[
        ("sha256", Expect::Sha256),
        ("sha1", Expect::Sha1),
        ("md5", Expect::Md5),
        ("sha256_hash", Expect::Sha256),
        ("sha1_hash", Expect::Sha1),
        ("md5_hash", Expect::Md5),
        ("sha-256", Expect::Sha256),
        ("sha-1", Expect::Sha1),
    ],
    classes: &[],
};
