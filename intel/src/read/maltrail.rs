//! Maltrail's trails, by tabs: `class family indicator reference`. The indicator tells its kind by its look: hosts, `address:port`, URLs,
//! `host/path`, prefixes. Paths alone and regular expressions are no keys and are rejected as such.
//!
//! Its static trails are lists, a file a family, in blocks below `# Reference: …`.

use super::list::List;
use super::table::{Preset, Role};
use super::{Line, Reader, Row};
use crate::judge::Expect;
use crate::limits::REFERENCE_BYTES_MAX;
use std::borrow::Cow;
use verdict_tables::Class;

/// By tabs.
pub const PRESET: Preset = Preset {
    delimiters: b"\t",
    quotes: false,
    signatures: &[&["class", "family", "indicator"]],
    roles: &[("class", Role::Class), ("family", Role::Tags), ("indicator", Role::Indicator(Expect::Any)), ("reference", Role::Reference)],
    orders: &[&["class", "family", "indicator", "reference"]],
    types: &[],
    // `other` is what maltrail sees without calling it bad: mass scanners and the like.
    classes: &[
        ("malware", Class::Malicious),
        ("malicious", Class::Malicious),
        ("suspicious", Class::Suspicious),
        ("other", Class::Suspicious),
    ],
};

/// A family's file. What a row refers to is the first reference of those above it.
pub struct Families {
    list: List,
    reference: Option<Vec<u8>>,
    /// The reference has rows; another comment begins another block.
    has_rows: bool,
}

impl Default for Families {
    fn default() -> Self {
        Families { list: List::new(Expect::Any), reference: None, has_rows: false }
    }
}

impl Families {
    fn comment(&mut self, comment: &[u8]) {
        if self.has_rows {
            (self.reference, self.has_rows) = (None, false);
        }
        let text = comment.trim_ascii().strip_prefix(b"#").unwrap_or_default().trim_ascii_start();
        if let (Some(reference), None) = (text.strip_prefix(b"Reference:"), &self.reference) {
            let reference = reference.trim_ascii();
            self.reference = Some(reference[..reference.len().min(REFERENCE_BYTES_MAX + 1)].to_vec());
        }
    }
}

impl Reader for Families {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        match self.list.read(line) {
            Line::Row(row) => {
                self.has_rows = true;
                Line::Row(Row { reference: self.reference.clone().map(Cow::Owned), ..row })
            }
            Line::Comment => {
                self.comment(line);
                Line::Comment
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_refer_to_the_first_reference_of_their_block() {
        let mut families = Families::default();
        let mut told = |line: &str| match families.read(line.as_bytes()) {
            Line::Row(row) => row.reference.map(|text| String::from_utf8(text.into_owned()).unwrap()),
            _ => None,
        };
        assert_eq!(told("a.example"), None);
        for line in ["# Reference: https://report.example/1", "# Reference: https://report.example/2", "# Aliases: x", ""] {
            assert_eq!(told(line), None);
        }
        for line in ["a.example", "b.example"] {
            assert_eq!(told(line), Some("https://report.example/1".to_owned()));
        }
        assert_eq!([told(""), told("c.example")], [None, Some("https://report.example/1".to_owned())]);
        told("# Reference: https://report.example/3");
        assert_eq!(told("d.example"), Some("https://report.example/3".to_owned()));
        told("# Generic");
        assert_eq!(told("e.example"), None);
    }
}
