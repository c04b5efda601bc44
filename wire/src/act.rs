//! Acts: what an operator tells a running daemon over its control socket. PROTOCOL.md section 13.
//!
//! ```text
//!  ACT    │ head, 16 bytes │ key │ reason │      block, unblock, remove one key; list; switch a part off or on; pin a generation; reload, drain
//!  TOLD   │ head, 48 bytes │ key │ text   │      one for each entry that was asked for, then one that ends it
//! ```
//! Not frames: this socket answers nothing that a load balancer asks, and the other ones change nothing. A message is bounded, and judged before it is used.

use crate::answer::Class;
use crate::closed::closed;
use crate::error::Malformed;
use crate::frame::{KEY_BYTES_MAX, read};
use crate::request::KeyKind;
use bytemuck::{Pod, Zeroable};
use std::io::{self, Read};

/// Of the messages of this file.
pub const ACT_VERSION: u8 = 1;
/// The longest that an act may hold: a day.
pub const TTL_S_MAX: u32 = 86_400;
/// Bytes of the reason of an act.
pub const REASON_BYTES_MAX: usize = 128;
/// Bytes of the name of a part.
pub const PART_BYTES_MAX: usize = 512;
/// Bytes of the text of a reply, where it is no reason.
pub const TOLD_TEXT_BYTES_MAX: usize = 1024;
/// Bytes of the longest ACT.
pub const ACT_BYTES_MAX: usize = ACT_HEAD_BYTES + KEY_BYTES_MAX + REASON_BYTES_MAX;
/// Bytes of the longest TOLD.
pub const TOLD_BYTES_MAX: usize = TOLD_HEAD_BYTES + KEY_BYTES_MAX + TOLD_TEXT_BYTES_MAX;

closed! {
    /// What is to be done.
    Act: u8 {
        /// Answer *malicious*, or *suspicious*, for a while.
        Block = 1 "block",
        /// Answer *clean* for a while, whatever else says otherwise.
        Unblock = 2 "unblock",
        /// Take an entry back before its end.
        Remove = 3 "remove",
        /// Tell every entry.
        List = 4 "list",
        /// Switch a part off: a feed, a kind of rules, a model, the overlay, enforcement, updates.
        Off = 5 "off",
        /// Switch it on again.
        On = 6 "on",
        /// Tell every part that is off.
        Switches = 7 "switches",
        /// Serve a kept generation, and nothing newer.
        Pin = 8 "pin",
        /// Look at everything that is loaded again; answered when that is done.
        Reload = 9 "reload",
        /// Accept nothing more, finish what was asked, end.
        Drain = 10 "drain",
        /// Serve on, and tell everybody to go elsewhere.
        Leave = 11 "leave",
        /// Take traffic again.
        Join = 12 "join",
    }
}

impl Act {
    /// It is about a part of the daemon, which its key names, and about no key of a question.
    pub const fn is_of_part(self) -> bool {
        matches!(self, Self::Off | Self::On | Self::Pin)
    }

    /// It is about the daemon as a whole, so it has no key, and its reason may be empty.
    pub const fn is_order(self) -> bool {
        matches!(self, Self::Reload | Self::Drain)
    }

    /// It is about everybody who asks.
    pub const fn is_of_traffic(self) -> bool {
        matches!(self, Self::Leave | Self::Join)
    }

    /// It changes nothing, so it has no key and no reason.
    pub const fn only_tells(self) -> bool {
        matches!(self, Self::List | Self::Switches)
    }
}

closed! {
    /// What came of it.
    Outcome: u8 {
        /// It is on disk and enforced.
        Done = 0 "done",
        /// It must not be: the text says why. Nothing changed.
        Refused = 1 "refused",
        /// There is no such entry.
        NotThere = 2 "not-there",
        /// It could not be: the text says why.
        Failed = 3 "failed",
        /// One entry of a list; more follows.
        Entry = 4 "entry",
    }
}

/// The fixed part of an ACT.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ActHead {
    /// Of the whole message.
    pub message_bytes: [u8; 4],
    /// 1.
    pub version: u8,
    /// An `Act`.
    pub act: u8,
    /// A `KeyKind`; 0 where the act is of no key.
    pub kind: u8,
    /// A `Class`, of *block*; else 0.
    pub class: u8,
    /// Seconds of *block* and *unblock*; else 0.
    pub ttl_s: [u8; 4],
    /// Of the key.
    pub key_bytes: [u8; 2],
    /// Of the reason.
    pub reason_bytes: [u8; 2],
}

/// The fixed part of a TOLD.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ToldHead {
    /// Of the whole message.
    pub message_bytes: [u8; 4],
    /// 1.
    pub version: u8,
    /// An `Outcome`.
    pub outcome: u8,
    /// Of an entry: *block* or *unblock*.
    pub act: u8,
    /// Of an entry: a `KeyKind`.
    pub kind: u8,
    /// Of an entry: a `Class`.
    pub class: u8,
    /// 0.
    pub zero: [u8; 3],
    /// Of an entry: who did it.
    pub uid: [u8; 4],
    /// Of an entry: by which process.
    pub pid: [u8; 4],
    /// Entries in force.
    pub entries: [u8; 4],
    /// Of an entry: since when, milliseconds since 1970.
    pub at_ms: [u8; 8],
    /// Of an entry: until when, milliseconds since 1970.
    pub until_ms: [u8; 8],
    /// Of an entry: bytes of its canonical key.
    pub key_bytes: [u8; 2],
    /// Of the reason, or of what is to be told.
    pub text_bytes: [u8; 2],
    /// From the act's arrival until every shard answered by it.
    pub took_us: [u8; 4],
}

const ACT_HEAD_BYTES: usize = 16;
const TOLD_HEAD_BYTES: usize = 48;
const _: () = assert!(size_of::<ActHead>() == ACT_HEAD_BYTES && align_of::<ActHead>() == 1);
const _: () = assert!(size_of::<ToldHead>() == TOLD_HEAD_BYTES && align_of::<ToldHead>() == 1);

/// An act, checked: whatever else it may be, it is well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActRequest<'a> {
    /// What is to be done.
    pub act: Act,
    /// Of the key, where the act is of one.
    pub kind: Option<KeyKind>,
    /// Of *block*.
    pub class: Class,
    /// Seconds.
    pub ttl_s: u32,
    /// As in LOOKUP; of an act on a part its name, printable.
    pub key: &'a [u8],
    /// For people: one line.
    pub reason: &'a str,
}

/// A reply, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// Numbers as they came.
    pub head: ToldHead,
    /// What came of it.
    pub outcome: Outcome,
    /// The canonical key of an entry, as in LOOKUP.
    pub key: &'a [u8],
    /// The reason of an entry; else for people, its wording may change.
    pub text: &'a str,
}

/// The text at the end of a message: UTF-8 without control characters.
fn line(bytes: &[u8], at: usize) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|error| Malformed::new(at + error.valid_up_to(), "a text is not UTF-8"))?;
    match text.find(char::is_control) {
        Some(odd) => Err(Malformed::new(at + odd, "a text holds a control character")),
        None => Ok(text),
    }
}

impl<'a> ActRequest<'a> {
    /// Of the bytes of one whole message.
    ///
    /// # Errors
    /// Where it breaks a rule of PROTOCOL.md, and which.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let head: ActHead = read(bytes, 0).ok_or(Malformed::new(bytes.len(), "an ACT ends within its head"))?;
        if head.version != ACT_VERSION {
            return Err(Malformed::new(4, "an ACT of another version"));
        }
        let act = Act::from_raw(head.act).ok_or(Malformed::new(5, "no act of that number"))?;
        let key_end = ACT_HEAD_BYTES + usize::from(u16::from_le_bytes(head.key_bytes));
        let end = key_end + usize::from(u16::from_le_bytes(head.reason_bytes));
        if end != bytes.len() || u32::from_le_bytes(head.message_bytes) as usize != end {
            return Err(Malformed::new(0, "the lengths of an ACT do not add up"));
        }
        let (key, reason) = (&bytes[ACT_HEAD_BYTES..key_end], line(&bytes[key_end..], key_end)?);
        if key.len() > KEY_BYTES_MAX {
            return Err(Malformed::new(12, "a key is too long"));
        }
        if reason.len() > REASON_BYTES_MAX {
            return Err(Malformed::new(14, "a reason is longer than 128 bytes"));
        }
        let (kind, ttl_s) = (KeyKind::from_raw(head.kind), u32::from_le_bytes(head.ttl_s));
        let class = Class::from_raw(head.class).ok_or(Malformed::new(7, "no class of that number"))?;
        let blocks = matches!(class, Class::Suspicious | Class::Malicious);
        let lasts = matches!(act, Act::Block | Act::Unblock);
        match act {
            Act::List | Act::Switches if head.kind != 0 || end != ACT_HEAD_BYTES => return Err(Malformed::new(6, "a list is of no key")),
            Act::Reload | Act::Drain if head.kind != 0 || !key.is_empty() => {
                return Err(Malformed::new(6, "a reload and a drain are of no key"));
            }
            Act::Off | Act::On | Act::Pin if head.kind != 0 => return Err(Malformed::new(6, "a part is no key")),
            Act::Off | Act::On | Act::Pin if key.is_empty() || key.len() > PART_BYTES_MAX => {
                return Err(Malformed::new(12, "the name of a part has 1 to 512 bytes"));
            }
            _ if act.is_of_traffic() && (head.kind != 0 || !key.is_empty()) => return Err(Malformed::new(6, "traffic is no key")),
            Act::Off | Act::On | Act::Pin => _ = line(key, ACT_HEAD_BYTES)?,
            Act::Block | Act::Unblock | Act::Remove if kind.is_none() => return Err(Malformed::new(6, "no kind of key of that number")),
            _ => {}
        }
        if blocks != (act == Act::Block) || !blocks && head.class != 0 {
            return Err(Malformed::new(7, "a block, and nothing else, is suspicious or malicious"));
        }
        if lasts != (ttl_s != 0) {
            return Err(Malformed::new(8, "a block or unblock, and nothing else, lasts for some seconds"));
        }
        if reason.trim().is_empty() && !act.only_tells() && !act.is_order() {
            return Err(Malformed::new(14, "an act without a reason"));
        }
        Ok(ActRequest { act, kind, class, ttl_s, key, reason })
    }

    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (key, reason) = (&self.key[..self.key.len().min(u16::MAX.into())], crate::error::cut(self.reason, u16::MAX.into()));
        let head = ActHead {
            message_bytes: ((ACT_HEAD_BYTES + key.len() + reason.len()) as u32).to_le_bytes(),
            version: ACT_VERSION,
            act: self.act.raw(),
            kind: self.kind.map_or(0, KeyKind::raw),
            class: self.class.raw(),
            ttl_s: self.ttl_s.to_le_bytes(),
            key_bytes: (key.len() as u16).to_le_bytes(),
            reason_bytes: (reason.len() as u16).to_le_bytes(),
        };
        out.extend_from_slice(bytemuck::bytes_of(&head));
        out.extend_from_slice(key);
        out.extend_from_slice(reason.as_bytes());
    }
}

impl<'a> Told<'a> {
    /// Of the bytes of one whole message.
    ///
    /// # Errors
    /// Where it breaks a rule of PROTOCOL.md, and which.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let head: ToldHead = read(bytes, 0).ok_or(Malformed::new(bytes.len(), "a TOLD ends within its head"))?;
        if head.version != ACT_VERSION {
            return Err(Malformed::new(4, "a TOLD of another version"));
        }
        let outcome = Outcome::from_raw(head.outcome).ok_or(Malformed::new(5, "no outcome of that number"))?;
        let key_end = TOLD_HEAD_BYTES + usize::from(u16::from_le_bytes(head.key_bytes));
        let end = key_end + usize::from(u16::from_le_bytes(head.text_bytes));
        if end != bytes.len() || u32::from_le_bytes(head.message_bytes) as usize != end {
            return Err(Malformed::new(0, "the lengths of a TOLD do not add up"));
        }
        Ok(Told { head, outcome, key: &bytes[TOLD_HEAD_BYTES..key_end], text: line(&bytes[key_end..], key_end)? })
    }

    /// Appends it: lengths, version and outcome of the head are set here.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (key, text) = (&self.key[..self.key.len().min(KEY_BYTES_MAX)], crate::error::cut(self.text, TOLD_TEXT_BYTES_MAX));
        let head = ToldHead {
            message_bytes: ((TOLD_HEAD_BYTES + key.len() + text.len()) as u32).to_le_bytes(),
            version: ACT_VERSION,
            outcome: self.outcome.raw(),
            key_bytes: (key.len() as u16).to_le_bytes(),
            text_bytes: (text.len() as u16).to_le_bytes(),
            ..self.head
        };
        out.extend_from_slice(bytemuck::bytes_of(&head));
        out.extend_from_slice(key);
        out.extend_from_slice(text.as_bytes());
    }
}

/// One whole message of at most `most` bytes.
///
/// # Errors
/// What reading says; `InvalidData` for a length that no message has.
pub fn read_message(from: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let bytes = u32::from_le_bytes(length) as usize;
    if !(ACT_HEAD_BYTES..=most).contains(&bytes) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {bytes} bytes: {ACT_HEAD_BYTES} to {most} are possible"),
        ));
    }
    let mut message = vec![0; bytes];
    message[..4].copy_from_slice(&length);
    from.read_exact(&mut message[4..])?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block<'a>(key: &'a [u8], reason: &'a str) -> ActRequest<'a> {
        ActRequest { act: Act::Block, kind: Some(KeyKind::Host), class: Class::Malicious, ttl_s: 7200, key, reason }
    }

    fn encoded(request: &ActRequest<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        request.encode(&mut out);
        out
    }

    #[test]
    fn what_is_written_is_read_back() {
        let list = ActRequest { act: Act::List, kind: None, class: Class::Unknown, ttl_s: 0, key: b"", reason: "" };
        let off = |act| ActRequest { act, key: "feed größer".as_bytes(), reason: "it lists everybody", ..list };
        for request in [
            block(b"a.test", "phishing, ticket 7"),
            list,
            ActRequest { act: Act::Switches, ..list },
            ActRequest { act: Act::Leave, reason: "upgrade", ..list },
            ActRequest { act: Act::Join, reason: "it was the network", ..list },
            off(Act::Off),
            off(Act::On),
            off(Act::Pin),
            ActRequest { act: Act::Reload, ..list },
            ActRequest { act: Act::Drain, reason: "kernel update", ..list },
        ] {
            assert_eq!(ActRequest::decode(&encoded(&request)), Ok(request));
        }
        let head = ToldHead { uid: 7u32.to_le_bytes(), took_us: 900u32.to_le_bytes(), ..ToldHead::default() };
        let told = Told { head, outcome: Outcome::Refused, key: b"a.test", text: "full" };
        let mut out = Vec::new();
        told.encode(&mut out);
        let back = Told::decode(&out).unwrap();
        assert_eq!((back.outcome, back.key, back.text, back.head.took_us), (told.outcome, told.key, told.text, head.took_us));
        assert_eq!(read_message(&mut out.as_slice(), TOLD_BYTES_MAX).unwrap(), out);
    }

    #[test]
    fn whatever_is_cut_or_changed_is_refused_with_its_place() {
        let good = encoded(&block(b"a.test", "why"));
        for end in 0..good.len() {
            assert!(ActRequest::decode(&good[..end]).is_err(), "{end} bytes");
        }
        let refused = |at: usize, value: u8, place: u32| {
            let mut bytes = good.clone();
            bytes[at] = value;
            assert_eq!(ActRequest::decode(&bytes).unwrap_err().offset, place, "{at} = {value}");
        };
        refused(0, 200, 0);
        refused(4, 2, 4);
        refused(5, 200, 5);
        refused(5, Act::Unblock.raw(), 7);
        refused(6, 0, 6);
        refused(7, Class::Clean.raw(), 7);
        refused(12, 7, 0);
        refused(good.len() - 1, 7, good.len() as u32 - 1);
        assert_eq!(ActRequest::decode(&encoded(&block(b"a.test", " "))).unwrap_err().offset, 14);
        assert_eq!(ActRequest::decode(&encoded(&ActRequest { ttl_s: 0, ..block(b"a.test", "why") })).unwrap_err().offset, 8);
        assert_eq!(ActRequest::decode(&encoded(&block(b"a.test", &"x".repeat(129)))).unwrap_err().offset, 14);
    }

    #[test]
    fn a_reload_and_a_drain_are_of_no_key_class_or_time() {
        let sound = ActRequest { act: Act::Reload, kind: None, class: Class::Unknown, ttl_s: 0, key: b"", reason: "" };
        let place = |request: ActRequest<'_>| ActRequest::decode(&encoded(&request)).unwrap_err().offset;
        assert_eq!(place(ActRequest { key: b"a.test", ..sound }), 6);
        assert_eq!(place(ActRequest { kind: Some(KeyKind::Host), ..sound }), 6);
        assert_eq!(place(ActRequest { class: Class::Malicious, ..sound }), 7);
        assert_eq!(place(ActRequest { act: Act::Drain, ttl_s: 5, ..sound }), 8);
    }

    #[test]
    fn a_part_has_a_name_that_can_be_printed_and_no_kind_class_or_time() {
        let sound = ActRequest { act: Act::Off, kind: None, class: Class::Unknown, ttl_s: 0, key: b"overlay", reason: "why" };
        let place = |request: ActRequest<'_>| ActRequest::decode(&encoded(&request)).unwrap_err().offset;
        assert_eq!(place(ActRequest { kind: Some(KeyKind::Host), ..sound }), 6);
        assert_eq!(place(ActRequest { class: Class::Malicious, ..sound }), 7);
        assert_eq!(place(ActRequest { ttl_s: 1, ..sound }), 8);
        assert_eq!(place(ActRequest { key: b"", ..sound }), 12);
        assert_eq!(place(ActRequest { key: &[b'x'; PART_BYTES_MAX + 1], ..sound }), 12);
        assert_eq!(place(ActRequest { key: b"feed a\nb", ..sound }), 22);
        assert_eq!(place(ActRequest { key: b"feed \xff", ..sound }), 21);
        assert_eq!(place(ActRequest { reason: "", ..sound }), 14);
    }

    #[test]
    fn a_length_that_no_message_has_is_not_read() {
        for length in [0u32, 15, u32::MAX] {
            let error = read_message(&mut length.to_le_bytes().as_slice(), ACT_BYTES_MAX).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
