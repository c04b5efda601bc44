//! What must hold for any bytes: no panic, one canonical form, the same keys by every way.

use crate::check;
use crate::common;
use proptest::prelude::*;
use verdict_keys::Profile;
use verdict_simd::available;

const PIECES: [&[u8]; 45] = [
    b"http://",
    b"https:",
    b"HTTP:/",
    b"ftp:\\\\",
    b"//",
    b"/",
    b"\\",
    b".",
    b"..",
    b"/../",
    b"%2e",
    b"%2F",
    b"%3F",
    b"%23",
    b"%25",
    b"%",
    b"@",
    b":",
    b":80",
    b"?",
    b"#",
    b"[",
    b"]",
    b"::1",
    b"::ffff:1.2.3.4",
    b"example",
    b"COM",
    b"xn--zca",
    b"0x7f",
    b"1",
    b"08",
    b" ",
    b"\t",
    b"\x00",
    b"\x80",
    b"\xc3\xbc",
    b"\xe3\x80\x82",
    b"\xef\xbc\x91",
    b"\xc2\xad",
    b"a=b&c",
    b"index.html",
    b"\xef\xbb\xbf",
    b"%c3%bc",
    b"%3A",
    b"192.0.2.1",
];

/// Bytes that attackers and feeds are made of.
fn url_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = proptest::sample::select(&PIECES[..]);
    prop_oneof![
        6 => proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat()),
        1 => proptest::collection::vec(any::<u8>(), 0..60),
        1 => "https?://[a-z0-9.-]{1,40}(:[0-9]{1,5})?(/[a-zA-Z0-9._~%-]{0,12}){0,6}(\\?[a-z=&%0-9?/]{0,20})?".prop_map(String::into_bytes),
    ]
}

fn profile() -> impl Strategy<Value = Profile> {
    prop_oneof![
        Just(Profile::GSB_V4),
        Just(Profile::FULL_MAX),
        Just(Profile::EXACT),
        Just(check::gsb_v5()),
        (2..=16usize, 1..=16usize).prop_map(|(hosts, paths)| Profile::full(hosts, paths))
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_canonical_form_is_its_own(raw in url_like()) {
        check::canonical_form_is_its_own(&raw);
    }

    #[test]
    fn a_batch_holds_the_hashes_of_the_string_expressions(raws in proptest::collection::vec(url_like(), 1..6), profile in profile()) {
        for backend in available() {
            check::batch_holds_the_hashes_of_the_strings(backend, &common::schedule(), &profile, &raws.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }

    #[test]
    fn any_bytes_may_be_asked(choice in any::<u8>(), raw in url_like(), text in "\\PC{0,40}") {
        check::any_bytes(&[&[choice], &raw[..]].concat());
        check::any_bytes(&[&[choice], text.as_bytes()].concat());
    }
}

#[test]
fn the_seeds_of_the_fuzzer_pass() {
    let seeds = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds")).expect("the seeds");
    let count = seeds.map(|seed| check::any_bytes(&std::fs::read(seed.expect("an entry").path()).expect("a seed"))).count();
    assert!(count >= 20, "{count} seeds");
}
