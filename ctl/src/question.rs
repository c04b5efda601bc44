//! A typed word made into a question.
//!
//! Its kind is decided by its look, by `verdict_keys::Question::detect`, as for plain feeds: 64, 40 or 32 hexadecimal digits are a digest, a strict
//! address is an address, what holds `/ \ ? # @` is a URL, anything else is a host. An address and `/bits` is refused: a prefix is a rule, not a question.
//! What the bytes of a URL or host mean is decided at the daemon, never here.

use crate::daemon::wire_kind;
use crate::exit::Failure;
use crate::text;
use verdict_keys::{Canonicalizer, Kind, Unparseable};

/// How a word is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KindChoice {
    /// By its look.
    Auto,
    /// A URL, with or without a scheme.
    Url,
    /// A host name or address as a host.
    Host,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A file hash in hexadecimal: SHA-256, SHA-1 or MD5.
    Hash,
}

/// One question, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// As it was typed.
    pub typed: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The key: text of a URL or host, an address in network order, a raw digest.
    pub key: Vec<u8>,
}

impl Question {
    /// Takes a word as `choice` says; a word that cannot be of that kind is a usage error.
    pub fn new(typed: &[u8], choice: KindChoice) -> Result<Self, Failure> {
        let (kind, key) = match choice {
            KindChoice::Auto => detect(typed)?,
            KindChoice::Url => (Kind::Url, typed.to_vec()),
            KindChoice::Host => (Kind::Host, typed.to_vec()),
            KindChoice::Ip => detect_as(typed, &[Kind::Ipv4, Kind::Ipv6]).ok_or_else(|| not_a(typed, "an IPv4 or IPv6 address"))?,
            KindChoice::Hash => {
                detect_as(typed, &[Kind::Sha256, Kind::Sha1, Kind::Md5]).ok_or_else(|| not_a(typed, "32, 40 or 64 hexadecimal digits"))?
            }
        };
        Ok(Self { typed: typed.to_vec(), kind, key })
    }

    /// Why the key is none, by our own canonicaliser: the daemon's answer has no room for it.
    pub fn unparseable(&self) -> Option<Unparseable> {
        let mut canonicalizer = Canonicalizer::new();
        match self.kind {
            Kind::Url => canonicalizer.url(&self.key).err(),
            Kind::Host => canonicalizer.host(&self.key).err(),
            Kind::Ipv4 | Kind::Ipv6 | Kind::Sha256 | Kind::Sha1 | Kind::Md5 => None,
        }
    }

    /// The typed word, fit to print.
    pub fn visible(&self) -> String {
        text::visible(&self.typed)
    }
}

/// The kind's name, as people, JSON and the wire have it.
pub fn kind_name(kind: Kind) -> &'static str {
    wire_kind(kind).name()
}

fn not_a(typed: &[u8], what: &str) -> Failure {
    Failure::Usage(format!("`{}` is not {what}", text::visible(typed)))
}

fn detect(typed: &[u8]) -> Result<(Kind, Vec<u8>), Failure> {
    let Ok(word) = std::str::from_utf8(typed) else {
        let is_url = typed.iter().any(|byte| b"/?#@\\".contains(byte));
        return Ok((if is_url { Kind::Url } else { Kind::Host }, typed.to_vec()));
    };
    let shown = || text::visible(typed);
    match verdict_keys::Question::detect(word) {
        Ok(found) => found.key().map(|(kind, key)| (kind, key.as_ref().to_vec())).ok_or_else(|| {
            Failure::Usage(format!("`{}` is an address prefix: ask for one address of it (or for the URL, with --kind url)", shown()))
        }),
        // Left to the daemon, which calls it unparseable.
        Err(Unparseable::Empty) => Ok((Kind::Host, typed.to_vec())),
        Err(reason) => Err(Failure::Usage(format!("`{}`: {reason}", shown()))),
    }
}

/// A word that must be one of `kinds`.
fn detect_as(typed: &[u8], kinds: &[Kind]) -> Option<(Kind, Vec<u8>)> {
    detect(typed).ok().filter(|(kind, _)| kinds.contains(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &[u8], choice: KindChoice, want: Option<(Kind, &[u8])>) {
        let got = Question::new(typed, choice).ok().map(|question| (question.kind, question.key));
        assert_eq!(got, want.map(|(kind, key)| (kind, key.to_vec())), "{}", text::visible(typed));
    }

    #[test]
    fn words_are_taken_by_their_look() {
        check(b"http://a.test/b", KindChoice::Auto, Some((Kind::Url, b"http://a.test/b")));
        check(b"a.test", KindChoice::Auto, Some((Kind::Host, b"a.test")));
        check(b"192.0.2.1", KindChoice::Auto, Some((Kind::Ipv4, &[192, 0, 2, 1])));
        check(b"[2001:db8::1]", KindChoice::Auto, Some((Kind::Ipv6, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])));
        check(b"00112233445566778899AABBCCDDEEFF", KindChoice::Auto, Some((Kind::Md5, &(0..16).map(|n| n * 0x11).collect::<Vec<u8>>())));
        check(b"", KindChoice::Auto, Some((Kind::Host, b"")));
        check(b"a\xff.test/", KindChoice::Auto, Some((Kind::Url, b"a\xff.test/")));
    }

    #[test]
    fn a_prefix_is_not_a_question_unless_it_is_said_to_be_a_url() {
        check(b"192.0.2.0/24", KindChoice::Auto, None);
        check(b"192.0.2.0/77", KindChoice::Auto, None);
        check(b"192.0.2.0/24", KindChoice::Url, Some((Kind::Url, b"192.0.2.0/24")));
    }

    #[test]
    fn a_stated_kind_holds_the_word_to_it() {
        check(b"192.0.2.1", KindChoice::Host, Some((Kind::Host, b"192.0.2.1")));
        check(b"a.test", KindChoice::Ip, None);
        check(b"a.test", KindChoice::Hash, None);
        check(b"192.0.2.1", KindChoice::Hash, None);
    }
}
