//! The 8 bytes of an answer, and what they mean.
//!
//! ```text
//! byte  0          1          2    3     4       5    6    7
//!     +----------+----------+----------+-------+---------------+
//!     | outcome  | score    | categories | flags | verdict id    |
//!     +----------+----------+----------+-------+---------------+
//!      status low nibble, class high         u24, little-endian; 0: nothing is known
//! ```
//!
//! A snapshot holds one finished `Verdict` per interned verdict (a *template*): answering copies it.

/// Verdict ids are 24 bits wide; id 0 is "nothing known".
pub const VERDICTS_MAX: u32 = (1 << 24) - 1;

/// How sure and how bad: unknown is an answer, an error is not.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// No source says anything.
    Unknown = 0,
    /// Listed as harmless.
    Clean = 1,
    /// Worth a second look.
    Suspicious = 2,
    /// Listed as harmful.
    Malicious = 3,
}

impl Class {
    /// The class of a stored number, if it is one.
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Unknown),
            1 => Some(Self::Clean),
            2 => Some(Self::Suspicious),
            3 => Some(Self::Malicious),
            _ => None,
        }
    }

    /// Lower-case name, as people and JSON read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Clean => "clean",
            Self::Suspicious => "suspicious",
            Self::Malicious => "malicious",
        }
    }
}

/// Whether a question was answered at all.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The class is an answer.
    Ok = 0,
    /// The question is no URL, host, address or hash.
    Unparseable = 1,
    /// The kind of question is not known here.
    Unsupported = 2,
    /// Asked while over capacity; ask again.
    Overloaded = 3,
    /// Something went wrong on our side.
    Error = 4,
}

impl Status {
    /// Lower-case name, as people and JSON read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unparseable => "unparseable",
            Self::Unsupported => "unsupported",
            Self::Overloaded => "overloaded",
            Self::Error => "error",
        }
    }
}

/// Bits of `Verdict::flags`.
pub mod flag {
    /// The intelligence is older than it should be.
    pub const STALE: u8 = 1 << 0;
    /// Some part of the pipeline was skipped.
    pub const DEGRADED: u8 = 1 << 1;
    /// Comes from the delta overlay, not from the snapshot.
    pub const FROM_DELTA: u8 = 1 << 2;
    /// A model says so.
    pub const FROM_MODEL: u8 = 1 << 3;
    /// Nothing is enforced: whatever is known, the class is unknown.
    pub const MONITOR: u8 = 1 << 4;
    /// What is not enforced would have said otherwise.
    pub const SHADOW_DISAGREES: u8 = 1 << 5;
    /// An allow rule decided.
    pub const ALLOWLISTED: u8 = 1 << 6;
    /// An operator's own rule decided.
    pub const OVERRIDDEN: u8 = 1 << 7;
}

/// Bits of `Verdict::categories`; bits 12 to 15 are reserved.
pub mod category {
    /// Malware distribution.
    pub const MALWARE: u16 = 1 << 0;
    /// Credential theft by imitation.
    pub const PHISHING: u16 = 1 << 1;
    /// Command and control of a botnet.
    pub const C2: u16 = 1 << 2;
    /// Exploit kits and exploitation attempts.
    pub const EXPLOIT: u16 = 1 << 3;
    /// Unsolicited mail and comments.
    pub const SPAM: u16 = 1 << 4;
    /// Scans the network.
    pub const SCANNER: u16 = 1 << 5;
    /// Potentially unwanted software.
    pub const UNWANTED: u16 = 1 << 6;
    /// A generated domain name.
    pub const DGA: u16 = 1 << 7;
    /// Mines cryptocurrency.
    pub const CRYPTOMINING: u16 = 1 << 8;
    /// Fraud without malware.
    pub const SCAM: u16 = 1 << 9;
    /// A legitimate site under foreign control.
    pub const COMPROMISED: u16 = 1 << 10;
    /// Test entries such as EICAR.
    pub const TEST: u16 = 1 << 11;
    /// Every category that has a meaning.
    pub const ALL: u16 = (1 << 12) - 1;

    /// Names in bit order.
    pub const NAMES: [&str; 12] =
        ["malware", "phishing", "c2", "exploit", "spam", "scanner", "unwanted", "dga", "cryptomining", "scam", "compromised", "test"];
}

/// The 8 bytes of an answer, as PROTOCOL.md lays them out:
/// byte 0 status (low nibble) and class (high nibble), 1 score 0-100, 2..4 categories (u16 LE), 4 flags, 5..8 verdict id (u24 LE).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Verdict {
    /// Status in the low nibble, class in the high one.
    pub outcome: u8,
    /// 0 to 100.
    pub score: u8,
    /// Bit set of `category`.
    pub categories: u16,
    /// Bit set of `flag`.
    pub flags: u8,
    /// Verdict id, little-endian.
    pub id: [u8; 3],
}

const _: () = assert!(size_of::<Verdict>() == 8);

impl Verdict {
    /// An answer that carries nothing but a status.
    pub const fn of_status(status: Status) -> Self {
        Self { outcome: status as u8, score: 0, categories: 0, flags: 0, id: [0; 3] }
    }

    /// The status, if the nibble is one that is known.
    pub const fn status(&self) -> Option<Status> {
        match self.outcome & 15 {
            0 => Some(Status::Ok),
            1 => Some(Status::Unparseable),
            2 => Some(Status::Unsupported),
            3 => Some(Status::Overloaded),
            4 => Some(Status::Error),
            _ => None,
        }
    }

    /// The class, if the nibble is one that is known.
    pub const fn class(&self) -> Option<Class> {
        Class::from_u8(self.outcome >> 4)
    }

    /// Names the interned record of this generation; 0 where nothing matched.
    pub const fn verdict_id(&self) -> u32 {
        u32::from_le_bytes([self.id[0], self.id[1], self.id[2], 0])
    }

    /// The names of the categories that are set.
    pub fn category_names(&self) -> impl Iterator<Item = &'static str> {
        let categories = self.categories;
        category::NAMES.into_iter().enumerate().filter(move |(bit, _)| categories >> bit & 1 == 1).map(|(_, name)| name)
    }

    /// Place of this verdict in the order override > allow > malicious > suspicious > clean > unknown: 5 down to 0.
    pub const fn rank(&self) -> u8 {
        if self.flags & flag::OVERRIDDEN != 0 {
            5
        } else if self.flags & flag::ALLOWLISTED != 0 {
            4
        } else {
            self.outcome >> 4
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_the_protocol_says() {
        let verdict = Verdict { outcome: 0x30, score: 90, categories: 0x0201, flags: flag::OVERRIDDEN, id: [1, 2, 3] };
        assert_eq!(bytemuck::bytes_of(&verdict), [0x30, 90, 1, 2, 0x80, 1, 2, 3]);
        assert_eq!(verdict.status(), Some(Status::Ok));
        assert_eq!(verdict.class(), Some(Class::Malicious));
        assert_eq!(verdict.verdict_id(), 0x030201);
        assert_eq!(verdict.category_names().collect::<Vec<_>>(), ["malware", "scam"]);
    }

    #[test]
    fn precedence_ranks_descend_as_documented() {
        let of = |class: Class, flags| Verdict { outcome: (class as u8) << 4, flags, ..Verdict::default() }.rank();
        let ranks = [
            of(Class::Unknown, flag::OVERRIDDEN),
            of(Class::Clean, flag::ALLOWLISTED),
            of(Class::Malicious, 0),
            of(Class::Suspicious, 0),
            of(Class::Clean, 0),
            of(Class::Unknown, 0),
        ];
        assert_eq!(ranks, [5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn a_nibble_without_meaning_is_no_status_and_no_class() {
        let verdict = Verdict { outcome: 0xFF, ..Verdict::default() };
        assert_eq!((verdict.status(), verdict.class()), (None, None));
    }
}
