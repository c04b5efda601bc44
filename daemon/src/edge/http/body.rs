//! The body of a request: where it ends, and its bytes.
//!
//! ```text
//!  5;ext=1 CRLF  hello CRLF  0 CRLF  Trailer: x CRLF  CRLF        5 bytes of data, one trailer that nobody reads
//!  └ Line ──────┘└ Data ────┘└ Line ┘└ Trailers ─────────┘
//! ```
//! A body that trickles is walked through once: `Chunks` goes on where it stopped. Both what it carries and what surrounds that is bounded.

use super::head::Refusal;
use memchr::memchr;

/// Bytes of a line that gives a chunk's length, extensions included; and of all trailers.
const LINE_BYTES_MAX: usize = 256;
const TRAILER_BYTES_MAX: usize = 4096;
/// A chunk is at least so long on average, or the body is refused: eight bytes around each byte of data would be a way to spend our time.
const LINES_PER_BODY_MAX: u32 = 16 * 1024;
const TOO_LONG: Refusal = Refusal { status: 413, why: "the body is too long" };

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The length of the next chunk.
    #[default]
    Line,
    /// So many bytes of a chunk are left, its CRLF included.
    Data(usize),
    /// Lines up to an empty one; so many bytes of them so far.
    Trailers(usize),
}

/// How far a chunked body was walked through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    state: State,
    at: usize,
    data: usize,
    lines: u32,
}

impl Chunks {
    /// Walks on through `body`, whose beginning it has seen; its end, when it is there.
    pub fn advance(&mut self, body: &[u8], bytes_max: usize) -> Result<Option<usize>, Refusal> {
        self.walk(body, bytes_max, |_| ())
    }

    /// The data of a body that was walked through.
    pub fn data(body: &[u8], bytes_max: usize) -> Vec<u8> {
        let mut data = Vec::new();
        // It was walked through, so this ends well.
        let _ = Self::default().walk(body, bytes_max, |piece| data.extend_from_slice(piece));
        data
    }

    fn walk(&mut self, body: &[u8], bytes_max: usize, mut each: impl FnMut(&[u8])) -> Result<Option<usize>, Refusal> {
        loop {
            let rest = &body[self.at.min(body.len())..];
            match self.state {
                State::Line => {
                    let Some(line) = line(rest, LINE_BYTES_MAX)? else { return Ok(None) };
                    let bytes = chunk_bytes(line)?;
                    self.at += line.len() + 2;
                    self.data += bytes;
                    self.lines += 1;
                    if self.data > bytes_max || self.lines > LINES_PER_BODY_MAX {
                        return Err(TOO_LONG);
                    }
                    self.state = if bytes == 0 { State::Trailers(0) } else { State::Data(bytes + 2) };
                }
                State::Data(left) => {
                    // All but the CRLF is data; that must be one, as far as it is there.
                    let here = rest.len().min(left);
                    let data = here.min(left.saturating_sub(2));
                    let (piece, tail) = rest[..here].split_at(data);
                    let wanted = &b"\r\n"[2 - left.min(2)..];
                    if !wanted.starts_with(tail) {
                        return Err(Refusal::bad("a chunk is longer than it says"));
                    }
                    each(piece);
                    self.at += here;
                    if here < left {
                        self.state = State::Data(left - here);
                        return Ok(None);
                    }
                    self.state = State::Line;
                }
                State::Trailers(before) => {
                    let Some(line) = line(rest, TRAILER_BYTES_MAX)? else { return Ok(None) };
                    self.at += line.len() + 2;
                    if line.is_empty() {
                        return Ok(Some(self.at));
                    }
                    if before + line.len() > TRAILER_BYTES_MAX {
                        return Err(Refusal { status: 431, why: "the trailers are too long" });
                    }
                    self.state = State::Trailers(before + line.len() + 2);
                }
            }
        }
    }
}

/// The line at the start of `rest` without its CRLF, if all of it is there.
fn line(rest: &[u8], bytes_max: usize) -> Result<Option<&[u8]>, Refusal> {
    let within = &rest[..rest.len().min(bytes_max + 2)];
    let Some(newline) = memchr(b'\n', within) else {
        return if within.len() == bytes_max + 2 { Err(Refusal::bad("a line of the body is too long")) } else { Ok(None) };
    };
    match within[..newline].split_last() {
        Some((b'\r', line)) if memchr(b'\r', line).is_none() => Ok(Some(line)),
        _ => Err(Refusal::bad("a line of the body ends without CR")),
    }
}

/// Hexadecimal digits, then nothing or an extension.
fn chunk_bytes(line: &[u8]) -> Result<usize, Refusal> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let after = line[digits..].trim_ascii_start();
    if digits == 0 || !(after.is_empty() || after[0] == b';') {
        return Err(Refusal::bad("a chunk has no length"));
    }
    if digits > 8 {
        return Err(TOO_LONG);
    }
    let value = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as usize;
    Ok(line[..digits].iter().fold(0, |bytes, byte| bytes * 16 + value(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// End and data of a body, the same however it arrives.
    fn check(body: &[u8], want: Result<Option<(usize, &[u8])>, u16>) {
        let whole = Chunks::default().advance(body, 100);
        let mut chunks = Chunks::default();
        let mut trickled = Ok(None);
        for end in 0..=body.len() {
            trickled = chunks.advance(&body[..end], 100);
            if !matches!(trickled, Ok(None)) {
                break;
            }
        }
        assert_eq!(whole, trickled, "{}", body.escape_ascii());
        let got = whole.map(|end| end.map(|end| (end, Chunks::data(&body[..end], 100)))).map_err(|refusal| refusal.status);
        assert_eq!(got, want.map(|end| end.map(|(end, data)| (end, data.to_vec()))), "{}", body.escape_ascii());
    }

    #[test]
    fn a_body_ends_where_its_last_chunk_and_trailers_end() {
        check(b"0\r\n\r\n", Ok(Some((5, b""))));
        check(b"5\r\nhello\r\n0\r\n\r\nGET", Ok(Some((15, b"hello"))));
        check(b"5;a=b\r\nhello\r\n3 ; x\r\nyou\r\n00\r\nA: b\r\nC: d\r\n\r\n", Ok(Some((44, b"helloyou"))));
        check(b"A\r\n0123456789\r\n0\r\n\r\n", Ok(Some((20, b"0123456789"))));
        check(b"2\r\n\r\n\r\n0\r\n\r\n", Ok(Some((12, b"\r\n"))));
    }

    #[test]
    fn a_part_of_a_body_waits_for_the_rest() {
        for part in [&b""[..], b"5", b"5\r", b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r", b"5\r\nhello\r\n0\r\n", b"0\r\nA: b\r\n"] {
            check(part, Ok(None));
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for body in [
            &b"5\nhello\r\n"[..],
            b"\r\n",
            b"-5\r\nhello",
            b"+5\r\nhello",
            b"0x5\r\nhello",
            b" 5\r\nhello",
            b"5 5\r\nhello",
            b"5\r\nhelloX\r\n",
            b"5\r\nhello\n",
            b"5\r\nhello\r0",
            b"5;a\rb\r\nhello",
            b"0\r\nA: b\n\r\n",
        ] {
            check(body, Err(400));
        }
    }

    #[test]
    fn a_body_is_bounded_in_data_chunks_and_trailers() {
        check(b"65\r\n", Err(413));
        check(b"40\r\n0123456789012345678901234567890123456789012345678901234567890123\r\n40\r\n", Err(413));
        check(b"FFFFFFFFFFFFFFFF\r\n", Err(413));
        check(&[&b"5;"[..], &[b'x'; 300]].concat(), Err(400));
        let trailers = [&b"0\r\n"[..], &b"A: 0123456789\r\n".repeat(400)].concat();
        check(&trailers, Err(431));
        let many = b"1\r\nx\r\n".repeat(LINES_PER_BODY_MAX as usize + 1);
        assert_eq!(Chunks::default().advance(&many, 1 << 20), Err(TOO_LONG));
    }
}
