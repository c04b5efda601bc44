//! The web platform's own URL tests: whatever a browser opens is canonical here, and equal to the canonical form of what it opens.
//!
//! Browsers refuse some hosts that we keep (docs/canonicalisation.md, section 6): each such case must fall under a named reason, and the
//! counts are printed. What browsers open may not differ, nor be
//! refused but for dots alone.

mod common;

use serde_json::Value;
use std::collections::BTreeMap;
use verdict_keys::{CanonicalUrl, Canonicalizer, HOST_BYTES_MAX, Host, Unparseable};

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

/// Why we keep what browsers refuse.
fn reason_to_keep(input: &str, url: &CanonicalUrl<'_>) -> Option<&'static str> {
    if url.host_text.contains(['%', '<', '>', '^', '|']) {
        Some("a host that Safe Browsing escapes")
    } else if !input.contains(':') {
        Some("no scheme: taken as http")
    } else if matches!(url.host, Host::Address(_)) && (input.contains("256") || input.contains("0x100") || input.contains("..")) {
        Some("IPv4 with a part masked or dots collapsed")
    } else {
        None
    }
}

/// Why we refuse what browsers parse: no resolver could open these either.
fn reason_to_refuse(input: &str, reason: Unparseable) -> Option<&'static str> {
    match reason {
        Unparseable::NoHost if input.ends_with("./") => Some("a host of dots only"),
        Unparseable::Ipv4 if input.ends_with("..") => Some("a number before two dots at the end"),
        _ => None,
    }
}

#[test]
fn whatever_a_browser_opens_is_canonical_and_equal_to_what_it_opens() {
    let mut counts = BTreeMap::new();
    let mut differences = Vec::new();
    for file in ["urltestdata.json", "ada_extra_urltestdata.json"] {
        let Some(cases) = json(&format!("conformance/ada_wpt/{file}")) else { return };
        for case in cases.iter().filter(|case| case["input"].is_string() && matches!(case["base"].as_str(), None | Some("about:blank"))) {
            let input = case["input"].as_str().expect("a string");
            let (mut ours, mut theirs) = (Canonicalizer::new(), Canonicalizer::new());
            let got = ours.url(input.as_bytes());
            let is_web = case["failure"] != true && WEB.contains(&case["protocol"].as_str().unwrap_or_default());
            let outcome = match (is_web, got) {
                (true, got) => {
                    let want = theirs.url(case["href"].as_str().expect("a string").as_bytes());
                    match got {
                        Ok(_) if got == want => Some("opened, and equal"),
                        Err(reason) => reason_to_refuse(input, reason),
                        Ok(_) => None,
                    }
                }
                (false, Err(_)) => Some("refused by both"),
                (false, Ok(url)) => reason_to_keep(input, &url),
            };
            match outcome {
                Some(outcome) => *counts.entry(outcome).or_insert(0) += 1,
                None => differences.push(format!("{input:?} → {got:?}")),
            }
        }
    }
    println!("{counts:#?}");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(counts["opened, and equal"] > 150 && counts["refused by both"] > 100);
}

#[test]
fn domain_to_ascii_agrees_but_for_dots_and_length() {
    let mut counts = BTreeMap::new();
    let mut differences = Vec::new();
    for file in ["toascii.json", "IdnaTestV2.json", "IdnaTestV2-removed.json"] {
        let Some(cases) = json(&format!("conformance/ada_wpt/{file}")) else { return };
        for case in cases.iter().filter(|case| case["input"].is_string()) {
            let (input, want) = (case["input"].as_str().expect("a string"), case["output"].as_str());
            let mut canonicalizer = Canonicalizer::new();
            let got = canonicalizer.host(input.as_bytes()).map(|(_, text)| text);
            let folded = want.map(|want| want.split('.').filter(|label| !label.is_empty()).collect::<Vec<_>>().join("."));
            let outcome = match (&folded, got) {
                (Some(folded), Ok(got)) if folded == got => Some("equal"),
                (None, Err(_)) => Some("refused by both"),
                (Some(folded), Err(_)) if folded.len() > HOST_BYTES_MAX => Some("longer than DNS allows"),
                (Some(folded), Err(_)) if folded.is_empty() => Some("nothing but dots"),
                (None, Ok(got)) if got.contains('%') => Some("escaped, as Safe Browsing does"),
                (None, Ok(_)) if input.starts_with(|character| character <= ' ') => Some("a control at the edge, stripped as around a URL"),
                (None, Ok(_)) if input.contains(|character| ('\u{30000}'..'\u{40000}').contains(&character)) => {
                    Some("assigned since the vectors' Unicode")
                }
                _ => None,
            };
            match outcome {
                Some(outcome) => *counts.entry(outcome).or_insert(0) += 1,
                None => differences.push(format!("{file} {input:?} want {want:?} → {got:?}")),
            }
        }
    }
    println!("{counts:#?}");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(counts["equal"] > 500);
}
