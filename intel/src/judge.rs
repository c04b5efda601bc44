//! From an indicator's text to a rule over canonical forms, or the reason why not.
//!
//! ```text
//! text ─► refang ─► look ─► what its column or list promises (Expect) ─► verdict_keys (canonical form) ─► breadth ─► Rule
//! ```
//! A URL becomes a rule of exactly that URL and never of its host; a URL without a path is the page `/`. An address with a port
//! is a rule of the address, because keys have no ports. Nothing is widened: what cannot be said exactly is rejected.

use crate::breadth::{self, Named};
use crate::look::{self, Look, look};
use crate::reason::Reason;
use crate::refang::refang;
use crate::signature;
use crate::suffixes::Suffixes;
use std::net::IpAddr;
use verdict_keys::{Canonicalizer, Digest, Host, Prefix, Unparseable};
use verdict_tables::{Part, Rule};

/// What a list or column promises to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Each indicator tells by its look.
    Any,
    /// URLs, with or without a scheme. A bare host is the page `/` of it.
    Url,
    /// Host names; an address among them is a rule of the address.
    Host,
    /// Addresses, with or without a port, and prefixes.
    Address,
    /// Digests of any length.
    Digest,
    /// SHA-256 only.
    Sha256,
    /// SHA-1 only.
    Sha1,
    /// MD5 only.
    Md5,
    /// A text to be looked for, as it stands: nothing is restored in it.
    Signature(Part, bool),
}

impl Expect {
    /// A text within host names.
    pub const HOST_SUBSTRING: Self = Self::Signature(Part::Host, false);
    /// A text within URLs.
    pub const URL_SUBSTRING: Self = Self::Signature(Part::Url, false);
    /// A whole word within host names.
    pub const HOST_TOKEN: Self = Self::Signature(Part::Host, true);
    /// A whole word within URLs.
    pub const URL_TOKEN: Self = Self::Signature(Part::Url, true);
}

/// How a feed wants its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Host rules cover the names below.
    pub subdomains: bool,
    /// A URL ending in `/*` means every page below.
    pub prefixes: bool,
    /// The feed is an allow list.
    pub allow: bool,
}

/// Makes rules; holds the buffers that they borrow from.
pub struct Judge {
    canonicalizer: Canonicalizer,
    url: Vec<u8>,
    signature: String,
    suffixes: Suffixes,
}

impl Judge {
    /// By this list of public suffixes.
    pub fn new(suffixes: Suffixes) -> Self {
        Judge { canonicalizer: Canonicalizer::new(), url: Vec::new(), signature: String::new(), suffixes }
    }

    /// One indicator.
    pub fn rule(&mut self, text: &[u8], expect: Expect, terms: Terms) -> Result<Rule<'_>, Reason> {
        if let Expect::Signature(part, token) = expect {
            self.signature = signature::normal(text.trim_ascii(), part)?;
            return Ok(Rule::Signature { text: &self.signature, part, token });
        }
        let text = refang(text.trim_ascii());
        if text.is_empty() {
            return Err(Reason::EmptyIndicator);
        }
        if text.contains(&0) {
            return Err(Reason::NulByte);
        }
        let look = look(&text);
        match expect {
            Expect::Any => self.by_look(&text, look, terms),
            Expect::Url => match look {
                Look::HostPath => self.url_unless_prefix(&text, terms),
                Look::Url | Look::Host | Look::HostPort | Look::Address | Look::AddressPort => self.url(&text, look, terms),
                Look::Prefix | Look::Digest => Err(Reason::OtherKind),
                _ => Err(odd(look)),
            },
            Expect::Host => match look {
                Look::Host => self.host(&text, terms),
                Look::HostPort => self.host_with_port(&text, terms),
                Look::Address | Look::AddressPort => socket(&text, terms),
                Look::Url | Look::HostPath | Look::Prefix | Look::Digest => Err(Reason::OtherKind),
                _ => Err(odd(look)),
            },
            Expect::Address => match look {
                Look::Address | Look::AddressPort => socket(&text, terms),
                Look::Prefix => prefix(&text, terms),
                Look::Host => self.odd_address(&text, terms),
                Look::Range | Look::Wildcard | Look::Words => Err(odd(look)),
                _ => Err(Reason::OtherKind),
            },
            Expect::Signature(..) => Err(Reason::OtherKind), // taken above
            Expect::Digest => digest(&text),
            Expect::Sha256 => digest(&text).and_then(|rule| only(rule, |digest| matches!(digest, Digest::Sha256(_)))),
            Expect::Sha1 => digest(&text).and_then(|rule| only(rule, |digest| matches!(digest, Digest::Sha1(_)))),
            Expect::Md5 => digest(&text).and_then(|rule| only(rule, |digest| matches!(digest, Digest::Md5(_)))),
        }
    }

    fn by_look(&mut self, text: &[u8], look: Look, terms: Terms) -> Result<Rule<'_>, Reason> {
        match look {
            Look::Url => self.url(text, look, terms),
            Look::HostPath => self.url_unless_prefix(text, terms),
            Look::Host => self.host(text, terms),
            Look::HostPort => self.host_with_port(text, terms),
            Look::Address | Look::AddressPort => socket(text, terms),
            Look::Prefix => prefix(text, terms),
            Look::Digest => digest(text),
            _ => Err(odd(look)),
        }
    }

    fn url(&mut self, text: &[u8], look: Look, terms: Terms) -> Result<Rule<'_>, Reason> {
        let below = text.ends_with(b"/*") && !text.contains(&b'?');
        if below && !terms.prefixes {
            return Err(Reason::Wildcard);
        }
        let text = if below { &text[..text.len() - 1] } else { text };
        self.url.clear();
        if look != Look::Url {
            self.url.extend_from_slice(b"http://");
        }
        let bare_v6 = look == Look::Address && text.contains(&b':') && !text.starts_with(b"[");
        if bare_v6 {
            self.url.push(b'[');
        }
        self.url.extend_from_slice(text);
        if bare_v6 {
            self.url.push(b']');
        }
        let url = self.canonicalizer.url(&self.url).map_err(|reason| refused(reason, raw_host(&self.url)))?;
        match url.host {
            Host::Name(name) => breadth::host(name, Named::Page, &self.suffixes)?,
            Host::Address(address) => breadth::prefix(address, bits_of(address), terms.allow)?,
        }
        if below && url.path_query == "/" {
            return Err(Reason::PrefixOfWholeHost);
        }
        if below && !url.path_query.ends_with('/') {
            return Err(Reason::Wildcard);
        }
        Ok(Rule::Url { host: url.host_text, path_query: url.path_query, prefix: below, subdomains: false })
    }

    /// `010.0.0.0/8` and `192.0.2.0/255.255.255.0` are no prefixes here and would become the page `/8` of an address: nobody means that.
    fn url_unless_prefix(&mut self, text: &[u8], terms: Terms) -> Result<Rule<'_>, Reason> {
        let path = text.iter().position(|&byte| byte == b'/').map_or(&text[..0], |at| &text[at + 1..]);
        let looks_like_bits =
            !path.is_empty() && path.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'/' | b'+' | b'-'));
        let rule = self.url(text, Look::HostPath, terms)?;
        match rule {
            Rule::Url { host, .. } if looks_like_bits && (host.starts_with('[') || host.parse::<IpAddr>().is_ok()) => {
                Err(Reason::BadPrefix)
            }
            rule => Ok(rule),
        }
    }

    fn host(&mut self, text: &[u8], terms: Terms) -> Result<Rule<'_>, Reason> {
        let subdomains = terms.subdomains || text.starts_with(b".");
        match self.canonicalizer.host(text).map_err(|reason| refused(reason, text))? {
            (Host::Name(host), _) => {
                let named = if subdomains { Named::Tree } else { Named::Host };
                breadth::host(host, named, &self.suffixes).map(|()| Rule::Host { host, subdomains })
            }
            (Host::Address(address), _) => single(address, terms),
        }
    }

    /// The port is not part of any key: the rule is for exactly this host.
    fn host_with_port(&mut self, text: &[u8], terms: Terms) -> Result<Rule<'_>, Reason> {
        let host = text.iter().position(|&byte| byte == b':').map_or(text, |colon| &text[..colon]);
        self.host(host, Terms { subdomains: false, ..terms })
    }

    /// `0x7f.1`, `0300.0.2.1`: an address in another spelling, or a name where an address belongs.
    fn odd_address(&mut self, text: &[u8], terms: Terms) -> Result<Rule<'_>, Reason> {
        match self.canonicalizer.host(text) {
            Ok((Host::Address(address), _)) => single(address, terms),
            Err(Unparseable::Ipv4) if overflows(text) => Err(Reason::BadAddress),
            _ => Err(Reason::OtherKind),
        }
    }
}

/// Why a host is no key; an address of which a part does not fit has a reason of its own, which says more.
fn refused(reason: Unparseable, host: &[u8]) -> Reason {
    if reason == Unparseable::Ipv4 && overflows(host) { Reason::BadAddress } else { Reason::Unparseable(reason) }
}

/// 999.999.999.999 is no address: each part must fit its place (inet_aton(3)); parts may be decimal, octal or hexadecimal.
fn overflows(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let parts: Vec<&str> = host.trim_matches('.').split('.').collect();
    let last_max = 1u64 << (8 * (5 - parts.len().clamp(1, 4)));
    parts.iter().enumerate().any(|(index, part)| {
        let max = if index + 1 == parts.len() { last_max } else { 256 };
        let (digits, radix) = match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
            Some(digits) => (digits, 16),
            None if part.starts_with('0') && part.len() > 1 => (&part[1..], 8),
            None => (*part, 10),
        };
        // Not a number: a name, an IPv6 address, or escapes; nothing to overflow.
        let too_long = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        u64::from_str_radix(digits, radix).map_or(too_long && digits.len() > 16, |value| value >= max)
    })
}

/// Between `//`, user and port, as written.
fn raw_host(url: &[u8]) -> &[u8] {
    let start = url.windows(3).position(|window| window == b"://").map_or(0, |at| at + 3);
    let rest = &url[start..];
    let authority = &rest[..rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\')).unwrap_or(rest.len())];
    let host = &authority[authority.iter().rposition(|&byte| byte == b'@').map_or(0, |at| at + 1)..];
    if host.starts_with(b"[") { host } else { &host[..host.iter().position(|&byte| byte == b':').unwrap_or(host.len())] }
}

fn odd(look: Look) -> Reason {
    match look {
        Look::Email => Reason::Email,
        Look::Wildcard => Reason::Wildcard,
        Look::Words => Reason::SeveralWords,
        Look::Range => Reason::Range,
        _ => Reason::NotAKey,
    }
}

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn socket<'a>(text: &[u8], terms: Terms) -> Result<Rule<'a>, Reason> {
    let address = look::address(text).or_else(|| look::address_of_socket(text)).ok_or(Reason::BadPrefix)?;
    single(address, terms)
}

fn single<'a>(address: IpAddr, terms: Terms) -> Result<Rule<'a>, Reason> {
    let (prefix, _) = Prefix::new(address, bits_of(address)).ok_or(Reason::BadPrefix)?;
    network(prefix, terms)
}

/// `198.51.100.7/24` is one address or 256 of them: it is not for us to say which, so host bits must be clear.
fn prefix<'a>(text: &[u8], terms: Terms) -> Result<Rule<'a>, Reason> {
    let text = std::str::from_utf8(text).map_err(|_| Reason::BadPrefix)?;
    let (prefix, host_bits_were_set) = Prefix::parse(text).map_err(|_| Reason::BadPrefix)?;
    if host_bits_were_set { Err(Reason::HostBits) } else { network(prefix, terms) }
}

fn network<'a>(Prefix { network, bits }: Prefix, terms: Terms) -> Result<Rule<'a>, Reason> {
    breadth::prefix(network, bits, terms.allow)?;
    Ok(Rule::Net { network, bits })
}

fn digest<'a>(text: &[u8]) -> Result<Rule<'a>, Reason> {
    if look(text) != Look::Digest {
        return Err(Reason::BadDigest);
    }
    let digest = std::str::from_utf8(text).ok().and_then(|text| Digest::parse(text).ok()).ok_or(Reason::BadDigest)?;
    breadth::digest(&digest)?;
    Ok(Rule::File(digest))
}

fn only<'a>(rule: Rule<'a>, is_it: impl Fn(&Digest) -> bool) -> Result<Rule<'a>, Reason> {
    match rule {
        Rule::File(digest) if is_it(&digest) => Ok(rule),
        _ => Err(Reason::BadDigest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_do_not_fit_overflow() {
        for host in [
            "999.999.999.999",
            "256.0.2.1",
            "192.0.2.256",
            "276.2.3",
            "192.0x100.2.1",
            "192.0.65536",
            "0x100000000",
            "4294967296",
            "0400.0.0.1",
        ] {
            assert!(overflows(host.as_bytes()), "{host}");
        }
        for host in [
            "192.0.2.1",
            "192.0.2.255",
            "192.0.513",
            "0xc0000201",
            "3221225985",
            "0300.0.02.01",
            "0xC0.0.2.1.",
            "255.255.255.255",
            "[2001:db8::1]",
            "0",
        ] {
            assert!(!overflows(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn finds_the_host_as_written() {
        for (url, host) in [
            ("http://a.example/x", "a.example"),
            ("http://u:p@a.example:80/x@y", "a.example"),
            ("http://[2001:db8::1]/", "[2001:db8::1]"),
            ("http://a.example?x", "a.example"),
            ("http://", ""),
        ] {
            assert_eq!(raw_host(url.as_bytes()), host.as_bytes());
        }
    }
}
