//! TLS of one connection, without I/O: records in, the caller's bytes out; the caller's bytes in, records out.
//!
//! ```text
//!  driver ─► held ─► open ─► input ─► pipeline ─► output ─► seal ─► wire ─► driver
//!             └ at most one record that is not whole, or a handshake message of several
//! ```
//! rustls' unbuffered connection: the bytes of a record are decrypted where they lie, and answers are encrypted into the buffer that is sent. TLS 1.3
//! only, and no resumption: whoever comes again shows its certificate again, so a client authority that was replaced holds from the next connection on,
//! and shards share nothing. Used by shards, and by the admin listener on the control thread.

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{CommonState, ServerConfig};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What may be held back: a handshake message of 64 KiB, in records.
const HELD_BYTES_MAX: usize = 72 * 1024;
/// A record's header, its content type and its tag, and some room: rustls says when it is more.
const RECORD_ROOM: usize = 64;
/// Plaintext of one record.
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// One connection's TLS.
pub struct Tls {
    connection: UnbufferedServerConnection,
    /// The peer said that it sends no more.
    ended: bool,
    /// Nothing more is asked of the connection: after an error it must not see other bytes than it saw, or it panics.
    failed: bool,
}

/// Why a connection cannot go on; what tells the peer stands in `wire`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub String);

impl std::fmt::Debug for Tls {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Tls").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Tls {
    /// The server's side of a connection that was just accepted.
    ///
    /// # Errors
    /// What rustls says of the configuration.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, Failed> {
        let connection = UnbufferedServerConnection::new(config).map_err(|error| Failed(error.to_string()))?;
        Ok(Tls { connection, ended: false, failed: false })
    }

    /// Whether both sides know each other by now.
    pub fn is_open(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// Whether the peer has said that it sends no more.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// What rustls knows of the peer.
    pub fn state(&self) -> &CommonState {
        &self.connection
    }

    /// Takes what stands in `held`, but for what is not whole yet: what the peer asks is appended to `plain`, what the handshake wants sent to `wire`.
    ///
    /// # Errors
    /// When the peer's bytes are no TLS, or it is not let in; an alert that says so stands in `wire` then.
    pub fn open(&mut self, held: &mut Vec<u8>, plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result<(), Failed> {
        if self.failed {
            return Err(Failed("it has failed before".into()));
        }
        // A defect in there costs one connection, not the shard's turn or the control thread.
        let done = catch_unwind(AssertUnwindSafe(|| self.drive(held, Some(plain), b"", wire)));
        let done = done.unwrap_or_else(|_| Err(Failed("a defect: please report it".into())));
        if done.is_err() {
            self.failed = true;
            self.alert(held, wire);
        }
        done
    }

    /// Appends `plain` to `wire`, as records; nothing where it has failed. `held` is as `open` left it.
    ///
    /// # Errors
    /// When so much was sent under one key that no more may be.
    pub fn seal(&mut self, held: &mut Vec<u8>, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), Failed> {
        if self.failed { Ok(()) } else { self.drive(held, None, plain, wire) }
    }

    /// Says that nothing more will be sent.
    pub fn close(&mut self, held: &mut [u8], wire: &mut Vec<u8>) {
        if self.failed {
            return;
        }
        let UnbufferedStatus { state, .. } = self.connection.process_tls_records(held);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            let at = wire.len();
            wire.resize(at + RECORD_ROOM, 0);
            let written = traffic.queue_close_notify(&mut wire[at..]).unwrap_or(0);
            wire.truncate(at + written);
        }
    }

    /// What the connection wants to tell a peer that it gives up.
    fn alert(&mut self, held: &mut [u8], wire: &mut Vec<u8>) {
        // Not once more than that: it would read on, and fail again.
        while self.connection.wants_write() {
            match self.connection.process_tls_records(held).state {
                Ok(ConnectionState::EncodeTlsData(data)) => _ = encode(data, wire),
                _ => return,
            }
        }
    }

    /// One state after the other until it waits for more bytes. `said` is encrypted once that is allowed. Without `plain` nothing was received.
    fn drive(&mut self, held: &mut Vec<u8>, mut plain: Option<&mut Vec<u8>>, mut said: &[u8], wire: &mut Vec<u8>) -> Result<(), Failed> {
        let mut taken = 0;
        let outcome = loop {
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut held[taken..]);
            taken += discard;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        taken += record.discard;
                        if let Some(plain) = plain.as_deref_mut() {
                            plain.extend_from_slice(record.payload);
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    if encode(data, wire).is_none() {
                        break Err(Failed("a record could not be written".into()));
                    }
                }
                // It goes out with the connection's next send; nothing else is written before it.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) if !said.is_empty() => {
                    let room = said.len() + RECORD_ROOM * said.len().div_ceil(RECORD_BYTES_MAX);
                    let written = with_room(wire, room, |room| match traffic.encrypt(said, room) {
                        Err(EncryptError::InsufficientSize(wanted)) => Err(Some(wanted.required_size)),
                        Err(EncryptError::EncryptExhausted) => Err(None),
                        Ok(written) => Ok(written),
                    });
                    if written.is_none() {
                        break Err(Failed("too much was sent under one key".into()));
                    }
                    said = b"";
                }
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                Ok(ConnectionState::Closed) => {
                    self.ended = true;
                    break Ok(());
                }
                Ok(ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake) => break Ok(()),
                // No early data is offered; a state of a newer rustls.
                Ok(_) => break Err(Failed("an unexpected state".into())),
                Err(error) => break Err(Failed(error.to_string())),
            }
        };
        held.drain(..taken);
        if outcome.is_ok() && held.len() > HELD_BYTES_MAX {
            return Err(Failed("a message that has no end".into()));
        }
        outcome
    }
}

/// Appends a record of the handshake.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, wire: &mut Vec<u8>) -> Option<usize> {
    with_room(wire, RECORD_ROOM, |room| match data.encode(room) {
        Err(EncodeError::InsufficientSize(wanted)) => Err(Some(wanted.required_size)),
        Err(EncodeError::AlreadyEncoded) => Err(None),
        Ok(written) => Ok(written),
    })
}

/// Appends what `write` writes; it says how much room it wants where `room` is too little. `None` where it cannot write at all.
fn with_room(wire: &mut Vec<u8>, room: usize, mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>) -> Option<usize> {
    let at = wire.len();
    wire.resize(at + room, 0);
    let mut written = write(&mut wire[at..]);
    if let Err(Some(wanted)) = written {
        wire.resize(at + wanted, 0);
        written = write(&mut wire[at..]);
    }
    wire.truncate(at + written.unwrap_or(0));
    written.ok()
}
