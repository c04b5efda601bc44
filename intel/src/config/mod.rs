//! feeds.toml: which feeds make a snapshot, and what the operator says about each.
//!
//! ```toml
//! [snapshot]
//! profile = "full"                # or "gsb-v4", "gsb-v5", "exact": what questions the table is asked by
//! public_suffix_list = "psl.dat"  # below which names strangers register; for host rules, and for gsb-v5
//! secret_file = "hash.secret"     # mixed into the hash key, so that nobody outside can aim at it
//! as_of = 2026-06-01T00:00:00Z    # what moment the data describes
//! ipv6_aggregate = { bits = 64, hits = 4 } # four listed addresses of a /64 list it; off without this line
//!
//! [deployment]                    # which feeds this place may hold: `deployment.rs`
//! [gates]                         # what the snapshot is held against: `gates.rs`
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
//! members = ["*.json", "!old/*"]  # which files of an archive or directory are read
//! trust = 80                      # 0-100: what part of the confidence of its rows is believed
//! expires = "90d"                 # a row that was not seen for so long gives no rule
//! tlp = "green"                   # who may hold it; rows may be stricter
//! region = "eu"                   # for [deployment]
//! reference = "https://feed.example/about"
//! [feed.columns]                  # for format = "csv"
//! delimiter = ","
//! header = "row"                  # "row", "comment" or "none"
//! url = "link"                    # role = column name, or its number from 1
//! ```
//! What the operator writes here wins over what a row says, and that over the format's default; the operator's categories and the
//! row's add up. All mistakes are told at once, each with its line.

mod columns;
mod deployment;
pub mod fetch;
pub mod gates;
mod walk;

use crate::aggregate::Policy;
use crate::format::Format;
use crate::limits::CONFIG_BYTES_MAX;
use crate::read::Tlp;
use crate::read::table::Columns;
use crate::suffixes::Suffixes;
use fetch::Fetch;
use std::io::Read;
use std::path::{Path, PathBuf};
use toml::de::DeTable;
use verdict_keys::Scheme;
use verdict_tables::Class;
use walk::Walk;

pub use deployment::Profile;

/// What a snapshot is compiled from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `[snapshot]`
    pub snapshot: Snapshot,
    /// `[[feed]]`, in the order of the file.
    pub feeds: Vec<Feed>,
    /// `[deployment]` `profile`: which of `profiles` says what may be held. Default none: everything.
    pub deployment: Option<String>,
    /// `[profile.NAME]`
    pub profiles: Vec<Profile>,
    /// `[gates]`
    pub gates: gates::Gates,
}

/// `[snapshot]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// `profile`: which expressions a question is asked by. Default `full`.
    pub scheme: Scheme,
    /// Contents of `secret_file`, without a final line end. Default empty.
    pub secret: Vec<u8>,
    /// Contents of `public_suffix_list`. Default none: see [`Snapshot::complete`].
    pub suffixes: Suffixes,
    /// `as_of` in unix seconds; 0 if not given.
    pub as_of_s: u64,
    /// The hash key follows `secret_file` alone, so that updates re-send little; refused without one. Default false.
    pub steady_hash_key: bool,
    /// `ipv6_aggregate`: many listed addresses of one network become a rule for it. Default off.
    pub ipv6_aggregate: Option<Policy>,
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
    /// Which files of an archive or directory are read: `["*.json", "!drafts/*"]`. Default all.
    pub members: Vec<String>,
    /// `[feed.columns]`
    pub columns: Option<Columns>,
    /// 0-100: what part of the confidence of its rows is believed. Default 100.
    pub trust: u8,
    /// `expires`, in days: how long a row holds after it was last seen; default by format.
    pub lifetime_days: Option<u16>,
    /// Who may hold it, whatever its rows say less strictly.
    pub tlp: Option<Tlp>,
    /// Where it comes from, for profiles.
    pub region: String,
    /// Where to read about it.
    pub reference: String,
    /// `[feed.fetch]`: where `path` is brought from; none for a feed that something else puts there.
    pub fetch: Option<Fetch>,
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
        Snapshot {
            scheme: Scheme::Full,
            secret: Vec::new(),
            steady_hash_key: false,
            suffixes: Suffixes::default(),
            as_of_s: 0,
            ipv6_aggregate: None,
        }
    }
}

impl Snapshot {
    /// Finds what the profile needs and nobody named: the distribution's public suffix list, for gsb-v5.
    pub fn complete(&mut self) -> Result<(), String> {
        if self.scheme == Scheme::GsbV5 && self.suffixes.list().is_none() {
            self.suffixes = Suffixes::of_distribution()?;
        }
        Ok(())
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
            members: Vec::new(),
            columns: None,
            trust: 100,
            lifetime_days: None,
            tlp: None,
            region: String::new(),
            reference: String::new(),
            fetch: None,
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
        let mut walk = Walk::new(text, directory);
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
        if mistakes.is_empty() { Ok(Config { feeds, ..Config::default() }) } else { Err(Mistakes { file: "feeds".into(), mistakes }) }
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
pub(crate) fn read_at_most(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > bytes_max { Err(format!("is longer than {bytes_max} bytes")) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::walk::duration_s;
    use super::*;
    use crate::categories;
    use crate::judge::Expect;
    use crate::read::table::{Column, Header, Role};

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
            ipv6_aggregate = { bits = 56, hits = 3 }
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
            trust = 70
            expires = "30d"
            tlp = "amber+strict"
            region = "eu"
            reference = "https://partner.example/"
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
        let ipv6_aggregate = Some(Policy { bits: 56, hits: 3 });
        assert_eq!(config.snapshot, Snapshot { scheme: Scheme::GsbV4, as_of_s: 1_780_272_000, ipv6_aggregate, ..Snapshot::default() });
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
            trust: 70,
            lifetime_days: Some(30),
            tlp: Some(Tlp::AmberStrict),
            region: "eu".into(),
            reference: "https://partner.example/".into(),
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
    fn an_aggregate_needs_both_numbers_in_their_ranges() {
        let parse = |value: &str| parse(&format!("[snapshot]\nipv6_aggregate = {value}\n[[feed]]\nname = \"a\"\npath = \"a\"\n"));
        assert_eq!(parse("{ bits = 64, hits = 2 }").unwrap().snapshot.ipv6_aggregate, Some(Policy { bits: 64, hits: 2 }));
        for wrong in
            ["{ bits = 64 }", "{ hits = 4 }", "{ bits = 65, hits = 4 }", "{ bits = 47, hits = 4 }", "{ bits = 64, hits = 1 }", "64"]
        {
            assert_eq!(parse(wrong).unwrap_err().mistakes[0].line, 2, "{wrong}");
        }
    }

    #[test]
    fn tells_all_mistakes_at_once_with_their_lines() {
        let text = "[snapshot]\nprofil = 1\nas_of = \"yesterday\"\n[[feed]]\nname = \"a b\"\npath = 3\nscore = 101\nttl = \"1y\"\nclass = \"bad\"\n\
                    categories = [\"c2\", \"c3\"]\nformat = \"xml\"\n[[feed]]\npath = \"b\"\nformat = \"csv\"\n[[feed]]\nname = \"c\"\npath = \"c\"\n\
                    columns = { first_seen = 1, header = \"none\", tags = \"x\", colour = 3 }\n[[feed]]\nname = \"c\"\npath = \"d\"\nclass = \"clean\"\n[other]\n";
        let lines: Vec<usize> = parse(text).unwrap_err().mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 14, 18, 18, 18, 20, 22, 23]);
        let shown = parse(text).unwrap_err().to_string();
        assert!(
            shown.starts_with(
                "feeds.toml:2: unknown key \"profil\" in [snapshot] (known: profile, secret_file, steady_hash_key, public_suffix_list, as_of, ipv6_aggregate)\n"
            ),
            "{shown}"
        );
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
