//! JSON that is a table: a list of records with one indicator or more each.
//!
//! ```text
//! [ {…}, {…} ]            {"data": [ {…} ]}   {"urls": [ {…} ]}            {"3456": [ {…} ], "3457": [ {…} ]}            {…}\n{…}\n
//! Feodo, PhishTank        answers of abuse.ch's APIs                      abuse.ch's exports, by number                  OpenPhish
//! ```
//! Fields are found by their names and mean what columns of the same names mean in the CSV of the same feed.

use super::document::{Document, Rows, parse, take, words};
use super::table::{Role, assemble};
use super::{Line, table};
use crate::json::{Cursor, Fault, Kind, Taken};
use crate::judge::Expect;
use crate::limits::OBJECT_BYTES_MAX;
use crate::reason::Reason;
use serde_json::{Map, Value};
use std::io::Read;

/// A feed that is known by heart.
#[derive(Debug)]
pub struct Preset {
    /// It is this feed's when its records have all of one of these fields.
    pub signatures: &'static [&'static [&'static str]],
    /// What the fields mean; others are left aside.
    pub roles: &'static [(&'static str, Role)],
    /// Words of the type field.
    pub types: &'static [(&'static str, Expect)],
}

/// abuse.ch URLhaus.
pub const URLHAUS: Preset = Preset {
    signatures: &[&["url", "urlhaus_link"], &["url", "urlhaus_reference"]],
    roles: &[
        ("dateadded", Role::FirstSeen),
        ("date_added", Role::FirstSeen),
        ("url", Role::Indicator(Expect::Url)),
        ("last_online", Role::LastSeen),
        ("threat", Role::Tags),
        ("tags", Role::Tags),
        ("urlhaus_link", Role::Reference),
        ("urlhaus_reference", Role::Reference),
    ],
    types: &[],
};

/// abuse.ch ThreatFox, exports and answers of its API.
pub const THREATFOX: Preset = Preset {
    signatures: &[&["ioc_value", "ioc_type"], &["ioc", "ioc_type"]],
    roles: &[
        ("ioc_value", Role::Indicator(Expect::Any)),
        ("ioc", Role::Indicator(Expect::Any)),
        ("ioc_type", Role::Type),
        ("threat_type", Role::Tags),
        ("first_seen_utc", Role::FirstSeen),
        ("first_seen", Role::FirstSeen),
        ("last_seen_utc", Role::LastSeen),
        ("last_seen", Role::LastSeen),
        ("confidence_level", Role::Confidence),
        ("is_compromised", Role::Compromised),
        ("tags", Role::Tags),
        ("reference", Role::Reference),
        ("malware_malpedia", Role::Reference),
        ("id", super::threatfox::ID),
    ],
    types: super::threatfox::PRESET.types,
};

/// abuse.ch Feodo Tracker.
pub const FEODO: Preset = Preset {
    signatures: &[&["ip_address", "port", "malware"]],
    roles: &[("ip_address", Role::Indicator(Expect::Address)), ("first_seen", Role::FirstSeen), ("last_online", Role::LastSeen)],
    types: &[],
};

/// abuse.ch MalwareBazaar.
pub const MALWAREBAZAAR: Preset = Preset {
    signatures: &[&["sha256_hash", "md5_hash", "sha1_hash"]],
    roles: &[
        ("sha256_hash", Role::Indicator(Expect::Sha256)),
        ("sha1_hash", Role::Indicator(Expect::Sha1)),
        ("md5_hash", Role::Indicator(Expect::Md5)),
        ("first_seen", Role::FirstSeen),
        ("last_seen", Role::LastSeen),
        ("tags", Role::Tags),
    ],
    types: &[],
};

/// PhishTank.
pub const PHISHTANK: Preset = Preset {
    signatures: &[&["phish_id", "url"]],
    roles: &[
        ("url", Role::Indicator(Expect::Url)),
        ("submission_time", Role::FirstSeen),
        ("verified", Role::Verified),
        ("phish_detail_url", Role::Reference),
    ],
    types: &[],
};

/// OpenPhish.
pub const OPENPHISH: Preset = Preset {
    signatures: &[&["url", "brand"], &["url", "family_id"], &["url", "discover_time"], &["url", "isotime"]],
    roles: &[("url", Role::Indicator(Expect::Url)), ("isotime", Role::FirstSeen), ("discover_time", Role::FirstSeen)],
    types: &[],
};

/// Reads records of a preset.
pub struct Records {
    preset: &'static Preset,
    buffer: Vec<u8>,
}

impl Records {
    /// Of a known feed.
    pub fn new(preset: &'static Preset) -> Self {
        Records { preset, buffer: Vec::new() }
    }

    fn list(&mut self, cursor: &mut Cursor<&mut dyn Read>, rows: &mut dyn Rows) -> Result<(), Fault> {
        cursor.begin_array()?;
        while cursor.next_element()? {
            let mut buffer = std::mem::take(&mut self.buffer);
            let (taken, record) = take::<Map<String, Value>>(cursor, &mut buffer)?;
            self.record(taken.line, record, &buffer, rows);
            self.buffer = buffer;
        }
        Ok(())
    }

    /// Lists within an object; or the object is a record itself.
    fn object(&mut self, cursor: &mut Cursor<&mut dyn Read>, rows: &mut dyn Rows) -> Result<(), Fault> {
        let line = cursor.line();
        let (mut fields, mut kept, mut held_lists) = (Map::new(), 0, false);
        cursor.begin_object()?;
        while let Some(key) = cursor.next_key()? {
            let is_known = self.preset.roles.iter().any(|(name, _)| *name == key);
            if cursor.kind()? == Kind::Array && !is_known {
                held_lists = true;
                self.list(cursor, rows)?;
                continue;
            }
            let taken: Taken = cursor.value(&mut self.buffer, OBJECT_BYTES_MAX - kept)?;
            if is_known && !taken.too_large {
                kept += self.buffer.len();
                if let Ok(value) = parse(&taken, &self.buffer)? {
                    fields.insert(key, value);
                }
            }
        }
        if !held_lists && !fields.is_empty() {
            let shown = Value::Object(fields.clone()).to_string();
            self.record(line, Ok(fields), shown.as_bytes(), rows);
        }
        Ok(())
    }

    fn record(&self, line: u64, record: Result<Map<String, Value>, Reason>, raw: &[u8], rows: &mut dyn Rows) {
        let record = match record {
            Ok(record) => record,
            Err(reason) => return rows.row(line, Line::Refused(reason), raw),
        };
        let fields = self.preset.roles.iter().filter_map(|(name, role)| {
            let words = record.get(*name).and_then(words)?;
            // Moments of APIs end in ` UTC`; a date is all that counts.
            Some((*role, words))
        });
        let what = assemble(fields, self.preset.types, table::NO_CLASSES);
        rows.row(line, what, raw);
    }
}

impl Document for Records {
    fn read(&mut self, cursor: &mut Cursor<&mut dyn Read>, rows: &mut dyn Rows) -> Result<(), Fault> {
        loop {
            match cursor.kind()? {
                Kind::End => return Ok(()),
                Kind::Object => self.object(cursor, rows)?,
                Kind::Array => self.list(cursor, rows)?,
                Kind::Text | Kind::Other => return Err(cursor.malformed("expected a list of records".into())),
            }
        }
    }
}
