//! Two daemons behind the real HAProxy: each is drained, ended and started again under load, and no request is lost.
//!
//! The clients do what PROTOCOL.md asks of them and nothing more: at REPLY_DRAINING they finish and connect anew. None asks twice.

use crate::haproxy::{Haproxy, example, is_there};
use crate::support::{Got, Peer, Scratch, config, eventually, free, lookup, start, stop};
use crate::visitors::Ending;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use verdict_wire::{self as wire, Act, ActRequest, Class, KeyKind, Outcome, Told, read_message};
use verdictd::Daemon;
use verdictd::config::Config;

/// A daemon that starts again where it was, as a service does.
pub struct Node {
    pub config: Config,
    _scratch: Scratch,
}

impl Node {
    fn new() -> Self {
        let scratch = Scratch::new();
        Node::of(config(&scratch), scratch)
    }

    /// What this configuration serves, on ports that nobody has.
    pub fn of(mut config: Config, scratch: Scratch) -> Self {
        config.listen.tcp = vec![free()];
        config.listen.spop = vec![free()];
        config.listen.admin = free();
        config.listen.control = scratch.join("control.sock");
        config.overlay.directory = scratch.join("state");
        // A client that the machine keeps from its CPU is not an idle one: it has not been told yet.
        config.limits.drain_idle_ms = 2_000;
        Node { config, _scratch: scratch }
    }

    /// The same, for HAProxy alone.
    pub fn behind(mut self) -> Self {
        self.config.proxy.on = vec!["tcp".into()];
        self.config.proxy.from = vec!["127.0.0.0/8".into()];
        self
    }

    /// As `verdictctl leave` and `verdictctl join`; the connections that are open.
    pub fn act(&self, act: Act) -> u32 {
        self.act_on(act, (None, b""), 0)
    }

    /// As other commands of `verdictctl`; how many entries there are then.
    pub fn act_on(&self, act: Act, (kind, key): (Option<KeyKind>, &[u8]), ttl_s: u32) -> u32 {
        let mut stream = UnixStream::connect(&self.config.listen.control).unwrap();
        let mut message = Vec::new();
        let class = if act == Act::Block { Class::Malicious } else { Class::Unknown };
        ActRequest { act, kind, class, ttl_s, key, reason: "test" }.encode(&mut message);
        stream.write_all(&message).unwrap();
        let reply = read_message(&mut stream, wire::TOLD_BYTES_MAX).unwrap();
        let told = Told::decode(&reply).unwrap();
        assert_eq!(told.outcome, Outcome::Done, "{}", told.text);
        u32::from_le_bytes(told.head.entries)
    }

    pub fn is_ready(&self) -> bool {
        crate::visitors::Visitor::new(self.config.listen.admin)
            .ask("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
            .is_ok_and(|(response, _)| response.status == 200)
    }
}

/// What clients saw.
#[derive(Default)]
pub struct Seen {
    pub right: AtomicU64,
    pub connections: AtomicU64,
    pub wrong: Mutex<Vec<String>>,
}

/// One client after the other on the same thread, each until its daemon drains.
pub fn clients(front: SocketAddr, end: &AtomicBool, seen: &Seen) {
    let keys: [(KeyKind, &[u8]); 2] = [(KeyKind::Host, b"evil.test"), (KeyKind::Url, b"http://good.test/")];
    let mut id = 0;
    while !end.load(Ordering::Relaxed) {
        let mut peer = Peer::connect(front);
        seen.connections.fetch_add(1, Ordering::Relaxed);
        let mut draining = false;
        while !draining && !end.load(Ordering::Relaxed) {
            id += 1;
            if peer.stream.write_all(&lookup(id, &keys)).is_err() {
                return seen.wrong.lock().unwrap().push(format!("request {id}: the connection was gone"));
            }
            match peer.receive() {
                Some(Got::Answers { id: got, flags, answers, .. })
                    if got == id && answers[0].class() == wire::Class::Malicious && answers[1].class() == wire::Class::Unknown =>
                {
                    seen.right.fetch_add(1, Ordering::Relaxed);
                    draining = flags & wire::REPLY_DRAINING != 0;
                }
                other => return seen.wrong.lock().unwrap().push(format!("request {id}: {other:?}")),
            }
        }
    }
}

pub fn front(scratch: &Scratch, nodes: [&Node; 2]) -> (Haproxy, SocketAddr) {
    let address = free();
    let of = |node: &Node| (node.config.listen.tcp[0].to_string(), node.config.listen.admin.to_string());
    let ((one, one_admin), (two, two_admin)) = (of(nodes[0]), of(nodes[1]));
    let variables = [("FRONT", address.to_string()), ("ONE", one), ("ONE_ADMIN", one_admin), ("TWO", two), ("TWO_ADMIN", two_admin)];
    (Haproxy::start(scratch, &[example("tcp.cfg")], &variables, address), address)
}

fn connections(daemon: &Daemon) -> u64 {
    daemon.metrics.shards.iter().map(|shard| shard.connections.get()).sum()
}

#[test]
fn each_of_two_daemons_is_drained_and_started_again_under_load_and_no_request_is_lost() {
    if !is_there() {
        return;
    }
    let (scratch, nodes) = (Scratch::new(), [Node::new().behind(), Node::new().behind()]);
    let mut daemons = [Some(start(&nodes[0].config)), Some(start(&nodes[1].config))];
    let (_haproxy, address) = front(&scratch, [&nodes[0], &nodes[1]]);
    let (seen, end) = (Seen::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _ending = Ending(&end);
        for _ in 0..8 {
            scope.spawn(|| clients(address, &end, &seen));
        }
        for round in 0..4 {
            let (node, slot) = (&nodes[round % 2], &mut daemons[round % 2]);
            let daemon = slot.take().unwrap();
            eventually("both have clients", || connections(&daemon) > 0);
            if round < 2 {
                node.act(Act::Leave); // else SIGTERM alone
                assert!(!node.is_ready());
                eventually("all clients go elsewhere", || node.act(Act::Leave) == 0);
            }
            let before = seen.right.load(Ordering::Relaxed);
            stop(daemon);
            eventually("the other goes on alone", || seen.right.load(Ordering::Relaxed) > before + 100);
            *slot = Some(start(&node.config));
            eventually("ready", || node.is_ready());
            std::thread::sleep(Duration::from_millis(500)); // until HAProxy has seen it too
        }
    });
    println!("{} right, over {} connections", seen.right.load(Ordering::Relaxed), seen.connections.load(Ordering::Relaxed));
    assert_eq!(*seen.wrong.lock().unwrap(), Vec::<String>::new());
    assert!(seen.connections.load(Ordering::Relaxed) >= 16, "nobody was sent elsewhere");
    daemons.into_iter().flatten().for_each(stop);
}

#[test]
fn a_daemon_that_left_serves_on_and_takes_traffic_again() {
    let node = Node::new();
    let daemon = start(&node.config);
    let mut peer = Peer::connect(daemon.tcp[0]);
    let draining = |peer: &mut Peer<_>| {
        peer.send(&lookup(1, &[(KeyKind::Host, b"evil.test")]));
        match peer.receive() {
            Some(Got::Answers { flags, answers, .. }) if answers[0].class() == wire::Class::Malicious => flags & wire::REPLY_DRAINING != 0,
            other => panic!("{other:?}"),
        }
    };
    assert!(!draining(&mut peer));
    assert_eq!(node.act(Act::Leave), 1);
    assert!(draining(&mut peer) && !node.is_ready());
    assert!(draining(&mut Peer::connect(daemon.tcp[0])), "who comes all the same is answered, and told");
    node.act(Act::Join);
    assert!(!draining(&mut peer) && node.is_ready());
    node.act(Act::Leave);
    eventually("quiet connections are closed", || node.act(Act::Leave) == 0);
    assert_eq!(peer.receive(), None);
    stop(daemon);
}
