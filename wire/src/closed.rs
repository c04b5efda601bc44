//! Two macros for the numbers of the protocol: closed enumerations and bit sets, each with its names.
//!
//! Both keep a list of all members, from which Display, parsing of raw numbers and the comparison with PROTOCOL.md follow.

/// A closed enumeration: `ALL`, `from_raw`, `raw`, `name`, `Display`.
macro_rules! closed {
    ($(#[$doc:meta])* $name:ident: $raw:ty { $($(#[$member_doc:meta])* $member:ident = $value:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr($raw)]
        pub enum $name { $($(#[$member_doc])* $member = $value,)* }

        impl $name {
            /// Every member, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$member,)*];

            /// The member of that number, if there is one.
            pub const fn from_raw(raw: $raw) -> Option<Self> {
                match raw {
                    $($value => Some(Self::$member),)*
                    _ => None,
                }
            }

            /// The number on the wire.
            pub const fn raw(self) -> $raw {
                self as $raw
            }

            /// The name that PROTOCOL.md and every tool use.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$member => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

/// A bit set: a constant per bit, `ALL` with the names, set arithmetic, `Display` as `name|name`, `-` when empty.
macro_rules! bit_set {
    ($(#[$doc:meta])* $name:ident: $raw:ty { $($(#[$member_doc:meta])* $member:ident = $bit:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(pub $raw);

        impl $name {
            $($(#[$member_doc])* pub const $member: Self = Self(1 << $bit);)*
            /// No bit.
            pub const NONE: Self = Self(0);
            /// Every named bit with its number and name, lowest first.
            pub const ALL: &'static [(Self, u32, &'static str)] = &[$((Self::$member, $bit, $text),)*];

            /// Whether all bits of `other` are set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The bits of both.
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The names of the bits that are set and have one.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                Self::ALL.iter().filter(move |(bit, _, _)| self.contains(*bit)).map(|(_, _, name)| *name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::closed::write_names(f, self.names())
            }
        }
    };
}

pub(crate) use {bit_set, closed};

/// `a|b`, or `-` for none.
pub(crate) fn write_names<'a>(f: &mut std::fmt::Formatter<'_>, names: impl Iterator<Item = &'a str>) -> std::fmt::Result {
    let mut any = false;
    for name in names {
        if any {
            f.write_str("|")?;
        }
        f.write_str(name)?;
        any = true;
    }
    if any { Ok(()) } else { f.write_str("-") }
}
