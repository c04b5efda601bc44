//! Everything that is believed of a snapshot, checked before anything else reads it. In this order:
//!
//! ```text
//! header    length, magic, version, its SHA-256, then each field
//! sections  kinds, order, sizes, places; zeros between them; no byte after the last
//! SHA-256   of each section
//! structure every number that a lookup or a description will follow
//! ```
//!
//! What a lookup may then rely on: buckets are as many as the geometry can name; every verdict id has a template and a record, which is what its votes come to, and what is behind a record has a lower id;
//! every entry of the IPv4 trie is an id or the next whole node, at most three deep; the IPv6 tree is the one that its leaves ask for; spans of sources and strings lie inside their pools, strings are UTF-8;
//! signatures ascend, their texts abut, and each of them is one that a builder would take.
//! So no index of a lookup can be out of range, whoever computed the checksums.

use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use verdict_keys::{Profile, Scheme, SuffixList};
use verdict_simd::Bucket;

use crate::combine::{combine, in_front};
use crate::error::Error;
use crate::layout::{Header, MAGIC, PAGE, Record, SHA256_AT, Section, SectionEntry, SignatureEntry, VERSION, VoteEntry, slot};
use crate::lpm::tree6::{LONG, Levels};
use crate::lpm::trie4::POSITION;
use crate::rule::{RuleKind, SIGNATURE_TEXT_BYTES_MAX, SIGNATURES_MAX};
use crate::signatures::text;
use crate::table::SHARDS_MAX;
use crate::verdict::{Class, VERDICTS_MAX, Verdict, flag};
use crate::view::View;

/// A header that tells the truth about the file it came from.
#[derive(Clone)]
pub(crate) struct Verified {
    pub(crate) header: Header,
    pub(crate) profile: Profile,
    pub(crate) spans: Spans,
}

/// Where each section's bytes lie, by `Section::index`.
pub(crate) type Spans = [Range<usize>; Section::ALL.len()];

/// Checks all of a snapshot. `bytes` begins at a multiple of 64.
pub(crate) fn verify(bytes: &[u8]) -> Result<Verified, Error> {
    let Some(page) = bytes.first_chunk::<PAGE>() else {
        return Err(Error::corrupt("header", bytes.len() as u64, format!("{PAGE} bytes"), format!("{} bytes", bytes.len())));
    };
    let mut verified = verify_header(page, bytes.len() as u64)?;
    verify_contents(bytes, page, &verified.spans)?;
    let view = View::new(bytes, &verified);
    verify_structure(&view)?;
    verified.profile.suffixes = verify_suffixes(verified.profile.scheme, &view)?;
    debug_assert!(verified.profile.is_valid());
    Ok(verified)
}

/// Checks the first page alone, against the length of the whole file: what can be said before reading the rest. The profile is still without its
/// public suffix list, which has to be verified first.
pub(crate) fn verify_header(page: &[u8; PAGE], file_bytes: u64) -> Result<Verified, Error> {
    let header: Header = bytemuck::pod_read_unaligned(&page[..size_of::<Header>()]);
    require("header", 0, header.magic == MAGIC, "the magic bytes of a snapshot", format_args!("{:02x?}", header.magic))?;
    supported("version", header.version.into(), VERSION.into())?;
    let sum = header_sha256(page);
    require("header", SHA256_AT as u64, header.sha256 == sum, hex(&sum), hex(&header.sha256))?;
    supported("flags", header.flags, 0)?;
    equal("header", 12, PAGE as u64, header.header_bytes.into())?;
    equal("file", 16, header.file_bytes, file_bytes)?;
    equal("header", 44, Section::ALL.len() as u64, header.section_count.into())?;
    equal("header", 43, 0, header.zero.into())?;
    require("header", 96, header.rules[0] == 0, "zeros", "something else")?;
    require("header", 48, header.hash_key.is_valid(), "a hash key without zero halves", "a zero half")?;
    let profile = verify_profile(&header)?;
    let spans = verify_section_table(page, &header)?;
    verify_geometry(&header, &spans)?;
    Ok(Verified { header, profile, spans })
}

fn verify_profile(header: &Header) -> Result<Profile, Error> {
    let Ok(scheme) = Scheme::try_from(header.scheme) else {
        return Err(Error::Unsupported { what: "scheme", got: header.scheme.into(), known: Scheme::Exact as u64 });
    };
    let profile = Profile { scheme, host_labels_max: header.host_labels_max, path_prefixes_max: header.path_prefixes_max, suffixes: None };
    require("header", 41, profile.has_valid_bounds(), "bounds of the scheme", format_args!("{profile:?}"))?;
    Ok(profile)
}

fn verify_section_table(page: &[u8; PAGE], header: &Header) -> Result<Spans, Error> {
    let mut spans: Spans = Default::default();
    let mut next = PAGE as u64;
    for section in Section::ALL {
        let at = size_of::<Header>() + section.index() * size_of::<SectionEntry>();
        let entry: SectionEntry = bytemuck::pod_read_unaligned(&page[at..at + size_of::<SectionEntry>()]);
        let at = at as u64;
        equal(section.name(), at, section as u64, entry.kind.into())?;
        equal(section.name(), at + 4, section.element_bytes() as u64, entry.element_bytes.into())?;
        equal(section.name(), at + 8, next, entry.offset)?;
        let bytes = entry.count.checked_mul(section.element_bytes() as u64);
        require(section.name(), at + 16, bytes == Some(entry.bytes), "count times element size", entry.bytes)?;
        let end = next.checked_add(entry.bytes).filter(|end| *end <= header.file_bytes);
        let Some(end) = end else {
            return Err(Error::corrupt(section.name(), at + 16, "a section inside the file", entry.bytes));
        };
        spans[section.index()] = next as usize..end as usize;
        next = end.next_multiple_of(PAGE as u64);
    }
    let table_end = size_of::<Header>() + Section::ALL.len() * size_of::<SectionEntry>();
    zeros("header", page, table_end..PAGE)?;
    equal("file", 16, next, header.file_bytes)?;
    Ok(spans)
}

/// Counts of the sections against each other: what makes every index computed from a key or an id fall inside.
fn verify_geometry(header: &Header, spans: &Spans) -> Result<(), Error> {
    let count = |section: Section| (spans[section.index()].len() / section.element_bytes()) as u64;
    require("buckets", 80, (1..=SHARDS_MAX).contains(&header.shards), format_args!("1 to {SHARDS_MAX} shards"), header.shards)?;
    let buckets = u64::from(header.shards) * u64::from(header.shard_buckets);
    require("buckets", 84, (1..=u64::from(u32::MAX)).contains(&buckets), "1 to 2^32 - 1 buckets", buckets)?;
    equal("buckets", 84, buckets, count(Section::Buckets))?;
    let templates = count(Section::Templates);
    require("templates", 0, (1..=u64::from(VERDICTS_MAX) + 1).contains(&templates), "1 to 2^24", templates)?;
    equal("records", 0, templates, count(Section::Records))?;
    verify_addresses(count)
}

/// Counts of the address sections against each other.
fn verify_addresses(count: impl Fn(Section) -> u64) -> Result<(), Error> {
    let root = count(Section::Root4);
    require(Section::Root4.name(), 0, [0, 1 << 8, 1 << 16].contains(&root), "no entry, 256, or 65536", root)?;
    let nodes = count(Section::Nodes4);
    require(Section::Nodes4.name(), 0, nodes <= if root == 0 { 0 } else { u64::from(POSITION) }, "words that a root reaches", nodes)?;
    let intervals = count(Section::Verdicts6);
    require(Section::Verdicts6.name(), 0, intervals < u64::from(LONG), "fewer than 2^31 intervals", intervals)?;
    let (nodes, blocks) = if intervals == 0 { (0, 0..1) } else { (Levels::of(intervals as usize).total() as u64, 1..u64::from(LONG)) };
    equal(Section::Tree6.name(), 0, nodes, count(Section::Tree6))?;
    let offsets = count(Section::Blocks6);
    require(Section::Blocks6.name(), 0, blocks.contains(&offsets), "a beginning for each block, and an end", offsets)?;
    let long = count(Section::LongVerdicts6);
    require(Section::LongVerdicts6.name(), 0, long <= if offsets < 2 { 0 } else { u64::from(u32::MAX) }, "intervals of blocks", long)?;
    equal(Section::LongEnds6.name(), 0, long, count(Section::LongEnds6))
}

/// Checksums, and zeros wherever no section lies.
fn verify_contents(bytes: &[u8], page: &[u8; PAGE], spans: &Spans) -> Result<(), Error> {
    for section in Section::ALL {
        let span = spans[section.index()].clone();
        let at = size_of::<Header>() + section.index() * size_of::<SectionEntry>();
        let entry: SectionEntry = bytemuck::pod_read_unaligned(&page[at..at + size_of::<SectionEntry>()]);
        let sum: [u8; 32] = Sha256::digest(&bytes[span.clone()]).into();
        require(section.name(), span.start as u64, sum == entry.sha256, hex(&entry.sha256), hex(&sum))?;
        zeros(section.name(), bytes, span.end..span.end.next_multiple_of(PAGE))?;
    }
    Ok(())
}

fn verify_structure(view: &View<'_>) -> Result<(), Error> {
    verify_buckets(view)?;
    verify_records(view)?;
    verify_sources(view)?;
    verify_signatures(view)?;
    let verdicts = view.templates.len();
    if !view.lpm4.root.is_empty() {
        view.lpm4.check(verdicts)?;
    }
    Ok(view.lpm6.check(verdicts)?)
}

fn verify_buckets(view: &View<'_>) -> Result<(), Error> {
    let verdicts = view.templates.len() as u32;
    let mut slots = 0;
    for (index, bucket) in view.table.buckets.iter().enumerate() {
        let sound = bucket_slots(bucket, verdicts);
        slots += sound.unwrap_or(0);
        if sound.is_none() {
            let at = view.spans[Section::Buckets.index()].start + index * size_of::<Bucket>();
            return Err(Error::corrupt("buckets", at as u64, "known flags and ids, and zeros where empty", format!("{bucket:x?}")));
        }
    }
    equal("buckets", 88, view.slots, slots)
}

/// How many slots are used, if all are as a builder leaves them.
fn bucket_slots(bucket: &Bucket, verdicts: u32) -> Option<u64> {
    let mut used = 0;
    for (tag, reference) in bucket.tags.into_iter().zip(bucket.refs) {
        let id = reference & slot::ID;
        let has = |flag| reference & flag != 0;
        let sound = match reference {
            0 => tag == 0,
            _ => {
                reference & !slot::ID & !slot::KNOWN == 0
                    && id < verdicts
                    && (id != 0 || has(slot::PATHS) && !has(slot::SELF))
                    && (has(slot::PATHS) || !has(slot::PREFIXES) && !has(slot::PATHS_BELOW))
                    && !(has(slot::PATHS) && has(slot::LEAF))
            }
        };
        if !sound {
            return None;
        }
        used += u64::from(reference != 0);
    }
    // What `away` says of entries kept elsewhere cannot be checked without their keys; at worst it sends a probe to one more line.
    Some(used)
}

fn verify_records(view: &View<'_>) -> Result<(), Error> {
    let offset = |section: Section, id: usize| (view.spans[section.index()].start + id * section.element_bytes()) as u64;
    require("records", offset(Section::Records, 0), view.records[0] == Record::default(), "zeros for id 0", "something else")?;
    for (at, vote) in view.votes.iter().enumerate() {
        let sound = usize::from(vote.source) < view.sources.len() && says_what_it_may(vote.class, vote.score, vote.confidence, vote.flags);
        require("votes", offset(Section::Votes, at), sound, "a vote within its ranges", format_args!("{vote:?}"))?;
    }
    for (id, record) in view.records.iter().enumerate().skip(1) {
        require(
            "records",
            offset(Section::Records, id),
            record_is_sound(id, record, view),
            "a record within its ranges",
            format_args!("{record:?}"),
        )?;
    }
    for (id, (template, record)) in view.templates.iter().zip(view.records).enumerate() {
        // What is behind has a lower id: its own template has been seen.
        let behind = || view.templates[record.behind() as usize];
        let expected = if id == 0 { Verdict::default() } else { in_front(Some(record.template(id as u32)), behind()) };
        require(
            "templates",
            offset(Section::Templates, id),
            *template == expected,
            format_args!("{expected:?}"),
            format_args!("{template:?}"),
        )?;
    }
    Ok(())
}

fn record_is_sound(id: usize, record: &Record, view: &View<'_>) -> bool {
    let Some(kind) = RuleKind::from_u8(record.rule_kind) else {
        return false;
    };
    let (from, behind) = (record.sources_at as usize, record.behind() as usize);
    says_what_it_may(record.class, record.score, record.confidence, record.flags)
        && match usize::from(record.source_count) {
            0 => false,
            1 => from < view.sources.len(),
            count => view.votes.get(from..from + count).is_some_and(|votes| come_to(votes, kind, record)),
        }
        // Only prefixes of one family stand behind each other; and since ids descend, they come to an end.
        && (behind == 0
            || matches!(kind, RuleKind::Ipv4 | RuleKind::Ipv6) && behind < id && view.records[behind].rule_kind == record.rule_kind)
}

/// Whether a record is what a builder makes of these votes, of different sources.
fn come_to(votes: &[VoteEntry], kind: RuleKind, record: &Record) -> bool {
    let Record { sources_at, source_count, behind, .. } = *record;
    votes.is_sorted_by(|a, b| a.source < b.source) && Record { sources_at, source_count, behind, ..combine(kind, votes) } == *record
}

fn says_what_it_may(class: u8, score: u8, confidence: u8, flags: u8) -> bool {
    Class::from_u8(class).is_some()
        && score <= 100
        && confidence <= 100
        && flags & !(flag::ALLOWLISTED | flag::OVERRIDDEN) == 0
        && (flags & flag::ALLOWLISTED == 0 || class == Class::Clean as u8)
}

fn verify_sources(view: &View<'_>) -> Result<(), Error> {
    let text =
        |at: u32, bytes: u32| view.strings.get(at as usize..at as usize + bytes as usize).is_some_and(|text| str::from_utf8(text).is_ok());
    for (index, source) in view.sources.iter().enumerate() {
        let sound = text(source.name_at, source.name_bytes) && text(source.licence_at, source.licence_bytes);
        let at = view.spans[Section::Sources.index()].start + index * Section::Sources.element_bytes();
        require("sources", at as u64, sound, "spans of UTF-8", format_args!("{source:?}"))?;
    }
    Ok(())
}

/// Entries ascend by text and kind, texts follow each other without gaps: so there is one way to write a set of signatures.
fn verify_signatures(view: &View<'_>) -> Result<(), Error> {
    let (entries, name) = (view.signatures, Section::Signatures.name());
    require(name, 0, entries.len() <= SIGNATURES_MAX, format_args!("at most {SIGNATURES_MAX} signatures"), entries.len())?;
    let bytes = view.signature_texts.len();
    require("signature text", 0, bytes <= SIGNATURE_TEXT_BYTES_MAX, format_args!("at most {SIGNATURE_TEXT_BYTES_MAX} bytes"), bytes)?;
    let mut end = 0;
    for (index, entry) in entries.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| &entries[before]);
        let again = before.is_some_and(|before| (before.at, before.bytes) == (entry.at, entry.bytes) && before.rule_kind < entry.rule_kind);
        let sound = (again || entry.at as usize == end) && signature_is_sound(entry, before, view);
        let at = view.spans[Section::Signatures.index()].start + index * size_of::<SignatureEntry>();
        require(name, at as u64, sound, "signatures in order, with their texts and verdicts", format_args!("{entry:?}"))?;
        end = entry.at as usize + usize::from(entry.bytes);
    }
    equal("signature text", 0, bytes as u64, end as u64)?;
    let texts = entries.chunk_by(|a, b| a.at == b.at).map(|entries| view.signature_text(&entries[0]));
    require(name, 0, text::too_nested(texts).is_none(), "texts that rarely end in each other", "too many that do")
}

fn signature_is_sound(entry: &SignatureEntry, before: Option<&SignatureEntry>, view: &View<'_>) -> bool {
    let Some(own) = view.signature_texts.get(entry.at as usize..entry.at as usize + usize::from(entry.bytes)) else {
        return false;
    };
    // The entry before has passed this check.
    let ascends = before.is_none_or(|before| before.at == entry.at || view.signature_text(before) < own);
    let record = view.records.get(entry.verdict as usize).filter(|_| entry.verdict != 0);
    ascends
        && entry.zero == 0
        && entry.kind() as u8 == entry.rule_kind
        && record.is_some_and(|record| record.rule_kind == entry.rule_kind)
        && text::problem(own, entry.kind()).is_none()
}

/// The list that the scheme asks by, read once for all lookups; other schemes have none.
fn verify_suffixes(scheme: Scheme, view: &View<'_>) -> Result<Option<Arc<SuffixList>>, Error> {
    const NAME: &str = Section::PublicSuffixes.name();
    let at = view.spans[Section::PublicSuffixes.index()].start as u64;
    if scheme != Scheme::GsbV5 {
        require(NAME, at, view.suffixes.is_empty(), "no list under this scheme", view.suffixes.len())?;
        return Ok(None);
    }
    let Ok(text) = str::from_utf8(view.suffixes) else {
        return Err(Error::corrupt(NAME, at, "ASCII", "something else"));
    };
    let list = SuffixList::from_normal(text).map_err(|error| Error::corrupt(NAME, at, "a list in normal form", error))?;
    Ok(Some(Arc::new(list)))
}

fn header_sha256(page: &[u8; PAGE]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(&page[..SHA256_AT]);
    hasher.update([0; 32]);
    hasher.update(&page[SHA256_AT + 32..]);
    hasher.finalize().into()
}

fn supported(what: &'static str, got: u64, known: u64) -> Result<(), Error> {
    if got == known { Ok(()) } else { Err(Error::Unsupported { what, got, known }) }
}

fn equal(section: &'static str, offset: u64, expected: u64, got: u64) -> Result<(), Error> {
    if expected == got { Ok(()) } else { Err(Error::corrupt(section, offset, expected, got)) }
}

fn require(section: &'static str, offset: u64, holds: bool, expected: impl ToString, got: impl ToString) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::corrupt(section, offset, expected, got)) }
}

fn zeros(section: &'static str, bytes: &[u8], range: Range<usize>) -> Result<(), Error> {
    match bytes[range.clone()].iter().position(|byte| *byte != 0) {
        Some(at) => Err(Error::corrupt(section, (range.start + at) as u64, "zero padding", bytes[range.start + at])),
        None => Ok(()),
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
