//! `[proxy]`, `[tls]`, `[[clients]]`, `[admin]`: who is let in where, and what each may.
//!
//! ```toml
//! [tls]
//! certificate = "/etc/verdictd/tls.pem"          # a chain, the server's own certificate first
//! key = "/etc/verdictd/tls.key"
//! client_ca = "/etc/verdictd/clients.pem"        # certificates of clients are asked for, and must be of one of these authorities
//!
//! [proxy]
//! on = ["192.0.2.10:7700"]                       # addresses as in [listen], or tcp, http, spop, admin for all of a kind
//! from = ["192.0.2.0/28"]
//!
//! [[clients]]
//! name = "lb-1"
//! certificate = "lb-1.example.test"              # or: uid = 998, gid = 998, on Unix sockets
//! may = ["lookup", "explain"]
//! ```

use super::peer::{May, Permission};
use crate::config::Config;
use crate::edge::Protocol;
use crate::edge::http::SrcFrom;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Longer names than any certificate has.
const NAME_BYTES_MAX: usize = 255;
/// Entries of a list of peers.
const ENTRIES_MAX: usize = 1024;

/// Who may say for whom it connects, by the PROXY protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyConfig {
    /// Listeners on which every connection begins with a PROXY header, version 1 or 2: addresses as in `[listen]`, or `tcp`, `http`, `spop`, `admin`.
    /// Default none. One without a header is closed; nothing is guessed.
    pub on: Vec<String>,
    /// Networks of the load balancers, such as `192.0.2.0/28`. Whoever else connects there is closed. Default none.
    pub from: Vec<String>,
}

/// Encryption, and certificates of clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file: the server's certificate, then those between it and its authority. Default empty: no TLS.
    pub certificate: PathBuf,
    /// PEM file: its private key (ECDSA P-256 or P-384, Ed25519, RSA). Readable by the daemon alone.
    pub key: PathBuf,
    /// PEM file of authorities; a client must show a certificate of one of them. Default empty: clients show none.
    pub client_ca: PathBuf,
    /// PEM files of revocation lists of these authorities. Default none.
    pub client_crls: Vec<PathBuf>,
    /// Where TLS is spoken: addresses as in `[listen]`, or `tcp`, `http`, `spop`, `admin`. Default all four.
    pub on: Vec<String>,
}

impl Default for TlsConfig {
    fn default() -> Self {
        let on = ["tcp", "http", "spop", "admin"].map(String::from).to_vec();
        TlsConfig { certificate: PathBuf::new(), key: PathBuf::new(), client_ca: PathBuf::new(), client_crls: Vec::new(), on }
    }
}

/// Somebody who asks, and what it may. Without any, whoever gets in may look up and explain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// For people.
    pub name: String,
    /// A DNS name or URI among its certificate's alternative names; where that has none of either, its common name. Compared byte by byte.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub certificate: String,
    /// The user that connects to a Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The primary group of whoever connects to a Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Of `lookup`, `explain`, `admin`.
    pub may: Vec<Permission>,
}

/// What the admin listener shows beside health and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// File with a token of at least 16 bytes; `Authorization: Bearer TOKEN` opens everything. Read again at SIGHUP. Default empty: no token is taken.
    pub token: PathBuf,
    /// Path of a Unix socket that answers as the admin listener does; root, the daemon's own user and clients with `admin` see everything. Default none.
    pub unix: PathBuf,
    /// Permissions of that socket, octal. Default "0600".
    pub unix_mode: String,
}

impl Default for AdminConfig {
    fn default() -> Self {
        AdminConfig { token: PathBuf::new(), unix: PathBuf::new(), unix_mode: "0600".into() }
    }
}

impl AdminConfig {
    /// `unix_mode` as a number.
    ///
    /// # Errors
    /// A sentence that names the key, when it is not octal or exceeds 0777.
    pub fn unix_mode_bits(&self) -> Result<u32, String> {
        crate::config::mode_bits("admin.unix_mode", &self.unix_mode)
    }
}

/// A network of peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// `192.0.2.0/28`, `2001:db8::/32`, or an address alone.
    ///
    /// # Errors
    /// A sentence about the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no network such as 192.0.2.0/28");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
        };
        let network = Network { address, bits };
        if host_bits(address, bits) != 0 {
            return Err(format!("{text:?} has bits set behind its first {bits}: which network is meant?"));
        }
        Ok(network)
    }

    /// Whether the address lies within.
    pub fn contains(&self, address: IpAddr) -> bool {
        let within = |own: u128, other: u128, width: u32| (own ^ other).checked_shr(width - u32::from(self.bits)).unwrap_or(0) == 0;
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => within(own.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => within(own.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

/// What of an address lies behind the network's bits.
fn host_bits(address: IpAddr, bits: u8) -> u128 {
    let (value, width) = match address {
        IpAddr::V4(four) => (u128::from(four.to_bits()), 32),
        IpAddr::V6(six) => (six.to_bits(), 128),
    };
    let mask = 1u128.checked_shl(width - u32::from(bits)).map_or(u128::MAX, |one| one - 1);
    value & mask
}

/// Whether a list of listeners names this one.
pub fn names(on: &[String], protocol: Protocol, address: SocketAddr) -> bool {
    let kind = match protocol {
        Protocol::Binary => "tcp",
        Protocol::Http => "http",
        Protocol::Spop => "spop",
    };
    on.iter().any(|name| name == kind || name.parse() == Ok(address))
}

/// The same of the admin listener.
pub fn names_admin(on: &[String], address: SocketAddr) -> bool {
    on.iter().any(|name| name == "admin" || name.parse() == Ok(address))
}

impl TlsConfig {
    /// Whether there is to be any.
    pub fn wanted(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }
}

/// What is wrong with these sections, all of it.
pub fn check(config: &Config) -> Vec<String> {
    let mut wrong = Vec::new();
    check_tls(config, &mut wrong);
    check_proxy(config, &mut wrong);
    check_clients(config, &mut wrong);
    check_admin(config, &mut wrong);
    wrong
}

/// Names of listeners must name some.
fn check_names(key: &str, on: &[String], config: &Config, wrong: &mut Vec<String>) {
    for name in on.iter().filter(|name| !["tcp", "http", "spop", "admin"].contains(&name.as_str())) {
        let listens =
            |address: SocketAddr| config.listen.admin == address || config.listen.addresses().iter().any(|bound| bound.address == address);
        match name.parse() {
            Ok(address) if listens(address) => {}
            Ok(_) => wrong.push(format!("{key} names {name}, which no listener of [listen] has")),
            Err(_) => wrong.push(format!("{key}: {name:?} is neither tcp, http, spop, admin nor an address of [listen]")),
        }
    }
}

fn check_tls(config: &Config, wrong: &mut Vec<String>) {
    let tls = &config.tls;
    let is_set = |path: &PathBuf| !path.as_os_str().is_empty();
    if is_set(&tls.certificate) != is_set(&tls.key) {
        wrong.push("tls.certificate and tls.key come together: one of them is not set".into());
    }
    if !tls.wanted() && is_set(&tls.client_ca) {
        wrong.push("tls.client_ca is set, and tls.certificate is not: without TLS nobody shows a certificate".into());
    }
    if !is_set(&tls.client_ca) && !tls.client_crls.is_empty() {
        wrong.push("tls.client_crls is set, and tls.client_ca is not".into());
    }
    check_names("tls.on", &tls.on, config, wrong);
}

fn check_proxy(config: &Config, wrong: &mut Vec<String>) {
    let proxy = &config.proxy;
    wrong.extend(proxy.from.iter().filter_map(|network| Network::parse(network).err()).map(|error| format!("proxy.from: {error}")));
    if proxy.from.len() > ENTRIES_MAX {
        wrong.push(format!("proxy.from has {} networks, more than {ENTRIES_MAX}", proxy.from.len()));
    }
    match (proxy.on.is_empty(), proxy.from.is_empty()) {
        (false, true) => wrong.push("proxy.on is set, and proxy.from is not: nobody could connect there".into()),
        (true, false) => wrong.push("proxy.from is set, and proxy.on is not: on which listeners?".into()),
        _ => {}
    }
    check_names("proxy.on", &proxy.on, config, wrong);
    if config.http.src_from == SrcFrom::Connection && !config.listen.http.iter().all(|address| names(&proxy.on, Protocol::Http, *address)) {
        wrong.push("http.src_from = \"connection\" needs a PROXY header on every listener of listen.http: see proxy.on".into());
    }
}

fn check_clients(config: &Config, wrong: &mut Vec<String>) {
    if config.clients.len() > ENTRIES_MAX {
        wrong.push(format!("{} [[clients]], more than {ENTRIES_MAX}", config.clients.len()));
    }
    for (number, client) in config.clients.iter().enumerate() {
        let name = &client.name;
        let mut hold = |ok: bool, why: &str| {
            if !ok {
                wrong.push(format!("[[clients]] {} ({name:?}): {why}", number + 1));
            }
        };
        hold((1..=NAME_BYTES_MAX).contains(&name.len()), "name has 1 to 255 bytes");
        hold(client.certificate.len() <= NAME_BYTES_MAX, "certificate has at most 255 bytes");
        let ways = usize::from(!client.certificate.is_empty()) + usize::from(client.uid.is_some() || client.gid.is_some());
        hold(ways == 1, "is known by certificate, or by uid and gid: set one of the two");
        let twice = config.clients[..number].iter().any(|other| !other.certificate.is_empty() && other.certificate == client.certificate);
        hold(!twice, "has the certificate of a client above it");
        hold(
            client.certificate.is_empty() || !config.tls.client_ca.as_os_str().is_empty(),
            "is known by certificate, and tls.client_ca is not set",
        );
    }
}

fn check_admin(config: &Config, wrong: &mut Vec<String>) {
    let admin = &config.admin;
    wrong.extend(admin.unix_mode_bits().err());
    if admin.unix.as_os_str().len() > 107 - crate::listener::UNIX_SUFFIX.len() {
        wrong.push(format!("admin.unix is longer than {} bytes", 107 - crate::listener::UNIX_SUFFIX.len()));
    }
    if !admin.unix.as_os_str().is_empty() && [&config.listen.unix, &config.listen.control].contains(&&admin.unix) {
        wrong.push("admin.unix is the path of another socket".into());
    }
}

/// Of one peer, as configured: everybody may look up and explain where nobody is named.
pub fn may_of(
    clients: &[ClientConfig],
    is: impl Fn(&ClientConfig) -> bool,
    is_of_kind: impl Fn(&ClientConfig) -> bool,
) -> (May, Option<&str>) {
    match clients.iter().find(|client| is(client)) {
        Some(client) => (May::of(&client.may), Some(&client.name)),
        None if clients.iter().any(is_of_kind) => (May::NOTHING, None),
        None => (May::ASK, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> Vec<String> {
        let config: Config = toml::from_str(&format!("[snapshot]\npath = \"a\"\n{text}")).unwrap();
        check(&config)
    }

    #[test]
    fn a_network_has_what_begins_like_it() {
        let check = |network: &str, address: &str| Network::parse(network).unwrap().contains(address.parse().unwrap());
        assert!(check("192.0.2.0/28", "192.0.2.15") && !check("192.0.2.0/28", "192.0.2.16"));
        assert!(check("192.0.2.7", "192.0.2.7") && !check("192.0.2.7", "192.0.2.6"));
        assert!(check("0.0.0.0/0", "203.0.113.9") && !check("0.0.0.0/0", "2001:db8::1"));
        assert!(check("2001:db8::/32", "2001:db8:ffff::1") && !check("2001:db8::/32", "2001:db9::1"));
        assert!(check("::/0", "2001:db8::1") && check("192.0.2.7", "::ffff:192.0.2.7"));
    }

    #[test]
    fn text_that_is_no_network_is_refused() {
        for text in ["", "192.0.2.0/33", "192.0.2.0/-1", "192.0.2/24", "2001:db8::/129", "example.test", "192.0.2.1/24", "/24"] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_that_cannot_work_is_taken() {
        let check = |text: &str, what: &str| {
            let wrong = wrong(text);
            assert!(wrong.len() == 1 && wrong[0].contains(what), "{text}: {wrong:?}");
        };
        check("[tls]\ncertificate = \"a\"\n", "come together");
        check("[tls]\nclient_ca = \"a\"\n", "nobody shows a certificate");
        check("[tls]\ncertificate = \"a\"\nkey = \"b\"\non = [\"ftp\"]\n", "\"ftp\" is neither");
        check("[tls]\ncertificate = \"a\"\nkey = \"b\"\non = [\"192.0.2.1:7700\"]\n", "which no listener");
        check("[tls]\ncertificate = \"a\"\nkey = \"b\"\nclient_crls = [\"c\"]\n", "tls.client_crls");
        check("[proxy]\non = [\"tcp\"]\n", "nobody could connect");
        check("[proxy]\nfrom = [\"192.0.2.0/24\"]\n", "on which listeners");
        check("[proxy]\non = [\"tcp\"]\nfrom = [\"192.0.2.1/24\"]\n", "bits set behind");
        check("[listen]\nhttp = [\"127.0.0.1:7702\"]\n[http]\nsrc_from = \"connection\"\n", "needs a PROXY header");
        check("[[clients]]\nname = \"a\"\nmay = []\n", "set one of the two");
        check("[[clients]]\nname = \"a\"\ncertificate = \"a\"\nmay = []\n", "tls.client_ca is not set");
        check("[[clients]]\nname = \"\"\nuid = 1\nmay = []\n", "name has 1 to 255");
        check("[admin]\nunix_mode = \"9\"\n", "admin.unix_mode");
        check("[listen]\nunix = \"a\"\n[admin]\nunix = \"a\"\n", "another socket");
        assert_eq!(wrong("[[clients]]\nname = \"a\"\nuid = 1\nmay = [\"lookup\"]\n"), Vec::<String>::new());
    }

    #[test]
    fn listeners_are_named_by_kind_or_by_address() {
        let one = |name: &str| vec![name.to_owned()];
        let address = "127.0.0.1:7700".parse().unwrap();
        assert!(names(&one("tcp"), Protocol::Binary, address) && !names(&one("tcp"), Protocol::Http, address));
        assert!(names(&one("127.0.0.1:7700"), Protocol::Spop, address) && !names(&one("127.0.0.1:7701"), Protocol::Spop, address));
        assert!(names_admin(&one("admin"), address) && !names_admin(&one("http"), address));
    }
}
