//! abuse.ch Feodo Tracker: addresses of botnet controllers; `#` comments, columns quoted or not.

use super::table::{Preset, Role};
use crate::judge::Expect;

/// `first_seen_utc,dst_ip,dst_port,c2_status,last_online,malware`
pub const PRESET: Preset = Preset {
    delimiters: b",",
    quotes: true,
    signatures: &[&["dst_ip", "dst_port", "malware"]],
    roles: &[("first_seen_utc", Role::FirstSeen), ("dst_ip", Role::Indicator(Expect::Address)), ("last_online", Role::LastSeen)],
    orders: &[&["first_seen_utc", "dst_ip", "dst_port", "c2_status", "last_online", "malware"]],
    types: &[],
    classes: &[],
};
