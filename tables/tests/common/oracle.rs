//! The answer by definition: every rule held against the question as strings, no hashes, no tables.
//!
//! Shares no code with the crate but the types of rules and votes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use verdict_keys::{Digest, Kind, Profile};
use verdict_tables::{Class, Part, Vote, flag};

use super::{OwnedRule, SOURCES};

/// A question in canonical pieces, so that the oracle needs no parser.
#[derive(Clone, Debug)]
pub enum Question {
    Url { host: String, path: String, query: Option<String> },
    Host(String),
    Address(IpAddr),
    File(Digest),
}

impl Question {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Url { .. } => Kind::Url,
            Self::Host(_) => Kind::Host,
            Self::Address(IpAddr::V4(_)) => Kind::Ipv4,
            Self::Address(IpAddr::V6(_)) => Kind::Ipv6,
            Self::File(Digest::Sha256(_)) => Kind::Sha256,
            Self::File(Digest::Sha1(_)) => Kind::Sha1,
            Self::File(Digest::Md5(_)) => Kind::Md5,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Url { host, path, query } => {
                let query = query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
                format!("http://{host}{path}{query}").into_bytes()
            }
            Self::Host(host) => host.clone().into_bytes(),
            Self::Address(IpAddr::V4(address)) => address.octets().to_vec(),
            Self::Address(IpAddr::V6(address)) => address.octets().to_vec(),
            Self::File(Digest::Sha256(digest)) => digest.to_vec(),
            Self::File(Digest::Sha1(digest)) => digest.to_vec(),
            Self::File(Digest::Md5(digest)) => digest.to_vec(),
        }
    }
}

/// Everything that an answer and its description say, but for the number of the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub class: Class,
    pub score: u8,
    pub confidence: u8,
    pub categories: u16,
    pub flags: u8,
    pub first_seen_day: u16,
    pub last_seen_day: u16,
    pub ttl_s: u32,
    pub sources: Vec<String>,
}

#[derive(Default)]
pub struct Oracle {
    votes: BTreeMap<OwnedRule, Vec<Vote>>,
    merged: BTreeMap<OwnedRule, Expected>,
    /// Rules by host text, so that 200,000 of them can be asked; which apply is decided by `specificity` alone.
    by_host: BTreeMap<String, Vec<OwnedRule>>,
    nets: BTreeMap<u8, Vec<OwnedRule>>,
    signatures: Vec<OwnedRule>,
    wrong: Option<Wrong>,
}

/// A precedence that is not the documented one: a comparison that cannot tell it compares nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    MaliciousBeforeAllow,
    SuspiciousBeforeMalicious,
    ShorterHostFirst,
    ShorterPathFirst,
    SignatureBeforeHost,
    ShorterSignatureFirst,
}

impl Wrong {
    pub const ALL: [Self; 6] = [
        Self::MaliciousBeforeAllow,
        Self::SuspiciousBeforeMalicious,
        Self::ShorterHostFirst,
        Self::ShorterPathFirst,
        Self::SignatureBeforeHost,
        Self::ShorterSignatureFirst,
    ];
}

impl Oracle {
    /// Judges by another precedence.
    pub fn gone_wrong(self, wrong: Wrong) -> Self {
        Self { wrong: Some(wrong), ..self }
    }

    pub fn new(votes: &[(OwnedRule, Vote)]) -> Self {
        let mut oracle = Self::default();
        for (rule, vote) in votes {
            oracle.votes.entry(rule.clone()).or_default().push(*vote);
        }
        for (rule, votes) in &oracle.votes {
            oracle.merged.insert(rule.clone(), merge(votes));
            match rule {
                OwnedRule::Host { host, .. } | OwnedRule::Url { host, .. } => {
                    oracle.by_host.entry(host.clone()).or_default().push(rule.clone())
                }
                OwnedRule::Net { bits, .. } => oracle.nets.entry(*bits).or_default().push(rule.clone()),
                OwnedRule::Signature { .. } => oracle.signatures.push(rule.clone()),
                OwnedRule::File(_) => (),
            }
        }
        oracle
    }

    /// Judged against every rule.
    pub fn judge_slowly(&self, question: &Question, profile: &Profile) -> Option<Expected> {
        self.best(self.votes.keys(), question, profile)
    }

    /// Judged against the rules that can apply.
    pub fn judge(&self, question: &Question, profile: &Profile) -> Option<Expected> {
        let mut candidates: Vec<&OwnedRule> = self.signatures.iter().collect();
        if let Question::Url { host, .. } | Question::Host(host) = question {
            let mut rest = host.as_str();
            loop {
                candidates.extend(self.by_host.get(rest).into_iter().flatten());
                match rest.split_once('.') {
                    Some((_, parent)) => rest = parent,
                    None => break,
                }
            }
        }
        if let Some(address) = address(question) {
            for (bits, nets) in self.nets.iter().filter(|(bits, _)| address.is_ipv6() || **bits <= 32) {
                let network = mask(address, *bits);
                if let Ok(at) = nets.binary_search_by(|rule| match rule {
                    OwnedRule::Net { network: other, .. } => other.cmp(&network),
                    _ => unreachable!(),
                }) {
                    candidates.push(&nets[at]);
                }
            }
        }
        if let Question::File(digest) = question {
            candidates.extend(self.votes.get_key_value(&OwnedRule::File(*digest)).map(|(rule, _)| rule));
        }
        self.best(candidates.into_iter(), question, profile)
    }

    fn best<'a>(&self, rules: impl Iterator<Item = &'a OwnedRule>, question: &Question, profile: &Profile) -> Option<Expected> {
        rules
            .filter_map(|rule| Some((specificity(rule, question, profile)?, rule)))
            .map(|(specificity, rule)| (&self.merged[rule], specificity))
            .max_by(|(a, how), (b, other)| self.weight(a, how).cmp(&self.weight(b, other)))
            .map(|(verdict, _)| verdict.clone())
    }

    /// What is compared, in this order.
    fn weight<'a>(&self, verdict: &Expected, (form, path, host, exact, text): &'a Specificity) -> Weight<'a> {
        let (mut class, mut form, mut path, mut host) = (precedence(verdict), *form, *path as i64, *host as i64);
        let signature = form == 0;
        match self.wrong {
            Some(Wrong::MaliciousBeforeAllow) if class == 3 || class == 4 => class = 7 - class,
            Some(Wrong::SuspiciousBeforeMalicious) if class == 2 || class == 3 => class = 5 - class,
            Some(Wrong::ShorterHostFirst) if !signature => host = -host,
            Some(Wrong::ShorterPathFirst) if !signature => path = -path,
            Some(Wrong::SignatureBeforeHost) if signature => form = 2,
            Some(Wrong::ShorterSignatureFirst) if signature => path = -path,
            _ => (),
        }
        (class, form, path, host, *exact, text)
    }

    /// Every distinct rule.
    pub fn rules(&self) -> impl Iterator<Item = &OwnedRule> {
        self.votes.keys()
    }
}

/// FORMAT.md, "Votes on one rule", word by word.
fn merge(votes: &[Vote]) -> Expected {
    let class = |vote: &Vote| if vote.allow { Class::Clean } else { vote.class };
    let standing = |vote: &Vote| (vote.overrides, vote.allow, class(vote));
    let highest = votes.iter().map(standing).max().unwrap();
    let winners: Vec<&Vote> = votes.iter().filter(|vote| standing(vote) == highest).collect();
    let mut ttl_by_source: BTreeMap<u16, u32> = BTreeMap::new();
    for vote in &winners {
        let ttl = ttl_by_source.entry(vote.source).or_default();
        *ttl = (*ttl).max(vote.ttl_s);
    }
    let mut sources: Vec<String> = votes.iter().map(|vote| SOURCES[vote.source as usize].name.to_owned()).collect();
    sources.sort();
    sources.dedup();
    Expected {
        class: highest.2,
        score: winners.iter().map(|vote| vote.score).max().unwrap(),
        confidence: together(&winners),
        categories: winners.iter().fold(0, |all, vote| all | vote.categories),
        flags: if highest.0 { flag::OVERRIDDEN } else { 0 } | if highest.1 { flag::ALLOWLISTED } else { 0 },
        first_seen_day: winners.iter().map(|vote| vote.first_seen_day).filter(|day| *day > 0).min().unwrap_or(0),
        last_seen_day: winners.iter().map(|vote| vote.last_seen_day).max().unwrap(),
        ttl_s: *ttl_by_source.values().min().unwrap(),
        sources,
    }
}

/// The surest source in full, the next seven for half, in millionths of doubt that are rounded up.
fn together(winners: &[&Vote]) -> u8 {
    let mut by_source: BTreeMap<u16, u8> = BTreeMap::new();
    for vote in winners {
        let confidence = by_source.entry(vote.source).or_default();
        *confidence = (*confidence).max(vote.confidence);
    }
    let mut confidences: Vec<u8> = by_source.into_values().collect();
    confidences.sort_by_key(|confidence| Reverse(*confidence));
    let millionths = confidences.iter().take(8).enumerate().fold(1_000_000u64, |doubt, (place, confidence)| {
        let share = u64::from(*confidence) * if place == 0 { 2 } else { 1 };
        (doubt * (200 - share)).div_ceil(200)
    });
    ((1_000_000 - millionths) / 10_000) as u8
}

fn precedence(verdict: &Expected) -> u8 {
    if verdict.flags & flag::OVERRIDDEN != 0 {
        return 5;
    }
    match verdict.class {
        Class::Clean if verdict.flags & flag::ALLOWLISTED != 0 => 4,
        Class::Malicious => 3,
        Class::Suspicious => 2,
        Class::Clean => 1,
        Class::Unknown => 0,
    }
}

/// (path form, length of the path, length of host or prefix, exact host, text of a signature): higher is more specific.
type Specificity = (u8, usize, usize, bool, Reverse<String>);

/// Class, then specificity.
type Weight<'a> = (u8, u8, i64, i64, bool, &'a Reverse<String>);

/// `None` if the rule does not apply.
fn specificity(rule: &OwnedRule, question: &Question, profile: &Profile) -> Option<Specificity> {
    if let OwnedRule::Signature { text, part, token } = rule {
        let order = usize::from(*token) * 2 + usize::from(*part == Part::Host);
        return stands(text, *part, *token, question).then(|| (0, text.len(), order, false, Reverse(text.clone())));
    }
    let (form, path, host, exact) = specificity_of_key(rule, question, profile)?;
    Some((form + 1, path, host, exact, Reverse(String::new())))
}

/// Characters of a text without case: an escape is one, and no letter.
fn characters(text: &str) -> Vec<&str> {
    let mut rest = text;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (one, more) = rest.split_at(if rest.starts_with('%') { 3 } else { 1 });
        all.push(one);
        rest = more;
    }
    all
}

/// Whether a signature stands in the text of a question: tried at every place.
fn stands(signature: &str, part: Part, token: bool, question: &Question) -> bool {
    let text = match (part, question) {
        (Part::Host, Question::Url { host, .. } | Question::Host(host)) if address(question).is_none() => host.clone(),
        (Part::Url, Question::Url { host, path, query }) => {
            format!("{host}{path}{}", query.as_ref().map(|query| format!("?{query}")).unwrap_or_default())
        }
        _ => return false,
    };
    let text = text.to_lowercase();
    if !text.contains(signature) {
        return false;
    }
    let (text, signature) = (characters(&text), characters(signature));
    let is_word = |character: Option<&&str>| character.is_some_and(|one| one.len() == 1 && one.chars().all(char::is_alphanumeric));
    (0..text.len()).any(|at| {
        let there = text[at..].starts_with(&signature);
        let cuts_before = at > 0 && is_word(text.get(at - 1)) && is_word(signature.first());
        let cuts_after = is_word(text.get(at + signature.len())) && is_word(signature.last());
        there && !(token && (cuts_before || cuts_after))
    })
}

fn specificity_of_key(rule: &OwnedRule, question: &Question, profile: &Profile) -> Option<(u8, usize, usize, bool)> {
    match (rule, question) {
        (OwnedRule::Host { host, subdomains }, Question::Url { host: asked, .. } | Question::Host(asked)) => {
            host_applies(host, *subdomains, asked, profile).then_some((1, 0, host.len(), !*subdomains))
        }
        (OwnedRule::Url { host, path_query, prefix, subdomains }, Question::Url { host: asked, path, query }) => {
            let form = if *prefix {
                let depth = path_query.matches('/').count();
                let below = path.starts_with(path_query.as_str()) && depth <= usize::from(profile.path_prefixes_max);
                (below || path == path_query).then_some(2)
            } else if path_query == path {
                Some(3)
            } else {
                let asked = query.as_ref().map(|query| format!("{path}?{query}"));
                (asked.as_ref() == Some(path_query)).then_some(4)
            };
            let applies = host_applies(host, *subdomains, asked, profile);
            form.filter(|_| applies).map(|form| (form, path_query.len(), host.len(), !*subdomains))
        }
        (OwnedRule::Net { network, bits }, question) => {
            let address = address(question)?;
            (address.is_ipv4() == network.is_ipv4() && mask(address, *bits) == *network).then_some((0, 0, usize::from(*bits), false))
        }
        (OwnedRule::File(digest), Question::File(asked)) => (digest == asked).then_some((1, 0, 0, false)),
        _ => None,
    }
}

fn host_applies(host: &str, subdomains: bool, asked: &str, profile: &Profile) -> bool {
    let labels = host.split('.').count();
    let below = asked.strip_suffix(host).is_some_and(|rest| rest.ends_with('.'));
    let reached = match &profile.suffixes {
        Some(list) => (1..=4).contains(&labels_above_suffix(host, asked, list.text())),
        None => (2..=usize::from(profile.host_labels_max)).contains(&labels),
    };
    asked == host || subdomains && below && reached
}

/// How many labels of `host` are none of `asked`'s public suffix: every rule of the list held against the name.
fn labels_above_suffix(host: &str, asked: &str, list: &str) -> usize {
    let labels: Vec<&str> = asked.rsplit('.').collect();
    let matches = |rule: &&str| {
        let rule: Vec<&str> = rule.trim_start_matches('!').rsplit('.').collect();
        rule.len() <= labels.len() && rule.iter().zip(&labels).all(|(rule, label)| rule == label || *rule == "*")
    };
    let matching: Vec<&str> = list.lines().filter(matches).collect();
    let suffix = match matching.iter().find(|rule| rule.starts_with('!')) {
        Some(exception) => exception.split('.').count() - 1,
        None => matching.iter().map(|rule| rule.split('.').count()).max().unwrap_or(1),
    };
    host.split('.').count().saturating_sub(suffix)
}

fn address(question: &Question) -> Option<IpAddr> {
    match question {
        Question::Address(address) => Some(*address),
        Question::Url { host, .. } | Question::Host(host) => host.trim_matches(['[', ']']).parse().ok(),
        Question::File(_) => None,
    }
}

fn mask(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)).into(),
    }
}
