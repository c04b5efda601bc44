//! What a typed word asks for.
//!
//! | looks like | kind | example |
//! |---|---|---|
//! | 32, 40 or 64 hexadecimal digits | MD5, SHA-1, SHA-256 | `44d88612fea8a8f36de82e1278abb02f` |
//! | an address, with or without brackets | IPv4, IPv6 | `192.0.2.1`, `[2001:db8::1]` |
//! | an address and `/bits` | refused: a prefix is a rule, not a question | `192.0.2.0/24` |
//! | has a `/`, `?`, `#`, `@`, `:` or `\` | URL | `http://a.test/b`, `a.test:8080` |
//! | anything else | host | `a.test` |
//!
//! Only the kind is decided here; what the bytes mean is for `verdict-keys`, at the daemon.

use crate::exit::Failure;
use crate::text;
use std::net::IpAddr;
use verdict_keys::{Digest, Kind};

/// How a word is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KindChoice {
    /// By its look.
    Auto,
    /// A URL, with or without a scheme.
    Url,
    /// A host name or address as a host.
    Host,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A file hash in hexadecimal: SHA-256, SHA-1 or MD5.
    Hash,
}

/// One question, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// As it was typed.
    pub typed: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The key: text of a URL or host, an address in network order, a raw digest.
    pub key: Vec<u8>,
}

impl Question {
    /// Takes a word as `choice` says; a word that cannot be of that kind is a usage error.
    pub fn new(typed: &[u8], choice: KindChoice) -> Result<Self, Failure> {
        let (kind, key) = match choice {
            KindChoice::Auto => detect(typed)?,
            KindChoice::Url => (Kind::Url, typed.to_vec()),
            KindChoice::Host => (Kind::Host, typed.to_vec()),
            KindChoice::Ip => address(typed).ok_or_else(|| not_a(typed, "an IPv4 or IPv6 address"))?,
            KindChoice::Hash => digest(typed).ok_or_else(|| not_a(typed, "32, 40 or 64 hexadecimal digits"))?,
        };
        Ok(Self { typed: typed.to_vec(), kind, key })
    }

    /// The typed word, fit to print.
    pub fn visible(&self) -> String {
        text::visible(&self.typed)
    }
}

/// The kind's name, as people and JSON read it.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Url => "url",
        Kind::Host => "host",
        Kind::Ipv4 => "ipv4",
        Kind::Ipv6 => "ipv6",
        Kind::Sha256 => "sha256",
        Kind::Sha1 => "sha1",
        Kind::Md5 => "md5",
    }
}

fn not_a(typed: &[u8], what: &str) -> Failure {
    Failure::Usage(format!("`{}` is not {what}", text::visible(typed)))
}

fn detect(typed: &[u8]) -> Result<(Kind, Vec<u8>), Failure> {
    if let Some(found) = digest(typed).or_else(|| address(typed)) {
        return Ok(found);
    }
    if is_prefix(typed) {
        let shown = text::visible(typed);
        return Err(Failure::Usage(format!("`{shown}` is an address prefix: ask for one address of it (or for the URL, with --kind url)")));
    }
    let is_url = typed.iter().any(|byte| b"/?#@:\\".contains(byte));
    Ok((if is_url { Kind::Url } else { Kind::Host }, typed.to_vec()))
}

fn digest(typed: &[u8]) -> Option<(Kind, Vec<u8>)> {
    let digest = Digest::parse(std::str::from_utf8(typed).ok()?).ok()?;
    Some(match digest {
        Digest::Sha256(bytes) => (Kind::Sha256, bytes.to_vec()),
        Digest::Sha1(bytes) => (Kind::Sha1, bytes.to_vec()),
        Digest::Md5(bytes) => (Kind::Md5, bytes.to_vec()),
    })
}

fn address(typed: &[u8]) -> Option<(Kind, Vec<u8>)> {
    let text = std::str::from_utf8(typed).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match bare.parse().ok()? {
        IpAddr::V4(address) => Some((Kind::Ipv4, address.octets().to_vec())),
        IpAddr::V6(address) => Some((Kind::Ipv6, address.octets().to_vec())),
    }
}

fn is_prefix(typed: &[u8]) -> bool {
    let Some((network, bits)) = std::str::from_utf8(typed).ok().and_then(|text| text.split_once('/')) else { return false };
    network.parse::<IpAddr>().is_ok() && bits.len() <= 3 && bits.parse::<u8>().is_ok_and(|bits| bits <= 128)
}
