//! What a shard tells of itself: how long a request took, and why a key is answered as it is.

use super::{Shard, ShardSetup};
use crate::driver::Driver;
use crate::page::ask::Told;
use crate::probes;
use crossbeam::channel::Sender;
use verdict_simd::Backend;

/// The replies of a connection are the kernel's: one look at the clock for each connection of a turn, whatever the number of keys.
#[inline]
pub(super) fn note_reply(setup: &ShardSetup, connection: u32, ready_ns: u64) {
    let ns = (setup.started.elapsed().as_nanos() as u64).saturating_sub(ready_ns);
    setup.times.requests.note(ns);
    probes::reply(connection, ns);
}

impl<B: Backend, D: Driver> Shard<B, D> {
    /// Between two turns. Whoever asked may have gone.
    pub(super) fn tell(&mut self, kind: u8, key: &[u8], reply: &Sender<Told>) {
        let snapshot = self.setup.snapshot.clone();
        let frame = self.pipeline.explanation(&snapshot, kind, key);
        let _ = reply.try_send(Told { frame, snapshot });
    }
}
