//! Two implementations of the URL standard, as what they make of a text.

use std::fmt::Debug;

/// A URL as a browser opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// All of it, serialised.
    pub href: String,
    /// Name or address, brackets included; empty where there is none.
    pub host: String,
    /// http, https, ftp, ws or wss.
    pub is_web: bool,
}

/// A parser of URLs.
pub trait Peer {
    /// Name and major version.
    fn name(&self) -> &'static str;
    /// What it makes of a text without a base; `None` where it refuses.
    fn parse(&self, text: &str) -> Option<Seen>;
}

fn is_web(scheme: &str) -> bool {
    matches!(scheme, "http" | "https" | "ftp" | "ws" | "wss")
}

/// The `url` crate.
pub struct UrlCrate;

impl Peer for UrlCrate {
    fn name(&self) -> &'static str {
        "url 2"
    }

    fn parse(&self, text: &str) -> Option<Seen> {
        let url = url::Url::parse(text).ok()?;
        Some(Seen { host: url.host_str().unwrap_or_default().to_owned(), is_web: is_web(url.scheme()), href: url.into() })
    }
}

/// ada-url.
#[cfg(feature = "ada")]
pub struct Ada;

#[cfg(feature = "ada")]
impl Peer for Ada {
    fn name(&self) -> &'static str {
        "ada-url 4"
    }

    fn parse(&self, text: &str) -> Option<Seen> {
        let url = ada_url::Url::parse(text, None).ok()?;
        let scheme = url.protocol().trim_end_matches(':').to_owned();
        Some(Seen { href: url.href().to_owned(), host: url.hostname().to_owned(), is_web: is_web(&scheme) })
    }
}

/// Those that this build has.
pub fn all() -> Vec<Box<dyn Peer>> {
    #[cfg(feature = "ada")]
    return vec![Box::new(Ada), Box::new(UrlCrate)];
    #[cfg(not(feature = "ada"))]
    vec![Box::new(UrlCrate)]
}
