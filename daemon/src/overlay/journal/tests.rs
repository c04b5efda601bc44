//! The journal against crashes, damage, and its own compaction.

use super::*;

fn entry(host: &str, class: Class, at_ms: u64, until_ms: u64) -> Entry {
    Entry { key: Key::new(Kind::Host, host.as_bytes()).unwrap(), class, at_ms, until_ms, uid: 7, pid: 8, reason: "a test".into() }
}

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("verdictd-journal-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Three acts; the bytes, and where each record begins and the last one ends.
fn three() -> (Vec<u8>, Vec<usize>) {
    let acts = [
        (Act::Block, entry("a.test", Class::Malicious, 1000, 9000)),
        (Act::Unblock, entry("b.test", Class::Clean, 2000, 9000)),
        (Act::Remove, entry("a.test", Class::Unknown, 3000, 3000)),
    ];
    let (mut bytes, mut places) = (head(0).to_vec(), Vec::new());
    for (index, (act, entry)) in acts.into_iter().enumerate() {
        places.push(bytes.len());
        bytes.extend(encode(&Record { number: index as u64 + 1, act, entry }));
    }
    places.push(bytes.len());
    (bytes, places)
}

#[test]
fn acts_come_back_in_order_and_amount_to_what_is_left() {
    let (bytes, _) = three();
    let contents = read(&bytes).unwrap();
    assert_eq!(contents.records.iter().map(|record| record.number).collect::<Vec<_>>(), [1, 2, 3]);
    let keys: Vec<String> = contents.entries().keys().map(Key::to_string).collect();
    assert_eq!(keys, ["b.test"]);
}

#[test]
fn wherever_a_crash_cuts_the_last_record_the_ones_before_stand() {
    let (bytes, places) = three();
    for end in places[2]..bytes.len() {
        let contents = read(&bytes[..end]).unwrap_or_else(|error| panic!("{end}: {error:?}"));
        assert_eq!((contents.records.len(), contents.sound_bytes), (2, places[2]), "{end}");
        let mut unwritten = bytes[..end].to_vec();
        unwritten.resize(bytes.len(), 0);
        assert_eq!(read(&unwritten).unwrap().records.len(), 2, "the blocks from {end} on were never written");
    }
}

#[test]
fn a_flipped_bit_anywhere_else_is_told_with_its_place() {
    let (bytes, places) = three();
    for at in 0..bytes.len() {
        for bit in [0, 7] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let record = places.iter().rposition(|place| *place <= at).map_or(0, |index| places[index]);
            assert_eq!(read(&flipped).map_err(|(told, _)| told), Err(record), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_record_that_somebody_took_out_is_missed() {
    let (bytes, places) = three();
    let without = [&bytes[..places[1]], &bytes[places[2]..]].concat();
    assert_eq!(read(&without), Err((places[1], "a record is missing before this one")));
    let twice = [&bytes[..places[1]], &bytes[places[0]..]].concat();
    assert_eq!(read(&twice), Err((places[1], "a record is missing before this one")));
}

#[test]
fn a_cut_tail_is_taken_away_at_the_start_and_writing_goes_on() {
    let directory = scratch("tail");
    let (bytes, places) = three();
    std::fs::write(directory.join(JOURNAL), &bytes[..bytes.len() - 5]).unwrap();
    let mut journal = Journal::open(&directory, 5000).unwrap();
    assert_eq!(std::fs::metadata(directory.join(JOURNAL)).unwrap().len(), places[2] as u64);
    assert_eq!(journal.append(Act::Block, entry("c.test", Class::Suspicious, 5000, 9000)).unwrap(), 3);
    assert!(Journal::open(&directory, 5000).unwrap_err().to_string().contains("another daemon"));
    drop(journal);
    assert_eq!(Journal::open(&directory, 5000).unwrap().entries().len(), 3);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_damaged_journal_is_not_opened_and_not_changed() {
    let directory = scratch("damaged");
    let (mut bytes, places) = three();
    bytes[places[1] + 60] ^= 1;
    std::fs::write(directory.join(JOURNAL), &bytes).unwrap();
    let error = Journal::open(&directory, 5000).unwrap_err().to_string();
    assert!(error.contains(&format!("byte {}: a record's checksum is wrong", places[1])), "{error}");
    assert_eq!(std::fs::read(directory.join(JOURNAL)).unwrap(), bytes);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn compaction_keeps_what_holds_and_the_newest_acts() {
    let directory = scratch("compact");
    let mut bytes = head(0).to_vec();
    let acts = (HISTORY + 2 * SURPLUS) as u64;
    for number in 1..=acts {
        // The first one holds for long; the others end at once.
        let until_ms = if number == 1 { 80_000_000 } else { number + 1 };
        bytes.extend(encode(&Record {
            number,
            act: Act::Block,
            entry: entry(&format!("h{number}.test"), Class::Malicious, number, until_ms),
        }));
    }
    std::fs::write(directory.join(JOURNAL), &bytes).unwrap();
    let mut journal = Journal::open(&directory, 50_000_000).unwrap();
    assert_eq!(journal.contents.records.len(), HISTORY + 1);
    assert!(journal.bytes() < bytes.len() as u64 / 2);
    assert_eq!(journal.append(Act::Block, entry("new.test", Class::Malicious, 50_000_000, 50_001_000)).unwrap(), acts + 1);
    drop(journal);
    let journal = Journal::open(&directory, 50_000_000).unwrap();
    let keys = journal.entries();
    let holds = |host: &str| keys.contains_key(&Key::new(Kind::Host, host.as_bytes()).unwrap());
    assert!(holds("h1.test") && holds("new.test") && !holds("h2.test"));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_journal_is_its_owners_alone_and_stays_so() {
    let directory = scratch("mode").join("made");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let path = directory.join(JOURNAL);
    drop(Journal::open(&directory, 0).unwrap());
    assert_eq!((mode(&directory), mode(&path), mode(&path.with_extension("lock"))), (0o700, 0o600, 0o600));
    // What an earlier version, or somebody, left open to others: the file itself, and a compaction that a crash ended.
    std::fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
    drop(Journal::open(&directory, 0).unwrap());
    assert_eq!(mode(&path), 0o600);
    std::fs::write(path.with_extension("partial"), "cut").unwrap();
    std::fs::set_permissions(path.with_extension("partial"), Permissions::from_mode(0o666)).unwrap();
    let mut journal = Journal::open_keeping(&directory, 0, Keep { history: 1, surplus: 1 }).unwrap();
    for number in 0..4 {
        journal.append(Act::Block, entry(&format!("h{number}.test"), Class::Malicious, 5000 * number, 5000 * number + 1)).unwrap();
    }
    assert!(journal.contents.gaps_to > 0, "it was compacted");
    assert_eq!(mode(&path), 0o600);
    std::fs::remove_dir_all(directory.parent().unwrap()).unwrap();
}

#[test]
fn a_directory_that_others_may_write_is_noticed() {
    let directory = scratch("open");
    for (mode, is_open) in [(0o700, false), (0o755, false), (0o770, true), (0o707, true), (0o1777, true)] {
        std::fs::set_permissions(&directory, Permissions::from_mode(mode)).unwrap();
        assert_eq!(is_open_to_others(&directory).unwrap(), is_open, "{mode:o}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}
