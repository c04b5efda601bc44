//! Hosts: unescape, IDNA, dots, then the IP check, then escape. The order is the point.
//!
//! ```text
//! EX%41MPLE。Com.   unescape → EXAMPLE。Com.   IDNA → example.com.   dots → example.com
//! １２７．１           IDNA → 127.1   IP check → 127.0.0.1
//! ```
//! IDNA comes before the IP check, or full-width digits would make an address that nobody looks up.
//! Text that IDNA refuses is refused. Two things it would refuse are kept and escaped, as Safe Browsing's vectors
//! want it: ASCII that browsers forbid in hosts (space, controls, `<`), and bytes that are no UTF-8. Characters that would be
//! structure when read again (`/ \ ? @ : [ ]`) are refused always.

use super::percent::{is_plain, push_escaped, unescape};
use super::{ipv4, ipv6};
use crate::{HOST_BYTES_MAX, Unparseable};
use idna::AsciiDenyList;
use std::io::Write;
use std::net::IpAddr;

/// Writes the canonical text of `raw` (brackets included, no port) to `out`, which must be empty, and tells the address it is.
pub(super) fn push_host(raw: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<Option<IpAddr>, Unparseable> {
    debug_assert!(out.is_empty());
    if let [b'[', inner @ .., b']'] = raw {
        return Ok(Some(push_address(ipv6::parse(inner)?, out)));
    }
    scratch.clear();
    scratch.extend_from_slice(raw);
    unescape(scratch);
    fold_case(scratch)?;
    fold_dots(scratch);
    if scratch.is_empty() {
        return Err(Unparseable::NoHost);
    }
    if scratch.iter().any(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'@' | b':' | b'[' | b']')) {
        return Err(Unparseable::HostCharacter);
    }
    if let Some(address) = address(scratch)? {
        return Ok(Some(push_address(address, out)));
    }
    for &byte in scratch.iter() {
        if is_plain(byte) {
            out.push(byte);
        } else {
            push_escaped(out, byte);
        }
    }
    if out.len() > HOST_BYTES_MAX { Err(Unparseable::HostTooLong) } else { Ok(None) }
}

/// As expressions spell it: `192.0.2.1`, `[2001:db8::1]`.
fn push_address(address: IpAddr, out: &mut Vec<u8>) -> IpAddr {
    // Writing to a vector cannot fail.
    let _ = match address {
        IpAddr::V4(v4) => write!(out, "{v4}"),
        IpAddr::V6(v6) => write!(out, "[{v6}]"),
    };
    address
}

/// Punycode is quadratic: 900 ideographs of one label cost half a millisecond, a whole URL of them three times that. A name that DNS can hold
/// has 253 bytes once it is ASCII; four times that leaves room for what IDNA drops and composes.
const IDNA_BYTES_MAX: usize = 1024;

/// Lower-case ASCII; for anything else UTS 46, non-transitional, as browsers configure it. ASCII is never sent through IDNA: `xn--` labels are
/// taken as they stand, as the URL standard does since 2023. The IDNA call is the one place on the whole way that may allocate.
fn fold_case(host: &mut Vec<u8>) -> Result<(), Unparseable> {
    if host.is_ascii() || std::str::from_utf8(host).is_err() {
        host.make_ascii_lowercase();
        return Ok(());
    }
    if host.len() > IDNA_BYTES_MAX {
        return Err(Unparseable::HostTooLong);
    }
    let ascii = idna::domain_to_ascii_cow(host, AsciiDenyList::URL).map_err(|_| Unparseable::Idna)?.into_owned();
    host.clear();
    host.extend_from_slice(ascii.as_bytes());
    Ok(())
}

/// Strips leading and trailing dots, collapses runs.
fn fold_dots(host: &mut Vec<u8>) {
    let mut after_dot = true;
    host.retain(|&byte| {
        let keep = byte != b'.' || !after_dot;
        after_dot = byte == b'.';
        keep
    });
    if host.last() == Some(&b'.') {
        host.pop();
    }
}

/// A host that ends in a number is an address or it is refused, as in browsers.
fn address(host: &[u8]) -> Result<Option<IpAddr>, Unparseable> {
    let host = ipv4::before_space(host).unwrap_or(host);
    if !ipv4::ends_in_number(host) {
        return Ok(None);
    }
    ipv4::parse(host).map(|v4| Some(IpAddr::V4(v4))).ok_or(Unparseable::Ipv4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: impl AsRef<[u8]>, want: Result<&str, Unparseable>) {
        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        let got = push_host(raw.as_ref(), &mut scratch, &mut out);
        let got = got.map(|_| String::from_utf8_lossy(&out).into_owned());
        assert_eq!(got, want.map(str::to_owned), "{}", String::from_utf8_lossy(raw.as_ref()));
    }

    #[test]
    fn case_and_dots_fold() {
        check("www.GOOgle.com", Ok("www.google.com"));
        check("www.google.com...", Ok("www.google.com"));
        check("..google...com", Ok("google.com"));
        check("...", Err(Unparseable::NoHost));
        check("a_b.-x-.example", Ok("a_b.-x-.example"));
    }

    #[test]
    fn percent_encoded_hosts_are_decoded_before_anything_else() {
        check("%31%36%38%2e%31%38%38%2e%39%39%2e%32%36", Ok("168.188.99.26"));
        check("%e2%98%83.example", Ok("xn--n3h.example"));
        check("ex%2541mple.com", Ok("example.com"));
    }

    #[test]
    fn idna_is_non_transitional() {
        check("faß.ExAmPlE", Ok("xn--fa-hia.example"));
        check("www.ümlat.com", Ok("www.xn--mlat-zra.com"));
        check("a\u{AD}b.example", Ok("ab.example"));
        check("\u{AD}", Err(Unparseable::NoHost));
    }

    #[test]
    fn what_idna_refuses_is_refused() {
        check("\u{FFFD}.com", Err(Unparseable::Idna));
        check("xn--a.ß", Err(Unparseable::Idna));
        check("a\u{2100}b.com", Err(Unparseable::Idna)); // folds to a/c
        check("a：80", Err(Unparseable::Idna)); // a full-width colon
    }

    #[test]
    fn ascii_that_browsers_forbid_and_bytes_that_are_no_text_are_escaped() {
        check(b"\x01\x80.com", Ok("%01%80.com"));
        check(" leadingspace.com", Ok("%20leadingspace.com"));
        check("some%1bhost.com", Ok("some%1Bhost.com"));
        check("W!eird<>Ho$^.com", Ok("w!eird<>ho$^.com"));
        check("host%23.com", Ok("host%23.com"));
    }

    #[test]
    fn structure_inside_a_host_is_refused() {
        for host in ["a%2Fb", "a%5Cb", "a%3Fb", "a%40b", "a%3A80", "%5B::1%5D", "a]"] {
            check(host, Err(Unparseable::HostCharacter));
        }
    }

    #[test]
    fn hosts_longer_than_dns_allows_are_refused() {
        let label = "a".repeat(63);
        check(format!("{label}.{label}.{label}.{}", "a".repeat(61)), Ok(&format!("{label}.{label}.{label}.{}", "a".repeat(61))));
        check(format!("{label}.{label}.{label}.{}", "a".repeat(62)), Err(Unparseable::HostTooLong));
        check(format!("e{}.example", "\u{AD}".repeat(500)), Ok("e.example"));
        check(format!("e{}.example", "\u{AD}".repeat(508)), Err(Unparseable::HostTooLong));
    }
}
