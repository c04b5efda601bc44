//! Readers of JSON documents: what they share.
//!
//! ```text
//! Cursor ──► Document::read ──► Rows::row(line, Line, what it is about), once for each object that the format counts as a row
//! ```
//! A row of a document is an object: a STIX object, a MISP attribute, an entry of a list. It is told by the line on which it begins and by its
//! identifier. Objects that are context and not indicators (reports, identities, markings) are counted as comments.

use super::Line;
use crate::date;
use crate::json::{Cursor, Fault, Taken};
use crate::limits::OBJECT_BYTES_MAX;
use crate::reason::Reason;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::io::Read;

/// Takes rows as they are read.
pub trait Rows {
    /// `about` is what a report shows of the row.
    fn row(&mut self, line: u64, what: Line<'_>, about: &[u8]);
}

/// Reads one format from its start to its end.
pub trait Document {
    /// All of it.
    fn read(&mut self, cursor: &mut Cursor<&mut dyn Read>, rows: &mut dyn Rows) -> Result<(), Fault>;
}

/// Takes the next value and parses it; the inner error is about this value alone.
pub fn take<'b, T: Deserialize<'b>>(
    cursor: &mut Cursor<&mut dyn Read>,
    buffer: &'b mut Vec<u8>,
) -> Result<(Taken, Result<T, Reason>), Fault> {
    let taken = cursor.value(buffer, OBJECT_BYTES_MAX)?;
    if taken.too_large {
        return Ok((taken, Err(Reason::TooLarge)));
    }
    Ok((taken, parse(&taken, buffer)?))
}

/// Wrong JSON is the document's fault, JSON of another shape the value's.
pub fn parse<'b, T: Deserialize<'b>>(taken: &Taken, bytes: &'b [u8]) -> Result<Result<T, Reason>, Fault> {
    match serde_json::from_slice(bytes) {
        Ok(parsed) => Ok(Ok(parsed)),
        Err(error) if error.is_data() => Ok(Err(Reason::MissingField)),
        Err(error) => Err(taken.place(&error)),
    }
}

/// `true`, `1`, `"1"`, `"true"`, `"yes"`; `None` for what is not there.
pub fn flag(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => Some(number.as_u64() != Some(0)),
        Value::String(text) => Some(matches!(text.to_ascii_lowercase().as_str(), "1" | "true" | "yes")),
        _ => None,
    }
}

/// A number from 0 to 100, also as a text.
pub fn percent(value: Option<&Value>) -> Option<u8> {
    let number = match value? {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    u8::try_from(number).ok().filter(|percent| *percent <= 100)
}

/// Unix seconds of a date, a time, or a number of seconds as MISP writes it; counted where it is none of them.
pub fn moment(text: Option<&str>, unread: &mut u8) -> u64 {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return 0 };
    let seconds = || text.parse::<u64>().ok().filter(|_| text.len() <= 11);
    let found = date::unix_seconds(text).or_else(seconds);
    *unread = unread.saturating_add(u8::from(found.is_none()));
    found.unwrap_or(0)
}

/// The words of a field: a text, a number, a flag, or a list of them with commas between.
pub fn words(value: &Value) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text.as_bytes())),
        Value::Number(number) => Some(Cow::Owned(number.to_string().into_bytes())),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { b"true" } else { b"false" })),
        Value::Array(values) => Some(Cow::Owned(values.iter().filter_map(words).collect::<Vec<_>>().join(&b","[..]))),
        Value::Null | Value::Object(_) => None,
    }
}
