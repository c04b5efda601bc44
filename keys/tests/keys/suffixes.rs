//! The public suffix list's own checks, on two published lists three years apart: 2023 (Debian) and 2026.
//!
//! A leading dot is malformed there and folded here, so those lines do not apply; everything else must be as published.

use crate::common;
use verdict_keys::{Canonicalizer, SuffixList, SuffixPart};

const LISTS: [&str; 2] = ["conformance/psl/public_suffix_list_debian_20230209.dat", "conformance/psl/public_suffix_list_kagi_20260822.dat"];

fn canonical(name: &str) -> String {
    Canonicalizer::new().host(name.as_bytes()).map(|(_, text)| text.to_owned()).expect(name)
}

/// `checkPublicSuffix('input', 'registrable');`, either of them `null`.
fn check_of(line: &str) -> Option<(&str, Option<&str>)> {
    let (input, wanted) = line.strip_prefix("checkPublicSuffix(")?.strip_suffix(");")?.split_once(", ")?;
    let quoted = |text: &str| text.starts_with('\'');
    quoted(input).then(|| (input.trim_matches('\''), quoted(wanted).then(|| wanted.trim_matches('\''))))
}

#[test]
fn the_published_checks_pass_on_lists_of_two_years() {
    let Some(checks) = common::data("conformance/psl/test_psl.txt") else { return };
    let checks = std::fs::read_to_string(checks).expect("a readable file");
    for file in LISTS {
        let Some(path) = common::data(file) else { return };
        let list = SuffixList::parse(&std::fs::read_to_string(path).expect("a readable file"), SuffixPart::All).expect(file);
        let mut count = 0;
        for (input, wanted) in checks.lines().filter_map(check_of).filter(|(input, _)| !input.starts_with('.')) {
            let host = canonical(input);
            let got = list.registrable_start(host.as_bytes()).map(|start| host[start..].to_owned());
            assert_eq!(got, wanted.map(canonical), "{input} by {file}");
            count += 1;
        }
        assert!(count > 70, "{count} checks");
        assert_eq!(SuffixList::from_normal(list.text()).as_ref(), Ok(&list), "normal form is its own");
        println!("{file}: {count} checks, {} rules", list.rules());
    }
}

#[test]
fn the_private_part_is_what_registries_do_not_run() {
    for file in LISTS {
        let Some(path) = common::data(file) else { return };
        let text = std::fs::read_to_string(path).expect("a readable file");
        let [all, icann] = [SuffixPart::All, SuffixPart::Icann].map(|part| SuffixList::parse(&text, part).expect(file));
        assert!(all.is_suffix("github.io") && !icann.is_suffix("github.io") && icann.is_suffix("co.uk"));
        assert!(icann.rules() > 5_000 && all.rules() > icann.rules() + 1_000, "{} of {}", icann.rules(), all.rules());
    }
}
