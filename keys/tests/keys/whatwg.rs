//! The web platform's own URL tests: whatever a browser opens is canonical here, and equal to the canonical form of what it opens.
//!
//! Every vector passes, or stands in `whatwg.exceptions` with what we answer, under the reason of its class. An exception that no vector needs
//! fails as a vector does that needs one.

use crate::common;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use verdict_keys::{Canonicalizer, Unparseable};

const WEB: [&str; 5] = ["http:", "https:", "ftp:", "ws:", "wss:"];

/// Lone surrogates, which browsers' strings may hold and UTF-8 cannot, become U+FFFD, as browsers convert them.
fn json(file: &str) -> Option<Vec<Value>> {
    let text = std::fs::read_to_string(common::data(file)?).expect("a readable file");
    let surrogate = |at: usize, kinds: &[u8]| {
        let escape = text.as_bytes().get(at..at + 6);
        escape.is_some_and(|escape| {
            escape.starts_with(b"\\u") && escape[2].eq_ignore_ascii_case(&b'd') && kinds.contains(&escape[3].to_ascii_lowercase())
        })
    };
    let (mut out, mut at) = (String::new(), 0);
    while let Some(character) = text[at..].chars().next() {
        let (is_high, is_low) = (surrogate(at, b"89ab"), surrogate(at, b"cdef"));
        let bytes = if is_high && surrogate(at + 6, b"cdef") {
            12
        } else if is_high || is_low {
            6
        } else {
            character.len_utf8()
        };
        out += if bytes == 6 { "\\ufffd" } else { &text[at..at + bytes] };
        at += bytes;
    }
    Some(serde_json::from_str::<Value>(&out).expect("JSON").as_array().expect("an array").clone())
}

/// What we answer where it is not what the vector wants: (file, input) → answer, each listed under a class with its reason.
struct Exceptions {
    listed: BTreeMap<(String, String), String>,
    classes: usize,
    differences: Vec<String>,
    passed: usize,
}

impl Exceptions {
    /// `= reason of a class`, then its vectors: file, input, answer.
    fn of(section: &str) -> Self {
        let mut exceptions = Self { listed: BTreeMap::new(), classes: 0, differences: Vec::new(), passed: 0 };
        let lines = include_str!("whatwg.exceptions").lines().skip_while(|line| *line != format!("[{section}]")).skip(1);
        for line in lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty()) {
            if line.starts_with("= ") {
                exceptions.classes += 1;
                continue;
            }
            let [file, input, answer] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("three fields: {line}") };
            assert!(exceptions.classes > 0, "a reason first: {line}");
            let again = exceptions.listed.insert((file.to_owned(), input.to_owned()), answer.to_owned());
            assert_eq!(again, None, "listed twice: {line}");
        }
        exceptions
    }

    /// `want` of `None` is refusal.
    fn compare(&mut self, file: &str, input: &str, want: Option<&str>, got: Result<String, Unparseable>) {
        if got.as_deref().ok() == want {
            self.passed += 1;
            return;
        }
        let input = shortened(&serde_json::to_string(input).expect("JSON of a string"));
        let answer = shortened(&got.unwrap_or_else(|reason| format!("({})", reason.name())));
        if self.listed.remove(&(file.to_owned(), input.clone())).as_ref() != Some(&answer) {
            self.differences.push(format!("{file}\t{input}\t{answer}"));
        }
    }

    fn finish(self, passed_min: usize) {
        assert!(self.differences.is_empty(), "not as listed:\n{}", self.differences.join("\n"));
        assert!(self.listed.is_empty(), "exceptions that no vector needs: {:#?}", self.listed);
        assert!(self.passed >= passed_min, "{} passed", self.passed);
        println!("{} vectors passed", self.passed);
    }
}

/// The middle of a long text as its hash (FNV-1a), so that a line of the list can be read.
fn shortened(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= 80 {
        return text.to_owned();
    }
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let [head, tail] = [&characters[..12], &characters[characters.len() - 12..]].map(|part| part.iter().collect::<String>());
    format!("{head}…{hash:016x}…{tail}")
}

#[test]
fn whatever_a_browser_opens_is_canonical_and_equal_to_what_it_opens() {
    let mut exceptions = Exceptions::of("URLs");
    for file in ["urltestdata.json", "ada_extra_urltestdata.json", "ada_long_urltestdata.json"] {
        let Some(cases) = json(&format!("conformance/ada_wpt/{file}")) else { return };
        let mut seen = BTreeSet::new();
        for case in cases.iter().filter(|case| case["input"].is_string() && matches!(case["base"].as_str(), None | Some("about:blank"))) {
            let input = case["input"].as_str().expect("a string");
            if !seen.insert(input) {
                continue;
            }
            let mut canonicalizer = Canonicalizer::new();
            let is_web = case["failure"] != true && WEB.contains(&case["protocol"].as_str().unwrap_or_default());
            let want = is_web.then(|| canonicalizer.url(case["href"].as_str().expect("a string").as_bytes()).map(|url| url.to_string()));
            let got = Canonicalizer::new().url(input.as_bytes()).map(|url| url.to_string());
            match want {
                Some(Ok(want)) => exceptions.compare(file, input, Some(&want), got),
                // Refused like the URL that it stands for: said once more by the list.
                Some(Err(_)) => exceptions.compare(file, input, Some("what we refuse"), got),
                None => exceptions.compare(file, input, None, got),
            }
        }
    }
    exceptions.finish(400);
}

#[test]
fn domain_to_ascii_agrees_but_for_dots_and_length() {
    let mut exceptions = Exceptions::of("hosts");
    for file in ["toascii.json", "IdnaTestV2.json", "IdnaTestV2-removed.json"] {
        let Some(cases) = json(&format!("conformance/ada_wpt/{file}")) else { return };
        let mut seen = BTreeSet::new();
        for case in cases.iter().filter(|case| case["input"].is_string()) {
            let (input, want) = (case["input"].as_str().expect("a string"), case["output"].as_str());
            if !seen.insert(input) {
                continue;
            }
            let got = Canonicalizer::new().host(input.as_bytes()).map(|(_, text)| text.to_owned());
            let folded = want.map(|want| want.split('.').filter(|label| !label.is_empty()).collect::<Vec<_>>().join("."));
            exceptions.compare(file, input, folded.as_deref(), got);
        }
    }
    exceptions.finish(2000);
}
