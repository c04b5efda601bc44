//! Generations and endings: a swap loses nothing and mixes nothing, a bad snapshot changes nothing, a drain finishes what was asked.

#[macro_use]
mod support;
mod acts;
mod host;
mod inline;
mod shadow;

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use support::{Got, Peer, Scratch, config, eventually, lookup, start, stop, write_snapshot};
use verdict_tables::Class;
use verdict_wire as wire;
use wire::KeyKind;

fn swaps_under_load_lose_nothing_and_mix_nothing() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let path = config.snapshot.path.clone();
    let daemon = start(&config);
    let (stop_asking, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut peer = Peer::connect(daemon.tcp[0]);
                let keys: Vec<(KeyKind, &[u8])> = [b"marker-one.test".as_slice(), b"marker-two.test"]
                    .iter()
                    .cycle()
                    .take(64)
                    .map(|host| (KeyKind::Host, *host))
                    .collect();
                while !stop_asking.load(Ordering::Relaxed) {
                    let answers = peer.ask(&keys);
                    let first = answers[0].class();
                    for (i, answer) in answers.iter().enumerate() {
                        let expected = (first == wire::Class::Malicious) == (i % 2 == 0);
                        assert_eq!(answer.class() == wire::Class::Malicious, expected, "answer {i} is of another generation");
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..40 {
            let before = daemon.metrics.shards[0].generation.get();
            let marker = if round % 2 == 0 { "marker-two.test" } else { "marker-one.test" };
            write_snapshot(&path, marker, Class::Malicious);
            daemon.reload();
            eventually("the new generation serves", || daemon.metrics.shards[0].generation.get() != before);
        }
        stop_asking.store(true, Ordering::Relaxed);
    });
    assert!(asked.load(Ordering::Relaxed) > 40);
    assert_eq!(daemon.metrics.shards[0].swaps.get(), 40);
    stop(daemon);
}

fn a_bad_missing_or_truncated_snapshot_changes_nothing() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let path = &config.snapshot.path;
    let daemon = start(&config);
    let good = std::fs::read(path).unwrap();
    let generation = daemon.metrics.shards[0].generation.get();
    let mut flipped = good.clone();
    let last = flipped.len() - 1;
    flipped[last / 2] ^= 1;
    for (refused, bytes) in [(1, Some(flipped)), (2, Some(good[..last].to_vec())), (3, Some(Vec::new())), (4, None)] {
        match bytes {
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        daemon.reload();
        eventually("it is refused", || daemon.metrics.control.loads_refused.get() == refused);
        assert_eq!(daemon.metrics.shards[0].generation.get(), generation);
        assert_eq!(Peer::connect(daemon.tcp[0]).class_of("evil.test"), wire::Class::Malicious);
    }
    stop(daemon);
}

fn the_served_file_may_be_truncated_under_the_daemon() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let daemon = start(&config);
    std::fs::File::options().write(true).open(&config.snapshot.path).unwrap().set_len(0).unwrap();
    let mut peer = Peer::connect(daemon.tcp[0]);
    for _ in 0..100 {
        assert_eq!(peer.class_of("www.evil.test"), wire::Class::Malicious);
    }
    stop(daemon);
}

fn draining_answers_what_was_asked_says_so_and_takes_nobody_new() {
    let scratch = Scratch::new();
    let mut config = config(&scratch);
    config.limits.drain_idle_ms = 3_000;
    let daemon = start(&config);
    let mut peer = Peer::connect(daemon.tcp[0]);
    assert_eq!(peer.class_of("evil.test"), wire::Class::Malicious);
    let waiting: Vec<_> = (0..20).map(|_| Peer::connect(daemon.tcp[0])).collect();
    daemon.drain();
    eventually("the listener is closed", || TcpStream::connect_timeout(&daemon.tcp[0], Duration::from_secs(1)).is_err());
    for mut peer in waiting {
        peer.send(&lookup(1, &[(KeyKind::Host, b"evil.test")]));
        let Some(Got::Answers { flags, answers, .. }) = peer.receive() else { panic!("a connection made before the drain was lost") };
        assert_eq!(answers[0].class(), wire::Class::Malicious);
        assert_ne!(flags & wire::REPLY_DRAINING, 0);
    }
    assert_eq!(peer.receive(), None, "an idle connection is closed in the end");
    daemon.join().unwrap();
}

every_driver!(
    swaps_under_load_lose_nothing_and_mix_nothing,
    a_bad_missing_or_truncated_snapshot_changes_nothing,
    the_served_file_may_be_truncated_under_the_daemon,
    draining_answers_what_was_asked_says_so_and_takes_nobody_new,
);
