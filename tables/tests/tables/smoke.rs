//! The shortest way through the crate: rules in, a file, questions, answers, descriptions.

use verdict_keys::{Batch, Digest, Kind, Scheme};
use verdict_simd::Portable;
use verdict_tables::{
    Builder, Class, On, Rule, RuleKind, Scratch, Snapshot, Source, Status, Verdict, Vote, category, flag, lookup, matches,
};

fn vote(source: u16, class: Class) -> Vote {
    Vote {
        source,
        class,
        allow: false,
        overrides: false,
        score: 90,
        confidence: 80,
        categories: category::MALWARE,
        first_seen_day: 20_000,
        last_seen_day: 20_100,
        ttl_s: 3600,
    }
}

fn sample() -> Builder {
    let mut builder = Builder::new(Scheme::Full, b"", 1_700_000_000);
    let feed = builder.source(Source { name: "feed", licence: "CC0-1.0" });
    let ours = builder.source(Source { name: "ours", licence: "" });
    let malicious = vote(feed, Class::Malicious);
    let allow = Vote { allow: true, ..vote(ours, Class::Clean) };
    let rules = [
        (Rule::Host { host: "evil.test", subdomains: true }, malicious),
        (Rule::Host { host: "good.evil.test", subdomains: false }, allow),
        (Rule::Host { host: "only.test", subdomains: false }, malicious),
        (Rule::Url { host: "shop.test", path_query: "/a/b.exe", prefix: false, subdomains: false }, malicious),
        (Rule::Url { host: "shop.test", path_query: "/dir/", prefix: true, subdomains: true }, vote(feed, Class::Suspicious)),
        (Rule::Net { network: "192.0.2.0".parse().unwrap(), bits: 24 }, malicious),
        (Rule::Net { network: "2001:db8::".parse().unwrap(), bits: 32 }, malicious),
        (Rule::File(Digest::Md5([7; 16])), malicious),
        (Rule::File(Digest::Sha256([9; 32])), vote(ours, Class::Suspicious)),
    ];
    for (rule, vote) in rules {
        builder.add(rule, vote).unwrap();
    }
    builder
}

#[test]
fn every_kind_of_question_gets_its_answer() {
    let snapshot = Snapshot::from_bytes(&sample().build(Portable::new()).unwrap().bytes).unwrap();
    let questions: Vec<(Kind, Vec<u8>, Class)> = vec![
        (Kind::Host, b"evil.test".to_vec(), Class::Malicious),
        (Kind::Host, b"a.b.evil.test".to_vec(), Class::Malicious),
        (Kind::Host, b"GOOD.evil.test".to_vec(), Class::Clean),
        (Kind::Host, b"a.good.evil.test".to_vec(), Class::Malicious),
        (Kind::Host, b"only.test".to_vec(), Class::Malicious),
        (Kind::Host, b"a.only.test".to_vec(), Class::Unknown),
        (Kind::Url, b"http://evil.test/x".to_vec(), Class::Malicious),
        (Kind::Url, b"https://shop.test/a/b.exe?q=1".to_vec(), Class::Malicious),
        (Kind::Url, b"https://shop.test/a/b.exe/c".to_vec(), Class::Unknown),
        (Kind::Url, b"https://www.shop.test/a/b.exe".to_vec(), Class::Unknown),
        (Kind::Url, b"https://www.shop.test/dir/x/y.html".to_vec(), Class::Suspicious),
        (Kind::Url, b"https://shop.test/dir/".to_vec(), Class::Suspicious),
        (Kind::Url, b"https://shop.test/dir".to_vec(), Class::Unknown),
        (Kind::Host, b"shop.test".to_vec(), Class::Unknown),
        (Kind::Url, b"http://192.0.2.77/".to_vec(), Class::Malicious),
        (Kind::Host, b"192.0.2.77".to_vec(), Class::Malicious),
        (Kind::Ipv4, vec![192, 0, 2, 1], Class::Malicious),
        (Kind::Ipv4, vec![192, 0, 3, 1], Class::Unknown),
        (Kind::Ipv6, [[0x20, 1, 0x0d, 0xb8].as_slice(), &[1; 12]].concat(), Class::Malicious),
        (Kind::Ipv6, vec![1; 16], Class::Unknown),
        (Kind::Md5, vec![7; 16], Class::Malicious),
        (Kind::Md5, vec![8; 16], Class::Unknown),
        (Kind::Sha256, vec![9; 32], Class::Suspicious),
        (Kind::Sha1, vec![9; 20], Class::Unknown),
    ];
    let mut batch = Batch::with_capacity(questions.len());
    for (kind, bytes, _) in &questions {
        batch.push(Portable::new(), snapshot.schedule(), snapshot.profile(), *kind, bytes);
    }
    batch.push(Portable::new(), snapshot.schedule(), snapshot.profile(), Kind::Sha1, b"short");
    batch.push_unsupported();
    let mut verdicts = vec![Verdict::default(); batch.items().len()];
    lookup(Portable::new(), &snapshot, &batch, &mut Scratch::default(), &mut verdicts);
    for ((kind, bytes, class), verdict) in questions.iter().zip(&verdicts) {
        assert_eq!(verdict.class(), Some(*class), "{kind:?} {}", bytes.escape_ascii());
        assert_eq!(verdict.status(), Some(Status::Ok));
        assert_eq!(verdict.verdict_id() != 0, *class != Class::Unknown);
    }
    assert_eq!(verdicts[2].flags, flag::ALLOWLISTED);
    let last: Vec<_> = verdicts[questions.len()..].iter().map(|verdict| verdict.status().unwrap()).collect();
    assert_eq!(last, [Status::Unparseable, Status::Unsupported]);
}

#[test]
fn an_answer_is_explained_by_its_matches_and_its_description() {
    let snapshot = Snapshot::from_bytes(&sample().build(Portable::new()).unwrap().bytes).unwrap();
    let mut batch = Batch::with_capacity(1);
    batch.push(Portable::new(), snapshot.schedule(), snapshot.profile(), Kind::Host, b"good.evil.test");
    let found = matches(Portable::new(), &snapshot, &batch, 0, &mut Scratch::default());
    let on: Vec<On> = found.iter().map(|one| one.on).collect();
    assert_eq!(on, [On::Host { host: 0, own: true }, On::Host { host: 1, own: false }]);
    let lost = snapshot.describe(found[1].verdict.verdict_id()).unwrap();
    assert_eq!((lost.class, lost.rule_kind, lost.ttl_s, lost.confidence), (Class::Malicious, RuleKind::HostSubdomains, 3600, 80));
    assert_eq!(lost.sources().collect::<Vec<_>>(), [Source { name: "feed", licence: "CC0-1.0" }]);
    assert!(snapshot.describe(0).is_none() && snapshot.describe(u32::MAX).is_none());
}

#[test]
fn a_file_is_loaded_whole_and_its_later_fate_does_not_matter() {
    let directory = std::env::temp_dir().join(format!("verdict-tables-{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("snapshot");
    let generation = sample().build_to(Portable::new(), &path).unwrap();
    let snapshot = Snapshot::load(&path).unwrap();
    assert_eq!(snapshot.generation(), generation);
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "nothing but the snapshot is left");
    let bytes = snapshot.as_bytes().to_vec();
    assert_eq!(bytes, std::fs::read(&path).unwrap());
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    assert_eq!(snapshot.as_bytes(), bytes);
    assert!(Snapshot::load(&path).is_err());
    std::fs::remove_dir_all(&directory).unwrap();
    println!("{}", snapshot.inspect());
}
