//! What a row says beside its indicators, in one shape for all formats.
//!
//! A reader only repeats what the feed says: a revoked or expired indicator is told as such, with its dates. What follows from that (is there
//! still a rule, who may hold it) is decided where all sources are known, and not in a reader.

use verdict_tables::Class;

/// What a row says beside its indicators; `None`, 0 and `false` where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Class of the row.
    pub class: Option<Class>,
    /// 0-100
    pub score: Option<u8>,
    /// 0-100
    pub confidence: Option<u8>,
    /// Categories that its words name.
    pub categories: u16,
    /// Days since 1970-01-01.
    pub first_seen_day: u16,
    /// Days since 1970-01-01.
    pub last_seen_day: u16,
    /// Unix seconds from which the row holds.
    pub valid_from_s: u64,
    /// Unix seconds from which it holds no more.
    pub valid_until_s: u64,
    /// Its source has taken it back.
    pub revoked: bool,
    /// Who may hold it.
    pub tlp: Option<Tlp>,
    /// Date columns that hold something else than a date.
    pub dates_unread: u8,
}

/// The traffic light protocol (FIRST, TLP 2.0), the widest audience first. TLP 1's WHITE is `Clear`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tlp {
    /// Everybody.
    Clear,
    /// The community.
    Green,
    /// The organisation and its clients.
    Amber,
    /// The organisation.
    AmberStrict,
    /// The reader alone.
    Red,
}

impl Tlp {
    /// All of them, the widest audience first.
    pub const ALL: [Tlp; 5] = [Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::AmberStrict, Tlp::Red];

    /// As written in tags, markings and feeds: `TLP:AMBER+STRICT`, `tlp:white`, `green`.
    pub fn by_name(name: &str) -> Option<Tlp> {
        let name = name.trim();
        let name = name.get(..4).filter(|start| start.eq_ignore_ascii_case("tlp:")).map_or(name, |_| &name[4..]);
        let known = [
            ("clear", Tlp::Clear),
            ("white", Tlp::Clear),
            ("green", Tlp::Green),
            ("amber", Tlp::Amber),
            ("amber+strict", Tlp::AmberStrict),
            ("red", Tlp::Red),
        ];
        known.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, tlp)| *tlp)
    }

    /// In capitals, without `TLP:`.
    pub fn name(self) -> &'static str {
        match self {
            Tlp::Clear => "CLEAR",
            Tlp::Green => "GREEN",
            Tlp::Amber => "AMBER",
            Tlp::AmberStrict => "AMBER+STRICT",
            Tlp::Red => "RED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_colours_as_feeds_write_them() {
        for (text, tlp) in [
            ("tlp:white", Some(Tlp::Clear)),
            ("TLP:CLEAR", Some(Tlp::Clear)),
            (" green ", Some(Tlp::Green)),
            ("tlp:amber", Some(Tlp::Amber)),
            ("TLP:AMBER+STRICT", Some(Tlp::AmberStrict)),
            ("Tlp:Red", Some(Tlp::Red)),
            ("tlp:purple", None),
            ("tlp:", None),
            ("", None),
            ("\u{e9}\u{e9}red", None),
        ] {
            assert_eq!(Tlp::by_name(text), tlp, "{text}");
        }
        assert!(Tlp::Clear < Tlp::Red && Tlp::Amber < Tlp::AmberStrict);
    }
}
