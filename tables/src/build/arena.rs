//! Rules and votes as they come in, packed: canonical encodings one after the other, 24 bytes beside each.
//!
//! ```text
//! bytes    | len u16 | kind u8 | host                 |   host rules
//!          | len u16 | kind u8 | host len u16 | host | path_query |   URL rules
//!          | len u16 | kind u8 | bits u8 | 4 or 16 bytes, network order |
//!          | len u16 | kind u8 | 32, 20 or 16 bytes |   files
//!          | len u16 | kind u8 | text |   signatures
//! entries  | at u64 | vote 16 bytes |
//! ```
//!
//! The encoding without its length is what a rule's identity is: equal rules have equal bytes, different rules different ones.

use std::net::IpAddr;
use verdict_keys::Digest;
use verdict_simd::{Domain, prefetch};

use crate::rule::{Part, Rule, RuleKind, Vote};
use crate::verdict::Class;

/// One (rule, vote) in the arena.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// Where the rule's encoding begins.
    pub(super) at: u64,
    /// What was said of it.
    pub(super) vote: PackedVote,
}

/// A vote in 16 bytes. `standing` orders votes: the higher one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackedVote {
    pub(super) ttl_s: u32,
    pub(super) source: u16,
    pub(super) categories: u16,
    pub(super) first_seen_day: u16,
    pub(super) last_seen_day: u16,
    pub(super) standing: Standing,
    pub(super) score: u8,
    pub(super) confidence: u8,
}

const _: () = assert!(size_of::<Entry>() == 24);

/// Bit 3 overrides, bit 2 allow, bits 0 and 1 the class: as a number, the precedence among votes on one rule. Bit 4 alone is no vote: it takes
/// back those of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Standing(u8);

impl Standing {
    const OVERRIDES: u8 = 1 << 3;
    const ALLOW: u8 = 1 << 2;
    const REVOKED: u8 = 1 << 4;

    fn of(vote: &Vote) -> Self {
        // An allow vote says "clean", whatever class its feed wrote beside it.
        let class = if vote.allow { Class::Clean } else { vote.class };
        Self((u8::from(vote.overrides) * Self::OVERRIDES) | (u8::from(vote.allow) * Self::ALLOW) | class as u8)
    }

    pub(super) const fn revokes(self) -> bool {
        self.0 & Self::REVOKED != 0
    }

    pub(super) const fn class(self) -> u8 {
        self.0 & 3
    }

    pub(super) const fn allows(self) -> bool {
        self.0 & Self::ALLOW != 0
    }

    pub(super) const fn overrides(self) -> bool {
        self.0 & Self::OVERRIDES != 0
    }
}

impl PackedVote {
    /// Takes back what `source` says of a rule.
    const fn revocation(source: u16) -> Self {
        let standing = Standing(Standing::REVOKED);
        Self { ttl_s: 0, source, categories: 0, first_seen_day: 0, last_seen_day: 0, standing, score: 0, confidence: 0 }
    }

    pub(super) fn pack(vote: &Vote) -> Self {
        Self {
            ttl_s: vote.ttl_s,
            source: vote.source,
            categories: vote.categories,
            first_seen_day: vote.first_seen_day,
            last_seen_day: vote.last_seen_day,
            standing: Standing::of(vote),
            score: vote.score,
            confidence: vote.confidence,
        }
    }
}

/// A rule read back from the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoded<'a> {
    Host { host: &'a [u8], subdomains: bool },
    Url { host: &'a [u8], path_query: &'a [u8], prefix: bool, subdomains: bool },
    Net4 { network: u32, bits: u8 },
    Net6 { network: u128, bits: u8 },
    File { domain: Domain, digest: &'a [u8] },
    Signature { text: &'a [u8], kind: RuleKind },
}

#[derive(Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    pub(super) entries: Vec<Entry>,
}

impl Arena {
    pub(super) fn push(&mut self, rule: &Rule<'_>, vote: &Vote) {
        self.push_packed(rule, PackedVote::pack(vote));
    }

    pub(super) fn push_revocation(&mut self, rule: &Rule<'_>, source: u16) {
        self.push_packed(rule, PackedVote::revocation(source));
    }

    fn push_packed(&mut self, rule: &Rule<'_>, vote: PackedVote) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        encode(rule, &mut self.bytes);
        let bytes = (self.bytes.len() - at - 2) as u16; // RULE_BYTES_MAX is checked before
        self.bytes[at..at + 2].copy_from_slice(&bytes.to_le_bytes());
        self.entries.push(Entry { at: at as u64, vote });
    }

    /// Readers in the order of digests find every rule somewhere else. `next` are the entries that come after the one about to be read.
    #[inline]
    pub(super) fn prefetch(&self, mut next: impl Iterator<Item = u32>) {
        if let Some(entry) = next.nth(AHEAD - 1) {
            prefetch(&self.bytes, self.entries[entry as usize].at as usize);
        }
        if let Some(entry) = next.nth(AHEAD - 1) {
            prefetch(&self.entries, entry as usize);
        }
    }

    /// The canonical encoding of an entry's rule.
    pub(super) fn encoding(&self, entry: u32) -> &[u8] {
        let at = self.entries[entry as usize].at as usize;
        let bytes = u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]) as usize;
        &self.bytes[at + 2..at + 2 + bytes]
    }
}

/// How many rules ahead the arena is asked for: two dependent misses, an entry and its bytes, hidden behind the work on so many rules.
const AHEAD: usize = 16;

pub(super) fn encode(rule: &Rule<'_>, out: &mut Vec<u8>) {
    out.push(kind_of(rule) as u8);
    match *rule {
        Rule::Host { host, .. } => out.extend_from_slice(host.as_bytes()),
        Rule::Url { host, path_query, .. } => {
            out.extend_from_slice(&(host.len() as u16).to_le_bytes());
            out.extend_from_slice(host.as_bytes());
            out.extend_from_slice(path_query.as_bytes());
        }
        Rule::Net { network: IpAddr::V4(network), bits } => {
            out.push(bits);
            out.extend_from_slice(&network.octets());
        }
        Rule::Net { network: IpAddr::V6(network), bits } => {
            out.push(bits);
            out.extend_from_slice(&network.octets());
        }
        Rule::File(Digest::Sha256(digest)) => out.extend_from_slice(&digest),
        Rule::File(Digest::Sha1(digest)) => out.extend_from_slice(&digest),
        Rule::File(Digest::Md5(digest)) => out.extend_from_slice(&digest),
        Rule::Signature { text, .. } => out.extend_from_slice(text.as_bytes()),
    }
}

pub(super) fn kind_of(rule: &Rule<'_>) -> RuleKind {
    match *rule {
        Rule::Host { subdomains: false, .. } => RuleKind::Host,
        Rule::Host { subdomains: true, .. } => RuleKind::HostSubdomains,
        Rule::Url { prefix: false, subdomains: false, .. } => RuleKind::Url,
        Rule::Url { prefix: false, subdomains: true, .. } => RuleKind::UrlSubdomains,
        Rule::Url { prefix: true, subdomains: false, .. } => RuleKind::UrlPrefix,
        Rule::Url { prefix: true, subdomains: true, .. } => RuleKind::UrlPrefixSubdomains,
        Rule::Net { network: IpAddr::V4(_), .. } => RuleKind::Ipv4,
        Rule::Net { network: IpAddr::V6(_), .. } => RuleKind::Ipv6,
        Rule::File(Digest::Sha256(_)) => RuleKind::Sha256,
        Rule::File(Digest::Sha1(_)) => RuleKind::Sha1,
        Rule::File(Digest::Md5(_)) => RuleKind::Md5,
        Rule::Signature { part: Part::Host, token: false, .. } => RuleKind::HostSubstring,
        Rule::Signature { part: Part::Url, token: false, .. } => RuleKind::UrlSubstring,
        Rule::Signature { part: Part::Host, token: true, .. } => RuleKind::HostToken,
        Rule::Signature { part: Part::Url, token: true, .. } => RuleKind::UrlToken,
    }
}

/// The kind byte of an encoding.
pub(super) fn kind(encoding: &[u8]) -> RuleKind {
    RuleKind::from_u8(encoding[0]).expect("encode() wrote the kind first")
}

/// Reads what `encode` wrote.
pub(super) fn decode(encoding: &[u8]) -> Encoded<'_> {
    let (kind, rest) = (kind(encoding), &encoding[1..]);
    match kind {
        RuleKind::Host | RuleKind::HostSubdomains => Encoded::Host { host: rest, subdomains: kind == RuleKind::HostSubdomains },
        RuleKind::Url | RuleKind::UrlSubdomains | RuleKind::UrlPrefix | RuleKind::UrlPrefixSubdomains => {
            let (host, path_query) = rest[2..].split_at(u16::from_le_bytes([rest[0], rest[1]]) as usize);
            Encoded::Url {
                host,
                path_query,
                prefix: matches!(kind, RuleKind::UrlPrefix | RuleKind::UrlPrefixSubdomains),
                subdomains: matches!(kind, RuleKind::UrlSubdomains | RuleKind::UrlPrefixSubdomains),
            }
        }
        RuleKind::Ipv4 => Encoded::Net4 { network: be_number(&rest[1..]) as u32, bits: rest[0] },
        RuleKind::Ipv6 => Encoded::Net6 { network: be_number(&rest[1..]), bits: rest[0] },
        RuleKind::Sha256 => Encoded::File { domain: Domain::Sha256, digest: rest },
        RuleKind::Sha1 => Encoded::File { domain: Domain::Sha1, digest: rest },
        RuleKind::Md5 => Encoded::File { domain: Domain::Md5, digest: rest },
        RuleKind::HostSubstring | RuleKind::UrlSubstring | RuleKind::HostToken | RuleKind::UrlToken => {
            Encoded::Signature { text: rest, kind }
        }
    }
}

fn be_number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(class: Class, allow: bool, overrides: bool) -> Vote {
        let (score, confidence, categories, first_seen_day, last_seen_day, ttl_s) = Default::default();
        Vote { source: 0, class, allow, overrides, score, confidence, categories, first_seen_day, last_seen_day, ttl_s }
    }

    #[test]
    fn every_rule_is_read_back_as_it_was_written() {
        let check = |rule: Rule<'_>, expected: Encoded<'_>| {
            let mut arena = Arena::default();
            arena.push(&Rule::Host { host: "before.test", subdomains: true }, &vote(Class::Malicious, false, false));
            arena.push(&rule, &vote(Class::Malicious, false, false));
            assert_eq!(decode(arena.encoding(1)), expected);
        };
        for subdomains in [false, true] {
            check(Rule::Host { host: "a.test", subdomains }, Encoded::Host { host: b"a.test", subdomains });
            for prefix in [false, true] {
                check(
                    Rule::Url { host: "a.test", path_query: "/b/", prefix, subdomains },
                    Encoded::Url { host: b"a.test", path_query: b"/b/", prefix, subdomains },
                );
            }
        }
        check(Rule::Net { network: "192.0.2.0".parse().unwrap(), bits: 24 }, Encoded::Net4 { network: 0xC000_0200, bits: 24 });
        check(Rule::Net { network: "2001:db8::".parse().unwrap(), bits: 32 }, Encoded::Net6 { network: 0x2001_0db8 << 96, bits: 32 });
        check(Rule::File(Digest::Sha256([7; 32])), Encoded::File { domain: Domain::Sha256, digest: &[7; 32] });
        check(Rule::File(Digest::Sha1([8; 20])), Encoded::File { domain: Domain::Sha1, digest: &[8; 20] });
        for (part, token, kind) in [
            (Part::Host, false, RuleKind::HostSubstring),
            (Part::Url, false, RuleKind::UrlSubstring),
            (Part::Host, true, RuleKind::HostToken),
            (Part::Url, true, RuleKind::UrlToken),
        ] {
            check(Rule::Signature { text: "gate", part, token }, Encoded::Signature { text: b"gate", kind });
        }
        check(Rule::File(Digest::Md5([9; 16])), Encoded::File { domain: Domain::Md5, digest: &[9; 16] });
    }

    #[test]
    fn standing_orders_override_allow_malicious_suspicious_clean_unknown() {
        let order = [
            vote(Class::Unknown, false, false),
            vote(Class::Clean, false, false),
            vote(Class::Suspicious, false, false),
            vote(Class::Malicious, false, false),
            vote(Class::Malicious, true, false),
            vote(Class::Unknown, false, true),
            vote(Class::Malicious, false, true),
            vote(Class::Unknown, true, true),
        ];
        assert!(order.is_sorted_by(|a, b| Standing::of(a) < Standing::of(b)));
    }
}
