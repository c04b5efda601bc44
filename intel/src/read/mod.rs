//! Readers: one line in, what it says out. One file per format.
//!
//! ```text
//! lines ──► Reader::read ──► Blank | Comment | Row { parts, said, reference } | Refused(reason) | Broken(the whole feed)
//! ```
//! A reader sees one line at a time and never the file, so that nothing is loaded whole and a broken row ends at its line: an
//! unclosed quote spoils one row and not the rest of the feed. Delimited formats share one engine ([`table`]) and differ in a
//! [`table::Preset`]: the column names that tell the format, and what each column means.

pub mod adblock;
pub mod blocked_names;
pub mod dnsmasq;
pub mod document;
pub mod feodo;
pub mod fields;
pub mod hash_comment;
pub mod hash_table;
pub mod hosts;
pub mod iprep;
mod lexer;
pub mod list;
pub mod maltrail;
pub mod malwarebazaar;
pub mod misp;
pub mod misp_csv;
mod misp_types;
pub mod ndjson;
pub mod netset;
pub mod openphish;
pub mod options;
pub mod pattern;
pub mod phishtank;
pub mod records;
pub mod rpz;
pub mod rules;
mod said;
pub mod sslbl;
pub mod stix;
pub mod table;
pub mod threatfox;
pub mod unbound;
pub mod urlhaus;
pub mod urlhaus_filter;
pub mod warninglist;

use crate::format::Format;
use crate::judge::Expect;
use crate::reason::Reason;
use std::borrow::Cow;

pub use said::{Said, Tlp};

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'l> {
    /// Nothing but white space.
    Blank,
    /// A comment or a header.
    Comment,
    /// A row with at least one part.
    Row(Row<'l>),
    /// A row that cannot be used.
    Refused(Reason),
    /// The feed as a whole is not what it was declared to be.
    Broken(String),
}

impl Line<'static> {
    /// What a line is that is no row: blank, or a comment by the format's mark. `line` is trimmed.
    pub(crate) fn without_row(line: &[u8], is_comment: impl FnOnce(&[u8]) -> bool) -> Option<Self> {
        match line {
            [] => Some(Line::Blank),
            _ => is_comment(line).then_some(Line::Comment),
        }
    }
}

/// One row of a feed.
#[derive(Debug, PartialEq, Eq)]
pub struct Row<'l> {
    /// Its indicators.
    pub parts: Vec<Part<'l>>,
    /// What it says about all of them.
    pub said: Said,
    /// Where it says to read about them, as it says so: an address, an identifier, a comment. Whatever a stranger wrote, of whatever length.
    pub reference: Option<Cow<'l, [u8]>>,
}

/// One indicator of a row.
#[derive(Debug, PartialEq, Eq)]
pub struct Part<'l> {
    /// As written.
    pub text: Cow<'l, [u8]>,
    /// What its place promises, or why it is none.
    pub expect: Result<Expect, Reason>,
}

/// Reads lines of one format.
pub trait Reader {
    /// One line, without its end.
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l>;
}

/// The reader of a format. `columns` is for [`Format::Csv`], which has none of its own; with `exceptions`, lists that know both are read
/// for what they let through and not for what they block.
pub fn reader(format: Format, columns: Option<&table::Columns>, exceptions: bool) -> Result<Box<dyn Reader>, String> {
    Ok(match format {
        Format::MispCsv => Box::new(misp_csv::MispCsv::default()),
        Format::Ndjson => Box::new(ndjson::Ndjson),
        Format::List => Box::new(list::List::new(Expect::Any)),
        Format::UrlList => Box::new(list::List::new(Expect::Url)),
        Format::HostList => Box::new(list::List::new(Expect::Host)),
        Format::AddressList => Box::new(list::List::new(Expect::Address)),
        Format::HashList => Box::new(list::List::new(Expect::Digest)),
        Format::HostSubstringList => Box::new(list::List::new(Expect::HOST_SUBSTRING)),
        Format::UrlSubstringList => Box::new(list::List::new(Expect::URL_SUBSTRING)),
        Format::HostTokenList => Box::new(list::List::new(Expect::HOST_TOKEN)),
        Format::UrlTokenList => Box::new(list::List::new(Expect::URL_TOKEN)),
        Format::Hosts => Box::new(hosts::Hosts),
        Format::Netset => Box::new(netset::Netset),
        Format::HashComment => Box::new(hash_comment::HashComment),
        Format::HashTable => Box::new(table::Table::preset(&hash_table::PRESET)),
        Format::UrlhausCsv => Box::new(table::Table::preset(&urlhaus::PRESET)),
        Format::ThreatfoxCsv => Box::new(table::Table::preset(&threatfox::PRESET)),
        Format::FeodoCsv => Box::new(table::Table::preset(&feodo::PRESET)),
        Format::PhishtankCsv => Box::new(table::Table::preset(&phishtank::PRESET)),
        Format::OpenphishTsv => Box::new(table::Table::preset(&openphish::PRESET)),
        Format::MaltrailTsv => Box::new(table::Table::preset(&maltrail::PRESET)),
        Format::UrlhausFilterTsv => Box::new(table::Table::preset(&urlhaus_filter::PRESET)),
        Format::MalwarebazaarCsv => Box::new(table::Table::preset(&malwarebazaar::PRESET)),
        Format::SslblCsv => Box::new(table::Table::preset(&sslbl::PRESET)),
        Format::MaltrailList => Box::new(maltrail::Families::default()),
        Format::Adblock => Box::new(adblock::Adblock::new(exceptions)),
        Format::Rpz => Box::new(rpz::Rpz::new(exceptions)),
        Format::Dnsmasq => Box::new(dnsmasq::Dnsmasq::new(exceptions)),
        Format::Unbound => Box::new(unbound::Unbound::new(exceptions)),
        Format::BindZones => Box::new(blocked_names::BindZones),
        Format::ProtectionList => Box::new(blocked_names::ProtectionList::new(exceptions)),
        Format::IdsRules => Box::new(rules::Rules),
        Format::IpReputation => Box::new(iprep::IpReputation),
        Format::Csv => Box::new(table::Table::declared(columns.ok_or("the format csv needs [feed.columns]")?)),
        _ => return Err(format!("{format} is a document and has no lines")),
    })
}

/// The reader of a format whose files are documents and not lines.
pub fn document(format: Format, allow: bool) -> Option<Box<dyn document::Document>> {
    Some(match format {
        Format::Stix => Box::new(stix::Stix::new(allow)),
        Format::Misp => Box::new(misp::Misp::default()),
        Format::MispWarninglist => Box::new(warninglist::Warninglist::new(allow)),
        Format::UrlhausJson => Box::new(records::Records::new(&records::URLHAUS)),
        Format::ThreatfoxJson => Box::new(records::Records::new(&records::THREATFOX)),
        Format::FeodoJson => Box::new(records::Records::new(&records::FEODO)),
        Format::MalwarebazaarJson => Box::new(records::Records::new(&records::MALWAREBAZAAR)),
        Format::PhishtankJson => Box::new(records::Records::new(&records::PHISHTANK)),
        Format::OpenphishJson => Box::new(records::Records::new(&records::OPENPHISH)),
        _ => return None,
    })
}

impl<'l> Row<'l> {
    /// A row of indicators about which nothing else is said.
    pub fn of(parts: Vec<Part<'l>>) -> Self {
        Row { parts, said: Said::default(), reference: None }
    }

    /// A row of one indicator about which nothing else is said.
    pub fn single(text: &'l [u8], expect: Expect) -> Self {
        Row::of(vec![Part { text: Cow::Borrowed(text), expect: Ok(expect) }])
    }
}

/// Does a line begin a comment in lists? `#`, `;`, `//`, and the `!` of filter lists.
pub(crate) fn is_list_comment(line: &[u8]) -> bool {
    matches!(line.first(), Some(b'#' | b';' | b'!')) || line.starts_with(b"//")
}

/// The line up to a comment that white space sets off: ` # …`, ` ; …`, ` // …`. A `#` or `;` inside a URL is part of it.
pub(crate) fn without_trailing_comment(line: &[u8]) -> &[u8] {
    let begins = |at: usize| line[at].is_ascii_whitespace() && is_list_comment(&line[at + 1..]) && line.get(at + 1) != Some(&b'!');
    let end = (0..line.len()).find(|&at| begins(at)).unwrap_or(line.len());
    line[..end].trim_ascii()
}
