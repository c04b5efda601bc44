//! Response policy zones, as zone files: `bad.example CNAME .` is that name, and `*.bad.example CNAME .` the names below it.
//!
//! ```text
//! $ORIGIN rpz.test.       $TTL 30      @ SOA … ( … )      apex NS: not rules
//! name       CNAME .   CNAME *.   CNAME rpz-drop.   A 0.0.0.0      blocked
//! *.name     the same: with the line of the name right before it one rule for both; alone no key says it: wildcard
//! name       CNAME rpz-passthru.                                  an exception
//! 24.0.2.0.192.rpz-ip CNAME .                                     192.0.2.0/24: the answer's address
//! ….rpz-client-ip  .rpz-nsdname  .rpz-nsip                        about somebody else: rpz-trigger
//! ```

use super::{Line, Part, Reader, Row};
use crate::judge::Expect;
use crate::look;
use crate::reason::Reason;
use std::borrow::Cow;

/// A zone file, read for its blocks or for its exceptions.
pub struct Rpz {
    exceptions: bool,
    /// Lower case, without the dot at the end.
    origin: Option<Vec<u8>>,
    /// The name of the last block, relative to the origin.
    last: Vec<u8>,
    /// Open parentheses: the record goes on.
    open: u32,
}

/// What a record says of its name.
enum Policy {
    Block,
    Allow,
}

impl Rpz {
    /// With `exceptions`, `rpz-passthru` is what is read.
    pub fn new(exceptions: bool) -> Self {
        Rpz { exceptions, origin: None, last: Vec::new(), open: 0 }
    }

    fn record<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        // A record that begins with white space is of the owner before: the apex, in every zone seen.
        let owner = if line[0].is_ascii_whitespace() { b"" } else { words.next().unwrap_or_default() };
        let is_class_or_ttl = |word: &&[u8]| word.eq_ignore_ascii_case(b"IN") || word[0].is_ascii_digit();
        let Some(kind) = words.find(|word| !is_class_or_ttl(word)) else { return Line::Refused(Reason::ListFormat) };
        let target = words.next().unwrap_or_default();
        if kind.eq_ignore_ascii_case(b"SOA") {
            if owner.ends_with(b".") && self.origin.is_none() {
                self.origin = Some(owner[..owner.len() - 1].to_ascii_lowercase());
            }
            return Line::Comment;
        }
        if owner.is_empty() || owner == b"@" || kind.eq_ignore_ascii_case(b"NS") {
            return Line::Comment;
        }
        let Some(owner) = self.relative(owner) else { return Line::Refused(Reason::ListFormat) };
        match policy(kind, target, owner) {
            Err(reason) => Line::Refused(reason),
            Ok(Policy::Allow) if !self.exceptions => Line::Refused(Reason::Exception),
            Ok(Policy::Block) if self.exceptions => Line::Refused(Reason::NotAnException),
            Ok(_) => self.rule(owner),
        }
    }

    fn rule<'l>(&mut self, owner: &'l [u8]) -> Line<'l> {
        let part = match trigger(owner) {
            Some(Ok(prefix)) => Part { text: Cow::Owned(prefix), expect: Ok(Expect::Address) },
            Some(Err(reason)) => return Line::Refused(reason),
            None => match owner.strip_prefix(b"*") {
                // `.name` says the name and all below: exact here, because the name was listed by the line before.
                Some(below) if below.starts_with(b".") && below[1..].eq_ignore_ascii_case(&self.last) => {
                    Part { text: Cow::Borrowed(below), expect: Ok(Expect::Host) }
                }
                Some(_) => return Line::Refused(Reason::Wildcard),
                None => {
                    self.last.clear();
                    self.last.extend_from_slice(owner);
                    Part { text: Cow::Borrowed(owner), expect: Ok(Expect::Host) }
                }
            },
        };
        Line::Row(Row::of(vec![part]))
    }

    /// An owner without the zone's own name; absolute names need one.
    fn relative<'l>(&self, owner: &'l [u8]) -> Option<&'l [u8]> {
        let Some(absolute) = owner.strip_suffix(b".") else { return Some(owner) };
        let origin = self.origin.as_deref().filter(|origin| !origin.is_empty())?;
        let at = absolute.len().checked_sub(origin.len() + 1)?;
        (absolute[at] == b'.' && absolute[at + 1..].eq_ignore_ascii_case(origin)).then_some(&absolute[..at])
    }
}

impl Reader for Rpz {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        let text = line.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii_end();
        if text.is_empty() {
            return if line.trim_ascii().is_empty() { Line::Blank } else { Line::Comment };
        }
        let was_open = self.open > 0;
        for byte in text {
            match byte {
                b'(' => self.open = self.open.saturating_add(1),
                b')' => self.open = self.open.saturating_sub(1),
                _ => {}
            }
        }
        if was_open {
            return Line::Comment;
        }
        if let Some(origin) = text.strip_prefix(b"$ORIGIN") {
            self.origin = Some(origin.trim_ascii().trim_suffix_dot().to_ascii_lowercase());
            return Line::Comment;
        }
        if text[0] == b'$' {
            return if text.starts_with(b"$TTL") { Line::Comment } else { Line::Refused(Reason::ListFormat) };
        }
        self.record(text)
    }
}

trait TrimDot {
    fn trim_suffix_dot(&self) -> &[u8];
}

impl TrimDot for [u8] {
    fn trim_suffix_dot(&self) -> &[u8] {
        self.strip_suffix(b".").unwrap_or(self)
    }
}

fn policy(kind: &[u8], target: &[u8], owner: &[u8]) -> Result<Policy, Reason> {
    if kind.eq_ignore_ascii_case(b"A") || kind.eq_ignore_ascii_case(b"AAAA") {
        let address = look::address(target).ok_or(Reason::ListFormat)?;
        return if address.is_unspecified() || address.is_loopback() { Ok(Policy::Block) } else { Err(Reason::Redirection) };
    }
    if !kind.eq_ignore_ascii_case(b"CNAME") {
        return Err(Reason::DnsAction);
    }
    match &*target.to_ascii_lowercase() {
        b"." | b"*." | b"rpz-drop." => Ok(Policy::Block),
        b"rpz-passthru." => Ok(Policy::Allow),
        b"rpz-tcp-only." => Err(Reason::DnsAction),
        b"" => Err(Reason::ListFormat),
        // A name that is sent to itself is the old way to let it pass.
        itself if itself.trim_suffix_dot().eq_ignore_ascii_case(owner) => Ok(Policy::Allow),
        _ => Err(Reason::Redirection),
    }
}

/// Owners that are no names: an address of the answer, or who asks and who answers.
fn trigger(owner: &[u8]) -> Option<Result<Vec<u8>, Reason>> {
    let dot = owner.iter().rposition(|&byte| byte == b'.')?;
    let (labels, kind) = (&owner[..dot], owner[dot + 1..].to_ascii_lowercase());
    match &*kind {
        b"rpz-ip" => Some(prefix(labels).ok_or(Reason::BadPrefix)),
        b"rpz-client-ip" | b"rpz-nsdname" | b"rpz-nsip" => Some(Err(Reason::RpzTrigger)),
        _ => None,
    }
}

/// `24.0.2.0.192` is 192.0.2.0/24; `32.zz.db8.2001` is 2001:db8::/32.
fn prefix(labels: &[u8]) -> Option<Vec<u8>> {
    let mut labels: Vec<&str> = std::str::from_utf8(labels).ok()?.split('.').collect();
    let bits = labels.first()?.parse::<u8>().ok()?;
    labels.remove(0);
    labels.reverse();
    let is_v4 = labels.len() == 4 && labels.iter().all(|label| label.parse::<u8>().is_ok());
    let text = match is_v4 {
        true => labels.join("."),
        false => {
            let joined = labels.iter().map(|label| if *label == "zz" { "" } else { label }).collect::<Vec<_>>().join(":");
            let start = if labels.first() == Some(&"zz") { ":" } else { "" };
            let end = if labels.last() == Some(&"zz") { ":" } else { "" };
            format!("{start}{joined}{end}")
        }
    };
    Some(format!("{text}/{bits}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(text: &str, exceptions: bool) -> Vec<Result<String, Reason>> {
        let mut zone = Rpz::new(exceptions);
        let read = |line: &str| match zone.read(line.as_bytes()) {
            Line::Row(row) => Some(Ok(String::from_utf8(row.parts[0].text.to_vec()).unwrap())),
            Line::Refused(reason) => Some(Err(reason)),
            _ => None,
        };
        text.lines().filter_map(read).collect()
    }

    #[test]
    fn reads_a_zone_as_published() {
        let text = "$TTL 30\n@ IN SOA a. b. (\n 1 2\n 3 4 5 )\n NS localhost.\n; x\na.example CNAME .\n*.a.example CNAME .\n*.b.example CNAME .\n\
                    c.example 60 IN CNAME rpz-passthru.\nd.example A 0.0.0.0\ne.example A 198.51.100.7\nf.example CNAME garden.test.\n";
        let expected = [
            Ok("a.example"),
            Ok(".a.example"),
            Err(Reason::Wildcard),
            Err(Reason::Exception),
            Ok("d.example"),
            Err(Reason::Redirection),
            Err(Reason::Redirection),
        ];
        assert_eq!(zone(text, false), expected.map(|line| line.map(str::to_owned)));
        let only: Vec<_> = zone(text, true).into_iter().filter_map(Result::ok).collect();
        assert_eq!(only, ["c.example"]);
    }

    #[test]
    fn absolute_names_lose_the_name_of_the_zone() {
        let text = "$ORIGIN rpz.test.\na.example.rpz.test. CNAME .\na.example. CNAME .\n";
        assert_eq!(zone(text, false), [Ok("a.example".to_owned()), Err(Reason::ListFormat)]);
        let text = "rpz.test. SOA x y 1 2 3 4 5\na.example.RPZ.test. CNAME *.\n";
        assert_eq!(zone(text, false), [Ok("a.example".to_owned())]);
    }

    #[test]
    fn triggers_tell_addresses_of_answers_and_nothing_else() {
        let text = "24.0.2.0.192.rpz-ip CNAME .\n32.zz.db8.2001.rpz-ip CNAME .\n128.7.zz.rpz-ip CNAME .\n24.0.2.0.192.rpz-client-ip CNAME .\n\
                    ns.example.rpz-nsdname CNAME .\n32.1.2.0.192.rpz-nsip CNAME .\nx.rpz-ip CNAME .\n";
        let expected = [
            Ok("192.0.2.0/24"),
            Ok("2001:db8::/32"),
            Ok("::7/128"),
            Err(Reason::RpzTrigger),
            Err(Reason::RpzTrigger),
            Err(Reason::RpzTrigger),
            Err(Reason::BadPrefix),
        ];
        assert_eq!(zone(text, false), expected.map(|line| line.map(str::to_owned)));
    }
}
