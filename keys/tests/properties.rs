//! What must hold for any bytes: no panic, one canonical form, the same keys by every way.

mod common;

use proptest::prelude::*;
use verdict_keys::{Batch, Canonicalizer, Digest, Expressions, Form, Kind, Profile, Question, rule};
use verdict_simd::{Backend, Key128, available, seal};

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
        (2..=16usize, 1..=16usize).prop_map(|(hosts, paths)| Profile::full(hosts, paths))
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_canonical_url_is_its_own_canonical_form(raw in url_like()) {
        let (mut first, mut second) = (Canonicalizer::new(), Canonicalizer::new());
        if let Ok(url) = first.url(&raw) {
            prop_assert!(url.to_string().bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(url.path().starts_with('/') && !url.path().contains("//"));
            prop_assert_eq!(second.url(url.to_string().as_bytes()), Ok(url));
        }
    }

    #[test]
    fn a_canonical_host_is_its_own_canonical_form(raw in url_like()) {
        let (mut first, mut second) = (Canonicalizer::new(), Canonicalizer::new());
        if let Ok(host) = first.host(&raw) {
            prop_assert_eq!(second.host(host.1.as_bytes()), Ok(host));
            let as_url = second.url(host.1.as_bytes()).map(|url| (url.host, url.host_text));
            prop_assert_eq!(as_url, Ok(host), "as the URL of its host");
        }
    }

    #[test]
    fn a_batch_holds_the_hashes_of_the_string_expressions(raws in proptest::collection::vec(url_like(), 1..6), profile in profile()) {
        for backend in available() {
            batch_equals_strings(backend, &raws, &profile)?;
        }
    }

    #[test]
    fn any_text_is_detected_and_pushed_without_panic(text in "\\PC{0,40}", raw in url_like()) {
        let mut batch = Batch::default();
        for text in [text.as_str(), &String::from_utf8_lossy(&raw)] {
            if let Some((kind, key)) = Question::detect(text).ok().and_then(|question| question.key().map(|(kind, key)| (kind, key.as_ref().to_vec()))) {
                batch.push(available()[0], &common::schedule(), &Profile::GSB_V4, kind, &key);
            }
            let _ = Digest::parse(text);
        }
        for kind in Kind::ALL {
            batch.push(available()[0], &common::schedule(), &Profile::GSB_V4, kind, &raw);
        }
    }
}

fn batch_equals_strings<B: Backend>(backend: B, raws: &[Vec<u8>], profile: &Profile) -> Result<(), TestCaseError> {
    let schedule = common::schedule();
    let mut batch = Batch::with_capacity(4);
    for raw in raws {
        batch.push(backend, &schedule, profile, Kind::Url, raw);
        batch.push(backend, &schedule, profile, Kind::Host, raw);
    }
    let mut canonicalizer = Canonicalizer::new();
    for (index, raw) in raws.iter().enumerate() {
        let (url_item, host_item) = (batch.items[2 * index], batch.items[2 * index + 1]);
        match canonicalizer.url(raw) {
            Err(reason) => {
                prop_assert_eq!((url_item.form, batch.reason(2 * index)), (Form::Unparseable, Some(reason)));
                prop_assert!(url_item.hosts.len == 0 && url_item.paths.len == 0);
            }
            Ok(url) => {
                let expressions = Expressions::new(&url, profile);
                prop_assert_eq!(url_item.form, Form::Web);
                prop_assert_eq!(usize::from(url_item.full_paths), expressions.full_paths);
                let hosts: Vec<_> = expressions.hosts.iter().map(|host| rule::host_hash(backend, &schedule, host)).collect();
                let paths: Vec<_> = expressions.paths.iter().map(|path| rule::path_hash(backend, &schedule, path)).collect();
                prop_assert_eq!(&batch.hosts[url_item.hosts.range()], &hosts[..]);
                prop_assert_eq!(&batch.paths[url_item.paths.range()], &paths[..]);
                let keys: Vec<_> = hosts.iter().map(|&hash| seal(hash)).collect();
                prop_assert_eq!(&batch.keys[url_item.hosts.range()], &keys[..]);
                let mut paired = vec![Key128::default(); paths.len()];
                for (host, hash) in expressions.hosts.iter().zip(hosts) {
                    backend.pair(&schedule, hash, &paths, &mut paired);
                    let one_by_one: Vec<_> =
                        expressions.paths.iter().map(|path| rule::expression_key(backend, &schedule, host, path)).collect();
                    prop_assert_eq!(&paired, &one_by_one);
                }
            }
        }
        match canonicalizer.host(raw) {
            Err(reason) => prop_assert_eq!((host_item.form, batch.reason(2 * index + 1)), (Form::Unparseable, Some(reason))),
            Ok((_, text)) => {
                prop_assert_eq!((host_item.form, host_item.paths.len, host_item.full_paths), (Form::Web, 0, 0));
                prop_assert_eq!(batch.hosts[host_item.hosts.range()][0], rule::host_hash(backend, &schedule, text));
            }
        }
    }
    Ok(())
}
