//! Detection rules of Suricata and Snort 2 and 3, as far as they say a host, a URL or addresses and nothing beside.
//!
//! ```text
//! alert ip [192.0.2.1,198.51.100.0/24] any -> $HOME_NET any (msg:"…"; sid:1;)                     each address
//! alert http … (http.host; content:"bad.example"; sid:1;)                                          that host
//! alert dns … (dns.query; dotprefix; content:".bad.example"; endswith; …)                           the host and all names below
//! alert http … (http.method; content:"GET"; http.uri; content:"/kit.exe"; http.host; content:"bad.example"; …)    that page
//! ```
//! A content without `startswith`, `endswith` or `bsize` also matches around the text; the rule made of it is for the text itself: narrower, never
//! wider. GET is how a page is opened, so it is no condition here. Everything else that a rule asks for (other methods, expressions, ports in URLs,
//! payloads, thresholds of counts) makes it no key: `rule-condition`.

use super::options::{self, Asked};
use super::{Line, Part, Reader, Row, Said};
use crate::categories;
use crate::judge::Expect;
use crate::look::{self, Look, look};
use crate::reason::Reason;
use std::borrow::Cow;

/// Addresses of one rule: the widest lists in circulation have some hundreds.
const ADDRESSES_MAX: usize = 4096;

/// A file of rules.
pub struct Rules;

impl Reader for Rules {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        let line = line.trim_ascii();
        if let Some(other) = Line::without_row(line, |line| line[0] == b'#') {
            return other;
        }
        match rule(line) {
            Ok(row) => Line::Row(row),
            Err(reason) => Line::Refused(reason),
        }
    }
}

fn rule(line: &[u8]) -> Result<Row<'_>, Reason> {
    let open = line.iter().position(|&byte| byte == b'(').ok_or(Reason::ListFormat)?;
    let body = line[open + 1..].strip_suffix(b")").ok_or(Reason::ListFormat)?;
    let header = Header::parse(&line[..open])?;
    let asked = options::read(body)?;
    let said = Said { categories: class_categories(asked.classtype), ..Said::default() };
    let parts = match (&asked.host, &asked.path) {
        (None, None) => header.addresses()?,
        (None, Some(_)) => return Err(Reason::RuleCondition), // a path of whatever host
        (Some(host), None) => vec![Part { text: host_text(host)?, expect: Ok(Expect::Host) }],
        (Some(host), Some(path)) => vec![Part { text: url_text(host, path)?, expect: Ok(Expect::Url) }],
    };
    if (asked.host.is_some() || asked.path.is_some()) && header.names_addresses() {
        return Err(Reason::RuleSeveral);
    }
    Ok(Row { parts, said, reference: reference(asked.reference, asked.sid) })
}

/// `url,report.example/x` as the rule has it, else its number.
fn reference<'l>(reference: &'l [u8], sid: &[u8]) -> Option<Cow<'l, [u8]>> {
    match (reference, sid) {
        ([], []) => None,
        ([], sid) => Some(Cow::Owned([b"sid:", sid].concat())),
        (reference, _) => Some(Cow::Borrowed(reference)),
    }
}

/// `.name` where the names below match too.
fn host_text(host: &Asked) -> Result<Cow<'static, [u8]>, Reason> {
    let name = host.text.strip_prefix(b".").unwrap_or(&host.text);
    if !matches!(look(name), Look::Host | Look::Address) {
        return Err(Reason::RuleCondition); // a piece of a name, or of something else
    }
    // With `dotprefix` the searched text begins with a dot, so that `.name` means the name too; without it, only names below.
    let below_only = host.text.starts_with(b".") && !host.dotprefix;
    if below_only {
        return Err(Reason::Wildcard);
    }
    let with_below = !host.at_start || host.dotprefix && host.text.starts_with(b".");
    let is_name = look(name) == Look::Host;
    Ok(Cow::Owned(if with_below && is_name { [b".", name].concat() } else { name.to_vec() }))
}

fn url_text(host: &Asked, path: &Asked) -> Result<Cow<'static, [u8]>, Reason> {
    let name = host.text.strip_prefix(b".").unwrap_or(&host.text);
    if !matches!(look(name), Look::Host | Look::Address | Look::HostPort | Look::AddressPort) || !path.text.starts_with(b"/") {
        return Err(Reason::RuleCondition);
    }
    Ok(Cow::Owned([b"http://", name, &path.text].concat()))
}

/// What stands before the parenthesis: `action protocol source port direction destination port`.
struct Header<'l> {
    source: &'l [u8],
    destination: &'l [u8],
}

impl<'l> Header<'l> {
    fn parse(text: &'l [u8]) -> Result<Self, Reason> {
        let words = header_words(text);
        match words.first().copied() {
            Some(b"alert" | b"drop" | b"reject" | b"rejectsrc" | b"rejectdst" | b"rejectboth" | b"block" | b"sdrop") => {}
            Some(b"pass") => return Err(Reason::Exception),
            Some(b"log" | b"activate" | b"dynamic" | b"config") => return Err(Reason::RuleAction),
            _ => return Err(Reason::ListFormat),
        }
        match *words.as_slice() {
            [_, _, source, _, b"->" | b"<>", destination, _] => Ok(Header { source, destination }),
            // Snort 3 knows rules of a service or of files, without addresses.
            [_, b"http" | b"dns" | b"tls" | b"ssl" | b"file" | b"http2" | b"http3"] => Ok(Header { source: b"any", destination: b"any" }),
            _ => Err(Reason::ListFormat),
        }
    }

    fn names_addresses(&self) -> bool {
        [self.source, self.destination].iter().any(|side| is_literal(side))
    }

    /// The addresses of the one side that names any, while the other says nobody in particular.
    fn addresses(&self) -> Result<Vec<Part<'l>>, Reason> {
        let side = match (is_literal(self.source), is_literal(self.destination)) {
            (true, false) => self.source,
            (false, true) => self.destination,
            (true, true) => return Err(Reason::RuleSeveral),
            (false, false) => return Err(Reason::RuleCondition),
        };
        let list = side.strip_prefix(b"[").and_then(|side| side.strip_suffix(b"]")).unwrap_or(side);
        let items: Vec<&[u8]> = list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).take(ADDRESSES_MAX + 1).collect();
        if items.len() > ADDRESSES_MAX {
            return Err(Reason::TooManyNames);
        }
        // `!` and variables within a list take addresses out of it, or add what this file does not say.
        if items.iter().any(|item| item.is_empty() || matches!(item[0], b'!' | b'$' | b'[')) {
            return Err(Reason::RuleCondition);
        }
        Ok(items.into_iter().map(|item| Part { text: Cow::Borrowed(item), expect: Ok(Expect::Address) }).collect())
    }
}

/// Does a side of the header name addresses? `any` and `$VARIABLE` do not.
fn is_literal(side: &[u8]) -> bool {
    let first = side.strip_prefix(b"!").unwrap_or(side);
    let first = first.strip_prefix(b"[").unwrap_or(first);
    let item = first.split(|byte| matches!(byte, b',' | b']' | b'/')).next().unwrap_or_default();
    look::address(item.trim_ascii()).is_some()
}

/// Words, where a bracketed list is one.
fn header_words(text: &[u8]) -> Vec<&[u8]> {
    let (mut words, mut start, mut depth) = (Vec::new(), None, 0u32);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'[' => depth = depth.saturating_add(1),
            b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (byte.is_ascii_whitespace() && depth == 0, start) {
            (true, Some(from)) => {
                words.push(&text[from..at]);
                start = None;
            }
            (false, None) => start = Some(at),
            _ => {}
        }
        if words.len() > 8 {
            break;
        }
    }
    words.extend(start.map(|from| &text[from..]));
    words
}

/// Class types that name a category beyond doubt.
fn class_categories(classtype: &[u8]) -> u16 {
    match classtype {
        b"trojan-activity" | b"malware-cnc" | b"domain-c2" | b"command-and-control" => categories::MALWARE,
        b"social-engineering" | b"credential-theft" => categories::PHISHING,
        b"exploit-kit" | b"attempted-admin" | b"attempted-user" => categories::EXPLOIT,
        b"coin-mining" => categories::CRYPTOMINING,
        b"pup-activity" => categories::UNWANTED,
        b"network-scan" | b"attempted-recon" => categories::SCANNER,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<&[&str], Reason>) {
        let read = match Rules.read(line.as_bytes()) {
            Line::Row(row) => Ok(row.parts.iter().map(|part| String::from_utf8(part.text.to_vec()).unwrap()).collect::<Vec<_>>()),
            Line::Refused(reason) => Err(reason),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(read, expected.map(|texts| texts.iter().map(|text| (*text).to_owned()).collect()), "{line}");
    }

    const NET: &str = "alert http $HOME_NET any -> $EXTERNAL_NET any";

    #[test]
    fn takes_hosts_of_suricata_and_both_snorts() {
        check(
            &format!("{NET} (msg:\"x; (y)\"; flow:established,to_server; http.host; content:\"a.example\"; sid:1; rev:1;)"),
            Ok(&[".a.example"]),
        );
        check(&format!("{NET} (http.host; content:\"a.example\"; startswith; endswith; sid:1;)"), Ok(&["a.example"]));
        check("alert dns any any -> any any (dns.query; dotprefix; content:\".a.example\"; nocase; endswith; sid:1;)", Ok(&[".a.example"]));
        check("alert tls any any -> any any (tls.sni; content:\"a.example\"; bsize:9; sid:1;)", Ok(&["a.example"]));
        check(&format!("{NET} (http_header:field host; content:\"a.example\",nocase; sid:1;)"), Ok(&[".a.example"]));
        check(
            "alert tcp $HOME_NET any -> $EXTERNAL_NET [80,443] (content:\"GET\"; http_method; content:\"192.0.2.1\"; content:\"Host\"; http_header; sid:1;)",
            Ok(&["192.0.2.1"]),
        );
    }

    #[test]
    fn takes_pages_where_host_and_path_are_said() {
        let page = Ok(&["http://a.example/x/y.exe"][..]);
        check(
            &format!(
                "{NET} (http.method; content:\"GET\"; http.uri; content:\"/x/y.exe\"; endswith; nocase; http.host; content:\"a.example\"; sid:1;)"
            ),
            page,
        );
        check(
            &format!("{NET} (http_header:field host; content:\"a.example\",nocase; http_uri; content:\"/x/y.exe\",nocase; sid:1;)"),
            page,
        );
        check(&format!("{NET} (http.uri; content:\"/x/y|2e|exe\"; http.host; content:\"a.example\"; sid:1;)"), page);
        check(&format!("{NET} (http.uri; content:\"/x\"; sid:1;)"), Err(Reason::RuleCondition));
    }

    #[test]
    fn takes_addresses_where_nothing_else_is_asked() {
        check(
            "alert ip [192.0.2.1, 198.51.100.0/24] any -> $HOME_NET any (msg:\"x\"; threshold: type limit, track by_src, seconds 60, count 1; sid:1;)",
            Ok(&["192.0.2.1", "198.51.100.0/24"]),
        );
        check("drop tcp any any -> 192.0.2.1 443 (sid:1;)", Ok(&["192.0.2.1"]));
        check("alert ip [192.0.2.0/24,!192.0.2.1] any -> any any (sid:1;)", Err(Reason::RuleCondition));
        check("alert ip 192.0.2.1 any -> 198.51.100.1 any (sid:1;)", Err(Reason::RuleSeveral));
        check("alert tcp any any -> any any (sid:1;)", Err(Reason::RuleCondition));
    }

    #[test]
    fn refuses_what_asks_for_more() {
        for body in [
            "pcre:\"/x/\"; http.host; content:\"a.example\";",
            "http.host; content:!\"a.example\";",
            "http.method; content:\"POST\"; http.host; content:\"a.example\";",
            "http.user_agent; content:\"x\"; http.host; content:\"a.example\";",
            "dsize:>5;",
            "http.host; content:\"example\"; within:5;",
            "threshold: type both, track by_src, count 5, seconds 60; http.host; content:\"a.example\";",
        ] {
            check(&format!("{NET} ({body} sid:1;)"), Err(Reason::RuleCondition));
        }
        check(&format!("{NET} (http.host; content:\"a.example\"; content:\"b\"; sid:1;)"), Err(Reason::RuleSeveral));
        check("pass ip 192.0.2.1 any -> any any (sid:1;)", Err(Reason::Exception));
        check("log ip 192.0.2.1 any -> any any (sid:1;)", Err(Reason::RuleAction));
        check("alert ip 192.0.2.1 any (sid:1;)", Err(Reason::ListFormat));
        check("a.example", Err(Reason::ListFormat));
    }
}
