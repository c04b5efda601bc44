//! The overlay: what an operator says of a few keys, now and for a while, over whatever the snapshot says.
//!
//! ```text
//! verdictctl block ─► door (control socket) ─► desk ─► journal: on disk ─► table, for the keys of the generation served ─► every shard ─► "done"
//!                                               ▲ snapshot swaps: the table is made anew, and travels with the new generation
//! ```
//! An entry is exact: one URL, one host with the URLs on it, one address, one file; never names below, paths below or prefixes. An unblock that matches
//! beats a block that matches, and both beat the snapshot. It ends by itself, within `TTL_S_MAX`. A shard that has no entries pays one branch a turn.

pub mod desk;
pub mod door;
pub mod journal;
pub mod table;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use verdict_keys::{Canonicalizer, Digest, Host, Kind, Unparseable, fold_ipv6};
use verdict_tables::{Class, Verdict, flag};

/// The file in its directory.
pub const JOURNAL: &str = "overlay.journal";

/// A key as LOOKUP has it, in its canonical spelling: what means the same is the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    kind: u8,
    bytes: Vec<u8>,
}

impl Key {
    /// As the tables' own canonicaliser reads it. A host that is an address is that address.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(kind: Kind, bytes: &[u8]) -> Result<Self, Unparseable> {
        let mut canonicalizer = Canonicalizer::new();
        Ok(match kind {
            Kind::Url => Key { kind: kind as u8, bytes: canonicalizer.url(bytes)?.to_string().into_bytes() },
            Kind::Host => Self::of_host(canonicalizer.host(bytes)?),
            Kind::Ipv4 => Self::of_address(IpAddr::from(<[u8; 4]>::try_from(bytes).map_err(|_| Unparseable::WrongLength)?)),
            Kind::Ipv6 => Self::of_address(fold_ipv6(<[u8; 16]>::try_from(bytes).map_err(|_| Unparseable::WrongLength)?.into())),
            Kind::Sha256 | Kind::Sha1 | Kind::Md5 => Key { kind: kind as u8, bytes: Digest::from_bytes(kind, bytes)?.as_bytes().to_vec() },
        })
    }

    fn of_host((host, text): (Host<'_>, &str)) -> Self {
        match host {
            Host::Name(_) => Key { kind: Kind::Host as u8, bytes: text.as_bytes().to_vec() },
            Host::Address(address) => Self::of_address(address),
        }
    }

    fn of_address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Key { kind: Kind::Ipv4 as u8, bytes: v4.octets().to_vec() },
            IpAddr::V6(v6) => Key { kind: Kind::Ipv6 as u8, bytes: v6.octets().to_vec() },
        }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        Kind::try_from(self.kind).unwrap_or(Kind::Host) // only ever made from one
    }

    /// As in LOOKUP.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The keys whose entries hold for this one too: itself; of a URL also it without its query, and its host.
    pub fn covering(&self) -> Vec<Key> {
        let mut keys = vec![self.clone()];
        if self.kind() == Kind::Url
            && let Ok(url) = Canonicalizer::new().url(&self.bytes)
        {
            if url.query().is_some() {
                keys.push(Key { kind: self.kind, bytes: format!("http://{}{}", url.host_text, url.path()).into_bytes() });
            }
            keys.push(Self::of_host((url.host, url.host_text)));
        }
        keys
    }
}

/// Printable: canonical text is ASCII, addresses and digests are written as usual.
impl std::fmt::Display for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind(), self.bytes.as_slice()) {
            (Kind::Url | Kind::Host, text) => write!(out, "{}", text.escape_ascii()),
            (Kind::Ipv4, &[a, b, c, d]) => write!(out, "{}", Ipv4Addr::new(a, b, c, d)),
            (Kind::Ipv6, octets) => match <[u8; 16]>::try_from(octets) {
                Ok(octets) => write!(out, "{}", Ipv6Addr::from(octets)),
                Err(_) => Ok(()), // of another length there is none
            },
            (_, digest) => digest.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
        }
    }
}

/// What is said of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of what.
    pub key: Key,
    /// *suspicious* or *malicious* for a block; *clean* for an unblock.
    pub class: Class,
    /// Milliseconds since 1970, for people and for the next start; in between a clock that nobody sets counts.
    pub at_ms: u64,
    /// Likewise.
    pub until_ms: u64,
    /// Who said so.
    pub uid: u32,
    /// By which process.
    pub pid: u32,
    /// Why.
    pub reason: String,
}

impl Entry {
    /// It lets through, and beats every block.
    pub fn is_unblock(&self) -> bool {
        self.class == Class::Clean
    }

    /// `block` or `unblock`.
    pub fn act(&self) -> verdict_wire::Act {
        if self.is_unblock() { verdict_wire::Act::Unblock } else { verdict_wire::Act::Block }
    }

    /// Its answer. There is no record behind it that DESCRIBE could tell: EXPLAIN does.
    pub fn verdict(&self) -> Verdict {
        let (score, allow) = match self.class {
            Class::Malicious => (100, 0),
            Class::Suspicious => (60, 0),
            Class::Clean | Class::Unknown => (0, flag::ALLOWLISTED),
        };
        let flags = flag::FROM_DELTA | flag::OVERRIDDEN | allow;
        Verdict { outcome: (self.class as u8) << 4, score, flags, ..Verdict::default() }
    }
}

/// Who, when and why, for EXPLAIN: at most 256 bytes, since a reason has at most 128.
impl std::fmt::Display for Entry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (act, uid, pid) = (self.act(), self.uid, self.pid);
        write!(out, "{act} by uid {uid}, pid {pid}, at {}, until {}: {}", Utc(self.at_ms), Utc(self.until_ms), self.reason)
    }
}

/// Milliseconds since 1970 as `2026-06-01T12:00:00Z`. After Howard Hinnant, "chrono-compatible low-level date algorithms".
pub struct Utc(pub u64);

impl std::fmt::Display for Utc {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (day, second) = (self.0 / 86_400_000, self.0 / 1000 % 86_400);
        let shifted = day + 719_468; // since 0000-03-01
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let (year, day) = (year_of_era + era * 400 + u64::from(month <= 2), day_of_year - (153 * from_march + 2) / 5 + 1);
        write!(out, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: Kind, text: &[u8]) -> Key {
        Key::new(kind, text).unwrap()
    }

    #[test]
    fn spellings_that_mean_the_same_are_one_key() {
        assert_eq!(key(Kind::Url, b"HTTPS://user@A.test:443/b/../c%41?q"), key(Kind::Url, b"a.test/cA?q"));
        assert_eq!(key(Kind::Host, b"A.Test."), key(Kind::Host, b"a.test"));
        assert_eq!(key(Kind::Host, b"0xc0.0.2.7"), key(Kind::Ipv4, &[192, 0, 2, 7]));
        assert_eq!(key(Kind::Ipv6, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 7]), key(Kind::Ipv4, &[192, 0, 2, 7]));
        assert!(Key::new(Kind::Host, b"192.0.2.0/24").is_err() || key(Kind::Host, b"192.0.2.0/24") != key(Kind::Ipv4, &[192, 0, 2, 0]));
        assert!(Key::new(Kind::Md5, &[1; 15]).is_err() && Key::new(Kind::Ipv4, &[1; 16]).is_err() && Key::new(Kind::Host, b"").is_err());
    }

    #[test]
    fn a_key_is_shown_as_people_write_it() {
        let shown = |kind, bytes: &[u8]| key(kind, bytes).to_string();
        assert_eq!(shown(Kind::Url, b"a.test/%20x"), "http://a.test/%20x");
        assert_eq!(shown(Kind::Host, b"[2001:db8::7]"), "2001:db8::7");
        assert_eq!(shown(Kind::Md5, &[0xab; 16]), "ab".repeat(16));
    }

    #[test]
    fn a_url_is_covered_by_itself_without_query_and_by_its_host() {
        let shown = |text: &[u8]| key(Kind::Url, text).covering().iter().map(Key::to_string).collect::<Vec<_>>();
        assert_eq!(shown(b"a.test/b?c"), ["http://a.test/b?c", "http://a.test/b", "a.test"]);
        assert_eq!(shown(b"192.0.2.7/"), ["http://192.0.2.7/", "192.0.2.7"]);
    }

    #[test]
    fn an_entry_tells_who_when_and_why() {
        let entry = Entry {
            key: key(Kind::Host, b"a.test"),
            class: Class::Clean,
            at_ms: 1_780_315_200_999,
            until_ms: 1_780_322_400_000,
            uid: u32::MAX,
            pid: u32::MAX,
            reason: "r".repeat(128),
        };
        let told = entry.to_string();
        assert!(
            told.starts_with("unblock by uid 4294967295, pid 4294967295, at 2026-06-01T12:00:00Z, until 2026-06-01T14:00:00Z: rr"),
            "{told}"
        );
        assert!(told.len() <= verdict_wire::MESSAGE_BYTES_MAX, "{}", told.len());
    }
}
