//! MISP's warninglists: what is well known and mostly harmless, for feeds with `action = "allow"`.
//!
//! ```text
//! {"name": …, "type": "cidr" | "hostname" | "string" | "substring" | "regex", "list": [ "…", … ]}
//! ```
//! `hostname` means the names below too; `string` means exactly that text; `substring` and `regex` name no key. The type mostly stands behind the
//! list. As a feed of blocks such a list would block the whole Internet: without `action = "allow"` it is refused as a whole.

use super::document::{Document, Rows, take};
use super::{Line, Part, Row};
use crate::json::{Cursor, Fault, Kind};
use crate::judge::Expect;
use crate::limits::PENDING_ROWS_MAX;
use crate::reason::Reason;
use serde_json::Value;
use std::borrow::Cow;
use std::io::Read;

/// A warninglist.
pub struct Warninglist {
    allow: bool,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Type {
    Tree,
    Exact,
    Network,
    NoKey,
}

impl Warninglist {
    /// Refused as a whole without `allow`.
    pub fn new(allow: bool) -> Self {
        Warninglist { allow, buffer: Vec::new() }
    }

    fn list(&mut self, cursor: &mut Cursor<&mut dyn Read>, rows: &mut dyn Rows) -> Result<(), Fault> {
        let (mut kind, mut pending) = (None, Vec::new());
        cursor.begin_object()?;
        while let Some(key) = cursor.next_key()? {
            match (key.as_str(), cursor.kind()?) {
                ("type", Kind::Text) => {
                    let (_, name) = take::<String>(cursor, &mut self.buffer)?;
                    kind = Some(match name.as_deref() {
                        Ok("hostname") => Type::Tree,
                        Ok("string") => Type::Exact,
                        Ok("cidr") => Type::Network,
                        Ok("substring" | "regex") => Type::NoKey,
                        _ => return Err(cursor.malformed("the type of a warninglist is cidr, hostname, string, substring or regex".into())),
                    });
                }
                ("list", Kind::Array) => {
                    cursor.begin_array()?;
                    while cursor.next_element()? {
                        let (taken, entry) = take::<Value>(cursor, &mut self.buffer)?;
                        match (entry, kind) {
                            (Ok(Value::String(entry)), Some(kind)) => tell(taken.line, &entry, kind, rows),
                            (Ok(Value::String(_)), None) if pending.len() == PENDING_ROWS_MAX => {
                                return Err(cursor
                                    .malformed(format!("its type comes after more than PENDING_ROWS_MAX ({PENDING_ROWS_MAX}) entries")));
                            }
                            (Ok(Value::String(entry)), None) => pending.push((taken.line, entry)),
                            (Ok(_), _) => rows.row(taken.line, Line::Refused(Reason::MissingField), &self.buffer),
                            (Err(reason), _) => rows.row(taken.line, Line::Refused(reason), &self.buffer),
                        }
                    }
                }
                _ => cursor.skip()?,
            }
        }
        let Some(kind) = kind else { return Err(cursor.malformed("a warninglist has a type".into())) };
        pending.iter().for_each(|(line, entry)| tell(*line, entry, kind, rows));
        Ok(())
    }
}

fn tell(line: u64, entry: &str, kind: Type, rows: &mut dyn Rows) {
    let text = entry.as_bytes().trim_ascii();
    let below = || Cow::Owned([b".", text.strip_prefix(b".").unwrap_or(text)].concat());
    let (text, expect) = match kind {
        Type::Network => (Cow::Borrowed(text), Ok(Expect::Address)),
        Type::Tree if crate::look::look(text) == crate::look::Look::Host => (below(), Ok(Expect::Host)),
        Type::Tree | Type::Exact => (Cow::Borrowed(text), Ok(Expect::Any)),
        Type::NoKey => (Cow::Borrowed(text), Err(Reason::NotAKey)),
    };
    rows.row(line, Line::Row(Row::of(vec![Part { text, expect }])), entry.as_bytes());
}

impl Document for Warninglist {
    fn read(&mut self, cursor: &mut Cursor<&mut dyn Read>, rows: &mut dyn Rows) -> Result<(), Fault> {
        if !self.allow {
            return Err(cursor.malformed("a warninglist names what is good: set action = \"allow\"".into()));
        }
        while cursor.kind()? != Kind::End {
            self.list(cursor, rows)?;
        }
        Ok(())
    }
}
