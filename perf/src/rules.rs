//! From indicators to rules: canonical text by verdict-keys, nothing else shared with the product; and from rules to a snapshot file.
//!
//! `RuleSet` is what both sides of the replay are made of: `compile` hands it to the tables' builder, `oracle::Oracle::new` reads it naively.
//! A rule that the builder refuses (say, a host of more labels than any profile reaches) is left out of both, and counted.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use verdict_keys::{Canonicalizer, Digest, Host, Scheme, SuffixList};
use verdict_simd::Backend;
use verdict_tables::{Builder, Built, Part, Rule, Source, Vote};

use crate::data::{Corpus, Indicator, Meant};

/// What gsb-v5 counts from here: of each sort a few, some of them above reserved names, so that made-up indicators meet them too.
const SUFFIXES: &str = "!www.ck\n*.ck\n*.example\nco.uk\ncom\ncom.br\nexample.com\ngithub.io\nnet\norg\n";

/// What one rule is about, owned: the canonical texts of `verdict_tables::Rule`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A host, and with `subdomains` all names below it.
    Host {
        /// Canonical name.
        host: String,
        /// Names below it too.
        subdomains: bool,
    },
    /// A URL, and with `prefix` all paths below it.
    Url {
        /// Canonical host text.
        host: String,
        /// Canonical path, with `?query` where the rule has one.
        path_query: String,
        /// Paths below it too; then it ends in `/`.
        prefix: bool,
        /// Names below the host too.
        subdomains: bool,
    },
    /// An address prefix, host bits zero.
    Net {
        /// First address.
        network: IpAddr,
        /// Length.
        bits: u8,
    },
    /// A file.
    File(Digest),
    /// A text inside names or URLs: lower-case letters, digits, `-` and `_`.
    Signature {
        /// What is looked for.
        text: String,
        /// In host names, not in URLs.
        in_host: bool,
        /// As a whole word only.
        token: bool,
    },
}

/// Rules with their votes, and the text that each came from.
#[derive(Default)]
pub struct RuleSet {
    /// Name and licence.
    pub sources: Vec<(String, String)>,
    /// One per kept indicator; a subject may appear many times.
    pub rules: Vec<(Subject, Vote)>,
    /// The indicator's own spelling, beside `rules`.
    pub texts: Vec<Box<str>>,
    /// How many indicators are no rule.
    pub rejected: usize,
}

impl RuleSet {
    /// Canonicalises all indicators of a corpus.
    pub fn from_corpus(corpus: &Corpus) -> Self {
        let mut set = RuleSet { sources: corpus.sources.clone(), ..RuleSet::default() };
        let mut canonicalizer = Canonicalizer::new();
        for row in &corpus.indicators {
            match subject(&mut canonicalizer, row) {
                Some(subject) => {
                    set.rules.push((subject, row.vote));
                    set.texts.push(row.text.clone());
                }
                None => set.rejected += 1,
            }
        }
        set
    }

    /// Adds about `count` signatures: long words out of the paths and names of rules that are there, so that questions about those rules meet them.
    pub fn add_signatures(&mut self, count: usize) {
        let step = (self.rules.len() / count.max(1)).max(1);
        let word = |text: &str| {
            let words = text.split(|byte: char| !matches!(byte, 'a'..='z' | '0'..='9' | '-' | '_'));
            words.filter(|word| word.len() >= 9).max_by_key(|word| word.len()).map(str::to_owned)
        };
        let found = self.rules.iter().enumerate().step_by(step).filter_map(|(index, (subject, vote))| {
            let (text, in_host) = match subject {
                Subject::Url { path_query, .. } => (word(path_query)?, false),
                Subject::Host { host, .. } => (word(host)?, true),
                _ => return None,
            };
            Some((Subject::Signature { text, in_host, token: (index / step).is_multiple_of(2) }, *vote))
        });
        let found: Vec<(Subject, Vote)> = found.collect();
        self.texts.extend(found.iter().map(|(subject, _)| match subject {
            Subject::Signature { text, .. } => text.as_str().into(),
            _ => Box::default(),
        }));
        self.rules.extend(found);
    }

    /// A snapshot of these rules, without those that the builder refuses: they leave the set.
    pub fn compile<B: Backend>(&mut self, backend: B, scheme: Scheme) -> Result<Built, verdict_tables::Error> {
        let mut builder = Builder::new(scheme, b"verdict-perf", 0);
        if scheme == Scheme::GsbV5 {
            let suffixes = SuffixList::from_normal(SUFFIXES).expect("a list in normal form, held by every run");
            builder.public_suffixes(Arc::new(suffixes));
        }
        for (name, licence) in &self.sources {
            builder.source(Source { name, licence });
        }
        let mut kept = 0;
        for index in 0..self.rules.len() {
            let (subject, vote) = &self.rules[index];
            if builder.add(subject.as_rule(), *vote).is_ok() {
                self.rules.swap(kept, index);
                self.texts.swap(kept, index);
                kept += 1;
            }
        }
        self.rejected += self.rules.len() - kept;
        self.rules.truncate(kept);
        self.texts.truncate(kept);
        builder.build(backend)
    }
}

impl Subject {
    /// The builder's view of it.
    pub fn as_rule(&self) -> Rule<'_> {
        match self {
            Subject::Host { host, subdomains } => Rule::Host { host, subdomains: *subdomains },
            Subject::Url { host, path_query, prefix, subdomains } => {
                Rule::Url { host, path_query, prefix: *prefix, subdomains: *subdomains }
            }
            Subject::Net { network, bits } => Rule::Net { network: *network, bits: *bits },
            Subject::File(digest) => Rule::File(*digest),
            Subject::Signature { text, in_host, token } => {
                Rule::Signature { text, part: if *in_host { Part::Host } else { Part::Url }, token: *token }
            }
        }
    }
}

fn subject(canonicalizer: &mut Canonicalizer, row: &Indicator) -> Option<Subject> {
    match row.meant {
        Meant::Url | Meant::UrlPrefix | Meant::UrlEverywhere => {
            let with_scheme = if row.text.contains("://") { row.text.to_string() } else { format!("http://{}", row.text) };
            let url = canonicalizer.url(with_scheme.as_bytes()).ok()?;
            let path_only = url.path_bytes == url.path_query.len();
            Some(Subject::Url {
                host: url.host_text.to_owned(),
                path_query: url.path_query.to_owned(),
                prefix: row.meant == Meant::UrlPrefix && path_only && url.path_query.ends_with('/'),
                subdomains: row.meant == Meant::UrlEverywhere && matches!(url.host, Host::Name(_)),
            })
        }
        Meant::Host | Meant::HostTree => match canonicalizer.host(row.text.as_bytes()).ok()? {
            (Host::Address(address), _) => Some(net(address, None)),
            // A whole top-level domain is no indicator: a suffix of one label is never asked for.
            (Host::Name(_), text) => {
                let subdomains = row.meant == Meant::HostTree && text.contains('.');
                Some(Subject::Host { host: text.to_owned(), subdomains })
            }
        },
        Meant::Net => {
            let (network, bits) = match row.text.split_once('/') {
                Some((network, bits)) => (network, Some(bits.parse().ok()?)),
                None => (&*row.text, None),
            };
            let network: IpAddr = network.parse().ok()?;
            if bits.is_some_and(|bits| bits > if network.is_ipv4() { 32 } else { 128 }) {
                return None;
            }
            Some(net(network, bits))
        }
        Meant::File => Digest::parse(&row.text).ok().map(Subject::File),
    }
}

/// With host bits cleared; the whole address where `bits` is None.
fn net(network: IpAddr, bits: Option<u8>) -> Subject {
    match network {
        IpAddr::V4(address) => {
            let bits = bits.unwrap_or(32);
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Subject::Net { network: IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask)), bits }
        }
        IpAddr::V6(address) => {
            let bits = bits.unwrap_or(128);
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Subject::Net { network: IpAddr::V6((u128::from(address) & mask).into()), bits }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::vote;
    use verdict_tables::Class;

    fn one(text: &str, meant: Meant) -> Option<Subject> {
        subject(&mut Canonicalizer::new(), &Indicator { text: text.into(), meant, vote: vote(0, Class::Malicious, 1, 1) })
    }

    #[test]
    fn prefixes_lose_their_host_bits() {
        assert_eq!(one("192.0.2.77/24", Meant::Net), Some(Subject::Net { network: "192.0.2.0".parse().unwrap(), bits: 24 }));
        assert_eq!(one("192.0.2.77/0", Meant::Net), Some(Subject::Net { network: "0.0.0.0".parse().unwrap(), bits: 0 }));
        assert_eq!(one("2001:db8::1/32", Meant::Net), Some(Subject::Net { network: "2001:db8::".parse().unwrap(), bits: 32 }));
        assert_eq!(one("192.0.2.1/33", Meant::Net), None);
    }

    #[test]
    fn a_prefix_rule_needs_a_directory() {
        let prefix = |text: &str| matches!(one(text, Meant::UrlPrefix), Some(Subject::Url { prefix: true, .. }));
        assert!(prefix("example.org/a/"));
        assert!(!prefix("example.org/a"));
        assert!(!prefix("example.org/a/?q=/"));
    }

    #[test]
    fn an_address_listed_as_a_host_is_an_address_rule() {
        assert_eq!(one("192.0.2.1", Meant::HostTree), Some(Subject::Net { network: "192.0.2.1".parse().unwrap(), bits: 32 }));
    }
}
