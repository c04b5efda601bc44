//! Who asks, as far as it was shown, and what it may.
//!
//! ```text
//!  Unix socket  the kernel says user and group (SO_PEERCRED)  ┐
//!  mTLS         the names of the client's certificate         ├─► [[clients]] ─► May
//!  TLS, TCP     nothing: whoever reaches the port             ┘
//! ```
//! A PROXY header says on whose behalf a connection was opened. That is an address to look at, never a permission.

use super::config::{ClientConfig, may_of};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use webpki::EndEntityCert;

/// Something that a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Ask for verdicts.
    Lookup,
    /// Ask why.
    Explain,
    /// Everything that the admin listener shows.
    Admin,
}

/// A set of permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct May(u8);

impl May {
    /// To be connected, and told no.
    pub const NOTHING: May = May(0);
    /// What everybody may where nobody is named: look up and explain.
    pub const ASK: May = May(1 << Permission::Lookup as u8 | 1 << Permission::Explain as u8);
    /// Of the daemon's own user.
    pub const ALL: May = May(0xFF);

    /// All of these.
    pub fn of(permissions: &[Permission]) -> Self {
        May(permissions.iter().fold(0, |all, one| all | 1 << *one as u8))
    }

    /// Whether it is among them.
    pub fn has(self, permission: Permission) -> bool {
        self.0 & 1 << permission as u8 != 0
    }
}

/// Who is at the other end of a connection of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What it may.
    pub may: May,
    /// The address on whose behalf it connected: a PROXY header's, else its own. `None` on a plain listener, where nobody looked, and on Unix sockets.
    pub source: Option<IpAddr>,
}

impl Peer {
    /// Whoever reached a plain listener.
    pub const ANYBODY: Peer = Peer { may: May::ASK, source: None };
}

/// What a process at the other end of a Unix socket may, and as whom.
pub fn of_user(clients: &[ClientConfig], uid: u32, gid: u32) -> (May, Option<&str>) {
    let by_user = |client: &ClientConfig| client.uid.is_some() || client.gid.is_some();
    let is = |client: &ClientConfig| by_user(client) && client.uid.is_none_or(|own| own == uid) && client.gid.is_none_or(|own| own == gid);
    may_of(clients, is, by_user)
}

/// What the owner of a certificate may, and as whom. The certificate was verified.
pub fn of_certificate<'a>(clients: &'a [ClientConfig], certificate: &CertificateDer<'_>) -> (May, Option<&'a str>) {
    let by_certificate = |client: &ClientConfig| !client.certificate.is_empty();
    let Ok(read) = EndEntityCert::try_from(certificate) else { return (May::NOTHING, None) };
    let named = read.valid_dns_names().chain(read.valid_uri_names()).next().is_some();
    let common = if named { None } else { common_name(read.subject()) };
    let is = |client: &ClientConfig| {
        let own = client.certificate.as_str();
        by_certificate(client) && (read.valid_dns_names().chain(read.valid_uri_names()).any(|name| name == own) || common == Some(own))
    };
    may_of(clients, is, by_certificate)
}

/// The last common name of a subject, which is the most particular one; DER without its outermost head.
fn common_name(subject: &[u8]) -> Option<&str> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    const TEXTS: [u8; 3] = [0x0C, 0x13, 0x16]; // UTF-8, printable, IA5
    let mut found = None;
    let mut sets = subject;
    while let Some((0x31, mut set, rest)) = element(sets) {
        sets = rest;
        while let Some((0x30, pair, rest)) = element(set) {
            set = rest;
            if let Some((0x06, COMMON_NAME, value)) = element(pair)
                && let Some((kind, text, [])) = element(value)
                && TEXTS.contains(&kind)
            {
                found = std::str::from_utf8(text).ok();
            }
        }
    }
    found
}

/// The first element of some DER: tag, contents, what follows.
pub(super) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, short], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match short {
        0..=0x7F => (usize::from(short), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?)), rest.get(2..)?),
        _ => return None,
    };
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str, uid: Option<u32>, gid: Option<u32>, may: &[Permission]) -> ClientConfig {
        ClientConfig { name: name.into(), certificate: String::new(), uid, gid, may: may.to_vec() }
    }

    #[test]
    fn who_is_named_may_what_stands_there_and_who_is_not_may_nothing() {
        let clients = [client("one", Some(7), None, &[Permission::Lookup]), client("group", None, Some(9), &[Permission::Explain])];
        assert_eq!(of_user(&clients, 7, 9), (May::of(&[Permission::Lookup]), Some("one")));
        assert_eq!(of_user(&clients, 8, 9), (May::of(&[Permission::Explain]), Some("group")));
        assert_eq!(of_user(&clients, 8, 8), (May::NOTHING, None));
        assert_eq!(of_user(&[], 8, 8), (May::ASK, None));
        let both = [client("both", Some(7), Some(9), &[Permission::Lookup])];
        assert_eq!(of_user(&both, 7, 8), (May::NOTHING, None), "user and group must both be right");
    }

    #[test]
    fn who_is_named_by_certificate_says_nothing_of_users() {
        let clients = [ClientConfig { certificate: "a.test".into(), ..client("a", None, None, &[Permission::Admin]) }];
        assert_eq!(of_user(&clients, 0, 0), (May::ASK, None));
    }

    #[test]
    fn the_common_name_is_found_among_others() {
        // C=XX, CN=first, CN=second
        let subject = b"\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02XX\x31\x0e\x30\x0c\x06\x03\x55\x04\x03\x0c\x05first\x31\x0f\x30\x0d\x06\x03\x55\x04\x03\x13\x06second";
        assert_eq!(common_name(subject), Some("second"));
        for end in 0..subject.len() {
            let _ = common_name(&subject[..end]); // cut anywhere, nothing panics
        }
    }

    #[test]
    fn damaged_der_is_no_element() {
        for der in [&b""[..], b"\x30", b"\x30\x05\x00", b"\x30\x80\x00\x00", b"\x30\x81", b"\x30\x82\x01", b"\x30\x84\x00\x00\x00\x01\x00"]
        {
            assert_eq!(element(der), None, "{der:?}");
        }
    }
}
