//! MISP events: `{"Event": {…}}`, `{"response": [{"Event": …}]}`, lists of them, and an event's fields by themselves.
//!
//! ```text
//! Event ─┬─ Attribute[ {type, value, to_ids, deleted, first_seen, last_seen, timestamp, Tag} ]     a row each
//!        ├─ Object[ Attribute[ … ] ]                                                               the same
//!        ├─ date, Tag[ {name} ]                                                                    of all of them, wherever they stand
//!        └─ uuid, info                                                                             what they refer to, if it stands before them
//! ```
//! An attribute is an indicator when `to_ids` is true; a deleted one is told as revoked. Tags mostly stand behind the attributes that they are about:
//! until they are known, attributes are kept, up to `PENDING_ROWS_MAX` of them.

use super::document::{Document, Rows, flag, moment, take};
use super::misp_types;
use super::{Line, Row, Said, Tlp};
use crate::categories;
use crate::date;
use crate::json::{Cursor, Fault, Kind};
use crate::limits::{PENDING_ROWS_MAX, REFERENCE_BYTES_MAX};
use crate::reason::Reason;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::io::Read;

/// A MISP document.
#[derive(Default)]
pub struct Misp {
    buffer: Vec<u8>,
}

#[derive(Deserialize)]
struct Attribute {
    #[serde(rename = "type")]
    kind: String,
    value: String,
    uuid: Option<String>,
    to_ids: Option<Value>,
    deleted: Option<Value>,
    first_seen: Option<String>,
    last_seen: Option<String>,
    timestamp: Option<Value>,
    #[serde(default, rename = "Tag")]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    name: Option<String>,
}

/// What holds for all attributes of an event.
#[derive(Default)]
struct Event {
    day: u16,
    tlp: Option<Tlp>,
    categories: u16,
    tags_are_known: bool,
    uuid: String,
    info: String,
    reference: Vec<u8>,
    pending: Vec<(u64, Attribute)>,
}

impl Misp {
    fn anything(&mut self, cursor: &mut Cursor<&mut dyn Read>, rows: &mut dyn Rows) -> Result<(), Fault> {
        match cursor.kind()? {
            Kind::Object => self.event(cursor, rows),
            Kind::Array => {
                cursor.begin_array()?;
                while cursor.next_element()? {
                    self.anything(cursor, rows)?;
                }
                Ok(())
            }
            _ => Err(cursor.malformed("expected a MISP event".into())),
        }
    }

    /// The fields of an event, or an object that holds events.
    fn event(&mut self, cursor: &mut Cursor<&mut dyn Read>, rows: &mut dyn Rows) -> Result<(), Fault> {
        let mut event = Event::default();
        cursor.begin_object()?;
        while let Some(key) = cursor.next_key()? {
            let kind = cursor.kind()?;
            match (key.as_str(), kind) {
                ("Event" | "response", Kind::Object | Kind::Array) => self.anything(cursor, rows)?,
                ("Attribute", Kind::Array) => self.attributes(cursor, &mut event, rows)?,
                ("Object", Kind::Array) => self.objects(cursor, &mut event, rows)?,
                ("Tag", Kind::Array) => {
                    let (_, tags) = take::<Vec<Tag>>(cursor, &mut self.buffer)?;
                    for name in tags.unwrap_or_default().iter().filter_map(|tag| tag.name.as_deref()) {
                        event.tlp = event.tlp.max(tlp(name));
                        event.categories |= categories::of_words(name.as_bytes());
                    }
                    event.tags_are_known = true;
                }
                ("date", Kind::Text) => {
                    let (_, text) = take::<String>(cursor, &mut self.buffer)?;
                    event.day = text.ok().and_then(|text| date::day(text.as_bytes())).unwrap_or(0);
                }
                ("uuid" | "info", Kind::Text) => {
                    let (_, text) = take::<String>(cursor, &mut self.buffer)?;
                    event.name(&key, &text.unwrap_or_default());
                }
                _ => cursor.skip()?,
            }
        }
        for (line, attribute) in std::mem::take(&mut event.pending) {
            event.tell(line, &attribute, rows);
        }
        Ok(())
    }

    fn attributes(&mut self, cursor: &mut Cursor<&mut dyn Read>, event: &mut Event, rows: &mut dyn Rows) -> Result<(), Fault> {
        cursor.begin_array()?;
        while cursor.next_element()? {
            let (taken, parsed) = take::<Attribute>(cursor, &mut self.buffer)?;
            match parsed {
                Err(reason) => rows.row(taken.line, Line::Refused(reason), &self.buffer),
                Ok(attribute) if event.tags_are_known => event.tell(taken.line, &attribute, rows),
                Ok(_) if event.pending.len() == PENDING_ROWS_MAX => {
                    return Err(cursor.malformed(format!(
                        "the tags of the event come after more than PENDING_ROWS_MAX ({PENDING_ROWS_MAX}) attributes"
                    )));
                }
                Ok(attribute) => event.pending.push((taken.line, attribute)),
            }
        }
        Ok(())
    }

    fn objects(&mut self, cursor: &mut Cursor<&mut dyn Read>, event: &mut Event, rows: &mut dyn Rows) -> Result<(), Fault> {
        cursor.begin_array()?;
        while cursor.next_element()? {
            cursor.begin_object()?;
            while let Some(key) = cursor.next_key()? {
                match (key.as_str(), cursor.kind()?) {
                    ("Attribute", Kind::Array) => self.attributes(cursor, event, rows)?,
                    _ => cursor.skip()?,
                }
            }
        }
        Ok(())
    }
}

impl Event {
    /// `event UUID: INFO`, as far as it is known.
    fn name(&mut self, key: &str, text: &str) {
        let text = text.trim().chars().take(REFERENCE_BYTES_MAX).collect();
        *(if key == "uuid" { &mut self.uuid } else { &mut self.info }) = text;
        let colon = if self.uuid.is_empty() || self.info.is_empty() { "" } else { ": " };
        self.reference = format!("event {}{colon}{}", self.uuid, self.info).into_bytes();
    }

    /// What an attribute refers to: its event, or itself.
    fn reference<'a>(&'a self, attribute: &Attribute) -> Option<Cow<'a, [u8]>> {
        if self.uuid.is_empty() && self.info.is_empty() {
            return attribute.uuid.as_deref().map(|uuid| Cow::Owned(format!("attribute {uuid}").into_bytes()));
        }
        Some(Cow::Borrowed(self.reference.as_slice()))
    }

    fn tell(&self, line: u64, attribute: &Attribute, rows: &mut dyn Rows) {
        let about = format!("{}: {} {}", attribute.uuid.as_deref().unwrap_or("no uuid"), attribute.kind, attribute.value);
        let what = match flag(attribute.to_ids.as_ref()) {
            Some(true) => match misp_types::parts(attribute.kind.as_bytes(), attribute.value.as_bytes()) {
                Ok(parts) => Line::Row(Row { parts, said: self.said(attribute), reference: self.reference(attribute) }),
                Err(reason) => Line::Refused(reason),
            },
            _ => Line::Refused(Reason::NotForDetection),
        };
        rows.row(line, what, about.as_bytes());
    }

    fn said(&self, attribute: &Attribute) -> Said {
        let mut said = Said { revoked: flag(attribute.deleted.as_ref()) == Some(true), ..Said::default() };
        let changed = match &attribute.timestamp {
            Some(Value::String(text)) => moment(Some(text), &mut said.dates_unread),
            Some(Value::Number(number)) => number.as_u64().unwrap_or(0),
            _ => 0,
        };
        let seen = |text: &Option<String>, unread: &mut u8| date::day_of(moment(text.as_deref(), unread));
        let first = seen(&attribute.first_seen, &mut said.dates_unread);
        let last = seen(&attribute.last_seen, &mut said.dates_unread);
        let changed = date::day_of(changed);
        said.first_seen_day = [first, self.day, changed].into_iter().find(|day| *day > 0).unwrap_or(0);
        said.last_seen_day = [last, changed].into_iter().find(|day| *day > 0).unwrap_or(0);
        let names = || attribute.tags.iter().filter_map(|tag| tag.name.as_deref());
        // A tag of the attribute's own is about it alone, and comes before the event's.
        said.tlp = names().filter_map(tlp).max().or(self.tlp);
        said.categories = names().fold(self.categories, |bits, name| bits | categories::of_words(name.as_bytes()));
        said
    }
}

/// Of a tag like `tlp:amber`; a bare colour is no marking.
fn tlp(tag: &str) -> Option<Tlp> {
    tag.get(..4).filter(|start| start.eq_ignore_ascii_case("tlp:")).and_then(|_| Tlp::by_name(tag))
}

impl Document for Misp {
    fn read(&mut self, cursor: &mut Cursor<&mut dyn Read>, rows: &mut dyn Rows) -> Result<(), Fault> {
        while cursor.kind()? != Kind::End {
            self.anything(cursor, rows)?;
        }
        Ok(())
    }
}
