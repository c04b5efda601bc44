//! MISP's types of attributes: which of them are keys, and what stands in the composite ones.
//!
//! `domain|ip` is a name and an address that were seen together, each of them listed; `filename|sha256` is a file by its digest, wherever it lies;
//! a port beside an address or name is left aside, as everywhere.

use super::Part;
use crate::judge::Expect;
use crate::reason::Reason;
use std::borrow::Cow;

/// The indicators of a value; more than one for composite types.
pub fn parts<'v>(kind: &[u8], value: &'v [u8]) -> Result<Vec<Part<'v>>, Reason> {
    let part = |text: &'v [u8], expect: Expect| Part { text: Cow::Borrowed(text.trim_ascii()), expect: Ok(expect) };
    let both = || value.iter().position(|&byte| byte == b'|').map(|bar| (&value[..bar], &value[bar + 1..])).ok_or(Reason::MissingColumn);
    // A file's name may hold a bar itself; a digest never does.
    let last = || value.iter().rposition(|&byte| byte == b'|').map(|bar| &value[bar + 1..]).ok_or(Reason::MissingColumn);
    Ok(match kind {
        b"url" | b"uri" => vec![part(value, Expect::Url)],
        b"domain" | b"hostname" => vec![part(value, Expect::Host)],
        b"ip-src" | b"ip-dst" => vec![part(value, Expect::Address)],
        b"ip-src|port" | b"ip-dst|port" => vec![part(both()?.0, Expect::Address)],
        b"hostname|port" => vec![part(both()?.0, Expect::Host)],
        b"domain|ip" => {
            let (name, address) = both()?;
            vec![part(name, Expect::Host), part(address, Expect::Address)]
        }
        b"md5" => vec![part(value, Expect::Md5)],
        b"sha1" => vec![part(value, Expect::Sha1)],
        b"sha256" => vec![part(value, Expect::Sha256)],
        b"filename|md5" | b"malware-sample" => vec![part(last()?, Expect::Md5)],
        b"filename|sha1" => vec![part(last()?, Expect::Sha1)],
        b"filename|sha256" => vec![part(last()?, Expect::Sha256)],
        b"email" | b"email-src" | b"email-dst" | b"email-reply-to" | b"whois-registrant-email" => return Err(Reason::Email),
        _ => return Err(Reason::UnknownType),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, value: &str, expected: Result<&[(&str, Expect)], Reason>) {
        let found = parts(kind.as_bytes(), value.as_bytes()).map(|parts| {
            parts.iter().map(|part| (String::from_utf8(part.text.to_vec()).unwrap(), part.expect.unwrap())).collect::<Vec<_>>()
        });
        assert_eq!(
            found,
            expected.map(|parts| parts.iter().map(|(text, expect)| ((*text).to_owned(), *expect)).collect()),
            "{kind} {value}"
        );
    }

    #[test]
    fn composite_types_hold_one_indicator_or_two() {
        check("domain|ip", "a.example|192.0.2.1", Ok(&[("a.example", Expect::Host), ("192.0.2.1", Expect::Address)]));
        check("ip-dst|port", "192.0.2.1|443", Ok(&[("192.0.2.1", Expect::Address)]));
        check("filename|sha1", "a|b.exe|aa", Ok(&[("aa", Expect::Sha1)]));
        check("hostname|port", "a.example|80", Ok(&[("a.example", Expect::Host)]));
        check("domain|ip", "a.example", Err(Reason::MissingColumn));
        check("email-src", "x@a.example", Err(Reason::Email));
        check("mutex", "x", Err(Reason::UnknownType));
    }
}
