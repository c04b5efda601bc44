//! Maltrail's trails, by tabs: `class family indicator reference`. The indicator tells its kind by its look: hosts, `address:port`, URLs,
//! `host/path`, prefixes. Paths alone and regular expressions are no keys and are rejected as such.

use super::table::{Preset, Role};
use crate::judge::Expect;
use verdict_tables::Class;

/// By tabs.
pub const PRESET: Preset = Preset {
    delimiters: b"\t",
    quotes: false,
    signatures: &[&["class", "family", "indicator"]],
    roles: &[("class", Role::Class), ("family", Role::Tags), ("indicator", Role::Indicator(Expect::Any))],
    orders: &[&["class", "family", "indicator", "reference"]],
    types: &[],
    // `other` is what maltrail sees without calling it bad: mass scanners and the like.
    classes: &[
        ("malware", Class::Malicious),
        ("malicious", Class::Malicious),
        ("suspicious", Class::Suspicious),
        ("other", Class::Suspicious),
    ],
};
