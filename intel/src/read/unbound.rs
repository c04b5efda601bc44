//! unbound: `local-zone: "bad.example" always_nxdomain`, the name and all names below; `local-data: "bad.example A 0.0.0.0"`, the name alone.
//!
//! Zone types that answer in place of the world block; `transparent` and its kin do not; `always_transparent` lets a name through that a wider
//! zone blocks, which is an exception.

use super::{Line, Part, Reader, Row};
use crate::judge::Expect;
use crate::look;
use crate::reason::Reason;
use std::borrow::Cow;

/// Types of zones that answer with nothing.
const BLOCKS: [&[u8]; 10] = [
    b"always_nxdomain",
    b"always_refuse",
    b"always_deny",
    b"always_nodata",
    b"always_null",
    b"refuse",
    b"deny",
    b"static",
    b"redirect",
    b"inform_deny",
];

/// Lines of an unbound configuration, read for its blocks or for its exceptions.
pub struct Unbound {
    exceptions: bool,
}

impl Unbound {
    /// With `exceptions`, zones of the type `always_transparent` are what is read.
    pub fn new(exceptions: bool) -> Self {
        Unbound { exceptions }
    }
}

impl Reader for Unbound {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        let line = line.split(|&byte| byte == b'#').next().map(<[u8]>::trim_ascii).filter(|text| !text.is_empty()).ok_or(line);
        let line = match line {
            Ok(line) => line,
            Err(line) if line.trim_ascii().is_empty() => return Line::Blank,
            Err(_) => return Line::Comment,
        };
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return Line::Refused(Reason::ListFormat) };
        let (key, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        let (text, is_exception) = match key {
            b"server" if value.is_empty() => return Line::Comment,
            b"local-zone" => match zone(value) {
                Ok(found) => found,
                Err(reason) => return Line::Refused(reason),
            },
            b"local-data" => match data(value) {
                Ok(name) => (name, false),
                Err(reason) => return Line::Refused(reason),
            },
            _ => return Line::Refused(Reason::DnsAction),
        };
        match (is_exception, self.exceptions) {
            (true, false) => Line::Refused(Reason::Exception),
            (false, true) => Line::Refused(Reason::NotAnException),
            _ => Line::Row(Row::of(vec![Part { text, expect: Ok(Expect::Host) }])),
        }
    }
}

/// `"name" type`: `.name`, so that the names below are meant whatever else is said.
fn zone(value: &[u8]) -> Result<(Cow<'_, [u8]>, bool), Reason> {
    let (name, rest) = word(value).ok_or(Reason::ListFormat)?;
    let kind = rest.trim_ascii();
    let is_exception = kind == b"always_transparent";
    if !is_exception && !BLOCKS.contains(&kind) {
        return Err(Reason::DnsAction);
    }
    let name = name.strip_suffix(b".").unwrap_or(name);
    Ok((Cow::Owned([b".", name].concat()), is_exception))
}

/// `"name [ttl] [IN] A 0.0.0.0"`
fn data(value: &[u8]) -> Result<Cow<'_, [u8]>, Reason> {
    let (record, _) = word(value).ok_or(Reason::ListFormat)?;
    let mut words = record.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let name = words.next().ok_or(Reason::ListFormat)?;
    let kind = words.find(|word| !word.iter().all(u8::is_ascii_digit) && !word.eq_ignore_ascii_case(b"IN")).ok_or(Reason::ListFormat)?;
    if !kind.eq_ignore_ascii_case(b"A") && !kind.eq_ignore_ascii_case(b"AAAA") {
        return Err(Reason::DnsAction);
    }
    let address = words.next().and_then(look::address).ok_or(Reason::ListFormat)?;
    let name = name.strip_suffix(b".").unwrap_or(name);
    if address.is_unspecified() || address.is_loopback() { Ok(Cow::Borrowed(name)) } else { Err(Reason::Redirection) }
}

/// A word or a quoted text, and what follows it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    for quote in [b'"', b'\''] {
        if let Some(rest) = text.strip_prefix(&[quote]) {
            let end = rest.iter().position(|&byte| byte == quote)?;
            return Some((rest[..end].trim_ascii(), &rest[end + 1..]));
        }
    }
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    (end > 0).then(|| (&text[..end], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<&str, Reason>) {
        let read = match Unbound::new(false).read(line.as_bytes()) {
            Line::Row(row) => Ok(String::from_utf8(row.parts[0].text.to_vec()).unwrap()),
            Line::Refused(reason) => Err(reason),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(read, expected.map(str::to_owned), "{line}");
    }

    #[test]
    fn takes_zones_with_the_names_below_and_data_without() {
        check("local-zone: \"a.example\" always_nxdomain", Ok(".a.example"));
        check("  local-zone: a.example. refuse # why", Ok(".a.example"));
        check("local-data: \"a.example A 0.0.0.0\"", Ok("a.example"));
        check("local-data: 'a.example. 300 IN AAAA ::'", Ok("a.example"));
    }

    #[test]
    fn refuses_what_does_not_block() {
        check("local-zone: \"a.example\" transparent", Err(Reason::DnsAction));
        check("local-zone: \"a.example\" always_transparent", Err(Reason::Exception));
        check("local-data: \"a.example A 198.51.100.7\"", Err(Reason::Redirection));
        check("local-data: \"a.example TXT x\"", Err(Reason::DnsAction));
        check("local-zone: \"a.example", Err(Reason::ListFormat));
        check("interface: 192.0.2.1", Err(Reason::DnsAction));
        check("a.example", Err(Reason::ListFormat));
    }
}
