//! From the parsed tree of a feeds.toml to a configuration, collecting mistakes instead of stopping at the first.

use super::{Action, Config, Feed, Mistake, NAME_BYTES_MAX, Snapshot, read_at_most};
use crate::aggregate::Policy;
use crate::categories;
use crate::date;
use crate::format::Format;
use crate::limits::{FEEDS_MAX, SECRET_BYTES_MAX};
use crate::model::LIFETIME_DAYS_MAX;
use crate::suffixes::Suffixes;
use std::collections::HashSet;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use verdict_keys::Scheme;
use verdict_tables::Class;

const TEXT_BYTES_MAX: usize = 256;
/// A verdict may be kept for at most thirty days.
const TTL_S_MAX: u64 = 30 * 86_400;

/// Keys of `[[feed]]`.
const FEED_KEYS: [&str; 22] = [
    "name",
    "enabled",
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
    "members",
    "columns",
    "trust",
    "expires",
    "tlp",
    "region",
    "reference",
    "fetch",
];

const CLASSES: [(&str, Class); 3] = [("malicious", Class::Malicious), ("suspicious", Class::Suspicious), ("clean", Class::Clean)];
const ACTIONS: [(&str, Action); 3] = [("block", Action::Block), ("allow", Action::Allow), ("override", Action::Override)];

/// Knows where it is in the text.
pub(super) struct Walk<'t> {
    text: &'t str,
    directory: &'t Path,
    pub(super) mistakes: Vec<Mistake>,
}

pub(super) type Value<'i> = Spanned<DeValue<'i>>;

impl<'t> Walk<'t> {
    pub(super) fn new(text: &'t str, directory: &'t Path) -> Self {
        Walk { text, directory, mistakes: Vec::new() }
    }

    pub(super) fn directory(&self) -> &'t Path {
        self.directory
    }

    pub(super) fn mistake_at(&mut self, offset: usize, message: String) {
        let line = 1 + self.text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count();
        self.mistakes.push(Mistake { line, message });
    }

    pub(super) fn mistake<T>(&mut self, at: &Spanned<T>, message: String) {
        self.mistake_at(at.span().start, message);
    }

    /// Calls `take` for each key; a key that it does not know is a mistake.
    pub(super) fn each<'d, 'i>(
        &mut self,
        table: &'d DeTable<'i>,
        place: &str,
        known: &[&str],
        mut take: impl FnMut(&mut Self, &str, &'d Value<'i>),
    ) {
        for (key, value) in table.iter() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                take(self, name, value);
            } else {
                self.mistake(key, format!("unknown key {name:?} in {place} (known: {})", known.join(", ")));
            }
        }
    }

    pub(super) fn config(&mut self, root: &DeTable<'_>) -> Config {
        let mut config = Config::default();
        self.each(root, "the file", &["snapshot", "deployment", "profile", "gates", "feed"], |walk, key, value| {
            match (key, value.get_ref()) {
                ("deployment", _) => config.deployment = walk.deployment(value),
                ("gates", _) => config.gates = walk.gates(value),
                ("profile", _) => config.profiles = walk.profiles(value),
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
            }
        });
        if let Some(name) = &config.deployment
            && config.profile().is_none()
        {
            let at = root.get("deployment").map_or(0, |value| value.span().start);
            self.mistake_at(at, format!("no [profile.{name}] is declared"));
        }
        if config.feeds.is_empty() && self.mistakes.is_empty() {
            self.mistake_at(0, "no [[feed]] is declared".into());
        }
        if config.feeds.len() > FEEDS_MAX {
            self.mistake_at(0, format!("more than FEEDS_MAX ({FEEDS_MAX}) feeds"));
        }
        config
    }

    fn unique_names<'d, 'i: 'd>(&mut self, feeds: impl Iterator<Item = &'d Value<'i>>) {
        let mut seen = HashSet::new();
        for feed in feeds {
            let Some(name) = feed.get_ref().as_table().and_then(|table| table.get("name")) else { continue };
            let Some(text) = name.get_ref().as_str() else { continue };
            if !seen.insert(text) {
                self.mistake(name, format!("another feed is named {text:?}"));
            }
        }
    }

    fn aggregate(&mut self, value: &Value<'_>) -> Option<Policy> {
        let number = |key: &str| value.get_ref().as_table()?.get(key)?.get_ref().as_integer()?.as_str().parse::<i64>().ok();
        let known = value.get_ref().as_table().is_some_and(|table| table.len() == 2);
        let bits = number("bits").filter(|bits| Policy::BITS.contains(bits)).and_then(|bits| u8::try_from(bits).ok());
        let hits = number("hits").filter(|hits| Policy::HITS.contains(hits)).and_then(|hits| u32::try_from(hits).ok());
        let policy = bits.zip(hits).filter(|_| known).map(|(bits, hits)| Policy { bits, hits });
        if policy.is_none() {
            self.mistake(value, "ipv6_aggregate is { bits = 48 to 64, hits = at least 2 }".into());
        }
        policy
    }

    fn snapshot(&mut self, table: &DeTable<'_>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let known = ["profile", "secret_file", "steady_hash_key", "public_suffix_list", "as_of", "ipv6_aggregate"];
        self.each(table, "[snapshot]", &known, |walk, key, value| match key {
            "profile" => {
                if let Some(scheme) = walk.word(value, "profile", &Scheme::ALL.map(|scheme| (scheme.name(), scheme))) {
                    snapshot.scheme = scheme;
                }
            }
            "secret_file" => snapshot.secret = walk.secret(value),
            "public_suffix_list" => snapshot.suffixes = walk.suffixes(value),
            "steady_hash_key" => {
                snapshot.steady_hash_key = walk.boolean(value, key).unwrap_or(false);
                if snapshot.steady_hash_key && table.get("secret_file").is_none() {
                    walk.mistake(value, "steady_hash_key needs a secret_file: without one anybody could aim at the table".into());
                }
            }
            "ipv6_aggregate" => snapshot.ipv6_aggregate = walk.aggregate(value),
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

    fn suffixes(&mut self, value: &Value<'_>) -> Suffixes {
        let Some(path) = self.string(value, "public_suffix_list") else { return Suffixes::default() };
        Suffixes::read(&self.directory.join(&path)).unwrap_or_else(|why| {
            self.mistake(value, why);
            Suffixes::default()
        })
    }

    fn feed(&mut self, table: &DeTable<'_>, place: &Value<'_>) -> Option<Feed> {
        let (mut feed, mut enabled) = (Feed::new("", ""), true);
        self.each(table, "[[feed]]", &FEED_KEYS, |walk, key, value| match key {
            "enabled" => enabled = walk.boolean(value, key).unwrap_or(true),
            "name" => feed.name = walk.name(value).unwrap_or_default(),
            "path" => feed.path = walk.string(value, "path").map(|path| walk.directory.join(path)).unwrap_or_default(),
            "format" => feed.format = walk.word(value, "format", &Format::ALL.map(|format| (format.name(), format))),
            "class" => feed.class = walk.word(value, "class", &CLASSES),
            "categories" => feed.categories = walk.categories(value),
            "score" => feed.score = walk.percent(value, "score"),
            "confidence" => feed.confidence = walk.percent(value, "confidence"),
            "ttl" => feed.ttl_s = walk.ttl(value),
            "licence" => feed.licence = walk.text(value, "licence").unwrap_or_default(),
            "trust" => feed.trust = walk.percent(value, "trust").unwrap_or(100),
            "expires" => feed.lifetime_days = walk.days(value),
            "tlp" => feed.tlp = walk.tlp(value, "tlp"),
            "region" => feed.region = walk.text(value, "region").unwrap_or_default(),
            "reference" => feed.reference = walk.text(value, "reference").unwrap_or_default(),
            "action" => feed.action = walk.word(value, "action", &ACTIONS).unwrap_or_default(),
            "subdomains" => feed.subdomains = walk.boolean(value, "subdomains"),
            "prefixes" => feed.prefixes = walk.boolean(value, "prefixes").unwrap_or_default(),
            "may_be_empty" => feed.may_be_empty = walk.boolean(value, "may_be_empty").unwrap_or_default(),
            "fetch" => feed.fetch = walk.fetch(value),
            "members" => feed.members = walk.members(value),
            _ => feed.columns = walk.columns(value),
        });
        for needed in ["name", "path"] {
            if !table.contains_key(needed) {
                self.mistake(place, format!("a [[feed]] needs {needed}"));
            }
        }
        self.check_feed(&mut feed, table, place);
        enabled.then_some(feed)
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

    fn name(&mut self, value: &Value<'_>) -> Option<String> {
        let name = self.string(value, "name")?;
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            self.mistake(value, format!("name is 1 to {NAME_BYTES_MAX} graphic ASCII characters"));
        }
        fits.then_some(name)
    }

    fn text(&mut self, value: &Value<'_>, key: &str) -> Option<String> {
        let text = self.string(value, key)?;
        let fits = text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
        if !fits {
            self.mistake(value, format!("{key} is at most {TEXT_BYTES_MAX} bytes of text"));
        }
        fits.then_some(text)
    }

    fn days(&mut self, value: &Value<'_>) -> Option<u16> {
        let seconds = value.get_ref().as_str().and_then(duration_s).filter(|seconds| seconds.is_multiple_of(86_400));
        let days = seconds.and_then(|seconds| u16::try_from(seconds / 86_400).ok()).filter(|days| (1..=LIFETIME_DAYS_MAX).contains(days));
        if days.is_none() {
            self.mistake(value, format!("expires is a number of days, at most {LIFETIME_DAYS_MAX}d: \"90d\""));
        }
        days
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

    fn members(&mut self, value: &Value<'_>) -> Vec<String> {
        let texts = value.get_ref().as_array().map(|names| names.iter().map(|name| name.get_ref().as_str().map(str::to_owned)).collect());
        texts.flatten().unwrap_or_else(|| {
            self.mistake(value, "members is an array of names of files, with * and ?, and ! before those that are not to be read".into());
            Vec::new()
        })
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

    pub(super) fn boolean(&mut self, value: &Value<'_>, key: &str) -> Option<bool> {
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            self.mistake(value, format!("{key} is true or false"));
        }
        boolean
    }

    pub(super) fn string(&mut self, value: &Value<'_>, key: &str) -> Option<String> {
        let text = value.get_ref().as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.mistake(value, format!("{key} is a text"));
        }
        text.map(str::to_owned)
    }

    pub(super) fn word<T: Copy>(&mut self, value: &Value<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let word = value.get_ref().as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if word.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.mistake(value, format!("{key} is one of: {}", known.join(", ")));
        }
        word.map(|(_, value)| *value)
    }
}

pub(super) fn integer(value: &Value<'_>) -> Option<u64> {
    let integer = value.get_ref().as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

pub(super) fn duration_s(text: &str) -> Option<u64> {
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
