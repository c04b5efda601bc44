//! Which of the known JSON documents the head of a file is, by the keys that it names.
//!
//! A document is not read for that: its first 64 KiB may end anywhere. Keys are what stands in quotes before a colon; each format has some that no
//! other has, and they come early.

use crate::detect::{Detected, Undecided};
use crate::format::Format;
use crate::read::records::{self, Preset};
use std::collections::BTreeSet;

const RECORDS: [(Format, &Preset); 6] = [
    (Format::ThreatfoxJson, &records::THREATFOX),
    (Format::UrlhausJson, &records::URLHAUS),
    (Format::MalwarebazaarJson, &records::MALWAREBAZAAR),
    (Format::PhishtankJson, &records::PHISHTANK),
    (Format::FeodoJson, &records::FEODO),
    (Format::OpenphishJson, &records::OPENPHISH),
];

/// `None` when this is no JSON.
pub(crate) fn tell(head: &[u8]) -> Option<Result<Detected, Undecided>> {
    let text = head.trim_ascii_start();
    let is_array = text.first() == Some(&b'[') && matches!(text[1..].trim_ascii_start().first(), None | Some(b'{' | b'[' | b'"' | b']'));
    let is_object = text.first() == Some(&b'{') && matches!(text[1..].trim_ascii_start().first(), None | Some(b'"' | b'}'));
    if !is_array && !is_object {
        return None;
    }
    let keys = keys(text);
    let has = |all: &[&str]| all.iter().all(|key| keys.contains(key.as_bytes()));
    let told = |format: Format, names: &[&str]| Some(Ok(Detected { format, because: format!("its objects have {}", names.join(", ")) }));
    let foreign = |what: &'static str| Some(Err(Undecided::Foreign(what)));
    if has(&["$schema"]) {
        return foreign("a JSON schema");
    }
    for (format, names) in [
        (Format::Stix, &["pattern", "valid_from"][..]),
        (Format::Stix, &["objects", "spec_version"]),
        (Format::Stix, &["objects", "more"]),
        (Format::Stix, &["spec_version", "type", "id"]),
        (Format::Misp, &["Event"]),
        (Format::Misp, &["Attribute", "to_ids"]),
        (Format::Misp, &["Attribute", "Orgc"]),
        // Long lists: what stands behind them is not in the head.
        (Format::MispWarninglist, &["list", "description"]),
        (Format::MispWarninglist, &["list", "type", "version"]),
    ] {
        if has(names) {
            return told(format, names);
        }
    }
    if has(&["stix_header"]) {
        return foreign("STIX 1.x as JSON");
    }
    if has(&["objects", "type"]) && find(text, b"bundle") {
        return told(Format::Stix, &["objects", "type"]);
    }
    if has(&["Orgc", "info", "timestamp"]) {
        return foreign("the manifest of a MISP feed (name its directory)");
    }
    for (format, preset) in RECORDS {
        if let Some(names) = preset.signatures.iter().find(|names| has(names)) {
            return told(format, names);
        }
    }
    if is_object && has(&["indicator"]) {
        return told(Format::Ndjson, &["indicator"]);
    }
    foreign("JSON of an unknown shape")
}

fn find(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|window| window == what)
}

/// Texts in quotes before a colon.
fn keys(text: &[u8]) -> BTreeSet<&[u8]> {
    let (mut keys, mut at) = (BTreeSet::new(), 0);
    while let Some(open) = text[at..].iter().position(|&byte| byte == b'"').map(|found| at + found + 1) {
        let (mut end, mut escaped) = (open, false);
        while let Some(&byte) = text.get(end) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => break,
                _ => {}
            }
            end += 1;
        }
        let after = text.get(end + 1..).unwrap_or_default();
        if after.trim_ascii_start().first() == Some(&b':') {
            keys.insert(&text[open..end]);
        }
        at = (end + 1).min(text.len());
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, format: Format) {
        match tell(text.as_bytes()) {
            Some(Ok(detected)) => assert_eq!(detected.format, format, "{text}: {}", detected.because),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn tells_documents_by_their_keys() {
        check("{\"type\": \"bundle\", \"id\": \"bundle--1\", \"objects\": []}", Format::Stix);
        check("{\"more\": false, \"objects\": []}", Format::Stix);
        check("{\"type\": \"indicator\", \"spec_version\": \"2.1\", \"id\": \"x\"}\n{", Format::Stix);
        check("{\"Event\": {\"info\"", Format::Misp);
        check("{\"response\": [{\"Event\": {", Format::Misp);
        check("{\"Attribute\": [{\"to_ids\": false", Format::Misp);
        check("{\"description\": \"x\", \"list\": [\"a\"], \"name\": \"x\", \"type\": \"cidr\"}", Format::MispWarninglist);
        check("{\"1\": [{\"dateadded\": \"x\", \"url\": \"x\", \"urlhaus_link\": \"x\"}]}", Format::UrlhausJson);
        check("{\"query_status\": \"ok\", \"data\": [{\"ioc\": \"x\", \"ioc_type\": \"url\"}]}", Format::ThreatfoxJson);
        check("[{\"ip_address\": \"x\", \"port\": 1, \"malware\": \"x\"}]", Format::FeodoJson);
        check("{\"data\": [{\"sha256_hash\": \"x\", \"md5_hash\": \"x\", \"sha1_hash\": \"x\"}]}", Format::MalwarebazaarJson);
        check("[{\"phish_id\": \"1\", \"url\": \"x\"}]", Format::PhishtankJson);
        check("{\"url\": \"x\", \"brand\": \"x\"}", Format::OpenphishJson);
        check("{\"indicator\": \"x\"}\n", Format::Ndjson);
    }

    #[test]
    fn says_what_it_does_not_know() {
        for (text, what) in [
            ("{\"a\": 1}\n", "JSON of an unknown shape"),
            ("[\n{\n", "JSON of an unknown shape"),
            ("{\"stix_header\": {}}", "STIX 1.x as JSON"),
            ("{\"11-22\": {\"Orgc\": {}, \"info\": \"x\", \"timestamp\": \"1\"}}", "the manifest of a MISP feed (name its directory)"),
        ] {
            assert_eq!(tell(text.as_bytes()), Some(Err(Undecided::Foreign(what))), "{text}");
        }
        assert_eq!(tell(b"[Adblock Plus 2.0]"), None);
        assert_eq!(tell(b"[2001:db8::1]:443"), None);
        assert_eq!(tell(b"a.example"), None);
    }

    #[test]
    fn keys_are_found_wherever_the_text_is_cut() {
        let text = br#"{"a\"": "b:", "c" : [{"d":"e\\"}], "f"#;
        for end in 0..=text.len() {
            keys(&text[..end]);
        }
        let found = keys(text);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [&b"a\\\""[..], b"c", b"d"]);
    }
}
