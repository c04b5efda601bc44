//! What a line of text is: for command lines and plain feeds, where nothing says so.
//!
//! The first rule that fits decides; leading and trailing spaces and controls are ignored.
//!
//! | text | is |
//! |---|---|
//! | 64, 40 or 32 hexadecimal digits | a digest |
//! | `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]`, each IPv4 or bracketed one also with a port | an address |
//! | a strict address, `/`, up to three digits | a prefix (`192.0.2.1/24` is never a URL, `192.0.2.1/24/` is) |
//! | holds `/ \ ? # @`, or a colon with anything but a port behind it | a URL |
//! | else | a host: `example.com`, `example.com:8080`, `0x7f.1` |

use crate::{Digest, Kind, Prefix, Unparseable, fold_ipv6};
use arrayvec::ArrayVec;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A question, or a rule, by the look of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// To be canonicalised as a URL.
    Url(&'a str),
    /// To be canonicalised as a host; it may yet turn out to be an address in an odd spelling.
    Host(&'a str),
    /// Strictly written; mapped and NAT64 IPv6 are IPv4.
    Address(IpAddr),
    /// A block of addresses, and whether bits below its length were set. A rule, never a question.
    Prefix(Prefix, bool),
    /// A file's digest.
    Digest(Digest),
}

impl<'a> Question<'a> {
    /// By the table above. An error is a text that cannot be anything: empty, or a prefix with a length that does not fit.
    pub fn detect(text: &'a str) -> Result<Self, Unparseable> {
        let text = text.trim_matches(|character| character <= ' ');
        if text.is_empty() {
            return Err(Unparseable::Empty);
        }
        if let Ok(digest) = Digest::parse(text) {
            return Ok(Self::Digest(digest));
        }
        if let Some(address) = parse_address(text) {
            return Ok(Self::Address(address));
        }
        if is_prefix(text) {
            return Prefix::parse(text).map(|(prefix, masked)| Self::Prefix(prefix, masked));
        }
        Ok(if is_url(text) { Self::Url(text) } else { Self::Host(text) })
    }

    /// Kind and bytes as a LOOKUP sends them; a prefix has none.
    pub fn key(&self) -> Option<(Kind, Key<'a>)> {
        Some(match *self {
            Self::Url(text) => (Kind::Url, Key::Text(text.as_bytes())),
            Self::Host(text) => (Kind::Host, Key::Text(text.as_bytes())),
            Self::Address(IpAddr::V4(v4)) => (Kind::Ipv4, Key::Binary(v4.octets().into_iter().collect())),
            Self::Address(IpAddr::V6(v6)) => (Kind::Ipv6, Key::Binary(v6.octets().into_iter().collect())),
            Self::Digest(digest) => (digest.kind(), Key::Binary(digest.as_bytes().iter().copied().collect())),
            Self::Prefix(..) => return None,
        })
    }
}

/// The bytes of a key: text as it stands, or binary on the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// A URL or host.
    Text(&'a [u8]),
    /// An address in network order, or a digest.
    Binary(ArrayVec<u8, 32>),
}

impl AsRef<[u8]> for Key<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Text(bytes) => bytes,
            Self::Binary(bytes) => bytes,
        }
    }
}

fn parse_address(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    if text.contains('%') {
        return None;
    }
    let address = text.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => fold_ipv6(v6),
    })
}

fn is_prefix(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    address.parse::<IpAddr>().is_ok() && matches!(bits.len(), 1..=3) && bits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_url(text: &str) -> bool {
    let has_port_only = |(host, port): (&str, &str)| !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_ipv6_like = text.starts_with('[') || text.bytes().filter(|&byte| byte == b':').count() >= 2;
    text.contains(['/', '\\', '?', '#', '@']) || !is_ipv6_like && !text.rsplit_once(':').is_none_or(has_port_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Question<'_>) {
        assert_eq!(Question::detect(text), Ok(want), "{text}");
    }

    #[test]
    fn digests_are_told_by_their_length() {
        check("44D88612FEA8A8F36DE82E1278ABB02F", Question::Digest(Digest::parse("44d88612fea8a8f36de82e1278abb02f").expect("a digest")));
        check("44d88612fea8a8f36de82e1278abb02", Question::Host("44d88612fea8a8f36de82e1278abb02"));
    }

    #[test]
    fn addresses_come_with_brackets_and_ports() {
        let v4 = Question::Address(IpAddr::from([192, 0, 2, 1]));
        let v6 = Question::Address("2001:db8::1".parse().expect("an address"));
        for text in ["192.0.2.1", " 192.0.2.1\r\n", "192.0.2.1:8080", "::ffff:192.0.2.1", "[64:ff9b::192.0.2.1]:80"] {
            check(text, v4);
        }
        for text in ["2001:db8::1", "2001:DB8:0::1", "[2001:db8::1]", "[2001:db8::1]:443"] {
            check(text, v6);
        }
        check("fe80::1%eth0", Question::Host("fe80::1%eth0")); // refused there, by name
    }

    #[test]
    fn a_strict_address_with_a_length_is_a_prefix() {
        check("192.0.2.7/24", Question::Prefix(Prefix { network: IpAddr::from([192, 0, 2, 0]), bits: 24 }, true));
        check("192.0.2.7/24/", Question::Url("192.0.2.7/24/"));
        check("example.com/24", Question::Url("example.com/24"));
        assert_eq!(Question::detect("192.0.2.0/33"), Err(Unparseable::PrefixLength));
        assert_eq!(Question::detect("  "), Err(Unparseable::Empty));
    }

    #[test]
    fn what_has_structure_is_a_url_and_the_rest_is_a_host() {
        for text in [
            "http://example.com",
            "example.com/",
            "user@example.com",
            "example.com?q",
            "javascript:alert",
            "mailto:a",
            "\\\\example.com\\x",
        ] {
            check(text, Question::Url(text));
        }
        for text in ["example.com", "example.com:8080", "localhost", "0x7f.1", "例え.テスト"] {
            check(text, Question::Host(text));
        }
    }

    #[test]
    fn keys_are_as_the_wire_wants_them() {
        let (kind, key) = Question::detect("192.0.2.1").ok().and_then(|question| question.key()).expect("a key");
        assert_eq!((kind, key.as_ref()), (Kind::Ipv4, &[192, 0, 2, 1][..]));
        let (kind, key) = Question::detect("example.com").ok().and_then(|question| question.key()).expect("a key");
        assert_eq!((kind, key.as_ref()), (Kind::Host, &b"example.com"[..]));
        assert_eq!(Question::detect("192.0.2.0/24").ok().and_then(|question| question.key()), None);
    }
}
