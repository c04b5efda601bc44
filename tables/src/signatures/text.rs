//! Which texts may be signatures, and where one of them stands in a canonical text: the definition that builder, verifier and lookup share.
//!
//! ```text
//! text      www.example.com/a%20gate.php?x=1        what questions have: canonical, in any case
//! symbols   w w w . e x … / a %20 g a t e . p h p   an escape is one character, and no letter or digit
//! ```
//! A signature stands where its symbols stand, letters compared without case. As a token it must not be part of a longer word: no letter or
//! digit of the text may touch a letter or digit at its ends.

use crate::rule::{RuleKind, SIGNATURE_BYTES_MAX, SIGNATURE_BYTES_MIN, SIGNATURE_NESTING_MAX};

/// Why a text is no signature of this kind, if it is none. Lower case, printable, whole escapes; a host's has no bytes that no name has.
pub(crate) fn problem(text: &[u8], kind: RuleKind) -> Option<&'static str> {
    let is_of_a_name = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    if text.len() < SIGNATURE_BYTES_MIN {
        Some("a signature of fewer than 5 bytes")
    } else if text.len() > SIGNATURE_BYTES_MAX {
        Some("a signature of more than 255 bytes")
    } else if text.iter().any(|byte| !matches!(byte, 0x21..=0x7E) || *byte == b'#' || byte.is_ascii_uppercase()) || !escapes_are_whole(text)
    {
        Some("a signature that is not canonical text in lower case")
    } else if kind.is_host_signature() && !text.iter().all(is_of_a_name) {
        Some("a host signature with a byte that no name has")
    } else {
        None
    }
}

fn escapes_are_whole(text: &[u8]) -> bool {
    let digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_hexdigit);
    (0..text.len()).all(|at| text[at] != b'%' || digit(at + 1) && digit(at + 2))
}

/// Whether the signature whose letters stand at `start..end` of `text` stands there by its own rules. Every `%` of `text` begins an escape.
#[inline]
pub(crate) fn stands(text: &[u8], start: usize, end: usize, token: bool) -> bool {
    let escape_ends = |at: usize| at >= 3 && text[at - 3] == b'%';
    let is_word = |at: usize| text.get(at).is_some_and(u8::is_ascii_alphanumeric);
    if start >= 1 && text[start - 1] == b'%' || start >= 2 && text[start - 2] == b'%' {
        return false; // it would begin inside an escape
    }
    let cuts_before = || start > 0 && is_word(start) && is_word(start - 1) && !escape_ends(start);
    let cuts_after = || is_word(end) && is_word(end - 1) && !escape_ends(end);
    !(token && (cuts_before() || cuts_after()))
}

/// The first text that ends in more than [`SIGNATURE_NESTING_MAX`] others. Each byte of a question can end that many at once; the bound keeps
/// the price of a question in proportion to its length, whoever wrote the feed. `texts` are distinct.
pub(crate) fn too_nested<'t>(texts: impl Iterator<Item = &'t [u8]>) -> Option<&'t [u8]> {
    let mut backwards: Vec<(Vec<u8>, &[u8])> = texts.map(|text| (text.iter().rev().copied().collect(), text)).collect();
    backwards.sort_unstable();
    let mut around: Vec<&[u8]> = Vec::new();
    for (reversed, text) in &backwards {
        while around.last().is_some_and(|shorter| !reversed.starts_with(shorter)) {
            around.pop();
        }
        around.push(reversed);
        if around.len() > SIGNATURE_NESTING_MAX {
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_signature_of_its_kind_or_says_why_not() {
        let check = |text: &str, kind, sound: bool| assert_eq!(problem(text.as_bytes(), kind).is_none(), sound, "{text}");
        for text in ["gate.php", "/gate.php?id=", "a%2fb", "abcde", "x=http://", &"a".repeat(255)] {
            check(text, RuleKind::UrlSubstring, true);
            check(text, RuleKind::UrlToken, true);
        }
        for text in ["abcd", "", "Gates", "a b cd", "a#bcd", "abc%", "abc%2", "%zzab", "straße", "abc\n", &"a".repeat(256)] {
            check(text, RuleKind::UrlSubstring, false);
            check(text, RuleKind::HostToken, false);
        }
        for (text, sound) in [("login-bank", true), ("xn--abc", true), ("a.b_c", true), ("a/bc", false), ("a%2fb", false)] {
            check(text, RuleKind::HostSubstring, sound);
        }
    }

    #[test]
    fn a_token_is_no_part_of_a_longer_word_and_an_escape_is_one_character() {
        let check = |text: &str, signature: &str, substring: bool, token: bool| {
            let start = text.find(signature).unwrap();
            let ends = (start, start + signature.len());
            let got = [false, true].map(|token| stands(text.as_bytes(), ends.0, ends.1, token));
            assert_eq!(got, [substring, token], "{signature} in {text}");
        };
        check("h.test/gate.php", "gate.php", true, true);
        check("h.test/agate.php", "gate.php", true, false);
        check("h.test/gate.php5", "gate.php", true, false);
        check("h.test/gate.php?a", "gate.php", true, true);
        check("h.test/x%20gate", "gate", true, true);
        check("h.test/x%20gate", "20gate", false, false);
        check("h.test/x%20gate", "0gate", false, false);
        check("h.test/20gate", "0gate", true, false);
        check("h.test/a/gate", "/gate", true, true);
        check("h.test/a/gates", "/gate", true, false);
        check("h.test/a/gate/", "a/gate/", true, true);
        check("gate", "gate", true, true);
        check("h.test/x%20gate", "x%20", true, true);
        check("h.test/x%20gate", "/x%20ga", true, false);
    }

    #[test]
    fn texts_may_end_in_each_other_only_so_often() {
        let texts = |count: usize| (0..count).map(|extra| "a".repeat(5 + extra)).collect::<Vec<_>>();
        let fits = texts(SIGNATURE_NESTING_MAX);
        assert_eq!(too_nested(fits.iter().map(|text| text.as_bytes())), None);
        let over = texts(SIGNATURE_NESTING_MAX + 1);
        assert_eq!(too_nested(over.iter().map(|text| text.as_bytes())), over.last().map(|text| text.as_bytes()));
        let beside: Vec<String> = (0..200).map(|number| format!("x{number}-end")).collect();
        assert_eq!(too_nested(beside.iter().map(|text| text.as_bytes())), None);
    }
}
