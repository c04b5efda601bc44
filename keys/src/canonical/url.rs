//! The structure of a URL, found as browsers find it, before anything is unescaped.
//!
//! ```text
//!   h<TAB>TTP:/\user@x:pw@EXAMPLE.com.:080\a\..\b?q#frag
//!   └scheme─┘└┘└userinfo┘└───host───┘└port┘└path─┘└query (fragment cut)
//! ```
//! Safe Browsing's text unescapes the whole URL first. That is a hole: in `http://good.example%2F@evil.example/` the browser sees userinfo and goes to
//! evil.example, while unescaping first finds the host good.example. So: structure first, then each part by its own rules.
//! Input without a scheme is taken as http, as plain lists write it.

use super::{Canonicalizer, Parts, host, path, percent};
use crate::{URL_BYTES_MAX, Unparseable};

/// The schemes whose authority and path browsers parse as web addresses, less `file`.
const WEB: [&[u8]; 5] = [b"http", b"https", b"ftp", b"ws", b"wss"];

/// Schemes that are never a host name before a port, although digits may follow: `tel:112`, `javascript:1`.
const OPAQUE: [&[u8]; 16] = [
    b"about",
    b"blob",
    b"callto",
    b"cid",
    b"data",
    b"fax",
    b"file",
    b"geo",
    b"javascript",
    b"mailto",
    b"mid",
    b"sip",
    b"sms",
    b"tel",
    b"urn",
    b"vbscript",
];

/// What the text up to the first colon says.
enum Start {
    /// A web scheme of that many bytes, colon included.
    Web(usize),
    Missing,
    Unsupported,
}

/// `http://` before every canonical URL: so much is left for host, path and query.
const TEXT_BYTES_MAX: usize = URL_BYTES_MAX - b"http://".len();

pub(super) fn canonicalise<'s>(buffers: &'s mut Canonicalizer, raw: &[u8]) -> Result<Parts<'s>, Unparseable> {
    if raw.len() > URL_BYTES_MAX {
        return Err(Unparseable::TooLong);
    }
    let Canonicalizer { text, scratch, host, path_query } = buffers;
    host.clear();
    path_query.clear();
    push_visible(raw, text);
    if text.is_empty() {
        return Err(Unparseable::Empty);
    }
    if hides_scheme(text, scratch) {
        // `http%3A%2F%2Fexample.com%23x`: whoever unescapes it reads all of it anew, fragment and line breaks too.
        push_visible(scratch, text);
    }
    let rest = after_scheme(text)?;
    let (authority, rest) = rest.split_at(rest.iter().position(ends_authority).unwrap_or(rest.len()));
    let address = host::push_host(without_port(without_userinfo(authority))?, scratch, host)?;
    let (raw_path, raw_query) = split_query(rest);
    path::push_path(raw_path, scratch, path_query);
    let path_bytes = path_query.len();
    path::push_query(raw_query, scratch, path_query);
    if host.len() + path_query.len() > TEXT_BYTES_MAX {
        return Err(Unparseable::TooLong);
    }
    Ok(Parts { host, address, path_query, path_bytes })
}

/// The canonical host of a host question: a name, an address in any spelling (IPv6 with or without brackets), perhaps a port.
pub(super) fn canonicalise_host<'s>(buffers: &'s mut Canonicalizer, raw: &[u8]) -> Result<Parts<'s>, Unparseable> {
    if raw.len() > URL_BYTES_MAX {
        return Err(Unparseable::TooLong);
    }
    let Canonicalizer { text, scratch, host, path_query } = buffers;
    host.clear();
    path_query.clear();
    text.clear();
    text.extend(trim(raw).iter().filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n')));
    if text.is_empty() {
        return Err(Unparseable::Empty);
    }
    if text.iter().any(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#' | b'@')) {
        return Err(Unparseable::HostCharacter);
    }
    let is_bare_ipv6 = text[0] != b'[' && text.iter().filter(|&&byte| byte == b':').count() >= 2;
    if is_bare_ipv6 {
        text.insert(0, b'[');
        text.push(b']');
    }
    let address = host::push_host(without_port(text)?, scratch, host)?;
    Ok(Parts { host, address, path_query: &[], path_bytes: 0 })
}

/// Leading and trailing C0 controls and spaces.
fn trim(raw: &[u8]) -> &[u8] {
    let start = raw.iter().position(|&byte| byte > b' ').unwrap_or(raw.len());
    let end = raw.iter().rposition(|&byte| byte > b' ').map_or(start, |last| last + 1);
    &raw[start..end]
}

fn without_fragment(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|&byte| byte == b'#').unwrap_or(text.len());
    &text[..end]
}

fn is_slash(byte: &u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

fn ends_authority(byte: &u8) -> bool {
    matches!(byte, b'/' | b'\\' | b'?')
}

/// What browsers see of a text: nothing around it, no TAB, CR or LF in it, no fragment behind it.
fn push_visible(raw: &[u8], text: &mut Vec<u8>) {
    text.clear();
    text.extend(without_fragment(trim(raw)).iter().filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n')));
}

/// What follows scheme and slashes.
fn after_scheme(text: &[u8]) -> Result<&[u8], Unparseable> {
    match start(text) {
        Start::Web(bytes) => Ok(skip_slashes(&text[bytes..])),
        Start::Unsupported => Err(Unparseable::UnsupportedScheme),
        // `//example.com` as a web page would write it; `/path` has no host.
        Start::Missing if is_slash(&text[0]) => {
            if text.get(1).is_some_and(is_slash) {
                Ok(skip_slashes(text))
            } else {
                Err(Unparseable::NoHost)
            }
        }
        Start::Missing => Ok(text),
    }
}

/// Whether there is no scheme as written but a web scheme once everything is unescaped, which `scratch` then holds.
fn hides_scheme(text: &[u8], scratch: &mut Vec<u8>) -> bool {
    let head = &text[..text.iter().position(ends_authority).unwrap_or(text.len())];
    if !head.contains(&b'%') || !matches!(start(text), Start::Missing) {
        return false;
    }
    scratch.clear();
    scratch.extend_from_slice(text);
    percent::unescape(scratch);
    matches!(start(scratch), Start::Web(_))
}

fn skip_slashes(text: &[u8]) -> &[u8] {
    &text[text.iter().position(|byte| !is_slash(byte)).unwrap_or(text.len())..]
}

fn start(text: &[u8]) -> Start {
    let end =
        text.iter().position(|byte| !matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'-' | b'.')).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    let is_scheme = name.first().is_some_and(u8::is_ascii_alphabetic) && after.first() == Some(&b':');
    if !is_scheme {
        return if hides_text_before_scheme(text) { Start::Unsupported } else { Start::Missing };
    }
    let (is, after) = (|known: &[u8]| name.eq_ignore_ascii_case(known), &after[1..]);
    if WEB.into_iter().any(is) {
        Start::Web(end + 1)
    } else if OPAQUE.into_iter().any(is) || after.starts_with(b"//") {
        Start::Unsupported
    } else if is_port(&after[..after.iter().position(ends_authority).unwrap_or(after.len())]) || name.contains(&b'.') {
        Start::Missing // example.com:8080/path, localhost:80
    } else {
        Start::Unsupported
    }
}

/// `\u{FEFF}https://…`: no scheme by the letter of the standard, and surely no host named `https`.
fn hides_text_before_scheme(text: &[u8]) -> bool {
    let end = text.iter().position(ends_authority).unwrap_or(text.len());
    text[..end].ends_with(b":") && text[end..].len() >= 2 && text[end..][..2].iter().all(is_slash)
}

fn is_port(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

fn without_userinfo(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|&byte| byte == b'@') {
        Some(at) => &authority[at + 1..],
        None => authority,
    }
}

/// The port is checked as browsers check it, and dropped.
fn without_port(authority: &[u8]) -> Result<&[u8], Unparseable> {
    let end = match authority {
        [b'[', ..] => authority.iter().position(|&byte| byte == b']').ok_or(Unparseable::Ipv6)? + 1,
        _ => authority.iter().position(|&byte| byte == b':').unwrap_or(authority.len()),
    };
    let (host, after) = authority.split_at(end);
    match after {
        [] => Ok(host),
        [b':', digits @ ..] if is_port_number(digits) => Ok(host),
        [b':', ..] => Err(Unparseable::Port),
        _ => Err(Unparseable::Ipv6),
    }
}

/// Empty, or a number of at most 65535 with any count of leading zeros.
fn is_port_number(digits: &[u8]) -> bool {
    let value = digits.iter().try_fold(0u32, |value, digit| {
        let value = value * 10 + char::from(*digit).to_digit(10)?;
        (value <= 0xFFFF).then_some(value)
    });
    value.is_some()
}

fn split_query(rest: &[u8]) -> (&[u8], &[u8]) {
    match rest.iter().position(|&byte| byte == b'?') {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &[]),
    }
}
