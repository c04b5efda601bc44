//! Filter lists of ad blockers (Adblock Plus, uBlock Origin, AdGuard): of their network rules those that say a host or a URL.
//!
//! ```text
//! ||bad.example^                 the host and all names below     ||bad.example^$document,popup    the same
//! ||bad.example/kit/login.html   that page                        |https://bad.example/x|          that page
//! ||bad.example^$third-party     for some requests only: filter-option        bad.example##.ad     about looks: cosmetic-rule
//! @@||good.example^              an exception: what is read with action = "allow", and rejected without
//! ```
//! Where a filter without `^` or `|` at its end matches more than one name or page (`||bad.example` also matches `bad.example.org`), the rule
//! is for the name or page itself: narrower than the filter, never wider. A bare host is read as uBlock Origin reads it, as `||host^`.

use super::{Line, Reader, Row};
use crate::judge::Expect;
use crate::look::{Look, look};
use crate::reason::Reason;

/// Options that leave a rule whole: it holds for pages themselves, whatever else it names.
const WHOLE: [&[u8]; 3] = [b"all", b"document", b"doc"];

/// Options that say nothing about what is blocked, and further kinds of requests beside the page.
const HARMLESS: [&[u8]; 20] = [
    b"important",
    b"popup",
    b"network",
    b"script",
    b"image",
    b"stylesheet",
    b"css",
    b"object",
    b"xmlhttprequest",
    b"xhr",
    b"subdocument",
    b"frame",
    b"ping",
    b"beacon",
    b"websocket",
    b"webrtc",
    b"font",
    b"media",
    b"other",
    b"_",
];

/// A filter list, read for its blocks or for its exceptions.
pub struct Adblock {
    exceptions: bool,
    /// Open `!#if` of uBlock Origin: what lies within holds for some browsers only.
    conditions: u32,
}

impl Adblock {
    /// With `exceptions`, `@@` rules are what is read.
    pub fn new(exceptions: bool) -> Self {
        Adblock { exceptions, conditions: 0 }
    }

    fn comment(&mut self, line: &[u8]) -> Line<'static> {
        if line.starts_with(b"!#if") {
            self.conditions = self.conditions.saturating_add(1);
        } else if line.starts_with(b"!#endif") {
            self.conditions = self.conditions.saturating_sub(1);
        }
        Line::Comment
    }
}

impl Reader for Adblock {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Line::Blank;
        }
        if line[0] == b'!' || line.starts_with(b"[Adblock") || line.starts_with(b"[uBlock") || line == b"#" || line.starts_with(b"# ") {
            return self.comment(line);
        }
        if is_cosmetic(line) {
            return Line::Refused(Reason::CosmeticRule);
        }
        let (rule, is_exception) = line.strip_prefix(b"@@").map_or((line, false), |rule| (rule, true));
        match (is_exception, self.exceptions) {
            (true, false) => return Line::Refused(Reason::Exception),
            (false, true) => return Line::Refused(Reason::NotAnException),
            _ if self.conditions > 0 => return Line::Refused(Reason::FilterOption),
            _ => {}
        }
        match indicator(rule) {
            Ok((text, expect)) => Line::Row(Row::single(text, expect)),
            Err(reason) => Line::Refused(reason),
        }
    }
}

/// `##`, `#@#`, `#?#`, `#$#`, `#%#`, `$$`: rules about elements, scripts and styles.
fn is_cosmetic(line: &[u8]) -> bool {
    let hash = |at: usize| {
        let rest = &line[at + 1..];
        let marks = rest.iter().take(3).take_while(|byte| matches!(byte, b'@' | b'?' | b'$' | b'%')).count();
        rest.get(marks) == Some(&b'#')
    };
    let mut hashes = (0..line.len()).filter(|&at| line[at] == b'#');
    hashes.any(hash) || line.windows(2).any(|pair| pair == b"$$")
}

fn indicator(rule: &[u8]) -> Result<(&[u8], Expect), Reason> {
    if rule.first() == Some(&b'/') && rule.len() > 1 && (rule.ends_with(b"/") || rule.windows(2).any(|pair| pair == b"/$")) {
        return Err(Reason::NotAKey); // a regular expression
    }
    let (pattern, options) = split_options(rule);
    let anchored = pattern.strip_prefix(b"||");
    let pinned = || pattern.strip_prefix(b"|").filter(|url| url.starts_with(b"http://") || url.starts_with(b"https://"));
    let text = match anchored.or_else(pinned) {
        Some(text) => text,
        // uBlock Origin takes a bare host for `||host^`; any other text is searched for within URLs.
        None if look(pattern) == Look::Address || (look(pattern) == Look::Host && is_name(pattern)) => pattern,
        None => return Err(Reason::NotAKey),
    };
    let text = text.strip_suffix(b"|").unwrap_or(text);
    let text = text.strip_suffix(b"^").unwrap_or(text);
    if text.contains(&b'*') {
        return Err(Reason::Wildcard);
    }
    if text.is_empty() || text.contains(&b'^') || text.contains(&b'|') {
        return Err(Reason::NotAKey);
    }
    options.map_or(Ok(()), judge_options)?;
    let is_url = anchored.is_none() && pattern.starts_with(b"|") || text.contains(&b'/');
    Ok((text, if is_url { Expect::Url } else { Expect::Host }))
}

/// A name that nobody takes for a piece of a file name or of a URL.
fn is_name(text: &[u8]) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    text.contains(&b'.') && !text.contains(&b'_') && edge(text.first()) && edge(text.last())
}

/// Options stand behind the last `$`; a `$` before a `/` or within a path belongs to the pattern.
fn split_options(rule: &[u8]) -> (&[u8], Option<&[u8]>) {
    let is_option = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b',');
    match rule.iter().rposition(|&byte| byte == b'$') {
        Some(at) if rule[at + 1..].first().is_some_and(|first| first.is_ascii_alphabetic() || matches!(first, b'~' | b'_')) => {
            // A value may hold anything (removeparam=/…/), so that only what stands before the first `=` tells an option list.
            let options = &rule[at + 1..];
            let names = options.split(|&byte| byte == b'=').next().unwrap_or_default();
            if names.iter().all(is_option) { (&rule[..at], Some(options)) } else { (rule, None) }
        }
        _ => (rule, None),
    }
}

/// No option may narrow the rule; kinds of requests only where the page itself is among them.
fn judge_options(options: &[u8]) -> Result<(), Reason> {
    let (mut whole, mut kinds) = (false, false);
    for option in options.split(|&byte| byte == b',') {
        if WHOLE.contains(&option) {
            whole = true;
        } else if HARMLESS.contains(&option) {
            kinds |= !matches!(option, b"important" | b"network" | b"_");
        } else if !option.starts_with(b"reason=") {
            return Err(Reason::FilterOption);
        }
    }
    if kinds && !whole { Err(Reason::FilterOption) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: &str, expected: Result<(&str, Expect), Reason>) {
        let found = indicator(rule.as_bytes()).map(|(text, expect)| (std::str::from_utf8(text).unwrap(), expect));
        assert_eq!(found, expected, "{rule}");
    }

    #[test]
    fn takes_what_says_a_host_or_a_page() {
        for rule in ["||a.example^", "||a.example", "||a.example^|", "||a.example$all", "||a.example^$document,popup", "a.example"] {
            check(rule, Ok(("a.example", Expect::Host)));
        }
        check("||a.example/x/y.exe$all", Ok(("a.example/x/y.exe", Expect::Url)));
        check("|https://a.example/x|", Ok(("https://a.example/x", Expect::Url)));
        check("||a.example/x$y.html", Ok(("a.example/x$y.html", Expect::Url)));
        check("||192.0.2.1^$important", Ok(("192.0.2.1", Expect::Host)));
    }

    #[test]
    fn refuses_what_is_less_or_more_than_that() {
        for rule in ["||a.example^$third-party", "||a.example^$script", "||a.example^$domain=b.example", "||a.example^$badfilter"] {
            check(rule, Err(Reason::FilterOption));
        }
        for rule in ["||a.*^", "||*.a.example^", "||a.example/*/x"] {
            check(rule, Err(Reason::Wildcard));
        }
        for rule in ["/banner[0-9]+/", "-ad-banner.", "/ads/x.", "||", "||a.example^x", "|a.example", "&ad="] {
            check(rule, Err(Reason::NotAKey));
        }
    }

    #[test]
    fn looks_and_scripts_are_no_network_rules() {
        for line in ["a.example##.ad", "##.ad", "a.example#@#.ad", "a.example#?#div", "a.example#$#x", "a.example##+js(x)", "a$$script"] {
            assert_eq!(Adblock::new(false).read(line.as_bytes()), Line::Refused(Reason::CosmeticRule), "{line}");
        }
    }

    #[test]
    fn exceptions_are_read_by_choice_only() {
        assert_eq!(Adblock::new(false).read(b"@@||a.example^"), Line::Refused(Reason::Exception));
        assert_eq!(Adblock::new(true).read(b"||a.example^"), Line::Refused(Reason::NotAnException));
        assert_eq!(Adblock::new(true).read(b"@@||a.example^"), Line::Row(Row::single(b"a.example", Expect::Host)));
    }

    #[test]
    fn what_stands_under_a_condition_is_not_for_everybody() {
        let mut list = Adblock::new(false);
        for (line, expected) in [
            ("!#if env_firefox", Line::Comment),
            ("||a.example^", Line::Refused(Reason::FilterOption)),
            ("!#endif", Line::Comment),
            ("||a.example^", Line::Row(Row::single(b"a.example", Expect::Host))),
            ("!#endif", Line::Comment),
        ] {
            assert_eq!(list.read(line.as_bytes()), expected, "{line}");
        }
    }
}
