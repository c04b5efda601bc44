//! Places in a running daemon that bpftrace, perf and gdb can watch (USDT): a `nop` each and a note in the file, nothing more until somebody looks.
//!
//! | probe `verdictd:` | when | arguments |
//! |---|---|---|
//! | `batch` | a shard is about to look up all keys of a turn | keys, connections |
//! | `turn` | a shard has finished a turn that did work | nanoseconds |
//! | `reply` | replies of one connection were handed to the kernel | connection, nanoseconds since it was ready to be read |
//! | `late` | a connection waited past `limits.queue_deadline_ms`: its requests are answered *overloaded* | connection, milliseconds |
//! | `close` | a connection is closed | connection, reason: its place in `verdictd_connections_closed_total`'s list, from 0 |
//! | `adopt` | a shard answers from another generation from now on | generation |
//!
//! docs/probes.md has commands to type. The arguments are numbers that the shard has at hand: never a key, never an address of memory.

use crate::connection::Reason;

/// The keys of a turn.
#[inline(always)]
pub fn batch(keys: usize, connections: usize) {
    probe::probe!(verdictd, batch, keys, connections);
}

/// A turn that did work.
#[inline(always)]
pub fn turn(ns: u64) {
    probe::probe!(verdictd, turn, ns);
}

/// Replies of a connection are the kernel's.
#[inline(always)]
pub fn reply(connection: u32, ns: u64) {
    probe::probe!(verdictd, reply, connection, ns);
}

/// It waited for too long.
#[inline(always)]
pub fn late(connection: u32, ms: u64) {
    probe::probe!(verdictd, late, connection, ms);
}

/// A connection's end.
#[inline(always)]
pub fn close(connection: u32, reason: Reason) {
    probe::probe!(verdictd, close, connection, reason as u8);
}

/// Another generation.
#[inline(always)]
pub fn adopt(generation: u64) {
    probe::probe!(verdictd, adopt, generation);
}
