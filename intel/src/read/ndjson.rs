//! Our own format: one JSON object a line, each field documented in docs/feeds.md, none of them guessed.
//!
//! ```text
//! {"indicator":"http://bad.example/x","type":"url","class":"malicious","categories":["phishing"],"confidence":80,"valid_until":"2026-07-01T00:00:00Z","tlp":"green"}
//! ```
//! Whoever writes a feed for verdictd writes this. A field of another name is a mistake, and rejects its row: `revokd` must not leave a rule standing.

use super::document::moment;
use super::table;
use super::{Line, Part, Reader, Row, Said, Tlp};
use crate::categories;
use crate::date;
use crate::judge::Expect;
use crate::reason::Reason;
use serde::Deserialize;
use std::borrow::Cow;
use verdict_tables::Class;

/// One object a line.
pub struct Ndjson;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    indicator: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    class: Option<String>,
    score: Option<u8>,
    confidence: Option<u8>,
    #[serde(default)]
    categories: Vec<String>,
    first_seen: Option<String>,
    last_seen: Option<String>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    revoked: Option<bool>,
    tlp: Option<String>,
    subdomains: Option<bool>,
    reference: Option<String>,
    /// A reference where there is no other.
    id: Option<String>,
    /// For people: kept where the line is kept.
    #[serde(rename = "comment")]
    _comment: Option<String>,
}

impl Reader for Ndjson {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        if line.trim_ascii().is_empty() {
            return Line::Blank;
        }
        let object: Object = match serde_json::from_slice(line) {
            Ok(object) => object,
            Err(error) if error.is_data() && error.to_string().starts_with("unknown field") => return Line::Refused(Reason::UnknownField),
            Err(error) if error.is_data() => return Line::Refused(Reason::MissingField),
            Err(_) => return Line::Refused(Reason::BadJson),
        };
        match row(object) {
            Ok(row) => Line::Row(row),
            Err(reason) => Line::Refused(reason),
        }
    }
}

fn row(object: Object) -> Result<Row<'static>, Reason> {
    let expect = match object.kind.as_deref() {
        None => Expect::Any,
        Some(kind) => table::type_by_word(kind.as_bytes()).ok_or(Reason::UnknownType)?,
    };
    let mut said = said(&object)?;
    if said.dates_unread > 0
        || object.score.is_some_and(|score| score > 100)
        || object.confidence.is_some_and(|confidence| confidence > 100)
    {
        return Err(Reason::MissingField);
    }
    said.score = object.score;
    said.confidence = object.confidence;
    let indicator = object.indicator.into_bytes();
    let below = object.subdomains == Some(true) && matches!(expect, Expect::Any | Expect::Host) && !indicator.starts_with(b".");
    let is_host = crate::look::look(&indicator) == crate::look::Look::Host;
    let text = if below && is_host { [b".", indicator.as_slice()].concat() } else { indicator };
    let named = object.id.filter(|id| !id.is_empty()).map(|id| format!("id {id}"));
    let reference = object.reference.filter(|reference| !reference.is_empty()).or(named);
    let reference = reference.map(|reference| Cow::Owned(reference.into_bytes()));
    Ok(Row { parts: vec![Part { text: Cow::Owned(text), expect: Ok(expect) }], said, reference })
}

fn said(object: &Object) -> Result<Said, Reason> {
    let class = match object.class.as_deref() {
        None => None,
        Some("malicious") => Some(Class::Malicious),
        Some("suspicious") => Some(Class::Suspicious),
        Some(_) => return Err(Reason::UnknownClass),
    };
    let mut said = Said { class, revoked: object.revoked == Some(true), ..Said::default() };
    for name in &object.categories {
        said.categories |= categories::by_name(name).ok_or(Reason::UnknownClass)?;
    }
    said.tlp = match object.tlp.as_deref() {
        None => None,
        Some(name) => Some(Tlp::by_name(name).ok_or(Reason::MissingField)?),
    };
    let unread = &mut said.dates_unread;
    said.valid_from_s = moment(object.valid_from.as_deref(), unread);
    said.valid_until_s = moment(object.valid_until.as_deref(), unread);
    said.first_seen_day = date::day_of(moment(object.first_seen.as_deref(), unread));
    said.last_seen_day = date::day_of(moment(object.last_seen.as_deref(), unread));
    Ok(said)
}
