//! The naive oracle: what every question should be answered, from the documented rules and nothing of `tables`.
//!
//! ```text
//! URL or host ─► canonical text (verdict-keys) ─► every rule whose host is this one or above it, compared as strings ─┐
//!            └─► its address, if it is one ─► a map per prefix length, longest first ────────────────────────────────┤
//! digest     ─► a map ─────────────────────────────────────────────────────────────────────────────────────────────────┴─► the winner
//! ```
//! It hashes no expression, knows no bucket and flattens no prefix: `HashMap`s of whole strings, loops over labels, `starts_with`.
//! What it shares with the product is the canonicaliser (one place decides what equals what) and the plain types of rules and votes.
//!
//! Precedence: override > allow > malicious > suspicious > clean > unknown. Within a class: a URL with its query, the URL without,
//! the longer path prefix, the host (an address after a name); then the longer host.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};

use verdict_keys::{Canonicalizer, Digest, Host, Kind, Profile, Scheme};
use verdict_tables::{Class, Vote};

use crate::rules::{RuleSet, Subject};

/// The bits of an answer that the oracle predicts; the verdict id is the snapshot's own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// 0 ok, 1 unparseable, 2 unsupported.
    pub status: u8,
    /// Class of the winning rule.
    pub class: Class,
    /// Flag bits 6 (allowlisted) and 7 (overridden).
    pub flags: u8,
    /// Of the winning rule.
    pub score: u8,
    /// Of the winning rule.
    pub categories: u16,
}

/// Answer flag: an allow rule won.
pub const ALLOWLISTED: u8 = 1 << 6;
/// Answer flag: an operator's override won.
pub const OVERRIDDEN: u8 = 1 << 7;

impl Expected {
    /// Nothing is known.
    pub const UNKNOWN: Expected = Expected { status: 0, class: Class::Unknown, flags: 0, score: 0, categories: 0 };
    /// The question is no key.
    pub const UNPARSEABLE: Expected = Expected { status: 1, ..Self::UNKNOWN };
    /// A kind of question that does not exist.
    pub const UNSUPPORTED: Expected = Expected { status: 2, ..Self::UNKNOWN };
}

/// What all sources together say of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decision {
    tier: u8,
    class: Class,
    flags: u8,
    score: u8,
    categories: u16,
}

/// How closely a rule fits a question; greater wins within a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    form: Form,
    path_bytes: usize,
    host_bytes: usize,
    this_path_only: bool,
    this_host_only: bool,
}

/// Which part of the question a rule names, the loosest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Signature,
    Address,
    Host,
    PathPrefix,
    UrlWithoutQuery,
    UrlWithQuery,
}

struct HostRule {
    subdomains: bool,
    decision: Decision,
}

struct UrlRule {
    path_query: String,
    prefix: bool,
    subdomains: bool,
    decision: Decision,
}

struct SignatureRule {
    text: String,
    in_host: bool,
    token: bool,
    decision: Decision,
}

/// All rules, by string.
pub struct Oracle {
    profile: Profile,
    /// Of the public suffix list, as it writes them.
    suffix_rules: HashSet<String>,
    hosts: HashMap<String, Vec<HostRule>>,
    urls: HashMap<String, Vec<UrlRule>>,
    nets: BTreeMap<(bool, u8), HashMap<u128, Decision>>,
    files: HashMap<Digest, Decision>,
    signatures: Vec<SignatureRule>,
}

impl Oracle {
    /// Reads the rules; `profile` is the snapshot's, because what is never asked for is never found.
    pub fn new(set: &RuleSet, profile: Profile) -> Self {
        let mut votes: HashMap<&Subject, Vec<Vote>> = HashMap::new();
        for (subject, vote) in &set.rules {
            votes.entry(subject).or_default().push(*vote);
        }
        let suffix_rules = profile.suffixes.iter().flat_map(|list| list.text().lines().map(str::to_owned)).collect();
        let mut oracle = Oracle {
            profile,
            suffix_rules,
            hosts: HashMap::new(),
            urls: HashMap::new(),
            nets: BTreeMap::new(),
            files: HashMap::new(),
            signatures: Vec::new(),
        };
        for (subject, votes) in votes {
            oracle.insert(subject, merge(&votes));
        }
        oracle
    }

    fn insert(&mut self, subject: &Subject, decision: Decision) {
        match subject {
            Subject::Host { host, subdomains } => {
                self.hosts.entry(host.clone()).or_default().push(HostRule { subdomains: *subdomains, decision });
            }
            Subject::Url { host, path_query, prefix, subdomains } => {
                let rule = UrlRule { path_query: path_query.clone(), prefix: *prefix, subdomains: *subdomains, decision };
                self.urls.entry(host.clone()).or_default().push(rule);
            }
            Subject::Net { network, bits } => {
                let (network, bits) = match (*network, bits.checked_sub(96)) {
                    (IpAddr::V6(v6), Some(low)) if embedded_v4(v6).is_ipv4() => (embedded_v4(v6), low),
                    (network, _) => (network, *bits),
                };
                self.nets.entry((network.is_ipv6(), bits)).or_default().insert(high_bits(network), decision);
            }
            Subject::File(digest) => {
                self.files.insert(*digest, decision);
            }
            Subject::Signature { text, in_host, token } => {
                self.signatures.push(SignatureRule { text: text.clone(), in_host: *in_host, token: *token, decision });
            }
        }
    }

    /// What a question of this kind byte must be answered.
    pub fn answer(&self, canonicalizer: &mut Canonicalizer, kind: u8, bytes: &[u8]) -> Expected {
        self.matches(canonicalizer, kind, bytes).map_or_else(|status| status, |matches| settle(&matches))
    }

    /// The rules that match a question, one a line, for people who look for a difference.
    pub fn explain(&self, canonicalizer: &mut Canonicalizer, kind: u8, bytes: &[u8]) -> Vec<String> {
        match self.matches(canonicalizer, kind, bytes) {
            Ok(matches) => matches.iter().map(|found| format!("{found:?}")).collect(),
            Err(status) => vec![format!("{status:?}")],
        }
    }

    /// Every rule that matches, in no order; or the answer of a question that cannot be asked.
    fn matches(&self, canonicalizer: &mut Canonicalizer, kind: u8, bytes: &[u8]) -> Result<Vec<Match<'_>>, Expected> {
        const URL: u8 = Kind::Url as u8;
        const HOST: u8 = Kind::Host as u8;
        const IPV4: u8 = Kind::Ipv4 as u8;
        const IPV6: u8 = Kind::Ipv6 as u8;
        match kind {
            URL => {
                let url = canonicalizer.url(bytes).map_err(|_| Expected::UNPARSEABLE)?;
                Ok(self.web(url.host, url.host_text, Some((url.path_query, url.path_bytes))))
            }
            HOST => {
                let (host, text) = canonicalizer.host(bytes).map_err(|_| Expected::UNPARSEABLE)?;
                Ok(self.web(host, text, None))
            }
            IPV4 => {
                let octets = <[u8; 4]>::try_from(bytes).map_err(|_| Expected::UNPARSEABLE)?;
                Ok(self.address(IpAddr::from(octets)))
            }
            IPV6 => {
                let octets = <[u8; 16]>::try_from(bytes).map_err(|_| Expected::UNPARSEABLE)?;
                Ok(self.address(embedded_v4(octets.into())))
            }
            _ => {
                let digest = digest(kind, bytes).ok_or(Expected::UNSUPPORTED)?.map_err(|()| Expected::UNPARSEABLE)?;
                let found = |decision: &Decision| Match { decision: *decision, fit: loosest(), host: "file", path: "" };
                Ok(self.files.get(&digest).map(found).into_iter().collect())
            }
        }
    }

    /// What a client's own key of the expression `host` + `path_query` must be answered; `place`: bit 0, the host is a suffix of the question's; bit 1, the path is a prefix.
    pub fn answer_expression(&self, host: &str, path_query: Option<&str>, place: u32) -> Expected {
        let (suffix, prefix) = (place & 1 != 0, place & 2 != 0);
        let mut matches = Vec::new();
        match path_query {
            None => {
                if let Some((name, rules)) = self.hosts.get_key_value(host) {
                    matches.extend(rules.iter().filter(|rule| rule.subdomains || !suffix).map(|rule| host_match(rule, name)));
                }
            }
            Some(path) => {
                if let Some((name, rules)) = self.urls.get_key_value(host) {
                    for rule in
                        rules.iter().filter(|rule| rule.path_query == path && (!prefix || rule.prefix) && (!suffix || rule.subdomains))
                    {
                        let fit = Fit { this_path_only: !rule.prefix, this_host_only: !rule.subdomains, ..loosest() };
                        matches.push(Match { decision: rule.decision, fit, host: name, path: &rule.path_query });
                    }
                }
            }
        }
        settle(&matches)
    }

    fn web(&self, host: Host<'_>, text: &str, path: Option<(&str, usize)>) -> Vec<Match<'_>> {
        let mut matches = match host {
            Host::Address(address) => self.address(address),
            Host::Name(_) => Vec::new(),
        };
        self.find_signatures(matches!(host, Host::Name(_)).then_some(text).unwrap_or_default(), text, path, &mut matches);
        for suffix in self.suffixes(host, text) {
            let exact = suffix.len() == text.len();
            if let Some((name, rules)) = self.hosts.get_key_value(suffix) {
                matches.extend(rules.iter().filter(|rule| exact || rule.subdomains).map(|rule| host_match(rule, name)));
            }
            if let (Some((name, rules)), Some((path_query, path_bytes))) = (self.urls.get_key_value(suffix), path) {
                for rule in rules.iter().filter(|rule| exact || rule.subdomains) {
                    if let Some(fit) = self.url_fit(rule, suffix, path_query, path_bytes) {
                        matches.push(Match { decision: rule.decision, fit, host: name, path: &rule.path_query });
                    }
                }
            }
        }
        matches
    }

    /// Tries every signature at every place. An escape is one character and no letter, so it is blotted out first: no signature here holds one.
    fn find_signatures<'o>(&'o self, name: &str, host: &str, path: Option<(&str, usize)>, matches: &mut Vec<Match<'o>>) {
        let url = path.map(|(path_query, _)| format!("{host}{path_query}").to_lowercase()).unwrap_or_default();
        let [name, url] = [name, &url].map(without_escapes);
        for rule in &self.signatures {
            let text = if rule.in_host { &name } else { &url };
            let (bytes, wanted) = (text.as_bytes(), rule.text.as_bytes());
            let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            let stands_at = |at: usize| {
                let cut_before = at > 0 && is_word(bytes.get(at - 1)) && is_word(wanted.first());
                let cut_after = is_word(bytes.get(at + wanted.len())) && is_word(wanted.last());
                bytes[at..].starts_with(wanted) && !(rule.token && (cut_before || cut_after))
            };
            if text.contains(&rule.text) && (0..bytes.len()).any(stands_at) {
                let order = usize::from(rule.token) * 2 + usize::from(rule.in_host);
                let fit = Fit { form: Form::Signature, path_bytes: rule.text.len(), host_bytes: order, ..loosest() };
                matches.push(Match { decision: rule.decision, fit, host: "any", path: &rule.text });
            }
        }
    }

    fn url_fit(&self, rule: &UrlRule, host: &str, path_query: &str, path_bytes: usize) -> Option<Fit> {
        let path = &path_query[..path_bytes];
        let form = match () {
            () if rule.prefix && rule.path_query == path => Form::PathPrefix,
            () if rule.prefix && path.starts_with(&rule.path_query) && self.asks_prefix(&rule.path_query) => Form::PathPrefix,
            () if rule.prefix => return None,
            () if rule.path_query == path_query && path_bytes < path_query.len() => Form::UrlWithQuery,
            () if rule.path_query == path => Form::UrlWithoutQuery,
            () => return None,
        };
        let (this_path_only, this_host_only) = (!rule.prefix, !rule.subdomains);
        Some(Fit { form, path_bytes: rule.path_query.len(), host_bytes: host.len(), this_path_only, this_host_only })
    }

    /// `/` is the first prefix, `/a/` the second.
    fn asks_prefix(&self, prefix: &str) -> bool {
        let depth = prefix.matches('/').count();
        match self.profile.scheme {
            Scheme::GsbV4 | Scheme::GsbV5 => depth <= 4,
            Scheme::Exact => false,
            Scheme::Full => depth <= usize::from(self.profile.path_prefixes_max),
        }
    }

    /// The host itself, then what is left after each label, down to two labels; an address has no suffixes.
    fn suffixes<'t>(&self, host: Host<'_>, text: &'t str) -> Vec<&'t str> {
        let mut suffixes = vec![text];
        if let Host::Address(_) = host {
            return suffixes;
        }
        let labels_max = match self.profile.scheme {
            Scheme::GsbV5 => {
                suffixes.extend(self.registrable_and_longer(text));
                return suffixes;
            }
            Scheme::Exact => 1,
            Scheme::GsbV4 => 5,
            Scheme::Full => usize::from(self.profile.host_labels_max),
        };
        let mut rest = text;
        while let Some((_, below)) = rest.split_once('.') {
            let labels = below.split('.').count();
            if (2..=labels_max).contains(&labels) {
                suffixes.push(below);
            }
            rest = below;
        }
        suffixes
    }

    /// Under Safe Browsing v5: the registrable name and up to three longer ones, by the list's own algorithm, longest first; not the host itself.
    fn registrable_and_longer<'t>(&self, host: &'t str) -> Vec<&'t str> {
        let names: Vec<&str> = host.match_indices('.').map(|(dot, _)| &host[dot + 1..]).collect();
        let is_rule = |rule: &str| self.suffix_rules.contains(rule);
        let at = |name: &str| std::iter::once(host).chain(names.iter().copied()).position(|other| other == name);
        let exception = std::iter::once(host).chain(names.iter().copied()).find(|name| is_rule(&format!("!{name}")));
        let by_rule = std::iter::once(host)
            .chain(names.iter().copied())
            .find(|name| is_rule(name) || name.split_once('.').is_some_and(|(_, parent)| is_rule(&format!("*.{parent}"))));
        let public = match (exception, by_rule) {
            (Some(name), _) => at(name).map(|index| index + 1),
            (None, Some(name)) => at(name),
            (None, None) => Some(names.len()),
        };
        // `names[i]` is the host without its first i + 1 labels; one label more than the public suffix is registrable.
        let shortest = public.unwrap_or(0).saturating_sub(1);
        names[..shortest].iter().rev().take(4).rev().copied().collect()
    }

    /// All prefixes around an address.
    fn address(&self, address: IpAddr) -> Vec<Match<'_>> {
        let whole = high_bits(address);
        let mut matches = Vec::new();
        for ((_, bits), nets) in self.nets.range((address.is_ipv6(), 0)..=(address.is_ipv6(), 128)) {
            let mask = u128::MAX.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
            if let Some(decision) = nets.get(&(whole & mask)) {
                let fit = Fit { host_bytes: usize::from(*bits), ..loosest() };
                matches.push(Match { decision: *decision, fit, host: "prefix", path: "" });
            }
        }
        matches
    }
}

/// A rule that matches, and how closely.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "host and path are read by people, in the Debug text of an explanation")]
struct Match<'o> {
    decision: Decision,
    fit: Fit,
    host: &'o str,
    path: &'o str,
}

fn host_match<'o>(rule: &HostRule, host: &'o str) -> Match<'o> {
    let fit = Fit { form: Form::Host, host_bytes: host.len(), this_host_only: !rule.subdomains, ..loosest() };
    Match { decision: rule.decision, fit, host, path: "" }
}

fn without_escapes(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push('%');
        out.push_str(&piece[2.min(piece.len())..]);
    }
    out
}

fn loosest() -> Fit {
    Fit { form: Form::Address, path_bytes: 0, host_bytes: 0, this_path_only: false, this_host_only: false }
}

fn settle(matches: &[Match<'_>]) -> Expected {
    // Of equal signatures the first in the order of their texts.
    let text = |found: &Match<'_>| (found.fit.form == Form::Signature).then_some(Reverse(found.path.to_owned()));
    let Some(Match { decision, .. }) = matches.iter().max_by_key(|found| (found.decision.tier, found.fit, text(found))) else {
        return Expected::UNKNOWN;
    };
    Expected { status: 0, class: decision.class, flags: decision.flags, score: decision.score, categories: decision.categories }
}

/// override > allow > malicious > suspicious > clean > unknown.
fn tier(overrides: bool, allow: bool, class: Class) -> u8 {
    match (overrides, allow, class) {
        (true, ..) => 5,
        (false, true, _) => 4,
        (_, _, Class::Malicious) => 3,
        (_, _, Class::Suspicious) => 2,
        (_, _, Class::Clean) => 1,
        (_, _, Class::Unknown) => 0,
    }
}

/// The strongest votes speak for the rule: their highest score, the union of their categories. An allow vote means clean.
fn merge(votes: &[Vote]) -> Decision {
    let standing = |vote: &Vote| (vote.overrides, vote.allow, if vote.allow { Class::Clean } else { vote.class });
    let strongest = votes.iter().map(standing).max().unwrap_or((false, false, Class::Unknown));
    let (overrides, allow, class) = strongest;
    let flags = if overrides { OVERRIDDEN } else { 0 } | if allow { ALLOWLISTED } else { 0 };
    let mut decision = Decision { tier: tier(overrides, allow, class), class, flags, score: 0, categories: 0 };
    for vote in votes.iter().filter(|vote| standing(vote) == strongest) {
        decision.score = decision.score.max(vote.score);
        decision.categories |= vote.categories;
    }
    decision
}

fn high_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    }
}

/// IPv4-mapped (RFC 4291 2.5.5.2) and NAT64 well-known prefix (RFC 6052) addresses are asked as the IPv4 address that they carry.
fn embedded_v4(address: Ipv6Addr) -> IpAddr {
    let octets = address.octets();
    let nat64 = octets[..12] == [0, 0x64, 0xFF, 0x9B, 0, 0, 0, 0, 0, 0, 0, 0];
    match address.to_ipv4_mapped() {
        Some(v4) => IpAddr::V4(v4),
        None if nat64 => IpAddr::from([octets[12], octets[13], octets[14], octets[15]]),
        None => IpAddr::V6(address),
    }
}

fn digest(kind: u8, bytes: &[u8]) -> Option<Result<Digest, ()>> {
    const SHA256: u8 = Kind::Sha256 as u8;
    const SHA1: u8 = Kind::Sha1 as u8;
    const MD5: u8 = Kind::Md5 as u8;
    match kind {
        SHA256 => Some(bytes.try_into().map(Digest::Sha256).map_err(|_| ())),
        SHA1 => Some(bytes.try_into().map(Digest::Sha1).map_err(|_| ())),
        MD5 => Some(bytes.try_into().map(Digest::Md5).map_err(|_| ())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::vote;

    const FULL: Profile = Profile { scheme: Scheme::Full, host_labels_max: 8, path_prefixes_max: 8, suffixes: None };

    fn host(host: &str, subdomains: bool) -> Subject {
        Subject::Host { host: host.into(), subdomains }
    }

    fn url(host: &str, path_query: &str, prefix: bool, subdomains: bool) -> Subject {
        Subject::Url { host: host.into(), path_query: path_query.into(), prefix, subdomains }
    }

    fn net(text: &str) -> Subject {
        let (network, bits) = text.split_once('/').unwrap();
        Subject::Net { network: network.parse().unwrap(), bits: bits.parse().unwrap() }
    }

    fn malicious(score: u8) -> Vote {
        vote(0, Class::Malicious, score, 1)
    }

    fn suspicious(score: u8) -> Vote {
        vote(1, Class::Suspicious, score, 2)
    }

    fn allow() -> Vote {
        Vote { allow: true, ..vote(2, Class::Malicious, 0, 4) }
    }

    fn overrides(class: Class, score: u8) -> Vote {
        Vote { overrides: true, ..vote(3, class, score, 8) }
    }

    fn oracle(profile: Profile, rules: Vec<(Subject, Vote)>) -> Oracle {
        Oracle::new(&RuleSet { rules, ..RuleSet::default() }, profile)
    }

    /// The score tells which rule won; 0 is unknown.
    fn scores(rules: Vec<(Subject, Vote)>, cases: &[(&str, u8)]) {
        scores_under(FULL, rules, cases);
    }

    fn scores_under(profile: Profile, rules: Vec<(Subject, Vote)>, cases: &[(&str, u8)]) {
        let oracle = oracle(profile, rules);
        for (question, score) in cases {
            let kind = if question.contains("://") { Kind::Url } else { Kind::Host };
            let told = oracle.answer(&mut Canonicalizer::new(), kind as u8, question.as_bytes());
            assert_eq!((told.status, told.score), (0, *score), "{question}");
        }
    }

    #[test]
    fn a_host_rule_is_of_its_host_and_with_subdomains_of_all_below() {
        let rules = vec![(host("a.example", false), malicious(1)), (host("b.example", true), malicious(2))];
        let cases = [
            ("a.example", 1),
            ("x.a.example", 0),
            ("http://a.example/any?q", 1),
            ("b.example", 2),
            ("x.y.b.example", 2),
            ("xb.example", 0),
            ("example", 0),
        ];
        scores(rules, &cases);
    }

    #[test]
    fn an_exact_single_label_host_is_asked_but_never_a_suffix_of_one_label() {
        scores(
            vec![(host("localhost", false), malicious(1)), (host("example", true), malicious(2))],
            &[("localhost", 1), ("example", 2), ("a.example", 0)],
        );
    }

    #[test]
    fn a_url_rule_matches_its_path_with_any_query_and_never_its_host() {
        let rules = vec![(url("a.example", "/x", false, false), malicious(1)), (url("a.example", "/y?q=1", false, false), malicious(2))];
        let cases = [
            ("http://a.example/x", 1),
            ("http://a.example/x?any", 1),
            ("http://a.example/x/", 0),
            ("http://a.example/y?q=1", 2),
            ("http://a.example/y", 0),
            ("http://a.example/y?q=1&r", 0),
            ("http://b.a.example/x", 0),
            ("a.example", 0),
            ("http://a.example/", 0),
        ];
        scores(rules, &cases);
    }

    #[test]
    fn a_prefix_rule_matches_its_directory_and_all_below() {
        let rules = vec![(url("a.example", "/d/", true, false), malicious(1)), (url("b.example", "/d/", true, true), malicious(2))];
        let cases = [
            ("http://a.example/d/", 1),
            ("http://a.example/d/?q", 1),
            ("http://a.example/d/e/f", 1),
            ("http://a.example/d", 0),
            ("http://x.a.example/d/e", 0),
            ("http://x.b.example/d/e", 2),
            ("http://b.example/c?/d/", 0),
        ];
        scores(rules, &cases);
    }

    #[test]
    fn the_class_decides_first_and_only_then_the_closer_fit() {
        let rules = vec![
            (host("a.example", true), malicious(1)),
            (url("a.example", "/x?q", false, false), suspicious(2)),
            (host("b.example", true), allow()),
            (url("b.example", "/x", false, false), malicious(3)),
            (host("c.example", true), overrides(Class::Suspicious, 4)),
            (url("c.example", "/x", false, false), allow()),
        ];
        scores(rules, &[("http://a.example/x?q", 1), ("http://b.example/x", 0), ("http://c.example/x", 4)]);
    }

    #[test]
    fn within_a_class_query_beats_path_beats_prefix_beats_host() {
        let rules = vec![
            (host("a.example", true), malicious(1)),
            (url("a.example", "/", true, false), malicious(2)),
            (url("a.example", "/d/", true, false), malicious(3)),
            (url("a.example", "/d/x", false, false), malicious(4)),
            (url("a.example", "/d/x?q", false, false), malicious(5)),
            (host("b.a.example", false), malicious(6)),
            (url("b.a.example", "/", true, true), malicious(7)),
        ];
        let cases = [
            ("http://a.example/d/x?q", 5),
            ("http://a.example/d/x?r", 4),
            ("http://a.example/d/y", 3),
            ("http://a.example/e", 2),
            ("a.example", 1),
            ("b.a.example", 6),
            ("c.a.example", 1),
            ("http://b.a.example/d/x", 7),
        ];
        scores(rules, &cases);
    }

    #[test]
    fn the_longer_host_wins_within_the_same_path() {
        let rules = vec![
            (host("a.example", true), malicious(1)),
            (host("b.a.example", true), malicious(2)),
            (url("a.example", "/x", false, true), malicious(3)),
            (url("b.a.example", "/x", false, true), malicious(4)),
            (url("a.example", "/d/e/", true, true), malicious(5)),
            (url("b.a.example", "/d/", true, true), malicious(6)),
        ];
        let cases = [
            ("c.b.a.example", 2),
            ("c.a.example", 1),
            ("http://c.b.a.example/x", 4),
            ("http://c.a.example/x", 3),
            ("http://b.a.example/d/e/f", 5),
            ("http://b.a.example/d/f", 6),
        ];
        scores(rules, &cases);
    }

    #[test]
    fn an_exact_rule_beats_a_prefix_rule_of_the_same_directory_and_own_hosts_beat_trees() {
        let rules = vec![
            (url("a.example", "/d/", false, true), malicious(1)),
            (url("b.a.example", "/d/", true, false), malicious(2)),
            (host("c.example", false), malicious(3)),
            (host("c.example", true), malicious(4)),
        ];
        scores(rules, &[("http://b.a.example/d/", 1), ("http://b.a.example/d/x", 2), ("c.example", 3), ("x.c.example", 4)]);
    }

    #[test]
    fn an_address_is_judged_by_class_then_by_the_longer_prefix() {
        let rules = vec![
            (net("192.0.2.0/24"), malicious(1)),
            (net("192.0.2.128/25"), suspicious(2)),
            (net("192.0.2.64/26"), malicious(3)),
            (net("192.0.2.7/32"), allow()),
            (net("2001:db8::/32"), malicious(4)),
            (net("2001:db8:1::/48"), suspicious(5)),
            (net("2001:db8:2::/48"), malicious(6)),
        ];
        let oracle = oracle(FULL, rules);
        let score = |text: &str| {
            let told = match text.parse().unwrap() {
                IpAddr::V4(address) => oracle.answer(&mut Canonicalizer::new(), 3, &address.octets()),
                IpAddr::V6(address) => oracle.answer(&mut Canonicalizer::new(), 4, &address.octets()),
            };
            (told.score, told.flags)
        };
        assert_eq!(score("192.0.2.1"), (1, 0));
        assert_eq!(score("192.0.2.200"), (1, 0), "malicious around suspicious");
        assert_eq!(score("192.0.2.100"), (3, 0));
        assert_eq!(score("192.0.2.7"), (0, ALLOWLISTED));
        assert_eq!(score("192.0.3.0"), (0, 0));
        assert_eq!(score("::ffff:192.0.2.1"), (1, 0), "mapped");
        assert_eq!(score("64:ff9b::c000:264"), (3, 0), "NAT64");
        assert_eq!((score("2001:db8:1::1"), score("2001:db8:2::1"), score("2001:db9::")), ((4, 0), (6, 0), (0, 0)));
    }

    #[test]
    fn a_prefix_written_as_mapped_ipv6_is_an_ipv4_rule() {
        let oracle = oracle(FULL, vec![(net("::ffff:192.0.2.0/120"), malicious(1))]);
        assert_eq!(oracle.answer(&mut Canonicalizer::new(), 3, &[192, 0, 2, 9]).score, 1);
        assert_eq!(oracle.answer(&mut Canonicalizer::new(), 3, &[192, 0, 3, 9]).score, 0);
    }

    #[test]
    fn an_address_as_a_host_asks_the_prefixes_too_and_urls_under_it_are_closer() {
        let rules = vec![(net("192.0.2.0/24"), malicious(1)), (url("192.0.2.1", "/x", false, false), malicious(2))];
        scores(rules, &[("192.0.2.1", 1), ("http://192.0.2.1/x", 2), ("http://192.0.2.1/y", 1), ("http://192.0.3.1/x", 0)]);
    }

    #[test]
    fn digests_are_told_apart_by_kind() {
        let oracle = oracle(FULL, vec![(Subject::File(Digest::Md5([7; 16])), malicious(9))]);
        let mut canonicalizer = Canonicalizer::new();
        assert_eq!(oracle.answer(&mut canonicalizer, 7, &[7; 16]).score, 9);
        assert_eq!(oracle.answer(&mut canonicalizer, 7, &[8; 16]), Expected::UNKNOWN);
        assert_eq!(oracle.answer(&mut canonicalizer, 6, &[7; 20]), Expected::UNKNOWN);
        assert_eq!(oracle.answer(&mut canonicalizer, 7, &[7; 15]), Expected::UNPARSEABLE);
        assert_eq!(oracle.answer(&mut canonicalizer, 8, &[7; 16]), Expected::UNSUPPORTED);
        assert_eq!(oracle.answer(&mut canonicalizer, 4, &[7; 15]), Expected::UNPARSEABLE);
        assert_eq!(oracle.answer(&mut canonicalizer, 1, b""), Expected::UNPARSEABLE);
    }

    #[test]
    fn the_strongest_votes_on_one_rule_speak_together() {
        let of = |votes: &[Vote]| {
            let rules = votes.iter().map(|vote| (host("a.example", false), *vote)).collect();
            oracle(FULL, rules).answer(&mut Canonicalizer::new(), 2, b"a.example")
        };
        let expected = |class, flags, score, categories| Expected { status: 0, class, flags, score, categories };
        let more = Vote { categories: 16, score: 70, ..malicious(0) };
        assert_eq!(of(&[suspicious(99), malicious(50), more]), expected(Class::Malicious, 0, 70, 17));
        assert_eq!(of(&[malicious(50), allow()]), expected(Class::Clean, ALLOWLISTED, 0, 4));
        assert_eq!(of(&[allow(), overrides(Class::Malicious, 5)]), expected(Class::Malicious, OVERRIDDEN, 5, 8));
        assert_eq!(of(&[vote(0, Class::Clean, 3, 0)]), expected(Class::Clean, 0, 3, 0));
    }

    #[test]
    fn what_the_profile_never_asks_is_never_found() {
        let narrow = Profile { scheme: Scheme::Full, host_labels_max: 2, path_prefixes_max: 1, suffixes: None };
        let rules = vec![(host("b.a.example", true), malicious(1)), (url("a.example", "/d/", true, true), malicious(2))];
        scores_under(narrow, rules, &[("b.a.example", 1), ("c.b.a.example", 0), ("http://a.example/d/", 2), ("http://a.example/d/x", 0)]);
    }

    #[test]
    fn a_client_s_own_key_is_one_expression_and_nothing_around_it() {
        let rules = vec![
            (host("a.example", false), malicious(1)),
            (host("b.example", true), malicious(2)),
            (url("b.example", "/d/", true, true), malicious(3)),
            (url("b.example", "/e", false, false), malicious(4)),
        ];
        let oracle = oracle(FULL, rules);
        let score = |host, path, place| oracle.answer_expression(host, path, place).score;
        assert_eq!((score("a.example", None, 0), score("a.example", None, 3)), (1, 0));
        assert_eq!((score("b.example", None, 0), score("b.example", None, 3)), (2, 2));
        assert_eq!((score("b.example", Some("/d/"), 0), score("b.example", Some("/d/"), 3)), (3, 3));
        assert_eq!((score("b.example", Some("/e"), 0), score("b.example", Some("/e"), 3)), (4, 0));
        assert_eq!(score("x.b.example", None, 0), 0);
    }
}
