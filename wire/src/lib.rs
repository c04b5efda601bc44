//! verdict-wire: the binary protocol of verdictd, without I/O, and a small blocking client.
//!
//! ```text
//!  bytes ─► Frames ─► Frame ─► request() ─► Request { Hello, Lookup, LookupHashed, LookupFiles, Describe, Explain, Ping }      server side
//!  Vec<u8> ◄─ encode_answers · encode_hello_reply · DescriptionsWriter · encode_explanation · encode_pong · encode_refusal
//!
//!  Vec<u8> ◄─ LookupWriter · FilesWriter · encode_hello · encode_lookup_hashed · encode_describe · encode_explain · encode_ping   client side
//!  bytes ─► Frames ─► Frame ─► reply() ─► Reply { Hello, Answers, Descriptions, Explanation, Pong, Error }
//! ```
//! Decoding borrows from the caller's buffer and allocates nothing; encoding appends to the caller's `Vec` and allocates only where
//! its capacity is short. No byte of a peer makes anything here panic. PROTOCOL.md describes the bytes for people of other languages;
//! a test holds the two together. What this crate does not do: canonicalise or hash keys, keep connections for a server, or know of
//! any other crate of the house.
#![forbid(unsafe_code)]

#[cfg(target_endian = "big")]
compile_error!("the frames are little-endian views of memory; a big-endian target needs byte-swapping accessors first");

mod act;
mod answer;
mod client;
mod closed;
mod describe;
mod error;
mod explain;
mod file;
mod frame;
mod hello;
mod reply;
mod request;

pub use act::{
    ACT_BYTES_MAX, ACT_VERSION, Act, ActHead, ActRequest, Outcome, PART_BYTES_MAX, REASON_BYTES_MAX, TOLD_BYTES_MAX, TOLD_TEXT_BYTES_MAX,
    TTL_S_MAX, Told, ToldHead, read_message,
};
pub use answer::{Answer, AnswerList, AnswersWriter, Categories, Class, Flags, Status, VERDICT_ID_MAX, answers_in_place, encode_answers};
pub use client::{Answers, Carrier, Client, ClientError, ClientOptions, Described, Endpoint, EndpointError, Hello, Wrap};
pub use describe::{
    DESCRIPTION_BYTES, DESCRIPTION_BYTES_MAX, Description, DescriptionFlags, DescriptionList, DescriptionsWriter, RuleKind,
    SOURCE_BYTES_MAX, SourceNames,
};
pub use error::{EncodeError, ErrorCode, ErrorReply, MESSAGE_BYTES_MAX, Malformed, Refusal, encode_error, encode_refusal};
pub use explain::{
    Explained, ExplainedMatch, Explanation, ExplanationFlags, HostAsked, MATCH_BYTES, MatchFlags, MatchOn, RuleMatch, encode_explanation,
};
pub use file::{
    FILE_HEAD_BYTES, FILE_VALUES_MAX, FeatureSet, FileAsked, FileHead, FileList, FileQuestion, FileValues, FilesWriter, encode_lookup_files,
};
pub use frame::{
    BUDGET_US_MAX, CANONICAL_BYTES_MAX, EXPLAINED_BYTES_MAX, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, FrameHeader, FrameKind, Frames,
    IDS_MAX, KEY_BYTES_MAX, KEYS_MAX, Limits, MATCHES_MAX, NAME_BYTES_MAX, PING_BYTES_MAX, REPLY_CLOSING, REPLY_DRAINING,
    REQUEST_BUDGET_SHIFT, REQUEST_PREFIX, REQUEST_SUFFIX, VERSION, VERSION_MAX, VERSION_MIN, bytes_wanted, mark_reply, next_frame,
    next_frame_within,
};
pub use hello::{ClientHello, HashKey, Profile, Scheme, ServerHello, encode_hello, encode_hello_reply};
pub use reply::{Pong, Reply, encode_pong};
pub use request::{
    Describe, HashedKey, HashedKeys, HashedLookup, IdList, KEY_HEAD_BYTES, KeyHead, KeyKind, KeyList, LookupWriter, Place, Request,
    encode_describe, encode_explain, encode_lookup, encode_lookup_hashed, encode_ping,
};
