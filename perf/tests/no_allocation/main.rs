//! Steady-state lookups allocate nothing: a counting allocator under a whole daemon in this process, asked over TCP.
//!
//! ```text
//! warm up ── rounds of frames of every kind and size ──┐ count ── more rounds of the same ──┐ count: no allocation between
//! block and unblock keys of every kind, and once more
//! ```
//! Two exceptions are measured apart: a host that is not ASCII goes through the `idna` crate, which allocates (verdict-keys), and so does rustls a record.
//! The client side is made of buffers that were there before, so every allocation counted is the daemon's. Run in a release build for the
//! statement about the product: `cargo test --release -p verdict-perf --test no_allocation`.

mod edges;

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edges::occurrences;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use verdict_keys::{Batch, Kind, Scheme};
use verdict_perf::data::Corpus;
use verdict_perf::frame;
use verdict_perf::questions;
use verdict_perf::registry::Registry;
use verdict_perf::rules::{RuleSet, Subject};
use verdict_perf::seed::Rng;
use verdict_simd::{Backend, Key128};
use verdict_tables::{Snapshot, flag};
use verdict_wire::{Act, ActRequest, Class, FeatureSet, FileQuestion, FilesWriter, KeyKind, Outcome, TOLD_BYTES_MAX, Told, read_message};
use verdictd::Daemon;
use verdictd::config::Config;
use verdictd::driver::{self, Choice, Output};
use verdictd::edge::guard::peer::Peer;
use verdictd::edge::http::Ask;
use verdictd::edge::{Edges, Speech};
use verdictd::inline::keeper::{Keeper, Looked};
use verdictd::limits::Limits;
use verdictd::metrics::ShardMetrics;
use verdictd::pipeline::{Pipeline, Turn};
use verdictd::shadow::tap::{Feed, Tap};

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

    /// Answers of a round that an operator's act decided.
    fn decided(&self) -> usize {
        let (mut rest, mut decided) = (&self.replies[..], 0);
        while let Some(received) = frame::Received::first(rest).expect("frames") {
            decided += received.answers().expect("answers").filter(|answer| answer.told.flags & flag::FROM_DELTA != 0).count();
            rest = &rest[received.bytes()..];
        }
        decided
    }
}

/// Keys of every kind that are blocked; the first host is unblocked instead.
const ACTED: [(Kind, &[u8]); 8] = [
    (Kind::Host, b"cleared.operator.example"),
    (Kind::Host, b"blocked.operator.example"),
    (Kind::Url, b"http://urls.operator.example/a/b?c"),
    (Kind::Ipv4, &[203, 0, 113, 213]),
    (Kind::Ipv6, &[0x20, 1, 0xd, 0xb8, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
    (Kind::Sha256, &[0xA1; 32]),
    (Kind::Sha1, &[0xA2; 20]),
    (Kind::Md5, &[0xA3; 16]),
];
/// Questions that these hold for beside the keys themselves, and then such that nothing holds for.
const HELD: [(Kind, &[u8]); 4] = [
    (Kind::Url, b"http://cleared.operator.example/any/where?x"),
    (Kind::Url, b"HTTP://Blocked.operator.example:80/./x"),
    (Kind::Url, b"http://203.0.113.213/x"),
    (Kind::Host, b"[2001:db8:ffff::7]"),
];
const MISSED: [(Kind, &[u8]); 4] = [
    (Kind::Url, b"http://urls.operator.example/a/b?other"),
    (Kind::Host, b"www.blocked.operator.example"),
    (Kind::Ipv4, &[203, 0, 113, 214]),
    (Kind::Md5, &[0xA4; 16]),
];
/// Of the keys acted on these have a key that clients can hash: hosts, the URL, files.
const HASHED: [usize; 6] = [0, 1, 2, 5, 6, 7];

/// The keys of `HASHED` as a client makes them.
fn hashed(snapshot: &Snapshot) -> Vec<[u8; 16]> {
    let backend = verdict_simd::detect().expect("a backend");
    let mut batch = Batch::with_capacity(1);
    let key = |(kind, bytes): (Kind, &[u8])| {
        batch.clear();
        batch.push(backend, snapshot.schedule(), snapshot.profile(), kind, bytes);
        let (item, mut key) = (&batch.items()[0], [Key128::default()]);
        let (host, path) = (item.hosts.at as usize, item.paths.at as usize);
        match kind {
            Kind::Url => backend.pair(snapshot.schedule(), batch.hosts()[host], &batch.paths()[path..=path], &mut key),
            _ => key[0] = batch.keys()[host],
        }
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&key[0].lo.to_le_bytes());
        bytes[8..].copy_from_slice(&key[0].hi.to_le_bytes());
        bytes
    };
    HASHED.map(|index| ACTED[index]).map(key).to_vec()
}

/// As `verdictctl block` and `unblock` do.
fn act_on_all(control: &Path) {
    for (number, (kind, key)) in ACTED.into_iter().enumerate() {
        let (act, class) = if number == 0 { (Act::Unblock, Class::Unknown) } else { (Act::Block, Class::Malicious) };
        let mut message = Vec::new();
        let kind = KeyKind::from_raw(kind as u8);
        ActRequest { act, kind, class, ttl_s: 3600, key, reason: "a test" }.encode(&mut message);
        let mut stream = UnixStream::connect(control).expect("the control socket");
        stream.write_all(&message).expect("written");
        let reply = read_message(&mut stream, TOLD_BYTES_MAX).expect("a reply");
        let told = Told::decode(&reply).expect("well formed");
        assert_eq!(told.outcome, Outcome::Done, "{}", told.text);
    }
}

fn is_text(kind: u8) -> bool {
    kind == Kind::Url as u8 || kind == Kind::Host as u8
}

/// Frames of all sizes and kinds; with questions whose host may need IDNA only where `idna` says so.
fn requests(set: &RuleSet, corpus: &Corpus, snapshot: &Snapshot, idna: bool, rng: &Rng) -> Vec<u8> {
    let generation = snapshot.generation();
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
    let about_acts = [&ACTED[..], &HELD, &MISSED].concat();
    frame::lookup(&mut out, 11, about_acts.iter().map(|(kind, bytes)| (*kind as u8, *bytes)));
    frame::lookup_hashed(&mut out, 12, generation, 0, &hashed(snapshot));
    out
}

const SIZES: [usize; 8] = [1, 1, 7, 64, 100, 256, 1_000, 1_000];
/// Until every buffer has the size that it keeps.
const WARM_UP: usize = 10;
const ROUNDS: usize = 40;
/// Where a thousand files are asked in each.
const FILE_ROUNDS: usize = 3;
/// Where something is counted in each of them.
const FOREIGN_ROUNDS: usize = 10;
/// Counts of so many rounds, of which one must be free of what a starved machine adds.
const COUNTS: usize = 12;
/// Allocations and reallocations of IDNA for one host: one list that grows a few times, of labels or of a message.
const IDNA_ALLOCATIONS_MAX: usize = 12;

/// What the whole process does with memory meanwhile.
fn counted(work: impl FnOnce()) -> stats_alloc::Stats {
    let region = Region::new(ALLOCATOR);
    work();
    region.change()
}

fn count(clients: &mut [Client], rounds: usize) -> stats_alloc::Stats {
    for _ in 0..WARM_UP {
        clients.iter_mut().for_each(Client::round);
    }
    let change = counted(|| (0..rounds).for_each(|_| clients.iter_mut().for_each(Client::round)));
    clients.iter().for_each(Client::check);
    change
}

/// A shard that nobody asks for 50 ms parks in its executor, whose timers allocate: on a machine that starves us that is no lookup, so one of the
/// counts must be free of it. What a lookup allocates would be in each.
fn nothing_is_allocated(clients: &mut [Client], what: &str) {
    let nothing = |change: &stats_alloc::Stats| change.allocations + change.reallocations == 0;
    let mut change = count(clients, ROUNDS);
    for _ in 1..COUNTS {
        if nothing(&change) {
            break;
        }
        change = count(clients, ROUNDS);
    }
    let keys = ROUNDS * clients.len() * (SIZES.iter().sum::<usize>() + 259 + ACTED.len() + HELD.len() + MISSED.len() + HASHED.len());
    println!("{what}: {keys} keys, release build: {}, {change:?}", !cfg!(debug_assertions));
    assert_eq!((change.allocations, change.reallocations, change.bytes_allocated), (0, 0, 0), "{what}: {change:?}");
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
    let corpus = Corpus::generated(10_000, &rng);
    let mut set = RuleSet::from_corpus(&corpus);
    set.add_signatures(500);
    let signatures = set.rules.iter().filter(|(subject, _)| matches!(subject, Subject::Signature { .. })).count();
    assert!(signatures > 50, "texts are kept and sifted only where there are signatures");
    let built = set.compile(verdict_simd::detect().expect("a backend"), Scheme::Full).expect("a snapshot");
    let path = std::env::temp_dir().join(format!("verdict-perf-no-allocation-{}.snap", std::process::id()));
    std::fs::write(&path, &built.bytes).expect("written");
    let snapshot = Snapshot::load(&path).expect("it is sound");
    let requests_of = |idna, number| requests(&set, &corpus, &snapshot, idna, &rng.fork(&format!("client {number}")));
    for driver in [Choice::Epoll, Choice::Ring] {
        if let Err(error) = driver::Kind::choose(driver) {
            println!("SKIPPED: {driver:?} is not to be had here: {error}");
            continue;
        }
        let edges = [edges::authorizations(&set, &corpus, &rng), edges::notifies(&set, &corpus, &rng)];
        a_daemon_allocates_nothing(driver, &path, &requests_of, &edges);
    }
    a_pipeline_with_models_allocates_nothing(&path, &snapshot, &requests_of(false, 0));
    let directory = path.with_extension("tls");
    std::fs::create_dir(&directory).expect("a directory");
    edges::a_record_of_tls_allocates_little(&directory);
    std::fs::remove_dir_all(directory).expect("the certificate goes");
    std::fs::remove_file(path).expect("the snapshot goes");
}

/// Files: every fifth a program, all different, the others digests alone. In a debug build a program's row takes half a millisecond.
fn files(count: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let mut writer = FilesWriter::new(&mut frame, 13);
    for number in 0..count {
        let sha256 = std::array::from_fn(|at| (number >> (8 * (at % 4))) as u8);
        let values: [i64; 49] = std::array::from_fn(|at| ((number * 49 + at) as i64 * 0x9E37) % (1 << (at % 40)));
        let whole = FileQuestion { sha256, features: FeatureSet::Pe1.raw(), values: &values };
        writer.push(&if number % 5 == 0 { whole } else { FileQuestion::of_digest(sha256) }).expect("it fits");
    }
    assert_eq!(writer.finish(), Ok(count));
    frame
}

/// What is scored, with no daemon around it: the one who reads registries looks at the clock, and that allocates. Nothing is remembered here, and every unknown
/// URL and program is asked about each time. Every key goes to rules on trial as well, which fetch some of them, so that the queue is full at times.
fn a_pipeline_with_models_allocates_nothing(path: &Path, snapshot: &Snapshot, requests: &[u8]) {
    let registry = Registry::of(100.0, &["url", "pe"]).expect("a registry");
    let mut config = Config::serving(path);
    config.models.directory.clone_from(&registry.directory);
    config.models.keys = vec![registry.key.clone()];
    (config.models.cache_bytes, config.models.budget_us, config.models.budget_us_max) = (0, 1_000_000, 1_000_000);
    let mut keeper = Keeper::open(&config, 1).expect("a key").expect("models are wanted");
    let served = match keeper.look(verdictd::trust::now_s()) {
        Looked::New(served) => served,
        other => panic!("{other:?}"),
    };
    let mut pipeline = Pipeline::new(verdict_simd::detect().expect("a backend"));
    pipeline.models(served.clone(), 0);
    let (feed, mut fetched) = (Arc::new(Feed::new(256)), 0);
    feed.want(true);
    pipeline.tap(Some(Tap::new(feed.clone(), 1, 0)));
    let (limits, metrics, mut output) =
        (Limits { out_bytes_max: 8 << 20, ..Limits::default() }, ShardMetrics::default(), Output::default());
    let edges = Edges::default();
    let mut round = |requests: &[u8]| {
        let (mut rest, turn) =
            (requests, Turn { snapshot, limits: &limits, metrics: &metrics, draining: false, edges: &edges, peer: Peer::ANYBODY });
        while !rest.is_empty() {
            let taken = pipeline.take(&turn, 0, &mut Speech::Binary, rest, &mut output, false);
            rest = &rest[taken.consumed..];
            if pipeline.answer(&turn, &mut output) {
                pipeline.score(&turn, &mut output);
            }
        }
        output.bytes.clear();
        fetched += std::iter::from_fn(|| feed.take()).count();
    };
    let files = files(1_000);
    (0..WARM_UP).for_each(|_| round(requests));
    (0..FILE_ROUNDS).for_each(|_| round(&files));
    let before = metrics.model_scored.get();
    let region = Region::new(ALLOCATOR);
    (0..ROUNDS).for_each(|_| round(requests));
    (0..FILE_ROUNDS).for_each(|_| round(&files));
    let change = region.change();
    let scored = metrics.model_scored.get() - before;
    let programs = served.total(1, |counts| &counts.rows);
    println!("models: {scored} keys scored, {change:?}; {programs} programs in all");
    assert!(programs > 200 * FILE_ROUNDS as u64, "{programs}: of twice as many rows more than half are scored");
    let dropped = metrics.shadow_dropped.get();
    println!("rules on trial: {fetched} keys fetched, {dropped} dropped");
    assert!(fetched > 100 * ROUNDS && dropped > 100 * ROUNDS as u64, "{fetched} fetched, {dropped} dropped");
    assert!(scored > 1_000 * ROUNDS as u64 / 2, "{scored}: the share of CPU or the deadline left too many out");
    assert_eq!((change.allocations, change.reallocations, change.bytes_allocated), (0, 0, 0), "{change:?}");
}

/// Of the streams nothing is promised: the executor allocates for each of its polls.
fn a_daemon_allocates_nothing(
    driver: Choice,
    snapshot: &Path,
    requests_of: &dyn Fn(bool, usize) -> Vec<u8>,
    [authorizations, notifies]: &[edges::Asked; 2],
) {
    let mut config = Config::serving(snapshot);
    config.shards.driver = driver;
    // One, so that none is left without connections: it would park, and the executor's timers allocate.
    config.shards.count = 1;
    config.listen.tcp = vec![([127, 0, 0, 1], 0).into()];
    config.listen.admin = ([127, 0, 0, 1], 0).into();
    config.listen.http = vec![([127, 0, 0, 1], 0).into()];
    config.http.ask = vec![Ask::Url, Ask::Src];
    config.listen.spop = vec![([127, 0, 0, 1], 0).into()];
    config.spop.variables = edges::VARIABLES.to_vec();
    let directory: PathBuf = snapshot.with_extension("overlay");
    config.listen.control = directory.with_extension("sock");
    config.overlay.directory.clone_from(&directory);
    let daemon = Daemon::start(&config, false).expect("the daemon starts");
    let clients = |idna| -> Vec<Client> { (0..8).map(|number| Client::new(daemon.tcp[0], requests_of(idna, number))).collect() };
    let mut plain = clients(false);
    nothing_is_allocated(&mut plain, &format!("{driver:?}"));
    assert!(plain.iter().all(|client| client.decided() == 0), "nobody has acted");
    let replies = authorizations.allocates_nothing(daemon.http[0], &format!("{driver:?}, HTTP"));
    let of = |status: &str| occurrences(&replies, format!("HTTP/1.1 {status}").as_bytes());
    assert!(of("200") > 10 && of("403") > 10, "{} and {}", of("200"), of("403"));
    let acks = notifies.allocates_nothing(daemon.spop[0], &format!("{driver:?}, SPOP"));
    let of = |class: &[u8]| occurrences(&acks, &[b"\x05class\x08", &[class.len() as u8][..], class].concat());
    assert!(of(b"malicious") > 10 && of(b"unknown") > 10, "{} and {}", of(b"malicious"), of(b"unknown"));
    assert_eq!(occurrences(&acks, b"\x06source\x08\x08operator"), 0);
    act_on_all(&config.listen.control);
    let acks = notifies.allocates_nothing(daemon.spop[0], &format!("{driver:?}, SPOP, with acts in force"));
    assert!(occurrences(&acks, b"\x06source\x08\x08operator") > 0);
    nothing_is_allocated(&mut plain, &format!("{driver:?}, with acts in force"));
    let decided = ACTED.len() + HELD.len() + HASHED.len();
    assert!(plain.iter().all(|client| client.decided() == decided), "{} of {decided} are decided", plain[0].decided());
    drop(plain);
    let mut foreign = clients(true);
    let change = count(&mut foreign, FOREIGN_ROUNDS);
    let per_round = (change.allocations + change.reallocations) / FOREIGN_ROUNDS;
    let hosts: usize = foreign.iter().map(Client::foreign_questions).sum();
    println!("with {hosts} hosts a round that are not ASCII: {per_round} allocations a round");
    assert!(hosts > 0 && per_round <= IDNA_ALLOCATIONS_MAX * hosts, "{change:?}");
    drop(foreign);
    daemon.drain();
    daemon.join().expect("the daemon ends");
    std::fs::remove_dir_all(directory).expect("the journal goes");
}
