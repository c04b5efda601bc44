//! What a client asks. PROTOCOL.md section 5.
//!
//! ```text
//!  LOOKUP         count × │ kind u8 │ zero u8 │ key_bytes u16 │ key_bytes bytes │
//!  LOOKUP_HASHED  │ generation u64 │ count × │ lo u64 │ hi u64 │
//!  DESCRIBE       │ generation u64 │ count × │ id u32 │
//!  PING           │ 0..=64 bytes │
//!  EXPLAIN        one key, as in LOOKUP
//! ```
//! A frame is validated once, wholly, by `Frame::request`; the lists it returns then walk the same bytes without a way to fail. A key of an
//! unknown kind is not an error of the frame: that one answer says unsupported. Keys that were hashed, and verdict ids, mean something in
//! one generation only, so both frames name it, and the keys are handed out only to who says which generation is served.

use crate::closed::closed;
use crate::error::{EncodeError, ErrorCode, Malformed, Refusal};
use crate::file::FileList;
use crate::frame::{
    BUDGET_US_MAX, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, FrameKind, IDS_MAX, KEY_BYTES_MAX, KEYS_MAX, PING_BYTES_MAX,
    REQUEST_BUDGET_SHIFT, REQUEST_PREFIX, REQUEST_SUFFIX, VERSION_MAX, VERSION_MIN, begin_frame, finish_frame, read,
};
use crate::hello::ClientHello;
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;

closed! {
    /// What a key of a LOOKUP is.
    KeyKind: u8 {
        /// A URL as a browser would be given it.
        Url = 1 "url",
        /// A host name or address in text.
        Host = 2 "host",
        /// 4 bytes, network order.
        Ipv4 = 3 "ipv4",
        /// 16 bytes, network order.
        Ipv6 = 4 "ipv6",
        /// 32 raw bytes.
        Sha256 = 5 "sha256",
        /// 20 raw bytes.
        Sha1 = 6 "sha1",
        /// 16 raw bytes.
        Md5 = 7 "md5",
    }
}

/// The four bytes before each key of a LOOKUP.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct KeyHead {
    /// A `KeyKind`, or a number that gets the answer unsupported.
    pub kind: u8,
    /// Zero.
    pub zero: u8,
    /// Bytes of the key, 0..=KEY_BYTES_MAX.
    pub key_bytes: u16,
}

/// Bytes of a `KeyHead`.
pub const KEY_HEAD_BYTES: usize = 4;
const _: () = assert!(size_of::<KeyHead>() == KEY_HEAD_BYTES && offset_of!(KeyHead, key_bytes) == 2);

/// A key that the client hashed: FORMAT.md "Keyed hash".
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct HashedKey {
    /// Bytes 0..8 of the key.
    pub lo: u64,
    /// Bytes 8..16 of the key.
    pub hi: u64,
}

const HASHED_KEY_BYTES: usize = 16;
const GENERATION_BYTES: usize = 8;
const ID_BYTES: usize = 4;
const _: () = assert!(size_of::<HashedKey>() == HASHED_KEY_BYTES);
const _: () = assert!(FRAME_HEADER_BYTES + GENERATION_BYTES + KEYS_MAX * HASHED_KEY_BYTES <= FRAME_BYTES_MAX);

/// A request, borrowed from the receive buffer and wholly validated.
#[derive(Clone, Debug)]
pub enum Request<'a> {
    /// Versions and name.
    Hello(ClientHello<'a>),
    /// Keys to canonicalise and look up.
    Lookup(KeyList<'a>),
    /// Keys to look up as they are.
    LookupHashed(HashedLookup<'a>),
    /// Files to look up.
    LookupFiles(FileList<'a>),
    /// Verdict ids to describe.
    Describe(Describe<'a>),
    /// Bytes to echo.
    Ping(&'a [u8]),
    /// One key to explain: its raw kind and its bytes.
    Explain {
        /// A `KeyKind`, or a number that gets the status unsupported.
        kind: u8,
        /// The key.
        key: &'a [u8],
    },
}

impl<'a> Frame<'a> {
    /// The request in this frame. A refusal costs this request only; the connection goes on.
    pub fn request(&self) -> Result<Request<'a>, Refusal> {
        let id = self.header.request_id;
        if !(VERSION_MIN..=VERSION_MAX).contains(&self.header.version) {
            return Err(Refusal::new(id, ErrorCode::UnsupportedVersion, self.header.version.into(), "a frame of an unknown version"));
        }
        let unsupported = Refusal::new(id, ErrorCode::UnsupportedKind, self.header.kind.into(), "no request of that kind");
        match FrameKind::from_raw(self.header.kind).ok_or(unsupported)? {
            FrameKind::Hello => {
                self.only(0)?;
                self.no_count()?;
                ClientHello::decode(self).map(Request::Hello)
            }
            FrameKind::Lookup => {
                self.only(!0 << REQUEST_BUDGET_SHIFT)?;
                self.count(KEYS_MAX)?;
                KeyList::decode(self).map(Request::Lookup).map_err(|e| e.refusal(id))
            }
            FrameKind::LookupHashed => {
                self.only(REQUEST_SUFFIX | REQUEST_PREFIX)?;
                self.count(KEYS_MAX)?;
                let (generation, keys) = self.generation_and(HASHED_KEY_BYTES)?;
                let place = Place::of_flags(self.header.flags);
                Ok(Request::LookupHashed(HashedLookup { request_id: id, generation, place, keys: HashedKeys { bytes: keys } }))
            }
            FrameKind::LookupFiles => self.files().map(Request::LookupFiles),
            FrameKind::Describe => {
                self.only(0)?;
                self.count(IDS_MAX)?;
                let (generation, ids) = self.generation_and(ID_BYTES)?;
                Ok(Request::Describe(Describe { request_id: id, generation, ids: IdList { bytes: ids } }))
            }
            FrameKind::Ping => {
                self.only(0)?;
                self.no_count()?;
                if self.body.len() > PING_BYTES_MAX {
                    return Err(Malformed::new(FRAME_HEADER_BYTES + PING_BYTES_MAX, "a PING carries too much").refusal(id));
                }
                Ok(Request::Ping(self.body))
            }
            FrameKind::Explain => {
                self.only(0)?;
                self.count(1)?;
                let (kind, key) = KeyList::one(self).map_err(|e| e.refusal(id))?;
                Ok(Request::Explain { kind, key })
            }
            _ => Err(unsupported),
        }
    }

    pub(crate) fn only(&self, flags: u32) -> Result<(), Refusal> {
        if self.header.flags & !flags == 0 { Ok(()) } else { Err(Malformed::new(12, "unknown flags").refusal(self.header.request_id)) }
    }

    fn no_count(&self) -> Result<(), Refusal> {
        if self.header.count == 0 { Ok(()) } else { Err(Malformed::new(6, "a count where none belongs").refusal(self.header.request_id)) }
    }

    pub(crate) fn count(&self, max: usize) -> Result<(), Refusal> {
        let count = self.header.count;
        if count == 0 {
            return Err(Malformed::new(6, "a count of zero").refusal(self.header.request_id));
        }
        if usize::from(count) > max {
            return Err(Refusal::new(
                self.header.request_id,
                ErrorCode::TooManyKeys,
                count.into(),
                "more keys or ids than a frame may carry",
            ));
        }
        Ok(())
    }

    /// The generation, then exactly `count` items of `item_bytes`.
    fn generation_and(&self, item_bytes: usize) -> Result<(u64, &'a [u8]), Refusal> {
        let wanted = GENERATION_BYTES + usize::from(self.header.count) * item_bytes;
        match read(self.body, 0) {
            Some(generation) if self.body.len() == wanted => Ok((generation, &self.body[GENERATION_BYTES..])),
            _ => {
                let offset = FRAME_HEADER_BYTES + self.body.len().min(wanted);
                Err(Malformed::new(offset, "the body is not as long as count says").refusal(self.header.request_id))
            }
        }
    }
}

/// The keys of a LOOKUP: an iterator of (raw kind, bytes) of known length, which cannot fail.
#[derive(Clone, Debug)]
pub struct KeyList<'a> {
    rest: &'a [u8],
    left: usize,
    budget_us: u32,
}

impl<'a> KeyList<'a> {
    fn decode(frame: &Frame<'a>) -> Result<Self, Malformed> {
        let body = frame.body;
        let mut at = 0;
        for _ in 0..frame.header.count {
            let head: KeyHead = read(body, at).ok_or(Malformed::new(FRAME_HEADER_BYTES + at, "fewer keys than count says"))?;
            let key_bytes = usize::from(head.key_bytes);
            if head.zero != 0 {
                return Err(Malformed::new(FRAME_HEADER_BYTES + at + 1, "a reserved byte is not zero"));
            }
            if key_bytes > KEY_BYTES_MAX {
                return Err(Malformed::new(FRAME_HEADER_BYTES + at + 2, "a key is too long"));
            }
            if key_bytes > body.len() - at - KEY_HEAD_BYTES {
                return Err(Malformed::new(FRAME_HEADER_BYTES + at + 2, "a key ends after the frame"));
            }
            at += KEY_HEAD_BYTES + key_bytes;
        }
        if at != body.len() {
            return Err(Malformed::new(FRAME_HEADER_BYTES + at, "bytes after the last key"));
        }
        Ok(Self { rest: body, left: frame.header.count.into(), budget_us: frame.header.flags >> REQUEST_BUDGET_SHIFT })
    }

    /// Microseconds that models may take; 0 where the client does not say.
    pub const fn budget_us(&self) -> u32 {
        self.budget_us
    }

    /// The only key of a frame whose count is 1.
    fn one(frame: &Frame<'a>) -> Result<(u8, &'a [u8]), Malformed> {
        Self::decode(frame)?.next().ok_or(Malformed::new(6, "not one key"))
    }
}

impl<'a> Iterator for KeyList<'a> {
    type Item = (u8, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // Every `?` is settled by decode: `left` and `rest` run out together.
        self.left = self.left.checked_sub(1)?;
        let ([kind, _, low, high], rest) = self.rest.split_first_chunk::<KEY_HEAD_BYTES>()?;
        let (key, rest) = rest.split_at_checked(u16::from_le_bytes([*low, *high]).into())?;
        self.rest = rest;
        Some((*kind, key))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for KeyList<'_> {}

/// Where the expression of a pre-hashed key stands in its question: what a rule must reach to match there. The two request flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Its host is a suffix of the question's host, not that host itself.
    pub suffix: bool,
    /// Its path is a prefix of the question's path, not that path itself.
    pub prefix: bool,
}

impl Place {
    /// The very host, URL or digest that is asked about.
    pub const EXACT: Self = Self { suffix: false, prefix: false };
    /// All four, in the order of their flags.
    pub const ALL: [Self; 4] =
        [Self::EXACT, Self { suffix: true, prefix: false }, Self { suffix: false, prefix: true }, Self { suffix: true, prefix: true }];

    const fn of_flags(flags: u32) -> Self {
        Self { suffix: flags & REQUEST_SUFFIX != 0, prefix: flags & REQUEST_PREFIX != 0 }
    }

    const fn flags(self) -> u32 {
        (self.suffix as u32 * REQUEST_SUFFIX) | (self.prefix as u32 * REQUEST_PREFIX)
    }
}

/// A LOOKUP_HASHED. Its keys were made with the hash key of one generation and are noise to any other.
#[derive(Clone, Debug)]
pub struct HashedLookup<'a> {
    request_id: u32,
    generation: u64,
    place: Place,
    keys: HashedKeys<'a>,
}

impl<'a> HashedLookup<'a> {
    /// The generation whose HELLO gave the hash key.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Where the expressions of the keys stand in their questions.
    pub const fn place(&self) -> Place {
        self.place
    }

    /// The keys, if they are of the generation that is `served`; else they could only miss, and the refusal says so.
    pub fn keys(&self, served: u64) -> Result<HashedKeys<'a>, Refusal> {
        served_or_stale(self.request_id, self.generation, served)?;
        Ok(self.keys.clone())
    }
}

/// The keys of a LOOKUP_HASHED, in order.
#[derive(Clone, Debug)]
pub struct HashedKeys<'a> {
    bytes: &'a [u8],
}

impl Iterator for HashedKeys<'_> {
    type Item = HashedKey;

    #[inline]
    fn next(&mut self) -> Option<HashedKey> {
        let (key, rest) = self.bytes.split_first_chunk::<HASHED_KEY_BYTES>()?;
        self.bytes = rest;
        Some(bytemuck::cast(*key))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.bytes.len() / HASHED_KEY_BYTES;
        (left, Some(left))
    }
}

impl ExactSizeIterator for HashedKeys<'_> {}

/// A DESCRIBE. Verdict ids belong to one generation.
#[derive(Clone, Debug)]
pub struct Describe<'a> {
    request_id: u32,
    generation: u64,
    ids: IdList<'a>,
}

impl<'a> Describe<'a> {
    /// The generation whose answers gave the ids.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The ids, if they are of the generation that is `served`.
    pub fn ids(&self, served: u64) -> Result<IdList<'a>, Refusal> {
        served_or_stale(self.request_id, self.generation, served)?;
        Ok(self.ids.clone())
    }
}

/// The ids of a DESCRIBE, in order.
#[derive(Clone, Debug)]
pub struct IdList<'a> {
    bytes: &'a [u8],
}

impl Iterator for IdList<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (id, rest) = self.bytes.split_first_chunk::<ID_BYTES>()?;
        self.bytes = rest;
        Some(u32::from_le_bytes(*id))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.bytes.len() / ID_BYTES;
        (left, Some(left))
    }
}

impl ExactSizeIterator for IdList<'_> {}

fn served_or_stale(request_id: u32, asked: u64, served: u64) -> Result<(), Refusal> {
    // 0 is "nothing served": equal, and still stale.
    if asked == served && served != 0 {
        return Ok(());
    }
    Err(Refusal::new(request_id, ErrorCode::StaleGeneration, 0, "the request names a generation that is not served"))
}

/// Writes one LOOKUP frame key by key; unless finished it leaves `out` as it was.
pub struct LookupWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    count: usize,
    finished: bool,
}

impl<'o> LookupWriter<'o> {
    /// Begins a frame at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>, request_id: u32) -> Self {
        let start = begin_frame(out, FrameKind::Lookup, 0, request_id, 0);
        Self { out, start, count: 0, finished: false }
    }

    /// Models may take so many microseconds, BUDGET_US_MAX at most; 0, as without this call: the server's own bound.
    pub fn budget_us(self, budget_us: u32) -> Self {
        let at = self.start + offset_of!(crate::FrameHeader, flags);
        let flags = budget_us.min(BUDGET_US_MAX) << REQUEST_BUDGET_SHIFT;
        self.out[at..at + 4].copy_from_slice(&flags.to_le_bytes());
        self
    }

    /// Keys so far.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Adds a key; on an error the frame is as before, and may be finished.
    pub fn push(&mut self, kind: u8, key: &[u8]) -> Result<(), EncodeError> {
        if key.len() > KEY_BYTES_MAX {
            return Err(EncodeError::KeyTooLong { bytes: key.len() });
        }
        if self.count == KEYS_MAX {
            return Err(EncodeError::TooManyKeys { count: KEYS_MAX + 1, max: KEYS_MAX });
        }
        if self.out.len() - self.start + KEY_HEAD_BYTES + key.len() > FRAME_BYTES_MAX {
            return Err(EncodeError::FrameTooLarge);
        }
        self.out.extend_from_slice(bytemuck::bytes_of(&KeyHead { kind, zero: 0, key_bytes: key.len() as u16 }));
        self.out.extend_from_slice(key);
        self.count += 1;
        Ok(())
    }

    /// Completes the frame and returns its number of keys.
    pub fn finish(mut self) -> Result<usize, EncodeError> {
        if self.count == 0 {
            return Err(EncodeError::NoKeys);
        }
        let count_at = self.start + offset_of!(crate::FrameHeader, count);
        self.out[count_at..count_at + 2].copy_from_slice(&(self.count as u16).to_le_bytes());
        finish_frame(self.out, self.start);
        self.finished = true;
        Ok(self.count)
    }
}

impl Drop for LookupWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

/// Appends a LOOKUP of all `keys`, or nothing.
pub fn encode_lookup<'k>(out: &mut Vec<u8>, request_id: u32, keys: impl IntoIterator<Item = (u8, &'k [u8])>) -> Result<(), EncodeError> {
    let mut writer = LookupWriter::new(out, request_id);
    for (kind, key) in keys {
        writer.push(kind, key)?;
    }
    writer.finish().map(drop)
}

/// Appends a LOOKUP_HASHED. `generation`: whose hash key made the keys. `place`: where all their expressions stand.
pub fn encode_lookup_hashed(
    out: &mut Vec<u8>,
    request_id: u32,
    generation: u64,
    keys: &[HashedKey],
    place: Place,
) -> Result<(), EncodeError> {
    check_count(keys.len(), KEYS_MAX)?;
    out.reserve(FRAME_HEADER_BYTES + GENERATION_BYTES + size_of_val(keys));
    let start = begin_frame(out, FrameKind::LookupHashed, keys.len() as u16, request_id, place.flags());
    out.extend_from_slice(&generation.to_le_bytes());
    out.extend_from_slice(bytemuck::cast_slice(keys));
    finish_frame(out, start);
    Ok(())
}

/// Appends a DESCRIBE. `generation`: whose answers gave the ids.
pub fn encode_describe(out: &mut Vec<u8>, request_id: u32, generation: u64, ids: &[u32]) -> Result<(), EncodeError> {
    check_count(ids.len(), IDS_MAX)?;
    out.reserve(FRAME_HEADER_BYTES + GENERATION_BYTES + size_of_val(ids));
    let start = begin_frame(out, FrameKind::Describe, ids.len() as u16, request_id, 0);
    out.extend_from_slice(&generation.to_le_bytes());
    out.extend_from_slice(bytemuck::cast_slice(ids));
    finish_frame(out, start);
    Ok(())
}

/// Appends an EXPLAIN of one key.
pub fn encode_explain(out: &mut Vec<u8>, request_id: u32, kind: u8, key: &[u8]) -> Result<(), EncodeError> {
    if key.len() > KEY_BYTES_MAX {
        return Err(EncodeError::KeyTooLong { bytes: key.len() });
    }
    let start = begin_frame(out, FrameKind::Explain, 1, request_id, 0);
    out.extend_from_slice(bytemuck::bytes_of(&KeyHead { kind, zero: 0, key_bytes: key.len() as u16 }));
    out.extend_from_slice(key);
    finish_frame(out, start);
    Ok(())
}

/// Appends a PING.
pub fn encode_ping(out: &mut Vec<u8>, request_id: u32, payload: &[u8]) -> Result<(), EncodeError> {
    if payload.len() > PING_BYTES_MAX {
        return Err(EncodeError::BadText { what: "ping payload" });
    }
    let start = begin_frame(out, FrameKind::Ping, 0, request_id, 0);
    out.extend_from_slice(payload);
    finish_frame(out, start);
    Ok(())
}

fn check_count(count: usize, max: usize) -> Result<(), EncodeError> {
    match count {
        0 => Err(EncodeError::NoKeys),
        _ if count > max => Err(EncodeError::TooManyKeys { count, max }),
        _ => Ok(()),
    }
}
