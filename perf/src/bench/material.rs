//! What servers are asked in the benches: a snapshot for ours, contents for the peers, and for every key what each must answer.
//!
//! ```text
//! URLs     real strings, half of them listed; a tenth of the lists says *clean*; ours must answer as the naive oracle does
//! hashed   numbers as in `large`: n below `entries` is listed as malicious; a peer's key is the word of n in 16 digits
//! ```
//! A peer knows exactly the strings that it was given. Every answer of every run is compared with this, its first byte for ours (status and
//! class), the number of values of each reply for a peer.

use std::io;

use verdict_keys::{Canonicalizer, Kind, Scheme};
use verdict_simd::Selected;
use verdict_tables::{Builder, Built, Class, Rule, Snapshot, Source};

use super::large::{self, Large};
use super::{Setting, unexpected};
use crate::data::{Corpus, Indicator, Meant, vote};
use crate::fleet::Pool;
use crate::frame;
use crate::oracle::Oracle;
use crate::rules::RuleSet;
use crate::workload::UrlStrings;

/// Every tenth listed URL is listed as clean.
const CLEAN_EVERY: u64 = 10;

/// What a case asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keys {
    /// Strings.
    Url,
    /// Keys that the client hashed.
    Hashed,
}

/// What the answers must be, by what was asked for.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Of strings.
    pub url: Shares,
    /// Of hashed keys.
    pub hashed: Shares,
}

/// What the answers must be, all in all.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    malicious_min: f64,
    malicious_max: f64,
    clean_min: f64,
    clean_max: f64,
}

impl Shares {
    /// Holds what is foretold against the definition.
    fn check(&self, expected: &[u8], slack: f64) -> io::Result<()> {
        let share = |class: Class| expected.iter().filter(|byte| **byte == ok(class)).count() as f64 / expected.len() as f64;
        for (what, share, least, most) in [
            ("the malicious share", share(Class::Malicious), self.malicious_min, self.malicious_max),
            ("the clean share", share(Class::Clean), self.clean_min, self.clean_max),
        ] {
            if !(least - slack..=most + slack).contains(&share) {
                return Err(unexpected(what, share));
            }
        }
        Ok(())
    }
}

/// First byte of an answer with this class.
fn ok(class: Class) -> u8 {
    (class as u8) << 4
}

/// URLs: real ones where there are data files.
pub struct Urls {
    /// Our table.
    pub snapshot: Vec<u8>,
    /// What it was made of, for tables beside it.
    pub rules: RuleSet,
    /// The peers' contents.
    pub listed: Vec<Box<str>>,
    asked: Vec<String>,
    expected: Vec<u8>,
    given: Vec<u8>,
}

impl Urls {
    /// `count` questions.
    pub fn new(setting: &Setting, shares: &Shares, count: usize) -> io::Result<Self> {
        let corpus = Corpus::real_or_generated(if setting.small { 20_000 } else { 0 }, &setting.rng)?;
        let strings = UrlStrings::of(&corpus);
        let mut table = Corpus { sources: vec![("listed".into(), "unknown".into())], ..Corpus::default() };
        table.indicators.extend(strings.listed.iter().zip(0..).map(|(text, number)| Indicator {
            text: text.clone(),
            meant: Meant::Url,
            vote: said(0, number),
        }));
        let mut rules = RuleSet::from_corpus(&table);
        let built = rules.compile(backend()?, Scheme::Full).map_err(io::Error::other)?;
        let profile = Snapshot::from_bytes(&built.bytes).map_err(io::Error::other)?.profile().clone();
        let oracle = Oracle::new(&rules, profile);
        let asked: Vec<String> = strings.mixed(count, &mut setting.rng.fork("peers")).into_iter().map(str::to_owned).collect();
        let mut canonicalizer = Canonicalizer::new();
        let mut foretold = |url: &String| {
            let told = oracle.answer(&mut canonicalizer, Kind::Url as u8, url.as_bytes());
            told.status | ok(told.class)
        };
        let expected: Vec<u8> = asked.iter().map(&mut foretold).collect();
        shares.check(&expected, if setting.small { 0.1 } else { 0.0 })?;
        let held: std::collections::HashSet<&str> = strings.listed.iter().map(|text| &**text).collect();
        let given = asked.iter().map(|url| u8::from(held.contains(url.as_str()))).collect();
        Ok(Urls { snapshot: built.bytes, rules, listed: strings.listed, asked, expected, given })
    }

    /// The same table with this many files in it that nobody asks for.
    pub fn snapshot_with_files(&self, files: u64) -> io::Result<Built> {
        let mut builder = Builder::new(Scheme::Full, b"verdict-perf", 0);
        let source = builder.source(Source { name: "listed", licence: "unknown" });
        for (subject, vote) in &self.rules.rules {
            builder.add(subject.as_rule(), *vote).map_err(io::Error::other)?;
        }
        for number in 0..files {
            builder.add(Rule::File(large::digest(number)), said(source, number)).map_err(io::Error::other)?;
        }
        builder.build(backend()?).map_err(io::Error::other)
    }

    /// Our frames of `batch` URLs.
    pub fn frames(&self, batch: usize) -> Pool {
        let mut pool = Pool::default();
        for (asked, expected) in self.asked.chunks_exact(batch).zip(self.expected.chunks_exact(batch)) {
            pool.push_expecting(expected, |out| frame::lookup(out, 0, asked.iter().map(|url| (Kind::Url as u8, url.as_bytes()))));
        }
        pool
    }

    /// A request for each URL that can stand in one: its host and what is behind it, as a balancer sees them.
    pub fn requests(&self, encode: impl Fn(&mut Vec<u8>, &str, &str)) -> Pool {
        let mut pool = Pool::default();
        for (url, expected) in self.asked.iter().zip(&self.expected) {
            let (host, path) = cut(url);
            let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !br#"\"<>^`{|}"#.contains(&byte));
            // What no client would send: user names, and characters that HTTP has no place for. A host that cannot be read is another question.
            if *expected & 15 == 0 && !host.is_empty() && fits(host) && fits(path) && !host.contains('@') && !path.starts_with('?') {
                let path = if path.is_empty() { "/" } else { path };
                pool.push_expecting(&[*expected], |out| encode(out, host, path));
            }
        }
        pool
    }

    /// A peer's requests of `batch` URLs.
    pub fn peer_requests(&self, batch: usize, encode: impl Fn(&mut Vec<u8>, &[&[u8]])) -> Pool {
        let asked: Vec<&[u8]> = self.asked.iter().map(String::as_bytes).collect();
        peer_pool(&asked, &self.given, batch, encode)
    }
}

/// Keys that the client hashed.
pub struct Hashed {
    keys: Vec<[u8; 16]>,
    texts: Vec<[u8; 16]>,
    expected: Vec<u8>,
    given: Vec<u8>,
    generation: u64,
}

impl Hashed {
    /// `count` questions of a table of `entries`, half of them listed there. A peer holds `given` of the same keys, and is asked for those, half and half, as well.
    pub fn new(snapshot: &Snapshot, setting: &Setting, shares: &Shares, [entries, given, count]: [u64; 3]) -> io::Result<Self> {
        let mut rng = setting.rng.fork("hashed keys");
        let (mut keys, mut texts, mut expected, mut held) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let backend = backend()?;
        for _ in 0..count {
            let is_listed = rng.one_in(2);
            let number = if is_listed { rng.bits() % given.min(entries) } else { entries + rng.bits() % entries };
            keys.push(key(backend, snapshot, number));
            texts.push(text(number));
            expected.push(if is_listed { ok(Class::Malicious) } else { 0 });
            held.push(u8::from(is_listed));
        }
        shares.check(&expected, if setting.small { 0.1 } else { 0.0 })?;
        Ok(Hashed { keys, texts, expected, given: held, generation: snapshot.generation() })
    }

    /// Our frames of `batch` keys.
    pub fn frames(&self, batch: usize) -> Pool {
        let mut pool = Pool::default();
        for (keys, expected) in self.keys.chunks_exact(batch).zip(self.expected.chunks_exact(batch)) {
            pool.push_expecting(expected, |out| frame::lookup_hashed(out, 0, self.generation, 0, keys));
        }
        pool
    }

    /// A peer's requests of `batch` keys.
    pub fn peer_requests(&self, batch: usize, encode: impl Fn(&mut Vec<u8>, &[&[u8]])) -> Pool {
        let asked: Vec<&[u8]> = self.texts.iter().map(|text| &text[..]).collect();
        peer_pool(&asked, &self.given, batch, encode)
    }
}

/// Host, and path with query, of a URL that may begin with a scheme; `://` may stand in its path as well.
fn cut(url: &str) -> (&str, &str) {
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let text = url.split_once("://").filter(|(scheme, _)| is_scheme(scheme)).map_or(url, |(_, rest)| rest);
    let (host, path) = text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()));
    (host, path.split('#').next().unwrap_or_default())
}

fn peer_pool(asked: &[&[u8]], given: &[u8], batch: usize, encode: impl Fn(&mut Vec<u8>, &[&[u8]])) -> Pool {
    let mut pool = Pool::default();
    for (asked, given) in asked.chunks_exact(batch).zip(given.chunks_exact(batch)) {
        pool.push_expecting(given, |out| encode(out, asked));
    }
    pool
}

/// What the lists of URLs say of their entry of this number.
fn said(source: u16, number: u64) -> verdict_tables::Vote {
    if number.is_multiple_of(CLEAN_EVERY) { vote(source, Class::Clean, 10, 0) } else { vote(source, Class::Malicious, 90, 1) }
}

/// The key of a number, as a client that hashes by itself sends it.
fn key(backend: Selected, snapshot: &Snapshot, number: u64) -> [u8; 16] {
    let key = Large::key(backend, snapshot.schedule(), number);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&key.lo.to_le_bytes());
    bytes[8..].copy_from_slice(&key.hi.to_le_bytes());
    bytes
}

/// The key of a number in a peer: its word in 16 hexadecimal digits.
pub fn text(number: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let word = large::word(number);
    std::array::from_fn(|at| DIGITS[(word >> (60 - 4 * at)) as usize & 15])
}

/// The best backend of this machine.
pub fn backend() -> io::Result<Selected> {
    verdict_simd::detect().map_err(|error| io::Error::other(format!("{error:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_sixteen_digits_of_its_own() {
        let texts: std::collections::HashSet<[u8; 16]> = (0..10_000).map(text).collect();
        assert_eq!(texts.len(), 10_000);
        assert!(texts.iter().all(|text| text.iter().all(u8::is_ascii_hexdigit)));
    }

    #[test]
    fn a_url_is_cut_where_its_host_ends() {
        for (url, host, path) in [
            ("https://shop.example:8443/a?b#c", "shop.example:8443", "/a?b"),
            ("shop.example/cgi-bin/https://Documents/x/", "shop.example", "/cgi-bin/https://Documents/x/"),
            ("http://shop.example/?to=http://other.example", "shop.example", "/?to=http://other.example"),
            ("shop.example?a", "shop.example", "?a"),
            ("ftp://shop.example", "shop.example", ""),
        ] {
            assert_eq!(cut(url), (host, path), "{url}");
        }
    }

    #[test]
    fn shares_outside_of_the_definition_are_refused() {
        let shares = Shares { malicious_min: 0.4, malicious_max: 0.5, clean_min: 0.0, clean_max: 0.1 };
        assert!(shares.check(&[0x30, 0, 0x30, 0, 0], 0.0).is_ok());
        assert!(shares.check(&[0x30, 0, 0x10, 0, 0x30], 0.0).is_err());
        assert!(shares.check(&[0x30, 0, 0, 0, 0], 0.0).is_err());
    }
}
