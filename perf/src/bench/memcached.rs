//! memcached as a peer: its process, its text protocol, its contents.
//!
//! ```text
//! get KEY KEY ... KEY\r\n   ─►   VALUE KEY 0 8\r\n12345678\r\n  (each key that is there)  END\r\n
//! ```
//! protocol.txt of memcached 1.6: keys of at most 250 bytes, no spaces or controls.

use std::io::{self, BufWriter, Read, Write};
use std::net::TcpStream;

use memchr::memchr;

use crate::fleet::{Dialect, Sent, Tally};

/// What stands behind every key.
pub const VALUE: &[u8; 8] = b"12345678";

/// Fills it with these keys.
pub fn fill<K: AsRef<[u8]>>(stream: &TcpStream, keys: impl Iterator<Item = K>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, stream);
    for key in keys {
        out.write_all(b"set ")?;
        out.write_all(key.as_ref())?;
        out.write_all(b" 0 0 8 noreply\r\n")?;
        out.write_all(VALUE)?;
        out.write_all(b"\r\n")?;
    }
    out.write_all(b"version\r\n")?;
    out.flush()?;
    drop(out);
    // The answer to `version` says that all before it is done.
    let mut answer = [0; 64];
    let read = (&mut &*stream).read(&mut answer)?;
    if answer[..read].starts_with(b"VERSION") { Ok(()) } else { Err(io::Error::other(answer[..read].escape_ascii().to_string())) }
}

/// A get of these keys.
pub fn encode(out: &mut Vec<u8>, keys: &[&[u8]]) {
    out.extend_from_slice(b"get");
    for key in keys {
        out.push(b' ');
        out.extend_from_slice(key);
    }
    out.extend_from_slice(b"\r\n");
}

/// The text protocol, as far as `get` needs it.
#[derive(Clone, Copy, Debug)]
pub struct Text;

impl Text {
    /// Bytes of a reply and the values in it; None while it is incomplete.
    fn reply(inbox: &[u8]) -> io::Result<Option<(usize, u64)>> {
        let (mut at, mut values) = (0, 0);
        loop {
            let rest = &inbox[at..];
            let Some(end) = memchr(b'\n', rest) else { return Ok(None) };
            match rest {
                [b'V', b'A', b'L', b'U', b'E', b' ', ..] => {
                    values += 1;
                    at += end + 1 + VALUE.len() + 2;
                    if at > inbox.len() {
                        return Ok(None);
                    }
                }
                [b'E', b'N', b'D', ..] => return Ok(Some((at + end + 1, values))),
                _ => return Err(io::Error::other(format!("memcached says {}", rest[..end].escape_ascii()))),
            }
        }
    }
}

impl Dialect for Text {
    fn stamp(&self, _request: &mut [u8], _id: u32) {}

    fn reply_bytes(&self, inbox: &[u8]) -> io::Result<Option<usize>> {
        Ok(Self::reply(inbox)?.map(|(bytes, _)| bytes))
    }

    fn check(&self, sent: &Sent, expected: &[u8], reply: &[u8], tally: &mut Tally) -> io::Result<()> {
        let Some((_, values)) = Self::reply(reply)? else { return Err(io::ErrorKind::InvalidData.into()) };
        tally.count_values(sent, expected, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_complete_at_its_end_and_nowhere_before() {
        let reply = b"VALUE a 0 8\r\n12345678\r\nVALUE b 0 8\r\n\nEND\r\nxy\r\nEND\r\n";
        assert_eq!(Text::reply(reply).unwrap(), Some((reply.len(), 2)));
        for cut in 0..reply.len() {
            assert_eq!(Text::reply(&reply[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(Text::reply(b"END\r\nEND\r\n").unwrap(), Some((5, 0)));
        assert!(Text::reply(b"ERROR\r\n").is_err());
    }

    #[test]
    fn a_multiget_names_every_key() {
        let mut out = Vec::new();
        encode(&mut out, &[b"a", b"bc"]);
        assert_eq!(out, b"get a bc\r\n");
    }
}
