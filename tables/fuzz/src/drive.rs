//! The body of the fuzz targets, also replayed as a plain test (`tests/fuzz_corpus.rs`).
//!
//! A valid snapshot, a few bytes overwritten, checksums made true again: so the lies get past SHA-256 and reach the checks of structure.
//! What is accepted all the same must answer every question without a panic, with ids that can be described, whatever is switched off.

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use sha2::{Digest as _, Sha256};
use verdict_keys::{Batch, Digest, Kind, Scheme};
use verdict_simd::{Key128, Portable};
use verdict_tables::layout::{Header, PAGE, SHA256_AT, Section, SectionEntry};
use verdict_tables::{Builder, Class, Off, Part, Rule, RuleKind, Scratch, Snapshot, Source, Verdict, Vote, lookup, matches};

/// One thing that is not as the builder left it.
#[derive(Arbitrary, Clone, Debug)]
pub enum Lie {
    /// Bytes of the header or the section table.
    Header { at: u16, bytes: [u8; 4] },
    /// A field of one line of the section table.
    Section { kind: u8, field: u8, value: Number },
    /// A number inside a section.
    Element { kind: u8, element: u16, offset: u8, value: Number },
    /// One bit inside a section.
    Bit { kind: u8, at: u16, bit: u8 },
    /// The file ends elsewhere.
    Length { pages: u8, vouched: bool },
}

/// Numbers that bounds are about, at several widths.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Number {
    Byte(u8),
    Small(u32),
    Near(u8),
    Max32,
    Max64,
    Any(u64),
}

impl Number {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Byte(value) => vec![value],
            Self::Small(value) => (value % 100_000).to_le_bytes().to_vec(),
            Self::Near(value) => (u32::from(value) << 24 | 1).to_le_bytes().to_vec(),
            Self::Max32 => vec![0xFF; 4],
            Self::Max64 => vec![0xFF; 8],
            Self::Any(value) => value.to_le_bytes().to_vec(),
        }
    }
}

/// What every question was answered, with its matches; `None` if the snapshot was refused.
pub fn lies(lies: &[Lie]) -> Option<Vec<Verdict>> {
    let mut bytes = TRUTH.clone();
    lies.iter().take(8).for_each(|lie| tell(lie, &mut bytes));
    if bytes.len() >= PAGE {
        fix_checksums(&mut bytes);
    }
    let snapshot = Snapshot::from_bytes(&bytes).ok()?;
    let verdicts = answers(&snapshot);
    let off = |sources: &[&str], kinds: &[RuleKind]| {
        let off = Off { sources: sources.iter().map(|name| (*name).to_owned()).collect(), kinds: kinds.iter().copied().collect() };
        snapshot.switched(&off)
    };
    for switched in [off(&["one"], &[]), off(&["two"], &[RuleKind::HostSubdomains]), off(&[], &[RuleKind::Ipv4, RuleKind::Url])] {
        answers(&switched);
    }
    assert!(answers(&off(&[], &RuleKind::ALL)).iter().all(|verdict| verdict.verdict_id() == 0));
    assert!(answers(&off(&["one"], &[]).switched(&Off::default())) == verdicts);
    assert!(!snapshot.inspect().to_string().is_empty());
    Some(verdicts)
}

/// Asks everything.
fn answers(snapshot: &Snapshot) -> Vec<Verdict> {
    let mut batch = Batch::with_capacity(64);
    batch.keep_texts(snapshot.reads_texts());
    questions(snapshot, &mut batch);
    let mut verdicts = vec![Verdict::default(); batch.items().len()];
    let mut scratch = Scratch::default();
    lookup(Portable::new(), snapshot, &batch, &mut scratch, &mut verdicts);
    for (item, verdict) in verdicts.iter().enumerate() {
        let described = snapshot.describe(verdict.verdict_id());
        assert_eq!(described.is_some(), verdict.verdict_id() != 0);
        for source in described.iter().flat_map(|described| described.sources()) {
            assert!(source.name.len() < PAGE);
        }
        let all = matches(Portable::new(), snapshot, &batch, item, &mut scratch);
        let won = all.first().filter(|first| !first.off).map(|first| first.verdict).unwrap_or_default();
        assert!(verdict.status() != Some(verdict_tables::Status::Ok) || won == *verdict);
    }
    verdicts
}

fn tell(lie: &Lie, bytes: &mut Vec<u8>) {
    let section = |kind: u8| Section::ALL[usize::from(kind) % Section::ALL.len()];
    match lie {
        Lie::Header { at, bytes: value } => write(bytes, usize::from(*at) % PAGE, value),
        Lie::Section { kind, field, value } => {
            let at = size_of::<Header>() + section(*kind).index() * size_of::<SectionEntry>();
            write(bytes, at + [0, 4, 8, 16, 24][usize::from(*field) % 5], &value.bytes());
        }
        Lie::Element { kind, element, offset, value } => {
            let entry = TRUE_ENTRIES[section(*kind).index()];
            if entry.count != 0 {
                let at = entry.offset + u64::from(*element) % entry.count * u64::from(entry.element_bytes);
                write(bytes, at as usize + usize::from(*offset) % entry.element_bytes as usize, &value.bytes());
            }
        }
        Lie::Bit { kind, at, bit } => {
            let entry = TRUE_ENTRIES[section(*kind).index()];
            if let Some(byte) = bytes.get_mut((entry.offset + u64::from(*at)) as usize) {
                *byte ^= 1 << (bit % 8);
            }
        }
        Lie::Length { pages, vouched } => {
            bytes.resize(usize::from(*pages) * PAGE, 0);
            if *vouched {
                let length = bytes.len() as u64;
                write(bytes, 16, &length.to_le_bytes());
            }
        }
    }
}

fn write(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

fn entry(bytes: &[u8], section: Section) -> SectionEntry {
    let at = size_of::<Header>() + section.index() * size_of::<SectionEntry>();
    bytemuck::pod_read_unaligned(&bytes[at..at + size_of::<SectionEntry>()])
}

fn fix_checksums(bytes: &mut [u8]) {
    for section in Section::ALL {
        let entry = entry(bytes, section);
        let end = entry.offset.checked_add(entry.bytes).and_then(|end| usize::try_from(end).ok());
        if let Some(content) = end.and_then(|end| bytes.get(entry.offset as usize..end)) {
            let sum: [u8; 32] = Sha256::digest(content).into();
            write(bytes, size_of::<Header>() + section.index() * size_of::<SectionEntry>() + 32, &sum);
        }
    }
    write(bytes, SHA256_AT, &[0; 32]);
    let sum: [u8; 32] = Sha256::digest(&bytes[..PAGE]).into();
    write(bytes, SHA256_AT, &sum);
}

static TRUTH: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut builder = Builder::new(Scheme::Full, b"", 1);
    let sources = [builder.source(Source { name: "one", licence: "CC0-1.0" }), builder.source(Source { name: "two", licence: "" })];
    for number in 0..120u8 {
        let vote = Vote {
            source: sources[usize::from(number % 2)],
            class: Class::from_u8(number % 4).unwrap_or(Class::Unknown),
            allow: number % 11 == 0,
            overrides: number % 13 == 0,
            score: number % 101,
            confidence: 50,
            categories: 1 << (number % 12),
            first_seen_day: 0,
            last_seen_day: u16::from(number),
            ttl_s: 60,
        };
        let (host, path) = (format!("h{}.test", number % 20), format!("/{}/", number % 5));
        let signature = [format!("{number}-gate.php"), "h1.te".into(), format!("/{number}/xy")];
        let rule = match number % 6 {
            0 => Rule::Host { host: &host, subdomains: number % 2 == 0 },
            1 => Rule::Url { host: &host, path_query: &path, prefix: number % 2 == 0, subdomains: number % 3 == 0 },
            2 => Rule::Net { network: [number, 0, 2, 0].into(), bits: 24 },
            3 if number % 2 == 0 => {
                Rule::Net { network: [0x2001, 0xdb8, u16::from(number), 0xFFFF, 0xFFFF, 0xFFFF, 0, 0].into(), bits: 96 }
            }
            3 => Rule::Net { network: [0x2001, 0xdb8, u16::from(number), 0, 0, 0, 0, 0].into(), bits: 48 },
            4 => Rule::File(Digest::Md5([number; 16])),
            _ => {
                let part = [Part::Host, Part::Url][usize::from(number / 6 % 2)];
                let text = if part == Part::Host { "h1.te" } else { &signature[usize::from(number % 3)] };
                Rule::Signature { text, part, token: number % 4 == 1 }
            }
        };
        builder.add(rule, vote).expect("a sound rule");
        // Both say some things, and each has wide prefixes around those of the other.
        let other = Vote { source: sources[usize::from(number % 3 == 0)], score: 70, ..vote };
        if number % 4 < 2 {
            builder.add(rule, other).expect("a sound rule");
        }
        if let Rule::Net { network: std::net::IpAddr::V4(_), .. } = rule {
            builder.add(Rule::Net { network: [number & 0xF0, 0, 0, 0].into(), bits: 12 }, other).expect("a sound rule");
        }
    }
    builder.build(Portable::new()).expect("a snapshot").bytes
});

static TRUE_ENTRIES: LazyLock<Vec<SectionEntry>> = LazyLock::new(|| Section::ALL.iter().map(|section| entry(&TRUTH, *section)).collect());

/// All that the truth knows, what it does not, and keys at the ends of every range.
fn questions(snapshot: &Snapshot, batch: &mut Batch) {
    let mut push = |kind, bytes: &[u8]| batch.push(Portable::new(), snapshot.schedule(), snapshot.profile(), kind, bytes);
    for number in 0..120u8 {
        push(Kind::Url, format!("http://a.h{}.test/{}/x?y", number % 21, number % 6).as_bytes());
        push(Kind::Host, format!("h{}.test", number % 21).as_bytes());
        push(Kind::Ipv4, &[number, 0, 2, 1]);
        push(Kind::Ipv6, &[&[0x20, 1, 0x0d, 0xb8, 0, number], [0xFF; 10].as_slice()].concat());
        push(Kind::Md5, &[number; 16]);
    }
    push(Kind::Ipv4, &[0; 4]);
    push(Kind::Ipv4, &[0xFF; 4]);
    push(Kind::Ipv6, &[0; 16]);
    push(Kind::Ipv6, &[0xFF; 16]);
    for hi in [0, 1, u64::MAX / 2, u64::MAX] {
        batch.push_hashed(Key128 { lo: 0, hi }, false, false);
        batch.push_hashed(Key128 { lo: u64::MAX, hi }, true, true);
    }
}
