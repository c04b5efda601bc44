//! feeds.toml: which feeds make a snapshot, and what the operator says about each.
//!
//! ```toml
//! [snapshot]
//! profile = "full"                # or "gsb-v4": what questions the table is asked by
//! secret_file = "hash.secret"     # mixed into the hash key, so that nobody outside can aim at it
//! as_of = 2026-06-01T00:00:00Z    # what moment the data describes
//!
//! [[feed]]
//! name = "partner"
//! path = "partner.csv.gz"         # relative to this file
//! format = "csv"                  # told from the content where it is not given
//! action = "block"                # or "allow", or "override"
//! class = "malicious"             # or "suspicious"
//! categories = ["phishing"]
//! score = 90
//! confidence = 60
//! ttl = "1h"
//! licence = "CC0-1.0"
//! subdomains = true               # host rules cover the names below
//! prefixes = false                # a URL ending in /* means every page below
//! may_be_empty = false            # a feed without a rule is an error otherwise
//! [feed.columns]                  # for format = "csv"
//! delimiter = ","
//! header = "row"                  # "row", "comment" or "none"
//! url = "link"                    # role = column name, or its number from 1
//! ```
//! What the operator writes here wins over what a row says, and that over the format's default; the operator's categories and the
//! row's add up. All mistakes are told at once, each with its line.

use crate::categories;
use crate::date;
use crate::format::Format;
use crate::judge::Expect;
use crate::limits::{CONFIG_BYTES_MAX, FEEDS_MAX, SECRET_BYTES_MAX};
use crate::read::table::{Column, Columns, Header, Role};
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use verdict_keys::Scheme;
use verdict_tables::Class;

/// What a snapshot is compiled from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `[snapshot]`
    pub snapshot: Snapshot,
    /// `[[feed]]`, in the order of the file.
    pub feeds: Vec<Feed>,
}

/// `[snapshot]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// `profile`: which expressions a question is asked by. Default `full`.
    pub scheme: Scheme,
    /// Contents of `secret_file`, without a final line end. Default empty.
    pub secret: Vec<u8>,
    /// `as_of` in unix seconds; 0 if not given.
    pub as_of_s: u64,
}

/// What a feed's rules do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// List what is bad.
    #[default]
    Block,
    /// List what is good: beats every `Block`.
    Allow,
    /// The operator's own word, of the feed's class: beats everything.
    Override,
}

/// `[[feed]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Unique in a snapshot; at most 64 graphic ASCII characters.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its format, or told from its content.
    pub format: Option<Format>,
    /// Class of its verdicts, whatever its rows say.
    pub class: Option<Class>,
    /// Categories of its verdicts instead of the format's.
    pub categories: Option<u16>,
    /// 0-100, whatever its rows say.
    pub score: Option<u8>,
    /// 0-100, whatever its rows say.
    pub confidence: Option<u8>,
    /// Seconds a caller may keep a verdict.
    pub ttl_s: Option<u32>,
    /// Terms under which the feed is used; kept in the snapshot.
    pub licence: String,
    /// Default `block`.
    pub action: Action,
    /// Host rules cover the names below; default by format.
    pub subdomains: Option<bool>,
    /// A URL ending in `/*` means every page below; default no.
    pub prefixes: bool,
    /// The feed may be without any rule; default no.
    pub may_be_empty: bool,
    /// `[feed.columns]`
    pub columns: Option<Columns>,
}

/// A mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line of the file, 0 for the file as a whole.
    pub line: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

/// All mistakes of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    /// Name of the file.
    pub file: String,
    /// At least one, by line.
    pub mistakes: Vec<Mistake>,
}

impl std::error::Error for Mistakes {}

impl std::fmt::Display for Mistakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            let end = if index + 1 == self.mistakes.len() { "" } else { "\n" };
            match mistake.line {
                0 => write!(f, "{}: {}{end}", self.file, mistake.message)?,
                line => write!(f, "{}:{line}: {}{end}", self.file, mistake.message)?,
            }
        }
        Ok(())
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Snapshot { scheme: Scheme::Full, secret: Vec::new(), as_of_s: 0 }
    }
}

impl Feed {
    /// A feed of which nothing is said but its name and place.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Feed {
            name: name.into(),
            path: path.into(),
            format: None,
            class: None,
            categories: None,
            score: None,
            confidence: None,
            ttl_s: None,
            licence: String::new(),
            action: Action::Block,
            subdomains: None,
            prefixes: false,
            may_be_empty: false,
            columns: None,
        }
    }
}

impl Config {
    /// Reads a feeds.toml.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        let file = path.display().to_string();
        let whole = |message: String| Mistakes { file: file.clone(), mistakes: vec![Mistake { line: 0, message }] };
        let text = read_at_most(path, CONFIG_BYTES_MAX).map_err(whole)?;
        let text = String::from_utf8(text).map_err(|_| whole("is not UTF-8".into()))?;
        Config::parse(&text, &file, path.parent().unwrap_or(Path::new("")))
    }

    /// Reads the text of a feeds.toml; paths in it are relative to `directory`.
    pub fn parse(text: &str, file: &str, directory: &Path) -> Result<Self, Mistakes> {
        let mut walk = Walk { text, directory, mistakes: Vec::new() };
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            walk.mistake_at(at, error.message().to_owned());
        }
        let config = if walk.mistakes.is_empty() { walk.config(root.get_ref()) } else { Config::default() };
        let mut mistakes = walk.mistakes;
        if mistakes.is_empty() {
            return Ok(config);
        }
        mistakes.sort_by_key(|mistake| mistake.line);
        Err(Mistakes { file: file.to_owned(), mistakes })
    }

    /// Feed files named directly: each is a feed of its file name, format told from its content.
    pub fn from_files(paths: &[PathBuf]) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut feeds: Vec<Feed> = Vec::new();
        for path in paths {
            let name = name_of_file(path);
            if let Some(other) = feeds.iter().find(|feed| feed.name == name) {
                let message =
                    format!("{} and {} would both be the feed {name:?}: name them in a feeds.toml", other.path.display(), path.display());
                mistakes.push(Mistake { line: 0, message });
            }
            feeds.push(Feed::new(name, path));
        }
        if feeds.is_empty() {
            mistakes.push(Mistake { line: 0, message: "no feed is named".into() });
        }
        if mistakes.is_empty() {
            Ok(Config { snapshot: Snapshot::default(), feeds })
        } else {
            Err(Mistakes { file: "feeds".into(), mistakes })
        }
    }
}

/// `dir/urlhaus.csv.gz` is the feed `urlhaus.csv`.
fn name_of_file(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let graphic = |character: char| if character.is_ascii_graphic() { character } else { '_' };
    name.chars().map(graphic).take(NAME_BYTES_MAX).collect()
}

const NAME_BYTES_MAX: usize = 64;
const LICENCE_BYTES_MAX: usize = 256;
/// A verdict may be kept for at most thirty days.
const TTL_S_MAX: u64 = 30 * 86_400;

fn read_at_most(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > bytes_max { Err(format!("is longer than {bytes_max} bytes")) } else { Ok(bytes) }
}

/// Walks the parsed tree, collecting mistakes instead of stopping at the first.
struct Walk<'t> {
    text: &'t str,
    directory: &'t Path,
    mistakes: Vec<Mistake>,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Walk<'_> {
    fn mistake_at(&mut self, offset: usize, message: String) {
        let line = 1 + self.text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count();
        self.mistakes.push(Mistake { line, message });
    }

    fn mistake<T>(&mut self, at: &Spanned<T>, message: String) {
        self.mistake_at(at.span().start, message);
    }

    /// Calls `take` for each key; a key that it does not know is a mistake.
    fn each<'d, 'i>(&mut self, table: &'d DeTable<'i>, place: &str, known: &[&str], mut take: impl FnMut(&mut Self, &str, &'d Value<'i>)) {
        for (key, value) in table.iter() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                take(self, name, value);
            } else {
                self.mistake(key, format!("unknown key {name:?} in {place} (known: {})", known.join(", ")));
            }
        }
    }

    fn config(&mut self, root: &DeTable<'_>) -> Config {
        let mut config = Config::default();
        self.each(root, "the file", &["snapshot", "feed"], |walk, key, value| match (key, value.get_ref()) {
            ("snapshot", DeValue::Table(table)) => config.snapshot = walk.snapshot(table),
            ("snapshot", _) => walk.mistake(value, "snapshot is a table: [snapshot]".into()),
            (_, DeValue::Array(feeds)) => {
                for feed in feeds.iter() {
                    match feed.get_ref() {
                        DeValue::Table(table) => config.feeds.extend(walk.feed(table, feed)),
                        _ => walk.mistake(feed, "a feed is a table: [[feed]]".into()),
                    }
                }
                walk.unique_names(feeds.iter());
            }
            _ => walk.mistake(value, "feeds are written [[feed]]".into()),
        });
        if config.feeds.is_empty() && self.mistakes.is_empty() {
            self.mistake_at(0, "no [[feed]] is declared".into());
        }
        if config.feeds.len() > FEEDS_MAX {
            self.mistake_at(0, format!("more than FEEDS_MAX ({FEEDS_MAX}) feeds"));
        }
        config
    }

    fn unique_names<'d, 'i: 'd>(&mut self, feeds: impl Iterator<Item = &'d Value<'i>>) {
        let mut seen: HashMap<&str, ()> = HashMap::new();
        for feed in feeds {
            let Some(name) = feed.get_ref().as_table().and_then(|table| table.get("name")) else { continue };
            let Some(text) = name.get_ref().as_str() else { continue };
            if seen.insert(text, ()).is_some() {
                self.mistake(name, format!("another feed is named {text:?}"));
            }
        }
    }

    fn snapshot(&mut self, table: &DeTable<'_>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        self.each(table, "[snapshot]", &["profile", "secret_file", "as_of"], |walk, key, value| match key {
            "profile" => {
                if let Some(scheme) = walk.word(value, "profile", &[("full", Scheme::Full), ("gsb-v4", Scheme::GsbV4)]) {
                    snapshot.scheme = scheme;
                }
            }
            "secret_file" => snapshot.secret = walk.secret(value),
            _ => {
                let text = match value.get_ref() {
                    DeValue::String(text) => text.to_string(),
                    DeValue::Datetime(datetime) => datetime.to_string(),
                    _ => String::new(),
                };
                match date::unix_seconds(&text) {
                    Some(seconds) => snapshot.as_of_s = seconds,
                    None => {
                        walk.mistake(value, "as_of is a date or UTC time between 1970-01-02 and 2149-06-06: 2026-06-01T00:00:00Z".into())
                    }
                }
            }
        });
        snapshot
    }

    fn secret(&mut self, value: &Value<'_>) -> Vec<u8> {
        let Some(path) = self.string(value, "secret_file") else { return Vec::new() };
        match read_at_most(&self.directory.join(&path), SECRET_BYTES_MAX) {
            Ok(mut secret) => {
                if secret.last() == Some(&b'\n') {
                    secret.pop();
                }
                if secret.is_empty() {
                    self.mistake(value, format!("{path} is empty"));
                }
                secret
            }
            Err(why) => {
                self.mistake(value, format!("{path}: {why}"));
                Vec::new()
            }
        }
    }

    fn feed(&mut self, table: &DeTable<'_>, place: &Value<'_>) -> Option<Feed> {
        const KNOWN: [&str; 14] = [
            "name",
            "path",
            "format",
            "class",
            "categories",
            "score",
            "confidence",
            "ttl",
            "licence",
            "action",
            "subdomains",
            "prefixes",
            "may_be_empty",
            "columns",
        ];
        let mut feed = Feed::new("", "");
        self.each(table, "[[feed]]", &KNOWN, |walk, key, value| match key {
            "name" => feed.name = walk.name(value).unwrap_or_default(),
            "path" => feed.path = walk.string(value, "path").map(|path| walk.directory.join(path)).unwrap_or_default(),
            "format" => feed.format = walk.word(value, "format", &Format::ALL.map(|format| (format.name(), format))),
            "class" => {
                feed.class = walk.word(
                    value,
                    "class",
                    &[("malicious", Class::Malicious), ("suspicious", Class::Suspicious), ("clean", Class::Clean)],
                )
            }
            "categories" => feed.categories = walk.categories(value),
            "score" => feed.score = walk.percent(value, "score"),
            "confidence" => feed.confidence = walk.percent(value, "confidence"),
            "ttl" => feed.ttl_s = walk.ttl(value),
            "licence" => feed.licence = walk.licence(value).unwrap_or_default(),
            "action" => {
                let words = [("block", Action::Block), ("allow", Action::Allow), ("override", Action::Override)];
                feed.action = walk.word(value, "action", &words).unwrap_or_default();
            }
            "subdomains" => feed.subdomains = walk.boolean(value, "subdomains"),
            "prefixes" => feed.prefixes = walk.boolean(value, "prefixes").unwrap_or_default(),
            "may_be_empty" => feed.may_be_empty = walk.boolean(value, "may_be_empty").unwrap_or_default(),
            _ => feed.columns = walk.columns(value),
        });
        for needed in ["name", "path"] {
            if !table.contains_key(needed) {
                self.mistake(place, format!("a [[feed]] needs {needed}"));
            }
        }
        self.check_feed(&mut feed, table, place);
        Some(feed)
    }

    /// What fits only together.
    fn check_feed(&mut self, feed: &mut Feed, table: &DeTable<'_>, place: &Value<'_>) {
        let at = |key: &str| table.get(key).map_or_else(|| place.span().start, |value| value.span().start);
        let has_columns = table.contains_key("columns");
        match (feed.format, has_columns) {
            (Some(Format::Csv), false) => self.mistake_at(at("format"), "format = \"csv\" needs [feed.columns]".into()),
            (None, true) if !table.contains_key("format") => feed.format = Some(Format::Csv),
            (Some(format), true) if format != Format::Csv => {
                self.mistake_at(
                    at("columns"),
                    format!("the format {format} knows its own columns; [feed.columns] goes with format = \"csv\""),
                );
            }
            _ => {}
        }
        match (feed.action, feed.class) {
            (Action::Allow, Some(class)) if class != Class::Clean => {
                self.mistake_at(at("class"), "a feed with action = \"allow\" has no class".into())
            }
            (Action::Block, Some(Class::Clean)) => {
                self.mistake_at(at("class"), "class = \"clean\" goes with action = \"allow\" or \"override\"".into())
            }
            _ => {}
        }
    }

    fn columns(&mut self, value: &Value<'_>) -> Option<Columns> {
        const ROLES: [(&str, Role); 16] = [
            ("indicator", Role::Indicator(Expect::Any)),
            ("url", Role::Indicator(Expect::Url)),
            ("host", Role::Indicator(Expect::Host)),
            ("address", Role::Indicator(Expect::Address)),
            ("digest", Role::Indicator(Expect::Digest)),
            ("sha256", Role::Indicator(Expect::Sha256)),
            ("sha1", Role::Indicator(Expect::Sha1)),
            ("md5", Role::Indicator(Expect::Md5)),
            ("type", Role::Type),
            ("first_seen", Role::FirstSeen),
            ("last_seen", Role::LastSeen),
            ("confidence", Role::Confidence),
            ("score", Role::Score),
            ("tags", Role::Tags),
            ("class", Role::Class),
            ("compromised", Role::Compromised),
        ];
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
            DeValue::Integer(_) => integer(value)
                .filter(|number| (1..=crate::limits::COLUMNS_MAX as u64).contains(number))
                .map(|number| Column::Number(number as usize)),
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

    fn name(&mut self, value: &Value<'_>) -> Option<String> {
        let name = self.string(value, "name")?;
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            self.mistake(value, format!("name is 1 to {NAME_BYTES_MAX} graphic ASCII characters"));
        }
        fits.then_some(name)
    }

    fn licence(&mut self, value: &Value<'_>) -> Option<String> {
        let licence = self.string(value, "licence")?;
        let fits = licence.len() <= LICENCE_BYTES_MAX && !licence.chars().any(char::is_control);
        if !fits {
            self.mistake(value, format!("licence is at most {LICENCE_BYTES_MAX} bytes of text"));
        }
        fits.then_some(licence)
    }

    fn categories(&mut self, value: &Value<'_>) -> Option<u16> {
        let Some(names) = value.get_ref().as_array() else {
            self.mistake(value, "categories is an array of names".into());
            return None;
        };
        let mut bits = 0;
        for name in names.iter() {
            match name.get_ref().as_str().and_then(categories::by_name) {
                Some(bit) => bits |= bit,
                None => self.mistake(name, format!("no such category (known: {})", categories::NAMES.join(", "))),
            }
        }
        Some(bits)
    }

    fn ttl(&mut self, value: &Value<'_>) -> Option<u32> {
        let seconds = match value.get_ref() {
            DeValue::Integer(_) => integer(value),
            DeValue::String(text) => duration_s(text),
            _ => None,
        };
        let seconds = seconds.filter(|seconds| (1..=TTL_S_MAX).contains(seconds)).and_then(|seconds| u32::try_from(seconds).ok());
        if seconds.is_none() {
            self.mistake(value, "ttl is seconds or a number with s, m, h or d, at most 30d: \"1h\"".into());
        }
        seconds
    }

    fn percent(&mut self, value: &Value<'_>, key: &str) -> Option<u8> {
        let percent = integer(value).filter(|percent| *percent <= 100).map(|percent| percent as u8);
        if percent.is_none() {
            self.mistake(value, format!("{key} is a whole number from 0 to 100"));
        }
        percent
    }

    fn boolean(&mut self, value: &Value<'_>, key: &str) -> Option<bool> {
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            self.mistake(value, format!("{key} is true or false"));
        }
        boolean
    }

    fn string(&mut self, value: &Value<'_>, key: &str) -> Option<String> {
        let text = value.get_ref().as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.mistake(value, format!("{key} is a text"));
        }
        text.map(str::to_owned)
    }

    fn word<T: Copy>(&mut self, value: &Value<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let word = value.get_ref().as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if word.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.mistake(value, format!("{key} is one of: {}", known.join(", ")));
        }
        word.map(|(_, value)| *value)
    }
}

fn integer(value: &Value<'_>) -> Option<u64> {
    let integer = value.get_ref().as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn duration_s(text: &str) -> Option<u64> {
    let (number, unit_s) = match text.as_bytes().last()? {
        b's' => (&text[..text.len() - 1], 1),
        b'm' => (&text[..text.len() - 1], 60),
        b'h' => (&text[..text.len() - 1], 3600),
        b'd' => (&text[..text.len() - 1], 86_400),
        _ => (text, 1),
    };
    let digits_only = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits_only.then(|| number.parse::<u64>().ok()?.checked_mul(unit_s)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, Mistakes> {
        Config::parse(text, "feeds.toml", Path::new("/feeds"))
    }

    #[test]
    fn reads_every_key() {
        let config = parse(
            r#"
            [snapshot]
            profile = "gsb-v4"
            as_of = 2026-06-01T00:00:00Z
            [[feed]]
            name = "partner"
            path = "partner.csv"
            format = "csv"
            class = "suspicious"
            categories = ["phishing", "scam"]
            score = 61
            confidence = 62
            ttl = "2h"
            licence = "CC0-1.0"
            subdomains = false
            prefixes = true
            may_be_empty = true
            [feed.columns]
            delimiter = ";"
            header = "row"
            url = "Link"
            first_seen = 2
            [[feed]]
            name = "good"
            path = "/good.txt"
            action = "allow"
            "#,
        )
        .unwrap();
        assert_eq!(config.snapshot, Snapshot { scheme: Scheme::GsbV4, secret: Vec::new(), as_of_s: 1_780_272_000 });
        let partner = Feed {
            format: Some(Format::Csv),
            class: Some(Class::Suspicious),
            categories: Some(categories::PHISHING | categories::SCAM),
            score: Some(61),
            confidence: Some(62),
            ttl_s: Some(7200),
            licence: "CC0-1.0".into(),
            subdomains: Some(false),
            prefixes: true,
            may_be_empty: true,
            columns: Some(Columns {
                delimiter: b';',
                quotes: true,
                header: Header::Row,
                roles: vec![(Column::Number(2), Role::FirstSeen), (Column::Name("link".into()), Role::Indicator(Expect::Url))],
            }),
            ..Feed::new("partner", "/feeds/partner.csv")
        };
        let mut read = config.feeds[0].clone();
        read.columns.as_mut().unwrap().roles.sort_by_key(|(_, role)| *role != Role::FirstSeen);
        assert_eq!(read, partner);
        assert_eq!(config.feeds[1], Feed { action: Action::Allow, ..Feed::new("good", "/good.txt") });
    }

    #[test]
    fn tells_all_mistakes_at_once_with_their_lines() {
        let text = "[snapshot]\nprofil = 1\nas_of = \"yesterday\"\n[[feed]]\nname = \"a b\"\npath = 3\nscore = 101\nttl = \"1y\"\nclass = \"bad\"\n\
                    categories = [\"c2\", \"c3\"]\nformat = \"xml\"\n[[feed]]\npath = \"b\"\nformat = \"csv\"\n[[feed]]\nname = \"c\"\npath = \"c\"\n\
                    columns = { first_seen = 1, header = \"none\", tags = \"x\", colour = 3 }\n[[feed]]\nname = \"c\"\npath = \"d\"\nclass = \"clean\"\n[other]\n";
        let lines: Vec<usize> = parse(text).unwrap_err().mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 14, 18, 18, 18, 20, 22, 23]);
        let shown = parse(text).unwrap_err().to_string();
        assert!(shown.starts_with("feeds.toml:2: unknown key \"profil\" in [snapshot] (known: profile, secret_file, as_of)\n"), "{shown}");
    }

    #[test]
    fn tells_syntax_errors_with_their_line() {
        let mistakes = parse("[snapshot]\nprofile = \n").unwrap_err();
        assert_eq!(mistakes.mistakes[0].line, 2, "{mistakes}");
        assert!(parse("").unwrap_err().to_string().contains("no [[feed]]"));
    }

    #[test]
    fn names_feeds_after_their_files() {
        let config = Config::from_files(&["a/urlhaus.csv.gz".into(), "b/hosts".into()]).unwrap();
        let names: Vec<&str> = config.feeds.iter().map(|feed| feed.name.as_str()).collect();
        assert_eq!(names, ["urlhaus.csv", "hosts"]);
        assert!(Config::from_files(&["a/hosts".into(), "b/hosts".into()]).is_err());
        assert!(Config::from_files(&[]).is_err());
    }

    #[test]
    fn reads_durations() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("2m", 120), ("1h", 3600), ("7d", 604_800)] {
            assert_eq!(duration_s(text), Some(seconds));
        }
        for text in ["", "h", "1y", "-1s", "1.5h", "+1s", "99999999999999999999d"] {
            assert_eq!(duration_s(text), None, "{text}");
        }
    }
}
