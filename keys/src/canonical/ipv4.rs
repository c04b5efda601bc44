//! IPv4 in any spelling that resolvers and browsers take: 1 to 4 parts, each decimal, octal (`0…`) or hexadecimal (`0x…`).
//!
//! The last part fills the bytes that are left: `192.168.1` is 192.168.0.1, `3279880203` is 195.127.0.11. Runs after IDNA, so that
//! full-width digits and ideographic dots are ordinary by now.
//! A part too large for its place is refused, as browsers and resolvers of today refuse it: Safe Browsing masks it (`276.2.3` is 20.2.0.3), and would
//! answer for an address that nobody reaches by that spelling.

use std::net::Ipv4Addr;

/// WHATWG "ends in a number": such a host is an IPv4 address or nothing, never a name. `host` has no trailing dot.
pub(super) fn ends_in_number(host: &[u8]) -> bool {
    let last = host.rsplit(|&byte| byte == b'.').next().unwrap_or(host);
    match last {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        digits => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
    }
}

/// The address, or `None` where a part is no number or too large for its place, or there are more than four.
pub(super) fn parse(host: &[u8]) -> Option<Ipv4Addr> {
    let count = host.split(|&byte| byte == b'.').count();
    if count > 4 {
        return None;
    }
    let mut address = 0u32;
    for (index, part) in host.split(|&byte| byte == b'.').enumerate() {
        let value = number(part)?;
        let (max, shift) = if index + 1 < count { (0xFF, 24 - 8 * index) } else { (u32::MAX >> (8 * index), 0) };
        if value > max {
            return None;
        }
        address |= value << shift;
    }
    Some(Ipv4Addr::from_bits(address))
}

/// `10.192.95.89 xy`: the Windows resolver took four parts, a space and any rubbish, up to 15 bytes. The part before the space.
pub(super) fn before_space(host: &[u8]) -> Option<&[u8]> {
    if host.len() > 15 {
        return None;
    }
    let (address, _) = host.split_at(host.iter().position(|&byte| byte == b' ')?);
    let mut parts = address.split(|&byte| byte == b'.');
    let are_decimal = parts.by_ref().all(|part| matches!(part.len(), 1..=3) && part.iter().all(u8::is_ascii_digit));
    (are_decimal && address.iter().filter(|&&byte| byte == b'.').count() == 3).then_some(address)
}

/// `0x` alone is zero, as in browsers.
fn number(part: &[u8]) -> Option<u32> {
    let (digits, radix) = match part {
        [] => return None,
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        [b'0', digits @ ..] => (digits, 8),
        digits => (digits, 10),
    };
    let mut value = 0u32;
    for &digit in digits {
        let digit = char::from(digit).to_digit(radix)?;
        value = value.checked_mul(radix)?.checked_add(digit)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, want: Option<&str>) {
        assert_eq!(parse(host.as_bytes()).map(|address| address.to_string()).as_deref(), want, "{host}");
    }

    #[test]
    fn every_spelling_of_an_address_is_one_address() {
        check("255.0.0.1", Some("255.0.0.1"));
        check("12.0x12.01234", Some("12.18.2.156"));
        check("012.034.01.055", Some("10.28.1.45"));
        check("0x12.0x43.0x44.0x01", Some("18.67.68.1"));
        check("167838211", Some("10.1.2.3"));
        check("3279880203", Some("195.127.0.11"));
        check("4294967295", Some("255.255.255.255"));
        check("0x.0x.0", Some("0.0.0.0"));
        check("0000000000000000000000000000000000000000177.0.0.1", Some("127.0.0.1"));
    }

    #[test]
    fn a_part_too_large_for_its_place_is_refused() {
        for host in ["276.2.3", "256.0.0.1", "1.2.3.256", "1.2.65536", "1.16777216", "0x100.1.1.1", "1.0400.1.1"] {
            check(host, None);
        }
        check("1.2.65535", Some("1.2.255.255"));
        check("1.16777215", Some("1.255.255.255"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for host in ["123.123.0.0.1", "1.2.3.00x0", "1.2.3.08", "0x100000000", "4294967296", "1..2", "a.1"] {
            check(host, None);
        }
    }

    #[test]
    fn a_number_at_the_end_is_recognised_even_where_it_is_no_address() {
        for host in ["1.2.3.4", "foo.09", "foo.0x4", "foo.0x", "1.2.3.08", "x.0XFfFfFfFfFfFfFfFfFfAcE123"] {
            assert!(ends_in_number(host.as_bytes()), "{host}");
        }
        for host in ["1.2.3.00x0", "0x7f.0.0.0x7g", "example.com", "1.2.3.4a"] {
            assert!(!ends_in_number(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn rubbish_after_a_space_is_dropped_up_to_fifteen_bytes() {
        assert_eq!(before_space(b"10.192.95.89 xy"), Some(&b"10.192.95.89"[..]));
        assert_eq!(before_space(b"10.192.95.89 xyz"), None);
        assert_eq!(before_space(b"10.192.95 xy"), None);
        assert_eq!(before_space(b"name xy"), None);
    }
}
