//! Lines of a stream, each held in memory up to a bound.
//!
//! ```text
//! bytes ──► BufReader ──► at most LINE_BYTES_MAX + 1 bytes up to '\n' ──► Text, or TooLong with the line's head; the rest is skipped unread
//! ```
//! A line ends with LF or CRLF, or with the file. A UTF-8 byte order mark before the first line is dropped. What the bytes
//! mean is not asked here: NUL bytes and broken UTF-8 pass through.

use crate::limits::LINE_BYTES_MAX;
use std::io::{self, BufRead, BufReader, Read};

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// All of it.
    Text(&'a [u8]),
    /// Longer than `LINE_BYTES_MAX`; only its beginning is here.
    TooLong(&'a [u8]),
}

/// Reads lines; allocates one buffer.
pub struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// Reads from the start of a file.
    pub fn new(input: R) -> Self {
        Lines { input: BufReader::with_capacity(64 * 1024, input), line: Vec::new(), number: 0 }
    }

    /// The number of the line that `next` gave last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line, `None` at the end of the stream.
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let bytes = (&mut self.input).take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut self.line)?;
        if bytes == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if bytes > LINE_BYTES_MAX {
            self.input.skip_until(b'\n')?;
            return Ok(Some(Line::TooLong(&self.line)));
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        let line = self.line.as_slice();
        let line = if self.number == 1 { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) } else { line };
        Ok(Some(Line::Text(line)))
    }
}

/// Counts the lines of what is read through it, as `Lines` numbers them.
pub struct Counted<R> {
    input: R,
    ends: u64,
    in_line: bool,
}

impl<R> Counted<R> {
    /// At the start of a file.
    pub fn new(input: R) -> Self {
        Counted { input, ends: 0, in_line: false }
    }

    /// Lines so far, one that has not ended too.
    pub fn lines(&self) -> u64 {
        self.ends + u64::from(self.in_line)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.input.read(buffer)?;
        if let Some(&last) = buffer[..bytes].last() {
            self.ends += buffer[..bytes].iter().filter(|&&byte| byte == b'\n').count() as u64;
            self.in_line = last != b'\n';
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &[&[u8]]) {
        let mut lines = Lines::new(bytes);
        for (index, expected) in expected.iter().enumerate() {
            assert_eq!(lines.next().unwrap(), Some(Line::Text(expected)));
            assert_eq!(lines.number(), index as u64 + 1);
        }
        assert_eq!(lines.next().unwrap(), None);
    }

    #[test]
    fn ends_lines_with_lf_crlf_and_the_file() {
        check(b"", &[]);
        check(b"a", &[b"a"]);
        check(b"a\n", &[b"a"]);
        check(b"a\r\nb\n\nc", &[b"a", b"b", b"", b"c"]);
        check(b"\n", &[b""]);
        check(b"a\rb\r", &[b"a\rb"]);
    }

    #[test]
    fn lines_are_counted_as_they_are_numbered() {
        for text in ["", "a", "a\n", "a\nb", "\n\n", "a\r\n\nb\n"] {
            let mut counted = Counted::new(text.as_bytes());
            io::copy(&mut counted, &mut io::sink()).unwrap();
            let mut lines = Lines::new(text.as_bytes());
            while lines.next().unwrap().is_some() {}
            assert_eq!(counted.lines(), lines.number(), "{text:?}");
        }
    }

    #[test]
    fn drops_the_byte_order_mark_of_the_first_line_only() {
        check(b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb\n", &[b"a", b"\xEF\xBB\xBFb"]);
    }

    #[test]
    fn passes_nul_bytes_and_broken_text() {
        check(b"a\0b\n\xff\xfe\n", &[b"a\0b", b"\xff\xfe"]);
    }

    #[test]
    fn a_line_of_the_limit_is_read_and_one_byte_more_is_skipped() {
        let mut bytes = vec![b'x'; LINE_BYTES_MAX];
        bytes.push(b'\n');
        bytes.extend(vec![b'y'; LINE_BYTES_MAX + 1]);
        bytes.extend(b"\nz");
        let mut lines = Lines::new(bytes.as_slice());
        assert!(matches!(lines.next().unwrap(), Some(Line::Text(line)) if line.len() == LINE_BYTES_MAX));
        assert!(matches!(lines.next().unwrap(), Some(Line::TooLong(_))));
        assert_eq!(lines.next().unwrap(), Some(Line::Text(b"z")));
        assert_eq!(lines.number(), 3);
    }

    #[test]
    fn an_endless_line_is_never_held() {
        let mut lines = Lines::new(io::repeat(b'x').take(8 << 20));
        assert!(matches!(lines.next().unwrap(), Some(Line::TooLong(_))));
        assert_eq!(lines.next().unwrap(), None);
        assert!(lines.line.capacity() <= 4 * LINE_BYTES_MAX);
    }
}
