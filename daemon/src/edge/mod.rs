//! What is spoken beside the binary protocol, for those who cannot be taught it: HTTP and HAProxy's SPOP, on listeners of their own, on the same shards.
//!
//! ```text
//!  listener ─► connection ─► Speech ─┬ Binary ─► pipeline/frames.rs
//!                                    ├ Http ───► http/: authorization for proxies, JSON for people   ┐ keys into the batch of the turn,
//!                                    └ Spop ───► spop/: messages of HAProxy's filter                 ┘ replies once they are answered
//! ```
//! An edge reads bytes and writes bytes; it knows no socket. What it asks goes the way of every question: one batch a turn, one generation a request.

pub mod guard;
pub mod http;
pub mod spop;

use crate::config::Config;
use guard::Doors;
use http::HttpConfig;
use spop::Mapping;

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// PROTOCOL.md.
    Binary,
    /// HTTP/1.1, RFC 9112.
    Http,
    /// SPOP 2.0, of HAProxy's SPOE.
    Spop,
}

/// What a connection speaks, and what is remembered of it between its requests.
#[derive(Debug)]
pub enum Speech {
    /// Nothing.
    Binary,
    /// HTTP/1.1.
    Http(http::Session),
    /// SPOP.
    Spop(spop::Session),
}

impl Speech {
    /// Of a connection just accepted.
    pub fn new(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Binary => Speech::Binary,
            Protocol::Http => Speech::Http(http::Session::default()),
            Protocol::Spop => Speech::Spop(spop::Session::default()),
        }
    }

    /// How many bytes behind `input` would make the request whole that begins there, as far as that is known; else 0.
    pub fn missing(&self, input: &[u8]) -> usize {
        match self {
            Speech::Binary => verdict_wire::bytes_wanted(input).saturating_sub(input.len()),
            Speech::Http(session) => session.bytes_wanted().saturating_sub(input.len()),
            Speech::Spop(session) => session.missing(input),
        }
    }
}

/// How the edges are configured; of the whole daemon, and unchangeable.
#[derive(Clone, Debug, Default)]
pub struct Edges {
    /// Section `[http]`.
    pub http: HttpConfig,
    /// Section `[spop]`.
    pub spop: Mapping,
    /// Sections `[proxy]` and `[[clients]]`.
    pub doors: Doors,
}

impl Edges {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        Edges { http: config.http.clone(), spop: Mapping::of(&config.spop), doors: Doors::of(config) }
    }
}
