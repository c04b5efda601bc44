//! Address prefixes of rules: `192.0.2.0/24`, `2001:db8::/32`, or one address.

use crate::{Unparseable, fold_ipv6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses. Bits below the prefix are zero; mapped and NAT64 IPv6 are IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    /// First address of the block.
    pub network: IpAddr,
    /// 0..=32 or 0..=128.
    pub bits: u8,
}

impl Prefix {
    /// Strictly written: four decimal parts or RFC 4291 text, then `/` and a decimal length, or an address alone. Host bits are masked;
    /// the flag tells whether any were set (a feed's mistake worth a note).
    pub fn parse(text: &str) -> Result<(Self, bool), Unparseable> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(parse_bits(bits)?)),
            None => (text, None),
        };
        let address = parse_address(address)?;
        Self::new(address, bits.unwrap_or(if address.is_ipv4() { 32 } else { 128 })).ok_or(Unparseable::PrefixLength)
    }

    /// Masks host bits and tells whether any were set. `None` where `bits` does not fit the address.
    pub fn new(address: IpAddr, bits: u8) -> Option<(Self, bool)> {
        let network = match address {
            IpAddr::V4(v4) if bits <= 32 => {
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)))
            }
            IpAddr::V6(v6) if bits <= 128 => {
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)))
            }
            _ => return None,
        };
        let is_masked = network != address;
        Some((Self { network, bits }.folded(), is_masked))
    }

    /// Whether `address`, itself folded, is inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::new(address, self.bits).is_some_and(|(prefix, _)| prefix == *self)
    }

    /// `::ffff:192.0.2.0/120` is 192.0.2.0/24: a lookup of a mapped address asks for IPv4.
    fn folded(self) -> Self {
        match self.network {
            IpAddr::V6(v6) if self.bits >= 96 => match fold_ipv6(v6) {
                network @ IpAddr::V4(_) => Self { network, bits: self.bits - 96 },
                IpAddr::V6(_) => self,
            },
            _ => self,
        }
    }
}

/// `192.0.2.0/24`.
impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

fn parse_bits(text: &str) -> Result<u8, Unparseable> {
    let is_number = matches!(text.len(), 1..=3) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().map_err(|_| Unparseable::PrefixLength) } else { Err(Unparseable::PrefixLength) }
}

/// Not yet folded: the length counts the bits of the address as written.
fn parse_address(text: &str) -> Result<IpAddr, Unparseable> {
    let is_ipv6 = text.contains(':');
    if is_ipv6 && text.contains('%') {
        return Err(Unparseable::ZoneId);
    }
    text.parse().map_err(|_| if is_ipv6 { Unparseable::Ipv6 } else { Unparseable::Ipv4 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Result<(&str, bool), Unparseable>) {
        let got = Prefix::parse(text).map(|(prefix, masked)| (prefix.to_string(), masked));
        assert_eq!(got, want.map(|(prefix, masked)| (prefix.to_owned(), masked)), "{text}");
    }

    #[test]
    fn host_bits_are_masked_and_said_to_be() {
        check("192.0.2.0/24", Ok(("192.0.2.0/24", false)));
        check("192.0.2.77/24", Ok(("192.0.2.0/24", true)));
        check("192.0.2.77", Ok(("192.0.2.77/32", false)));
        check("255.255.255.255/0", Ok(("0.0.0.0/0", true)));
        check("2001:db8::1/32", Ok(("2001:db8::/32", true)));
        check("::/0", Ok(("::/0", false)));
    }

    #[test]
    fn mapped_and_nat64_prefixes_are_ipv4() {
        check("::ffff:192.0.2.0/120", Ok(("192.0.2.0/24", false)));
        check("64:ff9b::/96", Ok(("0.0.0.0/0", false)));
        check("::ffff:0:0/95", Ok(("::fffe:0:0/95", true)));
    }

    #[test]
    fn malformed_prefixes_are_refused() {
        for text in
            ["192.0.2.0/33", "2001:db8::/129", "192.0.2.0/", "192.0.2.0/+8", "192.0.2.0/24/1", "192.0.2.0/256", "192.0.2.0/255.255.255.0"]
        {
            check(text, Err(Unparseable::PrefixLength));
        }
        check("192.0.2/24", Err(Unparseable::Ipv4));
        check("192.0.02.0/24", Err(Unparseable::Ipv4));
        check("2001:db8::x/32", Err(Unparseable::Ipv6));
        check("fe80::1%eth0/64", Err(Unparseable::ZoneId));
    }

    #[test]
    fn a_prefix_contains_its_addresses_and_no_others() {
        let (prefix, _) = Prefix::parse("192.0.2.0/24").expect("a prefix");
        assert!(prefix.contains(IpAddr::from([192, 0, 2, 200])));
        assert!(!prefix.contains(IpAddr::from([192, 0, 3, 0])));
        assert!(!prefix.contains("::1".parse().expect("an address")));
    }
}
