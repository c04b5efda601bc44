//! What a question or a rule is about.

/// What a question or a rule is about. Values are those of the wire protocol.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Text of a URL, as found.
    Url = 1,
    /// Text of a host name or address.
    Host = 2,
    /// 4 bytes, network order.
    Ipv4 = 3,
    /// 16 bytes, network order.
    Ipv6 = 4,
    /// 32 bytes.
    Sha256 = 5,
    /// 20 bytes.
    Sha1 = 6,
    /// 16 bytes.
    Md5 = 7,
}

impl Kind {
    /// Every kind, in the order of its value.
    pub const ALL: [Self; 7] = [Self::Url, Self::Host, Self::Ipv4, Self::Ipv6, Self::Sha256, Self::Sha1, Self::Md5];
}

impl TryFrom<u8> for Kind {
    type Error = u8;

    /// From the value on the wire; gives an unknown value back.
    fn try_from(value: u8) -> Result<Self, u8> {
        Self::ALL.into_iter().find(|&kind| kind as u8 == value).ok_or(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_on_the_wire_are_one_to_seven() {
        for value in 0..=255u8 {
            assert_eq!(Kind::try_from(value).map(|kind| kind as u8).ok(), (1..=7).contains(&value).then_some(value));
        }
    }
}
