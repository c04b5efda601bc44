//! Who stands between a connection's socket and what it speaks, where the operator wants that: PROXY headers, TLS, permissions.
//!
//! ```text
//!  bytes ─► held ─► PROXY header? ─► TLS? ─► input ─► pipeline
//!                     │ whose connection │ whose certificate ─► [[clients]] ─► Peer { may, source }
//! ```
//! A plain listener has no guard: its connections pay one comparison. Nothing here waits or does I/O; `shard/guard.rs` moves the bytes. What is refused is
//! refused for good: the connection says why as far as its protocol has words for it, and ends.

pub mod admin;
pub mod config;
pub mod keeper;
pub mod material;
pub mod peer;
pub mod proxy;
pub mod tls;

use crate::config::Config;
use crate::connection::{Millis, Reason};
use crate::driver::Output;
use crate::listener::{Family, Listener};
use config::{ClientConfig, Network};
use peer::{May, Peer};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use tls::Tls;

/// Records that wait for the kernel, beyond which answers wait unencrypted, where the limit of the output counts them.
const SEAL_AHEAD: usize = 64 * 1024;
/// Handshakes are taken this many a turn: a signature costs as much as some hundred lookups.
pub const HANDSHAKES_PER_TURN_MAX: usize = 4;

/// What stands before a listener's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Every connection begins with a PROXY header.
    pub proxy: bool,
    /// TLS is spoken.
    pub tls: bool,
    /// Users of Unix sockets are told apart.
    pub users: bool,
}

/// Who may pass, for the whole daemon; unchangeable.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    from: Vec<Network>,
    clients: Vec<ClientConfig>,
}

impl Doors {
    /// As configured, and checked.
    pub fn of(config: &Config) -> Self {
        Doors { from: config.proxy.from.iter().filter_map(|text| Network::parse(text).ok()).collect(), clients: config.clients.clone() }
    }

    /// Whether this address may send PROXY headers.
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        self.from.iter().any(|network| network.contains(address))
    }

    /// Everybody who is named.
    pub fn clients(&self) -> &[ClientConfig] {
        &self.clients
    }
}

/// Notes on every shard's listeners what stands before them. TCP listeners stand in the order of `listen.addresses`.
pub fn mark(config: &Config, shards: &mut [Vec<Listener>]) {
    let by_user = config.clients.iter().any(|client| client.uid.is_some() || client.gid.is_some());
    for listeners in shards {
        let mut addresses = config.listen.addresses().into_iter();
        for listener in listeners {
            let on =
                |names: &[String]| addresses.as_slice().first().is_some_and(|bound| config::names(names, bound.protocol, bound.address));
            listener.gate = match listener.family {
                Family::Unix => Gate { users: by_user, ..Gate::default() },
                Family::Tcp => Gate { proxy: on(&config.proxy.on), tls: config.tls.wanted() && on(&config.tls.on), users: false },
            };
            if listener.family == Family::Tcp {
                addresses.next();
            }
        }
    }
}

/// Why a connection is not let in.
#[derive(Debug)]
pub struct Refused {
    /// As it is counted.
    pub reason: Reason,
    /// For the log.
    pub why: String,
}

/// What stands before one connection.
#[derive(Debug)]
pub struct Guard {
    /// Who asks, as far as is known yet.
    pub peer: Peer,
    /// Received, and neither a whole PROXY header nor a whole record yet.
    pub held: Vec<u8>,
    /// Records on their way out.
    pub wire: Output,
    /// Since when it is awaited.
    since: Millis,
    proxy_due: bool,
    tls: Option<Tls>,
    /// It is known who asks.
    is_open: bool,
    /// That nothing more comes was said.
    closed: bool,
}

impl Guard {
    /// Of a connection just accepted; `None` where nothing stands before it.
    ///
    /// # Errors
    /// When its peer may not connect at all.
    pub fn new(
        gate: Gate,
        doors: &Doors,
        tls: Option<&Arc<rustls::ServerConfig>>,
        socket: &impl AsFd,
        now: Millis,
    ) -> Result<Option<Box<Guard>>, Refused> {
        if gate == Gate::default() {
            return Ok(None);
        }
        let unknown = |error: rustix::io::Errno| Refused { reason: Reason::Refused, why: error.to_string() };
        let mut peer = Peer::ANYBODY;
        if gate.users {
            let user = rustix::net::sockopt::socket_peercred(socket).map_err(unknown)?;
            peer.may = peer::of_user(&doors.clients, user.uid.as_raw(), user.gid.as_raw()).0;
        } else {
            let address = rustix::net::getpeername(socket).map_err(unknown)?;
            peer.source = address.and_then(|address| SocketAddr::try_from(address).ok()).map(|address| address.ip().to_canonical());
        }
        let refuse = |why: String| Refused { reason: Reason::Refused, why };
        if gate.proxy && !peer.source.is_some_and(|address| doors.is_trusted(address)) {
            return Err(refuse(format!("{:?} is not in proxy.from", peer.source)));
        }
        let tls = match (gate.tls, tls) {
            (false, _) => None,
            (true, None) => return Err(refuse("there is no certificate".into())),
            (true, Some(config)) => {
                peer.may = May::NOTHING;
                Some(Tls::new(config.clone()).map_err(|failed| refuse(failed.0))?)
            }
        };
        let is_open = !gate.proxy && tls.is_none();
        let wire = Output::default();
        Ok(Some(Box::new(Guard { peer, held: Vec::new(), wire, since: now, proxy_due: gate.proxy, tls, is_open, closed: false })))
    }

    /// Whether bytes go through it: not on a Unix socket, nor behind a PROXY header without TLS.
    pub fn reads(&self) -> bool {
        !self.is_open || self.tls.is_some()
    }

    /// Whether answers are encrypted.
    pub fn seals(&self) -> bool {
        self.tls.is_some()
    }

    /// Since when its header or handshake is awaited; `None` once it is open.
    pub fn waits_since(&self) -> Option<Millis> {
        (!self.is_open).then_some(self.since)
    }

    /// The peer has said that it sends no more.
    pub fn has_ended(&self) -> bool {
        self.tls.as_ref().is_some_and(Tls::has_ended)
    }

    /// Takes what stands in `held`; what the peer asks is appended to `input`. True when this has opened the connection.
    ///
    /// # Errors
    /// When it must end. What tells the peer stands in `wire`.
    pub fn take(&mut self, doors: &Doors, input: &mut Vec<u8>) -> Result<bool, Refused> {
        if self.proxy_due {
            match proxy::read(&self.held) {
                Ok(None) => return Ok(false),
                Err(refused) => return Err(Refused { reason: Reason::Proxy, why: refused.to_string() }),
                Ok(Some(header)) => {
                    self.proxy_due = false;
                    self.held.drain(..header.bytes);
                    if let Some(source) = header.source {
                        self.peer.source = Some(source.ip());
                    }
                }
            }
        }
        let Some(tls) = &mut self.tls else {
            input.append(&mut self.held);
            return Ok(!std::mem::replace(&mut self.is_open, true));
        };
        tls.open(&mut self.held, input, &mut self.wire.bytes).map_err(|failed| Refused { reason: Reason::Tls, why: failed.0 })?;
        if self.is_open || !tls.is_open() {
            return Ok(false);
        }
        self.is_open = true;
        self.peer.may = match tls.state().peer_certificates() {
            None => May::ASK,
            Some(chain) => chain.first().map_or(May::NOTHING, |own| peer::of_certificate(&doors.clients, own).0),
        };
        Ok(true)
    }

    /// Encrypts answers, as far as the kernel is likely to take them soon; at the end of a connection says so. False when no more may be sent.
    pub fn seal(&mut self, output: &mut Output, ends: bool) -> bool {
        let Some(tls) = &mut self.tls else { return true };
        while !output.bytes.is_empty() && self.wire.unsent() < SEAL_AHEAD {
            let part = output.bytes.len().min(output.sent + SEAL_AHEAD) - output.sent;
            if tls.seal(&mut self.held, &output.bytes[output.sent..output.sent + part], &mut self.wire.bytes).is_err() {
                return false;
            }
            output.took(part);
        }
        if ends && output.bytes.is_empty() && !std::mem::replace(&mut self.closed, true) {
            tls.close(&mut self.held, &mut self.wire.bytes);
        }
        true
    }

    /// Gives large buffers back.
    pub fn trim(&mut self, kept_bytes: usize) {
        if self.held.is_empty() && self.held.capacity() > 0 {
            self.held = Vec::new();
        }
        if self.wire.bytes.is_empty() && self.wire.bytes.capacity() > kept_bytes {
            self.wire.bytes = Vec::new();
        }
    }
}
