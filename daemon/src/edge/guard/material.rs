//! Certificates and keys from files: read whole, checked against each other, exchanged without a restart.
//!
//! ```text
//!  certificate, key, client_ca, client_crls ─► Material::read ─► one rustls configuration ─► every shard, for connections from now on
//!        └ looked at every LOOK_MS, and at SIGHUP: other bytes? A set that does not fit is refused and told, and the old one stays.
//! ```
//! Files change one after the other: a certificate whose key is still the old one is *not yet*, is told, and is looked at again. Whoever writes them by
//! rename is never read half.

use super::config::TlsConfig;
use super::peer::element;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How often the files are looked at.
pub const LOOK_MS: u64 = 2_000;
/// No certificate chain, bundle of authorities or revocation list of a load balancer's world is longer.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What a listener speaks TLS by.
#[derive(Clone)]
pub struct Material {
    /// As rustls wants it.
    pub config: Arc<ServerConfig>,
    /// Of the server's certificate, in Unix seconds; 0 where it cannot be read.
    pub expires_s: u64,
    /// Of all files.
    digest: [u8; 32],
}

impl std::fmt::Debug for Material {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Material").field("expires_s", &self.expires_s).finish_non_exhaustive()
    }
}

/// Bytes of the configured files.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<u8>,
    crls: Vec<Vec<u8>>,
}

impl Files {
    fn read(config: &TlsConfig) -> Result<Self, String> {
        let optional = |path: &PathBuf| if path.as_os_str().is_empty() { Ok(Vec::new()) } else { read(path) };
        Ok(Files {
            certificate: read(&config.certificate)?,
            key: read(&config.key)?,
            client_ca: optional(&config.client_ca)?,
            crls: config.client_crls.iter().map(|path| read(path)).collect::<Result<_, _>>()?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [&self.certificate, &self.key, &self.client_ca].into_iter().chain(&self.crls) {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("{}: longer than {FILE_BYTES_MAX} bytes", path.display()));
    }
    Ok(bytes)
}

impl Material {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Which file, and what is wrong with it.
    pub fn read(config: &TlsConfig) -> Result<Self, String> {
        Self::of(config, &Files::read(config)?)
    }

    /// The same, if the files have other bytes than these.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_again(&self, config: &TlsConfig) -> Result<Option<Self>, String> {
        let files = Files::read(config)?;
        if files.digest() == self.digest { Ok(None) } else { Self::of(config, &files).map(Some) }
    }

    fn of(config: &TlsConfig, files: &Files) -> Result<Self, String> {
        // A machine without the instructions that the arithmetic is written in is told so by a panic.
        let made = std::panic::catch_unwind(|| server_config(config, files));
        let (server, expires_s) =
            made.map_err(|_| "this CPU lacks the instructions that TLS is written in (AES, carry-less multiplication)".to_owned())??;
        Ok(Material { config: Arc::new(server), expires_s, digest: files.digest() })
    }
}

fn server_config(config: &TlsConfig, files: &Files) -> Result<(ServerConfig, u64), String> {
    let provider = Arc::new(rustls_graviola::default_provider());
    let chain = certificates(&config.certificate, &files.certificate)?;
    let expires_s = not_after(&chain[0]).unwrap_or(0);
    let of_key = |error: &dyn std::fmt::Display| format!("{}: {error}", config.key.display());
    let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|error| of_key(&error))?;
    let key = CertifiedKey::new(chain, provider.key_provider.load_private_key(key).map_err(|error| of_key(&error))?);
    key.keys_match().map_err(|_| format!("{} is not the key of {}", config.key.display(), config.certificate.display()))?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?;
    let builder = if config.client_ca.as_os_str().is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        for authority in certificates(&config.client_ca, &files.client_ca)? {
            roots.add(authority).map_err(|error| format!("{}: {error}", config.client_ca.display()))?;
        }
        let crls =
            files.crls.iter().zip(&config.client_crls).map(|(pem, path)| {
                CertificateRevocationListDer::from_pem_slice(pem).map_err(|error| format!("{}: {error}", path.display()))
            });
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .with_crls(crls.collect::<Result<Vec<_>, _>>()?)
            .only_check_end_entity_revocation()
            .enforce_revocation_expiration()
            .build()
            .map_err(|error| format!("{}: {error}", config.client_ca.display()))?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut server = builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server.max_early_data_size = 0;
    Ok((server, expires_s))
}

/// At least one.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| format!("{}: {error}", path.display()))?;
    if all.is_empty() { Err(format!("{} has no certificate in PEM", path.display())) } else { Ok(all) }
}

/// Seconds since the epoch at which a certificate ends.
///
/// ```text
///  Certificate { tbs { [0] version, serial, algorithm, issuer, validity { not before, not after }, ... } ... }
/// ```
fn not_after(certificate: &[u8]) -> Option<u64> {
    let (0x30, whole, _) = element(certificate)? else { return None };
    let (0x30, mut rest, _) = element(whole)? else { return None };
    if rest.first() == Some(&0xA0) {
        rest = element(rest)?.2;
    }
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (0x30, validity, _) = element(rest)? else { return None };
    let (kind, text, _) = element(element(validity)?.2)?;
    // RFC 5280: two digits of the year mean 1950 to 2049, and everything ends in Z.
    let digits = std::str::from_utf8(text.strip_suffix(b"Z")?).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match (kind, digits.len()) {
        (0x17, 12) => (two(digits, 0)?, &digits[2..]),
        (0x18, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let year = if kind == 0x17 { year + if year < 50 { 2000 } else { 1900 } } else { year };
    let days = days(year, two(rest, 0)?, two(rest, 2)?)?;
    Some(((days * 24 + two(rest, 4)?) * 60 + two(rest, 6)?) * 60 + two(rest, 8)?)
}

fn two(digits: &str, at: usize) -> Option<u64> {
    digits.get(at..at + 2)?.parse().ok()
}

/// Days from 1970-01-01 on, by the count that begins in March (Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let shifted = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, of_era) = (shifted / 400, shifted % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_over_leap_years() {
        assert_eq!((days(1970, 1, 1), days(2000, 3, 1), days(2026, 11, 22)), (Some(0), Some(11_017), Some(20_779)));
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms() {
        let certificate = |kind: u8, text: &[u8]| {
            let der = |tag: u8, contents: &[u8]| [&[tag, contents.len() as u8], contents].concat();
            let validity = der(0x30, &[der(0x17, b"200101000000Z"), der(kind, text)].concat());
            let tbs = [der(0xA0, &der(2, &[2])), der(2, &[1]), der(0x30, &[]), der(0x30, &[]), validity].concat();
            der(0x30, &der(0x30, &tbs))
        };
        assert_eq!(not_after(&certificate(0x17, b"261122000001Z")), Some(20_779 * 86_400 + 1));
        assert_eq!(not_after(&certificate(0x18, b"20991231235959Z")), Some(4_102_444_799));
        assert_eq!(not_after(&certificate(0x17, b"990101000000Z")), Some(915_148_800));
        for text in [&b""[..], b"Z", b"26112200000Z", b"2611220000\xff\xffZ", b"261122000001+"] {
            assert_eq!(not_after(&certificate(0x17, text)), None);
        }
    }
}
