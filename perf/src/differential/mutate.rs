//! Mutations that have fooled canonicalisers: other spellings of the same, and things that only look like it.
//!
//! Each takes a place at random and writes trouble there; one to four of them make a mutant, every eighth URL stays as it is.

use crate::seed::Rng;

/// Inserted, or written over what stood there.
const PIECES: [&[u8]; 48] = [
    b"/",
    b"//",
    b"\\",
    b".",
    b"..",
    b"/../",
    b"/./",
    b"/%2e/",
    b"/.%2E/",
    b"/%252e%252e/",
    b"%2e",
    b"%2F",
    b"%5c",
    b"%25",
    b"%3f",
    b"%23",
    b"%40",
    b"%3A",
    b"%",
    b"%zz",
    b"@",
    b":",
    b"?",
    b"#",
    b"[",
    b"]",
    b"^",
    b"|",
    b"<",
    b" ",
    b"\t",
    b"\r\n",
    b"\x00",
    b"\x7f",
    b"\xff",
    b"\xc3\x28",
    b"\xe3\x80\x82",
    b"\xef\xbc\x8e",
    b"\xef\xbd\xa1",
    b"\xc2\xad",
    b"\xc3\x9f",
    b"\xc3\xbc",
    b"\xe2\x80\x8d",
    b"\xcc\x88",
    b"xn--",
    b"'",
    b"\"",
    b"{}",
];

const DOTS: [&[u8]; 8] = [b".", b"%2e", b"%2E", b"%252e", b"\xe3\x80\x82", b"\xef\xbc\x8e", b"\xef\xbd\xa1", b"%E3%80%82"];

const SLASHES: [&[u8]; 8] = [b"\\", b"//", b"/./", b"/x/../", b"%2f", b"%5C", b"/\t", b"\\/"];

const PORTS: [&[u8]; 8] = [b":80", b":443", b":", b":0080", b":65535", b":65536", b":8o", b":\t80"];

const USERS: [&[u8]; 7] = [b"user@", b"user:pass@", b"a@b@", b"good.example%2F@", b"@", b":@", b"good.example:80\\@"];

const SCHEMES: [&[u8]; 14] = [
    b"",
    b"//",
    b"http:",
    b"http:/",
    b"HTTP://",
    b"hTtPs:\\\\",
    b"http:///",
    b"ftp://",
    b"ws:",
    b"file://",
    b"http%3A%2F%2F",
    b"ht\ttp://",
    b" http://",
    b"x:",
];

const HOSTS: [&[u8]; 40] = [
    b"3279880203",
    b"0x7f.1",
    b"0177.0.0.1",
    b"0x7f000001",
    b"127.1",
    b"12.0x12.01234",
    b"276.2.3",
    b"256.0.0.1",
    b"1.2.3.4.",
    b"1.2.3.4..",
    b"1.2.3.4.5",
    b"1.2.3.08",
    b"0x.0x.0",
    b"4294967296",
    b"1.2.3.0x100",
    b"10.192.95.89 xy",
    b"a.0x4",
    b"a.09",
    b"\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.1",
    b"%31%32%37.1",
    b"[::1]",
    b"[::ffff:1.2.3.4]",
    b"[64:ff9b::1.2.3.4]",
    b"[2001:DB8:0:0::1]",
    b"[::1",
    b"[fe80::1%25eth0]",
    b"[::1.2.3]",
    b"[1:2:3:4:5:6:7:8:9]",
    b"[::192.9.5.5]",
    b"%5B::1%5D",
    b"www.xn--a.example",
    b"xn--",
    b"fa\xc3\x9f.example",
    b"a_b.-c-.example",
    b".example",
    b"a..example.",
    b"...",
    b"\xe2\x84\xaa.example",
    b"\xd7\x90a.example",
    b"ex%41mple.com",
];

/// One URL, more or less like `original`.
pub fn mutate(original: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut url = original.to_vec();
    if rng.one_in(8) {
        return url;
    }
    for _ in 0..=rng.below(4) {
        once(&mut url, rng);
    }
    url
}

fn once(url: &mut Vec<u8>, rng: &mut Rng) {
    let (host_start, host_end) = host(url);
    let at = rng.below(url.len() + 1);
    match rng.below(16) {
        0 | 1 => {
            let piece = *rng.pick(&PIECES);
            let end = if rng.one_in(2) { at } else { url.len().min(at + piece.len()) };
            url.splice(at..end, piece.iter().copied());
        }
        2 => {
            let end = url.len().min(at + 1 + rng.below(8));
            url[at..end].iter_mut().for_each(|byte| *byte ^= if byte.is_ascii_alphabetic() { 0x20 } else { 0 });
        }
        3 => escape(url, at, rng),
        4 => replace(url, b'.', any(&DOTS, rng), rng),
        5 => replace(url, b'/', any(&SLASHES, rng), rng),
        6 => insert(url, at, any(&[&b"\t"[..], b"\n", b"\r", b" ", b"\x01", b"\x00"], rng)),
        7 => insert(url, host_start, any(&USERS, rng)),
        8 => insert(url, host_end, any(&PORTS, rng)),
        9 | 10 => drop(url.splice(host_start..host_end, rng.pick(&HOSTS).iter().copied())),
        11 => full_width(url, host_start + rng.below(host_end - host_start + 1)),
        12 => drop(url.splice(..host_start, rng.pick(&SCHEMES).iter().copied())),
        13 => insert(url, at, &[rng.bits() as u8]),
        14 => {
            let end = url.len().min(at + rng.below(12));
            let piece = url[at..end].to_vec();
            if rng.one_in(2) {
                insert(url, at, &piece);
            } else {
                drop(url.drain(at..end));
            }
        }
        _ => lengthen(url, at, rng),
    }
}

/// From behind `://` to what ends an authority; something, wherever there is nothing of the kind.
fn host(url: &[u8]) -> (usize, usize) {
    let start = url.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
    let end = url[start..].iter().position(|byte| b"/\\?#:".contains(byte)).map_or(url.len(), |at| start + at);
    (start, end)
}

fn any<'p>(pieces: &[&'p [u8]], rng: &mut Rng) -> &'p [u8] {
    pieces[rng.below(pieces.len())]
}

fn insert(url: &mut Vec<u8>, at: usize, piece: &[u8]) {
    url.splice(at..at, piece.iter().copied());
}

/// One byte as `%XX`, its digits in either case, sometimes escaped once more.
fn escape(url: &mut Vec<u8>, at: usize, rng: &mut Rng) {
    let Some(&byte) = url.get(at) else { return };
    let percent = *rng.pick(&["%", "%", "%", "%25", "%2525"]);
    let escaped = if rng.one_in(2) { format!("{percent}{byte:02x}") } else { format!("{percent}{byte:02X}") };
    url.splice(at..=at, escaped.bytes());
}

fn replace(url: &mut Vec<u8>, byte: u8, by: &[u8], rng: &mut Rng) {
    let places: Vec<usize> = url.iter().enumerate().filter(|(_, other)| **other == byte).map(|(at, _)| at).collect();
    if !places.is_empty() {
        let at = *rng.pick(&places);
        url.splice(at..=at, by.iter().copied());
    }
}

/// A letter or digit as its full-width form, U+FF01 to U+FF5E.
fn full_width(url: &mut Vec<u8>, at: usize) {
    let Some(&byte) = url.get(at).filter(|byte| byte.is_ascii_graphic()) else { return };
    let wide = char::from_u32(0xFF01 + u32::from(byte) - 0x21).unwrap_or('x');
    url.splice(at..=at, wide.to_string().bytes());
}

/// Around the lengths where something changes: a block, two, a DNS name, a URL.
fn lengthen(url: &mut Vec<u8>, at: usize, rng: &mut Rng) {
    let near = *rng.pick(&[64, 64, 128, 128, 192, 256, 256, 320, 1100]) + rng.below(5);
    let near = if rng.one_in(64) { 8190 + rng.below(5) } else { near };
    let piece = *rng.pick(&[&b"a"[..], b"a.", b"/a", b"%41", b"a=b&", b"1"]);
    if url.len() < near {
        let filling: Vec<u8> = piece.iter().copied().cycle().take(near - url.len()).collect();
        url.splice(at..at, filling);
    }
}
