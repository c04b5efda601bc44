//! `digest;comment`, as signature-base writes its hash indicators. The comment is free text and may hold more semicolons;
//! it names the report or the family, and is what the row refers to.

use super::{Line, Reader, Row};
use crate::judge::Expect;
use std::borrow::Cow;

/// Lines of a digest, a semicolon and a comment.
pub struct HashComment;

impl Reader for HashComment {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        let line = line.trim_ascii();
        if let Some(other) = Line::without_row(line, |line| line[0] == b'#') {
            return other;
        }
        let end = line.iter().position(|&byte| byte == b';').unwrap_or(line.len());
        let comment = line[end..].strip_prefix(b";").unwrap_or_default().trim_ascii();
        let reference = Some(Cow::Borrowed(comment)).filter(|comment| !comment.is_empty());
        Line::Row(Row { reference, ..Row::single(line[..end].trim_ascii(), Expect::Digest) })
    }
}
