//! Steady-state lookups allocate nothing: a counting allocator under a whole daemon in this process, asked over TCP.
//!
//! ```text
//! warm up ── 300 rounds of frames of every kind and size ──┐ count ── 300 more rounds of the same ──┐ count: no allocation between
//! ```
//! The client side is made of buffers that were there before, so every allocation counted is the daemon's. Run in a release build for the
//! statement about the product: `cargo test --release -p verdict-perf --test no_allocation`.

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use verdict_keys::Scheme;
use verdict_perf::data::Corpus;
use verdict_perf::frame;
use verdict_perf::questions;
use verdict_perf::rules::RuleSet;
use verdict_perf::seed::Rng;
use verdictd::Daemon;
use verdictd::config::Config;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A client that allocates only when made.
struct Client {
    stream: TcpStream,
    requests: Vec<u8>,
    frames: usize,
    replies: Vec<u8>,
}

impl Client {
    fn new(address: SocketAddr, requests: Vec<u8>) -> Self {
        let mut frames = 0;
        let mut reply_bytes = 0;
        let mut rest = &requests[..];
        while let Some(received) = frame::Received::first(rest).expect("our own frames") {
            frames += 1;
            reply_bytes += frame::HEAD_BYTES + frame::GENERATION_BYTES + frame::ANSWER_BYTES * received.count;
            rest = &rest[received.bytes()..];
        }
        let stream = TcpStream::connect(address).expect("the daemon listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Client { stream, requests, frames, replies: vec![0; reply_bytes] }
    }

    /// All frames, pipelined, and all their answers.
    fn round(&mut self) {
        self.stream.write_all(&self.requests).expect("written");
        self.stream.read_exact(&mut self.replies).expect("answered");
        assert_eq!(self.replies[4], frame::ANSWERS);
    }

    /// Does what came back look like answers to all of it?
    fn check(&self) {
        let (mut rest, mut frames, mut known) = (&self.replies[..], 0, 0);
        while let Some(received) = frame::Received::first(rest).expect("frames") {
            known += received.answers().expect("answers").filter(|answer| answer.verdict_id != 0).count();
            frames += 1;
            rest = &rest[received.bytes()..];
        }
        assert!(frames == self.frames && known > 0, "{frames} frames, {known} known");
    }
}

fn requests(set: &RuleSet, corpus: &Corpus, generation: u64, rng: &Rng) -> Vec<u8> {
    let questions = questions::about(set, &corpus.benign, 3_000, rng);
    let mut out = Vec::new();
    let mut at = 0;
    for size in [1, 1, 7, 64, 100, 256, 1_000, 1_000] {
        frame::lookup(&mut out, at as u32, (at..at + size).map(|index| questions.get(index)));
        at += size;
    }
    frame::lookup_hashed(&mut out, 9, generation, false, &[[7; 16]; 256]);
    frame::lookup_hashed(&mut out, 10, generation, true, &[[9; 16]; 3]);
    out
}

/// Not a test of its own: the counter is of the whole process, and tests run side by side.
fn the_counter_sees_an_allocation() {
    let region = Region::new(ALLOCATOR);
    let boxed = std::hint::black_box(Box::new(5u64));
    assert!(region.change().allocations >= 1);
    drop(boxed);
}

#[test]
fn a_daemon_in_steady_state_allocates_nothing() {
    the_counter_sees_an_allocation();
    let rng = Rng::new(1);
    let corpus = Corpus::generated(20_000, &rng);
    let mut set = RuleSet::from_corpus(&corpus);
    let built = set.compile(verdict_simd::detect().expect("a backend"), Scheme::Full).expect("a snapshot");
    let path = std::env::temp_dir().join(format!("verdict-perf-no-allocation-{}.snap", std::process::id()));
    std::fs::write(&path, &built.bytes).expect("written");
    let mut config = Config::serving(&path);
    config.listen.tcp = vec![([127, 0, 0, 1], 0).into()];
    config.listen.admin = ([127, 0, 0, 1], 0).into();
    let daemon = Daemon::start(&config, false).expect("the daemon starts");
    // Connections until every shard has one, as far as the kernel spreads them.
    let mut clients: Vec<Client> = (0..8)
        .map(|number| Client::new(daemon.tcp[0], requests(&set, &corpus, built.generation, &rng.fork(&format!("client {number}")))))
        .collect();
    for round in 0..300 {
        clients.iter_mut().for_each(Client::round);
        if round == 0 {
            clients.iter().for_each(Client::check);
        }
    }
    let region = Region::new(ALLOCATOR);
    for _ in 0..300 {
        clients.iter_mut().for_each(Client::round);
    }
    let change = region.change();
    clients.iter().for_each(Client::check);
    let keys = 300 * clients.len() * (2_429 + 259);
    println!("{keys} keys, release build: {}, {change:?}", !cfg!(debug_assertions));
    assert_eq!((change.allocations, change.reallocations, change.bytes_allocated), (0, 0, 0), "{change:?}");
    drop(clients);
    daemon.drain();
    daemon.join().expect("the daemon ends");
    std::fs::remove_file(path).expect("the snapshot goes");
}
