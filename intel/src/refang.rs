//! Undoes "defanging": how reports write an indicator so that nobody clicks it.
//!
//! `hxxps://bad[.]example/x`, `bad(dot)example`, `198.51.100[.]7`, `hxxp[:]//…`. The scheme is always restored. Dots are restored
//! only where the host part is written that way: a URL whose *path* happens to hold `[.]` keeps it.

use std::borrow::Cow;

const DOTS: [&[u8]; 6] = [b"[.]", b"(.)", b"{.}", b"[dot]", b"(dot)", b"{dot}"];
const COLONS: [&[u8]; 2] = [b"[:]", b"[://]"];

/// The indicator as it was before someone made it harmless to click; borrowed when there is nothing to undo.
pub fn refang(text: &[u8]) -> Cow<'_, [u8]> {
    let scheme_is_defanged = text.len() > 4 && text[..2].eq_ignore_ascii_case(b"hx") && has_defanged_scheme(text);
    let brackets = text.iter().any(|byte| matches!(byte, b'[' | b'(' | b'{' | b']'));
    if !scheme_is_defanged && !brackets {
        return Cow::Borrowed(text);
    }
    let mut fixed = Vec::with_capacity(text.len());
    let mut rest = text;
    if scheme_is_defanged {
        fixed.extend_from_slice(b"http");
        rest = &rest[4..];
    }
    if !brackets || !host_is_defanged(rest) {
        fixed.extend_from_slice(rest);
        return if scheme_is_defanged { Cow::Owned(fixed) } else { Cow::Borrowed(text) };
    }
    while let Some((&byte, tail)) = rest.split_first() {
        let dot = DOTS.iter().find(|dot| starts_with(rest, dot));
        if let Some(dot) = dot {
            fixed.push(b'.');
            rest = &rest[dot.len()..];
        } else if starts_with(rest, b"[://]") {
            fixed.extend_from_slice(b"://");
            rest = &rest[5..];
        } else if starts_with(rest, b"[:]") {
            fixed.push(b':');
            rest = &rest[3..];
        } else {
            fixed.push(byte);
            rest = tail;
        }
    }
    Cow::Owned(fixed)
}

/// `hxxp`, `hxxps`, `hXXp` before a colon (or a bracketed one).
fn has_defanged_scheme(text: &[u8]) -> bool {
    if !text[..4].eq_ignore_ascii_case(b"hxxp") {
        return false;
    }
    let rest = &text[4..];
    let rest = if rest.first().is_some_and(|byte| byte.eq_ignore_ascii_case(&b's')) { &rest[1..] } else { rest };
    rest.starts_with(b":") || COLONS.iter().any(|colon| starts_with(rest, colon))
}

/// Is there a bracketed dot or colon before the path begins?
fn host_is_defanged(text: &[u8]) -> bool {
    let marks = || DOTS.iter().chain(&COLONS);
    let after_scheme = find(text, b"://").or_else(|| find(text, b":]//")).map_or(0, |at| at + 3);
    let host_end =
        text[after_scheme..].iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).map_or(text.len(), |at| after_scheme + at);
    (0..host_end).any(|at| marks().any(|mark| starts_with(&text[at..], mark)))
}

fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(String::from_utf8(refang(text.as_bytes()).into_owned()).unwrap(), expected);
    }

    #[test]
    fn restores_schemes_and_dots() {
        check("hxxp://bad.example/x", "http://bad.example/x");
        check("hXXps://bad[.]example/x", "https://bad.example/x");
        check("hxxps[:]//bad[.]example/x", "https://bad.example/x");
        check("hxxp[://]bad[.]example", "http://bad.example");
        check("http[:]//bad.example/x", "http://bad.example/x");
        check("bad[.]sub[.]example", "bad.sub.example");
        check("bad(dot)example", "bad.example");
        check("bad[DOT]example", "bad.example");
        check("198.51.100[.]7", "198.51.100.7");
        check("198(.)51(.)100(.)7[:]8080", "198.51.100.7:8080");
        check("bad{.}example", "bad.example");
    }

    #[test]
    fn a_defanged_host_means_that_the_path_is_defanged_too() {
        check("hxxp://bad[.]example/index[.]php", "http://bad.example/index.php");
    }

    #[test]
    fn leaves_paths_and_addresses_alone() {
        for text in [
            "http://bad.example/a[.]b",
            "http://bad.example/(dot)",
            "[2001:db8::1]:443",
            "http://[2001:db8::1]/",
            "hxxpbad.example",
            "hxx",
            "",
            "h",
            "example.test/?q=[.]",
            "[",
            "[.",
            "hxxp",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn borrows_where_nothing_is_undone() {
        assert!(matches!(refang(b"http://bad.example/a[.]b"), Cow::Borrowed(_)));
        assert!(matches!(refang(b"bad.example"), Cow::Borrowed(_)));
    }
}
