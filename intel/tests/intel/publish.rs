//! Publishing: what a daemon would refuse never gets its name, what was published stays until the new is whole, and what is not needed goes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use verdict_intel::publish::{PublishError, Published, SecretKey, Terms, To, cut, publish, rollback};
use verdict_keys::Scheme;
use verdict_simd::Portable;
use verdict_tables::manifest::{Directory, KeySet, Manifest, part_name, read_canaries};
use verdict_tables::{Builder, Class, Rule, Snapshot, Source, Vote};

/// A directory of this test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("verdict-publish-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn site(&self) -> PathBuf {
        self.0.join("site")
    }

    /// `botnet.test`, and a marker of its own.
    fn snapshot(&self, marker: &str) -> PathBuf {
        let mut builder = Builder::new(Scheme::Full, b"", 1);
        let source = builder.source(Source { name: "one", licence: "" });
        let vote = Vote {
            source,
            class: Class::Malicious,
            allow: false,
            overrides: false,
            score: 90,
            confidence: 80,
            categories: 1,
            first_seen_day: 0,
            last_seen_day: 0,
            ttl_s: 60,
        };
        for host in ["botnet.test", marker] {
            builder.add(Rule::Host { host, subdomains: true }, vote).unwrap();
        }
        let path = self.0.join(format!("{marker}.snap"));
        builder.build_to(Portable::new(), &path).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32]).unwrap()
}

fn terms(keys: &[u8]) -> Terms {
    Terms {
        keys: keys.iter().map(|number| key(*number)).collect(),
        now_s: 1_800_000_000,
        valid_s: 3600,
        stage: 100,
        canaries: read_canaries("botnet.test\tmalicious\nwww.example.org\tunknown|clean\n").unwrap(),
        keep: 2,
        epoch: None,
    }
}

fn put(scratch: &Scratch, marker: &str, terms: &Terms) -> Result<Published, PublishError> {
    publish(Portable::new(), &scratch.snapshot(marker), &scratch.site(), terms)
}

fn read(site: &Path, by: u8) -> Manifest {
    let bytes = Directory::new(site).read_manifest().unwrap();
    Manifest::verify(&bytes, &KeySet::new(vec![key(by).public()]).unwrap()).unwrap().0
}

fn parts(site: &Path) -> BTreeSet<String> {
    std::fs::read_dir(site.join("parts")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_is_published_is_what_was_compiled_and_epochs_rise() {
    let scratch = Scratch::new("epochs");
    for (epoch, marker) in [(1, "one.test"), (2, "two.test"), (3, "two.test")] {
        let published = put(&scratch, marker, &terms(&[1])).unwrap();
        assert_eq!(published.manifest.epoch, epoch);
        let manifest = read(&scratch.site(), 1);
        let assembled = Directory::new(scratch.site()).assemble(&manifest).unwrap();
        assert_eq!(assembled.as_bytes(), std::fs::read(scratch.snapshot(marker)).unwrap());
        assert_eq!(published.new_parts.0 == 0, epoch == 3, "the same snapshot again sends nothing");
    }
}

#[test]
fn earlier_manifests_stay_with_their_parts_and_no_more() {
    let scratch = Scratch::new("prune");
    for marker in ["a.test", "b.test", "c.test", "d.test", "e.test"] {
        put(&scratch, marker, &terms(&[1])).unwrap();
    }
    let directory = Directory::new(scratch.site());
    let kept: Vec<Manifest> = [3, 4]
        .map(|epoch| {
            Manifest::verify(&std::fs::read(directory.archived(epoch)).unwrap(), &KeySet::new(vec![key(1).public()]).unwrap()).unwrap().0
        })
        .into();
    assert!(!directory.archived(2).exists());
    let needed = kept.iter().chain([&read(&scratch.site(), 1)]).flat_map(|manifest| manifest.parts.iter().map(part_name)).collect();
    assert_eq!(parts(&scratch.site()), needed);
    std::fs::write(scratch.site().join("parts/.partial-left"), "by a crash").unwrap();
    assert!(put(&scratch, "f.test", &terms(&[1])).unwrap().pruned.unwrap() > 0);
    assert!(!scratch.site().join("parts/.partial-left").exists());
}

#[test]
fn going_back_takes_a_new_epoch_and_says_what_it_is() {
    let scratch = Scratch::new("rollback");
    let first = put(&scratch, "one.test", &terms(&[1])).unwrap().manifest;
    put(&scratch, "two.test", &terms(&[1])).unwrap();
    let back = rollback(Portable::new(), To::Previous, &scratch.site(), &terms(&[1])).unwrap().manifest;
    assert_eq!((back.epoch, back.rollback, back.sha256), (3, true, first.sha256));
    assert_eq!(back.canaries, first.canaries);
    let forth = rollback(Portable::new(), To::Epoch(2), &scratch.site(), &terms(&[1])).unwrap().manifest;
    assert_eq!(forth.epoch, 4);
    let again = rollback(Portable::new(), To::Generation(first.generation), &scratch.site(), &terms(&[1])).unwrap().manifest;
    assert_eq!((again.epoch, again.generation), (5, first.generation));
    let refused = rollback(Portable::new(), To::Epoch(77), &scratch.site(), &terms(&[1])).unwrap_err().to_string();
    assert!(refused.contains("there are: ") && refused.contains("epoch 4"), "{refused}");
    let nothing = rollback(Portable::new(), To::Previous, &scratch.0.join("empty"), &terms(&[1])).unwrap_err();
    assert!(matches!(nothing, PublishError::NothingPublished { .. }));
}

#[test]
fn a_snapshot_that_answers_a_canary_wrongly_is_not_published() {
    let scratch = Scratch::new("canary");
    put(&scratch, "one.test", &terms(&[1])).unwrap();
    let refused = put(&scratch, "www.example.org", &terms(&[1])).unwrap_err().to_string();
    assert!(refused.contains("not published") && refused.contains("www.example.org: answered malicious"), "{refused}");
    assert_eq!(read(&scratch.site(), 1).epoch, 1);
    assert_eq!(put(&scratch, "two.test", &terms(&[1])).unwrap().manifest.epoch, 2);
}

#[test]
fn a_key_is_replaced_by_signing_with_both_once() {
    let scratch = Scratch::new("keys");
    put(&scratch, "one.test", &terms(&[1])).unwrap();
    let alone = put(&scratch, "two.test", &terms(&[2])).unwrap_err();
    assert!(matches!(alone, PublishError::Existing { .. }), "{alone}");
    put(&scratch, "two.test", &terms(&[1, 2])).unwrap();
    let by_new = put(&scratch, "three.test", &terms(&[2])).unwrap();
    assert_eq!((by_new.manifest.epoch, read(&scratch.site(), 2).epoch), (3, 3));
}

#[test]
fn what_is_damaged_there_is_told_and_overcome_only_by_naming_an_epoch() {
    let scratch = Scratch::new("damaged");
    let manifest = put(&scratch, "one.test", &terms(&[1])).unwrap().manifest;
    let directory = Directory::new(scratch.site());
    // A damaged part is written again, though it has its name.
    std::fs::write(directory.part(&manifest.parts[0]), "damaged").unwrap();
    assert_eq!(put(&scratch, "one.test", &terms(&[1])).unwrap().new_parts.0, 1);
    std::fs::write(directory.manifest(), "damaged").unwrap();
    assert!(matches!(put(&scratch, "two.test", &terms(&[1])), Err(PublishError::Existing { .. })));
    let named = put(&scratch, "two.test", &Terms { epoch: Some(100), ..terms(&[1]) }).unwrap();
    assert_eq!(named.manifest.epoch, 100);
    let lower = put(&scratch, "two.test", &Terms { epoch: Some(100), ..terms(&[1]) }).unwrap_err();
    assert!(matches!(lower, PublishError::Epoch { wanted: 100, current: 100 }));
}

#[test]
fn two_publishers_do_not_meet() {
    let scratch = Scratch::new("lock");
    put(&scratch, "one.test", &terms(&[1])).unwrap();
    let lock = std::fs::File::open(scratch.site().join("lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(put(&scratch, "two.test", &terms(&[1])), Err(PublishError::Busy { .. })));
}

#[test]
fn key_files_are_private_and_never_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("secret");
    let path = scratch.0.join("a.key");
    let made = SecretKey::generate().unwrap();
    made.write(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(SecretKey::read(&path).unwrap().public(), made.public());
    assert!(made.write(&path).is_err(), "it is there");
    assert!(!format!("{made:?}").contains(&std::fs::read_to_string(&path).unwrap()[40..60]), "debugging shows no secret");
    std::fs::write(&path, "verdictd-secret-key 00 11\n").unwrap();
    assert!(SecretKey::read(&path).unwrap_err().to_string().contains("64 hexadecimal digits"));
}

#[test]
fn cuts_follow_each_other_and_begin_at_sections() {
    let scratch = Scratch::new("cut");
    let snapshot = Snapshot::load(&scratch.snapshot("one.test")).unwrap();
    let ranges = cut(snapshot.as_bytes());
    assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, snapshot.as_bytes().len()));
    assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start) && ranges.iter().all(|range| range.len() == 4096));
}
