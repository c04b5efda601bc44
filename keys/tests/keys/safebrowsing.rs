//! The Safe Browsing reference's own test tables: every vector passes, or stands in `safebrowsing.exceptions` with what we answer and why.

use crate::common;
use serde_json::Value;
use std::collections::BTreeMap;
use verdict_keys::{Canonicalizer, Expressions, Host, Profile, Unparseable};

/// (section, input) → (what we answer, the reason); each must be needed.
struct Exceptions {
    listed: BTreeMap<(String, String), String>,
    differences: Vec<String>,
}

impl Exceptions {
    fn read() -> Self {
        let fields = |line: &'static str| {
            let mut fields = line.split('\t').map(str::to_owned);
            let mut next = || fields.next().filter(|field| !field.is_empty()).unwrap_or_else(|| panic!("four fields: {line}"));
            let (section, input, answer, _reason) = (next(), next(), next(), next());
            ((section, input), answer)
        };
        let lines = include_str!("safebrowsing.exceptions").lines();
        Self { listed: lines.filter(|line| !line.starts_with('#')).map(fields).collect(), differences: Vec::new() }
    }

    fn compare(&mut self, section: &str, input: &str, want: &str, got: &str) {
        let input_shown = serde_json::to_string(input).expect("JSON of a string");
        let listed = self.listed.remove(&(section.to_owned(), input_shown.clone()));
        if got != listed.as_deref().unwrap_or(want) || listed.as_deref() == Some(want) {
            self.differences.push(format!("{section}\t{input_shown}\twant {want}\tgot {got}\tlisted {listed:?}"));
        }
    }

    fn finish(self) {
        assert!(self.differences.is_empty(), "differences:\n{}", self.differences.join("\n"));
        assert!(self.listed.is_empty(), "exceptions that no vector needs: {:?}", self.listed);
    }
}

/// The file's strings are Latin-1: one character, one byte.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).expect("Latin-1")).collect()
}

fn text<'v>(vector: &'v Value, field: &str) -> &'v str {
    vector[field].as_str().expect("a string")
}

fn texts<'v>(vector: &'v Value, field: &str) -> Vec<&'v str> {
    vector[field].as_array().expect("an array").iter().map(|value| value.as_str().expect("a string")).collect()
}

/// Which part of host and path a section compares.
type Show = fn(&str, &str) -> String;

/// `host` and `path` of the canonical URL as `show` wants them, or the reason in parentheses.
fn canonical(input: &str, show: Show) -> String {
    match Canonicalizer::new().url(&bytes(input)) {
        Ok(url) => show(url.host_text, url.path()),
        Err(reason) => refused(reason),
    }
}

fn refused(reason: Unparseable) -> String {
    format!("({})", reason.name())
}

#[test]
fn every_vector_passes_or_is_a_reasoned_exception() {
    let Some(path) = common::data("conformance/safebrowsing/vectors.json") else { return };
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).expect("a readable file")).expect("JSON");
    let section = |name: &str| vectors[name].as_array().expect("a section").iter();
    let mut exceptions = Exceptions::read();
    let mut count = 0;

    let shapes: [(&str, Show); 3] = [
        ("canonical_host", |host, _| host.to_owned()),
        ("canonical_path", |_, path| path.to_owned()),
        ("canonical_url", |host, path| format!("{host}{path}")),
    ];
    for (name, show) in shapes {
        for vector in section(name) {
            let input = text(vector, "url");
            let got = canonical(input, show);
            let want = text(vector, "want").split_once("://").map_or(text(vector, "want"), |(_, rest)| rest);
            let want = if vector["fail"] == true { if got.starts_with('(') { got.as_str() } else { "(refused)" } } else { want };
            exceptions.compare(name, input, want, &got);
            count += 1;
        }
    }
    for vector in section("ipv4") {
        let mut canonicalizer = Canonicalizer::new();
        let got = match canonicalizer.host(&bytes(text(vector, "host"))) {
            Ok((Host::Address(address), _)) => address.to_string(),
            Ok((Host::Name(_), _)) => String::new(),
            Err(Unparseable::Ipv4) if text(vector, "address").is_empty() => String::new(),
            Err(reason) => refused(reason),
        };
        exceptions.compare("ipv4", text(vector, "host"), text(vector, "address"), &got);
        count += 1;
    }
    for name in ["hosts", "expressions"] {
        for vector in section(name) {
            count += 1;
            let want = texts(vector, name);
            // The reference walks up to seven labels; the specification, and our GsbV4, five.
            let of_five_labels = |expression: &&&str| {
                let host = expression.split('/').next().unwrap_or_default();
                host.split('.').count() <= 5 || want[0].split('/').next() == Some(host)
            };
            let want_of_five: Vec<&str> = want.iter().filter(of_five_labels).copied().collect();
            for (profile, want) in [(Profile::full(7, 4), &want), (Profile::GSB_V4, &want_of_five)] {
                let got = expressions(text(vector, "url"), name, &profile);
                exceptions.compare(&format!("{name} {:?}", profile.scheme), text(vector, "url"), &want.join(" "), &got);
            }
        }
    }
    println!("{count} vectors");
    assert!(count >= 96, "the file is cut short");
    exceptions.finish();
}

fn expressions(input: &str, section: &str, profile: &Profile) -> String {
    let mut canonicalizer = Canonicalizer::new();
    let url = match canonicalizer.url(&bytes(input)) {
        Ok(url) => url,
        Err(reason) => return refused(reason),
    };
    let expressions = Expressions::new(&url, profile);
    match section {
        "hosts" => expressions.hosts.join(" "),
        _ => expressions.iter().map(|(host, path)| format!("{host}{path}")).collect::<Vec<_>>().join(" "),
    }
}
