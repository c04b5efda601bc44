//! Refuses what would list far more than anyone means: the rules a poisoned or broken feed brings.
//!
//! Google, 31 January 2009: one `/` in a list of harmful sites, and for forty minutes every site of the web was harmful.
//! These checks look at one rule and need no data; the gates over whole feeds come on top of them.

use crate::reason::Reason;
use crate::suffixes::{Owner, Suffixes};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use verdict_keys::Digest;

/// The widest IPv4 prefix that a feed may list.
pub const IPV4_BITS_MIN: u8 = 8;
/// The widest IPv6 prefix that a feed may list.
pub const IPV6_BITS_MIN: u8 = 16;

/// What a rule says of a name, and how far it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A page of the host: a URL rule.
    Page,
    /// The host itself and no other.
    Host,
    /// The host and all names below it.
    Tree,
}

/// Private and link-local IPv4 networks (RFC 1918, RFC 3927).
const PRIVATE_V4: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
];

/// Where IPv6 holds all of IPv4: mapped (RFC 4291) and NAT64 (RFC 6052). Questions there are IPv4 questions.
const EMBEDDED_V4: [(Ipv6Addr, u8); 2] =
    [(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96), (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96)];

/// Private and link-local IPv6 networks (RFC 4193, RFC 4291).
const PRIVATE_V6: [(Ipv6Addr, u8); 2] = [(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7), (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)];

/// The canonical name of a host or URL rule. A URL rule is for one page only, but pages of nobody in particular are refused alike:
/// one-label names are another machine at every site, `https://a.example,0,x` is a row of three columns.
///
/// | name | a page | the host alone | with names below |
/// |---|---|---|---|
/// | `co.uk`, a registry's suffix | refused | refused | refused |
/// | `github.io`, a company's suffix | kept: buckets and profile pages live there | kept: it is one site | refused |
/// | `kawasaki.jp`, all names below which are suffixes | kept | kept | refused |
///
/// Allow rules are held to the same: an allow rule for all of `github.io` would let every attacker there pass.
pub fn host(name: &str, named: Named, suffixes: &Suffixes) -> Result<(), Reason> {
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return Err(Reason::HostCharacter);
    }
    if !name.contains('.') {
        return Err(Reason::SingleLabel);
    }
    let covers_strangers = match suffixes.owner(name) {
        Some(Owner::Registry) => true,
        Some(Owner::Company) => named == Named::Tree,
        None => named == Named::Tree && suffixes.all_below(name),
    };
    if covers_strangers { Err(Reason::PublicSuffix) } else { Ok(()) }
}

/// An address prefix with clear host bits. An allow rule may name private and loopback space: that is what it is for.
pub fn prefix(network: IpAddr, bits: u8, allow: bool) -> Result<(), Reason> {
    let (min, over_all_v4) = match network {
        IpAddr::V4(_) => (IPV4_BITS_MIN, false),
        IpAddr::V6(_) => {
            (IPV6_BITS_MIN, bits < 96 && EMBEDDED_V4.iter().any(|&(other, width)| overlaps(network, bits, other.into(), width)))
        }
    };
    if bits < min || over_all_v4 {
        return Err(Reason::PrefixTooWide);
    }
    let touches = |other: IpAddr, other_bits: u8| overlaps(network, bits, other, other_bits);
    if touches(Ipv4Addr::UNSPECIFIED.into(), 8) || touches(Ipv6Addr::UNSPECIFIED.into(), 128) {
        return Err(Reason::UnspecifiedAddress);
    }
    if allow {
        return Ok(());
    }
    if touches(Ipv4Addr::new(127, 0, 0, 0).into(), 8) || touches(Ipv6Addr::LOCALHOST.into(), 128) {
        return Err(Reason::LoopbackAddress);
    }
    let private = PRIVATE_V4.iter().any(|&(other, bits)| touches(other.into(), bits))
        || PRIVATE_V6.iter().any(|&(other, bits)| touches(other.into(), bits));
    if private { Err(Reason::PrivateAddress) } else { Ok(()) }
}

/// A digest that is nobody's file, or everybody's.
pub fn digest(digest: &Digest) -> Result<(), Reason> {
    let bytes: &[u8] = match digest {
        Digest::Sha256(bytes) => bytes,
        Digest::Sha1(bytes) => bytes,
        Digest::Md5(bytes) => bytes,
    };
    if bytes.iter().all(|byte| *byte == bytes[0]) {
        return Err(Reason::TrivialDigest);
    }
    if EMPTY_FILE.contains(digest) { Err(Reason::EmptyFile) } else { Ok(()) }
}

/// Of zero bytes.
const EMPTY_FILE: [Digest; 3] = [
    Digest::Sha256([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
        0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]),
    Digest::Sha1([0xda, 0x39, 0xa3, 0xee, 0x5e, 0x6b, 0x4b, 0x0d, 0x32, 0x55, 0xbf, 0xef, 0x95, 0x60, 0x18, 0x90, 0xaf, 0xd8, 0x07, 0x09]),
    Digest::Md5([0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0x00, 0xb2, 0x04, 0xe9, 0x80, 0x09, 0x98, 0xec, 0xf8, 0x42, 0x7e]),
];

/// Is one of the two prefixes inside the other?
fn overlaps(one: IpAddr, one_bits: u8, other: IpAddr, other_bits: u8) -> bool {
    let common = one_bits.min(other_bits);
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            top_bits(u128::from(one.to_bits()) << 96, common) == top_bits(u128::from(other.to_bits()) << 96, common)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => top_bits(one.to_bits(), common) == top_bits(other.to_bits(), common),
        _ => false,
    }
}

/// The first `bits` bits of an address that stands at the top of 128 bits.
fn top_bits(address: u128, bits: u8) -> u128 {
    if bits == 0 { 0 } else { address & (u128::MAX << (128 - u32::from(bits))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, allow: bool, expected: Result<(), Reason>) {
        let (address, bits) = text.split_once('/').unwrap();
        assert_eq!(prefix(address.parse().unwrap(), bits.parse().unwrap(), allow), expected, "{text}");
    }

    #[test]
    fn refuses_wide_prefixes() {
        for text in [
            "0.0.0.0/0",
            "0.0.0.0/7",
            "128.0.0.0/1",
            "224.0.0.0/3",
            "198.0.0.0/7",
            "::/0",
            "2000::/3",
            "2000::/15",
            "::/16",
            "::ffff:0:0/95",
            "::/64",
        ] {
            check(text, false, Err(Reason::PrefixTooWide));
            check(text, true, Err(Reason::PrefixTooWide));
        }
        for text in ["198.0.0.0/8", "2001::/16", "2001:db8::/32", "198.51.100.7/32", "2001:db8::1/128"] {
            check(text, false, Ok(()));
        }
    }

    #[test]
    fn refuses_everybodys_addresses() {
        check("0.0.0.0/8", true, Err(Reason::UnspecifiedAddress));
        check("0.1.2.3/32", false, Err(Reason::UnspecifiedAddress));
        check("::/128", false, Err(Reason::UnspecifiedAddress));
        check("127.0.0.1/32", false, Err(Reason::LoopbackAddress));
        check("127.0.0.0/8", false, Err(Reason::LoopbackAddress));
        check("::1/128", false, Err(Reason::LoopbackAddress));
        for text in [
            "10.0.0.0/8",
            "10.1.2.3/32",
            "172.16.0.0/12",
            "172.0.0.0/8",
            "192.168.1.1/32",
            "192.0.0.0/8",
            "169.254.1.1/32",
            "fc00::/16",
            "fd12::/48",
            "fe80::1/128",
        ] {
            check(text, false, Err(Reason::PrivateAddress));
            check(text, true, Ok(()));
        }
        check("172.32.0.0/12", false, Ok(()));
        check("11.0.0.0/8", false, Ok(()));
    }

    #[test]
    fn refuses_hosts_that_are_no_ones() {
        let host = |name| host(name, Named::Page, Suffixes::compiled_in());
        for name in ["com", "localhost", "test", "xn--p1ai"] {
            assert_eq!(host(name), Err(Reason::SingleLabel));
        }
        for name in ["a.example,0,x", "a.example;x", "%01.example", "\"a.example"] {
            assert_eq!(host(name), Err(Reason::HostCharacter));
        }
    }

    #[test]
    fn refuses_rules_that_reach_strangers_and_no_others() {
        let check = |name, refused: [Named; 3], how_many: usize| {
            for (index, named) in refused.into_iter().enumerate() {
                let expected = if index < how_many { Err(Reason::PublicSuffix) } else { Ok(()) };
                assert_eq!(host(name, named, Suffixes::compiled_in()), expected, "{name} {named:?}");
            }
        };
        let widest_first = [Named::Tree, Named::Host, Named::Page];
        for name in ["co.uk", "com.au", "or.jp", "net.cn", "any.ck", "xn--55qx5d.cn"] {
            check(name, widest_first, 3);
        }
        for name in ["github.io", "blogspot.com", "duckdns.org", "s3.amazonaws.com", "kawasaki.jp"] {
            check(name, widest_first, 1);
        }
        for name in ["example.test", "a.co.uk", "co.example", "example.uk", "web.de", "www.ck", "a.github.io", "city.kawasaki.jp"] {
            check(name, widest_first, 0);
        }
    }

    #[test]
    fn refuses_digests_that_are_no_ones() {
        for empty in EMPTY_FILE {
            assert_eq!(digest(&empty), Err(Reason::EmptyFile));
        }
        assert_eq!(digest(&Digest::Md5([0; 16])), Err(Reason::TrivialDigest));
        assert_eq!(digest(&Digest::Sha1([0xff; 20])), Err(Reason::TrivialDigest));
        let mut one = [0; 32];
        one[31] = 1;
        assert_eq!(digest(&Digest::Sha256(one)), Ok(()));
    }
}
