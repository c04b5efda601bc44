//! Steady-state lookups allocate nothing: a counting allocator under a whole daemon in this process, asked over TCP.
//!
//! ```text
//! warm up ── 300 rounds of frames of every kind and size ──┐ count ── 300 more rounds of the same ──┐ count: no allocation between
//! ```
//! One exception is documented in verdict-keys and measured apart: a host that is not ASCII goes through the `idna` crate, which allocates.
//! The client side is made of buffers that were there before, so every allocation counted is the daemon's. Run in a release build for the
//! statement about the product: `cargo test --release -p verdict-perf --test no_allocation`.

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use verdict_keys::{Kind, Scheme};
use verdict_perf::data::Corpus;
use verdict_perf::frame;
use verdict_perf::questions;
use verdict_perf::rules::{RuleSet, Subject};
use verdict_perf::seed::Rng;
use verdictd::Daemon;
use verdictd::config::Config;
use verdictd::driver::{self, Choice};

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

    /// Questions of a round with bytes beyond ASCII.
    fn foreign_questions(&self) -> usize {
        let requests =
            verdict_wire::Frames::new(&self.requests).map(|frame| frame.expect("our own frames").request().expect("our own requests"));
        let of = |request| match request {
            verdict_wire::Request::Lookup(keys) => keys.into_iter().filter(|(kind, bytes)| is_text(*kind) && !bytes.is_ascii()).count(),
            _ => 0,
        };
        requests.map(of).sum()
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

fn is_text(kind: u8) -> bool {
    kind == Kind::Url as u8 || kind == Kind::Host as u8
}

/// Frames of all sizes and kinds; with questions whose host may need IDNA only where `idna` says so.
fn requests(set: &RuleSet, corpus: &Corpus, generation: u64, idna: bool, rng: &Rng) -> Vec<u8> {
    let questions = questions::about(set, &corpus.benign, 6_000, rng);
    let wanted: Vec<frame::Question<'_>> = questions.iter().filter(|(kind, bytes)| idna || !is_text(*kind) || bytes.is_ascii()).collect();
    let mut out = Vec::new();
    let mut at = 0;
    for size in SIZES {
        frame::lookup(&mut out, at as u32, wanted[at..at + size].iter().copied());
        at += size;
    }
    frame::lookup_hashed(&mut out, 9, generation, 0, &[[7; 16]; 256]);
    frame::lookup_hashed(&mut out, 10, generation, 3, &[[9; 16]; 3]);
    out
}

const SIZES: [usize; 8] = [1, 1, 7, 64, 100, 256, 1_000, 1_000];
const ROUNDS: usize = 60;
/// Counts of so many rounds, of which one must be free of what a starved machine adds.
const COUNTS: usize = 12;
/// Allocations and reallocations of IDNA for one host: one list that grows a few times, of labels or of a message.
const IDNA_ALLOCATIONS_MAX: usize = 12;

fn count(clients: &mut [Client]) -> stats_alloc::Stats {
    for round in 0..ROUNDS {
        clients.iter_mut().for_each(Client::round);
        if round == 0 {
            clients.iter().for_each(Client::check);
        }
    }
    let region = Region::new(ALLOCATOR);
    for _ in 0..ROUNDS {
        clients.iter_mut().for_each(Client::round);
    }
    let change = region.change();
    clients.iter().for_each(Client::check);
    change
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
    set.add_signatures(500);
    let signatures = set.rules.iter().filter(|(subject, _)| matches!(subject, Subject::Signature { .. })).count();
    assert!(signatures > 50, "texts are kept and sifted only where there are signatures");
    let built = set.compile(verdict_simd::detect().expect("a backend"), Scheme::Full).expect("a snapshot");
    let path = std::env::temp_dir().join(format!("verdict-perf-no-allocation-{}.snap", std::process::id()));
    std::fs::write(&path, &built.bytes).expect("written");
    let requests_of = |idna, number| requests(&set, &corpus, built.generation, idna, &rng.fork(&format!("client {number}")));
    for driver in [Choice::Epoll, Choice::Ring] {
        if let Err(error) = driver::Kind::choose(driver) {
            println!("SKIPPED: {driver:?} is not to be had here: {error}");
            continue;
        }
        a_daemon_allocates_nothing(driver, &path, &requests_of);
    }
    std::fs::remove_file(path).expect("the snapshot goes");
}

/// Of the streams nothing is promised: the executor allocates for each of its polls.
fn a_daemon_allocates_nothing(driver: Choice, snapshot: &Path, requests_of: &dyn Fn(bool, usize) -> Vec<u8>) {
    let mut config = Config::serving(snapshot);
    config.shards.driver = driver;
    // One, so that none is left without connections: it would park, and the executor's timers allocate.
    config.shards.count = 1;
    config.listen.tcp = vec![([127, 0, 0, 1], 0).into()];
    config.listen.admin = ([127, 0, 0, 1], 0).into();
    let daemon = Daemon::start(&config, false).expect("the daemon starts");
    let clients = |idna| -> Vec<Client> { (0..8).map(|number| Client::new(daemon.tcp[0], requests_of(idna, number))).collect() };
    let mut plain = clients(false);
    // A shard that nobody asks for 50 ms parks in its executor, whose timers allocate: on a machine that starves us that is no lookup, so
    // one of the counts must be free of it. What a lookup allocates would be in each.
    let nothing = |change: &stats_alloc::Stats| change.allocations + change.reallocations == 0;
    let change = std::iter::repeat_with(|| count(&mut plain)).take(COUNTS - 1).find(nothing).unwrap_or_else(|| count(&mut plain));
    let keys = ROUNDS * plain.len() * (SIZES.iter().sum::<usize>() + 259);
    println!("{driver:?}: {keys} keys, release build: {}, {change:?}", !cfg!(debug_assertions));
    assert_eq!((change.allocations, change.reallocations, change.bytes_allocated), (0, 0, 0), "{change:?}");
    drop(plain);
    let mut foreign = clients(true);
    let change = count(&mut foreign);
    let per_round = (change.allocations + change.reallocations) / ROUNDS;
    let hosts: usize = foreign.iter().map(Client::foreign_questions).sum();
    println!("with {hosts} hosts a round that are not ASCII: {per_round} allocations a round");
    assert!(hosts > 0 && per_round <= IDNA_ALLOCATIONS_MAX * hosts, "{change:?}");
    drop(foreign);
    daemon.drain();
    daemon.join().expect("the daemon ends");
}
