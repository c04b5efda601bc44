//! The generator against servers that behave, stall and vanish.

use std::io::{Read, Write};

use super::*;
use crate::frame;

fn null_server() -> SocketAddr {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        crate::null_server::serve(
            crate::null_server::Twin::Epoll,
            crate::null_server::Voice::Frames,
            ([127, 0, 0, 1], 0).into(),
            |address| send.send(address).unwrap(),
        )
    });
    receive.recv().unwrap()
}

fn pool(requests: usize, keys: usize) -> Pool {
    let mut pool = Pool::default();
    for _ in 0..requests {
        pool.push(keys, |out| frame::lookup(out, 0, (0..keys).map(|_| (2u8, &b"a.example"[..]))));
    }
    pool
}

fn plan(pace: Pace, duration_ms: u64) -> Plan {
    let duration = Duration::from_millis(duration_ms);
    Plan { warm_up: Duration::from_millis(50), duration, ..Plan::new(null_server(), 3, pace) }
}

#[test]
fn an_open_loop_offers_exactly_its_schedule_and_answers_all_of_it() {
    let outcome = run(&plan(Pace::Open { per_second: 2_000.0 }, 500), &pool(7, 10), &Binary).unwrap();
    assert!((999..=1_001).contains(&outcome.offered), "{}", outcome.offered);
    assert_eq!((outcome.answered, outcome.keys), (outcome.offered, outcome.offered * 10));
    assert_eq!(outcome.latency.len(), outcome.offered);
}

#[test]
fn a_stall_of_the_server_is_charged_to_every_request_that_it_delayed() {
    // A server that answers nothing for 300 ms, then all at once: with 1,000 requests a second, latencies must spread evenly over 300 ms.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let mut inbox = vec![0; 1 << 20];
        let (mut filled, mut out) = (0, Vec::new());
        while let Ok(read @ 1..) = stream.read(&mut inbox[filled..]) {
            filled += read;
            let mut taken = 0;
            while let Some(received) = frame::Received::first(&inbox[taken..filled]).unwrap() {
                frame::unknown_answers(&mut out, received.request_id, 1, received.count);
                taken += received.bytes();
            }
            inbox.copy_within(taken..filled, 0);
            filled -= taken;
            stream.write_all(&out).unwrap();
            out.clear();
        }
    });
    let pace = Pace::Open { per_second: 1_000.0 };
    let plan = Plan { in_flight_max: 8, warm_up: Duration::ZERO, duration: Duration::from_millis(300), ..Plan::new(address, 1, pace) };
    let outcome = run(&plan, &pool(1, 1), &Binary).unwrap();
    let median_ms = outcome.latency.value_at_quantile(0.5) / 1_000_000;
    assert!((100..=250).contains(&median_ms), "median {median_ms} ms, although only 8 requests could be under way");
    assert!(outcome.latency.max() >= 290_000_000);
    assert_eq!(outcome.answered, 300);
}

#[test]
fn a_closed_loop_answers_what_it_started() {
    let outcome = run(&plan(Pace::Closed { in_flight: 4 }, 200), &pool(5, 3), &Binary).unwrap();
    assert!(outcome.answered > 100, "{}", outcome.answered);
    assert_eq!(outcome.keys, 3 * outcome.answered);
    assert_eq!(outcome.tally, Tally::default());
}

#[test]
fn a_connection_that_ends_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || drop(listener.accept()));
    let pace = Pace::Closed { in_flight: 1 };
    let plan = Plan { in_flight_max: 8, warm_up: Duration::ZERO, duration: Duration::from_secs(1), ..Plan::new(address, 1, pace) };
    assert!(run(&plan, &pool(1, 1), &Binary).is_err());
}

#[test]
fn lag_of_one_request_in_five_hundred_spoils_a_run() {
    let mut outcome = run(&plan(Pace::Closed { in_flight: 1 }, 60), &pool(1, 1), &Binary).unwrap();
    assert!(!outcome.lagged());
    for number in 0..1_000u64 {
        outcome.lag.record(if number % 500 == 0 { 5_000_000 } else { 10_000 }).unwrap();
    }
    assert!(outcome.lagged());
}

#[test]
fn an_answer_that_was_foretold_otherwise_is_counted() {
    let mut pool = Pool::default();
    pool.push_expecting(&[0, 0x30, 0], |out| frame::lookup(out, 0, (0..3).map(|_| (2u8, &b"a.example"[..]))));
    let outcome = run(&plan(Pace::Closed { in_flight: 1 }, 60), &pool, &Binary).unwrap();
    assert!(outcome.answered > 0 && outcome.tally.wrong * 3 == outcome.checked_keys, "{:?}", outcome.tally);
    let outcome = run(&plan(Pace::Closed { in_flight: 1 }, 60), &pool, &Nothing).unwrap();
    assert_eq!(outcome.tally, Tally::default());
}

#[test]
fn a_generator_that_never_sleeps_keeps_its_schedule() {
    let outcome = run(&Plan { spins: true, ..plan(Pace::Open { per_second: 1_000.0 }, 200) }, &pool(7, 10), &Binary).unwrap();
    assert_eq!((outcome.answered, outcome.latency.len()), (outcome.offered, outcome.offered));
}
