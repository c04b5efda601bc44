//! Where a server listens, as people write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `host:port`; a name is resolved at every connect.
    Tcp(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// Text that names no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no endpoint: write tcp:HOST:PORT, HOST:PORT, unix:/PATH or /PATH")]
pub struct EndpointError {
    /// What was given.
    pub text: String,
}

impl Endpoint {
    /// `tcp:127.0.0.1:7700`, `127.0.0.1:7700`, `[::1]:7700`, `unix:/run/verdictd/verdictd.sock`, `/run/verdictd/verdictd.sock`.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let wrong = || EndpointError { text: text.to_owned() };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(wrong()) } else { Ok(Self::Unix(path.into())) };
        }
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        let address = text.strip_prefix("tcp:").unwrap_or(text);
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        if host.is_empty() || bare_ipv6 || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        Ok(Self::Tcp(address.to_owned()))
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        Self::parse(text)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_in_every_documented_form() {
        let check = |text: &str, shown: &str| assert_eq!(Endpoint::parse(text).map(|e| e.to_string()), Ok(shown.to_owned()));
        check("tcp:127.0.0.1:7700", "tcp:127.0.0.1:7700");
        check("127.0.0.1:7700", "tcp:127.0.0.1:7700");
        check("localhost:7700", "tcp:localhost:7700");
        check("[::1]:7700", "tcp:[::1]:7700");
        check("unix:/run/v.sock", "unix:/run/v.sock");
        check("/run/v.sock", "unix:/run/v.sock");
        check("unix:v.sock", "unix:v.sock");
    }

    #[test]
    fn text_that_is_no_endpoint_is_refused_with_the_forms_that_are() {
        for text in ["", "unix:", "7700", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", ":7700", "::1:7700", "tcp:"] {
            let error = Endpoint::parse(text).expect_err(text).to_string();
            assert!(error.contains("HOST:PORT"), "{error}");
        }
    }
}
