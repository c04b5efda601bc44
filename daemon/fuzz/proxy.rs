//! What must hold of any bytes that come where a PROXY header is expected: shared by the fuzz target `proxy` and the test that replays its seeds.
//!
//! What the reader says must not depend on how much has come beyond what it needed, nor on where the bytes were cut. What it takes is read a second
//! time here, in another way: text is compared with how its numbers are written, addresses are where the specification draws them, the checksum is
//! computed bit by bit. And a header that is made here, of the same bytes, must be understood.

use std::iter::repeat_n;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;
use verdictd::config::Config;
use verdictd::edge::guard::proxy::{HEADER_BYTES_MAX, Header, Refused, read};
use verdictd::edge::guard::{Doors, Gate, Guard};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// A line with its end.
const LINE_BYTES_MAX: usize = 107;
/// Bytes behind a header that are tried one by one: each costs a whole reading.
const BEHIND: usize = 20;
/// Bits of a header with a checksum that are turned over.
const BITS: usize = 64;
const CRC32C: u8 = 3;

/// `bytes`: first byte the piece length, then what a load balancer sends.
pub fn check(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let said = however_much_has_come(bytes);
    a_guard_says_the_same(bytes, usize::from(piece) + 1, &said);
    if let Ok(Some(header)) = &said {
        what_is_taken_is_what_stands_there(&bytes[..header.bytes], header.source);
    }
    only_a_right_checksum_passes(bytes);
    what_is_written_is_read(bytes);
}

type Said = Result<Option<Header>, Refused>;

/// One outcome, from the first byte on that makes it certain, and for a header that is its last one.
fn however_much_has_come(bytes: &[u8]) -> Said {
    let whole = read(bytes);
    let certain = (0..=bytes.len()).find(|end| read(&bytes[..*end]) != Ok(None));
    for end in certain.into_iter().flat_map(|from| from..bytes.len().min(from + BEHIND)) {
        assert_eq!(read(&bytes[..end]), whole, "after {end} of {} bytes", bytes.len());
    }
    match &whole {
        Ok(Some(header)) => assert_eq!(certain, Some(header.bytes), "a header is taken with its last byte"),
        Ok(None) if bytes.starts_with(b"P") => assert!(bytes.len() < LINE_BYTES_MAX, "it would wait for ever"),
        Ok(None) => assert!(bytes.len() < HEADER_BYTES_MAX, "it would wait for ever"),
        Err(_) => assert!(certain.is_some_and(|end| end <= HEADER_BYTES_MAX)),
    }
    whole
}

/// Both ends of a connection of this process: a guard asks its socket who is there.
fn connection() -> &'static (TcpStream, TcpStream) {
    static CONNECTION: OnceLock<(TcpStream, TcpStream)> = OnceLock::new();
    CONNECTION.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let client = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        (client, listener.accept().expect("it was connected to").0)
    })
}

/// In pieces through what stands before a listener's connections: the same source, and not one byte of the connection's own more or less.
fn a_guard_says_the_same(bytes: &[u8], piece: usize, said: &Said) {
    static DOORS: OnceLock<Doors> = OnceLock::new();
    let doors = DOORS.get_or_init(|| {
        let mut config = Config::serving(PathBuf::new());
        config.proxy.from = vec!["127.0.0.0/8".into()];
        Doors::of(&config)
    });
    let gate = Gate { proxy: true, ..Gate::default() };
    let mut guard = Guard::new(gate, doors, None, &connection().1, 0).expect("loopback may say it").expect("a header is expected");
    let (mut input, mut opened, mut refused) = (Vec::new(), 0, None);
    for piece in bytes.chunks(piece) {
        if !guard.reads() {
            input.extend_from_slice(piece); // as the shard does then
            continue;
        }
        guard.held.extend_from_slice(piece);
        match guard.take(doors, &mut input) {
            Ok(opens) => opened += usize::from(opens),
            Err(why) => {
                refused = Some(why.why);
                break;
            }
        }
    }
    assert_eq!(refused, said.as_ref().err().map(Refused::to_string));
    let here = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let (count, source, own) = match said {
        Ok(Some(header)) => (1, header.source.map(|source| source.ip()).or(here), &bytes[header.bytes..]),
        Ok(None) | Err(_) => (0, here, &[][..]),
    };
    assert_eq!((opened, guard.peer.source, input.as_slice()), (count, source, own));
    assert_eq!(guard.waits_since().is_none(), count == 1, "whoever has not said it all is still awaited");
}

fn what_is_taken_is_what_stands_there(header: &[u8], source: Option<SocketAddr>) {
    match header.strip_suffix(b"\r\n") {
        Some(line) if header[0] == b'P' => {
            assert!(header.len() <= LINE_BYTES_MAX && !line.contains(&b'\n'));
            line_says(std::str::from_utf8(line).expect("text"), source);
        }
        _ => header_says(header, source),
    }
}

fn line_says(line: &str, source: Option<SocketAddr>) {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => assert_eq!(source, None),
        ["PROXY", family @ ("TCP4" | "TCP6"), from, to, from_port, to_port] => {
            let address = |text: &str| if family == "TCP4" { octets_v4(text) } else { octets_v6(text) };
            assert_eq!(source.map(|source| source.ip()), Some(ip(&address(from))), "{line}");
            assert_eq!(source.map(|source| source.port().to_string()).as_deref(), Some(from_port), "{line}");
            // Nobody is told the destination; it is no less an address.
            address(to);
            assert_eq!(to_port.parse::<u16>().map(|port| port.to_string()).as_deref(), Ok(to_port), "{line}");
        }
        _ => panic!("taken: {line}"),
    }
}

/// Of `a.b.c.d`, in the only way to write them.
fn octets_v4(text: &str) -> Vec<u8> {
    let octets: Vec<u8> = text.split('.').map(|octet| octet.parse().expect("an octet")).collect();
    assert_eq!(octets.iter().map(u8::to_string).collect::<Vec<_>>().join("."), text);
    assert_eq!(octets.len(), 4);
    octets
}

/// Groups before `::` and behind it; what stands for zeros lies between.
fn octets_v6(text: &str) -> Vec<u8> {
    let octets = |groups: &str| -> Vec<u8> {
        let each = groups.split(':').filter(|_| !groups.is_empty());
        let octets = each.map(|group| match group.contains('.') {
            true => octets_v4(group),
            false => {
                assert!(group.len() <= 4, "{text}");
                u16::from_str_radix(group, 16).expect("a group").to_be_bytes().to_vec()
            }
        });
        octets.flatten().collect()
    };
    let Some((before, behind)) = text.split_once("::") else { return octets(text) };
    let (before, behind) = (octets(before), octets(behind));
    let zeros = 16 - before.len() - behind.len();
    assert!(zeros > 0, "{text}");
    [before, vec![0; zeros], behind].concat()
}

/// An IPv4 address within IPv6 is that address.
fn ip(octets: &[u8]) -> IpAddr {
    match *octets {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, a, b, c, d] | [a, b, c, d] => Ipv4Addr::new(a, b, c, d).into(),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(octets).expect("sixteen octets")).into(),
    }
}

fn header_says(header: &[u8], source: Option<SocketAddr>) {
    assert!(header.starts_with(SIGNATURE) && header.len() <= HEADER_BYTES_MAX);
    assert_eq!(usize::from(u16::from_be_bytes([header[14], header[15]])), header.len() - 16);
    let told = |octets: Range<usize>, port: usize| {
        let port = u16::from_be_bytes([header[port], header[port + 1]]);
        Some(SocketAddr::new(ip(&header[octets]), port))
    };
    let expected = match (header[12], header[13]) {
        (0x21, 0x11) => told(16..20, 24),
        (0x21, 0x21) => told(16..32, 48),
        (0x20, _) | (0x21, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => None,
        other => panic!("taken: {other:02x?}"),
    };
    assert_eq!(source, expected, "{header:02x?}");
    if let Some(from) = values_from(header) {
        let values = values(header, from).expect("whole values alone are taken");
        let checksums: Vec<_> = values.into_iter().filter(|(kind, _)| *kind == CRC32C).map(|(_, place)| place).collect();
        assert!(checksums.len() <= 1);
        for place in checksums {
            assert_eq!(header[place.clone()], checksum(header, &place).to_be_bytes(), "taken with another checksum: {header:02x?}");
        }
    }
}

/// Where the values of a header begin whose head stands there; `None` where nobody looks for any: LOCAL, and a family that has no layout.
fn values_from(header: &[u8]) -> Option<usize> {
    let from = match header.get(12..14)? {
        [0x21, 0x11 | 0x12] => 16 + 12,
        [0x21, 0x21 | 0x22] => 16 + 36,
        [0x21, 0x31 | 0x32] => 16 + 216,
        _ => return None,
    };
    (from <= header.len()).then_some(from)
}

/// Types, and where the values lie; `None` when they do not end where the header does.
fn values(header: &[u8], mut at: usize) -> Option<Vec<(u8, Range<usize>)>> {
    let mut values = Vec::new();
    while at < header.len() {
        let [kind, high, low] = *header.get(at..at + 3)? else { return None };
        let place = at + 3..at + 3 + usize::from(high) * 256 + usize::from(low);
        header.get(place.clone())?;
        at = place.end;
        values.push((kind, place));
    }
    Some(values)
}

/// CRC32C with zeros in its own place, bit by bit.
fn checksum(header: &[u8], place: &Range<usize>) -> u32 {
    let bytes = header.iter().enumerate().map(|(at, byte)| if place.contains(&at) { 0 } else { *byte });
    !bytes.fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 }))
}

/// The first header in these bytes with its checksum put right, where it has one: it is refused for no checksum any more, and taken with none that is wrong.
fn only_a_right_checksum_passes(bytes: &[u8]) {
    if !bytes.starts_with(SIGNATURE) || bytes.len() < 16 {
        return;
    }
    let length = 16 + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    let Some(mut header) = bytes.get(..length).map(<[u8]>::to_vec) else { return };
    let Some(from) = values_from(&header) else { return };
    let Some(place) = values(&header, from).into_iter().flatten().find(|(kind, place)| *kind == CRC32C && place.len() == 4) else { return };
    let right = checksum(&header, &place.1).to_be_bytes();
    header[place.1].copy_from_slice(&right);
    let said = read(&header);
    assert!(!matches!(said, Err(Refused::Checksum { .. })), "{said:?}");
    let Ok(Some(_)) = said else { return };
    for bit in (0..length * 8).step_by((length * 8).div_ceil(BITS)) {
        let mut damaged = header.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match read(&damaged) {
            // A bit that says less of the header, or hides its checksum: what it says then must stand there all the same.
            Ok(Some(taken)) => {
                assert!(!(16..from).contains(&(bit / 8)), "another address passes: bit {bit} of {header:02x?}");
                what_is_taken_is_what_stands_there(&damaged[..taken.bytes], taken.source);
            }
            Ok(None) => assert!(matches!(bit / 8, 14 | 15), "it waits for more: bit {bit} of {header:02x?}"),
            Err(_) => {}
        }
    }
}

/// Both versions of a header about addresses that these bytes are, with a checksum and a value of the rest of them, and what a client sends behind it.
fn what_is_written_is_read(bytes: &[u8]) {
    let mut drawn = bytes.iter().copied().chain(repeat_n(0, 37));
    let mut draw = |count: usize| drawn.by_ref().take(count).collect::<Vec<u8>>();
    let octets = if draw(1)[0] % 2 == 0 { 4 } else { 16 };
    let (addresses, ports) = (draw(2 * octets), draw(4));
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    let source = Some(SocketAddr::new(ip(&addresses[..octets]), port(0)));

    // Spelt as it lies there, also where it is an IPv4 address within IPv6.
    let text = |octets: &[u8]| match <[u8; 16]>::try_from(octets) {
        Ok(sixteen) => Ipv6Addr::from(sixteen).to_string(),
        Err(_) => ip(octets).to_string(),
    };
    let (from, to) = addresses.split_at(octets);
    let family = if octets == 4 { "TCP4" } else { "TCP6" };
    let line = format!("PROXY {family} {} {} {} {}\r\n", text(from), text(to), port(0), port(2)).into_bytes();

    let own = &bytes[..bytes.len().min(500)];
    let mut header = SIGNATURE.to_vec();
    header.extend([0x21, if octets == 4 { 0x11 } else { 0x21 }]);
    header.extend(((2 * octets + 4 + 7 + 3 + own.len()) as u16).to_be_bytes());
    header.extend([&addresses[..], &ports, &[CRC32C, 0, 4, 0, 0, 0, 0], &[0xE0]].concat());
    header.extend((own.len() as u16).to_be_bytes());
    header.extend(own);
    let place = 16 + 2 * octets + 4 + 3..16 + 2 * octets + 4 + 7;
    let right = checksum(&header, &place).to_be_bytes();
    header[place].copy_from_slice(&right);

    for mut written in [line, header] {
        let bytes = written.len();
        written.extend_from_slice(b"GET / HTTP/1.1\r\n");
        assert_eq!(read(&written), Ok(Some(Header { bytes, source })), "{written:02x?}");
    }
}
