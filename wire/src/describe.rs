//! DESCRIPTIONS: what stands behind a verdict id. PROTOCOL.md section 7.
//!
//! ```text
//!  │ generation u64 │ count × │ Description, 24 bytes │ source_count × │ name_bytes u16 │ name, UTF-8 │ │
//!
//!  Description  0    4       5       6            7           8            10      12               14              16      20             22
//!               │ id │ class │ score │ confidence │ rule_kind │ categories │ flags │ first_seen_day │ last_seen_day │ ttl_s │ source_count │ source_bytes │
//! ```
//! One description per id of the request, in order; an id that the generation does not have is marked absent. A description with its names
//! is at most 4064 bytes, so that IDS_MAX of them fit in a frame; names past that are left out, and a flag says so.

use crate::answer::{Categories, Class};
use crate::closed::{bit_set, closed};
use crate::error::{Malformed, cut};
use crate::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, FrameKind, IDS_MAX, begin_frame, finish_frame, read};
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;

/// Bytes of the fixed part of a description.
pub const DESCRIPTION_BYTES: usize = 24;
/// Bytes of a description with its source names.
pub const DESCRIPTION_BYTES_MAX: usize = 4064;
/// Bytes of one source's name.
pub const SOURCE_BYTES_MAX: usize = 255;
const GENERATION_BYTES: usize = 8;
const _: () = assert!(FRAME_HEADER_BYTES + GENERATION_BYTES + IDS_MAX * DESCRIPTION_BYTES_MAX <= FRAME_BYTES_MAX);

closed! {
    /// The kind of rule that a verdict comes from.
    RuleKind: u8 {
        /// None, or several of different kinds.
        Other = 0 "other",
        /// One host, exactly.
        Host = 1 "host",
        /// A host and the names below it.
        HostBelow = 2 "host-below",
        /// One URL.
        Url = 3 "url",
        /// A URL on a host and the names below it.
        UrlBelow = 4 "url-below",
        /// Every path below one.
        UrlPrefix = 5 "url-prefix",
        /// Every path below one, on a host and the names below it.
        UrlPrefixBelow = 6 "url-prefix-below",
        /// An address prefix.
        Network = 7 "network",
        /// A file's digest.
        File = 8 "file",
        /// A text anywhere in the host.
        HostSubstring = 9 "host-substring",
        /// A text anywhere in host, path and query.
        UrlSubstring = 10 "url-substring",
        /// A whole token of the host.
        HostToken = 11 "host-token",
        /// A whole token of host, path and query.
        UrlToken = 12 "url-token",
        /// No rule: a model's word. The first source is the model with its version, the second the head that spoke.
        Model = 13 "model",
    }
}

bit_set! {
    /// Bits 0 to 7 are those of an answer's flags.
    DescriptionFlags: u16 {
        /// An allow rule.
        ALLOWLISTED = 6 "allowlisted",
        /// An operator's rule.
        OVERRIDDEN = 7 "overridden",
        /// The generation has no such id; every other field is zero.
        ABSENT = 8 "absent",
        /// Not all sources are named.
        SOURCES_CUT = 9 "sources-cut",
    }
}

/// The fixed part of a description.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Description {
    /// The verdict id asked for.
    pub id: u32,
    /// A `Class`.
    pub class: u8,
    /// 0..=100.
    pub score: u8,
    /// 0..=100.
    pub confidence: u8,
    /// A `RuleKind`.
    pub rule_kind: u8,
    /// `Categories`.
    pub categories: u16,
    /// `DescriptionFlags`.
    pub flags: u16,
    /// Days since 1970-01-01; 0 is not known.
    pub first_seen_day: u16,
    /// Days since 1970-01-01; 0 is not known.
    pub last_seen_day: u16,
    /// Seconds a caller may keep the verdict.
    pub ttl_s: u32,
    /// Names that follow; the writer fills it in.
    pub source_count: u16,
    /// Bytes of the names with their lengths; the writer fills it in.
    pub source_bytes: u16,
}

const _: () = assert!(size_of::<Description>() == DESCRIPTION_BYTES);
const _: () =
    assert!(offset_of!(Description, class) == 4 && offset_of!(Description, rule_kind) == 7 && offset_of!(Description, categories) == 8);
const _: () = assert!(
    offset_of!(Description, flags) == 10 && offset_of!(Description, first_seen_day) == 12 && offset_of!(Description, last_seen_day) == 14
);
const _: () = assert!(
    offset_of!(Description, ttl_s) == 16 && offset_of!(Description, source_count) == 20 && offset_of!(Description, source_bytes) == 22
);

impl Description {
    /// The description of an id that the generation does not have.
    pub const fn absent(id: u32) -> Self {
        Self {
            id,
            class: 0,
            score: 0,
            confidence: 0,
            rule_kind: 0,
            categories: 0,
            flags: DescriptionFlags::ABSENT.0,
            first_seen_day: 0,
            last_seen_day: 0,
            ttl_s: 0,
            source_count: 0,
            source_bytes: 0,
        }
    }

    /// The generation has no such id.
    pub const fn is_absent(&self) -> bool {
        self.flags().contains(DescriptionFlags::ABSENT)
    }

    /// The verdict; a number of a newer server reads as unknown.
    pub const fn class(&self) -> Class {
        match Class::from_raw(self.class) {
            Some(class) => class,
            None => Class::Unknown,
        }
    }

    /// The kind of rule; a number of a newer server reads as other.
    pub const fn rule_kind(&self) -> RuleKind {
        match RuleKind::from_raw(self.rule_kind) {
            Some(kind) => kind,
            None => RuleKind::Other,
        }
    }

    /// What kind of threat.
    pub const fn categories(&self) -> Categories {
        Categories(self.categories)
    }

    /// How the rule came about.
    pub const fn flags(&self) -> DescriptionFlags {
        DescriptionFlags(self.flags)
    }
}

/// Writes one DESCRIPTIONS frame.
pub struct DescriptionsWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    left: usize,
}

impl<'o> DescriptionsWriter<'o> {
    /// Begins a frame of `count` descriptions, 1..=IDS_MAX, one for each id of the request.
    pub fn new(out: &'o mut Vec<u8>, request_id: u32, generation: u64, count: usize) -> Self {
        assert!((1..=IDS_MAX).contains(&count), "a reply has as many descriptions as its request has ids");
        let start = begin_frame(out, FrameKind::Descriptions, count as u16, request_id, 0);
        out.extend_from_slice(&generation.to_le_bytes());
        Self { out, start, left: count }
    }

    /// The next description. Names that do not fit, and the ends of overlong ones, are left out and flagged.
    pub fn push<'n>(&mut self, description: Description, sources: impl IntoIterator<Item = &'n str>) {
        assert!(self.left > 0, "more descriptions than announced");
        self.left -= 1;
        let at = self.out.len();
        self.out.extend_from_slice(bytemuck::bytes_of(&description));
        let mut head = Description { source_count: 0, source_bytes: 0, ..description };
        for name in sources {
            let whole = name;
            let name = cut(whole, SOURCE_BYTES_MAX);
            if self.out.len() - at + 2 + name.len() > DESCRIPTION_BYTES_MAX {
                head.flags |= DescriptionFlags::SOURCES_CUT.0;
                break;
            }
            if name.len() < whole.len() {
                head.flags |= DescriptionFlags::SOURCES_CUT.0;
            }
            self.out.extend_from_slice(&(name.len() as u16).to_le_bytes());
            self.out.extend_from_slice(name.as_bytes());
            head.source_count += 1;
        }
        head.source_bytes = (self.out.len() - at - DESCRIPTION_BYTES) as u16;
        self.out[at..at + DESCRIPTION_BYTES].copy_from_slice(bytemuck::bytes_of(&head));
    }
}

impl Drop for DescriptionsWriter<'_> {
    /// Completes the frame; ids that were not described are absent.
    fn drop(&mut self) {
        for _ in 0..self.left {
            self.out.extend_from_slice(bytemuck::bytes_of(&Description::absent(0)));
        }
        finish_frame(self.out, self.start);
    }
}

/// A DESCRIPTIONS reply: an iterator of (fixed part, names), validated, which cannot fail.
#[derive(Clone, Debug)]
pub struct DescriptionList<'a> {
    /// The generation described.
    pub generation: u64,
    rest: &'a [u8],
    left: usize,
}

impl<'a> DescriptionList<'a> {
    pub(crate) fn decode(frame: &Frame<'a>) -> Result<Self, Malformed> {
        let generation = read(frame.body, 0).ok_or(Malformed::new(frame.bytes(), "DESCRIPTIONS without a generation"))?;
        let count = usize::from(frame.header.count);
        if count == 0 || count > IDS_MAX {
            return Err(Malformed::new(6, "a count of descriptions that cannot be"));
        }
        let list = Self { generation, rest: &frame.body[GENERATION_BYTES..], left: count };
        let mut rest = list.rest;
        for _ in 0..count {
            let offset = frame.bytes() - rest.len();
            rest = check_description(rest).map_err(|reason| Malformed::new(offset, reason))?;
        }
        if !rest.is_empty() {
            return Err(Malformed::new(frame.bytes() - rest.len(), "bytes after the last description"));
        }
        Ok(list)
    }
}

/// What follows the first description.
fn check_description(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let head: Description = read(bytes, 0).ok_or("fewer descriptions than count says")?;
    let (names, rest) = bytes[DESCRIPTION_BYTES..].split_at_checked(head.source_bytes.into()).ok_or("source names end after the frame")?;
    let mut names = SourceNames { rest: names };
    let named = names.by_ref().count();
    if !names.rest.is_empty() || named != usize::from(head.source_count) {
        return Err("source names are not as source_count and source_bytes say");
    }
    Ok(rest)
}

impl<'a> Iterator for DescriptionList<'a> {
    type Item = (Description, SourceNames<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let head: Description = read(self.rest, 0)?;
        let (names, rest) = self.rest.get(DESCRIPTION_BYTES..)?.split_at_checked(head.source_bytes.into())?;
        self.rest = rest;
        Some((head, SourceNames { rest: names }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for DescriptionList<'_> {}

/// The names of a description's sources, in the server's order.
#[derive(Clone, Debug)]
pub struct SourceNames<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for SourceNames<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (name_bytes, rest) = self.rest.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*name_bytes).into())?;
        let name = std::str::from_utf8(name).ok()?;
        self.rest = rest;
        Some(name)
    }
}
