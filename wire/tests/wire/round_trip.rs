//! Properties: what is encoded is decoded as it was, however it arrives; what is refused leaves nothing behind; a change of any one byte
//! behind the length is calm; lists say how long they are.

use crate::common;
use common::{Side, encoded_again, outcomes};
use proptest::collection::vec;
use proptest::prelude::*;
use verdict_wire::*;

fn one_frame(bytes: &[u8]) -> Frame<'_> {
    let frame = next_frame(bytes).expect("a length that can be").expect("a whole frame");
    assert_eq!(frame.bytes(), bytes.len());
    frame
}

fn keys() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let key = prop_oneof![8 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 0..600)];
    vec((any::<u8>(), key), 1..60)
}

/// Small, large, and at the edges of a byte more.
fn value() -> impl Strategy<Value = i64> {
    prop_oneof![-1..3_i64, any::<i64>(), (0..64_u32, -1..=1_i64).prop_map(|(bit, by)| (1_i64 << bit).wrapping_add(by))]
}

fn name() -> impl Strategy<Value = String> {
    // Up to 64 bytes of anything printable, two- and four-byte characters among it.
    "[ -~äß→😀]{0,16}"
}

proptest! {
    #[test]
    fn a_lookup_says_its_keys_in_order(id: u32, keys in keys()) {
        let mut out = Vec::new();
        encode_lookup(&mut out, id, keys.iter().map(|(kind, key)| (*kind, key.as_slice()))).expect("within limits");
        let frame = one_frame(&out);
        prop_assert_eq!(frame.header.request_id, id);
        let Ok(Request::Lookup(list)) = frame.request() else { return Err(TestCaseError::fail("not a lookup")) };
        prop_assert_eq!(list.len(), keys.len());
        prop_assert!(list.map(|(kind, key)| (kind, key.to_vec())).eq(keys));
    }

    #[test]
    fn files_say_their_digests_and_values_in_order(id: u32, files in vec((any::<[u8; 32]>(), 0..4_u8, vec(value(), 0..=FILE_VALUES_MAX)), 1..60)) {
        let values = |features: u8, values: &[i64]| -> Vec<i64> {
            let count = FeatureSet::from_raw(features).map_or(values.len(), FeatureSet::values);
            values.iter().copied().chain(std::iter::repeat(-1)).take(count).collect()
        };
        let files: Vec<_> = files.into_iter().map(|(sha256, features, some)| (sha256, features, values(features, &some))).collect();
        let mut out = Vec::new();
        let questions = files.iter().map(|(sha256, features, values)| FileQuestion { sha256: *sha256, features: *features, values });
        encode_lookup_files(&mut out, id, questions.clone()).expect("within limits");
        prop_assert_eq!(out.len(), 16 + questions.map(|file| file.bytes()).sum::<usize>());
        let frame = one_frame(&out);
        prop_assert_eq!(frame.header.request_id, id);
        let Ok(Request::LookupFiles(list)) = frame.request() else { return Err(TestCaseError::fail("not files")) };
        prop_assert_eq!(list.len(), files.len());
        prop_assert!(list.map(|file| (*file.sha256, file.features, file.values.collect::<Vec<_>>())).eq(files));
    }

    #[test]
    fn a_hashed_lookup_says_its_keys_to_its_own_generation_only(id: u32, generation: u64, other: u64, suffix: bool, prefix: bool, keys in vec(any::<(u64, u64)>(), 1..200)) {
        let keys: Vec<_> = keys.into_iter().map(|(lo, hi)| HashedKey { lo, hi }).collect();
        let mut out = Vec::new();
        let place = Place { suffix, prefix };
        encode_lookup_hashed(&mut out, id, generation, &keys, place).expect("within limits");
        let Ok(Request::LookupHashed(lookup)) = one_frame(&out).request() else { return Err(TestCaseError::fail("not a hashed lookup")) };
        prop_assert_eq!((lookup.generation(), lookup.place()), (generation, place));
        for served in [generation, other, 0] {
            match lookup.keys(served) {
                Ok(list) => {
                    prop_assert!(served == generation && served != 0);
                    prop_assert!(list.eq(keys.iter().copied()));
                }
                Err(refusal) => {
                    prop_assert!(served != generation || served == 0);
                    prop_assert_eq!((refusal.code, refusal.request_id, refusal.closes), (ErrorCode::StaleGeneration, id, false));
                }
            }
        }
    }

    #[test]
    fn a_describe_says_its_ids_to_its_own_generation_only(generation in 1_u64.., other: u64, ids in vec(any::<u32>(), 1..=IDS_MAX)) {
        let mut out = Vec::new();
        encode_describe(&mut out, 1, generation, &ids).expect("within limits");
        let Ok(Request::Describe(describe)) = one_frame(&out).request() else { return Err(TestCaseError::fail("not a describe")) };
        prop_assert!(describe.ids(generation).expect("its own").eq(ids.iter().copied()));
        prop_assert_eq!(describe.ids(other).is_ok(), other == generation);
    }

    #[test]
    fn answers_are_the_same_by_every_way_of_writing_them(id: u32, generation: u64, raw in vec(any::<[u8; 8]>(), 1..300), before in 0..9_usize) {
        let answers: Vec<Answer> = raw.iter().map(|&[outcome, score, a, b, flags, id @ ..]| Answer { outcome, score, categories: [a, b], flags, id }).collect();
        let [mut slice, mut place, mut pushed] = [vec![0xEE; before], vec![0xEE; before], vec![0xEE; before]];
        encode_answers(&mut slice, id, generation, &answers);
        answers_in_place(&mut place, id, generation, answers.len()).copy_from_slice(&answers);
        let mut writer = AnswersWriter::new(&mut pushed, id, generation, answers.len());
        answers.iter().for_each(|answer| writer.push(*answer));
        drop(writer);
        prop_assert!(slice == place && slice == pushed);
        let Ok(Reply::Answers(list)) = one_frame(&slice[before..]).reply() else { return Err(TestCaseError::fail("not answers")) };
        prop_assert_eq!((list.generation, list.answers), (generation, answers.as_slice()));
    }

    #[test]
    fn an_answer_says_what_it_was_made_of(class in 0..4_u8, score in 0..=100_u8, categories: u16, flags: u8, id in 0..=VERDICT_ID_MAX) {
        let class = Class::from_raw(class).expect("0 to 3");
        let answer = Answer::new(class, score, Categories(categories), Flags(flags), id);
        prop_assert_eq!((answer.status(), answer.class(), answer.score(), answer.id()), (Status::Ok, class, score, id));
        prop_assert_eq!((answer.categories(), answer.flags()), (Categories(categories), Flags(flags)));
    }

    #[test]
    fn a_hello_and_its_reply_say_what_was_put_in(id: u32, max in 1_u8.., client in name(), server in name(), generation: u64, raw: [u8; 32], limits: [u32; 4]) {
        let mut out = Vec::new();
        encode_hello(&mut out, id, &ClientHello { version_min: 1, version_max: max, name: &client }).expect("within limits");
        let Ok(Request::Hello(hello)) = one_frame(&out).request() else { return Err(TestCaseError::fail("not a HELLO")) };
        prop_assert_eq!((hello.version_min, hello.version_max, hello.name, hello.version()), (1, max, client.as_str(), 1));

        let said = ServerHello {
            generation,
            version: hello.version(),
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            limits: Limits { frame_bytes_max: limits[0], keys_max: limits[1], key_bytes_max: limits[2], requests_in_flight_max: limits[3] },
            profile: Profile { scheme: raw[0], host_labels_max: raw[1], path_prefixes_max: raw[2] },
            hash_key: HashKey { h: raw[..16].try_into().expect("16"), k: raw[16..].try_into().expect("16") },
            server: &server,
        };
        out.clear();
        encode_hello_reply(&mut out, id, &said);
        let Ok(Reply::Hello(heard)) = one_frame(&out).reply() else { return Err(TestCaseError::fail("not a HELLO_REPLY")) };
        prop_assert_eq!(heard, said);
    }

    #[test]
    fn descriptions_keep_all_that_fits_and_say_when_something_did_not(sources in vec("[a-zé]{0,300}", 0..40), flags in 0..0x100_u16) {
        let mut out = Vec::new();
        let mut writer = DescriptionsWriter::new(&mut out, 1, 2, 2);
        writer.push(Description { id: 5, flags, ..Description::default() }, sources.iter().map(String::as_str));
        writer.push(Description::absent(6), []);
        drop(writer);
        let Ok(Reply::Descriptions(mut list)) = one_frame(&out).reply() else { return Err(TestCaseError::fail("not descriptions")) };
        let (first, names) = list.next().expect("two");
        let names: Vec<_> = names.collect();
        let whole = names.len() == sources.len() && names.iter().zip(&sources).all(|(name, source)| name == source);
        prop_assert_eq!(first.flags().contains(DescriptionFlags::SOURCES_CUT), !whole);
        prop_assert!(names.iter().zip(&sources).all(|(name, source)| source.starts_with(name) && name.len() <= SOURCE_BYTES_MAX));
        prop_assert!(DESCRIPTION_BYTES + usize::from(first.source_bytes) <= DESCRIPTION_BYTES_MAX);
        let fits = DESCRIPTION_BYTES + sources.iter().map(|source| 2 + source.len()).sum::<usize>() <= DESCRIPTION_BYTES_MAX;
        prop_assert!(whole || !fits || sources.iter().any(|source| source.len() > SOURCE_BYTES_MAX), "cut without need");
        prop_assert!(list.next().expect("two").0.is_absent() && list.next().is_none());
    }

    #[test]
    fn an_error_says_what_was_put_in(id: u32, generation: u64, code in 1..=9_u16, detail: u32, message in "\\PC{0,300}", closing: bool) {
        let code = ErrorCode::from_raw(code).expect("1 to 9");
        let mut out = Vec::new();
        encode_error(&mut out, id, generation, code, detail, &message, closing);
        let Ok(Reply::Error(error)) = one_frame(&out).reply() else { return Err(TestCaseError::fail("not an ERROR")) };
        prop_assert_eq!((error.generation, error.code(), error.detail, error.closing), (generation, code, detail, closing));
        prop_assert!(message.starts_with(error.message) && (error.message.len() == message.len() || error.message.len() > MESSAGE_BYTES_MAX - 4));
    }

    #[test]
    fn frames_arrive_the_same_in_any_pieces(lookups in vec(keys(), 1..5), cuts in vec(any::<proptest::sample::Index>(), 0..12)) {
        let mut out = Vec::new();
        for (id, keys) in lookups.iter().enumerate() {
            encode_lookup(&mut out, id as u32, keys.iter().map(|(kind, key)| (*kind, key.as_slice()))).expect("within limits");
            encode_ping(&mut out, id as u32, b"between").expect("within limits");
        }
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(out.len())).chain([0, out.len()]).collect();
        at.sort_unstable();
        let pieces: Vec<_> = at.windows(2).map(|ends| &out[ends[0]..ends[1]]).collect();
        let whole = outcomes(Side::Request, [out.as_slice()]);
        prop_assert_eq!(whole.len(), 2 * lookups.len());
        prop_assert_eq!(outcomes(Side::Request, pieces), whole);
    }

    #[test]
    fn a_changed_byte_costs_its_own_frame_at_most(keys in keys(), at: proptest::sample::Index, flip in 1_u8..) {
        let mut out = Vec::new();
        encode_lookup(&mut out, 1, keys.iter().map(|(kind, key)| (*kind, key.as_slice()))).expect("within limits");
        let end = out.len();
        encode_ping(&mut out, 2, b"after").expect("within limits");
        out[4 + at.index(end - 4)] ^= flip;
        let frames: Vec<_> = Frames::new(&out).collect::<Result<_, _>>().expect("no length was changed");
        prop_assert_eq!(frames.len(), 2);
        if let Some(again) = encoded_again(Side::Request, &frames[0]) {
            prop_assert_eq!(&again[..], &out[..end], "what is accepted is what was said");
        }
        prop_assert!(matches!(frames[1].request(), Ok(Request::Ping(b"after"))));
    }
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let mut out = vec![1, 2, 3];
    let check = |out: &Vec<u8>, result: Result<(), EncodeError>, expected: EncodeError| {
        assert_eq!((result, out.as_slice()), (Err(expected), [1, 2, 3].as_slice()));
    };
    let long = vec![0; KEY_BYTES_MAX + 1];
    let longest = &long[..KEY_BYTES_MAX];
    let result = encode_lookup(&mut out, 1, []);
    check(&out, result, EncodeError::NoKeys);
    let result = encode_lookup(&mut out, 1, [(1, b"a".as_slice()), (1, &long)]);
    check(&out, result, EncodeError::KeyTooLong { bytes: KEY_BYTES_MAX + 1 });
    let result = encode_lookup(&mut out, 1, vec![(1, b"".as_slice()); KEYS_MAX + 1]);
    check(&out, result, EncodeError::TooManyKeys { count: KEYS_MAX + 1, max: KEYS_MAX });
    let result = encode_lookup(&mut out, 1, vec![(1, longest); 128]);
    check(&out, result, EncodeError::FrameTooLarge);
    let result = encode_lookup_hashed(&mut out, 1, 1, &[], Place::EXACT);
    check(&out, result, EncodeError::NoKeys);
    let result = encode_lookup_hashed(&mut out, 1, 1, &vec![HashedKey::default(); KEYS_MAX + 1], Place::EXACT);
    check(&out, result, EncodeError::TooManyKeys { count: KEYS_MAX + 1, max: KEYS_MAX });
    let digest = FileQuestion::of_digest([0; 32]);
    let result = encode_lookup_files(&mut out, 1, []);
    check(&out, result, EncodeError::NoKeys);
    let result = encode_lookup_files(&mut out, 1, vec![digest; KEYS_MAX + 1]);
    check(&out, result, EncodeError::TooManyKeys { count: KEYS_MAX + 1, max: KEYS_MAX });
    let result = encode_lookup_files(&mut out, 1, [digest, FileQuestion { features: FeatureSet::Pe1.raw(), values: &[1; 48], ..digest }]);
    check(&out, result, EncodeError::BadValues { features: 1, values: 48 });
    let result = encode_lookup_files(&mut out, 1, [FileQuestion { features: 77, values: &[1; FILE_VALUES_MAX + 1], ..digest }]);
    check(&out, result, EncodeError::BadValues { features: 77, values: 65 });
    let result = encode_lookup_files(&mut out, 1, vec![FileQuestion { features: 77, values: &[i64::MIN; 64], ..digest }; 1556]);
    check(&out, result, EncodeError::FrameTooLarge);
    let result = encode_describe(&mut out, 1, 1, &[0; IDS_MAX + 1]);
    check(&out, result, EncodeError::TooManyKeys { count: IDS_MAX + 1, max: IDS_MAX });
    let result = encode_ping(&mut out, 1, &[0; PING_BYTES_MAX + 1]);
    check(&out, result, EncodeError::BadText { what: "ping payload" });
    let result = encode_hello(&mut out, 1, &ClientHello { version_min: 1, version_max: 1, name: "a\nb" });
    check(&out, result, EncodeError::BadText { what: "client name" });
    let result = encode_hello(&mut out, 1, &ClientHello { version_min: 2, version_max: 1, name: "" });
    check(&out, result, EncodeError::BadVersions);
    drop(LookupWriter::new(&mut out, 1));
    assert_eq!(out, [1, 2, 3], "a writer that is dropped takes its frame back");
}

#[test]
fn a_key_that_does_not_fit_leaves_a_frame_that_can_be_finished() {
    let mut out = Vec::new();
    let mut writer = LookupWriter::new(&mut out, 7);
    let key = vec![b'k'; KEY_BYTES_MAX];
    let written = (0..).take_while(|_| writer.push(1, &key) == Ok(())).count();
    assert_eq!(written, 127, "127 of the longest keys fit into a mebibyte");
    assert_eq!(writer.finish(), Ok(127));
    let Ok(Request::Lookup(keys)) = one_frame(&out).request() else { panic!("not a lookup") };
    assert!(keys.len() == 127 && keys.into_iter().all(|(_, bytes)| bytes == key));
}

#[test]
fn an_answers_writer_that_stops_early_says_error_for_the_rest() {
    let mut out = Vec::new();
    let good = Answer::new(Class::Clean, 0, Categories::NONE, Flags::NONE, 1);
    AnswersWriter::new(&mut out, 1, 2, 3).push(good);
    let Ok(Reply::Answers(list)) = one_frame(&out).reply() else { panic!("not answers") };
    assert_eq!(list.answers, [good, Answer::without_verdict(Status::Error), Answer::without_verdict(Status::Error)]);
}

#[test]
fn the_largest_replies_stay_within_a_frame() {
    let mut out = Vec::new();
    encode_answers(&mut out, 1, 1, &vec![Answer::default(); KEYS_MAX]);
    one_frame(&out).reply().expect("answers");
    out.clear();
    let mut writer = DescriptionsWriter::new(&mut out, 1, 1, IDS_MAX);
    let name = "n".repeat(SOURCE_BYTES_MAX);
    for id in 0..IDS_MAX as u32 {
        writer.push(Description { id, ..Description::default() }, std::iter::repeat_n(name.as_str(), 1000));
    }
    drop(writer);
    assert!(out.len() <= FRAME_BYTES_MAX && out.len() > FRAME_BYTES_MAX * 9 / 10, "{}", out.len());
    one_frame(&out).reply().expect("descriptions");
}

#[test]
fn a_lower_limit_of_a_server_is_kept() {
    let mut out = Vec::new();
    encode_ping(&mut out, 1, &[0; 10]).expect("within limits");
    assert!(matches!(next_frame_within(&out, 26), Ok(Some(_))));
    let refusal = next_frame_within(&out, 25).expect_err("26 bytes");
    assert_eq!((refusal.code, refusal.detail, refusal.closes), (ErrorCode::FrameTooLarge, 26, true));
    assert!(matches!(Frames::within(&out, 25).next(), Some(Err(_))));
}

#[test]
fn bytes_wanted_is_what_the_next_frame_takes() {
    let mut out = Vec::new();
    encode_ping(&mut out, 1, b"abc").expect("within limits");
    for end in 0..out.len() {
        assert_eq!(bytes_wanted(&out[..end]), if end < 4 { 4 } else { 19 });
    }
    assert_eq!(bytes_wanted(&u32::MAX.to_le_bytes()), FRAME_BYTES_MAX, "never more than a frame may have");
}

#[test]
fn a_mark_on_a_reply_reaches_that_reply_only() {
    let mut out = Vec::new();
    encode_pong(&mut out, 1, 1, b"");
    let at = out.len();
    encode_pong(&mut out, 2, 1, b"");
    mark_reply(&mut out, at, REPLY_DRAINING);
    mark_reply(&mut out, at, REPLY_CLOSING);
    let flags: Vec<_> = Frames::new(&out).map(|frame| frame.expect("whole").header.flags).collect();
    assert_eq!(flags, [0, REPLY_DRAINING | REPLY_CLOSING]);
    mark_reply(&mut out, 4000, REPLY_DRAINING); // past the end: nothing
}

#[test]
fn a_refusal_becomes_the_error_reply_that_says_it() {
    let mut out = Vec::new();
    encode_refusal(&mut out, 9, &Refusal::new(3, ErrorCode::TooManyKeys, 5000, "why"));
    let frame = one_frame(&out);
    let Ok(Reply::Error(error)) = frame.reply() else { panic!("not an ERROR") };
    assert_eq!(
        (frame.header.request_id, error.generation, error.code(), error.detail, error.message),
        (3, 9, ErrorCode::TooManyKeys, 5000, "why")
    );
    assert!(!error.closing);
}

#[test]
fn sets_show_their_names() {
    assert_eq!(Categories::NONE.to_string(), "-");
    assert_eq!(Categories::MALWARE.with(Categories::TEST).to_string(), "malware|test");
    assert_eq!(Flags(0xFF).names().count(), 8);
    assert_eq!(
        Answer::new(Class::Malicious, 90, Categories::C2, Flags::STALE, 7).to_string(),
        "malicious score 90 categories c2 flags stale id 7"
    );
    assert_eq!(Answer::without_verdict(Status::Overloaded).to_string(), "overloaded");
    assert_eq!(format!("{:>5}|{:<5}", Status::Ok, Status::Ok), "   ok|ok   ", "names pad, for tables");
}
