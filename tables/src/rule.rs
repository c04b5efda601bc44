//! What a snapshot is made of: rules over canonical forms, and what sources say of them.
//!
//! | rule | matches | never matches |
//! |---|---|---|
//! | host | that host, with `subdomains` every name below it | an address |
//! | URL | exactly that path, any query unless the rule has one; with `prefix` all paths below | its host as such |
//! | network | every address inside | names |
//! | file | that digest | |
//! | signature | any canonical text that holds it: a name's, or a URL's `host/path?query` | addresses as such, digests, clients' own keys |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use verdict_keys::{Digest, fold_ipv6};

use crate::verdict::Class;

/// Longest canonical host and path of one rule, together. `URL_BYTES_MAX` raw bytes, each percent-escaped, fit.
pub const RULE_BYTES_MAX: usize = 32 * 1024;

/// Shortest signature. Shorter texts stand in every second URL, and cost the sieve its stride.
pub const SIGNATURE_BYTES_MIN: usize = 5;
/// Longest signature.
pub const SIGNATURE_BYTES_MAX: usize = 255;
/// Signatures of one snapshot.
pub const SIGNATURES_MAX: usize = 1 << 17;
/// Bytes of all their distinct texts: what bounds the automaton's memory (see FORMAT.md).
pub const SIGNATURE_TEXT_BYTES_MAX: usize = 4 << 20;
/// Signatures that may end in one another, as `abcd`, `xabcd`, `yxabcd` do.
pub const SIGNATURE_NESTING_MAX: usize = 32;

/// One indicator as a rule over canonical forms (see verdict-keys).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule<'a> {
    /// A host, and with `subdomains` all names below it. An address in place of a name is its one-address network.
    Host {
        /// Canonical host.
        host: &'a str,
        /// Names below it too.
        subdomains: bool,
    },
    /// A URL: exactly this path (any query, if the rule has none), or with `prefix` every path below it (then it ends in `/`).
    Url {
        /// Canonical host text: a name, `192.0.2.1` or `[2001:db8::1]`.
        host: &'a str,
        /// Canonical path, and `?query` where there is one.
        path_query: &'a str,
        /// Paths below it too.
        prefix: bool,
        /// The same path on names below the host too.
        subdomains: bool,
    },
    /// An address prefix; host bits are zero.
    Net {
        /// First address.
        network: IpAddr,
        /// Length of the prefix: 0..=32 or 0..=128.
        bits: u8,
    },
    /// A file by its digest.
    File(Digest),
    /// A text inside canonical text; case does not matter.
    Signature {
        /// Printable ASCII in lower case, escapes whole; `SIGNATURE_BYTES_MIN` to `SIGNATURE_BYTES_MAX` bytes.
        text: &'a str,
        /// Where it is looked for.
        part: Part,
        /// Not as a part of a longer word.
        token: bool,
    },
}

/// Where a signature is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// In the host of URLs and host questions, where it is a name.
    Host,
    /// In `host/path?query` of URLs. Never in a host question: a URL listing says nothing of the host as such.
    Url,
}

/// What a rule is, as stored in verdict records and counted in the header.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleKind {
    /// This host only.
    Host = 1,
    /// This host and all names below it.
    HostSubdomains = 2,
    /// This path on this host.
    Url = 3,
    /// This path on this host and on all names below it.
    UrlSubdomains = 4,
    /// This path and all below it, on this host.
    UrlPrefix = 5,
    /// This path and all below it, on this host and on all names below it.
    UrlPrefixSubdomains = 6,
    /// An IPv4 prefix.
    Ipv4 = 7,
    /// An IPv6 prefix.
    Ipv6 = 8,
    /// A file by SHA-256.
    Sha256 = 9,
    /// A file by SHA-1.
    Sha1 = 10,
    /// A file by MD5.
    Md5 = 11,
    /// A text within host names.
    HostSubstring = 12,
    /// A text within URLs.
    UrlSubstring = 13,
    /// A whole word within host names.
    HostToken = 14,
    /// A whole word within URLs.
    UrlToken = 15,
}

impl RuleKind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 15] = [
        Self::Host,
        Self::HostSubdomains,
        Self::Url,
        Self::UrlSubdomains,
        Self::UrlPrefix,
        Self::UrlPrefixSubdomains,
        Self::Ipv4,
        Self::Ipv6,
        Self::Sha256,
        Self::Sha1,
        Self::Md5,
        Self::HostSubstring,
        Self::UrlSubstring,
        Self::HostToken,
        Self::UrlToken,
    ];

    /// The kind of a stored number, if it is one.
    pub fn from_u8(value: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == value)
    }

    /// Short name, as people and JSON read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::HostSubdomains => "host+subdomains",
            Self::Url => "url",
            Self::UrlSubdomains => "url+subdomains",
            Self::UrlPrefix => "url-prefix",
            Self::UrlPrefixSubdomains => "url-prefix+subdomains",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
            Self::Md5 => "md5",
            Self::HostSubstring => "host-substring",
            Self::UrlSubstring => "url-substring",
            Self::HostToken => "host-token",
            Self::UrlToken => "url-token",
        }
    }

    /// Whether it is looked for in names only.
    pub const fn is_host_signature(self) -> bool {
        matches!(self, Self::HostSubstring | Self::HostToken)
    }

    /// Whether it is looked for in text.
    pub const fn is_signature(self) -> bool {
        self as u8 >= Self::HostSubstring as u8
    }

    /// Whether it is looked for as a whole word.
    pub const fn is_token(self) -> bool {
        matches!(self, Self::HostToken | Self::UrlToken)
    }
}

/// What one source says of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vote {
    /// As returned by `Builder::source`.
    pub source: u16,
    /// What the source says.
    pub class: Class,
    /// An allow rule: beats malicious. Its class counts as clean.
    pub allow: bool,
    /// An operator's own rule: beats everything.
    pub overrides: bool,
    /// How bad, 0 to 100.
    pub score: u8,
    /// How sure, 0 to 100.
    pub confidence: u8,
    /// Bit set of `category`.
    pub categories: u16,
    /// Days since 1970-01-01; 0 where the feed has no date.
    pub first_seen_day: u16,
    /// Days since 1970-01-01; 0 where the feed has no date.
    pub last_seen_day: u16,
    /// Seconds a caller may keep the verdict.
    pub ttl_s: u32,
}

/// Who votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source<'a> {
    /// As an operator knows it.
    pub name: &'a str,
    /// Terms of the data, for instance an SPDX identifier.
    pub licence: &'a str,
}

/// The address a host text spells, if it is one: `192.0.2.1` or `[2001:db8::1]`.
pub(crate) fn address_of(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Mapped and NAT64 addresses are asked for as IPv4, so their prefixes are IPv4 rules.
pub(crate) fn embedded_v4(network: Ipv6Addr, bits: u8) -> Option<(Ipv4Addr, u8)> {
    match fold_ipv6(network) {
        IpAddr::V4(v4) => Some((v4, bits.checked_sub(96)?)),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nat64_and_mapped_prefixes_are_ipv4() {
        let check = |text: &str, bits, expected: Option<(&str, u8)>| {
            let expected = expected.map(|(v4, bits)| (v4.parse().unwrap(), bits));
            assert_eq!(embedded_v4(text.parse().unwrap(), bits), expected, "{text}/{bits}");
        };
        check("::ffff:192.0.2.0", 120, Some(("192.0.2.0", 24)));
        check("64:ff9b::192.0.2.7", 128, Some(("192.0.2.7", 32)));
        check("64:ff9b::", 96, Some(("0.0.0.0", 0)));
        check("64:ff9b::", 95, None);
        check("64:ff9b:1::", 96, None);
        check("2001:db8::", 128, None);
    }

    #[test]
    fn only_canonical_spellings_are_addresses() {
        assert_eq!(address_of("192.0.2.1"), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(address_of("[2001:db8::1]"), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(address_of("2001:db8::1"), None);
        assert_eq!(address_of("example.com"), None);
        assert_eq!(address_of("[::1"), None);
    }

    #[test]
    fn kinds_survive_their_number() {
        for (index, kind) in RuleKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index + 1);
            assert_eq!(RuleKind::from_u8(kind as u8), Some(kind));
        }
        assert_eq!((RuleKind::from_u8(0), RuleKind::from_u8(16)), (None, None));
    }
}
