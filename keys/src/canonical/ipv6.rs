//! IPv6: any spelling in, one address out; what is IPv4 in disguise becomes IPv4.
//!
//! `::ffff:a.b.c.d` (mapped) and `64:ff9b::a.b.c.d` (NAT64, RFC 6052) reach the host a.b.c.d, so they ask for it. Other embeddings
//! (6to4, Teredo, the long dead `::a.b.c.d`) are addresses of their own. The text is RFC 5952's shortest form.

use crate::Unparseable;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What stands between the brackets. A zone (`fe80::1%eth0`) names an interface of the asker and is refused.
pub(super) fn parse(text: &[u8]) -> Result<IpAddr, Unparseable> {
    if text.contains(&b'%') {
        return Err(Unparseable::ZoneId);
    }
    let text = std::str::from_utf8(text).map_err(|_| Unparseable::Ipv6)?;
    text.parse().map(fold).map_err(|_| Unparseable::Ipv6)
}

/// Mapped and NAT64 addresses are IPv4.
pub fn fold(address: Ipv6Addr) -> IpAddr {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xFFFF, high, low] | [0x64, 0xFF9B, 0, 0, 0, 0, high, low] => {
            IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => IpAddr::V6(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Result<&str, Unparseable>) {
        assert_eq!(parse(text.as_bytes()).map(|address| address.to_string()), want.map(str::to_owned), "{text}");
    }

    #[test]
    fn the_shortest_form_of_rfc_5952_is_written() {
        check("2001:0DB8:0:0:0:0:0:1", Ok("2001:db8::1"));
        check("2001:db8:0:1:0:0:0:1", Ok("2001:db8:0:1::1"));
        check("2001:db8:1:1:1:1:0:1", Ok("2001:db8:1:1:1:1:0:1"));
        check("1:0:0:2:0:0:3:4", Ok("1::2:0:0:3:4"));
        check("::192.9.5.5", Ok("::c009:505"));
    }

    #[test]
    fn mapped_and_nat64_addresses_are_ipv4() {
        check("::ffff:1.2.3.4", Ok("1.2.3.4"));
        check("0:0:0:0:0:FFFF:0102:0304", Ok("1.2.3.4"));
        check("64:ff9b::1.2.3.4", Ok("1.2.3.4"));
        check("64:ff9b:1::1.2.3.4", Ok("64:ff9b:1::102:304"));
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "",
            "1",
            "0::0::0",
            "0:.0",
            "0:0:",
            "0:1:2:3:4:5:6:7.0.0.0.1",
            "0:1.00.0.0.0",
            "::1.2.3.256",
            "::12345",
            "www.example.com",
            "::127.0.0.0.1",
        ] {
            check(text, Err(Unparseable::Ipv6));
        }
        check("fe80::1%25eth0", Err(Unparseable::ZoneId));
    }
}
