//! Rows of columns: the engine of every delimited format.
//!
//! ```text
//! header line ("# a, b" or a,b) ──► role of each column ─┐
//! row ──► fields ────────────────────────────────────────┴─► indicators + what the row says of them
//! ```
//! Columns are found by the names in the header, so that a new column in the middle of a feed shifts nothing. Without a header a
//! known format is read by position, but only when the row has exactly as many columns as the format is known to have.

use super::fields::split;
use super::{Line, Part, Reader, Row, Said, Tlp};
use crate::categories;
use crate::date;
use crate::judge::Expect;
use crate::reason::Reason;
use std::borrow::Cow;
use verdict_tables::Class;

/// What a column means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An indicator.
    Indicator(Expect),
    /// The kind of the indicator in this row.
    Type,
    /// A date.
    FirstSeen,
    /// A date.
    LastSeen,
    /// 0-100
    Confidence,
    /// 0-100
    Score,
    /// Words that may name categories.
    Tags,
    /// The class of the row.
    Class,
    /// `true` says that the indicator is a victim's own.
    Compromised,
    /// `no` says that nobody has confirmed the row: it is suspicious.
    Verified,
    /// A date or UTC time from which the row holds no more.
    ValidUntil,
    /// `true` takes back what the feed says of the indicator.
    Revoked,
    /// A colour of the traffic light protocol; another word counts as the strictest.
    Tlp,
    /// Where to read about the row; the first that says something.
    Reference,
    /// What the row is called where it comes from, behind this word: a reference where there is no better one.
    Id(&'static str),
}

/// A delimited format that is known by heart.
#[derive(Debug)]
pub struct Preset {
    /// Between columns: the first of these that the first line has.
    pub delimiters: &'static [u8],
    /// May columns be quoted?
    pub quotes: bool,
    /// The header is this format's when it names all of one of these (lower case).
    pub signatures: &'static [&'static [&'static str]],
    /// What the columns mean; others are left aside.
    pub roles: &'static [(&'static str, Role)],
    /// Orders of columns that are read without a header.
    pub orders: &'static [&'static [&'static str]],
    /// Words of the type column.
    pub types: &'static [(&'static str, Expect)],
    /// Words of the class column.
    pub classes: &'static [(&'static str, Class)],
}

/// Where the names of declared columns stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// In the first row.
    Row,
    /// In a `#` line before the first row.
    Comment,
    /// Nowhere: columns are numbered from 1.
    None,
}

/// A column as declared in feeds.toml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// By its name in the header, lower case.
    Name(String),
    /// By its place, from 1.
    Number(usize),
}

/// `[feed.columns]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Between columns.
    pub delimiter: u8,
    /// May columns be quoted?
    pub quotes: bool,
    /// Where the names stand.
    pub header: Header,
    /// What the columns mean.
    pub roles: Vec<(Column, Role)>,
}

/// Words of a declared type column.
const TYPES: [(&str, Expect); 26] = [
    ("url", Expect::Url),
    ("uri", Expect::Url),
    ("host", Expect::Host),
    ("hostname", Expect::Host),
    ("domain", Expect::Host),
    ("fqdn", Expect::Host),
    ("ip", Expect::Address),
    ("ipv4", Expect::Address),
    ("ipv6", Expect::Address),
    ("ip-src", Expect::Address),
    ("ip-dst", Expect::Address),
    ("ip:port", Expect::Address),
    ("cidr", Expect::Address),
    ("network", Expect::Address),
    ("hash", Expect::Digest),
    ("sha256", Expect::Sha256),
    ("sha1", Expect::Sha1),
    ("md5", Expect::Md5),
    ("sha256_hash", Expect::Sha256),
    ("sha1_hash", Expect::Sha1),
    ("md5_hash", Expect::Md5),
    ("sha-256", Expect::Sha256),
    ("host-substring", Expect::HOST_SUBSTRING),
    ("url-substring", Expect::URL_SUBSTRING),
    ("host-token", Expect::HOST_TOKEN),
    ("url-token", Expect::URL_TOKEN),
];

/// For records without a class of their own.
pub const NO_CLASSES: &[(&str, Class)] = &[];

/// What a word of a type column means.
pub fn type_by_word(word: &[u8]) -> Option<Expect> {
    by_word(&TYPES, word)
}

/// Words of a declared class column.
const CLASSES: [(&str, Class); 4] =
    [("malicious", Class::Malicious), ("malware", Class::Malicious), ("phishing", Class::Malicious), ("suspicious", Class::Suspicious)];

/// Reads rows of a preset or of declared columns.
pub struct Table {
    /// Known at the first line.
    delimiter: Option<u8>,
    quotes: bool,
    source: Source,
    types: &'static [(&'static str, Expect)],
    classes: &'static [(&'static str, Class)],
    /// Role of each column, once known; for presets without a header, from the first row on, by its width.
    roles: Option<Roles>,
    rows_began: bool,
}

enum Source {
    Preset(&'static Preset),
    Declared(Columns),
}

struct Roles {
    by_column: Vec<Option<Role>>,
    /// Known by position only: a row of another width is not read.
    exact: bool,
}

impl Table {
    /// A known format.
    pub fn preset(preset: &'static Preset) -> Self {
        let delimiter = if let [delimiter] = preset.delimiters { Some(*delimiter) } else { None };
        Table {
            delimiter,
            quotes: preset.quotes,
            source: Source::Preset(preset),
            types: preset.types,
            classes: preset.classes,
            roles: None,
            rows_began: false,
        }
    }

    /// Columns as the operator declared them.
    pub fn declared(columns: &Columns) -> Self {
        let (delimiter, quotes) = (Some(columns.delimiter), columns.quotes);
        let roles = (columns.header == Header::None).then(|| Roles { by_column: numbered(&columns.roles), exact: false });
        Table { delimiter, quotes, source: Source::Declared(columns.clone()), types: &TYPES, classes: &CLASSES, roles, rows_began: false }
    }

    fn delimiter_of(&self, line: &[u8]) -> u8 {
        match &self.source {
            Source::Declared(columns) => columns.delimiter,
            Source::Preset(preset) => preset.delimiters.iter().copied().find(|delimiter| line.contains(delimiter)).unwrap_or(b','),
        }
    }

    fn comment<'l>(&mut self, comment: &'l [u8]) -> Line<'l> {
        let text = comment.trim_ascii_start();
        let text = &text[text.iter().take_while(|&&byte| byte == b'#').count()..];
        let mut fields = Vec::new();
        let delimiter = self.delimiter.unwrap_or_else(|| self.delimiter_of(text));
        if split(text, delimiter, self.quotes, &mut fields).is_ok() {
            match &self.source {
                Source::Preset(preset) if is_header(&fields, preset) => {
                    self.roles = Some(by_preset(&fields, preset));
                    self.delimiter = Some(delimiter);
                }
                Source::Declared(columns) if columns.header == Header::Comment && !self.rows_began => {
                    self.roles = by_declaration(&fields, columns).ok().or(self.roles.take());
                }
                _ => {}
            }
        }
        Line::Comment
    }

    /// The header, if this first row is one. Then, or for a feed that cannot be read at all, the line's outcome.
    fn first_row(&mut self, fields: &[Cow<'_, [u8]>]) -> Option<Line<'static>> {
        self.rows_began = true;
        match &self.source {
            Source::Preset(preset) if is_header(fields, preset) => {
                self.roles = Some(by_preset(fields, preset));
                Some(Line::Comment)
            }
            Source::Preset(_) => None,
            Source::Declared(columns) => match columns.header {
                Header::None => None,
                Header::Comment if self.roles.is_some() => None,
                Header::Comment => Some(Line::Broken("no # line before the first row names the declared columns".into())),
                Header::Row => match by_declaration(fields, columns) {
                    Ok(roles) => {
                        self.roles = Some(roles);
                        Some(Line::Comment)
                    }
                    Err(missing) => Some(Line::Broken(format!("the header row has no column {missing:?} (it has: {})", names(fields)))),
                },
            },
        }
    }

    /// Roles by position for a row without any header before it.
    fn by_position(&self, width: usize) -> Option<Roles> {
        let Source::Preset(preset) = &self.source else { return None };
        let order = preset.orders.iter().find(|order| order.len() == width)?;
        let by_column = order.iter().map(|name| preset.roles.iter().find(|(known, _)| known == name).map(|(_, role)| *role)).collect();
        Some(Roles { by_column, exact: true })
    }

    fn row<'l>(&mut self, fields: Vec<Cow<'l, [u8]>>) -> Line<'l> {
        if self.roles.is_none() {
            self.roles = self.by_position(fields.len());
        }
        let Some(roles) = &self.roles else { return Line::Refused(Reason::MissingColumn) };
        if roles.exact && roles.by_column.len() != fields.len() {
            return Line::Refused(Reason::MissingColumn);
        }
        let fields = fields.into_iter().zip(&roles.by_column).filter_map(|(field, role)| role.map(|role| (role, field)));
        assemble(fields, self.types, self.classes)
    }
}

/// What the fields of a row come to, each with what it means.
pub fn assemble<'l>(
    fields: impl Iterator<Item = (Role, Cow<'l, [u8]>)>,
    types: &[(&'static str, Expect)],
    classes: &[(&'static str, Class)],
) -> Line<'l> {
    let mut said = Said::default();
    let mut indicators = Vec::new();
    let mut kind = None;
    let mut missing = true;
    let (mut reference, mut id) = (None, None);
    for (role, field) in fields {
        let is_none = field.is_empty() || field.eq_ignore_ascii_case(b"none") || *field == *b"\\N";
        if let Role::Indicator(expect) = role {
            missing = false;
            if !is_none {
                indicators.push(Part { text: field, expect: Ok(expect) });
            }
            continue;
        }
        if is_none {
            continue;
        }
        match role {
            Role::Indicator(_) => {}
            Role::Type => match by_word(types, &field) {
                Some(expect) => kind = Some(expect),
                None => return Line::Refused(Reason::UnknownType),
            },
            Role::Class => match by_word(classes, &field) {
                Some(class) => said.class = Some(class),
                None => return Line::Refused(Reason::UnknownClass),
            },
            Role::FirstSeen => said.first_seen_day = day(&field, &mut said.dates_unread),
            Role::LastSeen => said.last_seen_day = day(&field, &mut said.dates_unread),
            Role::Confidence => said.confidence = percent(&field),
            Role::Score => said.score = percent(&field),
            Role::Tags => said.categories |= categories::of_words(&field),
            Role::Compromised if is_yes(&field) => said.categories |= categories::COMPROMISED,
            Role::Compromised => {}
            Role::Verified if is_yes(&field) => {}
            Role::Verified => said.class = Some(Class::Suspicious),
            Role::ValidUntil => match std::str::from_utf8(&field).ok().and_then(date::unix_seconds) {
                Some(seconds) => said.valid_until_s = seconds,
                None => said.dates_unread += 1,
            },
            Role::Revoked => said.revoked = is_yes(&field),
            Role::Reference => reference = reference.or(Some(field)),
            Role::Id(word) => id = Some(Cow::Owned([word.as_bytes(), &*field].concat())),
            Role::Tlp => said.tlp = Some(std::str::from_utf8(&field).ok().and_then(Tlp::by_name).unwrap_or(Tlp::Red)),
        }
    }
    if indicators.is_empty() {
        return Line::Refused(if missing { Reason::MissingColumn } else { Reason::EmptyIndicator });
    }
    if let Some(kind) = kind {
        indicators.iter_mut().for_each(|part| part.expect = Ok(kind));
    }
    Line::Row(Row { parts: indicators, said, reference: reference.or(id) })
}

impl Reader for Table {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        if line.trim_ascii().is_empty() {
            return Line::Blank;
        }
        if line.trim_ascii_start().first() == Some(&b'#') {
            return self.comment(line);
        }
        let mut fields = Vec::with_capacity(16);
        let delimiter = self.delimiter.unwrap_or_else(|| self.delimiter_of(line));
        self.delimiter = Some(delimiter);
        if let Err(reason) = split(line, delimiter, self.quotes, &mut fields) {
            self.rows_began = true;
            return Line::Refused(reason);
        }
        if !self.rows_began
            && let Some(outcome) = self.first_row(&fields)
        {
            return outcome;
        }
        self.row(fields)
    }
}

/// Does a line name all columns of one of the preset's signatures?
pub fn is_header(fields: &[Cow<'_, [u8]>], preset: &Preset) -> bool {
    let has = |name: &&str| fields.iter().any(|field| field.eq_ignore_ascii_case(name.as_bytes()));
    preset.signatures.iter().any(|signature| signature.iter().all(has))
}

fn by_preset(fields: &[Cow<'_, [u8]>], preset: &Preset) -> Roles {
    let role =
        |field: &Cow<'_, [u8]>| preset.roles.iter().find(|(name, _)| field.eq_ignore_ascii_case(name.as_bytes())).map(|(_, role)| *role);
    Roles { by_column: fields.iter().map(role).collect(), exact: false }
}

/// Roles of a header; an error names the declared column that it lacks.
fn by_declaration(fields: &[Cow<'_, [u8]>], columns: &Columns) -> Result<Roles, String> {
    let mut by_column = vec![None; fields.len()];
    for (column, role) in &columns.roles {
        let (index, shown) = match column {
            Column::Name(name) => (fields.iter().position(|field| field.eq_ignore_ascii_case(name.as_bytes())), name.clone()),
            Column::Number(number) => (number.checked_sub(1), number.to_string()),
        };
        *index.and_then(|index| by_column.get_mut(index)).ok_or(shown)? = Some(*role);
    }
    Ok(Roles { by_column, exact: false })
}

fn numbered(roles: &[(Column, Role)]) -> Vec<Option<Role>> {
    let mut by_column = Vec::new();
    for (column, role) in roles {
        let Column::Number(number @ 1..) = column else { continue };
        if by_column.len() < *number {
            by_column.resize(*number, None);
        }
        by_column[number - 1] = Some(*role);
    }
    by_column
}

/// Column names for a message.
pub fn names(fields: &[Cow<'_, [u8]>]) -> String {
    fields.iter().map(|field| field.escape_ascii().to_string()).collect::<Vec<_>>().join(", ")
}

fn by_word<T: Copy>(words: &[(&str, T)], field: &[u8]) -> Option<T> {
    words.iter().find(|(word, _)| field.eq_ignore_ascii_case(word.as_bytes())).map(|(_, value)| *value)
}

fn day(field: &[u8], unread: &mut u8) -> u16 {
    date::day(field).unwrap_or_else(|| {
        *unread += 1;
        0
    })
}

fn percent(field: &[u8]) -> Option<u8> {
    std::str::from_utf8(field).ok()?.parse().ok().filter(|percent| *percent <= 100)
}

fn is_yes(field: &[u8]) -> bool {
    [&b"yes"[..], b"true", b"y", b"1"].iter().any(|yes| field.eq_ignore_ascii_case(yes))
}
