//! Bytes of connections that something stands before: from the driver through the guard to the pipeline, and back.

use super::Shard;
use crate::connection::Reason;
use crate::driver::{Driver, Output, Received};
use crate::edge::guard::Guard;
use verdict_simd::Backend;

/// What the driver is asked for behind an incomplete record.
const RECORD_BYTES: usize = 16 * 1024 + 256;

impl<B: Backend, D: Driver> Shard<B, D> {
    /// As `receive_once`, for a connection whose guard takes the bytes first.
    pub(super) fn receive_guarded(&mut self, index: u32, late: bool) -> Option<usize> {
        let connection = self.connections.get(index)?;
        let guard = connection.guard.as_deref_mut()?;
        if guard.waits_since().is_some() {
            // The next turn has room for it: `send` queues whoever is readable.
            self.handshakes = self.handshakes.checked_sub(1)?;
        }
        let bytes = match self.driver.receive(&mut connection.link, &mut guard.held, RECORD_BYTES) {
            Received::Bytes(bytes) => {
                guard.held.extend_from_slice(bytes);
                bytes.len()
            }
            Received::Appended(bytes) => bytes,
            Received::Nothing => return None,
            Received::End => {
                connection.closing = connection.closing.or(Some(Reason::Peer));
                return None;
            }
            Received::Lost => {
                self.close(index, Reason::Io);
                return None;
            }
        };
        self.setup.metrics.bytes_in.add(bytes as u64);
        match guard.take(&self.setup.edges.doors, &mut connection.input) {
            Ok(opened) => {
                if opened && guard.seals() {
                    self.setup.metrics.handshakes.add(1);
                }
                if guard.has_ended() {
                    connection.closing = connection.closing.or(Some(Reason::Peer));
                }
            }
            Err(refused) => {
                tracing::debug!(peer = ?guard.peer.source, "a connection is not let in: {}", refused.why);
                connection.closing = Some(refused.reason);
                return None;
            }
        }
        if connection.input.is_empty() {
            return Some(bytes);
        }
        self.take_input(index, late).then_some(bytes)
    }

    /// Hands over what waits; how many bytes the kernel took at once, `None` when the connection is lost.
    pub(super) fn hand_over(&mut self, index: u32) -> Option<usize> {
        let connection = self.connections.get(index)?;
        let Some(guard) = connection.guard.as_deref_mut().filter(|guard| guard.seals()) else {
            return self.driver.send(&mut connection.link, &mut connection.output);
        };
        let mut taken = 0;
        loop {
            if !guard.seal(&mut connection.output, connection.closing.is_some()) {
                return None;
            }
            let now = self.driver.send(&mut connection.link, &mut guard.wire)?;
            taken += now;
            if now == 0 || connection.output.bytes.is_empty() {
                return Some(taken);
            }
        }
    }
}

/// What goes to the driver: records where answers are encrypted.
pub(super) fn outgoing<'a>(guard: &'a mut Option<Box<Guard>>, output: &'a mut Output) -> &'a mut Output {
    match guard.as_deref_mut() {
        Some(guard) if guard.seals() => &mut guard.wire,
        _ => output,
    }
}
