//! abuse.ch SSLBL: addresses of command-and-control servers, `Firstseen,DstIP,DstPort`. Its other list names certificates by their fingerprints,
//! which are no files and no keys: it is refused by name.

use super::table::{Preset, Role};
use crate::judge::Expect;

/// `Firstseen,DstIP,DstPort`
pub const PRESET: Preset = Preset {
    delimiters: b",",
    quotes: true,
    signatures: &[&["firstseen", "dstip", "dstport"]],
    roles: &[("firstseen", Role::FirstSeen), ("dstip", Role::Indicator(Expect::Address))],
    orders: &[&["firstseen", "dstip", "dstport"]],
    types: &[],
    classes: &[],
};
