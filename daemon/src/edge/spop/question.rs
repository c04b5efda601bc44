//! From the messages of a NOTIFY to keys.
//!
//! ```text
//!  url "/login?a=1" ┐
//!  host "a.test:80" ┴─► URL http://a.test:80/login?a=1        a URL's answer knows its host's, so the host is not asked again
//!  host alone         ─► host          src, typed or text ─► address          sha256, 32 bytes or 64 digits ─► digest
//! ```
//! What is no such thing is asked all the same, and answered *unparseable*; what HAProxy could not find (null) is not asked.
//! Keys are copied to buffers that grow to the largest NOTIFY and stay.

use super::ack::{Asked, KEYS_MAX};
use super::config::Argument;
use super::data::Value;
use super::frame::Status;
use super::mapping::{Mapping, Understood};
use super::notify::Messages;
use std::net::IpAddr;
use std::ops::Range;
use verdict_keys::Kind;

/// The keys of one NOTIFY.
#[derive(Debug, Default)]
pub struct Question {
    text: Vec<u8>,
    keys: Vec<(Kind, Range<usize>)>,
}

impl Question {
    /// Reads all messages, and says what of them is asked.
    ///
    /// # Errors
    /// `Invalid`, where they are no messages.
    pub fn read(&mut self, mapping: &Mapping, payload: &[u8]) -> Result<Asked, Status> {
        self.text.clear();
        self.keys.clear();
        let mut asked = Asked::default();
        let mut messages = Messages::new(payload);
        let mut first = true;
        while let Some(message) = messages.message()? {
            let understood = mapping.message(message.name);
            if first {
                asked.scope = understood.scope;
                first = false;
            }
            let beside = Beside::find(mapping, understood, messages, message.arguments)?;
            for _ in 0..message.arguments {
                let (name, value) = messages.argument()?;
                let Some((number, argument)) = mapping.argument(understood, name) else { continue };
                if value == Value::Null || (argument == Argument::Host && beside.url) {
                    continue;
                }
                if self.keys.len() == KEYS_MAX {
                    asked.too_many = true;
                    continue;
                }
                asked.arguments[self.keys.len()] = number;
                self.push(argument, value, &beside);
            }
        }
        asked.count = self.keys.len() as u8;
        Ok(asked)
    }

    /// What `read` found, in its order.
    pub fn keys(&self) -> impl Iterator<Item = (Option<Kind>, &[u8])> + Clone {
        self.keys.iter().map(|(kind, range)| (Some(*kind), &self.text[range.clone()]))
    }

    fn push(&mut self, argument: Argument, value: Value<'_>, beside: &Beside<'_>) {
        let start = self.text.len();
        let kind = match (argument, value) {
            (Argument::Url, Value::Text(text)) => self.url(text, beside.host),
            (Argument::Host, Value::Text(text)) => self.copy(Kind::Host, text),
            (Argument::Url | Argument::Host | Argument::Address, Value::Ipv4(octets)) => self.copy(Kind::Ipv4, &octets),
            (Argument::Url | Argument::Host | Argument::Address, Value::Ipv6(octets)) => self.copy(Kind::Ipv6, &octets),
            (Argument::Address, Value::Text(text)) => self.address(text),
            (Argument::Sha256, value) => self.digest(Kind::Sha256, value),
            (Argument::Sha1, value) => self.digest(Kind::Sha1, value),
            (Argument::Md5, value) => self.digest(Kind::Md5, value),
            // No bytes are no host and no address: unparseable.
            (Argument::Url | Argument::Host, _) => Kind::Host,
            (Argument::Address, _) => Kind::Ipv4,
        };
        self.keys.push((kind, start..self.text.len()));
    }

    fn copy(&mut self, kind: Kind, bytes: &[u8]) -> Kind {
        self.text.extend_from_slice(bytes);
        kind
    }

    /// A whole URL, or one whose beginning the host is. A host that would be more than that, such as `good.test/?`, makes no URL.
    fn url(&mut self, text: &[u8], host: Option<&[u8]>) -> Kind {
        if !matches!(text, [b'/', ..] | b"*") {
            return self.copy(Kind::Url, text);
        }
        let structure = |byte: &u8| matches!(byte, b'/' | b'\\' | b'?' | b'#' | b'@') || *byte <= b' ';
        let Some(host) = host.filter(|host| !host.is_empty() && !host.iter().any(structure)) else { return Kind::Url };
        self.copy(Kind::Url, b"http://");
        self.copy(Kind::Url, host);
        self.copy(Kind::Url, if text == b"*" { b"/" } else { text })
    }

    fn address(&mut self, text: &[u8]) -> Kind {
        match std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()) {
            Some(IpAddr::V4(v4)) => self.copy(Kind::Ipv4, &v4.octets()),
            Some(IpAddr::V6(v6)) => self.copy(Kind::Ipv6, &v6.octets()),
            None => Kind::Ipv4,
        }
    }

    fn digest(&mut self, kind: Kind, value: Value<'_>) -> Kind {
        let (Value::Text(bytes) | Value::Binary(bytes)) = value else { return kind };
        let length = match kind {
            Kind::Sha256 => 32,
            Kind::Sha1 => 20,
            _ => 16,
        };
        if bytes.len() != 2 * length {
            return self.copy(kind, bytes);
        }
        let start = self.text.len();
        for pair in bytes.chunks_exact(2) {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                self.text.truncate(start);
                break;
            };
            self.text.push((high << 4 | low) as u8);
        }
        kind
    }
}

/// What the other arguments of a message need to know.
#[derive(Clone, Copy, Debug, Default)]
struct Beside<'a> {
    /// There is a URL.
    url: bool,
    /// The first host.
    host: Option<&'a [u8]>,
}

impl<'a> Beside<'a> {
    fn find(mapping: &Mapping, message: Understood, mut messages: Messages<'a>, arguments: u8) -> Result<Self, Status> {
        let mut beside = Beside::default();
        for _ in 0..arguments {
            let (name, value) = messages.argument()?;
            match (mapping.argument(message, name), value) {
                (Some((_, Argument::Url)), value) => beside.url |= value != Value::Null,
                (Some((_, Argument::Host)), Value::Text(host)) => beside.host = beside.host.or(Some(host)),
                _ => {}
            }
        }
        Ok(beside)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::SpopConfig;
    use super::super::data::{put_text, put_value};
    use super::*;

    fn message(name: &str, arguments: &[(&str, Value<'_>)]) -> Vec<u8> {
        let mut out = Vec::new();
        put_text(&mut out, name.as_bytes());
        out.push(arguments.len() as u8);
        for (name, value) in arguments {
            put_text(&mut out, name.as_bytes());
            put_value(&mut out, *value);
        }
        out
    }

    fn check(arguments: &[(&str, Value<'_>)], wanted: &[(&str, Kind, &[u8])]) {
        let mapping = Mapping::of(&SpopConfig::default());
        let mut question = Question::default();
        let asked = question.read(&mapping, &message("check", arguments)).unwrap();
        let keys: Vec<_> = question.keys().collect();
        assert_eq!(keys.len(), usize::from(asked.count));
        let got: Vec<_> =
            keys.iter().zip(asked.arguments).map(|((kind, key), number)| (mapping.name(number), kind.unwrap(), *key)).collect();
        assert_eq!(got, wanted);
    }

    #[test]
    fn a_path_is_completed_by_the_host_of_its_message_wherever_that_stands() {
        let url: &[u8] = b"http://a.test:80/x?y";
        check(&[("url", Value::Text(b"/x?y")), ("host", Value::Text(b"a.test:80"))], &[("url", Kind::Url, url)]);
        check(&[("host", Value::Text(b"a.test:80")), ("url", Value::Text(b"/x?y"))], &[("url", Kind::Url, url)]);
        check(&[("host", Value::Text(b"a.test")), ("url", Value::Text(b"*"))], &[("url", Kind::Url, b"http://a.test/")]);
        check(&[("host", Value::Text(b"b.test")), ("url", Value::Text(b"https://a.test/"))], &[("url", Kind::Url, b"https://a.test/")]);
    }

    #[test]
    fn a_host_that_is_more_than_one_makes_no_url() {
        for host in [&b"good.test/"[..], b"a@b.test", b"good.test#", b"good.test?", b"", b"a b", b"a\\b"] {
            check(&[("url", Value::Text(b"/evil")), ("host", Value::Text(host))], &[("url", Kind::Url, b"")]);
        }
        check(&[("url", Value::Text(b"/evil"))], &[("url", Kind::Url, b"")]);
    }

    #[test]
    fn a_host_without_a_url_is_asked_by_itself() {
        check(&[("host", Value::Text(b"a.test")), ("url", Value::Null)], &[("host", Kind::Host, b"a.test")]);
        check(&[("host", Value::Ipv4([192, 0, 2, 1]))], &[("host", Kind::Ipv4, &[192, 0, 2, 1])]);
    }

    #[test]
    fn addresses_and_digests_come_as_bytes_or_as_text() {
        let digest = [0xAB; 32];
        check(&[("src", Value::Ipv6([9; 16]))], &[("src", Kind::Ipv6, &[9; 16])]);
        check(&[("src", Value::Text(b"192.0.2.1"))], &[("src", Kind::Ipv4, &[192, 0, 2, 1])]);
        check(&[("src", Value::Text(b"192.0.2"))], &[("src", Kind::Ipv4, b"")]);
        check(&[("sha256", Value::Binary(&digest))], &[("sha256", Kind::Sha256, &digest)]);
        check(&[("sha256", Value::Text(&b"aB".repeat(32)))], &[("sha256", Kind::Sha256, &digest)]);
        check(&[("sha256", Value::Text(&b"zz".repeat(32)))], &[("sha256", Kind::Sha256, b"")]);
        check(&[("md5", Value::Bool(true)), ("other", Value::Text(b"x"))], &[("md5", Kind::Md5, b"")]);
    }

    #[test]
    fn keys_past_the_bound_are_not_forgotten_in_silence() {
        let arguments = [("src", Value::Ipv4([1; 4])); KEYS_MAX + 1];
        let mapping = Mapping::of(&SpopConfig::default());
        let mut question = Question::default();
        let asked = question.read(&mapping, &message("check", &arguments)).unwrap();
        assert_eq!((usize::from(asked.count), asked.too_many), (KEYS_MAX, true));
        let asked = question.read(&mapping, &message("check", &arguments[1..])).unwrap();
        assert!(!asked.too_many);
    }

    #[test]
    fn refuses_messages_that_end_too_early() {
        let whole = [message("one", &[("url", Value::Text(b"http://a.test/"))]), message("two", &[("src", Value::Ipv4([1; 4]))])].concat();
        let mapping = Mapping::of(&SpopConfig::default());
        let mut question = Question::default();
        let boundary = message("one", &[("url", Value::Text(b"http://a.test/"))]).len();
        for end in 1..whole.len() {
            assert_eq!(question.read(&mapping, &whole[..end]).is_ok(), end == boundary, "{end}");
        }
        assert_eq!(question.read(&mapping, &whole).unwrap().count, 2);
        assert_eq!(question.read(&mapping, &[]).unwrap(), Asked::default());
    }
}
