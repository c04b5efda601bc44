//! What a text looks like, before anything is canonicalised.
//!
//! This only sorts: a `Look::Host` may still be no host. It decides which canonical form is tried, in detection and for lists
//! that mix kinds. The order of the questions matters: `192.0.2.0/24` is a prefix and not a host with the path `/24`, forty hex
//! digits are a digest and not a one-label host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The shape of an indicator's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Look {
    /// `scheme://…`
    Url,
    /// `host/path` or `host:port/path`, no scheme.
    HostPath,
    /// A name (or an odd spelling of an IPv4 address).
    Host,
    /// `name:port`
    HostPort,
    /// An IPv4 or IPv6 address, brackets allowed.
    Address,
    /// `192.0.2.1:80`, `[2001:db8::1]:80`
    AddressPort,
    /// `192.0.2.0/24`
    Prefix,
    /// `192.0.2.1-192.0.2.9`
    Range,
    /// 32, 40 or 64 hexadecimal digits.
    Digest,
    /// `name@host`
    Email,
    /// `*.example.test`, `192.0.2.*`
    Wildcard,
    /// Several words.
    Words,
    /// A path, a regular expression, anything else.
    Other,
}

/// Sorts a trimmed, non-empty text.
pub fn look(text: &[u8]) -> Look {
    if has_scheme(text) {
        return Look::Url;
    }
    if text.iter().any(|byte| byte.is_ascii_whitespace()) {
        return Look::Words;
    }
    if matches!(text.len(), 32 | 40 | 64) && text.iter().all(u8::is_ascii_hexdigit) {
        return Look::Digest;
    }
    if text.first() == Some(&b'[') {
        return bracketed(text);
    }
    if let Some(slash) = text.iter().position(|&byte| byte == b'/') {
        return with_slash(&text[..slash], &text[slash + 1..]);
    }
    match host_like(text) {
        Look::Other if is_email(text) => Look::Email,
        look => look,
    }
}

/// An address as Rust's standard library reads it: no odd forms, no scope.
pub fn address(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The address and port of `192.0.2.1:80` and `[2001:db8::1]:80`; brackets alone are fine too.
pub fn address_of_socket(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let port = rest.strip_prefix(':');
        let rest_is_a_port = rest.is_empty() || port.is_some_and(is_port);
        return rest_is_a_port.then(|| address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)).flatten();
    }
    let (address, port) = text.split_once(':')?;
    is_port(port).then(|| address.parse::<Ipv4Addr>().ok().map(IpAddr::V4)).flatten()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_scheme(text: &[u8]) -> bool {
    let Some(colon) = text.iter().position(|&byte| byte == b':') else { return false };
    let scheme = &text[..colon];
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    is_scheme && text[colon..].starts_with(b"://")
}

fn bracketed(text: &[u8]) -> Look {
    let Some(close) = text.iter().position(|&byte| byte == b']') else { return Look::Other };
    if text.get(close + 1) == Some(&b'/') || (text.get(close + 1) == Some(&b':') && text[close..].contains(&b'/')) {
        let host_end = text.iter().position(|&byte| byte == b'/').unwrap_or(text.len());
        return if address_of_socket(&text[..host_end]).is_some() { Look::HostPath } else { Look::Other };
    }
    match address_of_socket(text) {
        Some(_) if close + 1 == text.len() => Look::Address,
        Some(_) => Look::AddressPort,
        None => Look::Other,
    }
}

fn with_slash(host: &[u8], rest: &[u8]) -> Look {
    if host.is_empty() {
        return Look::Other;
    }
    if address(host).is_some() && !rest.is_empty() && rest.len() <= 3 && rest.iter().all(u8::is_ascii_digit) {
        return Look::Prefix;
    }
    match host_like(host) {
        Look::Host | Look::HostPort | Look::AddressPort => Look::HostPath,
        Look::Address if host.contains(&b'.') => Look::HostPath,
        Look::Wildcard => Look::Wildcard,
        _ => Look::Other,
    }
}

fn host_like(text: &[u8]) -> Look {
    if address(text).is_some() {
        return Look::Address;
    }
    if address_of_socket(text).is_some() {
        return Look::AddressPort;
    }
    if is_range(text) {
        return Look::Range;
    }
    let in_a_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') || *byte >= 0x80;
    if text.contains(&b'*') && text.iter().all(|byte| in_a_name(byte) || *byte == b'*') {
        return Look::Wildcard;
    }
    if text.iter().all(in_a_name) {
        return Look::Host;
    }
    let Some(colon) = text.iter().position(|&byte| byte == b':') else { return Look::Other };
    let (name, port) = (&text[..colon], &text[colon + 1..]);
    let port_is_one = std::str::from_utf8(port).is_ok_and(is_port);
    if !name.is_empty() && name.iter().all(in_a_name) && port_is_one { Look::HostPort } else { Look::Other }
}

fn is_email(text: &[u8]) -> bool {
    let in_one = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+') || *byte >= 0x80;
    let Some(at) = text.iter().position(|&byte| byte == b'@') else { return false };
    let (user, host) = (&text[..at], &text[at + 1..]);
    !user.is_empty() && user.iter().all(in_one) && !host.is_empty() && host.iter().all(in_one)
}

fn is_range(text: &[u8]) -> bool {
    let Some(dash) = text.iter().position(|&byte| byte == b'-') else { return false };
    address(&text[..dash]).is_some() && address(&text[dash + 1..]).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_the_usual_and_the_odd() {
        let cases: &[(&str, Look)] = &[
            ("http://example.test/", Look::Url),
            ("ftp://example.test", Look::Url),
            ("https://example.test/a b", Look::Url),
            ("example.test/a", Look::HostPath),
            ("example.test/", Look::HostPath),
            ("example.test:8080/a", Look::HostPath),
            ("192.0.2.1/a", Look::HostPath),
            ("192.0.2.1:80/a", Look::HostPath),
            ("[2001:db8::1]/a", Look::HostPath),
            ("[2001:db8::1]:80/a", Look::HostPath),
            ("example.test", Look::Host),
            ("bücher.example", Look::Host),
            ("_dmarc.example.test", Look::Host),
            ("0x7f.1", Look::Host),
            ("3232235777", Look::Host),
            ("example.test:443", Look::HostPort),
            ("192.0.2.1", Look::Address),
            ("2001:db8::1", Look::Address),
            ("[2001:db8::1]", Look::Address),
            ("192.0.2.1:443", Look::AddressPort),
            ("[2001:db8::1]:443", Look::AddressPort),
            ("192.0.2.0/24", Look::Prefix),
            ("2001:db8::/32", Look::Prefix),
            ("192.0.2.1-192.0.2.9", Look::Range),
            ("2001:db8::1-2001:db8::2", Look::Range),
            ("44d88612fea8a8f36de82e1278abb02f", Look::Digest),
            ("3395856CE81F2B7382DEE72602F798B642F14140", Look::Digest),
            ("user@example.test", Look::Email),
            ("mailto:user@example.test", Look::Other),
            ("@@||example.test^", Look::Other),
            ("*.example.test", Look::Wildcard),
            ("192.0.2.*", Look::Wildcard),
            ("*", Look::Wildcard),
            ("*.example.test/x", Look::Wildcard),
            ("example.test bad", Look::Words),
            ("/gate.php", Look::Other),
            ("/", Look::Other),
            ("\\bq(l|r)[0-9]{5,6}\\.example", Look::Other),
            ("||example.test^", Look::Other),
            ("192.0.2.1:99999", Look::Other),
            ("example.test:+80", Look::Other),
            ("[2001:db8::1", Look::Other),
            ("[]", Look::Other),
            ("2001:db8::1/x", Look::Other),
            ("://example.test", Look::Other),
        ];
        for (text, expected) in cases {
            assert_eq!(look(text.as_bytes()), *expected, "{text}");
        }
    }
}
