//! STIX patterns: which of them are keys, and why the others are not.
//!
//! ```text
//! [url:value = 'http://a.example/x'] OR [domain-name:value IN ('a.example', 'b.example')]        three alternatives, three rules
//! [file:hashes.'SHA-256' = '…' OR file:hashes.MD5 = '…']                                          two
//! [network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.1']    one: the type says nothing that the value does not
//! [domain-name:value = 'a.example' AND network-traffic:dst_port = 443]                            none: AND is never widened into OR
//! ```
//! A recursive descent through the grammar of STIX 2.1 part 9 (and 2.0's, which is smaller). Each test of a property becomes an alternative or a reason;
//! OR puts alternatives side by side, everything else puts one reason in place of what it joins. Syntax errors tell the character.

use super::Part;
use crate::judge::Expect;
use crate::limits::{PATTERN_DEPTH_MAX, PATTERN_VALUES_MAX};
use crate::look;
use crate::read::lexer::{Lexer, Token};
use crate::reason::Reason;
use std::borrow::Cow;

/// The alternatives of a pattern, each an indicator or the reason why it is none.
pub fn parts(pattern: &str) -> Result<Vec<Part<'_>>, Reason> {
    let mut parser = Parser { lexer: Lexer::new(pattern)?, depth: 0, values: 0 };
    let alternatives = parser.observations()?;
    match parser.lexer.token {
        Token::End => Ok(alternatives.into_iter().map(|alternative| alternative.part).collect()),
        _ => Err(parser.lexer.expected("OR, AND, FOLLOWEDBY, a qualifier or the end")),
    }
}

/// One way to fulfil a pattern.
struct Alternative<'p> {
    part: Part<'p>,
    /// Where it stands in the pattern.
    start: usize,
    end: usize,
    /// `dst_ref` of `network-traffic:dst_ref.value`, and of the test of its type.
    of_ref: Option<&'static str>,
    /// It is only the test of a reference's type: the kind that it asks for.
    type_test: Option<RefType>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RefType {
    Ipv4,
    Ipv6,
    Domain,
}

struct Parser<'p> {
    lexer: Lexer<'p>,
    depth: usize,
    values: usize,
}

impl<'p> Parser<'p> {
    fn observations(&mut self) -> Result<Vec<Alternative<'p>>, Reason> {
        let mut all = self.observations_or()?;
        while self.lexer.take_word("FOLLOWEDBY")? {
            let more = self.observations_or()?;
            all = vec![self.joined(all, more, Reason::PatternFollowedBy)];
        }
        Ok(all)
    }

    fn observations_or(&mut self) -> Result<Vec<Alternative<'p>>, Reason> {
        let mut all = self.observations_and()?;
        while self.lexer.take_word("OR")? {
            all.extend(self.observations_and()?);
        }
        Ok(all)
    }

    fn observations_and(&mut self) -> Result<Vec<Alternative<'p>>, Reason> {
        let mut all = self.observation()?;
        while self.lexer.take_word("AND")? {
            let more = self.observation()?;
            all = vec![self.joined(all, more, Reason::PatternAnd)];
        }
        Ok(all)
    }

    /// `[…]` or `(…)`, with the qualifiers behind it.
    fn observation(&mut self) -> Result<Vec<Alternative<'p>>, Reason> {
        self.deeper()?;
        let mut all = match self.lexer.token {
            Token::OpenBracket => {
                self.lexer.advance()?;
                let all = self.comparisons_or()?;
                self.lexer.expect(Token::CloseBracket, "]")?;
                all
            }
            Token::OpenParenthesis => {
                self.lexer.advance()?;
                let all = self.observations()?;
                self.lexer.expect(Token::CloseParenthesis, ")")?;
                all
            }
            _ => return Err(self.lexer.expected("[ or (")),
        };
        self.depth -= 1;
        while self.qualifier()? {
            all.iter_mut().for_each(|alternative| alternative.part.expect = Err(Reason::PatternQualifier));
        }
        Ok(all)
    }

    /// `WITHIN 5 SECONDS`, `REPEATS 5 TIMES`, `START t'…' STOP t'…'`
    fn qualifier(&mut self) -> Result<bool, Reason> {
        if self.lexer.take_word("WITHIN")? {
            self.lexer.expect(Token::Number, "a number")?;
            self.lexer.expect_word("SECONDS")?;
        } else if self.lexer.take_word("REPEATS")? {
            self.lexer.expect(Token::Number, "a number")?;
            self.lexer.expect_word("TIMES")?;
        } else if self.lexer.take_word("START")? {
            self.time()?;
            self.lexer.expect_word("STOP")?;
            self.time()?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn time(&mut self) -> Result<(), Reason> {
        match self.lexer.token {
            // STIX 2.0 wrote plain strings.
            Token::Typed | Token::Text(_) => self.lexer.advance(),
            _ => Err(self.lexer.expected("a time, t'…'")),
        }
    }

    fn comparisons_or(&mut self) -> Result<Vec<Alternative<'p>>, Reason> {
        let mut all = self.comparisons_and()?;
        while self.lexer.take_word("OR")? {
            all.extend(self.comparisons_and()?);
        }
        Ok(all)
    }

    fn comparisons_and(&mut self) -> Result<Vec<Alternative<'p>>, Reason> {
        let mut all = self.comparison()?;
        while self.lexer.take_word("AND")? {
            let more = self.comparison()?;
            all = match implied(&all, &more) {
                Some(0) => all,
                Some(_) => more,
                None => vec![self.joined(all, more, Reason::PatternAnd)],
            };
        }
        Ok(all)
    }

    fn comparison(&mut self) -> Result<Vec<Alternative<'p>>, Reason> {
        if self.lexer.token == Token::OpenParenthesis {
            self.deeper()?;
            self.lexer.advance()?;
            let all = self.comparisons_or()?;
            self.lexer.expect(Token::CloseParenthesis, ")")?;
            self.depth -= 1;
            return Ok(all);
        }
        let start = self.lexer.start;
        let mut operator = Ok(());
        if self.lexer.take_word("NOT")? {
            operator = Err(Reason::PatternOperator);
        }
        if self.lexer.take_word("EXISTS")? {
            self.path()?;
            let text = self.lexer.text(start, self.lexer.before);
            return Ok(vec![Alternative::refused(text, start, self.lexer.before, Reason::PatternOperator)]);
        }
        let path = self.path()?;
        if self.lexer.take_word("NOT")? {
            operator = Err(Reason::PatternOperator);
        }
        let values = self.values(&mut operator)?;
        let end = self.lexer.before;
        let text = self.lexer.text(start, end);
        if let Err(reason) = operator {
            return Ok(vec![Alternative::refused(text, start, end, reason)]);
        }
        self.values += values.len();
        if self.values > PATTERN_VALUES_MAX {
            return Err(Reason::TooManyNames);
        }
        Ok(values.into_iter().map(|value| path.alternative(value, text, start, end)).collect())
    }

    /// The operator and what stands behind it.
    fn values(&mut self, operator: &mut Result<(), Reason>) -> Result<Vec<Option<Cow<'p, str>>>, Reason> {
        match self.lexer.token {
            Token::Equal => {
                self.lexer.advance()?;
                Ok(vec![self.literal()?])
            }
            Token::Compare => {
                *operator = Err(Reason::PatternOperator);
                self.lexer.advance()?;
                Ok(vec![self.literal()?])
            }
            Token::Word("IN") => {
                self.lexer.advance()?;
                self.lexer.expect(Token::OpenParenthesis, "(")?;
                let mut values = vec![self.literal()?];
                while self.lexer.token == Token::Comma {
                    self.lexer.advance()?;
                    values.push(self.literal()?);
                }
                self.lexer.expect(Token::CloseParenthesis, ", or )")?;
                Ok(values)
            }
            // A network that the address lies in: that network.
            Token::Word("ISSUBSET") => {
                self.lexer.advance()?;
                Ok(vec![self.literal()?])
            }
            Token::Word("LIKE" | "MATCHES" | "ISSUPERSET") => {
                *operator = Err(Reason::PatternOperator);
                self.lexer.advance()?;
                Ok(vec![self.literal()?])
            }
            _ => Err(self.lexer.expected("=, IN, LIKE, MATCHES or another operator")),
        }
    }

    /// `None` for what is no text.
    fn literal(&mut self) -> Result<Option<Cow<'p, str>>, Reason> {
        let value = match &mut self.lexer.token {
            Token::Text(text) => Some(std::mem::take(text)),
            Token::Number | Token::Typed | Token::Word("true" | "false") => None,
            _ => return Err(self.lexer.expected("a value")),
        };
        self.lexer.advance()?;
        Ok(value)
    }

    /// `file:hashes.'SHA-256'`, `network-traffic:extensions.'http-request-ext'.request_value`, `x:values[*].name`
    fn path(&mut self) -> Result<Path<'p>, Reason> {
        let Token::Word(kind) = self.lexer.token else { return Err(self.lexer.expected("an object path")) };
        self.lexer.advance()?;
        self.lexer.expect(Token::Colon, ":")?;
        let mut steps = vec![self.step()?];
        loop {
            match self.lexer.token {
                Token::Dot => {
                    self.lexer.advance()?;
                    steps.push(self.step()?);
                }
                Token::OpenBracket => {
                    self.lexer.advance()?;
                    if !matches!(self.lexer.token, Token::Number | Token::Star) {
                        return Err(self.lexer.expected("a number or *"));
                    }
                    self.lexer.advance()?;
                    self.lexer.expect(Token::CloseBracket, "]")?;
                    steps.push(Cow::Borrowed("[]"));
                }
                _ => return Ok(Path { kind, steps }),
            }
        }
    }

    fn step(&mut self) -> Result<Cow<'p, str>, Reason> {
        let step = match &mut self.lexer.token {
            Token::Word(word) => Cow::Borrowed(*word),
            Token::Text(text) => std::mem::take(text),
            _ => return Err(self.lexer.expected("a property")),
        };
        self.lexer.advance()?;
        Ok(step)
    }

    /// Several things at once: one reason, with the text of all of them.
    fn joined(&self, one: Vec<Alternative<'p>>, other: Vec<Alternative<'p>>, reason: Reason) -> Alternative<'p> {
        let start = one.first().map_or(0, |first| first.start);
        let end = other.last().map_or(start, |last| last.end);
        Alternative::refused(self.lexer.text(start, end), start, end, reason)
    }

    fn deeper(&mut self) -> Result<(), Reason> {
        self.depth += 1;
        if self.depth > PATTERN_DEPTH_MAX { Err(self.lexer.expected("fewer brackets within brackets")) } else { Ok(()) }
    }
}

/// Which of two tests says all, where one is the type of a reference whose value the other gives. Not more than that is left out of any AND.
fn implied(one: &[Alternative<'_>], other: &[Alternative<'_>]) -> Option<usize> {
    let ([one], [other]) = (one, other) else { return None };
    let says = |value: &Alternative<'_>, test: &Alternative<'_>| {
        let kind = match look::address(&value.part.text) {
            Some(address) if address.is_ipv4() => RefType::Ipv4,
            Some(_) => RefType::Ipv6,
            None => RefType::Domain,
        };
        value.of_ref.is_some() && value.of_ref == test.of_ref && value.part.expect.is_ok() && test.type_test == Some(kind)
    };
    if says(one, other) {
        return Some(0);
    }
    says(other, one).then_some(1)
}

struct Path<'p> {
    kind: &'p str,
    steps: Vec<Cow<'p, str>>,
}

impl<'p> Path<'p> {
    fn alternative(&self, value: Option<Cow<'p, str>>, text: &'p str, start: usize, end: usize) -> Alternative<'p> {
        let steps: Vec<&str> = self.steps.iter().map(|step| &**step).collect();
        let of_ref = match (self.kind, steps.first()) {
            ("network-traffic", Some(&"dst_ref")) => Some("dst_ref"),
            ("network-traffic", Some(&"src_ref")) => Some("src_ref"),
            _ => None,
        };
        let type_test = match (of_ref, steps.get(1), value.as_deref()) {
            (Some(_), Some(&"type"), Some("ipv4-addr")) => Some(RefType::Ipv4),
            (Some(_), Some(&"type"), Some("ipv6-addr")) => Some(RefType::Ipv6),
            (Some(_), Some(&"type"), Some("domain-name")) => Some(RefType::Domain),
            _ => None,
        };
        let expect = match value.as_deref() {
            Some(value) => expect(self.kind, &steps, value),
            None => Err(Reason::PatternPath),
        };
        let shown = match (expect, value) {
            (Ok(_), Some(Cow::Borrowed(value))) => Cow::Borrowed(value.as_bytes()),
            (Ok(_), Some(Cow::Owned(value))) => Cow::Owned(value.into_bytes()),
            _ => Cow::Borrowed(text.as_bytes()),
        };
        Alternative { part: Part { text: shown, expect }, start, end, of_ref, type_test }
    }
}

/// What a property holds, if that is a key.
fn expect(kind: &str, steps: &[&str], value: &str) -> Result<Expect, Reason> {
    match (kind, steps) {
        ("url", ["value"]) => Ok(Expect::Url),
        ("domain-name", ["value"]) => Ok(Expect::Host),
        ("ipv4-addr" | "ipv6-addr", ["value"]) => Ok(Expect::Address),
        ("network-traffic", ["dst_ref" | "src_ref", "value"]) => {
            Ok(if look::address(value.as_bytes()).is_some() { Expect::Address } else { Expect::Host })
        }
        ("email-addr", ["value"]) => Err(Reason::Email),
        ("file", ["hashes", algorithm]) => match &*algorithm.to_ascii_uppercase() {
            "MD5" => Ok(Expect::Md5),
            "SHA-1" | "SHA1" => Ok(Expect::Sha1),
            "SHA-256" | "SHA256" => Ok(Expect::Sha256),
            _ => Err(Reason::PatternPath),
        },
        _ => Err(Reason::PatternPath),
    }
}

impl<'p> Alternative<'p> {
    fn refused(text: &'p str, start: usize, end: usize, reason: Reason) -> Self {
        let part = Part { text: Cow::Borrowed(text.as_bytes()), expect: Err(reason) };
        Alternative { part, start, end, of_ref: None, type_test: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Expected<'a> = &'a [(&'a str, Result<Expect, Reason>)];

    fn check(pattern: &str, expected: Expected<'_>) {
        let parts = parts(pattern).unwrap_or_else(|reason| panic!("{pattern}: {reason}"));
        let found: Vec<_> = parts.iter().map(|part| (std::str::from_utf8(&part.text).unwrap(), part.expect)).collect();
        assert_eq!(found, expected, "{pattern}");
    }

    fn refused(pattern: &str, reason: Reason) {
        let parts = parts(pattern).unwrap_or_else(|reason| panic!("{pattern}: {reason}"));
        assert!(!parts.is_empty() && parts.iter().all(|part| part.expect == Err(reason)), "{pattern}: {parts:?}");
    }

    #[test]
    fn equality_and_sets_are_keys() {
        check("[url:value = 'http://a.example/x?y=\\'z\\\\']", &[("http://a.example/x?y='z\\", Ok(Expect::Url))]);
        check("[domain-name:value='a.example']", &[("a.example", Ok(Expect::Host))]);
        check("[domain-name:value == 'a.example']", &[("a.example", Ok(Expect::Host))]);
        check(
            "[ipv4-addr:value IN ('192.0.2.1','198.51.100.0/24')]",
            &[("192.0.2.1", Ok(Expect::Address)), ("198.51.100.0/24", Ok(Expect::Address))],
        );
        check("[ipv6-addr:value ISSUBSET '2001:db8::/32']", &[("2001:db8::/32", Ok(Expect::Address))]);
        for path in ["hashes.'SHA-256'", "hashes.SHA256", "hashes.SHA-256", "hashes.'sha256'"] {
            check(&format!("[file:{path} = 'aa']"), &[("aa", Ok(Expect::Sha256))]);
        }
        check("[file:hashes.MD5 = 'aa' OR file:hashes.'SHA-1' = 'bb']", &[("aa", Ok(Expect::Md5)), ("bb", Ok(Expect::Sha1))]);
    }

    #[test]
    fn or_puts_alternatives_side_by_side_and_keeps_those_that_are_none() {
        check(
            "([url:value = 'u'] OR [file:name = 'x']) OR [a-b:c.d[*].e = 5]",
            &[("u", Ok(Expect::Url)), ("file:name = 'x'", Err(Reason::PatternPath)), ("a-b:c.d[*].e = 5", Err(Reason::PatternPath))],
        );
        check(
            "[domain-name:value = 'a.example' OR (url:value = 'u' AND file:name = 'x')]",
            &[("a.example", Ok(Expect::Host)), ("url:value = 'u' AND file:name = 'x'", Err(Reason::PatternAnd))],
        );
    }

    #[test]
    fn and_is_never_widened() {
        refused("[url:value = 'u' AND domain-name:value = 'a.example']", Reason::PatternAnd);
        refused("[url:value = 'u'] AND [domain-name:value = 'a.example']", Reason::PatternAnd);
        refused("[(url:value = 'u' OR url:value = 'v') AND file:size = 5]", Reason::PatternAnd);
        refused("[url:value = 'u'] FOLLOWEDBY [url:value = 'v']", Reason::PatternFollowedBy);
        refused("[file:hashes.MD5 = 'aa' AND file:hashes.'SHA-1' = 'bb']", Reason::PatternAnd);
    }

    #[test]
    fn the_type_of_a_reference_says_nothing_that_its_value_does_not() {
        let (kind, value) = ("network-traffic:dst_ref.type = 'ipv4-addr'", "network-traffic:dst_ref.value = '192.0.2.1'");
        check(&format!("[{kind} AND {value}]"), &[("192.0.2.1", Ok(Expect::Address))]);
        check(&format!("[{value} AND {kind}]"), &[("192.0.2.1", Ok(Expect::Address))]);
        check(
            "[network-traffic:dst_ref.type = 'domain-name' AND network-traffic:dst_ref.value = 'a.example']",
            &[("a.example", Ok(Expect::Host))],
        );
        refused(&format!("[{kind} AND {value} AND network-traffic:dst_port = 443]"), Reason::PatternAnd);
        refused(&format!("[network-traffic:src_ref.type = 'ipv4-addr' AND {value}]"), Reason::PatternAnd);
        refused(&format!("[network-traffic:dst_ref.type = 'ipv6-addr' AND {value}]"), Reason::PatternAnd);
        refused(&format!("[{kind}] AND [{value}]"), Reason::PatternAnd);
        refused(&format!("[{kind}]"), Reason::PatternPath);
    }

    #[test]
    fn other_operators_and_qualifiers_have_their_own_reasons() {
        for test in [
            "url:value != 'u'",
            "url:value <> 'u'",
            "url:value LIKE 'u%'",
            "url:value MATCHES '^u'",
            "url:value NOT = 'u'",
            "url:value NOT IN ('u')",
            "NOT url:value = 'u'",
            "file:size > 5",
            "EXISTS url:value",
            "ipv4-addr:value ISSUPERSET '192.0.2.0/24'",
        ] {
            refused(&format!("[{test}]"), Reason::PatternOperator);
        }
        for qualifier in ["WITHIN 5 SECONDS", "REPEATS 2 TIMES", "START t'2026-01-01T00:00:00Z' STOP t'2026-02-01T00:00:00Z'"] {
            refused(&format!("[url:value = 'u'] {qualifier}"), Reason::PatternQualifier);
            refused(&format!("([url:value = 'u'] OR [url:value = 'v']) {qualifier}"), Reason::PatternQualifier);
        }
        refused("[email-addr:value = 'x@a.example']", Reason::Email);
        refused("[file:hashes.'SHA-512' = 'aa']", Reason::PatternPath);
        refused("[url:value = 5]", Reason::PatternPath);
    }

    #[test]
    fn syntax_errors_tell_the_character() {
        for (pattern, character, part) in [
            ("", 1, "[ or ("),
            ("url:value = 'u'", 1, "[ or ("),
            ("[url:value = 'u'", 17, "]"),
            ("[url:value = 'u]", 14, "not closed"),
            ("[url:value 'u']", 12, "operator"),
            ("[url value = 'u']", 6, ":"),
            ("[url:value = u]", 14, "a value"),
            ("[url:value IN ()]", 16, "a value"),
            ("[url:value = 'u'] [url:value = 'v']", 19, "OR, AND"),
            ("[url:value = 'u'] WITHIN SECONDS", 26, "a number"),
            ("[url:value = 'u' §]", 18, "character"),
            ("[a:b[x] = 1]", 6, "a number or *"),
        ] {
            match parts(pattern) {
                Err(Reason::PatternSyntax { at, expected }) => {
                    assert_eq!(at, character, "{pattern}: {expected}");
                    assert!(expected.contains(part), "{pattern}: {expected}");
                }
                other => panic!("{pattern}: {other:?}"),
            }
        }
    }

    #[test]
    fn depth_and_count_are_bounded() {
        let deep = format!("{}[url:value = 'u']{}", "(".repeat(PATTERN_DEPTH_MAX), ")".repeat(PATTERN_DEPTH_MAX));
        assert!(matches!(parts(&deep), Err(Reason::PatternSyntax { .. })));
        let many = format!("[url:value IN ('u'{})]", ",'u'".repeat(PATTERN_VALUES_MAX));
        assert_eq!(parts(&many).unwrap_err(), Reason::TooManyNames);
    }
}
