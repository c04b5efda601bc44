//! Why bytes are no key: a closed list, counted and shown by name. None of these ever reads as "clean".

/// Why bytes are no key.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Unparseable {
    /// Nothing but spaces, controls or a fragment.
    #[error("empty")]
    Empty,
    /// The input, or its canonical form, is longer than [`URL_BYTES_MAX`](crate::URL_BYTES_MAX).
    #[error("longer than {} bytes", crate::URL_BYTES_MAX)]
    TooLong,
    /// Not http, https, ftp, ws or wss.
    #[error("not a web address: another scheme")]
    UnsupportedScheme,
    /// There is no host where one must be.
    #[error("no host")]
    NoHost,
    /// A host holds `/ \ ? @ : [ ]`, written or escaped.
    #[error("a character that cannot be in a host")]
    HostCharacter,
    /// The canonical host is longer than [`HOST_BYTES_MAX`](crate::HOST_BYTES_MAX).
    #[error("host longer than {} bytes", crate::HOST_BYTES_MAX)]
    HostTooLong,
    /// What follows the colon is no number of at most 65535.
    #[error("malformed port")]
    Port,
    /// The host ends in a number and is no IPv4 address, or an IPv4 address is malformed.
    #[error("malformed IPv4 address")]
    Ipv4,
    /// Malformed, or brackets that do not match.
    #[error("malformed IPv6 address")]
    Ipv6,
    /// `fe80::1%eth0`: an interface of the asker is part of the address.
    #[error("IPv6 address with a zone")]
    ZoneId,
    /// UTS 46 refuses the name.
    #[error("not an internationalised domain name")]
    Idna,
    /// A binary key has not the length of its kind.
    #[error("wrong length for this kind of key")]
    WrongLength,
    /// Text of a digest that is not 64, 40 or 32 hexadecimal digits.
    #[error("not a SHA-256, SHA-1 or MD5 in hexadecimal")]
    Digest,
    /// A prefix length that is no number or does not fit the address.
    #[error("malformed prefix length")]
    PrefixLength,
}

impl Unparseable {
    /// Every reason, in the order of its value.
    pub const ALL: [Self; 14] = [
        Self::Empty,
        Self::TooLong,
        Self::UnsupportedScheme,
        Self::NoHost,
        Self::HostCharacter,
        Self::HostTooLong,
        Self::Port,
        Self::Ipv4,
        Self::Ipv6,
        Self::ZoneId,
        Self::Idna,
        Self::WrongLength,
        Self::Digest,
        Self::PrefixLength,
    ];

    /// A short name for metrics and reports: `unsupported_scheme`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::UnsupportedScheme => "unsupported_scheme",
            Self::NoHost => "no_host",
            Self::HostCharacter => "host_character",
            Self::HostTooLong => "host_too_long",
            Self::Port => "port",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::ZoneId => "zone_id",
            Self::Idna => "idna",
            Self::WrongLength => "wrong_length",
            Self::Digest => "digest",
            Self::PrefixLength => "prefix_length",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_reasons_are_listed_in_order_with_names_of_their_own() {
        for (index, reason) in Unparseable::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            assert!(Unparseable::ALL.iter().filter(|other| other.name() == reason.name()).count() == 1);
        }
    }
}
