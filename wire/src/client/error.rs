//! Why a client has no answer, sorted by who can do something about it.

use super::Endpoint;
use crate::{EncodeError, ErrorCode, Malformed};
use std::io;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection after `connect_attempts`.
    #[error("cannot connect to {endpoint}: {error}")]
    Connect {
        /// Where to.
        endpoint: Endpoint,
        /// The last attempt's error.
        error: io::Error,
    },
    /// No reply, or no room to write, in time.
    #[error("timed out {0}")]
    TimedOut(&'static str),
    /// The server closed the connection; what was in flight is unanswered.
    #[error("the server closed the connection{}", if *.mid_frame { " in the middle of a frame" } else { "" })]
    Closed {
        /// A reply had begun.
        mid_frame: bool,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[source] io::Error),
    /// The server answered with an alert of TLS and closed: it does not speak in the open.
    #[error("the server speaks TLS, and was asked in the open")]
    SpeaksTls,
    /// The server refused the request.
    #[error("refused, {code}: {message} (detail {detail}, generation {generation:016x})")]
    Refused {
        /// Why.
        code: ErrorCode,
        /// The offending value.
        detail: u32,
        /// The generation that is served.
        generation: u64,
        /// For people.
        message: String,
    },
    /// The server's bytes are not the protocol.
    #[error("the reply is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// A reply longer than FRAME_BYTES_MAX, or shorter than a header.
    #[error("the reply's length of {frame_bytes} bytes cannot be")]
    BadLength {
        /// As the server wrote it.
        frame_bytes: u32,
    },
    /// A reply to another request than the oldest one in flight.
    #[error("a reply with id {got} where {expected} was due")]
    WrongRequestId {
        /// The oldest request in flight.
        expected: u32,
        /// What came.
        got: u32,
    },
    /// A reply of another kind or count than the request asks for.
    #[error("the reply does not fit its request: {0}")]
    Mismatch(&'static str),
    /// The request cannot be written.
    #[error("the request cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// A whole call while pipelined requests are unanswered, or `receive` with none.
    #[error("{0} requests are in flight")]
    InFlight(usize),
    /// The generation changed more often than a long lookup could follow.
    #[error("the generation kept changing during the lookup")]
    Unsettled,
}

impl ClientError {
    /// The connection broke under the request: a new one may answer.
    pub(super) const fn broken(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::Io(_))
    }
}
