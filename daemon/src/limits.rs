//! Every bound of the daemon, in one place, with the reason above it.
//!
//! The first half are fixed: they size buffers and shape the loop. `Limits` holds what an operator may set; `check` holds them against
//! each other, so that a configuration which cannot work is refused before a socket is opened.
//!
//! ```text
//! bytes in per connection  <= frame_bytes_max + READ_BYTES (one frame while it is incomplete, or what waits for room in the output)
//! bytes out per connection <= out_bytes_max + one reply (32 KiB of answers; 1 MiB of descriptions at most)
//! ```

use serde::{Deserialize, Serialize};
use verdict_wire as wire;

/// Keys that one turn of a shard takes before it looks at the clock and the sockets again: about 2 ms of work, so that no ready
/// connection waits longer than that for its first byte to be read.
pub const TURN_KEYS_MAX: usize = 16 * 1024;

/// Keys of one connection in one turn, and one frame more: a seventh of a millisecond for URLs. Who has more comes again behind the others, so that whoever
/// asks all the time makes nobody wait for longer than that.
pub const SHARE_KEYS_MAX: usize = 1024;

/// Requests of one connection in one turn, however few keys they have: the replies of edges are written all at once.
pub const SHARE_REQUESTS_MAX: usize = 512;

/// Bytes that the kernel keeps for a connection until they are read (SO_RCVBUF; `net.core.rmem_max` may allow less). What waits there has no deadline that
/// we could hold: the less it is, the sooner an overload is over, and the sender is made to wait instead.
pub const RECEIVE_BUFFER_BYTES: usize = 256 * 1024;

/// Keys that a shard explains in one turn. An explanation allocates and costs as much as about a hundred lookups, which should wait for one of them
/// at most; whoever asks for more gets one a turn, in turns with the other connections that ask.
pub const EXPLAINS_PER_TURN_MAX: usize = 1;

/// One `recv` of a turn: large enough that a whole frame of 1,000 URLs arrives in one call, small enough to stay in L2 and not to bring much more than a
/// connection's share.
pub const READ_BYTES: usize = 128 * 1024;

/// Connections taken from one listener in one turn; the rest waits in the kernel's queue for the next.
pub const ACCEPT_BATCH: usize = 64;

/// The kernel's queue of connections not yet accepted, per shard.
pub const LISTEN_BACKLOG: i32 = 1024;

/// How often deadlines are looked at, heartbeats written and the connection table swept.
pub const TICK_MS: u64 = 250;

/// A shard that was busy this recently waits in its own `epoll_wait`, which allocates nothing; after that it parks in the executor.
pub const PARK_AFTER_MS: u64 = 50;

/// A reply to LOOKUP never exceeds its header, the generation and 8 bytes a key.
pub const ANSWERS_BYTES_MAX: usize = wire::FRAME_HEADER_BYTES + 8 + 8 * wire::KEYS_MAX;

/// A buffer larger than this is given back when its connection has nothing unfinished.
pub const BUFFER_KEPT_BYTES: usize = 16 * 1024;

/// Admin connections at a time, and the bytes of one request head.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Bytes of one admin request head.
pub const ADMIN_HEAD_BYTES_MAX: usize = 8 * 1024;
/// Milliseconds for one admin request, first byte to last.
pub const ADMIN_DEADLINE_MS: u64 = 5_000;

const _: () = assert!(READ_BYTES >= 16 * 1024);
const _: () = assert!(TURN_KEYS_MAX >= wire::KEYS_MAX, "one frame must fit a turn");
const _: () = assert!(SHARE_KEYS_MAX <= TURN_KEYS_MAX);
const _: () = assert!(PARK_AFTER_MS < TICK_MS);

/// What an operator may set. Section `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections of the whole daemon; one more is told *overloaded* and closed. Default 10000. Costs about 300 bytes each while idle.
    pub connections_max: usize,
    /// Bytes of one request frame. Default and most: 1048576 (PROTOCOL.md). A longer one is an error and closes the connection.
    pub frame_bytes_max: usize,
    /// Unsent answer bytes of one connection, beyond which nothing more is read from it. Default 262144.
    pub out_bytes_max: usize,
    /// From the first byte of a frame to its last. Default 5000 ms. A peer that trickles is closed.
    pub frame_deadline_ms: u64,
    /// A connection that asks nothing. Default 600000 ms (ten minutes); 0 = never closed.
    pub idle_deadline_ms: u64,
    /// Answers that the peer does not take. Default 5000 ms. A peer that never reads is closed.
    pub write_deadline_ms: u64,
    /// From readable to being looked up. Default 200 ms; later requests are answered *overloaded* without a lookup. 0 = never.
    pub queue_deadline_ms: u64,
    /// From SIGTERM to exit, however busy. Default 10000 ms.
    pub drain_deadline_ms: u64,
    /// While draining: a connection that asks nothing for so long is closed. Default 300 ms.
    pub drain_idle_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 10_000,
            frame_bytes_max: wire::FRAME_BYTES_MAX,
            out_bytes_max: 256 * 1024,
            frame_deadline_ms: 5_000,
            idle_deadline_ms: 600_000,
            write_deadline_ms: 5_000,
            queue_deadline_ms: 200,
            drain_deadline_ms: 10_000,
            drain_idle_ms: 300,
        }
    }
}

impl Limits {
    /// What is wrong with these limits, all of it.
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut hold = |ok: bool, why: String| {
            if !ok {
                wrong.push(why);
            }
        };
        hold(self.connections_max >= 1, "limits.connections_max must be at least 1".into());
        hold(
            (wire::FRAME_HEADER_BYTES..=wire::FRAME_BYTES_MAX).contains(&self.frame_bytes_max) && self.frame_bytes_max >= 4096,
            format!("limits.frame_bytes_max = {} is not within 4096..={}", self.frame_bytes_max, wire::FRAME_BYTES_MAX),
        );
        hold(
            self.out_bytes_max >= ANSWERS_BYTES_MAX,
            format!("limits.out_bytes_max = {} cannot hold one reply of {ANSWERS_BYTES_MAX} bytes", self.out_bytes_max),
        );
        for (name, value) in [
            ("frame_deadline_ms", self.frame_deadline_ms),
            ("write_deadline_ms", self.write_deadline_ms),
            ("drain_deadline_ms", self.drain_deadline_ms),
        ] {
            hold(value >= TICK_MS, format!("limits.{name} = {value} is shorter than the {TICK_MS} ms tick that enforces it"));
        }
        hold(
            self.drain_idle_ms <= self.drain_deadline_ms,
            format!("limits.drain_idle_ms = {} exceeds limits.drain_deadline_ms = {}", self.drain_idle_ms, self.drain_deadline_ms),
        );
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_agree_with_each_other() {
        assert_eq!(Limits::default().check(), Vec::<String>::new());
    }

    #[test]
    fn names_every_limit_that_is_wrong() {
        let limits = Limits { connections_max: 0, out_bytes_max: 10, write_deadline_ms: 1, ..Limits::default() };
        let wrong = limits.check().join("\n");
        assert!(wrong.contains("connections_max") && wrong.contains("out_bytes_max") && wrong.contains("write_deadline_ms"), "{wrong}");
    }
}
