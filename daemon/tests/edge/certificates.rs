//! Certificates of a test's own, made by openssl's command, and a client that shows them.

use crate::support::{Peer, Scratch};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Whether openssl's command is there; says so where it is not.
pub fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !found {
        println!("SKIPPED: certificates need the command openssl");
    }
    found
}

/// An authority, and the directory of everything that it issues.
pub struct Authority {
    pub scratch: Scratch,
}

/// The files of a certificate.
#[derive(Clone, Debug)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let own = Authority { scratch: Scratch::new() };
        own.openssl("ca", "/CN=authority of a test", &["basicConstraints=critical,CA:TRUE"], false);
        own
    }

    pub fn certificate(&self) -> PathBuf {
        self.scratch.join("ca.pem")
    }

    /// `names` as openssl writes them: `DNS:a.example,URI:spiffe://example/a`; none for a common name alone.
    pub fn issue(&self, common: &str, names: &str) -> Pair {
        let names = format!("subjectAltName={names}");
        let mut extensions = vec!["basicConstraints=critical,CA:FALSE"];
        if !names.ends_with('=') {
            extensions.push(&names);
        }
        self.openssl(common, &format!("/O=Example/CN={common}"), &extensions, true);
        self.pair(common)
    }

    pub fn pair(&self, common: &str) -> Pair {
        Pair { certificate: self.scratch.join(&format!("{common}.pem")), key: self.scratch.join(&format!("{common}.key")) }
    }

    fn openssl(&self, file: &str, subject: &str, extensions: &[&str], issued: bool) {
        let Pair { certificate, key } = self.pair(file);
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", subject]);
        command.arg("-keyout").arg(key).arg("-out").arg(certificate);
        if issued {
            command.arg("-CA").arg(self.certificate()).arg("-CAkey").arg(self.scratch.join("ca.key"));
        }
        for extension in extensions {
            command.args(["-addext", extension]);
        }
        let made = command.output().unwrap();
        assert!(made.status.success(), "{command:?}: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// A client that trusts this authority, and shows a certificate where it has one.
    pub fn client(&self, shown: Option<&Pair>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.certificate()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        Arc::new(match shown {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = vec![CertificateDer::from_pem_file(&pair.certificate).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&pair.key).unwrap()).unwrap()
            }
        })
    }
}

/// TLS over any stream.
pub type Secure<S> = StreamOwned<ClientConnection, S>;

pub fn secure<S: Read + Write>(config: &Arc<ClientConfig>, stream: S) -> Secure<S> {
    let name = ServerName::try_from("daemon.example").unwrap();
    StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), stream)
}

pub fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub fn connect(config: &Arc<ClientConfig>, address: SocketAddr) -> Peer<Secure<TcpStream>> {
    Peer::over(secure(config, dial(address)))
}

/// Writes a byte at a time.
pub struct Trickle(pub TcpStream);

impl Read for Trickle {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(room)
    }
}

impl Write for Trickle {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
