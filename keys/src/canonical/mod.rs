//! One canonicaliser, used at compile and at query: what is spelled alike by a browser becomes the same bytes.
//!
//! `docs/canonicalisation.md` numbers the rules and gives the reasons where Safe Browsing and the URL standard disagree. In short: structure as
//! browsers find it ([`url`]), hosts through unescape, IDNA, dots, IP check ([`host`], [`ipv4`], [`ipv6`]), paths resolved before and after
//! unescaping ([`path`]), one way of escaping ([`percent`]); what is canonical as written is only measured ([`fast`]). The result is printable ASCII and its own canonical form.
//!
//! Buffers are reused: nothing is allocated once they have grown, except inside IDNA for hosts that are not ASCII.

pub(crate) mod fast;
mod host;
mod ipv4;
mod ipv6;
mod path;
mod percent;
mod url;

pub use ipv6::fold as fold_ipv6;
pub(crate) use percent::hex;

use crate::Unparseable;
use std::net::IpAddr;

/// Canonical host of a URL or host question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// Lower-case ASCII, punycode where needed, no leading, trailing or doubled dots.
    Name(&'a str),
    /// Any spelling of an address; mapped and NAT64 IPv6 are IPv4.
    Address(IpAddr),
}

/// A canonical URL, borrowed from the `Canonicalizer` that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanonicalUrl<'a> {
    /// Name or address.
    pub host: Host<'a>,
    /// The host as expressions spell it: a name, `192.0.2.1`, or `[2001:db8::1]`.
    pub host_text: &'a str,
    /// Canonical path, and `?query` where there is one.
    pub path_query: &'a str,
    /// Length of the path within `path_query`.
    pub path_bytes: usize,
}

impl<'a> CanonicalUrl<'a> {
    /// The path without the query; begins with a slash.
    pub fn path(&self) -> &'a str {
        &self.path_query[..self.path_bytes]
    }

    /// The query without its `?`, where there is one; never empty.
    pub fn query(&self) -> Option<&'a str> {
        self.path_query[self.path_bytes..].strip_prefix('?')
    }
}

/// `http://host/path?query`: any scheme is a way to the same keys, so canonical text names one.
impl std::fmt::Display for CanonicalUrl<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.host_text, self.path_query)
    }
}

/// What the inner functions find: bytes, all of them printable ASCII.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'s> {
    pub host: &'s [u8],
    pub address: Option<IpAddr>,
    pub path_query: &'s [u8],
    pub path_bytes: usize,
}

impl<'s> Parts<'s> {
    fn host(&self) -> (Host<'s>, &'s str) {
        let text = ascii(self.host);
        (self.address.map_or(Host::Name(text), Host::Address), text)
    }
}

/// Every byte of a canonical text was pushed as printable ASCII or escaped.
fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("canonical text is ASCII")
}

/// Reusable buffers; allocates nothing once warm.
#[derive(Debug, Default)]
pub struct Canonicalizer {
    /// The input without what is invisible to browsers.
    text: Vec<u8>,
    /// One part while it is unescaped.
    scratch: Vec<u8>,
    host: Vec<u8>,
    path_query: Vec<u8>,
}

impl Canonicalizer {
    /// Empty buffers; they grow to the longest input seen, at most a few times [`URL_BYTES_MAX`](crate::URL_BYTES_MAX).
    pub fn new() -> Self {
        Self::default()
    }

    /// The canonical form of a URL as a browser would read it. Without a scheme it is taken as http.
    pub fn url<'s>(&'s mut self, raw: &[u8]) -> Result<CanonicalUrl<'s>, Unparseable> {
        let parts = self.url_parts(raw)?;
        let (host, host_text) = parts.host();
        Ok(CanonicalUrl { host, host_text, path_query: ascii(parts.path_query), path_bytes: parts.path_bytes })
    }

    /// The canonical host and its text: `example.com`, `192.0.2.1`, `[2001:db8::1]`. Takes an address in any spelling, IPv6 with or without
    /// brackets, and drops a port.
    pub fn host<'s>(&'s mut self, raw: &[u8]) -> Result<(Host<'s>, &'s str), Unparseable> {
        Ok(self.host_parts(raw)?.host())
    }

    pub(crate) fn url_parts(&mut self, raw: &[u8]) -> Result<Parts<'_>, Unparseable> {
        url::canonicalise(self, raw)
    }

    pub(crate) fn host_parts(&mut self, raw: &[u8]) -> Result<Parts<'_>, Unparseable> {
        url::canonicalise_host(self, raw)
    }
}
