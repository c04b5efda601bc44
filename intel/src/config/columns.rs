//! `[feed.columns]`: what the columns of a partner's own table mean.

use super::walk::{Value, Walk, integer};
use crate::judge::Expect;
use crate::limits::COLUMNS_MAX;
use crate::read::table::{Column, Columns, Header, Role};
use toml::de::DeValue;

/// Names of the roles.
const ROLES: [(&str, Role); 24] = [
    ("indicator", Role::Indicator(Expect::Any)),
    ("url", Role::Indicator(Expect::Url)),
    ("host", Role::Indicator(Expect::Host)),
    ("address", Role::Indicator(Expect::Address)),
    ("digest", Role::Indicator(Expect::Digest)),
    ("sha256", Role::Indicator(Expect::Sha256)),
    ("sha1", Role::Indicator(Expect::Sha1)),
    ("md5", Role::Indicator(Expect::Md5)),
    ("host_substring", Role::Indicator(Expect::HOST_SUBSTRING)),
    ("url_substring", Role::Indicator(Expect::URL_SUBSTRING)),
    ("host_token", Role::Indicator(Expect::HOST_TOKEN)),
    ("url_token", Role::Indicator(Expect::URL_TOKEN)),
    ("type", Role::Type),
    ("first_seen", Role::FirstSeen),
    ("last_seen", Role::LastSeen),
    ("confidence", Role::Confidence),
    ("score", Role::Score),
    ("tags", Role::Tags),
    ("class", Role::Class),
    ("compromised", Role::Compromised),
    ("valid_until", Role::ValidUntil),
    ("revoked", Role::Revoked),
    ("tlp", Role::Tlp),
    ("reference", Role::Reference),
];

impl Walk<'_> {
    pub(super) fn columns(&mut self, value: &Value<'_>) -> Option<Columns> {
        let Some(table) = value.get_ref().as_table() else {
            self.mistake(value, "columns is a table: [feed.columns]".into());
            return None;
        };
        let mut columns = Columns { delimiter: b',', quotes: true, header: Header::Row, roles: Vec::new() };
        let known: Vec<&str> = ["delimiter", "quotes", "header"].into_iter().chain(ROLES.iter().map(|(name, _)| *name)).collect();
        self.each(table, "[feed.columns]", &known, |walk, key, value| match key {
            "delimiter" => columns.delimiter = walk.delimiter(value).unwrap_or(b','),
            "quotes" => columns.quotes = walk.boolean(value, "quotes").unwrap_or(true),
            "header" => {
                let words = [("row", Header::Row), ("comment", Header::Comment), ("none", Header::None)];
                columns.header = walk.word(value, "header", &words).unwrap_or(Header::Row);
            }
            role => {
                let role = ROLES.iter().find(|(name, _)| *name == role).map(|(_, role)| *role);
                columns.roles.extend(walk.column(value).zip(role));
            }
        });
        if !columns.roles.iter().any(|(_, role)| matches!(role, Role::Indicator(_))) {
            self.mistake(
                value,
                "no column holds an indicator: name one as url, host, address, digest, sha256, sha1, md5 or indicator".into(),
            );
        }
        let named = columns.roles.iter().any(|(column, _)| matches!(column, Column::Name(_)));
        if columns.header == Header::None && named {
            self.mistake(value, "with header = \"none\" columns are numbers, from 1".into());
        }
        Some(columns)
    }

    fn column(&mut self, value: &Value<'_>) -> Option<Column> {
        let column = match value.get_ref() {
            DeValue::String(name) if !name.trim().is_empty() => Some(Column::Name(name.trim().to_ascii_lowercase())),
            DeValue::Integer(_) => {
                integer(value).filter(|number| (1..=COLUMNS_MAX as u64).contains(number)).map(|number| Column::Number(number as usize))
            }
            _ => None,
        };
        if column.is_none() {
            self.mistake(value, "a column is a name of the header or a number from 1 to 64".into());
        }
        column
    }

    fn delimiter(&mut self, value: &Value<'_>) -> Option<u8> {
        let text = self.string(value, "delimiter")?;
        match text.as_str() {
            "tab" | "\t" => Some(b'\t'),
            "," | ";" | "|" | ":" | " " => Some(text.as_bytes()[0]),
            _ => {
                self.mistake(value, "delimiter is one of \",\" \";\" \"|\" \":\" \" \" \"tab\"".into());
                None
            }
        }
    }
}
