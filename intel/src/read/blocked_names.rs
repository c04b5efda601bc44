//! Two ways to write a list of names for old programs: zones of BIND, and Internet Explorer's tracking protection lists.
//!
//! ```text
//! zone "bad.example" { type master; notify no; file "null.zone.file"; };     the name and all names below: the zone is empty
//! -d bad.example              the name and all names below                   +d good.example    an exception
//! ```

use super::{Line, Reader, Row};
use crate::judge::Expect;
use crate::reason::Reason;

/// `zone "name" { … };`, one a line.
pub struct BindZones;

impl Reader for BindZones {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        let line = line.trim_ascii();
        if let Some(other) = Line::without_row(line, |line| line[0] == b'#' || line.starts_with(b"//")) {
            return other;
        }
        let quoted = line.strip_prefix(b"zone").map(<[u8]>::trim_ascii_start).and_then(|rest| rest.strip_prefix(b"\""));
        let Some((name, rest)) =
            quoted.and_then(|text| text.iter().position(|&byte| byte == b'"').map(|end| (&text[..end], &text[end + 1..])))
        else {
            return Line::Refused(Reason::ListFormat);
        };
        let says = |word: &[u8]| rest.split(|byte| byte.is_ascii_whitespace() || matches!(byte, b'{' | b';')).any(|found| found == word);
        // A zone that is served from here answers with what is in its file: nothing, in a block list. Forwarded zones send the name elsewhere.
        let is_served = (says(b"master") || says(b"primary")) && rest.trim_ascii_end().ends_with(b"};");
        if is_served { Line::Row(Row::single(name, Expect::Host)) } else { Line::Refused(Reason::DnsAction) }
    }
}

/// `-d name`, after `msFilterList`.
pub struct ProtectionList {
    exceptions: bool,
}

impl ProtectionList {
    /// With `exceptions`, `+d` is what is read.
    pub fn new(exceptions: bool) -> Self {
        ProtectionList { exceptions }
    }
}

impl Reader for ProtectionList {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        let line = line.trim_ascii();
        match line.first() {
            None => return Line::Blank,
            Some(b'#' | b':') => return Line::Comment,
            Some(_) if line == b"msFilterList" => return Line::Comment,
            Some(_) => {}
        }
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match (kind, self.exceptions) {
            (b"+d", false) => Line::Refused(Reason::Exception),
            (b"-d", true) => Line::Refused(Reason::NotAnException),
            // A further word is a path: `-d host path`.
            (b"-d" | b"+d", _) if words.next().is_some() => Line::Refused(Reason::SeveralWords),
            (b"-d" | b"+d", _) => Line::Row(Row::single(name, Expect::Host)),
            (b"-" | b"+", _) => Line::Refused(Reason::NotAKey),
            _ => Line::Refused(Reason::ListFormat),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_is_served_from_here_is_blocked() {
        let name = Line::Row(Row::single(b"a.example", Expect::Host));
        assert_eq!(BindZones.read(b"zone \"a.example\" { type master; notify no; file \"null.zone.file\"; };"), name);
        assert_eq!(BindZones.read(b"zone \"a.example\" {type primary;};"), name);
        for line in ["zone \"a.example\" { type forward; forwarders { 192.0.2.1; }; };", "zone \"a.example\" {"] {
            assert_eq!(BindZones.read(line.as_bytes()), Line::Refused(Reason::DnsAction), "{line}");
        }
        assert_eq!(BindZones.read(b"options { };"), Line::Refused(Reason::ListFormat));
    }

    #[test]
    fn protection_lists_name_hosts() {
        let mut list = ProtectionList::new(false);
        assert_eq!(list.read(b"msFilterList"), Line::Comment);
        assert_eq!(list.read(b": Expires=1"), Line::Comment);
        assert_eq!(list.read(b"-d a.example"), Line::Row(Row::single(b"a.example", Expect::Host)));
        assert_eq!(list.read(b"-d a.example /x"), Line::Refused(Reason::SeveralWords));
        assert_eq!(list.read(b"+d a.example"), Line::Refused(Reason::Exception));
        assert_eq!(list.read(b"- /ads/"), Line::Refused(Reason::NotAKey));
        assert_eq!(list.read(b"a.example"), Line::Refused(Reason::ListFormat));
    }
}
