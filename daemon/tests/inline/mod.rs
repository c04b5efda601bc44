//! Models in a running daemon: who is asked, what is answered, what happens when there is no time, and that a change loses nothing.

mod files;
mod switched;

use crate::support::{AUTHORIZATION, Got, Models, Peer, Scratch, config, entry, eventually, start, stop, write_rules};
use std::sync::atomic::{AtomicBool, Ordering};
use verdict_models::features::Rows;
use verdict_models::registry::score_of;
use verdict_tables::{Class, Rule};
use verdict_wire as wire;
use verdictd::Daemon;
use wire::{Answer, Flags, KeyKind, LookupWriter};

/// Never reached, always reached.
pub const NEVER: &str = "1000.0";
pub const ALWAYS: &str = "-1000.0";

fn url(text: &str) -> (KeyKind, &[u8]) {
    (KeyKind::Url, text.as_bytes())
}

fn with(scratch: &Scratch, models: &Models, tables: &str) -> (Daemon, Peer<std::net::TcpStream>) {
    models.publish(1, tables);
    let mut config = config(scratch);
    models.configure(&mut config);
    let daemon = start(&config);
    let peer = Peer::connect(daemon.tcp[0]);
    (daemon, peer)
}

pub fn get(daemon: &Daemon, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(daemon.admin).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{AUTHORIZATION}\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// With all the time there is: a busy machine must not decide.
pub fn ask(peer: &mut Peer<std::net::TcpStream>, keys: &[(KeyKind, &[u8])]) -> Vec<Answer> {
    let mut frame = Vec::new();
    let mut writer = LookupWriter::new(&mut frame, 7).budget_us(wire::BUDGET_US_MAX);
    keys.iter().for_each(|(kind, key)| writer.push(kind.raw(), key).unwrap());
    writer.finish().unwrap();
    peer.send(&frame);
    match peer.receive() {
        Some(Got::Answers { answers, .. }) => answers,
        other => panic!("expected answers, got {other:?}"),
    }
}

#[test]
fn what_no_table_knows_is_answered_by_a_model_that_is_named() {
    let (scratch, models) = (Scratch::new(), Models::new());
    let (daemon, mut peer) = with(&scratch, &models, &entry("url", "url", "enforce", [ALWAYS, NEVER]));
    let keys = [
        url("http://nobody.test/Login?x=1"),
        url("http://evil.test/"),
        (KeyKind::Host, b"nobody.test".as_slice()),
        (KeyKind::Ipv4, &[198, 51, 100, 1]),
        url("http://[oops/"),
    ];
    let answers = ask(&mut peer, &keys);
    let classes: Vec<_> = answers.iter().map(|answer| (answer.status(), answer.class())).collect();
    use wire::{Class::*, Status::*};
    assert_eq!(classes, [(Ok, Suspicious), (Ok, Malicious), (Ok, Unknown), (Ok, Unknown), (Unparseable, Unknown)]);
    assert_eq!(answers[0].flags(), Flags::FROM_MODEL);
    assert_eq!(answers[0].categories(), wire::Categories::PHISHING);
    assert!(!answers[1].flags().contains(Flags::FROM_MODEL), "a table knows it");
    assert_eq!([answers[2].flags(), answers[3].flags()], [Flags::NONE; 2], "no model is there for hosts");
    let generation = daemon.metrics.shards[0].generation.get();
    let mut frame = Vec::new();
    wire::encode_describe(&mut frame, 9, generation, &[answers[0].id(), answers[1].id(), 0xFF_FFFF]).unwrap();
    peer.send(&frame);
    let Some(Got::Descriptions { sources, classes, .. }) = peer.receive() else { panic!("no descriptions") };
    assert_eq!(sources[0], ["url@1", "phishing"]);
    assert_eq!((sources[1].as_slice(), sources[2].len()), (["unit test".to_owned()].as_slice(), 0));
    assert_eq!(classes[0], wire::Class::Suspicious);
    let page = get(&daemon, "/models");
    assert!(page.contains("\"name\": \"url\"") && page.contains("\"spoke\": 1"), "{page}");
    assert!(get(&daemon, "/metrics").contains("verdictd_model_keys_total{outcome=\"scored\"} 1"));
    stop(daemon);
}

#[test]
fn the_score_is_that_of_the_text_as_it_is_spelt_whatever_the_batch() {
    let (scratch, models) = (Scratch::new(), Models::new());
    let (daemon, mut peer) = with(&scratch, &models, &entry("url", "url", "enforce", ["5.8", "4.8"]));
    let texts: Vec<String> = (0..300u32)
        .map(|number| {
            let word = ["Login", "a.php", "Verify/ACCOUNT", "index.html?Id=7", "%41bc"][number as usize % 5];
            format!("n{}.test/{word}{}", number % 90, number.wrapping_mul(2_654_435_761) % 1000)
        })
        .collect();
    let urls: Vec<String> = texts.iter().map(|text| format!("http://{text}")).collect();
    let keys: Vec<_> = urls.iter().map(|text| url(text)).collect();
    let (whole, mut alone) = (ask(&mut peer, &keys), Vec::new());
    let mut other = Peer::connect(daemon.tcp[0]);
    keys.chunks(7).for_each(|some| alone.extend(ask(&mut other, some)));
    assert_eq!(whole, alone, "remembered or not, alone or not");
    assert!(daemon.metrics.shards[0].model_remembered.get() >= 250);
    let (evaluator, spec) = models.model("url");
    let mut rows = Rows::default();
    for (text, answer) in texts.iter().zip(&whole) {
        let canonical = text.replace("%41", "A");
        verdict_models::features::extract_text(spec, canonical.as_bytes(), &mut rows);
        let mut sums = [0; 2];
        let mut scorer = verdict_models::native::Scorer::new(evaluator.clone(), spec).unwrap();
        scorer.score_rows(verdict_simd::Portable::new(), std::iter::once(rows.as_slice()), &mut sums);
        let logits = [evaluator.logit(0, sums[0]), evaluator.logit(1, sums[1])];
        let says = [logits[0] >= 5.8, logits[1] >= 4.8];
        let head = if says[0] != says[1] { usize::from(says[1]) } else { usize::from(logits[1] > logits[0]) };
        let class = if says[head] { wire::Class::Suspicious } else { wire::Class::Unknown };
        assert_eq!((answer.class(), answer.score()), (class, score_of(logits[head])), "{text}: {logits:?}");
    }
    stop(daemon);
}

#[test]
fn malicious_is_what_the_operator_lets_it_say() {
    let (scratch, models) = (Scratch::new(), Models::new());
    let tables =
        entry("url", "url", "enforce", [ALWAYS, NEVER]).replace("suspicious = -1000.0", "suspicious = -1000.0\nmalicious = -999.0");
    let (daemon, mut peer) = with(&scratch, &models, &tables);
    assert_eq!(ask(&mut peer, &[url("http://nobody.test/")])[0].class(), wire::Class::Suspicious);
    stop(daemon);
    let mut config = config(&scratch);
    models.configure(&mut config);
    config.models.may_block = vec!["url".into()];
    let daemon = start(&config);
    let mut peer = Peer::connect(daemon.tcp[0]);
    assert_eq!(ask(&mut peer, &[url("http://nobody.test/")])[0].class(), wire::Class::Malicious);
    stop(daemon);
}

#[test]
fn who_is_on_trial_answers_nobody_and_its_disagreements_are_told() {
    let (scratch, models) = (Scratch::new(), Models::new());
    let tables = entry("calm", "url", "enforce", [NEVER, NEVER]) + &entry("keen", "url", "shadow", [ALWAYS, NEVER]);
    models.publish(1, &tables);
    let mut config = config(&scratch);
    models.configure(&mut config);
    config.models.sample_keys = true;
    let daemon = start(&config);
    let mut peer = Peer::connect(daemon.tcp[0]);
    for _ in 0..2 {
        let answer = ask(&mut peer, &[url("http://nobody.test/Some?where")])[0];
        assert_eq!((answer.class(), answer.flags()), (wire::Class::Unknown, Flags::FROM_MODEL.with(Flags::SHADOW_DISAGREES)));
    }
    for _ in 0..2 {
        let page = get(&daemon, "/models");
        assert!(page.contains("\"disagreed\": 1") && page.contains("nobody.test/Some?where"), "looking changes nothing: {page}");
    }
    stop(daemon);
}

#[test]
fn whoever_has_no_time_gets_the_tables_answer_marked_so() {
    let (scratch, models) = (Scratch::new(), Models::new());
    let (daemon, mut peer) = with(&scratch, &models, &entry("url", "url", "enforce", [ALWAYS, NEVER]));
    let mut frame = Vec::new();
    let mut writer = LookupWriter::new(&mut frame, 7).budget_us(1);
    writer.push(KeyKind::Url.raw(), b"http://nobody.test/").unwrap();
    writer.push(KeyKind::Url.raw(), b"http://evil.test/").unwrap();
    writer.finish().unwrap();
    peer.send(&frame);
    let Some(Got::Answers { answers, .. }) = peer.receive() else { panic!("no answers") };
    assert_eq!((answers[0].class(), answers[0].flags()), (wire::Class::Unknown, Flags::DEGRADED));
    assert_eq!((answers[1].class(), answers[1].flags()), (wire::Class::Malicious, Flags::NONE), "known keys need no model");
    assert_eq!(ask(&mut peer, &[url("http://nobody.test/")])[0].flags(), Flags::FROM_MODEL, "it was not remembered");
    stop(daemon);
}

#[test]
fn a_share_of_the_cpu_is_not_exceeded() {
    let (scratch, models) = (Scratch::new(), Models::new());
    let tables = entry("url", "url", "enforce", [ALWAYS, NEVER]).replace("cpu_percent = 100.0", "cpu_percent = 0.1");
    let (daemon, mut peer) = with(&scratch, &models, &tables);
    let urls: Vec<String> = (0..4000).map(|number| format!("http://n{number}.test/path")).collect();
    let answers = ask(&mut peer, &urls.iter().map(|text| url(text)).collect::<Vec<_>>());
    let degraded = answers.iter().filter(|answer| answer.flags().contains(Flags::DEGRADED)).count();
    assert!((3000..4000).contains(&degraded), "{degraded} of 4000");
    assert!(get(&daemon, "/models").contains(&format!("\"over_share\": {degraded}")));
    stop(daemon);
}

#[test]
fn a_second_stage_is_asked_in_the_grey_zone_only() {
    let (scratch, models) = (Scratch::new(), Models::new());
    let second = |band: &str| {
        let gate = format!("gate = {{ after = \"first\", head = \"phishing\", band = {band} }}");
        entry("first", "url", "enforce", [NEVER, NEVER]) + &entry("second", "url", "enforce", [ALWAYS, NEVER]).replace("gate = {}", &gate)
    };
    let (daemon, mut peer) = with(&scratch, &models, &second("[-1000.0, 1000.0]"));
    assert_eq!(ask(&mut peer, &[url("http://nobody.test/")])[0].class(), wire::Class::Suspicious);
    models.publish(2, &second("[999.0, 1000.0]"));
    daemon.reload();
    eventually("the second registry is asked", || daemon.metrics.shards[0].models.get() == 2);
    assert_eq!(ask(&mut peer, &[url("http://nobody.test/")])[0].class(), wire::Class::Unknown);
    stop(daemon);
}

#[test]
fn popular_hosts_and_what_operators_say_weaken_a_model() {
    let (scratch, models) = (Scratch::new(), Models::new());
    let popular = models.popular("well-known.test\n", "900.0");
    let allow =
        |host| (Rule::Host { host, subdomains: true }, verdict_tables::Vote { allow: true, ..crate::support::vote(0, Class::Clean) });
    write_rules(&scratch.join("current.snap"), &[allow("allowed.test")]);
    let (daemon, mut peer) = with(&scratch, &models, &(popular + &entry("url", "url", "enforce", ["-500.0", NEVER])));
    let keys = ["http://well-known.test/", "http://a.well-known.test/", "http://unwell-known.test/", "http://x.allowed.test/"].map(url);
    let answers = ask(&mut peer, &keys);
    use wire::Class::*;
    assert_eq!(answers.iter().map(|answer| answer.class()).collect::<Vec<_>>(), [Unknown, Unknown, Suspicious, Clean]);
    stop(daemon);
}

#[test]
fn an_explanation_names_the_strongest_pieces() {
    let (scratch, models) = (Scratch::new(), Models::new());
    let (daemon, mut peer) = with(&scratch, &models, &entry("url", "url", "enforce", [ALWAYS, NEVER]));
    peer.send(&crate::support::explain(3, KeyKind::Url, b"http://secure-login.nobody.test/verify/account"));
    let Some(Got::Explanation { explained, .. }) = peer.receive() else { panic!("no explanation") };
    assert!(explained.reason.starts_with("model url 1 (enforce) says suspicious, score "), "{}", explained.reason);
    assert!(explained.reason.contains("phishing ") && explained.reason.contains("\n  strongest: \""), "{}", explained.reason);
    peer.send(&crate::support::explain(3, KeyKind::Url, b"http://evil.test/"));
    let Some(Got::Explanation { explained, .. }) = peer.receive() else { panic!("no explanation") };
    assert_eq!(explained.reason, "", "a table knows it, no model is asked");
    stop(daemon);
}

#[test]
fn registries_come_and_go_under_load_and_a_bad_one_changes_nothing() {
    let (scratch, models) = (Scratch::new(), Models::new());
    let speaks = |threshold| entry("url", "url", "enforce", [threshold, NEVER]);
    let (daemon, mut peer) = with(&scratch, &models, &speaks(ALWAYS));
    let stop_asking = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut peer, mut asked) = (Peer::connect(daemon.tcp[0]), 0u32);
            while !stop_asking.load(Ordering::Relaxed) {
                let urls: Vec<String> = (0..40).map(|number| format!("http://n{number}.test/{}", asked % 50)).collect();
                let answers = ask(&mut peer, &urls.iter().map(|text| url(text)).collect::<Vec<_>>());
                assert!(answers.iter().all(|answer| answer.class() == answers[0].class()), "one registry a frame");
                asked += 1;
            }
            asked
        });
        for sequence in 2..12 {
            models.publish(sequence, &speaks(if sequence % 2 == 0 { NEVER } else { ALWAYS }));
            eventually("it is asked, without being told", || daemon.metrics.shards[0].models.get() == sequence);
        }
        stop_asking.store(true, Ordering::Relaxed);
        assert!(asking.join().unwrap() > 10);
    });
    let before = ask(&mut peer, &[url("http://nobody.test/")])[0];
    for (what, why) in [("older", "is not put back"), ("changed", "models.toml.sig"), ("damaged", "url.onnx: its")] {
        match what {
            "older" => models.publish(5, &speaks(NEVER)),
            "changed" => drop(models.write(13, &speaks(NEVER))),
            _ => {
                models.damage("url.onnx");
                models.publish(13, &speaks(NEVER));
            }
        }
        daemon.reload();
        eventually(what, || get(&daemon, "/readyz").contains(why));
        assert_eq!(ask(&mut peer, &[url("http://nobody.test/")])[0], before, "{what}");
    }
    assert!(daemon.metrics.control.models_refused.get() >= 3);
    models.repair("url.onnx");
    daemon.reload();
    eventually("the last good one is taken", || daemon.metrics.shards[0].models.get() == 13);
    assert!(!get(&daemon, "/readyz").contains("models refused"));
    stop(daemon);
}

#[test]
fn a_daemon_without_a_sound_registry_serves_its_tables() {
    let (scratch, models) = (Scratch::new(), Models::new());
    models.write(1, &entry("url", "url", "enforce", [ALWAYS, NEVER]));
    let mut config = config(&scratch);
    models.configure(&mut config);
    let daemon = start(&config);
    let mut peer = Peer::connect(daemon.tcp[0]);
    let answers = ask(&mut peer, &[url("http://evil.test/"), url("http://nobody.test/")]);
    assert_eq!([answers[0].class(), answers[1].class()], [wire::Class::Malicious, wire::Class::Unknown]);
    assert!(get(&daemon, "/readyz").contains("models refused"));
    models.publish(1, &entry("url", "url", "enforce", [ALWAYS, NEVER]));
    eventually("it is asked once it is sound", || daemon.metrics.shards[0].models.get() == 1);
    stop(daemon);
}
