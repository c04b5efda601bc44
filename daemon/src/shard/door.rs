//! How connections come in: a bounded number of accepts a turn, who is turned away, and how the door is closed.

use super::Shard;
use crate::connection::{Connection, Reason};
use crate::driver::Driver;
use crate::edge::Protocol;
use crate::edge::guard::{Gate, Guard};
use crate::limits::{ACCEPT_BATCH, LISTEN_BACKLOG};
use crate::listener::Listener;
use crate::nearness::Bounded;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use verdict_simd::Backend;
use verdict_wire as wire;

impl<B: Backend, D: Driver> Shard<B, D> {
    pub(super) fn accept(&mut self) {
        for number in 0..self.setup.listeners.len() {
            if self.listeners_ready & (1 << number) == 0 {
                continue;
            }
            for _ in 0..ACCEPT_BATCH {
                match self.driver.accept(&self.setup.listeners[number], number) {
                    Ok(Some(socket)) => {
                        let Listener { protocol, gate, .. } = self.setup.listeners[number];
                        self.admit(socket, protocol, gate);
                    }
                    Ok(None) => {
                        self.listeners_ready &= !(1 << number);
                        break;
                    }
                    Err(error) => {
                        // Out of descriptors, most likely: until the next tick the door stays shut.
                        self.note_accept_error(&error);
                        self.listeners_resting |= 1 << number;
                        self.listeners_ready &= !(1 << number);
                        break;
                    }
                }
            }
        }
    }

    /// Opens the doors that rested.
    pub(super) fn listen_again(&mut self) {
        let resting = std::mem::take(&mut self.listeners_resting);
        for number in (0..self.setup.listeners.len()).filter(|number| resting & (1 << number) != 0) {
            if self.driver.listen(&self.setup.listeners[number], number).is_err() {
                self.listeners_resting |= 1 << number;
            }
        }
    }

    /// Takes every connection that already waits, then closes the door: closing it first would reset them.
    pub(super) fn drain(&mut self) {
        if self.draining.is_some() {
            return;
        }
        self.draining = Some(self.now);
        self.listeners_ready = 0;
        for (number, listener) in std::mem::take(&mut self.setup.listeners).iter().enumerate() {
            while let Ok(Some(socket)) = self.driver.accept(listener, number) {
                self.admit(socket, listener.protocol, listener.gate);
            }
            self.driver.deafen(listener, number);
            for _ in 0..LISTEN_BACKLOG {
                match listener.accept() {
                    Ok(Some(socket)) => self.admit(socket, listener.protocol, listener.gate),
                    Ok(None) => break,
                    Err(error) => {
                        self.note_accept_error(&error);
                        break;
                    }
                }
            }
        }
    }

    fn note_accept_error(&self, error: &io::Error) {
        self.setup.metrics.accept_errors.add(1);
        tracing::warn!("accept: {error}");
    }

    fn admit(&mut self, socket: OwnedFd, protocol: Protocol, gate: Gate) {
        let (open, most) = (self.setup.connections.fetch_add(1, Ordering::Relaxed), self.setup.limits.connections_max);
        self.setup.near.note(Bounded::Connections, open as u64 + 1, most as u64);
        if open >= most {
            self.setup.connections.fetch_sub(1, Ordering::Relaxed);
            self.setup.metrics.refused.add(1);
            return turn_away(&socket, protocol, gate, self.setup.snapshot.generation());
        }
        self.setup.metrics.accepted.add(1);
        let (driver, now) = (&mut self.driver, self.now);
        let guard = match Guard::new(gate, &self.setup.edges.doors, self.setup.tls.as_ref(), &socket, now) {
            Ok(guard) => guard,
            Err(refused) => {
                tracing::debug!("a connection is not let in: {}", refused.why);
                self.setup.connections.fetch_sub(1, Ordering::Relaxed);
                self.setup.metrics.closed(refused.reason).add(1);
                return;
            }
        };
        let connection = |link| Connection { guard, ..Connection::new(link, protocol, now) };
        match self.connections.insert(|token| driver.admit(socket, token).map(connection)) {
            Ok(index) => {
                self.setup.metrics.connections.set(self.connections.len() as u64);
                self.enqueue_if_readable(index);
            }
            Err(error) => {
                tracing::warn!("a connection cannot be watched: {error}");
                self.setup.connections.fetch_sub(1, Ordering::Relaxed);
                self.setup.metrics.closed(Reason::Io).add(1);
            }
        }
    }

    fn enqueue_if_readable(&mut self, index: u32) {
        if self.connections.get(index).is_some_and(|connection| self.driver.readable(&connection.link)) {
            self.enqueue(index);
        }
    }
}

/// Says *overloaded* at the door, as far as the socket takes it at once, and closes.
#[cold]
fn turn_away(socket: &OwnedFd, protocol: Protocol, gate: Gate, generation: u64) {
    let mut reply = Vec::new();
    match protocol {
        // No words before a handshake.
        _ if gate.tls => {}
        Protocol::Binary => {
            let (retry_after_ms, why) = (1000, "limits.connections_max is reached");
            wire::encode_error(&mut reply, 0, generation, wire::ErrorCode::Overloaded, retry_after_ms, why, true);
        }
        Protocol::Http => reply.extend_from_slice(
            b"HTTP/1.1 503 Service Unavailable\r\nX-Verdict: overloaded\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        ),
        // HAProxy has not said hello yet, and takes an end of the connection for what it is.
        Protocol::Spop => {}
    }
    let _ = rustix::net::send(socket, &reply, rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL);
}
