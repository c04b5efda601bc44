//! dnsmasq: `address=/bad.example/0.0.0.0`, the name and all names below.
//!
//! ```text
//! address=/a.example/b.example/0.0.0.0   ::   #   (nothing)      blocked: an address that leads nowhere, or none
//! local=/a.example/   server=/a.example/                         blocked: nobody is asked
//! server=/a.example/#                                            asked as usual: an exception
//! address=/a.example/198.51.100.7   server=/a.example/192.0.2.1  sent somewhere: a redirection
//! ```

use super::{Line, Part, Reader, Row};
use crate::judge::Expect;
use crate::limits::NAMES_PER_LINE_MAX;
use crate::look;
use crate::reason::Reason;
use std::borrow::Cow;

/// Lines of a dnsmasq configuration, read for its blocks or for its exceptions.
pub struct Dnsmasq {
    exceptions: bool,
}

impl Dnsmasq {
    /// With `exceptions`, `server=/name/#` is what is read.
    pub fn new(exceptions: bool) -> Self {
        Dnsmasq { exceptions }
    }
}

impl Reader for Dnsmasq {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        let line = line.trim_ascii();
        if let Some(other) = Line::without_row(line, |line| line[0] == b'#') {
            return other;
        }
        // A comment follows white space; `#` itself is a target.
        let text = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let Some((key, value)) = text.iter().position(|&byte| byte == b'=').map(|at| (&text[..at], &text[at + 1..])) else {
            return Line::Refused(Reason::ListFormat);
        };
        let (Some(names), Some(end)) = (value.strip_prefix(b"/"), value.iter().rposition(|&byte| byte == b'/').filter(|&end| end > 0))
        else {
            return Line::Refused(if is_known(key) { Reason::DnsAction } else { Reason::ListFormat });
        };
        let target = &value[end + 1..];
        let is_exception = match (key, target) {
            (b"server", b"#") => true,
            (b"address", _) if leads_nowhere(target) => false,
            (b"local" | b"server", b"") => false,
            (b"address" | b"local" | b"server", _) => return Line::Refused(Reason::Redirection),
            _ => return Line::Refused(if is_known(key) { Reason::DnsAction } else { Reason::ListFormat }),
        };
        match (is_exception, self.exceptions) {
            (true, false) => return Line::Refused(Reason::Exception),
            (false, true) => return Line::Refused(Reason::NotAnException),
            _ => {}
        }
        let names = &names[..end - 1];
        let listed = |name: &[u8]| name == b"#" || (name.contains(&b'.') && look::address(name).is_none());
        if names.contains(&b'/') && !names.split(|&byte| byte == b'/').all(listed) {
            return Line::Refused(Reason::ListFormat); // a prefix that somebody took for a name: `/192.0.2.0/24/`
        }
        let parts: Vec<Part<'l>> = names.split(|&byte| byte == b'/').take(NAMES_PER_LINE_MAX + 1).map(part).collect();
        if parts.len() > NAMES_PER_LINE_MAX { Line::Refused(Reason::TooManyNames) } else { Line::Row(Row::of(parts)) }
    }
}

fn part(name: &[u8]) -> Part<'_> {
    // `/#/` stands for every name there is.
    let expect = if name == b"#" { Err(Reason::Wildcard) } else { Ok(Expect::Host) };
    Part { text: Cow::Borrowed(name), expect }
}

fn leads_nowhere(target: &[u8]) -> bool {
    matches!(target, b"" | b"#") || look::address(target).is_some_and(|address| address.is_unspecified() || address.is_loopback())
}

fn is_known(key: &[u8]) -> bool {
    matches!(
        key,
        b"address" | b"local" | b"server" | b"rebind-domain-ok" | b"ipset" | b"nftset" | b"host-record" | b"bogus-nxdomain" | b"cname"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, exceptions: bool, expected: Result<&[&str], Reason>) {
        let read = match Dnsmasq::new(exceptions).read(line.as_bytes()) {
            Line::Row(row) => Ok(row.parts.iter().map(|part| String::from_utf8(part.text.to_vec()).unwrap()).collect::<Vec<_>>()),
            Line::Refused(reason) => Err(reason),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(read, expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect()), "{line}");
    }

    #[test]
    fn takes_names_that_lead_nowhere() {
        for line in ["address=/a.example/0.0.0.0", "address=/a.example/", "address=/a.example/#", "local=/a.example/", "server=/a.example/"]
        {
            check(line, false, Ok(&["a.example"]));
            check(line, true, Err(Reason::NotAnException));
        }
        check("address=/a.example/b.example/:: # why", false, Ok(&["a.example", "b.example"]));
    }

    #[test]
    fn refuses_what_sends_names_elsewhere() {
        check("address=/a.example/198.51.100.7", false, Err(Reason::Redirection));
        check("server=/a.example/192.0.2.1", false, Err(Reason::Redirection));
        check("server=/a.example/#", false, Err(Reason::Exception));
        check("server=/a.example/#", true, Ok(&["a.example"]));
        check("bogus-nxdomain=192.0.2.1", false, Err(Reason::DnsAction));
        check("conf-dir=/etc/dnsmasq.d", false, Err(Reason::ListFormat));
        check("a.example", false, Err(Reason::ListFormat));
        check("address=/192.0.2.0/24/0.0.0.0", false, Err(Reason::ListFormat));
        check("address=/", false, Err(Reason::DnsAction));
    }
}
