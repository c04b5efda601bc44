//! abuse.ch ThreatFox: fifteen columns, fourteen before `is_compromised`; the header is a `#` line; `", "` between columns; `None` for nothing.

use super::table::{Preset, Role};
use crate::judge::Expect;

/// Most rows have no `reference`; the site finds each by its number.
pub const ID: Role = Role::Id("ThreatFox IOC ");

/// `first_seen_utc, ioc_id, ioc_value, ioc_type, …`
pub const PRESET: Preset = Preset {
    delimiters: b",",
    quotes: true,
    signatures: &[&["ioc_value", "ioc_type", "threat_type"]],
    roles: &[
        ("first_seen_utc", Role::FirstSeen),
        ("ioc_value", Role::Indicator(Expect::Any)),
        ("ioc_type", Role::Type),
        ("threat_type", Role::Tags),
        ("last_seen_utc", Role::LastSeen),
        ("confidence_level", Role::Confidence),
        ("is_compromised", Role::Compromised),
        ("tags", Role::Tags),
        ("reference", Role::Reference),
        ("ioc_id", ID),
    ],
    orders: &[
        &[
            "first_seen_utc",
            "ioc_id",
            "ioc_value",
            "ioc_type",
            "threat_type",
            "fk_malware",
            "malware_alias",
            "malware_printable",
            "last_seen_utc",
            "confidence_level",
            "is_compromised",
            "reference",
            "tags",
            "anonymous",
            "reporter",
        ],
        &[
            "first_seen_utc",
            "ioc_id",
            "ioc_value",
            "ioc_type",
            "threat_type",
            "fk_malware",
            "malware_alias",
            "malware_printable",
            "last_seen_utc",
            "confidence_level",
            "reference",
            "tags",
            "anonymous",
            "reporter",
        ],
    ],
    types: &[
        ("ip:port", Expect::Address),
        ("domain", Expect::Host),
        ("url", Expect::Url),
        ("md5_hash", Expect::Md5),
        ("sha1_hash", Expect::Sha1),
        ("sha256_hash", Expect::Sha256),
    ],
    classes: &[],
};
