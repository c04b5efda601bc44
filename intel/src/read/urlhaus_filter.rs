//! urlhaus-filter's history, by tabs: `first_seen last_seen snapshots type indicator`; types `ipv4` (with or without a port), `host`, and `url` (no scheme: `host/path`).

use super::table::{Preset, Role};
use crate::judge::Expect;

/// By tabs.
pub const PRESET: Preset = Preset {
    delimiters: b"\t",
    quotes: false,
    signatures: &[&["first_seen", "last_seen", "type", "indicator"]],
    roles: &[
        ("first_seen", Role::FirstSeen),
        ("last_seen", Role::LastSeen),
        ("type", Role::Type),
        ("indicator", Role::Indicator(Expect::Any)),
    ],
    orders: &[&["first_seen", "last_seen", "snapshots", "type", "indicator"]],
    types: &[("ipv4", Expect::Address), ("host", Expect::Host), ("url", Expect::Url)],
    classes: &[],
};
