//! A million questions and how they come about.
//!
//! | share | what | why |
//! |---|---|---|
//! | 30 % | a listed text as it stands in its feed | hits of every kind |
//! | 25 % | a benign URL or host | misses, and shared hosts that are listed elsewhere |
//! | 35 % | a listed or benign text, mutated up to three times | the borders of every rule: spelling, labels, paths, queries, neighbouring addresses |
//! | 8 % | random addresses, digests and hosts | plain misses |
//! | 2 % | what no client should send | unparseable, unsupported |
//!
//! The answer is the oracle's affair: a mutation need not keep, or change, the meaning of its text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use verdict_keys::Kind;

use crate::frame::Question;
use crate::rules::{RuleSet, Subject};
use crate::seed::Rng;

/// Questions in one arena: kind byte and span of each.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    bytes: Vec<u8>,
    entries: Vec<(u8, u32, u16)>,
}

impl Questions {
    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends one. Longer than any frame carries: it is cut.
    pub fn push(&mut self, kind: u8, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(verdict_wire::KEY_BYTES_MAX)];
        self.entries.push((kind, self.bytes.len() as u32, bytes.len() as u16));
        self.bytes.extend_from_slice(bytes);
    }

    /// The one at `index`.
    pub fn get(&self, index: usize) -> Question<'_> {
        let (kind, at, len) = self.entries[index];
        (kind, &self.bytes[at as usize..at as usize + usize::from(len)])
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = Question<'_>> + Clone {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// `count` questions about these rules and these benign texts.
pub fn about(set: &RuleSet, benign: &[Box<str>], count: usize, rng: &Rng) -> Questions {
    let mut rng = rng.fork("questions");
    let mut questions = Questions::default();
    while questions.len() < count {
        match rng.below(100) {
            0..30 => listed(&mut questions, set, &mut rng),
            30..55 => calm(&mut questions, benign, &mut rng),
            55..90 => mutated(&mut questions, set, benign, &mut rng),
            90..94 => random(&mut questions, &mut rng),
            94..98 => marked(&mut questions, set, &mut rng),
            _ => broken(&mut questions, &mut rng),
        }
    }
    questions
}

/// The question that a caller would ask about a rule.
fn ask(questions: &mut Questions, subject: &Subject, text: &str) {
    match subject {
        Subject::Host { .. } => questions.push(Kind::Host as u8, text.as_bytes()),
        Subject::Url { .. } if text.contains("://") => questions.push(Kind::Url as u8, text.as_bytes()),
        Subject::Url { .. } => questions.push(Kind::Url as u8, format!("http://{text}").as_bytes()),
        Subject::Net { network: IpAddr::V4(address), .. } => questions.push(Kind::Ipv4 as u8, &address.octets()),
        Subject::Net { network: IpAddr::V6(address), .. } => questions.push(Kind::Ipv6 as u8, &address.octets()),
        Subject::File(digest) => {
            let (kind, bytes) = digest_bytes(digest);
            questions.push(kind, bytes);
        }
        Subject::Signature { text, in_host: true, .. } => questions.push(Kind::Host as u8, format!("a.{text}.example.net").as_bytes()),
        Subject::Signature { text, .. } => questions.push(Kind::Url as u8, format!("http://fresh.example.net/a/{text}/b?c").as_bytes()),
    }
}

fn digest_bytes(digest: &verdict_keys::Digest) -> (u8, &[u8]) {
    use verdict_keys::Digest;
    match digest {
        Digest::Sha256(bytes) => (Kind::Sha256 as u8, bytes),
        Digest::Sha1(bytes) => (Kind::Sha1 as u8, bytes),
        Digest::Md5(bytes) => (Kind::Md5 as u8, bytes),
    }
}

fn listed(questions: &mut Questions, set: &RuleSet, rng: &mut Rng) {
    let index = rng.below(set.rules.len());
    ask(questions, &set.rules[index].0, &set.texts[index]);
}

/// A text with a signature in it, whole or with one byte before, behind or inside changed. Signatures are the last rules of a set.
fn marked(questions: &mut Questions, set: &RuleSet, rng: &mut Rng) {
    let is_signature = |(subject, _): &(Subject, _)| matches!(subject, Subject::Signature { .. });
    let first = set.rules.iter().rposition(|rule| !is_signature(rule)).map_or(0, |last| last + 1);
    if first == set.rules.len() {
        return random(questions, rng);
    }
    let Subject::Signature { text, in_host, .. } = &set.rules[first + rng.below(set.rules.len() - first)].0 else { return };
    let mut text = if rng.one_in(3) { text.to_uppercase() } else { text.clone() };
    if rng.one_in(3) {
        let at = rng.below(text.len());
        let other = rng.pick(&["x", "-", "7", ""]).to_owned();
        text.replace_range(at..=at, other);
    }
    let (before, behind) = (rng.pick(&["", "x", "-", "7", "a."]), rng.pick(&["", "x", "-", "7", ".b"]));
    if *in_host && rng.one_in(2) {
        return questions.push(Kind::Host as u8, format!("{before}{text}{behind}.example.net").as_bytes());
    }
    let place = rng.pick(&["fresh.example.net/a/", "fresh.example.net/?q=", "fresh.example.net/%2e%2E/%61%62/%20", ""]);
    questions.push(Kind::Url as u8, format!("http://{place}{before}{text}{behind}/c?d=%3F").as_bytes());
}

fn calm(questions: &mut Questions, benign: &[Box<str>], rng: &mut Rng) {
    if benign.is_empty() {
        return random(questions, rng);
    }
    let text = rng.pick(benign);
    let kind = if text.contains("://") { Kind::Url } else { Kind::Host };
    questions.push(kind as u8, text.as_bytes());
}

fn mutated(questions: &mut Questions, set: &RuleSet, benign: &[Box<str>], rng: &mut Rng) {
    let index = rng.below(set.rules.len());
    match &set.rules[index].0 {
        Subject::Net { network, bits } => return neighbour(questions, *network, *bits, rng),
        Subject::File(digest) => {
            let (kind, bytes) = digest_bytes(digest);
            let mut bytes = bytes.to_vec();
            let nibble = rng.below(2 * bytes.len());
            bytes[nibble / 2] ^= (1 + rng.below(15) as u8) << (4 * (nibble % 2));
            return questions.push(kind, &bytes);
        }
        Subject::Host { host, .. } if rng.one_in(2) => {
            // A listed host in a URL.
            let url = format!("http://{host}/{}", rng.pick(&["", "a", "login/", "x.php?id=1"]));
            return questions.push(Kind::Url as u8, mutate_times(url, rng).as_bytes());
        }
        _ => (),
    }
    let text = if benign.is_empty() || rng.below(4) != 0 { &set.texts[index] } else { rng.pick(benign) };
    let is_url = text.contains('/');
    let text = if is_url && !text.contains("://") { format!("http://{text}") } else { text.to_string() };
    let kind = if is_url { Kind::Url } else { Kind::Host };
    questions.push(kind as u8, mutate_times(text, rng).as_bytes());
}

fn mutate_times(mut text: String, rng: &mut Rng) -> String {
    for _ in 0..1 + rng.below(3) {
        text = mutate(&text, rng);
    }
    text
}

/// One change of spelling or of meaning to a URL or a host.
pub fn mutate(text: &str, rng: &mut Rng) -> String {
    let host_at = text.find("://").map_or(0, |at| at + 3);
    let host_end = text[host_at..].find(['/', '?', '#']).map_or(text.len(), |at| host_at + at);
    let (before, host, after) = (&text[..host_at], &text[host_at..host_end], &text[host_end..]);
    let is_url = host_at > 0;
    match rng.below(if is_url { 22 } else { 8 }) {
        0 => format!("{before}{}{after}", flip_case(host, rng)),
        1 => format!("{before}{}.{host}{after}", rng.pick(&["www", "a", "x.y", "login", "cdn-7.eu"])),
        2 => format!("{before}{}{after}", host.split_once('.').map_or(host, |(_, rest)| rest)),
        3 => format!("{before}{host}.{after}"),
        4 => format!("{before}{}{after}", host.replacen('.', "..", 1)),
        5 => format!("{before}{}{after}", other_spelling_of_address(host, rng)),
        6 => format!("{before}{}{after}", change_letter(host, rng)),
        7 => format!("{before}{}{after}", escape_one(host, rng)),
        8 => flip_case(text, rng),
        9 => format!("{before}user:secret@{host}{after}"),
        10 => format!("{before}{host}:{}{after}", rng.pick(&["80", "8443", "65535", ""])),
        11 => format!("{text}#{}", rng.pick(&["", "top", "/a?b"])),
        12 => format!("{before}{host}{}", escape_one(after, rng)),
        13 => format!("{text}{}", rng.pick(&["/", "x", "/x", "/x/", "/index.html", "//", "/."])),
        14 => text.rfind('/').filter(|at| *at >= host_end).map_or(text, |at| &text[..at]).to_owned(),
        15 => text.rfind('/').filter(|at| *at >= host_end).map_or(text, |at| &text[..=at]).to_owned(),
        16 => {
            let slash = *rng.pick(SLASHES);
            format!("{before}{host}{}", after.replacen('/', slash, 1))
        }
        17 => text.split_once('?').map_or(text, |(path, _)| path).to_owned(),
        18 => format!("{text}{}", if after.contains('?') { rng.pick(&["&a=1", "&", "%20"]) } else { rng.pick(&["?a=1", "?", "?/a/b"]) }),
        19 => format!("{before}{host}{}", change_letter(after, rng)),
        20 => format!("{}{host}{after}", rng.pick(&["https://", "http://", "HTTP://", "ftp://"])),
        _ => insert_byte(text, rng),
    }
}

/// What a slash may be written as, with and without the same meaning.
const SLASHES: &[&str] = &["//", "/./", "/x/../", "/%2e/", "\\"];

fn flip_case(text: &str, rng: &mut Rng) -> String {
    text.chars().map(|letter| if rng.one_in(2) { letter.to_ascii_uppercase() } else { letter }).collect()
}

fn change_letter(text: &str, rng: &mut Rng) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let at = rng.below(letters.len());
    if let Some(letter) = letters.get_mut(at).filter(|letter| letter.is_ascii_alphanumeric()) {
        *letter = char::from(*rng.pick(b"abcdefghijklmnopqrstuvwxyz0123456789"));
    }
    letters.into_iter().collect()
}

/// One ASCII letter or digit as `%XX`, sometimes escaped twice.
fn escape_one(text: &str, rng: &mut Rng) -> String {
    let start = rng.below(text.len());
    let found = text.bytes().enumerate().skip(start).find(|(_, byte)| byte.is_ascii_alphanumeric());
    match found {
        Some((at, byte)) => {
            let percent = if rng.one_in(4) { "%25" } else { "%" };
            let hex = if rng.one_in(2) { format!("{byte:02x}") } else { format!("{byte:02X}") };
            format!("{}{percent}{hex}{}", &text[..at], &text[at + 1..])
        }
        None => text.to_owned(),
    }
}

fn insert_byte(text: &str, rng: &mut Rng) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let at = rng.below(letters.len() + 1);
    letters.insert(at, *rng.pick(&['\t', '\n', ' ', '\u{7f}', '\u{e9}', '\u{3002}', '%', '\\', '@', '\0', '\u{2603}']));
    letters.into_iter().collect()
}

/// An address in one of the spellings that inet_aton(3) and browsers take; a name stays.
fn other_spelling_of_address(host: &str, rng: &mut Rng) -> String {
    let Ok(address) = host.split(':').next().unwrap_or(host).parse::<Ipv4Addr>() else { return host.to_owned() };
    let [a, b, c, d] = address.octets();
    match rng.below(6) {
        0 => u32::from(address).to_string(),
        1 => format!("0x{:x}", u32::from(address)),
        2 => format!("0{a:o}.{b}.{c}.{d}"),
        3 => format!("{a}.{b}.{}", u32::from(c) << 8 | u32::from(d)),
        4 => format!("[::ffff:{address}]"),
        _ => format!("[64:ff9b::{address}]"),
    }
}

/// An address inside a listed prefix, just outside it, or a few bits away; IPv4 sometimes in IPv6 clothes, or as a URL's host.
fn neighbour(questions: &mut Questions, network: IpAddr, bits: u8, rng: &mut Rng) {
    match network {
        IpAddr::V4(network) => {
            let inside = u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0) & rng.bits() as u32;
            let size = u64::from(u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0)) + 1;
            let address = match rng.below(4) {
                0 => u32::from(network) | inside,
                1 => u32::from(network).wrapping_sub(1),
                2 => (u64::from(u32::from(network)) + size) as u32,
                _ => u32::from(network) ^ 1 << rng.below(32),
            };
            ask_v4(questions, Ipv4Addr::from(address), rng);
        }
        IpAddr::V6(network) => {
            let mask = u128::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
            let noise = u128::from(rng.bits()) << 64 | u128::from(rng.bits());
            let address = match rng.below(4) {
                0 => u128::from(network) | noise & mask,
                1 => u128::from(network).wrapping_sub(1),
                2 => (u128::from(network) | mask).wrapping_add(1),
                _ => u128::from(network) ^ 1 << rng.below(128),
            };
            ask_v6(questions, Ipv6Addr::from(address), rng);
        }
    }
}

fn ask_v4(questions: &mut Questions, address: Ipv4Addr, rng: &mut Rng) {
    match rng.below(8) {
        0 => questions.push(Kind::Ipv6 as u8, &address.to_ipv6_mapped().octets()),
        1 => questions.push(Kind::Url as u8, format!("http://{}/a", other_spelling_of_address(&address.to_string(), rng)).as_bytes()),
        2 => questions.push(Kind::Host as u8, address.to_string().as_bytes()),
        3 => questions.push(Kind::Url as u8, format!("https://{address}:8080/bin.sh").as_bytes()),
        _ => questions.push(Kind::Ipv4 as u8, &address.octets()),
    }
}

fn ask_v6(questions: &mut Questions, address: Ipv6Addr, rng: &mut Rng) {
    match rng.below(6) {
        0 => questions.push(Kind::Url as u8, format!("http://[{address}]/a").as_bytes()),
        1 => questions.push(Kind::Host as u8, format!("[{address}]").as_bytes()),
        _ => questions.push(Kind::Ipv6 as u8, &address.octets()),
    }
}

fn random(questions: &mut Questions, rng: &mut Rng) {
    let mut bytes = [0u8; 32];
    for chunk in bytes.as_chunks_mut::<8>().0 {
        *chunk = rng.bits().to_le_bytes();
    }
    match rng.below(6) {
        0 => questions.push(Kind::Sha256 as u8, &bytes),
        1 => questions.push(Kind::Sha1 as u8, &bytes[..20]),
        2 => questions.push(Kind::Md5 as u8, &bytes[..16]),
        3 => questions.push(Kind::Ipv4 as u8, &bytes[..4]),
        4 => questions.push(Kind::Ipv6 as u8, &bytes[..16]),
        _ => questions.push(Kind::Host as u8, format!("h{:x}.example.{}", rng.bits() as u32, rng.pick(&["com", "org", "test"])).as_bytes()),
    }
}

fn broken(questions: &mut Questions, rng: &mut Rng) {
    let kind = 1 + rng.below(7) as u8;
    match rng.below(6) {
        0 => questions.push(kind, b""),
        1 => questions.push(*rng.pick(&[0u8, 8, 9, 77, 255]), b"whatever"),
        2 => {
            let garbage: Vec<u8> = (0..rng.below(60)).map(|_| rng.bits() as u8).collect();
            questions.push(kind, &garbage);
        }
        3 => questions.push(kind, &[b'a'; 33][..rng.below(34)]),
        4 => questions.push(Kind::Url as u8, format!("http://example.com/{}", "a".repeat(8_000 + rng.below(190))).as_bytes()),
        _ => questions.push(
            Kind::Url as u8,
            rng.pick(&["mailto:a@example.com", "http:///a", "http://", "://", "http://[::1", "/a/b", "http://%"]).as_bytes(),
        ),
    }
}

/// A kind byte as reports call it.
pub fn kind_name(kind: u8) -> &'static str {
    match kind {
        1 => "url",
        2 => "host",
        3 => "ipv4",
        4 => "ipv6",
        5 => "sha256",
        6 => "sha1",
        7 => "md5",
        _ => "unsupported",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_of_any_text_are_texts() {
        let mut rng = Rng::new(11);
        for text in ["http://example.org/a/b?c=d", "example.org", "http://192.0.2.1:80/", "http://é.example/ü", "h", "http://"] {
            for _ in 0..2_000 {
                mutate(text, &mut rng);
            }
        }
    }

    #[test]
    fn neighbours_stay_within_and_step_outside() {
        let mut rng = Rng::new(5);
        let mut questions = Questions::default();
        for _ in 0..200 {
            neighbour(&mut questions, "192.0.2.0".parse().unwrap(), 24, &mut rng);
            neighbour(&mut questions, "0.0.0.0".parse().unwrap(), 0, &mut rng);
            neighbour(&mut questions, "2001:db8::".parse().unwrap(), 32, &mut rng);
            neighbour(&mut questions, "ff00::".parse().unwrap(), 8, &mut rng);
        }
        let plain: Vec<_> = questions.iter().filter(|(kind, _)| *kind == 3).map(|(_, bytes)| bytes[..3] == [192, 0, 2]).collect();
        assert!(plain.contains(&true) && plain.contains(&false));
    }

    #[test]
    fn questions_come_back_as_they_were_pushed() {
        let mut questions = Questions::default();
        questions.push(2, b"a.example");
        questions.push(3, &[1, 2, 3, 4]);
        questions.push(1, &[b'x'; 10_000]);
        assert_eq!(questions.get(1), (3, &[1, 2, 3, 4][..]));
        assert_eq!(questions.get(2).1.len(), 8_192);
        assert_eq!(questions.len(), 3);
    }
}
