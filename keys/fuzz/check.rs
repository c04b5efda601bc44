//! What must hold for any bytes, as one function: used by the fuzzer, by the replay of its seeds and by the property tests.

#![allow(dead_code)] // each user takes its own part

use std::sync::Arc;
use verdict_keys::{Batch, Canonicalizer, Digest, Expressions, Form, Kind, Profile, Question, SuffixList, rule};
use verdict_simd::{Backend, HashKey, HashSchedule, Key128, available, seal};

/// By a list with a rule of each kind, under which fuzzed hosts are likely to fall.
pub fn gsb_v5() -> Profile {
    let list = "!www.example.com\n*.example.com\ncom\nexample\nhtml.com\n";
    Profile::gsb_v5(Arc::new(SuffixList::from_normal(list).expect("a list in normal form")))
}

/// The first byte chooses the profile, the rest is the question.
pub fn any_bytes(data: &[u8]) {
    let Some((&choice, raw)) = data.split_first() else { return };
    let profile = match choice {
        0..=95 => Profile::GSB_V4,
        96..=111 => Profile::EXACT,
        112..=127 => gsb_v5(),
        _ => Profile::full(usize::from(choice >> 3 & 15), usize::from(choice & 15)),
    };
    canonical_form_is_its_own(raw);
    let schedule = HashSchedule::new(&HashKey { h: std::array::from_fn(|index| index as u8 * 7 + 1), k: [choice | 1; 16] });
    for backend in available() {
        batch_holds_the_hashes_of_the_strings(backend, &schedule, &profile, &[raw]);
    }
    let text = String::from_utf8_lossy(raw);
    if let Ok(digest) = Digest::parse(&text) {
        assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
    }
    if let Some((kind, key)) = Question::detect(&text).ok().and_then(|question| question.key()) {
        let mut batch = Batch::default();
        batch.push(available()[0], &schedule, &profile, kind, key.as_ref());
        let is_text = matches!(kind, Kind::Url | Kind::Host);
        assert!(is_text || batch.items()[0].form != Form::Unparseable, "detected as binary {kind:?}: {text}");
    }
}

/// Printable, resolved, and the canonical form of itself.
pub fn canonical_form_is_its_own(raw: &[u8]) {
    let (mut first, mut second) = (Canonicalizer::new(), Canonicalizer::new());
    if let Ok(url) = first.url(raw) {
        let text = url.to_string();
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
        assert!(url.path().starts_with('/') && !url.path().contains("//") && !format!("{}/", url.path()).contains("/../"), "{text}");
        assert_eq!(second.url(text.as_bytes()), Ok(url), "{text}");
    }
    if let Ok(host) = first.host(raw) {
        assert_eq!(second.host(host.1.as_bytes()), Ok(host));
        assert_eq!(second.url(host.1.as_bytes()).map(|url| (url.host, url.host_text)), Ok(host), "as the URL of its host");
    }
}

/// Checkpoints and one-shot hashes agree, for URLs and hosts, on `backend`.
pub fn batch_holds_the_hashes_of_the_strings<B: Backend>(backend: B, schedule: &HashSchedule, profile: &Profile, raws: &[&[u8]]) {
    let mut batch = Batch::with_capacity(4);
    for raw in raws {
        for kind in Kind::ALL {
            batch.push(backend, schedule, profile, kind, raw);
        }
    }
    assert_eq!(batch.items().len(), raws.len() * Kind::ALL.len());
    for (index, raw) in raws.iter().enumerate() {
        check_url(backend, schedule, profile, &batch, index * Kind::ALL.len(), raw);
        check_host(backend, schedule, &batch, index * Kind::ALL.len() + 1, raw);
    }
}

fn check_url<B: Backend>(backend: B, schedule: &HashSchedule, profile: &Profile, batch: &Batch, index: usize, raw: &[u8]) {
    let item = batch.items()[index];
    let mut canonicalizer = Canonicalizer::new();
    let url = match canonicalizer.url(raw) {
        Ok(url) => url,
        Err(reason) => {
            assert_eq!((item.form, batch.reason(index)), (Form::Unparseable, Some(reason)));
            assert!(item.hosts.len == 0 && item.paths.len == 0);
            return;
        }
    };
    let expressions = Expressions::new(&url, profile);
    assert_eq!((item.form, usize::from(item.full_paths)), (Form::Web, expressions.full_paths));
    let hosts: Vec<_> = expressions.hosts.iter().map(|host| rule::host_hash(backend, schedule, host)).collect();
    let paths: Vec<_> = expressions.paths.iter().map(|path| rule::path_hash(backend, schedule, path)).collect();
    let keys: Vec<_> = hosts.iter().map(|&hash| seal(hash)).collect();
    assert_eq!((&batch.hosts()[item.hosts.range()], &batch.keys()[item.hosts.range()]), (&hosts[..], &keys[..]), "{url}");
    assert_eq!(&batch.paths()[item.paths.range()], &paths[..], "{url}");
    let mut paired = vec![Key128::default(); paths.len()];
    for (host, hash) in expressions.hosts.iter().zip(hosts) {
        backend.pair(schedule, hash, &paths, &mut paired);
        let one_by_one: Vec<_> = expressions.paths.iter().map(|path| rule::expression_key(backend, schedule, host, path)).collect();
        assert_eq!(paired, one_by_one, "{url}");
    }
}

fn check_host<B: Backend>(backend: B, schedule: &HashSchedule, batch: &Batch, index: usize, raw: &[u8]) {
    let item = batch.items()[index];
    match Canonicalizer::new().host(raw) {
        Err(reason) => assert_eq!((item.form, batch.reason(index)), (Form::Unparseable, Some(reason))),
        Ok((_, text)) => {
            assert_eq!((item.form, item.paths.len, item.full_paths), (Form::Web, 0, 0));
            assert_eq!(batch.hosts()[item.hosts.range()][0], rule::host_hash(backend, schedule, text));
        }
    }
}
