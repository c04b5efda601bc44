//! Peers that take more than their share: each is met by a named limit, and the others notice nothing.

#[macro_use]
mod support;

use std::io::Write;
use std::time::{Duration, Instant};
use support::{Got, Peer, Scratch, config, eventually, explain, lookup, ping, start, stop};
use verdict_wire as wire;
use wire::{Class, ErrorCode, KeyKind};

fn a_peer_that_never_reads_is_cut_off_at_a_bound() {
    let scratch = Scratch::new();
    let mut config = config(&scratch);
    config.limits.write_deadline_ms = 500;
    config.limits.out_bytes_max = 64 * 1024;
    let daemon = start(&config);
    let mut greedy = Peer::connect(daemon.tcp[0]);
    greedy.stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let keys = vec![(KeyKind::Ipv4, [192, 0, 2, 1].as_slice()); 4096];
    let frame = lookup(1, &keys);
    let mut asked = 0;
    while greedy.stream.write_all(&frame).is_ok() && asked < 100_000 {
        asked += 1;
    }
    assert!(asked < 100_000, "the daemon went on reading without bound");
    eventually("the peer is closed", || daemon.metrics.shards[0].closed_write_deadline.get() == 1);
    assert_eq!(Peer::connect(daemon.tcp[0]).class_of("evil.test"), Class::Malicious);
    stop(daemon);
}

fn a_peer_that_trickles_a_frame_is_closed_and_others_are_served_meanwhile() {
    let scratch = Scratch::new();
    let mut config = config(&scratch);
    config.limits.frame_deadline_ms = 600;
    let daemon = start(&config);
    let mut slow = Peer::connect(daemon.tcp[0]);
    let mut other = Peer::connect(daemon.tcp[0]);
    let began = Instant::now();
    for byte in ping(1, &[0; 64]).iter().cycle().take(70) {
        if slow.stream.write_all(std::slice::from_ref(byte)).is_err() {
            break;
        }
        assert_eq!(other.class_of("evil.test"), Class::Malicious);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(daemon.metrics.shards[0].closed_frame_deadline.get(), 1, "closed after {:?}", began.elapsed());
    stop(daemon);
}

/// Three peers ask for explanations without end, a fourth looks up: it waits for one explanation a turn, and each of the three gets its share.
fn whoever_asks_for_explanations_takes_turns_and_lookups_go_on() {
    const EACH: u32 = 300;
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    let frames: Vec<u8> = (0..EACH).flat_map(|id| explain(id, KeyKind::Url, b"http://a.b.c.evil.test/1/2/3/4?x")).collect();
    let mut curious: Vec<_> = (0..3).map(|_| Peer::connect(daemon.tcp[0])).collect();
    let mut other = Peer::connect(daemon.tcp[0]);
    let shard = &daemon.metrics.shards[0];
    let turns_before = shard.turns.get();
    curious.iter_mut().for_each(|peer| peer.send(&frames));
    for id in 0..EACH {
        // All three are as far as this one: nobody starves.
        for peer in &mut curious {
            assert!(matches!(peer.receive(), Some(Got::Explanation { id: got, .. }) if got == id));
        }
        if id % 50 == 0 {
            assert_eq!(other.class_of("evil.test"), Class::Malicious);
        }
    }
    assert_eq!(shard.frames_explain.get(), 3 * u64::from(EACH));
    // The turn of the last answer is counted at its end, which we may be ahead of.
    let turns = shard.turns.get() - turns_before + 1;
    assert!(turns >= 3 * u64::from(EACH), "{turns} turns: more than one explanation in a turn");
    stop(daemon);
}

fn an_idle_peer_is_closed_after_its_deadline_and_not_before() {
    let scratch = Scratch::new();
    let mut config = config(&scratch);
    config.limits.idle_deadline_ms = 700;
    let daemon = start(&config);
    let mut idle = Peer::connect(daemon.tcp[0]);
    idle.send(&ping(1, b""));
    assert!(idle.receive().is_some());
    let began = Instant::now();
    assert_eq!(idle.receive(), None);
    assert!(began.elapsed() >= Duration::from_millis(600), "closed after {:?}", began.elapsed());
    assert_eq!(daemon.metrics.shards[0].closed_idle.get(), 1);
    stop(daemon);
}

fn one_connection_too_many_is_told_so() {
    let scratch = Scratch::new();
    let mut config = config(&scratch);
    config.limits.connections_max = 3;
    let daemon = start(&config);
    let mut peers: Vec<_> = (0..3).map(|_| Peer::connect(daemon.tcp[0])).collect();
    for peer in &mut peers {
        assert_eq!(peer.class_of("evil.test"), Class::Malicious);
    }
    let mut extra = Peer::connect(daemon.tcp[0]);
    assert_eq!(extra.receive(), Some(Got::Error { id: 0, code: ErrorCode::Overloaded, closing: true }));
    assert_eq!(extra.receive(), None);
    let near = daemon.metrics.control.near(verdictd::nearness::Bounded::Connections);
    assert_eq!(near.warnings(), 1, "the third of three, not the fourth");
    drop(peers.pop());
    eventually("a place is free", || daemon.metrics.shards[0].connections.get() == 2);
    assert_eq!(Peer::connect(daemon.tcp[0]).class_of("evil.test"), Class::Malicious);
    stop(daemon);
}

fn a_large_answer_to_a_slow_reader_arrives_whole() {
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    let mut peer = Peer::connect(daemon.tcp[0]);
    let mut writer = peer.stream.try_clone().unwrap();
    let frame = lookup(5, &vec![(KeyKind::Host, b"evil.test".as_slice()); 4096]);
    let sender = std::thread::spawn(move || {
        for _ in 0..200 {
            writer.write_all(&frame).unwrap();
        }
    });
    std::thread::sleep(Duration::from_millis(300)); // both socket buffers and the output fill up
    for _ in 0..200 {
        let Some(Got::Answers { answers, .. }) = peer.receive() else { panic!("no answers") };
        assert!(answers.len() == 4096 && answers.iter().all(|answer| answer.class() == Class::Malicious));
    }
    sender.join().unwrap();
    stop(daemon);
}

every_driver!(
    a_peer_that_never_reads_is_cut_off_at_a_bound,
    a_peer_that_trickles_a_frame_is_closed_and_others_are_served_meanwhile,
    whoever_asks_for_explanations_takes_turns_and_lookups_go_on,
    an_idle_peer_is_closed_after_its_deadline_and_not_before,
    one_connection_too_many_is_told_so,
    a_large_answer_to_a_slow_reader_arrives_whole,
);
