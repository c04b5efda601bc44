//! Tokens of STIX patterns, with their places.
//!
//! Words may hold hyphens (`domain-name`, and `SHA-256` as STIX 2.0's examples write it unquoted); strings are between single quotes with `\'` and
//! `\\`; `t'…'`, `h'…'` and `b'…'` are values that no key has. Comments of both kinds and white space stand anywhere.

use crate::reason::Reason;
use std::borrow::Cow;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'p> {
    /// Letters, digits, `_` and `-`, beginning with a letter or `_`.
    Word(&'p str),
    /// `'…'`, with its escapes undone.
    Text(Cow<'p, str>),
    /// Whole or not.
    Number,
    /// `t'…'`, `h'…'`, `b'…'`
    Typed,
    /// `=`, `==`
    Equal,
    /// `!=`, `<>`, `<`, `<=`, `>`, `>=`
    Compare,
    /// `[`
    OpenBracket,
    /// `]`
    CloseBracket,
    /// `(`
    OpenParenthesis,
    /// `)`
    CloseParenthesis,
    /// `,`
    Comma,
    /// `:`
    Colon,
    /// `.`
    Dot,
    /// `*`
    Star,
    /// The pattern is over.
    End,
}

/// Gives one token after another.
pub struct Lexer<'p> {
    pattern: &'p str,
    at: usize,
    /// The token that comes next.
    pub token: Token<'p>,
    /// Where it begins.
    pub start: usize,
    /// Where the one before ended.
    pub before: usize,
}

impl<'p> Lexer<'p> {
    /// At the first token.
    pub fn new(pattern: &'p str) -> Result<Self, Reason> {
        let mut lexer = Lexer { pattern, at: 0, token: Token::End, start: 0, before: 0 };
        lexer.advance()?;
        Ok(lexer)
    }

    /// Of the pattern, between two places.
    pub fn text(&self, start: usize, end: usize) -> &'p str {
        self.pattern.get(start..end).unwrap_or_default()
    }

    /// Past the token that comes next, if it is this one.
    pub fn expect(&mut self, token: Token<'_>, name: &'static str) -> Result<(), Reason> {
        if self.token == token { self.advance() } else { Err(self.expected(name)) }
    }

    /// Past a word, which must be this one.
    pub fn expect_word(&mut self, word: &'static str) -> Result<(), Reason> {
        if self.take_word(word)? { Ok(()) } else { Err(self.expected(word)) }
    }

    /// Past the word, if it comes next.
    pub fn take_word(&mut self, word: &str) -> Result<bool, Reason> {
        let is_it = matches!(self.token, Token::Word(found) if found == word);
        if is_it {
            self.advance()?;
        }
        Ok(is_it)
    }

    /// An error at the token that comes next.
    pub fn expected(&self, expected: &'static str) -> Reason {
        self.error(self.start, expected)
    }

    fn error(&self, at: usize, expected: &'static str) -> Reason {
        let characters = self.pattern.get(..at).map_or(at, |before| before.chars().count());
        Reason::PatternSyntax { at: u32::try_from(characters + 1).unwrap_or(u32::MAX), expected }
    }

    /// To the next token.
    pub fn advance(&mut self) -> Result<(), Reason> {
        self.before = self.at;
        self.skip_blanks()?;
        self.start = self.at;
        let rest = &self.pattern.as_bytes()[self.at..];
        let Some(&first) = rest.first() else {
            self.token = Token::End;
            return Ok(());
        };
        let (token, bytes) = match (first, rest.get(1)) {
            (b'=', Some(b'=')) => (Token::Equal, 2),
            (b'=', _) => (Token::Equal, 1),
            (b'!', Some(b'=')) | (b'<', Some(b'=' | b'>')) | (b'>', Some(b'=')) => (Token::Compare, 2),
            (b'<' | b'>', _) => (Token::Compare, 1),
            (b'[', _) => (Token::OpenBracket, 1),
            (b']', _) => (Token::CloseBracket, 1),
            (b'(', _) => (Token::OpenParenthesis, 1),
            (b')', _) => (Token::CloseParenthesis, 1),
            (b',', _) => (Token::Comma, 1),
            (b':', _) => (Token::Colon, 1),
            (b'.', _) => (Token::Dot, 1),
            (b'*', _) => (Token::Star, 1),
            (b'\'', _) => self.quoted(self.at + 1).map(|(text, bytes)| (Token::Text(text), bytes + 1))?,
            (b't' | b'h' | b'b', Some(b'\'')) => self.quoted(self.at + 2).map(|(_, bytes)| (Token::Typed, bytes + 2))?,
            (b'0'..=b'9' | b'-' | b'+', _) => (Token::Number, number(rest)),
            (b'a'..=b'z' | b'A'..=b'Z' | b'_', _) => {
                let bytes = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')).count();
                (Token::Word(&self.pattern[self.at..self.at + bytes]), bytes)
            }
            _ => return Err(self.error(self.at, "another character")),
        };
        self.token = token;
        self.at += bytes;
        Ok(())
    }

    /// From behind the opening quote: the text, and its bytes with the closing quote.
    fn quoted(&self, from: usize) -> Result<(Cow<'p, str>, usize), Reason> {
        let text = &self.pattern[from..];
        let mut unescaped: Option<String> = None;
        let mut kept = 0;
        let mut bytes = text.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'\'' => {
                    let found = match unescaped {
                        Some(mut start) => {
                            start.push_str(&text[kept..at]);
                            Cow::Owned(start)
                        }
                        None => Cow::Borrowed(&text[..at]),
                    };
                    return Ok((found, at + 1));
                }
                b'\\' if matches!(text.as_bytes().get(at + 1), Some(b'\'' | b'\\')) => {
                    unescaped.get_or_insert_default().push_str(&text[kept..at]);
                    kept = at + 1;
                    bytes.next();
                }
                _ => {}
            }
        }
        Err(self.error(self.at, "a quote at the end: the text is not closed"))
    }

    fn skip_blanks(&mut self) -> Result<(), Reason> {
        loop {
            let rest = &self.pattern[self.at..];
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                let end = trimmed.find("*/").ok_or_else(|| self.error(self.at, "*/ at the end of the comment"))?;
                self.at += end + 2;
            } else {
                return Ok(());
            }
        }
    }
}

fn number(rest: &[u8]) -> usize {
    1 + rest[1..].iter().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E')).count()
}
