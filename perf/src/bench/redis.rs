//! Redis as a peer: its protocol (RESP2) as far as MGET and MSET need it, its contents.
//!
//! ```text
//! *3\r\n $4\r\nMGET\r\n $3\r\nabc\r\n $3\r\nxyz\r\n   ─►   *2\r\n $8\r\n12345678\r\n $-1\r\n
//! ```

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::TcpStream;

use memchr::memchr;

use super::memcached::VALUE;
use crate::fleet::{Dialect, Sent, Tally};

/// Keys of one MSET while filling.
const FILL_BATCH: usize = 64;

/// Fills it with these keys.
pub fn fill<K: AsRef<[u8]>>(stream: &TcpStream, keys: impl Iterator<Item = K>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, stream.try_clone()?);
    // Each MSET is answered, and somebody has to take the answers while the next are written.
    let reader = stream.try_clone()?;
    let counting = std::thread::spawn(move || {
        let mut lines = BufReader::new(reader).lines();
        let mut done = 0u64;
        loop {
            match lines.next() {
                Some(Ok(line)) if line == "+OK" => done += 1,
                Some(Ok(line)) if line == "+PONG" => return Ok(done),
                Some(Ok(line)) => return Err(io::Error::other(format!("Redis says {line}"))),
                Some(Err(error)) => return Err(error),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    });
    let (mut command, mut count, mut commands) = (Vec::new(), 0, 0u64);
    let mut keys = keys.peekable();
    while let Some(key) = keys.next() {
        bulk(&mut command, key.as_ref());
        bulk(&mut command, VALUE);
        count += 1;
        if count == FILL_BATCH || keys.peek().is_none() {
            write!(out, "*{}\r\n$4\r\nMSET\r\n", 2 * count + 1)?;
            out.write_all(&command)?;
            command.clear();
            count = 0;
            commands += 1;
        }
    }
    out.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    out.flush()?;
    let done = counting.join().map_err(|_| io::Error::other("the reader panicked"))??;
    if done == commands { Ok(()) } else { Err(io::Error::other(format!("Redis took {done} of {commands} commands"))) }
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// One key is asked by GET, more by MGET.
pub fn encode(out: &mut Vec<u8>, keys: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", keys.len() + 1).as_bytes());
    bulk(out, if keys.len() == 1 { b"GET" } else { b"MGET" });
    keys.iter().for_each(|key| bulk(out, key));
}

/// Replies to GET and MGET.
#[derive(Clone, Copy, Debug)]
pub struct Resp;

impl Resp {
    /// Bytes of a reply and the values in it; None while it is incomplete.
    fn reply(inbox: &[u8]) -> io::Result<Option<(usize, u64)>> {
        let Some((mut at, count)) = number(inbox, 0, b'*')? else {
            return match inbox.first() {
                Some(b'$') => Ok(value(inbox, 0)?.map(|(end, known)| (end, u64::from(known)))),
                _ => Ok(None),
            };
        };
        let mut values = 0;
        for _ in 0..count {
            let Some((end, known)) = value(inbox, at)? else { return Ok(None) };
            at = end;
            values += u64::from(known);
        }
        Ok(Some((at, values)))
    }
}

/// The end of the value at `at`, and whether there is one.
fn value(inbox: &[u8], at: usize) -> io::Result<Option<(usize, bool)>> {
    Ok(match number(inbox, at, b'$')? {
        Some((end, -1)) => Some((end, false)),
        Some((end, bytes)) => Some((end + bytes as usize + 2, true)).filter(|(end, _)| *end <= inbox.len()),
        None => None,
    })
}

/// The end of the line at `at` and its number; None while it is incomplete or begins otherwise, an error where it is Redis' own.
fn number(inbox: &[u8], at: usize, mark: u8) -> io::Result<Option<(usize, i64)>> {
    let rest = inbox.get(at..).unwrap_or_default();
    let Some(end) = memchr(b'\n', rest) else { return Ok(None) };
    let line = rest[..end].trim_ascii_end();
    match line {
        [first, digits @ ..] if *first == mark => {
            let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            number.map(|number| Some((at + end + 1, number))).ok_or_else(|| io::Error::other(line.escape_ascii().to_string()))
        }
        [b'*' | b'$', ..] => Ok(None),
        _ => Err(io::Error::other(format!("Redis says {}", line.escape_ascii()))),
    }
}

impl Dialect for Resp {
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
        let reply = b"*3\r\n$8\r\n12345678\r\n$-1\r\n$2\r\n\n*\r\n";
        assert_eq!(Resp::reply(reply).unwrap(), Some((reply.len(), 2)));
        for cut in 0..reply.len() {
            assert_eq!(Resp::reply(&reply[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(Resp::reply(b"$-1\r\n$-1\r\n").unwrap(), Some((5, 0)));
        assert_eq!(Resp::reply(b"$1\r\nx\r\n").unwrap(), Some((7, 1)));
        assert!(Resp::reply(b"-ERR no\r\n").is_err());
    }

    #[test]
    fn one_key_is_a_get_and_two_are_an_mget() {
        let mut out = Vec::new();
        encode(&mut out, &[b"abc"]);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$3\r\nabc\r\n");
        out.clear();
        encode(&mut out, &[b"abc", b"d"]);
        assert_eq!(out, b"*3\r\n$4\r\nMGET\r\n$3\r\nabc\r\n$1\r\nd\r\n");
    }
}
