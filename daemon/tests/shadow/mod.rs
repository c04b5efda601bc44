//! Rules on trial in a running daemon: what they would have said is told, and whatever they are, the answers are those of what is served.

use crate::acts::{act, host, with_control};
use crate::inline::{ALWAYS, NEVER, ask, get};
use crate::support::{EICAR_MD5, Models, Peer, Scratch, config, entry, start, stop, write_snapshot};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use verdict_tables::{Class, Snapshot};
use verdict_wire as wire;
use verdictd::Daemon;
use verdictd::config::Config;
use wire::{Act, KeyKind, Outcome};

/// The thread has idle time alone, and a machine that runs other tests has little of it.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "did not happen: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The candidate's rules differ from what is served in one marker.
fn on_trial(scratch: &Scratch, candidate: &Path) -> Config {
    write_snapshot(candidate, "marker-two.test", Class::Malicious);
    let mut config = config(scratch);
    config.shadow.snapshot = candidate.to_owned();
    config.shadow.one_in = 1;
    config.shadow.sample_keys = true;
    config
}

fn page(daemon: &Daemon) -> Value {
    let reply = get(daemon, "/shadow");
    let body = reply.split_once("\r\n\r\n").unwrap().1;
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {reply}"))
}

fn generation(daemon: &Daemon) -> Option<String> {
    page(daemon)["generation"].as_str().map(str::to_owned)
}

fn started(config: &Config) -> Daemon {
    let daemon = start(config);
    eventually("the candidate is on trial", || generation(&daemon).is_some());
    daemon
}

fn count(page: &Value, served: &str, trial: &str) -> u64 {
    page["served"][served]["on_trial"][trial].as_u64().unwrap()
}

/// Keys compared so far, whatever came of it.
fn compared(page: &Value) -> u64 {
    let classes = ["unknown", "clean", "suspicious", "malicious"];
    let all = classes.iter().flat_map(|served| classes.map(|trial| count(page, served, trial)));
    all.sum::<u64>() + page["unreadable"].as_u64().unwrap()
}

#[test]
fn disagreements_are_counted_and_shown_with_who_says_so() {
    let scratch = Scratch::new();
    let daemon = started(&on_trial(&scratch, &scratch.join("candidate.snap")));
    let mut peer = Peer::connect(daemon.tcp[0]);
    let keys: [(KeyKind, &[u8]); 8] = [
        (KeyKind::Host, b"marker-one.test"),
        (KeyKind::Host, b"marker-two.test"),
        (KeyKind::Url, b"http://marker-two.test/a\"b"),
        (KeyKind::Host, b"www.evil.test"),
        (KeyKind::Url, b"http://shared.test/bad.php"),
        (KeyKind::Ipv4, &[192, 0, 2, 9]),
        (KeyKind::Md5, &EICAR_MD5),
        (KeyKind::Url, b"http://[oops/"),
    ];
    let answers = peer.ask(&keys);
    assert_eq!(
        [answers[0].class(), answers[1].class()],
        [wire::Class::Malicious, wire::Class::Unknown],
        "nobody is answered by the candidate"
    );
    peer.ask(&keys[1..2]);
    eventually("all are compared", || compared(&page(&daemon)) == 9);
    for _ in 0..2 {
        let page = page(&daemon);
        assert_eq!(
            (count(&page, "malicious", "unknown"), count(&page, "unknown", "malicious"), count(&page, "malicious", "malicious")),
            (1, 3, 4)
        );
        assert_eq!((page["unreadable"].as_u64(), page["dropped_since_start"].as_u64()), (Some(1), Some(0)));
        let told: Vec<String> = page["disagreements"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                format!(
                    "{} {} {}->{} {} {}",
                    row["kind"], row["key"], row["served"], row["on_trial"], row["sources_on_trial"], row["times"]
                )
                .replace('"', "")
            })
            .collect();
        let wanted = [
            "host marker-one.test malicious->unknown [] 1",
            r"url http://marker-two.test/a\\\b unknown->malicious [unit test] 1",
            "host marker-two.test unknown->malicious [unit test] 2",
        ];
        assert_eq!(told, wanted, "and looking changes nothing");
    }
    let metrics = get(&daemon, "/metrics");
    for line in [
        "verdictd_shadow_answers_total{served=\"malicious\",trial=\"unknown\"} 1\n",
        "verdictd_shadow_answers_total{served=\"unknown\",trial=\"malicious\"} 3\n",
        "verdictd_shadow_answers_total{served=\"clean\",trial=\"suspicious\"} 0\n",
        "verdictd_shadow_unreadable_total 1\n",
        "verdictd_shadow_dropped_total 0\n",
        "verdictd_shadow_refused_total 0\n",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    stop(daemon);
}

#[test]
fn keys_are_shown_to_nobody_unless_the_operator_wants_that() {
    let scratch = Scratch::new();
    let mut config = on_trial(&scratch, &scratch.join("candidate.snap"));
    config.shadow.sample_keys = false;
    let daemon = started(&config);
    let mut peer = Peer::connect(daemon.tcp[0]);
    peer.ask(&[
        (KeyKind::Host, b"marker-one.test"),
        (KeyKind::Url, b"http://marker-two.test/"),
        (KeyKind::Url, b"http://marker-two.test/x"),
    ]);
    eventually("all are compared", || compared(&page(&daemon)) == 3);
    let page = page(&daemon);
    let rows = page["disagreements"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "by kind and class alone: {page}");
    assert!(rows.iter().all(|row| row.get("key").is_none()) && rows[1]["times"] == 2, "{page}");
    stop(daemon);
}

#[test]
fn what_a_model_answered_is_what_was_served() {
    let (scratch, models) = (Scratch::new(), Models::new());
    models.publish(1, &entry("url", "url", "enforce", [ALWAYS, NEVER]));
    let mut config = on_trial(&scratch, &scratch.join("candidate.snap"));
    models.configure(&mut config);
    let daemon = started(&config);
    let mut peer = Peer::connect(daemon.tcp[0]);
    let keys: [(KeyKind, &[u8]); 2] = [(KeyKind::Url, b"http://nobody.test/Login"), (KeyKind::Url, b"http://evil.test/")];
    assert_eq!(ask(&mut peer, &keys)[0].class(), wire::Class::Suspicious);
    eventually("all are compared", || compared(&page(&daemon)) == 2);
    let page = page(&daemon);
    assert_eq!((count(&page, "suspicious", "unknown"), count(&page, "malicious", "malicious")), (1, 1), "{page}");
    stop(daemon);
}

#[test]
fn a_missing_or_damaged_candidate_changes_nothing_and_a_sound_one_is_taken_at_a_reload() {
    let scratch = Scratch::new();
    let candidate = scratch.join("candidate.snap");
    let config = on_trial(&scratch, &candidate);
    let sound = std::fs::read(&candidate).unwrap();
    std::fs::remove_file(&candidate).unwrap();
    let daemon = start(&config);
    let refused = |times: u64| {
        eventually("it is refused", || daemon.metrics.control.shadow.refused.get() == times);
        eventually("and that is told", || get(&daemon, "/readyz").contains("shadow refused: "));
        assert!(get(&daemon, "/readyz").starts_with("HTTP/1.1 200"), "the daemon is ready all the same");
        assert_eq!(Peer::connect(daemon.tcp[0]).class_of("marker-one.test"), wire::Class::Malicious);
    };
    refused(1);
    assert!(get(&daemon, "/readyz").contains("No such file"), "{}", get(&daemon, "/readyz"));
    assert_eq!((generation(&daemon), compared(&page(&daemon))), (None, 0));
    let mut damaged = sound.clone();
    damaged[sound.len() / 2] ^= 1;
    std::fs::write(&candidate, &damaged).unwrap();
    daemon.reload();
    refused(2);
    std::fs::write(&candidate, &sound).unwrap();
    daemon.reload();
    eventually("the sound one is on trial", || generation(&daemon).is_some());
    assert!(!get(&daemon, "/readyz").contains("shadow"));
    let first = generation(&daemon);
    Peer::connect(daemon.tcp[0]).class_of("marker-one.test");
    eventually("it is asked", || compared(&page(&daemon)) == 1);
    std::fs::write(&candidate, &damaged).unwrap();
    daemon.reload();
    refused(3);
    eventually("the one before is asked on", || compared(&page(&daemon)) == 2);
    assert_eq!(generation(&daemon), first, "and stays on trial");
    write_snapshot(&candidate, "marker-one.test", Class::Malicious);
    daemon.reload();
    eventually("the next one is on trial", || generation(&daemon) != first);
    assert_eq!(compared(&page(&daemon)), 0, "it begins from nothing");
    Peer::connect(daemon.tcp[0]).class_of("marker-one.test");
    eventually("it is asked", || count(&page(&daemon), "malicious", "malicious") == 1);
    stop(daemon);
}

#[test]
fn a_reload_is_over_when_the_candidate_is_on_trial_or_refused_and_tells_which() {
    let scratch = Scratch::new();
    let candidate = scratch.join("candidate.snap");
    let config = with_control(on_trial(&scratch, &candidate), &scratch);
    let daemon = started(&config);
    let reload = || {
        let (outcome, text, _) = act(&config, Act::Reload, wire::Class::Unknown, host(""), 0);
        (outcome, text)
    };
    for marker in ["marker-three.test", "marker-four.test"] {
        write_snapshot(&candidate, marker, Class::Malicious);
        let wanted = Snapshot::load(&candidate).unwrap().generation();
        let (outcome, text) = reload();
        assert_eq!(outcome, Outcome::Done, "{text}");
        assert!(text.contains("already served; ") && text.ends_with(&format!("on trial: generation {wanted:016x}, adopted")), "{text}");
        // No waiting here: when the reload was over, it was on trial.
        assert_eq!(daemon.metrics.control.shadow.generation.get(), wanted);
    }
    let (outcome, text) = reload();
    assert!(outcome == Outcome::Done && text.ends_with(", as before"), "{text}");
    let sound = daemon.metrics.control.shadow.generation.get();
    std::fs::write(&candidate, b"no snapshot").unwrap();
    let (outcome, text) = reload();
    assert_eq!(outcome, Outcome::Refused, "{text}");
    assert!(text.contains("rules on trial refused: ") && text.contains(&format!("generation {sound:016x} stays on trial")), "{text}");
    assert!(text.contains("already served"), "and what came of the snapshot is told too: {text}");
    assert_eq!(daemon.metrics.control.shadow.refused.get(), 1);
    // Many that meet are all answered by a look that came after they asked.
    write_snapshot(&candidate, "marker-five.test", Class::Malicious);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(reload().0, Outcome::Done));
        }
    });
    assert_ne!(daemon.metrics.control.shadow.generation.get(), sound);
    stop(daemon);
}

#[test]
fn without_a_candidate_the_page_is_empty() {
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    assert_eq!(page(&daemon), serde_json::json!({}));
    stop(daemon);
}
