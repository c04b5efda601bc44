//! Responses to HTTP/1.1 authorizations: the status says it all, 200 or 403.

use std::io;

use super::{Dialect, Sent, Tally};

/// First byte of an answer whose class is *malicious*, as the binary protocol has it; what is foretold of a URL is told in its words.
const MALICIOUS: u8 = 3 << 4;
const FIELDS_MAX: usize = 32;

/// Of the daemon, or of a server that answers everybody 200.
#[derive(Clone, Copy, Debug)]
pub struct Http {
    /// Whether malicious is to be refused and nothing else.
    pub judges: bool,
}

impl Dialect for Http {
    /// Requests of one connection are answered in their order.
    fn stamp(&self, _request: &mut [u8], _id: u32) {}

    fn reply_bytes(&self, inbox: &[u8]) -> io::Result<Option<usize>> {
        let Some(end) = memchr::memmem::find(inbox, b"\r\n\r\n") else { return Ok(None) };
        let head = &inbox[..end + 4];
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        httparse::Response::new(&mut fields).parse(head).map_err(io::Error::other)?;
        let length = fields.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|field| std::str::from_utf8(field.value).ok()?.parse::<usize>().ok());
        let bytes = head.len() + length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a response without a length"))?;
        Ok((inbox.len() >= bytes).then_some(bytes))
    }

    fn check(&self, sent: &Sent, expected: &[u8], reply: &[u8], tally: &mut Tally) -> io::Result<()> {
        let refused = match reply.get(9..12) {
            Some(b"200") => false,
            Some(b"403") => true,
            other => {
                let status = other.unwrap_or_default().escape_ascii().to_string();
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("status {status} for request {}", sent.id)));
            }
        };
        tally.known += u64::from(refused);
        if self.judges {
            // What cannot be read is refused too, as is the default.
            let wanted = expected.iter().any(|byte| *byte == MALICIOUS || byte & 15 != 0);
            tally.wrong += u64::from(refused != wanted);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Sent = Sent { index: 0, id: 1, keys: 1, meant_ns: 0, late_ns: 0 };

    #[test]
    fn a_response_ends_behind_its_body() {
        let http = Http { judges: true };
        let text = b"HTTP/1.1 403 Forbidden\r\nX: y\r\ncontent-length: 3\r\n\r\nno\nHTTP/1.1";
        let whole = text.len() - 8;
        for end in 0..whole {
            assert_eq!(http.reply_bytes(&text[..end]).unwrap(), None, "{end}");
        }
        assert_eq!(http.reply_bytes(text).unwrap(), Some(whole));
        assert!(http.reply_bytes(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        let mut tally = Tally::default();
        http.check(&SENT, &[MALICIOUS], &text[..whole], &mut tally).unwrap();
        assert_eq!((tally.known, tally.wrong), (1, 0));
        http.check(&SENT, &[0], &text[..whole], &mut tally).unwrap();
        assert_eq!((tally.known, tally.wrong), (2, 1));
        assert!(http.check(&SENT, &[0], b"HTTP/1.1 500 No\r\n\r\n", &mut tally).is_err());
    }
}
