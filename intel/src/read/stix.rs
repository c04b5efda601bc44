//! STIX 2.0 and 2.1: bundles, TAXII envelopes, lists of objects and objects one after another.
//!
//! ```text
//! {"type":"bundle","objects":[…]}     {"more":false,"objects":[…]}     [{…},{…}]     {…}{…}
//! indicator           a row: its pattern's alternatives, valid_from, valid_until, revoked, confidence, types, TLP
//! marking-definition  remembered, if it is one of TLP; other objects are context
//! ```
//! A marking that is neither one of the published TLP markings nor defined before it is used says nothing here: `tlp` stays unsaid, and what that
//! means is for the feed's own TLP to say. Patterns of other languages (Snort, YARA, Sigma) are rejected by name.

use super::document::{Document, Rows, flag, moment, parse, percent, take};
use super::{Line, Part, Row, Said, Tlp, pattern};
use crate::categories;
use crate::date;
use crate::json::{Cursor, Fault, Kind, Taken};
use crate::limits::{MARKINGS_MAX, OBJECT_BYTES_MAX};
use crate::reason::Reason;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use verdict_tables::Class;

/// The markings of TLP 1 and 2 that everybody refers to by these identifiers (STIX 2.1 section 7.2.1.4, and OASIS' TLP 2.0 extension).
const TLP: [(&str, Tlp); 9] = [
    ("marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9", Tlp::Clear),
    ("marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da", Tlp::Green),
    ("marking-definition--f88d31f6-486f-44da-b317-01333bde0b82", Tlp::Amber),
    ("marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed", Tlp::Red),
    ("marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487", Tlp::Clear),
    ("marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb", Tlp::Green),
    ("marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421", Tlp::Amber),
    ("marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003", Tlp::AmberStrict),
    ("marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1", Tlp::Red),
];

/// A STIX document.
pub struct Stix {
    /// In a list of what is good, an indicator of type benign is one.
    allow: bool,
    markings: HashMap<String, Tlp>,
    buffer: Vec<u8>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    pattern: Option<Value>,
    pattern_type: Option<Value>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    revoked: Option<Value>,
    confidence: Option<Value>,
    #[serde(default)]
    indicator_types: Vec<String>,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    object_marking_refs: Vec<String>,
    definition: Option<Value>,
    name: Option<Value>,
    external_references: Option<Value>,
}

impl Object {
    /// The first address among its external references, else its identifier.
    fn reference(&self) -> Option<Cow<'_, [u8]>> {
        let external = self.external_references.as_ref().and_then(Value::as_array);
        let url = external.and_then(|all| all.iter().find_map(|one| one.get("url")?.as_str()));
        url.or(self.id.as_deref()).map(|text| Cow::Borrowed(text.as_bytes()))
    }
}

impl Stix {
    /// With `allow`, indicators of what is benign are read.
    pub fn new(allow: bool) -> Self {
        Stix { allow, markings: HashMap::new(), buffer: Vec::new() }
    }

    fn list(&mut self, cursor: &mut Cursor<&mut dyn Read>, rows: &mut dyn Rows) -> Result<(), Fault> {
        cursor.begin_array()?;
        while cursor.next_element()? {
            let mut buffer = std::mem::take(&mut self.buffer);
            let (taken, parsed) = take::<Object>(cursor, &mut buffer)?;
            self.object(taken.line, parsed, &buffer, rows);
            self.buffer = buffer;
        }
        Ok(())
    }

    /// A bundle, an envelope, or an object by itself: which of them shows when it has been read.
    fn top(&mut self, cursor: &mut Cursor<&mut dyn Read>, rows: &mut dyn Rows) -> Result<(), Fault> {
        let start = Taken { line: cursor.line(), column: 1, too_large: false };
        let (mut itself, mut value, mut too_large, mut is_container) = (b"{".to_vec(), Vec::new(), false, false);
        cursor.begin_object()?;
        while let Some(key) = cursor.next_key()? {
            // observed-data of STIX 2.0 has `objects` too, as an object.
            if key == "objects" && cursor.kind()? == Kind::Array {
                is_container = true;
                self.list(cursor, rows)?;
                continue;
            }
            is_container |= key == "more";
            let taken = cursor.value(&mut value, OBJECT_BYTES_MAX.saturating_sub(itself.len()))?;
            too_large |= taken.too_large;
            if !taken.too_large {
                let comma: &[u8] = if itself.len() > 1 { b"," } else { b"" };
                itself.extend_from_slice(comma);
                itself.extend_from_slice(Value::from(key).to_string().as_bytes());
                itself.push(b':');
                itself.extend_from_slice(&value);
            }
        }
        itself.push(b'}');
        if is_container || itself == b"{}" {
            return Ok(());
        }
        let parsed = if too_large { Err(Reason::TooLarge) } else { parse::<Object>(&start, &itself)? };
        if parsed.as_ref().is_ok_and(|object| object.kind.as_deref() == Some("bundle")) {
            return Ok(()); // without objects
        }
        self.object(start.line, parsed, &itself, rows);
        Ok(())
    }

    fn object(&mut self, line: u64, parsed: Result<Object, Reason>, raw: &[u8], rows: &mut dyn Rows) {
        let object = match parsed {
            Ok(object) => object,
            Err(reason) => return rows.row(line, Line::Refused(reason), raw),
        };
        match object.kind.as_deref() {
            Some("indicator") => {}
            Some("marking-definition") => {
                self.learn(&object);
                return rows.row(line, Line::Comment, raw);
            }
            Some(_) => return rows.row(line, Line::Comment, raw),
            None => return rows.row(line, Line::Refused(Reason::MissingField), raw),
        }
        let pattern = object.pattern.as_ref().and_then(Value::as_str);
        let about = format!("{}: {}", object.id.as_deref().unwrap_or("no id"), pattern.unwrap_or("no pattern"));
        let what = match self.indicator(&object, pattern) {
            Ok((parts, said)) => Line::Row(Row { parts, said, reference: object.reference() }),
            Err(reason) => Line::Refused(reason),
        };
        rows.row(line, what, about.as_bytes());
    }

    fn indicator<'o>(&self, object: &Object, pattern: Option<&'o str>) -> Result<(Vec<Part<'o>>, Said), Reason> {
        let pattern = pattern.ok_or(Reason::MissingField)?;
        if object.pattern_type.as_ref().is_some_and(|kind| kind.as_str() != Some("stix")) {
            return Err(Reason::PatternLanguage);
        }
        let mut said = self.said(object);
        // STIX 2.0 keeps in `labels` what 2.1 has in `indicator_types`.
        let types = object.indicator_types.iter().chain(&object.labels);
        let says = |word: &str| types.clone().any(|kind| kind.eq_ignore_ascii_case(word));
        if says("benign") && !self.allow {
            return Err(Reason::Benign);
        }
        let malicious = says("malicious-activity");
        if !malicious && (says("anomalous-activity") || says("anonymization")) {
            said.class = Some(Class::Suspicious);
        }
        said.categories = types.fold(0, |bits, word| bits | categories::of_words(word.as_bytes()));
        Ok((pattern::parts(pattern)?, said))
    }

    fn said(&self, object: &Object) -> Said {
        let mut said = Said { confidence: percent(object.confidence.as_ref()), ..Said::default() };
        said.valid_from_s = moment(object.valid_from.as_deref(), &mut said.dates_unread);
        said.valid_until_s = moment(object.valid_until.as_deref(), &mut said.dates_unread);
        said.first_seen_day = date::day_of(said.valid_from_s);
        said.revoked = flag(object.revoked.as_ref()) == Some(true);
        said.tlp = object.object_marking_refs.iter().filter_map(|id| self.tlp(id)).max();
        said
    }

    fn tlp(&self, id: &str) -> Option<Tlp> {
        let published = TLP.iter().find(|(known, _)| *known == id).map(|(_, tlp)| *tlp);
        published.or_else(|| self.markings.get(id).copied())
    }

    /// `{"definition": {"tlp": "green"}}`, or the name `TLP:GREEN`.
    fn learn(&mut self, object: &Object) {
        let defined = object.definition.as_ref().and_then(|definition| definition.get("tlp"));
        let name = defined.and_then(Value::as_str).or_else(|| object.name.as_ref().and_then(Value::as_str).filter(|name| name.len() > 4));
        if let (Some(id), Some(tlp)) = (&object.id, name.and_then(Tlp::by_name))
            && self.markings.len() < MARKINGS_MAX
        {
            self.markings.insert(id.clone(), tlp);
        }
    }
}

impl Document for Stix {
    fn read(&mut self, cursor: &mut Cursor<&mut dyn Read>, rows: &mut dyn Rows) -> Result<(), Fault> {
        loop {
            match cursor.kind()? {
                Kind::End => return Ok(()),
                Kind::Object => self.top(cursor, rows)?,
                Kind::Array => self.list(cursor, rows)?,
                Kind::Text | Kind::Other => return Err(cursor.malformed("a STIX document holds objects".into())),
            }
        }
    }
}
