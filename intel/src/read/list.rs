//! Plain lists: one indicator a line.
//!
//! ```text
//! # comment            ; comment            // comment            ! comment
//! hxxps://bad[.]example/login   # seen in a mail
//! ```
//! Defanged forms are restored where the indicator is judged. A line of several words is rejected: the next word may be a second
//! indicator, a date or an excuse, and a guess would list the wrong thing.

use super::{Line, Reader, Row, is_list_comment, without_trailing_comment};
use crate::judge::Expect;
use crate::reason::Reason;

/// A list whose lines hold one kind, or any.
pub struct List {
    expect: Expect,
}

impl List {
    /// A list of `expect`.
    pub fn new(expect: Expect) -> Self {
        List { expect }
    }
}

impl Reader for List {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        let line = line.trim_ascii();
        if let Some(other) = Line::without_row(line, is_list_comment) {
            return other;
        }
        let text = without_trailing_comment(line);
        if text.iter().any(u8::is_ascii_whitespace) {
            return Line::Refused(Reason::SeveralWords);
        }
        Line::Row(Row::single(text, self.expect))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_one_indicator_and_leaves_comments() {
        let mut list = List::new(Expect::Any);
        for line in ["# a", ";a", "  // a", "! Title: a", "#"] {
            assert_eq!(list.read(line.as_bytes()), Line::Comment, "{line}");
        }
        for line in ["", "  ", "\t"] {
            assert_eq!(list.read(line.as_bytes()), Line::Blank);
        }
        for line in ["example.test", " example.test ", "example.test # bad", "example.test\t; bad", "example.test // bad", "example.test #"]
        {
            assert_eq!(list.read(line.as_bytes()), Line::Row(Row::single(b"example.test", Expect::Any)), "{line}");
        }
        assert_eq!(list.read(b"http://example.test/;a#b"), Line::Row(Row::single(b"http://example.test/;a#b", Expect::Any)));
        for line in ["example.test bad", "example.test example.com", "bad example.test # x"] {
            assert_eq!(list.read(line.as_bytes()), Line::Refused(Reason::SeveralWords), "{line}");
        }
    }
}
