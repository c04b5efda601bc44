//! How connections come in: listeners in the epoll set, a bounded number of accepts a turn, and who is turned away.

use super::{Shard, TOKEN_LISTENERS};
use crate::connection::{Connection, Reason};
use crate::limits::ACCEPT_BATCH;
use rustix::event::epoll::{self, EventData, EventFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use verdict_simd::Backend;
use verdict_wire as wire;

impl<B: Backend> Shard<B> {
    /// Level-triggered, so that what one turn leaves waiting is reported again; exclusive, so that a connection wakes one shard.
    pub(super) fn listen(&self, number: usize) -> io::Result<()> {
        let token = EventData::new_u64(TOKEN_LISTENERS + number as u64);
        Ok(epoll::add(&self.epoll, &self.setup.listeners[number].socket, token, EventFlags::IN | EventFlags::EXCLUSIVE)?)
    }

    pub(super) fn accept(&mut self) {
        for number in 0..self.setup.listeners.len() {
            if self.listeners_ready & (1 << number) == 0 {
                continue;
            }
            for _ in 0..ACCEPT_BATCH {
                match self.setup.listeners[number].accept() {
                    Ok(Some(socket)) => self.admit(socket),
                    Ok(None) => {
                        self.listeners_ready &= !(1 << number);
                        break;
                    }
                    Err(error) => {
                        // Out of descriptors: a level-triggered listener would spin, so it rests until the next tick.
                        self.setup.metrics.accept_errors.add(1);
                        tracing::warn!("accept: {error}");
                        let _ = epoll::delete(&self.epoll, &self.setup.listeners[number].socket);
                        self.listeners_resting |= 1 << number;
                        self.listeners_ready &= !(1 << number);
                        break;
                    }
                }
            }
        }
        self.listeners_ready &= (1u64 << self.setup.listeners.len()) - 1;
    }

    fn admit(&mut self, socket: OwnedFd) {
        if self.setup.connections.fetch_add(1, Ordering::Relaxed) >= self.setup.limits.connections_max {
            self.setup.connections.fetch_sub(1, Ordering::Relaxed);
            self.setup.metrics.refused.add(1);
            return turn_away(&socket, self.setup.snapshot.generation());
        }
        self.setup.metrics.accepted.add(1);
        let (index, token) = self.connections.insert(Connection::new(socket, self.now));
        self.setup.metrics.connections.set(self.connections.len() as u64);
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let added = match self.connections.get(index) {
            Some(connection) => epoll::add(&self.epoll, &connection.socket, EventData::new_u64(token), interest),
            None => Ok(()),
        };
        match added {
            Ok(()) => self.enqueue(index),
            Err(_) => self.close(index, Reason::Io),
        }
    }
}

/// Says *overloaded* at the door, as far as the socket takes it at once, and closes.
#[cold]
fn turn_away(socket: &OwnedFd, generation: u64) {
    let mut reply = Vec::new();
    let retry_after_ms = 1000;
    wire::encode_error(&mut reply, 0, generation, wire::ErrorCode::Overloaded, retry_after_ms, "limits.connections_max is reached", true);
    let _ = rustix::net::send(socket, &reply, rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL);
}
