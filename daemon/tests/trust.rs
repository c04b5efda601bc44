//! Published directories: what is newer, signed and sound is served without being told; nothing else ever is, whatever happens to the files.

#[allow(unused_macros)]
#[macro_use]
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use support::{Peer, Site, eventually, free, start, stop};
use verdict_tables::manifest::{Canary, Expected, Why, hex, read_canaries};
use verdict_wire as wire;
use verdictd::Daemon;
use verdictd::trust::{Look, TRIALS_MAX, Trust, TrustError};

fn generation(daemon: &Daemon) -> u64 {
    daemon.metrics.shards[0].generation.get()
}

fn refused(daemon: &Daemon, why: Why) -> u64 {
    daemon.metrics.control.refusals[why as usize].get()
}

fn readyz(daemon: &Daemon) -> String {
    scrape(daemon.admin).unwrap()
}

/// Reads to the end, so that the daemon is the one whose side of the connection is remembered.
fn scrape(admin: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(admin).ok()?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn as_it_is(_: &mut verdict_tables::manifest::Manifest) {}

#[test]
fn what_is_published_is_served_without_being_told() {
    let site = Site::new();
    let first = site.publish(1, "marker-one.test", &as_it_is);
    let daemon = start(&site.config());
    assert_eq!(generation(&daemon), first);
    for (epoch, marker) in [(2, "marker-two.test"), (3, "marker-three.test"), (9, "marker-nine.test")] {
        let next = site.publish(epoch, marker, &as_it_is);
        eventually("it is served", || generation(&daemon) == next);
        eventually("its epoch is shown", || daemon.metrics.control.manifest_epoch.get() == epoch);
        assert_eq!(Peer::connect(daemon.tcp[0]).class_of(marker), wire::Class::Malicious);
    }
    let ready = readyz(&daemon);
    assert!(ready.contains("signed, epoch 9,") && !ready.contains("stale") && !ready.contains("refused"), "{ready}");
    let kept = |ending: &str| {
        let names = std::fs::read_dir(site.state().join("generations")).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.extension().is_some_and(|extension| extension == ending)).count()
    };
    assert_eq!((kept("manifest"), kept("snapshot")), (3, 3));
    // A newer manifest of the same snapshot is no swap.
    let swaps = daemon.metrics.shards[0].swaps.get();
    site.publish(10, "marker-nine.test", &as_it_is);
    eventually("it is confirmed", || daemon.metrics.control.manifest_epoch.get() == 10);
    assert_eq!(daemon.metrics.shards[0].swaps.get(), swaps);
    stop(daemon);
}

#[test]
fn nothing_forged_older_expired_damaged_or_for_others_is_served() {
    let site = Site::new();
    let good = site.publish(5, "marker-one.test", &as_it_is);
    let daemon = start(&site.config());
    let check = |what: &str, why: Why, put: &dyn Fn() -> u64| {
        let before = refused(&daemon, why);
        put();
        eventually(what, || refused(&daemon, why) > before);
        eventually("it is told", || readyz(&daemon).contains(&format!("refused ({})", why.name())));
        assert_eq!(generation(&daemon), good, "{what}");
        assert_eq!(Peer::connect(daemon.tcp[0]).class_of("marker-one.test"), wire::Class::Malicious);
    };
    let put = |manifest: &[u8]| {
        site.put(manifest);
        0
    };
    let sound = || site.write_parts(6, "marker-two.test");
    check("another key", Why::Signature, &|| put(&site.sign(&sound(), 2)));
    check("forged", Why::Signature, &|| {
        let mut bytes = site.sign(&sound(), 1);
        bytes[32] = 7;
        put(&bytes)
    });
    check("no signature", Why::Malformed, &|| put(&sound().encode().unwrap()));
    check("truncated", Why::Malformed, &|| put(&site.sign(&sound(), 1)[..100]));
    check("older", Why::Epoch, &|| site.publish(4, "marker-two.test", &as_it_is));
    check("a number used twice", Why::Epoch, &|| site.publish(5, "marker-two.test", &as_it_is));
    check("a jump", Why::Epoch, &|| site.publish(u64::MAX, "marker-two.test", &as_it_is));
    check("expired", Why::Expired, &|| site.publish(6, "marker-two.test", &|manifest| (manifest.created_s, manifest.expires_s) = (1, 2)));
    check("for another format", Why::Format, &|| site.publish(6, "marker-two.test", &|manifest| manifest.formats = (90, 91)));
    let spoil = |spoil: &dyn Fn(Vec<u8>) -> Option<Vec<u8>>| {
        let manifest = sound();
        let path = site.path().join("parts").join(hex(&manifest.parts[1].sha256));
        match spoil(std::fs::read(&path).unwrap()) {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        put(&site.sign(&manifest, 1))
    };
    check("a part is missing", Why::Part, &|| spoil(&|_| None));
    check("a part is short", Why::Part, &|| spoil(&|bytes| Some(bytes[1..].to_vec())));
    check("a part has another bit", Why::Part, &|| {
        spoil(&|mut bytes| {
            bytes[100] ^= 1;
            Some(bytes)
        })
    });
    assert_eq!(daemon.metrics.control.quarantined.get(), 0, "all this may come again, sound");
    let next = site.publish(6, "marker-two.test", &as_it_is);
    eventually("the sound one is served", || generation(&daemon) == next);
    stop(daemon);
}

#[test]
fn what_answers_wrongly_is_never_tried_again() {
    let site = Site::new();
    let good = site.publish(1, "marker-one.test", &as_it_is);
    let daemon = start(&site.config());
    let wrong =
        |manifest: &mut verdict_tables::manifest::Manifest| manifest.canaries = read_canaries("marker-two.test\tunknown\n").unwrap();
    site.publish(2, "marker-two.test", &wrong);
    eventually("it is refused", || refused(&daemon, Why::Canary) == 1);
    // The same snapshot under other manifests, canaries or none.
    for epoch in [3, 4] {
        site.publish(epoch, "marker-two.test", &as_it_is);
        eventually("it is known", || refused(&daemon, Why::Quarantined) >= 1);
    }
    let ready = readyz(&daemon);
    assert!(ready.contains("quarantined 1") && ready.contains("marker-two.test: answered malicious, expected unknown"), "{ready}");
    assert_eq!((generation(&daemon), daemon.metrics.control.quarantined.get()), (good, 1));
    stop(daemon);
    // Not even by a daemon that starts anew; until somebody removes the file.
    let daemon = start(&site.config());
    eventually("it is known still", || refused(&daemon, Why::Quarantined) == 1);
    assert_eq!(generation(&daemon), good);
    for entry in std::fs::read_dir(site.state().join("quarantine")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    eventually("it is tried again", || generation(&daemon) != good);
    stop(daemon);
}

#[test]
fn an_operators_own_canaries_are_asked_as_well() {
    let site = Site::new();
    let mut config = site.config();
    config.snapshot.canaries = site.path().join("canaries.tsv");
    std::fs::write(&config.snapshot.canaries, "marker-two.test\tunknown|clean\n").unwrap();
    let good = site.publish(1, "marker-one.test", &as_it_is);
    let daemon = start(&config);
    site.publish(2, "marker-two.test", &as_it_is);
    eventually("it is refused", || refused(&daemon, Why::Canary) == 1);
    assert_eq!(generation(&daemon), good);
    stop(daemon);
}

#[test]
fn a_start_needs_nothing_but_its_own_state_and_finds_an_older_one_below_bit_rot() {
    let site = Site::new();
    let first = site.publish(1, "marker-one.test", &as_it_is);
    let daemon = start(&site.config());
    let second = site.publish(2, "marker-two.test", &as_it_is);
    eventually("the second is served", || generation(&daemon) == second);
    stop(daemon);
    std::fs::remove_dir_all(site.path()).unwrap();
    let daemon = start(&site.config());
    assert_eq!(generation(&daemon), second);
    stop(daemon);
    let newest = snapshots(&site).into_iter().find(|path| verdict_tables::Snapshot::load(path).unwrap().generation() == second).unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&newest, bytes).unwrap();
    let daemon = start(&site.config());
    assert_eq!(generation(&daemon), first);
    // What was damaged here is whole there: it is taken again.
    std::fs::create_dir_all(site.path().join("parts")).unwrap();
    site.publish(2, "marker-two.test", &as_it_is);
    eventually("the second is back", || generation(&daemon) == second);
    stop(daemon);
}

fn snapshots(site: &Site) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(site.state().join("generations")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "snapshot")).collect()
}

/// A daemon that dies right after its start, as seen by its state directory.
fn die_after_start(site: &Site) -> Result<u64, TrustError> {
    let mut trust = Trust::open(&site.config().snapshot, verdict_simd::detect().unwrap())?;
    trust.start(None).map(|(snapshot, _)| snapshot.generation())
}

#[test]
fn after_three_failed_starts_the_generation_before_serves() {
    let site = Site::new();
    let first = site.publish(1, "marker-one.test", &as_it_is);
    let daemon = start(&site.config());
    stop(daemon);
    let second = site.publish(2, "marker-two.test", &as_it_is);
    let mut trust = Trust::open(&site.config().snapshot, verdict_simd::detect().unwrap()).unwrap();
    assert_eq!(trust.start(None).unwrap().0.generation(), first);
    trust.good();
    assert!(matches!(trust.look(), Ok(Look::New(..))));
    drop(trust);
    for _ in 0..TRIALS_MAX {
        assert_eq!(die_after_start(&site).unwrap(), second);
    }
    let began = std::time::Instant::now();
    let daemon = start(&site.config());
    assert_eq!(generation(&daemon), first);
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    eventually("it is told", || readyz(&daemon).contains("starts with it did not last"));
    // A fixed one has another hash.
    let third = site.publish(3, "marker-three.test", &as_it_is);
    eventually("the third is served", || generation(&daemon) == third);
    stop(daemon);
}

#[test]
fn a_generation_whose_starts_failed_serves_again_once_it_is_lifted() {
    let site = Site::new();
    let first = site.publish(1, "marker-one.test", &as_it_is);
    // Without a daemon: a look of one that has just ended may hold the state directory for a moment.
    let mut trust = Trust::open(&site.config().snapshot, verdict_simd::detect().unwrap()).unwrap();
    trust.start(None).unwrap();
    let second = site.publish(2, "marker-two.test", &as_it_is);
    assert!(matches!(trust.look(), Ok(Look::New(..))));
    trust.good();
    drop(trust);
    for _ in 0..TRIALS_MAX {
        assert_eq!(die_after_start(&site).unwrap(), second);
    }
    let daemon = start(&site.config());
    assert_eq!(generation(&daemon), first);
    eventually("it is in quarantine", || daemon.metrics.control.quarantined.get() == 1);
    // As `verdictctl quarantine lift` does, while the daemon runs.
    let held: Vec<PathBuf> = std::fs::read_dir(site.state().join("quarantine")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [held] = held.as_slice() else { panic!("{held:?}") };
    std::fs::remove_file(held).unwrap();
    eventually("the second is back", || generation(&daemon) == second);
    eventually("nothing is in quarantine", || daemon.metrics.control.quarantined.get() == 0);
    stop(daemon);
    eventually("the starts that failed are forgotten", || die_after_start(&site).is_ok_and(|generation| generation == second));
}

#[test]
fn a_generation_without_another_behind_it_is_started_however_often() {
    let site = Site::new();
    let only = site.publish(1, "marker-one.test", &as_it_is);
    for _ in 0..TRIALS_MAX + 3 {
        assert_eq!(die_after_start(&site).unwrap(), only);
    }
}

#[test]
fn starts_that_were_ended_in_order_are_not_counted() {
    let site = Site::new();
    site.publish(1, "marker-one.test", &as_it_is);
    stop(start(&site.config()));
    let second = site.publish(2, "marker-two.test", &as_it_is);
    for _ in 0..TRIALS_MAX + 2 {
        let daemon = start(&site.config());
        eventually("the second is served", || generation(&daemon) == second);
        stop(daemon);
    }
}

/// The daemon itself, killed at moments that a seed draws, each soon after something newer was published: it comes back with that or with what it
/// had before, and comes to the newer one by itself.
#[test]
fn a_daemon_killed_at_random_moments_of_an_update_comes_back_with_the_old_or_the_new() {
    const ROUNDS: u64 = 12;
    let (mut seed, mut newest, mut came_back_new) = (20_260_701u64, 1, 0);
    println!("seed {seed}");
    let site = Site::new();
    site.publish(newest, "marker-1.test", &as_it_is);
    let mut config = site.config();
    (config.listen.admin, config.listen.tcp) = (free(), vec![free()]);
    let file = site.path().join("verdictd.toml");
    std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
    let spawn = || Command::new(env!("CARGO_BIN_EXE_verdictd")).arg("--config").arg(&file).spawn().unwrap();
    let epoch_shown = || {
        let ready = scrape(config.listen.admin)?;
        ready.split("signed, epoch ").nth(1)?.split([',', ' ']).next()?.parse::<u64>().ok()
    };
    for round in 0..=ROUNDS {
        let (mut daemon, mut epoch) = (spawn(), 0);
        eventually("it serves", || {
            if daemon.try_wait().unwrap().is_some() {
                // As a supervisor does: the ring of a killed process holds its ports for a moment longer than the process lives.
                std::thread::sleep(std::time::Duration::from_millis(20));
                daemon = spawn();
            }
            epoch = epoch_shown().unwrap_or(0);
            epoch > 0
        });
        assert!(epoch == newest || epoch + 1 == newest, "round {round}: epoch {epoch}, and {newest} is published");
        came_back_new += u64::from(epoch == newest);
        eventually("it comes to the newest", || epoch_shown() == Some(newest));
        let mut peer = Peer::connect(config.listen.tcp[0]);
        for host in ["www.evil.test", &format!("marker-{newest}.test")] {
            assert_eq!(peer.class_of(host), wire::Class::Malicious, "round {round}");
        }
        if round < ROUNDS {
            newest += 1;
            site.publish(newest, &format!("marker-{newest}.test"), &as_it_is);
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            std::thread::sleep(std::time::Duration::from_micros((seed >> 33) % 40_000));
        }
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }
    println!("{came_back_new} of {} starts were with the newest", ROUNDS + 1);
}

/// Seen in use: after a scrape the admin port was taken for a minute by the ended connection, and every start failed.
#[test]
fn a_killed_daemon_is_back_on_its_ports_at_once() {
    let site = Site::new();
    site.publish(1, "marker-one.test", &as_it_is);
    let mut config = site.config();
    (config.listen.admin, config.listen.tcp) = (free(), vec![free()]);
    let file = site.path().join("verdictd.toml");
    std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
    for _ in 0..2 {
        let mut daemon = None;
        eventually("it serves", || {
            let running: &mut std::process::Child =
                daemon.get_or_insert_with(|| Command::new(env!("CARGO_BIN_EXE_verdictd")).arg("--config").arg(&file).spawn().unwrap());
            if running.try_wait().unwrap().is_some() {
                daemon = None; // as a supervisor does
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            scrape(config.listen.admin).is_some_and(|reply| reply.contains("ready"))
        });
        let mut daemon = daemon.unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }
}

/// Seen in use: a daemon whose port was taken was started again and again, and every generation that it had went into quarantine.
#[test]
fn starts_that_failed_for_another_reason_are_not_counted() {
    let site = Site::new();
    site.publish(1, "marker-one.test", &as_it_is);
    stop(start(&site.config()));
    let second = site.publish(2, "marker-two.test", &as_it_is);
    let daemon = start(&site.config());
    eventually("the second is served", || generation(&daemon) == second);
    stop(daemon);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = site.config();
    config.listen.admin = taken.local_addr().unwrap();
    for _ in 0..TRIALS_MAX + 2 {
        assert!(matches!(Daemon::start(&config, false), Err(verdictd::StartError::Io(_))));
    }
    let daemon = start(&site.config());
    assert_eq!((generation(&daemon), daemon.metrics.control.quarantined.get()), (second, 0));
    stop(daemon);
}

#[test]
fn answers_say_that_they_are_stale_once_the_manifest_has_expired() {
    let site = Site::new();
    site.publish(1, "marker-one.test", &|manifest| manifest.expires_s = manifest.created_s + 1);
    let daemon = start(&site.config());
    let mut peer = Peer::connect(daemon.tcp[0]);
    let keys: [(wire::KeyKind, &[u8]); 2] = [(wire::KeyKind::Host, b"evil.test"), (wire::KeyKind::Url, b"http://[/")];
    let is_stale = |answer: &wire::Answer| answer.flags & 1 != 0;
    eventually("it is stale", || is_stale(&peer.ask(&keys)[0]));
    let answers = peer.ask(&keys);
    assert_eq!(answers[0].class(), wire::Class::Malicious, "stale is an answer still");
    assert!(!is_stale(&answers[1]), "what is no key has no age");
    assert_eq!(daemon.metrics.control.stale.get(), 1);
    assert!(readyz(&daemon).contains("\nstale\n"));
    let next = site.publish(2, "marker-one.test", &|manifest| manifest.expires_s += 1);
    eventually("it is fresh", || !is_stale(&peer.ask(&keys)[0]));
    assert_eq!(generation(&daemon), next);
    stop(daemon);
}

#[test]
fn an_unsigned_file_is_called_so_and_stale_by_its_own_date() {
    let scratch = support::Scratch::new();
    let mut config = support::config(&scratch);
    config.snapshot.stale_after_s = 3600;
    let daemon = start(&config);
    eventually("it is stale", || daemon.metrics.control.stale.get() == 1);
    assert!(readyz(&daemon).contains("\nunsigned: "));
    stop(daemon);
}

#[test]
fn going_back_takes_a_new_epoch() {
    let site = Site::new();
    let first = site.publish(1, "marker-one.test", &as_it_is);
    let daemon = start(&site.config());
    let second = site.publish(2, "marker-two.test", &as_it_is);
    eventually("the second is served", || generation(&daemon) == second);
    site.publish(3, "marker-one.test", &|manifest| manifest.rollback = true);
    eventually("the first is served again", || generation(&daemon) == first);
    eventually("readyz tells of it", || readyz(&daemon).contains("signed, epoch 3, a rollback,"));
    stop(daemon);
}

#[test]
fn a_stage_leaves_out_nodes_that_are_not_drawn() {
    let site = Site::new();
    let first = site.publish(1, "marker-one.test", &as_it_is);
    let daemon = start(&site.config());
    let mut manifest = site.write_parts(2, "marker-two.test");
    manifest.stage = 1;
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    while manifest.is_for_node(&node) {
        manifest.salt[0] += 1;
    }
    site.put(&site.sign(&manifest, 1));
    std::thread::sleep(std::time::Duration::from_millis(1500)); // longer than a poll
    assert_eq!((generation(&daemon), daemon.metrics.control.loads_refused.get()), (first, 0));
    manifest.epoch = 3;
    manifest.stage = 100;
    site.put(&site.sign(&manifest, 1));
    eventually("all take it", || generation(&daemon) == manifest.generation);
    stop(daemon);
}

#[test]
fn what_happens_to_files_in_use_changes_no_answer() {
    let site = Site::new();
    site.publish(1, "marker-one.test", &as_it_is);
    let daemon = start(&site.config());
    let mut files: Vec<PathBuf> = snapshots(&site);
    files.extend(std::fs::read_dir(site.path().join("parts")).unwrap().map(|entry| entry.unwrap().path()));
    let mut peer = Peer::connect(daemon.tcp[0]);
    for file in &files {
        let bytes = std::fs::metadata(file).unwrap().len() as usize;
        std::fs::write(file, vec![0xA5; bytes]).unwrap();
        assert_eq!(peer.class_of("www.evil.test"), wire::Class::Malicious);
        std::fs::File::options().write(true).open(file).unwrap().set_len(0).unwrap();
        assert_eq!(peer.class_of("unlisted.test"), wire::Class::Unknown);
        std::fs::remove_file(file).unwrap();
    }
    for _ in 0..100 {
        assert_eq!(peer.class_of("www.evil.test"), wire::Class::Malicious);
    }
    stop(daemon);
}

#[test]
fn two_daemons_do_not_share_a_state_directory() {
    let site = Site::new();
    site.publish(1, "marker-one.test", &as_it_is);
    let daemon = start(&site.config());
    let second = Daemon::start(&site.config(), false).map(|_| ()).unwrap_err().to_string();
    assert!(second.contains("another daemon has this state directory"), "{second}");
    stop(daemon);
}

#[test]
fn a_start_with_nothing_to_serve_says_where_it_looked() {
    let site = Site::new();
    let told = die_after_start(&site).unwrap_err().to_string();
    assert!(told.contains("published/manifest: ") && told.contains("No such file"), "{told}");
    let any = Expected::from_bits(2).unwrap();
    site.publish(1, "marker-one.test", &|manifest| manifest.canaries = vec![Canary::new(2, any, b"evil.test").unwrap()]);
    let told = die_after_start(&site).unwrap_err().to_string();
    assert!(told.contains("evil.test: answered malicious, expected clean"), "{told}");
}
