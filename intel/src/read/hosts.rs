//! Hosts files: `0.0.0.0 name name …  # comment`.
//!
//! The address says that the name goes nowhere: `0.0.0.0`, `127.0.0.1`, `::`, `::1`. With another address the line sends the name
//! somewhere, which is no statement about the name. The names that every machine has of itself are skipped one by one.

use super::{Line, Part, Reader, Row};
use crate::judge::Expect;
use crate::limits::NAMES_PER_LINE_MAX;
use crate::look;
use crate::reason::Reason;
use std::borrow::Cow;

/// Names that systems put into their own hosts file.
const LOCAL_NAMES: [&[u8]; 15] = [
    b"localhost",
    b"localhost.localdomain",
    b"localhost4",
    b"localhost6",
    b"localhost4.localdomain4",
    b"localhost6.localdomain6",
    b"local",
    b"broadcasthost",
    b"ip6-localhost",
    b"ip6-loopback",
    b"ip6-localnet",
    b"ip6-mcastprefix",
    b"ip6-allnodes",
    b"ip6-allrouters",
    b"ip6-allhosts",
];

/// A hosts file.
pub struct Hosts;

impl Reader for Hosts {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        let text = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
        if text.is_empty() {
            return if line.trim_ascii().is_empty() { Line::Blank } else { Line::Comment };
        }
        let mut words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let target = words.next().map(target);
        let Some(Some(goes_nowhere)) = target else { return Line::Refused(Reason::NotAHostsLine) };
        let parts: Vec<Part<'l>> = words.take(NAMES_PER_LINE_MAX + 1).map(|name| part(name, goes_nowhere)).collect();
        match parts.len() {
            0 => Line::Refused(Reason::NotAHostsLine),
            1..=NAMES_PER_LINE_MAX => Line::Row(Row::of(parts)),
            _ => Line::Refused(Reason::TooManyNames),
        }
    }
}

fn part(name: &[u8], goes_nowhere: bool) -> Part<'_> {
    let is_local = LOCAL_NAMES.iter().any(|local| name.eq_ignore_ascii_case(local))
        || look::address(name).is_some_and(|address| address.is_unspecified());
    let expect = match (is_local, goes_nowhere) {
        (true, _) => Err(Reason::LocalName),
        (false, true) => Ok(Expect::Host),
        (false, false) => Err(Reason::Redirection),
    };
    Part { text: Cow::Borrowed(name), expect }
}

/// Is the first word an address, and one that leads nowhere? A scope (`fe80::1%lo0`) is left aside; `0` is an old way to write 0.0.0.0.
fn target(word: &[u8]) -> Option<bool> {
    if word == b"0" {
        return Some(true);
    }
    let address = look::address(word.split(|&byte| byte == b'%').next()?)?;
    Some(address.is_unspecified() || address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[(&str, Result<Expect, Reason>)]) {
        match Hosts.read(line.as_bytes()) {
            Line::Row(row) => {
                let parts: Vec<_> = row.parts.iter().map(|part| (std::str::from_utf8(&part.text).unwrap(), part.expect)).collect();
                assert_eq!(parts, expected, "{line}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn takes_every_name_of_a_line() {
        check("0.0.0.0 a.example", &[("a.example", Ok(Expect::Host))]);
        check("127.0.0.1\ta.example  b.example # why", &[("a.example", Ok(Expect::Host)), ("b.example", Ok(Expect::Host))]);
        check("::1 a.example#why", &[("a.example", Ok(Expect::Host))]);
        check("0 a.example", &[("a.example", Ok(Expect::Host))]);
        check(":: a.example", &[("a.example", Ok(Expect::Host))]);
    }

    #[test]
    fn leaves_out_the_machines_own_names_and_redirections() {
        check("127.0.0.1 localhost a.example", &[("localhost", Err(Reason::LocalName)), ("a.example", Ok(Expect::Host))]);
        check("fe80::1%lo0 localhost", &[("localhost", Err(Reason::LocalName))]);
        check("255.255.255.255 broadcasthost", &[("broadcasthost", Err(Reason::LocalName))]);
        check("0.0.0.0 0.0.0.0", &[("0.0.0.0", Err(Reason::LocalName))]);
        check("198.51.100.7 a.example", &[("a.example", Err(Reason::Redirection))]);
    }

    #[test]
    fn refuses_lines_of_another_shape() {
        assert_eq!(Hosts.read(b"a.example"), Line::Refused(Reason::NotAHostsLine));
        assert_eq!(Hosts.read(b"0.0.0.0"), Line::Refused(Reason::NotAHostsLine));
        assert_eq!(Hosts.read(b"0.0.0.0 # a.example"), Line::Refused(Reason::NotAHostsLine));
        assert_eq!(Hosts.read(b"# a.example"), Line::Comment);
        assert_eq!(Hosts.read(b" \t"), Line::Blank);
        let many = format!("0.0.0.0{}", " a.example".repeat(NAMES_PER_LINE_MAX + 1));
        assert_eq!(Hosts.read(many.as_bytes()), Line::Refused(Reason::TooManyNames));
    }
}
