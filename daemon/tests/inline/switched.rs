//! The switch of a model, on the models that are shipped: not asked from one answer to the next, and not after a restart, until it is on again.

use super::{ask, get, url};
use crate::acts::with_control;
use crate::support::switches::{done, listed, not_done};
use crate::support::{Got, Models, Peer, Scratch, config, eventually, explain, start, stop};
use std::net::TcpStream;
use verdict_wire as wire;
use verdictd::Daemon;
use wire::{Act, Answer, Class, Flags, KeyKind, Outcome};

/// What `url` suspects, and `url-first` before it; reserved names of the models' golden texts.
const PHISHING: &str = "http://secure-login-account-verify.example/wp-content/plugins/x/login.php";
/// What `url-first` lets pass.
const CALM: &str = "http://a.test/";
/// What `dga` suspects.
const DGA: &str = "ai4wmly0f735lbfxsbkknl5u9.test";

/// The answers about these three and about what a table knows.
fn answers(peer: &mut Peer<TcpStream>) -> [Answer; 4] {
    let keys = [url(PHISHING), url(CALM), (KeyKind::Host, DGA.as_bytes()), url("http://evil.test/")];
    ask(peer, &keys).try_into().expect("four answers")
}

fn classes(peer: &mut Peer<TcpStream>) -> [Class; 4] {
    answers(peer).map(|answer| answer.class())
}

fn connect(daemon: &Daemon) -> Peer<TcpStream> {
    Peer::connect(daemon.tcp[0])
}

fn explained(peer: &mut Peer<TcpStream>) -> String {
    peer.send(&explain(3, KeyKind::Url, PHISHING.as_bytes()));
    match peer.receive() {
        Some(Got::Explanation { explained, .. }) => explained.reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_shipped_model_that_is_switched_off_says_nothing_until_it_is_on_again_and_others_go_on() {
    use Class::{Malicious, Suspicious, Unknown};
    let (scratch, models) = (Scratch::new(), Models::new());
    models.publish(1, &models.shipped());
    let mut config = with_control(config(&scratch), &scratch);
    models.configure(&mut config);
    let daemon = start(&config);
    let mut peer = connect(&daemon);
    let before = answers(&mut peer);
    assert_eq!(before.map(|answer| answer.class()), [Suspicious, Unknown, Suspicious, Malicious]);
    assert_eq!((before[0].flags(), before[0].categories()), (Flags::FROM_MODEL, wire::Categories::PHISHING));
    assert_eq!(answers(&mut peer), before, "remembered");
    not_done(&config, Act::Off, "model urls", Outcome::Refused, "url-first");

    assert!(done(&config, Act::Off, "model url").starts_with("model url: off"));
    let off = answers(&mut peer);
    assert_eq!(off.map(|answer| answer.class()), [Unknown, Unknown, Suspicious, Malicious], "what it said is not remembered either");
    assert_ne!(off[0].id(), before[0].id(), "it is the first stage that has a score to tell");
    assert_eq!(off[0].categories().0, 0);
    assert_eq!(off[2..], before[2..], "the others are asked as before");
    let reason = explained(&mut peer);
    assert!(reason.contains("model url-first 1 (enforce)") && !reason.contains("model url 2"), "{reason}");
    assert!(get(&daemon, "/readyz").contains("\noff: model url, since "));
    assert!(get(&daemon, "/metrics").contains("verdictd_switched_off{part=\"model\"} 1\n"));
    // Another registry is no reason to ask it again.
    models.publish(2, &models.shipped());
    daemon.reload();
    eventually("the second registry is asked", || daemon.metrics.shards[0].models.get() == 2);
    assert_eq!(classes(&mut peer), [Unknown, Unknown, Suspicious, Malicious]);
    stop(daemon);

    let daemon = start(&config);
    let mut peer = connect(&daemon);
    assert_eq!(classes(&mut peer), [Unknown, Unknown, Suspicious, Malicious], "from the first answer on");
    assert_eq!(listed(&config), ["off model url"]);
    done(&config, Act::On, "model url");
    assert_eq!(answers(&mut peer), before, "and it says what it said");
    assert!(listed(&config).is_empty() && explained(&mut peer).contains("model url 2 (enforce) says suspicious"));

    // Who is asked only after another is not asked without it.
    done(&config, Act::Off, "model url-first");
    assert_eq!(classes(&mut peer), [Unknown, Unknown, Suspicious, Malicious]);
    assert_eq!(answers(&mut peer)[..2].iter().map(|answer| (answer.score(), answer.id())).collect::<Vec<_>>(), [(0, 0); 2]);
    done(&config, Act::Off, "model dga");
    assert_eq!(classes(&mut peer), [Unknown, Unknown, Unknown, Malicious]);
    stop(daemon);
    let daemon = start(&config);
    let mut peer = connect(&daemon);
    assert_eq!(classes(&mut peer), [Unknown, Unknown, Unknown, Malicious]);
    ["model dga", "model url-first"].iter().for_each(|part| _ = done(&config, Act::On, part));
    assert_eq!(answers(&mut peer), before);
    stop(daemon);
}
