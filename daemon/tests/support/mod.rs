//! A daemon in this process, a snapshot of a few rules, and a peer that speaks frames over real sockets.
#![allow(dead_code, missing_docs)]

pub mod switches;

use ed25519_dalek::{Signer, SigningKey};
use rustix::net::{self, AddressFamily, SocketType, sockopt};
use sha2::{Digest as _, Sha256};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use verdict_keys::{Digest, Scheme};
use verdict_tables::manifest::{Directory, Manifest, Part, PublicKey, read_canaries};
use verdict_tables::{Builder, Class, Rule, Source, Vote};
use verdict_wire as wire;
use verdictd::Daemon;
use verdictd::config::{Config, SnapshotConfig};
use verdictd::driver::{Choice, Kind};
use wire::{Answer, KeyKind, Reply};

thread_local! {
    static DRIVER: Cell<Choice> = const { Cell::new(Choice::Auto) };
}

/// Runs a test with every daemon of its thread on this driver.
pub fn over(driver: Choice, test: fn()) {
    match Kind::choose(driver) {
        Ok(_) => {
            DRIVER.set(driver);
            test();
        }
        Err(error) => println!("SKIPPED: {driver:?} is not to be had here: {error}"),
    }
}

/// Each of these tests, once over each driver.
macro_rules! every_driver {
    ($($name:ident,)*) => {
        $(mod $name {
            use crate::support::over;
            use verdictd::driver::Choice;

            #[test]
            fn ring() {
                over(Choice::Ring, super::$name);
            }

            #[test]
            fn streams() {
                over(Choice::Streams, super::$name);
            }

            #[test]
            fn epoll() {
                over(Choice::Epoll, super::$name);
            }

            #[test]
            fn plain() {
                over(Choice::Plain, super::$name);
            }
        })*
    };
}

/// A directory of this test's own, removed at its end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("verdictd-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub const EICAR_MD5: [u8; 16] = [0x44, 0xd8, 0x86, 0x12, 0xfe, 0xa8, 0xa8, 0xf3, 0x6d, 0xe8, 0x2e, 0x12, 0x78, 0xab, 0xb0, 0x2f];

pub fn vote(source: u16, class: Class) -> Vote {
    Vote {
        source,
        class,
        allow: false,
        overrides: false,
        score: 90,
        confidence: 80,
        categories: 1,
        first_seen_day: 20_000,
        last_seen_day: 20_100,
        ttl_s: 3600,
    }
}

/// `evil.test` below and above, one URL, one network, one file; what is malicious in one is unknown in the other.
pub fn write_snapshot(path: &Path, marker: &str, class: Class) {
    let url = Rule::Url { host: "shared.test", path_query: "/bad.php", prefix: false, subdomains: false };
    let network = Rule::Net { network: Ipv4Addr::new(192, 0, 2, 0).into(), bits: 24 };
    let (evil, marker) = (Rule::Host { host: "evil.test", subdomains: true }, Rule::Host { host: marker, subdomains: false });
    write_rules(path, &[evil, url, network, Rule::File(Digest::Md5(EICAR_MD5)), marker].map(|rule| (rule, vote(0, class))));
}

/// Rules of one source, whose number is 0.
pub fn write_rules(path: &Path, rules: &[(Rule<'_>, Vote)]) {
    let mut builder = Builder::new(Scheme::Full, b"test", 1_700_000_000);
    builder.source(Source { name: "unit test", licence: "none" });
    rules.iter().for_each(|(rule, vote)| builder.add(*rule, *vote).unwrap());
    let built = builder.build(verdict_simd::detect().unwrap()).unwrap();
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, &built.bytes).unwrap();
    std::fs::rename(&temporary, path).unwrap();
}

/// A published directory as `verdictctl publish` makes it, signed by a key that everybody knows (RFC 8032, test 1), and a state directory beside it.
pub struct Site {
    scratch: Scratch,
}

/// What is signed, before it is.
pub type Amend<'a> = &'a dyn Fn(&mut Manifest);

impl Site {
    pub fn new() -> Self {
        let site = Site { scratch: Scratch::new() };
        std::fs::create_dir_all(site.path().join("parts")).unwrap();
        std::fs::write(site.scratch.join("keys.pub"), Self::public(1).line("")).unwrap();
        site
    }

    pub fn path(&self) -> PathBuf {
        self.scratch.join("published")
    }

    pub fn state(&self) -> PathBuf {
        self.scratch.join("state")
    }

    fn key(number: u8) -> SigningKey {
        SigningKey::from_bytes(&[number; 32])
    }

    fn public(number: u8) -> PublicKey {
        PublicKey::from_bytes(Self::key(number).verifying_key().as_bytes()).unwrap()
    }

    pub fn config(&self) -> Config {
        let mut config = config(&self.scratch);
        config.snapshot = SnapshotConfig {
            directory: self.path(),
            keys: vec![self.scratch.join("keys.pub")],
            state: self.state(),
            poll_s: 1,
            ..SnapshotConfig::default()
        };
        config
    }

    /// The parts, and what would be signed of them: good for an hour, with one canary.
    pub fn write_parts(&self, epoch: u64, marker: &str) -> Manifest {
        let path = self.scratch.join("next.snap");
        write_snapshot(&path, marker, Class::Malicious);
        let snapshot = verdict_tables::Snapshot::load(&path).unwrap();
        let mut parts = Vec::new();
        for content in snapshot.as_bytes().chunks(4096) {
            let part = Part { sha256: Sha256::digest(content).into(), bytes: content.len() as u64 };
            std::fs::write(Directory::new(self.path()).part(&part), content).unwrap();
            parts.push(part);
        }
        let now_s = verdictd::trust::now_s();
        Manifest {
            epoch,
            created_s: now_s,
            expires_s: now_s + 3600,
            rollback: false,
            generation: snapshot.generation(),
            sha256: *snapshot.sha256(),
            rules: snapshot.stats().rules_total(),
            snapshot_bytes: snapshot.as_bytes().len() as u64,
            formats: (verdict_tables::layout::VERSION, verdict_tables::layout::VERSION),
            stage: 100,
            salt: [0; 16],
            parts,
            canaries: read_canaries("evil.test\tmalicious\n").unwrap(),
        }
    }

    pub fn sign(&self, manifest: &Manifest, key: u8) -> Vec<u8> {
        let mut bytes = manifest.encode().unwrap();
        let signature = Self::key(key).sign(&bytes).to_bytes();
        bytes.extend(Self::public(key).id().0);
        bytes.extend(signature);
        bytes
    }

    pub fn put(&self, manifest: &[u8]) {
        let temporary = self.path().join("manifest.tmp");
        std::fs::write(&temporary, manifest).unwrap();
        std::fs::rename(&temporary, self.path().join("manifest")).unwrap();
    }

    /// A sound one by the known key, changed by `amend` before it is signed. Its generation.
    pub fn publish(&self, epoch: u64, marker: &str, amend: Amend<'_>) -> u64 {
        let mut manifest = self.write_parts(epoch, marker);
        amend(&mut manifest);
        self.put(&self.sign(&manifest, 1));
        manifest.generation
    }
}

/// One shard on loopback, kernel-chosen ports, the snapshot of `write_snapshot`.
pub fn config(scratch: &Scratch) -> Config {
    let snapshot = scratch.join("current.snap");
    if !snapshot.exists() {
        write_snapshot(&snapshot, "marker-one.test", Class::Malicious);
    }
    let mut config = Config::serving(snapshot);
    config.listen.tcp = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    config.listen.admin = SocketAddr::from(([127, 0, 0, 1], 0));
    config.listen.unix = scratch.join("verdictd.sock");
    config.admin.token = scratch.join("token");
    std::fs::write(&config.admin.token, "the-token-of-a-test\n").unwrap();
    config.limits.connections_max = 200;
    config.limits.queue_deadline_ms = 0; // a machine busy with other tests may stop us for longer; lateness has tests of its own
    config.shards.count = 1;
    config.shards.driver = DRIVER.get();
    config
}

/// An address on loopback for who has to know it before it listens. A socket that never listens holds its port while this process lives: the kernel chooses
/// it for nobody, who names it may listen, also again, as all of ours and the proxies do with SO_REUSEADDR.
pub fn free() -> SocketAddr {
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = net::getsockname(&socket).unwrap().try_into().unwrap();
    let _held = socket.into_raw_fd();
    address
}

/// What opens every page of the admin listener.
pub const AUTHORIZATION: &str = "Authorization: Bearer the-token-of-a-test\r\n";

pub fn start(config: &Config) -> Daemon {
    Daemon::start(config, false).unwrap_or_else(|error| panic!("{error}"))
}

/// Drains and joins, within a bound.
pub fn stop(daemon: Daemon) {
    daemon.drain();
    let began = Instant::now();
    daemon.join().unwrap();
    assert!(began.elapsed() < Duration::from_secs(15), "drain took {:?}", began.elapsed());
}

/// A peer on any stream socket.
pub struct Peer<S> {
    pub stream: S,
    received: Vec<u8>,
}

impl Peer<TcpStream> {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer::over(stream)
    }
}

/// A reply, taken out of the receive buffer.
#[derive(Debug, PartialEq)]
pub enum Got {
    Answers { id: u32, generation: u64, flags: u32, answers: Vec<Answer> },
    Pong { id: u32, payload: Vec<u8> },
    Hello { id: u32, generation: u64, hash_key: wire::HashKey },
    Descriptions { id: u32, sources: Vec<Vec<String>>, classes: Vec<wire::Class> },
    Explanation { id: u32, explained: wire::Explained },
    Error { id: u32, code: wire::ErrorCode, closing: bool },
}

impl<S: Read + Write> Peer<S> {
    pub fn over(stream: S) -> Self {
        Peer { stream, received: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next reply, or `None` when the daemon has closed the connection.
    pub fn receive(&mut self) -> Option<Got> {
        let mut chunk = [0; 64 * 1024];
        loop {
            if let Some(frame) = wire::next_frame(&self.received).unwrap() {
                let got = got(&frame);
                let bytes = frame.bytes();
                self.received.drain(..bytes);
                return Some(got);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(bytes) => self.received.extend_from_slice(&chunk[..bytes]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                // The preflight's ring, which this thread has just closed, may still interrupt it.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("receive: {error}"),
            }
        }
    }

    pub fn ask(&mut self, keys: &[(KeyKind, &[u8])]) -> Vec<Answer> {
        self.send(&lookup(7, keys));
        match self.receive() {
            Some(Got::Answers { id: 7, answers, .. }) => answers,
            other => panic!("expected answers, got {other:?}"),
        }
    }

    pub fn class_of(&mut self, host: &str) -> wire::Class {
        self.ask(&[(KeyKind::Host, host.as_bytes())])[0].class()
    }
}

fn got(frame: &wire::Frame<'_>) -> Got {
    let (id, flags) = (frame.header.request_id, frame.header.flags);
    match frame.reply().unwrap() {
        Reply::Answers(list) => Got::Answers { id, generation: list.generation, flags, answers: list.answers.to_vec() },
        Reply::Pong(pong) => Got::Pong { id, payload: pong.payload.to_vec() },
        Reply::Hello(hello) => Got::Hello { id, generation: hello.generation, hash_key: hello.hash_key },
        Reply::Descriptions(list) => {
            let (mut sources, mut classes) = (Vec::new(), Vec::new());
            for (fixed, names) in list {
                classes.push(fixed.class());
                sources.push(names.map(str::to_owned).collect());
            }
            Got::Descriptions { id, sources, classes }
        }
        Reply::Explanation(explanation) => Got::Explanation { id, explained: explanation.to_owned() },
        Reply::Error(error) => Got::Error { id, code: error.code(), closing: flags & wire::REPLY_CLOSING != 0 },
    }
}

pub fn lookup(id: u32, keys: &[(KeyKind, &[u8])]) -> Vec<u8> {
    let mut frame = Vec::new();
    wire::encode_lookup(&mut frame, id, keys.iter().map(|(kind, key)| (kind.raw(), *key))).unwrap();
    frame
}

pub fn explain(id: u32, kind: KeyKind, key: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    wire::encode_explain(&mut frame, id, kind.raw(), key).unwrap();
    frame
}

pub fn ping(id: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    wire::encode_ping(&mut frame, id, payload).unwrap();
    frame
}

/// Polls until it holds, for five seconds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(5), "did not happen: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A directory of models as `verdictctl models publish` leaves it: the artefacts of this repository, under registries of a test's own.
pub struct Models {
    scratch: Scratch,
}

/// The table of one model; `file` is the artefact. It may take all of the CPU, and says *suspicious* from these logits on.
pub fn entry(name: &str, file: &str, mode: &str, suspicious: [&str; 2]) -> String {
    let sha256 = verdict_tables::manifest::hex(&Sha256::digest(std::fs::read(artefact(&format!("{file}.onnx"))).unwrap()));
    let card = verdict_models::card::Card::read(&std::fs::read_to_string(artefact(&format!("{file}.toml"))).unwrap()).unwrap();
    let heads = card
        .heads
        .iter()
        .zip(suspicious)
        .map(|(head, from)| format!("[[model.head]]\nname = \"{head}\"\ncategories = [\"{head}\"]\nsuspicious = {from}\n"));
    format!(
        "[[model]]\nname = \"{name}\"\nversion = 1\nfile = \"{file}.onnx\"\nsha256 = \"{sha256}\"\nkind = \"url\"\nmode = \"{mode}\"\n\
         cpu_percent = 100.0\nexpires = 2099-01-01\nprovenance = {{ data = [] }}\ngate = {{}}\n\
         features = {{ name = \"{}\", bits = {}, host_grams = {:?}, rest_grams = {:?} }}\n{}",
        card.features,
        card.bits.unwrap(),
        card.host_grams,
        card.rest_grams,
        heads.collect::<String>()
    )
}

fn artefact(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/artefacts").join(name)
}

impl Models {
    pub fn new() -> Self {
        let models = Models { scratch: Scratch::new() };
        std::fs::write(models.scratch.join("keys.pub"), Site::public(2).line("")).unwrap();
        models.repair("url.onnx");
        models
    }

    pub fn configure(&self, config: &mut Config) {
        config.models.directory = self.scratch.0.clone();
        config.models.keys = vec![self.scratch.join("keys.pub")];
        config.models.budget_us_max = 1_000_000;
    }

    /// The registry, without a signature of it.
    pub fn write(&self, sequence: u64, tables: &str) -> String {
        let text = format!("{}\nsequence = {sequence}\n{tables}", verdict_models::registry::MAGIC);
        self.put(verdict_models::node::FILE, text.as_bytes());
        text
    }

    pub fn publish(&self, sequence: u64, tables: &str) {
        use verdict_tables::manifest::{Purpose, Seal, Signature};
        let text = self.write(sequence, tables);
        let seal = Seal::of(Purpose::Models, sequence, text.as_bytes());
        let signature = Signature { key: Site::public(2).id(), bytes: Site::key(2).sign(seal.line().as_bytes()).to_bytes() };
        self.put(verdict_models::node::SEAL, seal.encode(&[signature]).as_bytes());
    }

    /// The tables of the registry that is shipped as an example, with its files, of its own thresholds and gates: but in force, with all of the CPU, for good.
    pub fn shipped(&self) -> String {
        let text = std::fs::read_to_string(artefact("models.toml")).unwrap();
        let files = text.split('"').filter(|word| word.ends_with(".onnx") || word.ends_with(".trees.json"));
        files.for_each(|name| self.repair(name));
        let (_, tables) = text.split_once("sequence = 1\n").unwrap();
        let expiries = tables.lines().filter(|line| line.starts_with("expires = "));
        let enforced = tables.replace("mode = \"shadow\"", "mode = \"enforce\"").replace("cpu_percent = 10.0", "cpu_percent = 100.0");
        expiries.fold(enforced, |tables, line| tables.replace(line, "expires = 2099-01-01"))
    }

    /// The head of a registry with these names as popular ones.
    pub fn popular(&self, names: &str, margin: &str) -> String {
        self.put("popular.txt", names.as_bytes());
        let sha256 = verdict_tables::manifest::hex(&Sha256::digest(names));
        format!("[popular]\nfile = \"popular.txt\"\nsha256 = \"{sha256}\"\nmargin = {margin}\n")
    }

    pub fn damage(&self, name: &str) {
        let mut bytes = std::fs::read(self.scratch.join(name)).unwrap();
        bytes[1000] ^= 1;
        self.put(name, &bytes);
    }

    pub fn repair(&self, name: &str) {
        self.put(name, &std::fs::read(artefact(name)).unwrap());
    }

    /// An artefact, to be asked directly.
    pub fn model(&self, name: &str) -> (std::sync::Arc<verdict_models::native::Evaluator>, verdict_models::features::Spec) {
        let bytes = std::fs::read(artefact(&format!("{name}.onnx"))).unwrap();
        let card = verdict_models::card::Card::read(&std::fs::read_to_string(artefact(&format!("{name}.toml"))).unwrap()).unwrap();
        let model = verdict_models::onnx::Model::read(&bytes).unwrap();
        (verdict_models::native::Evaluator::new(&model).unwrap().into(), card.spec().unwrap().unwrap())
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let temporary = self.scratch.join("temporary");
        std::fs::write(&temporary, bytes).unwrap();
        std::fs::rename(&temporary, self.scratch.join(name)).unwrap();
    }
}
