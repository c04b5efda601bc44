//! MISP's CSV export: `uuid,event_id,category,type,value,comment,to_ids,date,…`, with MISP's types, composite ones too.
//!
//! `date` is `20160101`, a date, or unix seconds; columns are found by the header's names.

use super::fields::split;
use super::{Line, Part, Reader, Row, Said, misp_types};
use crate::date;
use crate::reason::Reason;
use std::borrow::Cow;

/// The columns that tell the format.
pub const HEADER: [&str; 4] = ["type", "value", "to_ids", "category"];

/// A CSV export.
#[derive(Default)]
pub struct MispCsv {
    columns: Option<Columns>,
}

struct Columns {
    kind: usize,
    value: usize,
    to_ids: usize,
    date: Option<usize>,
    event: Option<usize>,
    uuid: Option<usize>,
}

impl Columns {
    fn of(fields: &[Cow<'_, [u8]>]) -> Option<Columns> {
        let place = |name: &str| fields.iter().position(|field| field.eq_ignore_ascii_case(name.as_bytes()));
        let (kind, value, to_ids) = (place("type")?, place("value")?, place("to_ids")?);
        Some(Columns { kind, value, to_ids, date: place("date"), event: place("event_id"), uuid: place("uuid") })
    }
}

impl Reader for MispCsv {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        if line.trim_ascii().is_empty() {
            return Line::Blank;
        }
        let mut fields = Vec::with_capacity(16);
        if let Err(reason) = split(line, b',', true, &mut fields) {
            return Line::Refused(reason);
        }
        let Some(columns) = &self.columns else {
            self.columns = Columns::of(&fields);
            return if self.columns.is_some() {
                Line::Comment
            } else {
                Line::Broken("its first row does not name type, value and to_ids".into())
            };
        };
        let field = |at: usize| fields.get(at).filter(|field| !field.is_empty());
        let (Some(kind), Some(value), Some(to_ids)) = (field(columns.kind), field(columns.value), field(columns.to_ids)) else {
            return Line::Refused(Reason::MissingColumn);
        };
        if !matches!(&**to_ids, b"1" | b"true" | b"True") {
            return Line::Refused(Reason::NotForDetection);
        }
        let said = columns.date.and_then(field).map_or_else(Said::default, |text| seen(text));
        let named = |word: &str, at: Option<usize>| -> Option<Cow<'static, [u8]>> {
            let name = at.and_then(field)?;
            Some(Cow::Owned([word.as_bytes(), &**name].concat()))
        };
        let reference = named("event ", columns.event).or_else(|| named("attribute ", columns.uuid));
        match misp_types::parts(kind, value) {
            // The fields are this function's own where a quote was undone in them.
            Ok(parts) => {
                let owned = |part: Part<'_>| Part { text: Cow::Owned(part.text.into_owned()), expect: part.expect };
                Line::Row(Row { parts: parts.into_iter().map(owned).collect(), said, reference })
            }
            Err(reason) => Line::Refused(reason),
        }
    }
}

fn seen(text: &[u8]) -> Said {
    let digits = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let day = match digits {
        Some(text) if text.len() == 8 => date::day(format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]).as_bytes()),
        Some(text) => text.parse().ok().map(date::day_of),
        None => date::day(text),
    };
    Said { first_seen_day: day.unwrap_or(0), dates_unread: u8::from(day.is_none()), ..Said::default() }
}
