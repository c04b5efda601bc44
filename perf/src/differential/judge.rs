//! Whether what we make of a URL fits what a parser makes of it: equal, or different for a reason that docs/canonicalisation.md gives.
//!
//! | the parser | we | fits, if |
//! |---|---|---|
//! | opens it | read it | the canonical form of its href is ours, and its host, dots folded, is our host |
//! | opens it | refuse it | the host is too long for DNS, is nothing but dots, or becomes a malformed address once dots are folded |
//! | opens another scheme | read it | it is a host with a port, and with `http://` before it everything above holds |
//! | refuses it | read it | it has no scheme, or hides it in escapes, and everything above holds once that is put right; or no browser opens such a host at all |

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use verdict_keys::{Canonicalizer, HOST_BYTES_MAX, URL_BYTES_MAX, Unparseable};

use super::Canonicalise;
use super::peers::{Peer, Seen};

/// A canonical URL that owns its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// As expressions spell it.
    pub host: String,
    /// Path, and query where there is one.
    pub path_query: String,
}

impl fmt::Display for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.host, self.path_query)
    }
}

/// By the slow path.
pub fn canonical(canonicalizer: &mut Canonicalizer, raw: &[u8]) -> Result<Canonical, Unparseable> {
    canonicalizer.url(raw).map(|url| Canonical { host: url.host_text.to_owned(), path_query: url.path_query.to_owned() })
}

/// The class of an explanation, or what is wrong.
pub type Judged = Result<&'static str, &'static str>;

/// Holds what `canonicalise` makes of `text` against what `peer` does.
pub fn judge(text: &str, canonicalise: &mut Canonicalise<'_>, peer: &dyn Peer) -> Judged {
    let ours = canonicalise(text.as_bytes());
    match (peer.parse(text), ours) {
        (Some(seen), Ok(ours)) if seen.is_web => opened(&ours, &seen, canonicalise, peer),
        (Some(seen), Err(reason)) if seen.is_web => refused_by_us(text, reason, &seen),
        (Some(_), Err(_)) => Ok("another scheme"),
        (Some(_), Ok(ours)) => with_scheme(text, &ours, canonicalise, peer, "a host and port that reads as a scheme"),
        (None, Err(_)) => Ok("refused by both"),
        (None, Ok(ours)) => refused_by_them(text, &ours, canonicalise, peer),
    }
}

fn opened(ours: &Canonical, seen: &Seen, canonicalise: &mut Canonicalise<'_>, peer: &dyn Peer) -> Judged {
    if seen.href.len() > URL_BYTES_MAX {
        Ok("opened as what is longer than any question")
    } else if canonicalise(seen.href.as_bytes()).as_ref() != Ok(ours) {
        Err("what it opens has another canonical form")
    } else if fold_host(&seen.host, peer) != Some(ours.host.clone()) {
        Err("another host")
    } else {
        Ok("opened, and equal")
    }
}

fn refused_by_us(text: &str, reason: Unparseable, seen: &Seen) -> Judged {
    let folded = fold_dots(&seen.host);
    match reason {
        Unparseable::HostTooLong if folded.len() > HOST_BYTES_MAX || text.len() > 1024 => Ok("we refuse: a host longer than DNS has"),
        Unparseable::NoHost if folded.is_empty() => Ok("we refuse: a host of dots only"),
        Unparseable::Ipv4 if folded != seen.host => Ok("we refuse: a malformed address once its dots are folded"),
        // Every byte of it may have become three.
        Unparseable::TooLong if 3 * text.len() > URL_BYTES_MAX => Ok("we refuse: longer than any question"),
        _ => Err("we refuse what it opens"),
    }
}

/// Everything must hold once `http://` stands before it.
fn with_scheme(text: &str, ours: &Canonical, canonicalise: &mut Canonicalise<'_>, peer: &dyn Peer, class: &'static str) -> Judged {
    let text = format!("http://{}", text.trim_matches(|character| character <= ' '));
    if text.len() > URL_BYTES_MAX {
        return Ok("longer than any question with a scheme");
    }
    if canonicalise(text.as_bytes()).as_ref() != Ok(ours) {
        return Err("another canonical form than with a scheme");
    }
    match peer.parse(&text) {
        Some(seen) => opened(ours, &seen, canonicalise, peer).map(|_| class),
        None => no_browser_opens(&text, ours, peer),
    }
}

fn refused_by_them(text: &str, ours: &Canonical, canonicalise: &mut Canonicalise<'_>, peer: &dyn Peer) -> Judged {
    let visible: String = text.trim_matches(|character| character <= ' ').replace(['\t', '\r', '\n'], "");
    let scheme = visible.split(['/', '\\', '?', '#']).next().and_then(|head| head.split_once(':')).map_or("", |(scheme, _)| scheme);
    if ["http", "https", "ftp", "ws", "wss"].iter().any(|web| scheme.eq_ignore_ascii_case(web)) {
        return no_browser_opens(&visible, ours, peer);
    }
    let unescaped = unescaped(visible.split('#').next().unwrap_or_default());
    let hides = ["http:", "https:", "ftp:", "ws:", "wss:"];
    if hides.iter().any(|web| unescaped.get(..web.len()).is_some_and(|head| head.eq_ignore_ascii_case(web.as_bytes()))) {
        let reads_alike = canonicalise(&unescaped).as_ref() == Ok(ours);
        return if reads_alike { Ok("a scheme hidden in escapes") } else { Err("another canonical form than unescaped") };
    }
    with_scheme(&visible, ours, canonicalise, peer, "no scheme: taken as http")
}

/// Kept, because it is harmless to keep: the host is one that this parser opens in no spelling.
fn no_browser_opens(text: &str, ours: &Canonical, peer: &dyn Peer) -> Judged {
    let opens_canonical = peer.parse(&format!("http://{}/", ours.host)).is_some();
    if ours.host.contains(['%', '<', '>', '^', '|']) {
        Ok("kept: a host that Safe Browsing escapes")
    } else if unescaped_once(written_host(text).as_bytes()) != unescaped(written_host(text)) {
        Ok("kept: a host escaped more than once")
    } else if !opens_canonical && ours.host.split('.').any(|label| label.starts_with("xn--")) {
        Ok("kept: punycode that IDNA refuses")
    } else if !is_folded(&plain_host(text)) {
        Ok("kept: an address with dots to fold")
    } else if ours.host.parse::<Ipv4Addr>().is_ok() && unescaped(text).windows(2).any(|pair| pair[0].is_ascii_digit() && pair[1] == b' ') {
        Ok("kept: an address, a space, and rubbish")
    } else {
        Err("we read what it refuses")
    }
}

/// The host part as written.
fn written_host(text: &str) -> &str {
    let rest = text.split_once(':').map_or(text, |(_, rest)| rest).trim_start_matches(['/', '\\']);
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.split(':').next().unwrap_or_default()
}

/// The host part, unescaped, its dots of any script made plain.
fn plain_host(text: &str) -> String {
    String::from_utf8_lossy(&unescaped(written_host(text))).replace(['\u{3002}', '\u{FF0E}', '\u{FF61}'], ".").replace('\u{AD}', "")
}

fn is_folded(host: &str) -> bool {
    fold_dots(host) == host
}

fn fold_dots(host: &str) -> String {
    host.split('.').filter(|label| !label.is_empty()).collect::<Vec<_>>().join(".")
}

/// As documented: runs of dots collapse, mapped and NAT64 addresses are IPv4. What was a name with dots to fold may be an address without them.
fn fold_host(host: &str, peer: &dyn Peer) -> Option<String> {
    if let Some(text) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr = text.parse().ok()?;
        let bits = address.to_bits();
        let is_v4 = bits >> 32 == 0xFFFF || bits >> 32 == 0x0064_FF9B_0000_0000_0000_0000;
        return Some(if is_v4 { Ipv4Addr::from_bits(bits as u32).to_string() } else { format!("[{address}]") });
    }
    let folded = fold_dots(host);
    if folded == host { Some(folded) } else { peer.parse(&format!("http://{folded}/")).map(|seen| seen.host) }
}

/// Rounds of unescaping until nothing changes.
fn unescaped(text: &str) -> Vec<u8> {
    let mut text = text.as_bytes().to_vec();
    loop {
        let next = unescaped_once(&text);
        if next == text {
            return text;
        }
        text = next;
    }
}

/// As browsers decode a host.
fn unescaped_once(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while at < text.len() {
        let escape = match text[at..] {
            [b'%', high, low, ..] => digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        out.push(escape.unwrap_or(text[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    out
}

/// A fault of a canonicaliser, as what its input would have to be for ours to make it.
pub struct Faulty {
    /// What it does wrong.
    pub name: &'static str,
    from: &'static [u8],
    to: &'static [u8],
}

impl Faulty {
    /// Each must be found out.
    pub const ALL: [Self; 6] = [
        Self { name: "a backslash is a character like any other", from: b"\\", to: b"_" },
        Self { name: "a tab counts", from: b"\t", to: b"_" },
        Self { name: "the ideographic dot is a letter", from: "\u{3002}".as_bytes(), to: b"x" },
        Self { name: "%2e is no dot", from: b"%2e", to: b"x" },
        Self { name: "userinfo ends at the slash behind it", from: b"@", to: b"/" },
        Self { name: "hexadecimal is no IPv4", from: b"0x", to: b"x0x" },
    ];

    /// What the faulty canonicaliser sees.
    pub fn apply(&self, raw: &[u8]) -> Vec<u8> {
        let (mut out, mut at) = (Vec::with_capacity(raw.len()), 0);
        while at < raw.len() {
            if raw[at..].starts_with(self.from) {
                out.extend_from_slice(self.to);
                at += self.from.len();
            } else {
                out.push(raw[at]);
                at += 1;
            }
        }
        out
    }
}
