//! Netsets and ipsets (FireHOL and its kin): `#` comments, one IPv4 or IPv6 address or prefix a line. Spamhaus DROP reads the same way, with `; SBL…` after each prefix.

use super::{Line, Reader, Row, without_trailing_comment};
use crate::judge::Expect;
use crate::reason::Reason;

/// A list of addresses and prefixes only.
pub struct Netset;

impl Reader for Netset {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        let line = line.trim_ascii();
        if let Some(other) = Line::without_row(line, |line| matches!(line[0], b'#' | b';')) {
            return other;
        }
        let text = without_trailing_comment(line);
        if text.iter().any(u8::is_ascii_whitespace) {
            return Line::Refused(Reason::SeveralWords);
        }
        Line::Row(Row::single(text, Expect::Address))
    }
}
