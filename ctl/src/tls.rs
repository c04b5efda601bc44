//! TLS to a daemon's TCP listeners: whom we trust, whom we show, and what was wrong where a connection is not let in.
//!
//! ```text
//!  --tls-ca ─► authorities ┐
//!  --tls-certificate, -key ┴► ClientConfig ─► handshake with NAME ─► Secure: a stream like the socket below it
//!                                                  └ Trouble: refused (an untrusted or unwanted certificate), or no TLS at all
//! ```
//! TLS 1.3 alone, by the same arithmetic as the daemon's, and no resumption, as there. A certificate of ours that the daemon does not take is told by its
//! alert only after the handshake, with the first read: TLS 1.3 is so.

use crate::exit::Failure;
use crate::text;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How to trust the daemon, and what to show it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsArguments {
    /// Speak TLS over TCP, and trust the authorities in this PEM file; a Unix socket has no TLS
    #[arg(long, value_name = "FILE", env = "VERDICT_TLS_CA", hide_env_values = true)]
    tls_ca: Option<PathBuf>,
    /// Our own certificate, a PEM chain, where the daemon wants one (tls.client_ca)
    #[arg(long, value_name = "FILE", env = "VERDICT_TLS_CERTIFICATE", hide_env_values = true, alias = "tls-cert", requires_all = ["tls_ca", "tls_key"])]
    tls_certificate: Option<PathBuf>,
    /// Its private key, a PEM file
    #[arg(long, value_name = "FILE", env = "VERDICT_TLS_KEY", hide_env_values = true, requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// The name or address that the daemon's certificate is of, if not the one that is connected to
    #[arg(long, value_name = "NAME", env = "VERDICT_TLS_NAME", hide_env_values = true, requires = "tls_ca")]
    tls_name: Option<String>,
}

/// The same, read.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: Option<String>,
    authorities: PathBuf,
    shown: Option<PathBuf>,
}

/// Why there is no connection, where TLS is the reason.
#[derive(Debug)]
pub enum Trouble {
    /// One side does not trust the other.
    Refused(String),
    /// That is not TLS.
    NoTls(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Refused(text) | Self::NoTls(text)) = self;
        formatter.write_str(&text::visible(text.as_bytes()))
    }
}

impl std::error::Error for Trouble {}

impl Trouble {
    /// As a failure of whoever wanted to speak with `whom`, if TLS is the reason.
    pub fn of(error: &io::Error, whom: &str) -> Option<Failure> {
        let trouble = error.get_ref()?.downcast_ref::<Trouble>()?;
        let told = format!("{whom}: {trouble}");
        Some(match trouble {
            Self::Refused(_) => Failure::Refused(told),
            Self::NoTls(_) => Failure::Protocol(told),
        })
    }
}

impl TlsArguments {
    /// The files, read and held against each other; none where no TLS is to be spoken.
    pub fn read(&self) -> Result<Option<Tls>, Failure> {
        let Some(authorities) = self.tls_ca.as_deref() else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates("--tls-ca", authorities)? {
            roots.add(certificate).map_err(|error| wrong("--tls-ca", authorities, &error))?;
        }
        // A machine without the instructions that the arithmetic is written in is told so by a panic.
        let provider = std::panic::catch_unwind(rustls_graviola::default_provider)
            .map_err(|_| Failure::Usage("this CPU lacks the instructions that TLS is written in".into()))?;
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| Failure::Usage(error.to_string()))?
            .with_root_certificates(roots);
        let mut config = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates("--tls-certificate", certificate)?;
                let secret = PrivateKeyDer::from_pem_slice(&bytes("--tls-key", key)?).map_err(|error| wrong("--tls-key", key, &error))?;
                builder.with_client_auth_cert(chain, secret).map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => {
                        Failure::Data(format!("--tls-key {} is not the key of {}", text::path(key), text::path(certificate)))
                    }
                    other => wrong("--tls-key", key, &other),
                })?
            }
            _ => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        let (name, shown) = (self.tls_name.clone(), self.tls_certificate.clone());
        Ok(Some(Tls { config: Arc::new(config), name, authorities: authorities.to_owned(), shown }))
    }
}

fn bytes(option: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::Input(format!("{option} {}: {error}", text::path(path))))
}

/// At least one.
fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(option, path)?).collect();
    let read = read.map_err(|error| wrong(option, path, &error))?;
    if read.is_empty() { Err(wrong(option, path, &"no certificate in PEM is in it")) } else { Ok(read) }
}

fn wrong(option: &str, path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::Data(format!("{option} {}: {why}", text::path(path)))
}

impl Tls {
    /// A handshake over a socket that has its timeouts; `address` is `HOST:PORT`, as it was given.
    ///
    /// # Errors
    /// What the socket says, or a [`Trouble`].
    pub fn shake_hands(&self, stream: TcpStream, address: &str) -> io::Result<Secure> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_start_matches('[').trim_end_matches(']');
        let name = self.name.as_deref().unwrap_or(host);
        let refuse = |why: String| io::Error::other(Trouble::Refused(why));
        let server =
            ServerName::try_from(name.to_owned()).map_err(|_| refuse(format!("`{name}` cannot be in a certificate: give --tls-name")))?;
        let connection = ClientConnection::new(self.config.clone(), server).map_err(|error| refuse(error.to_string()))?;
        let mut secure = Secure { stream: StreamOwned::new(connection, stream), tls: self.clone(), name: name.to_owned() };
        while secure.stream.conn.is_handshaking() {
            if let Err(error) = secure.stream.conn.complete_io(&mut secure.stream.sock) {
                return Err(secure.told(error));
            }
        }
        Ok(secure)
    }

    /// In words of whoever runs the command; what is no matter of TLS stays as it is.
    fn trouble(&self, name: &str, error: &rustls::Error) -> Trouble {
        use rustls::Error as E;
        let refused = match error {
            E::InvalidMessage(_) => {
                return Trouble::NoTls("it does not speak TLS there: leave --tls-ca out, or connect to another port".into());
            }
            E::InvalidCertificate(CertificateError::UnknownIssuer) => {
                format!("its certificate is of no authority in {}", self.authorities.display())
            }
            E::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) if !presented.is_empty() => {
                let names: Vec<&str> = presented.iter().map(|name| plainly(name)).collect();
                format!("its certificate is not of `{name}` but of {}: --tls-name says which is meant", names.join(", "))
            }
            E::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
                format!("its certificate is not of `{name}`: --tls-name says which is meant")
            }
            E::InvalidCertificate(why) => format!("its certificate cannot be trusted: {why}"),
            E::AlertReceived(AlertDescription::CertificateRequired) => {
                "it wants a certificate of whoever asks: --tls-certificate FILE --tls-key FILE".to_owned()
            }
            E::AlertReceived(alert) => match &self.shown {
                Some(shown) => format!("it does not take the certificate {}: alert {alert:?}", shown.display()),
                None => format!("it ends the handshake: alert {alert:?}"),
            },
            other => format!("no TLS with it: {other}"),
        };
        Trouble::Refused(refused)
    }
}

/// `DnsName("a.example")`, as webpki writes a name, without its kind.
fn plainly(name: &str) -> &str {
    name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')').trim_matches('"'))
}

/// A connection that is encrypted.
pub struct Secure {
    stream: StreamOwned<ClientConnection, TcpStream>,
    tls: Tls,
    name: String,
}

impl Secure {
    /// An error of the socket below, or a [`Trouble`].
    fn told(&self, error: io::Error) -> io::Error {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner) => io::Error::other(self.tls.trouble(&self.name, inner)),
            None if error.kind() == ErrorKind::UnexpectedEof && self.stream.conn.is_handshaking() => {
                io::Error::other(Trouble::NoTls("it closed in the middle of the handshake: is TLS spoken there?".into()))
            }
            None if self.stream.conn.is_handshaking() && matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                io::Error::new(ErrorKind::TimedOut, "the handshake does not come to its end in time")
            }
            None => error,
        }
    }

    /// A peer that gives us up says why, and closes: what it said lies in the socket still when nothing can be written any more.
    fn cannot_write(&mut self, error: io::Error) -> io::Error {
        match self.read(&mut [0; 1]) {
            Err(said) if said.get_ref().is_some_and(|inner| inner.is::<Trouble>()) => said,
            _ => self.told(error),
        }
    }
}

impl Read for Secure {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.stream.read(room).map_err(|error| self.told(error))
    }
}

impl Write for Secure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes).map_err(|error| self.cannot_write(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush().map_err(|error| self.cannot_write(error))
    }
}

impl verdict_wire::Carrier for Secure {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.sock.set_read_timeout(timeout)
    }
}
