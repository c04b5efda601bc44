//! Whom an encrypted connection of the generator trusts, and its handshake.

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// An authority, and the arithmetic that the daemon uses as well.
#[derive(Debug)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The authorities in a PEM file. For the rest of the process: plans are copied freely.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn of(authorities: &Path) -> io::Result<&'static Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(authorities).map_err(io::Error::other)? {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Box::leak(Box::new(Trust(Arc::new(config)))))
    }

    /// A blocking handshake with `localhost`.
    pub(super) fn shake_hands(&self, stream: &mut TcpStream) -> io::Result<Box<ClientConnection>> {
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(self.0.clone(), name).map_err(io::Error::other)?;
        connection.set_buffer_limit(None);
        while connection.is_handshaking() {
            connection.complete_io(stream)?;
        }
        Ok(Box::new(connection))
    }
}
