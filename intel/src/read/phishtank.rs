//! PhishTank's CSV. A row that nobody has verified is suspicious, not malicious.

use super::table::{Preset, Role};
use crate::judge::Expect;

/// `phish_id,url,phish_detail_url,submission_time,verified,verification_time,online,target`
pub const PRESET: Preset = Preset {
    delimiters: b",",
    quotes: true,
    signatures: &[&["phish_id", "url", "phish_detail_url"]],
    roles: &[
        ("url", Role::Indicator(Expect::Url)),
        ("submission_time", Role::FirstSeen),
        ("verified", Role::Verified),
        ("verification_time", Role::LastSeen),
        ("phish_detail_url", Role::Reference),
    ],
    orders: &[&["phish_id", "url", "phish_detail_url", "submission_time", "verified", "verification_time", "online", "target"]],
    types: &[],
    classes: &[],
};
