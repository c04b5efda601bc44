//! HELLO and its reply: versions, limits, and what a client needs to hash keys itself. PROTOCOL.md section 4.
//!
//! HELLO is optional: every frame says its version itself, and a client that stays below the limits of this crate needs nothing from it.
//! Its layout, and that it travels in frames of version 1, never change: it is how any two versions find each other.

use crate::closed::closed;
use crate::error::{EncodeError, ErrorCode, Malformed, Refusal};
use crate::frame::{Frame, FrameKind, Limits, NAME_BYTES_MAX, VERSION_MAX, VERSION_MIN, begin_frame, finish_frame, read};
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;

closed! {
    /// How expressions are made of a URL.
    Scheme: u8 {
        /// Safe Browsing v4: up to five hosts, up to six paths.
        GsbV4 = 1 "gsb-v4",
        /// Every host suffix and path prefix within the profile's bounds.
        Full = 2 "full",
        /// Safe Browsing v5: suffixes from the registrable domain on, by the public suffix list of the generation.
        GsbV5 = 3 "gsb-v5",
        /// The exact host; the exact path with and without query.
        Exact = 4 "exact",
    }
}

/// Which expressions the generation is asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// A `Scheme`; raw, since a newer server may know more of them.
    pub scheme: u8,
    /// A host suffix of more labels is not asked for.
    pub host_labels_max: u8,
    /// Path prefixes asked for, the root first.
    pub path_prefixes_max: u8,
}

/// The key of the generation's hash; FORMAT.md "Keyed hash".
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct HashKey {
    /// Multiplier of the polynomial.
    pub h: [u8; 16],
    /// Multiplier that pairs a host with a path.
    pub k: [u8; 16],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct HelloHead {
    version_min: u8,
    version_max: u8,
    zero: u16,
}

const HELLO_HEAD_BYTES: usize = 4;
const _: () = assert!(size_of::<HelloHead>() == HELLO_HEAD_BYTES);

/// A HELLO request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// Oldest version the client speaks.
    pub version_min: u8,
    /// Newest version the client speaks.
    pub version_max: u8,
    /// For logs; printable, at most NAME_BYTES_MAX bytes, may be empty.
    pub name: &'a str,
}

impl<'a> ClientHello<'a> {
    /// The newest version that both sides speak; `frame.request()` refuses a HELLO that has none.
    pub fn version(&self) -> u8 {
        self.version_max.min(VERSION_MAX)
    }

    pub(crate) fn decode(frame: &Frame<'a>) -> Result<Self, Refusal> {
        let id = frame.header.request_id;
        let malformed = |offset, reason| Malformed::new(offset, reason).refusal(id);
        let head: HelloHead = read(frame.body, 0).ok_or(malformed(frame.bytes(), "a HELLO ends before its name"))?;
        if head.zero != 0 {
            return Err(malformed(18, "a reserved field is not zero"));
        }
        if head.version_min == 0 || head.version_min > head.version_max {
            return Err(malformed(16, "an empty range of versions"));
        }
        if head.version_min > VERSION_MAX || head.version_max < VERSION_MIN {
            let detail = head.version_max.into();
            return Err(Refusal::new(id, ErrorCode::UnsupportedVersion, detail, "no version in common"));
        }
        let name = plain_text(&frame.body[HELLO_HEAD_BYTES..], 20).map_err(|e| e.refusal(id))?;
        Ok(Self { version_min: head.version_min, version_max: head.version_max, name })
    }
}

/// A HELLO reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerHello<'a> {
    /// The generation served now; 0 if none is.
    pub generation: u64,
    /// The version to speak on.
    pub version: u8,
    /// Oldest version the server speaks.
    pub version_min: u8,
    /// Newest version the server speaks.
    pub version_max: u8,
    /// What the server takes.
    pub limits: Limits,
    /// Which expressions the generation is asked by.
    pub profile: Profile,
    /// The key of the generation's hash.
    pub hash_key: HashKey,
    /// `verdictd/0.1.0`; printable, at most NAME_BYTES_MAX bytes.
    pub server: &'a str,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct HelloReplyHead {
    generation: u64,
    version: u8,
    version_min: u8,
    version_max: u8,
    scheme: u8,
    host_labels_max: u8,
    path_prefixes_max: u8,
    server_bytes: u16,
    frame_bytes_max: u32,
    keys_max: u32,
    key_bytes_max: u32,
    requests_in_flight_max: u32,
    hash_key: HashKey,
}

const HELLO_REPLY_HEAD_BYTES: usize = 64;
const _: () = assert!(size_of::<HelloReplyHead>() == HELLO_REPLY_HEAD_BYTES);
const _: () = assert!(offset_of!(HelloReplyHead, version) == 8 && offset_of!(HelloReplyHead, scheme) == 11);
const _: () = assert!(offset_of!(HelloReplyHead, server_bytes) == 14 && offset_of!(HelloReplyHead, frame_bytes_max) == 16);
const _: () = assert!(offset_of!(HelloReplyHead, requests_in_flight_max) == 28 && offset_of!(HelloReplyHead, hash_key) == 32);

impl<'a> ServerHello<'a> {
    pub(crate) fn decode(frame: &Frame<'a>) -> Result<Self, Malformed> {
        let head: HelloReplyHead = read(frame.body, 0).ok_or(Malformed::new(frame.bytes(), "a HELLO_REPLY ends before its name"))?;
        let server = &frame.body[HELLO_REPLY_HEAD_BYTES..];
        if server.len() != head.server_bytes as usize {
            return Err(Malformed::new(30, "server_bytes is not what follows"));
        }
        Ok(Self {
            generation: head.generation,
            version: head.version,
            version_min: head.version_min,
            version_max: head.version_max,
            limits: Limits {
                frame_bytes_max: head.frame_bytes_max,
                keys_max: head.keys_max,
                key_bytes_max: head.key_bytes_max,
                requests_in_flight_max: head.requests_in_flight_max,
            },
            profile: Profile { scheme: head.scheme, host_labels_max: head.host_labels_max, path_prefixes_max: head.path_prefixes_max },
            hash_key: head.hash_key,
            server: plain_text(server, 80)?,
        })
    }
}

/// Appends a HELLO.
pub fn encode_hello(out: &mut Vec<u8>, request_id: u32, hello: &ClientHello<'_>) -> Result<(), EncodeError> {
    if plain_text(hello.name.as_bytes(), 0).is_err() {
        return Err(EncodeError::BadText { what: "client name" });
    }
    if hello.version_min == 0 || hello.version_min > hello.version_max {
        return Err(EncodeError::BadVersions);
    }
    let start = begin_frame(out, FrameKind::Hello, 0, request_id, 0);
    let head = HelloHead { version_min: hello.version_min, version_max: hello.version_max, zero: 0 };
    out.extend_from_slice(bytemuck::bytes_of(&head));
    out.extend_from_slice(hello.name.as_bytes());
    finish_frame(out, start);
    Ok(())
}

/// Appends a HELLO_REPLY. A server name that is too long is cut; one with control characters is left out.
pub fn encode_hello_reply(out: &mut Vec<u8>, request_id: u32, hello: &ServerHello<'_>) {
    let server = crate::error::cut(hello.server, NAME_BYTES_MAX);
    let server = if plain_text(server.as_bytes(), 0).is_ok() { server } else { "" };
    let start = begin_frame(out, FrameKind::HelloReply, 0, request_id, 0);
    let head = HelloReplyHead {
        generation: hello.generation,
        version: hello.version,
        version_min: hello.version_min,
        version_max: hello.version_max,
        scheme: hello.profile.scheme,
        host_labels_max: hello.profile.host_labels_max,
        path_prefixes_max: hello.profile.path_prefixes_max,
        server_bytes: server.len() as u16,
        frame_bytes_max: hello.limits.frame_bytes_max,
        keys_max: hello.limits.keys_max,
        key_bytes_max: hello.limits.key_bytes_max,
        requests_in_flight_max: hello.limits.requests_in_flight_max,
        hash_key: hello.hash_key,
    };
    out.extend_from_slice(bytemuck::bytes_of(&head));
    out.extend_from_slice(server.as_bytes());
    finish_frame(out, start);
}

/// A name: UTF-8, no control characters (it goes to logs), at most NAME_BYTES_MAX bytes. `offset` is its first byte's in the frame.
fn plain_text(bytes: &[u8], offset: usize) -> Result<&str, Malformed> {
    if bytes.len() > NAME_BYTES_MAX {
        return Err(Malformed::new(offset + NAME_BYTES_MAX, "a name is too long"));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| Malformed::new(offset + e.valid_up_to(), "a name is not UTF-8"))?;
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(Malformed::new(offset + at, "a name has a control character")),
        None => Ok(text),
    }
}
