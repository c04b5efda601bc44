//! The PROXY protocol, versions 1 and 2: what a load balancer says before a connection's first byte about whose connection it is.
//!
//! ```text
//!  v1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 7700\r\n                       at most 107 bytes
//!  v2   0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A │ 21 │ 11 │ length │ addresses │ type, length, value │ ...
//!                                   signature │ version, command │ family, transport
//! ```
//! `read` takes any bytes, allocates nothing and gives three outcomes: a header, more bytes wanted, or a refusal, as soon as it is certain. Nothing
//! is guessed: whether a listener expects a header at all is configuration (`[proxy]`), and so is who may send one. A header that says LOCAL,
//! UNKNOWN or an address family without ports keeps the real peer's address: that is a load balancer's own health check.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

/// What version 2 begins with: no line of text, and no HTTP.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const HEAD_BYTES: usize = 16;
/// A whole line of version 1, as the specification bounds it.
const LINE_BYTES_MAX: usize = 107;
/// A whole header of version 2 that is still taken: addresses, names and a client's certificate are below 4 KiB where they have been seen.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;
/// The most that a unique id may have.
const UNIQUE_ID_BYTES_MAX: usize = 128;

const TLV_CRC32C: u8 = 0x03;
const TLV_UNIQUE_ID: u8 = 0x05;
const TLV_SSL: u8 = 0x20;

/// What was said of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The header's bytes; the connection's own begin behind them.
    pub bytes: usize,
    /// Who opened the connection; `None` where the load balancer speaks for itself, or of a family without ports.
    pub source: Option<SocketAddr>,
}

/// Why there can be no header in these bytes, whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Neither version's first bytes.
    #[error("the connection does not begin with a PROXY header")]
    Absent,
    /// A line that is not as version 1 has it.
    #[error("PROXY v1: {0}")]
    Line(&'static str),
    /// A header that is not as version 2 has it.
    #[error("PROXY v2: {0}")]
    Header(&'static str),
    /// The checksum that it carries is another one.
    #[error("PROXY v2: its CRC32C is {told:08x}, of these bytes it is {found:08x}")]
    Checksum {
        /// As it says.
        told: u32,
        /// As it is.
        found: u32,
    },
}

/// The header at the start of a connection's bytes; `None` while it is not whole.
///
/// # Errors
/// As soon as no further byte could make it one.
pub fn read(input: &[u8]) -> Result<Option<Header>, Refused> {
    if begins(input, &SIGNATURE) {
        read_binary(input)
    } else if begins(input, b"PROXY ") {
        read_line(input)
    } else {
        Err(Refused::Absent)
    }
}

/// Whether these are, or may become, bytes that start with `prefix`.
fn begins(input: &[u8], prefix: &[u8]) -> bool {
    let both = input.len().min(prefix.len());
    input[..both] == prefix[..both]
}

fn read_line(input: &[u8]) -> Result<Option<Header>, Refused> {
    let within = &input[..input.len().min(LINE_BYTES_MAX)];
    let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
        return if within.len() == LINE_BYTES_MAX { Err(Refused::Line("no end within 107 bytes")) } else { Ok(None) };
    };
    let line = within[..end].strip_suffix(b"\r").ok_or(Refused::Line("it ends with LF alone"))?;
    let text = std::str::from_utf8(line).map_err(|_| Refused::Line("it is not ASCII"))?;
    let mut words = text.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    let source = match family {
        // The rest of such a line means nothing, and is passed over.
        "UNKNOWN" => return Ok(Some(Header { bytes: end + 1, source: None })),
        "TCP4" | "TCP6" => addresses(&mut words, family == "TCP4")?,
        _ => return Err(Refused::Line("the protocol is none of TCP4, TCP6, UNKNOWN")),
    };
    match words.next() {
        None => Ok(Some(Header { bytes: end + 1, source: Some(source) })),
        Some(_) => Err(Refused::Line("words after the ports")),
    }
}

/// Both addresses and both ports are read: a line that is wrong anywhere is not a load balancer's.
fn addresses<'a>(words: &mut impl Iterator<Item = &'a str>, four: bool) -> Result<SocketAddr, Refused> {
    let mut address = || {
        let word = words.next().ok_or(Refused::Line("an address is missing"))?;
        let parsed = if four { word.parse().map(IpAddr::V4).ok() } else { word.parse().map(IpAddr::V6).ok() };
        parsed.ok_or(Refused::Line("an address is not one of its family"))
    };
    let (source, _destination) = (address()?, address()?);
    let mut port = || {
        let word = words.next().ok_or(Refused::Line("a port is missing"))?;
        let plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
        word.parse::<u16>().ok().filter(|_| plain).ok_or(Refused::Line("a port is not a number of 0..65535"))
    };
    let (source_port, _destination_port) = (port()?, port()?);
    Ok(SocketAddr::new(source.to_canonical(), source_port))
}

fn read_binary(input: &[u8]) -> Result<Option<Header>, Refused> {
    let Some(head) = input.first_chunk::<HEAD_BYTES>() else {
        return match input.get(12) {
            Some(version) if !matches!(version, 0x20 | 0x21) => Err(Refused::Header("neither version 2 LOCAL nor version 2 PROXY")),
            _ => Ok(None),
        };
    };
    let local = match head[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(Refused::Header("neither version 2 LOCAL nor version 2 PROXY")),
    };
    let bytes = HEAD_BYTES + usize::from(u16::from_be_bytes([head[14], head[15]]));
    if bytes > HEADER_BYTES_MAX {
        return Err(Refused::Header("longer than 8192 bytes"));
    }
    let Some(header) = input.get(..bytes) else { return Ok(None) };
    if local {
        // Its family says nothing, and what follows is skipped, whatever it is; its checksum would be of no use.
        return Ok(Some(Header { bytes, source: None }));
    }
    let rest = &header[HEAD_BYTES..];
    let (address_bytes, source) = match head[13] {
        0x00 => (0, None),
        0x11 | 0x12 => (12, rest.first_chunk::<12>().map(source_v4)),
        0x21 | 0x22 => (36, rest.first_chunk::<36>().map(source_v6)),
        0x31 | 0x32 => (216, None),
        _ => return Err(Refused::Header("an unknown family or transport")),
    };
    if rest.len() < address_bytes {
        return Err(Refused::Header("shorter than its addresses"));
    }
    // UNSPEC has no layout: what follows may be anything, and is skipped.
    if head[13] != 0x00 {
        values(header, HEAD_BYTES + address_bytes)?;
    }
    // Datagrams are not what came here, and Unix sockets have no address.
    Ok(Some(Header { bytes, source: source.filter(|_| matches!(head[13], 0x11 | 0x21)) }))
}

fn source_v4(block: &[u8; 12]) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(block[0], block[1], block[2], block[3]).into(), u16::from_be_bytes([block[8], block[9]]))
}

fn source_v6(block: &[u8; 36]) -> SocketAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&block[..16]);
    SocketAddr::new(Ipv6Addr::from(octets).to_canonical(), u16::from_be_bytes([block[32], block[33]]))
}

/// Goes through everything behind the addresses: each value within the header, the checksum right where there is one, what has a bound or a layout of
/// its own within that. Types that are not known here are somebody's own.
fn values(header: &[u8], from: usize) -> Result<(), Refused> {
    let mut checksum = None;
    let mut at = from;
    while at < header.len() {
        let (kind, value) = value_at(header, at, header.len()).ok_or(Refused::Header("a value that runs past the end"))?;
        match kind {
            TLV_CRC32C if value.len() != 4 => return Err(Refused::Header("a checksum that has not four bytes")),
            TLV_CRC32C if checksum.is_some() => return Err(Refused::Header("two checksums")),
            TLV_CRC32C => checksum = Some(value.clone()),
            TLV_UNIQUE_ID if value.len() > UNIQUE_ID_BYTES_MAX => return Err(Refused::Header("a unique id of more than 128 bytes")),
            TLV_SSL => within_ssl(header, value.clone())?,
            _ => {}
        }
        at = value.end;
    }
    match checksum {
        Some(place) => check(header, place),
        None => Ok(()),
    }
}

/// The type of a value, and where it lies.
fn value_at(header: &[u8], at: usize, end: usize) -> Option<(u8, Range<usize>)> {
    let head = header.get(at..end)?.first_chunk::<3>()?;
    let from = at + 3;
    let to = from + usize::from(u16::from_be_bytes([head[1], head[2]]));
    (to <= end).then_some((head[0], from..to))
}

/// One byte of flags, four of verification, then values as in the header itself.
fn within_ssl(header: &[u8], place: Range<usize>) -> Result<(), Refused> {
    let mut at = place.start + 5;
    if at > place.end {
        return Err(Refused::Header("what it says of TLS has less than five bytes"));
    }
    while at < place.end {
        let (_, value) = value_at(header, at, place.end).ok_or(Refused::Header("a value about TLS that runs past its end"))?;
        at = value.end;
    }
    Ok(())
}

/// Of the whole header, with zeros where the checksum stands.
fn check(header: &[u8], place: Range<usize>) -> Result<(), Refused> {
    let told = header[place.clone()].iter().fold(0u32, |told, byte| told << 8 | u32::from(*byte));
    let parts = [&header[..place.start], &[0; 4], &header[place.end..]];
    let found = !parts.into_iter().flatten().fold(!0u32, |crc, byte| crc >> 8 ^ CRC32C[usize::from(crc as u8 ^ byte)]);
    if found == told { Ok(()) } else { Err(Refused::Checksum { told, found }) }
}

/// Castagnoli's polynomial, reflected, a byte at a time: one header a connection.
const CRC32C: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// A vector of ours: hexadecimal bytes, `#` begins a comment, `expect:` says the outcome.
    fn vector(text: &str) -> (Vec<u8>, String) {
        let mut expected = String::new();
        let mut bytes = Vec::new();
        for line in text.lines() {
            if let Some(outcome) = line.strip_prefix("expect: ") {
                expected = outcome.to_owned();
                continue;
            }
            let digits: String = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            bytes.extend((0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()));
        }
        (bytes, expected)
    }

    fn outcome(input: &[u8]) -> String {
        match read(input) {
            Ok(Some(Header { bytes, source: Some(source) })) => format!("{source} bytes {bytes}"),
            Ok(Some(Header { bytes, source: None })) => format!("local bytes {bytes}"),
            Ok(None) => "more".into(),
            Err(refused) => refused.to_string(),
        }
    }

    /// Every file of `vectors/proxy`, whole and byte by byte: an outcome that is certain is never taken back, and comes no later than with the last byte.
    #[test]
    fn every_vector_has_the_outcome_it_says_however_its_bytes_arrive() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/proxy");
        let mut count = 0;
        for file in std::fs::read_dir(&directory).unwrap() {
            let path = file.unwrap().path();
            let (bytes, expected) = vector(&std::fs::read_to_string(&path).unwrap());
            assert_eq!(outcome(&bytes), expected, "{}", path.display());
            let mut certain = None;
            for end in 0..=bytes.len() {
                match (read(&bytes[..end]), &certain) {
                    (Ok(None), None) => {}
                    (Ok(None), Some(_)) => panic!("{}: taken back at {end}", path.display()),
                    (outcome, None) => certain = Some(outcome),
                    (outcome, Some(first)) if outcome.is_ok() == first.is_ok() => {}
                    (outcome, Some(first)) => panic!("{}: {first:?} became {outcome:?} at {end}", path.display()),
                }
            }
            count += 1;
        }
        assert!(count >= 30, "only {count} vectors in {}", directory.display());
    }

    #[test]
    fn what_follows_a_header_is_not_its_own() {
        let mut bytes = b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n".to_vec();
        let header = bytes.len();
        bytes.extend_from_slice(b"PROXY TCP4 192.0.2.9 198.51.100.1 1 2\r\n");
        assert_eq!(outcome(&bytes), format!("192.0.2.1:1 bytes {header}"));
    }

    #[test]
    fn the_checksum_is_the_one_of_rfc_3720() {
        let crc = |bytes: &[u8]| !bytes.iter().fold(!0u32, |crc, byte| crc >> 8 ^ CRC32C[usize::from(crc as u8 ^ byte)]);
        assert_eq!(crc(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc(&(0..32).collect::<Vec<u8>>()), 0x46DD_794E);
    }

    #[test]
    fn one_wrong_bit_anywhere_under_a_checksum_is_seen() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/proxy/v2-tcp4-crc.hex");
        let (bytes, _) = vector(&std::fs::read_to_string(path).unwrap());
        let source = read(&bytes).unwrap().unwrap().source;
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let seen = read(&damaged);
            match (bit / 8, seen) {
                // LOCAL is one bit away from PROXY, UNSPEC from TCP over IPv4: both say less, never something else.
                (12 | 13, Ok(Some(header))) => assert_eq!(header.source, None, "bit {bit}"),
                // What is no checksum any more checks nothing.
                (28, Ok(Some(header))) => assert_eq!(header.source, source, "bit {bit}"),
                (_, seen) => assert!(!matches!(seen, Ok(Some(_))), "bit {bit}: {seen:?}"),
            }
        }
    }
}
