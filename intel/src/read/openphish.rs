//! A history of OpenPhish's list, by tabs and without quotes: `first_seen last_seen snapshots url` (the last column also under the name `line`).
//! The list as OpenPhish publishes it is a plain `url-list`.

use super::table::{Preset, Role};
use crate::judge::Expect;

/// By tabs.
pub const PRESET: Preset = Preset {
    delimiters: b"\t",
    quotes: false,
    signatures: &[&["first_seen", "last_seen", "snapshots", "url"], &["first_seen", "last_seen", "snapshots", "line"]],
    roles: &[
        ("first_seen", Role::FirstSeen),
        ("last_seen", Role::LastSeen),
        ("url", Role::Indicator(Expect::Url)),
        ("line", Role::Indicator(Expect::Url)),
    ],
    orders: &[&["first_seen", "last_seen", "snapshots", "url"]],
    types: &[],
    classes: &[],
};
