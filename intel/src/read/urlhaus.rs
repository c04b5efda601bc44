//! abuse.ch URLhaus, `csv_online` and `csv_recent`: all columns quoted, the header in the last `#` line or in a row of its own.
//! The eight-column form is the one before `last_online` was added.

use super::table::{Preset, Role};
use crate::judge::Expect;

/// `id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter`
pub const PRESET: Preset = Preset {
    delimiters: b",",
    quotes: true,
    signatures: &[&["url", "url_status", "threat"]],
    roles: &[
        ("dateadded", Role::FirstSeen),
        ("url", Role::Indicator(Expect::Url)),
        ("last_online", Role::LastSeen),
        ("threat", Role::Tags),
        ("tags", Role::Tags),
        ("urlhaus_link", Role::Reference),
    ],
    orders: &[
        &["id", "dateadded", "url", "url_status", "last_online", "threat", "tags", "urlhaus_link", "reporter"],
        &["id", "dateadded", "url", "url_status", "threat", "tags", "urlhaus_link", "reporter"],
    ],
    types: &[],
    classes: &[],
};
