//! The examples of docs/canonicalisation.md hold.

use std::sync::Arc;
use verdict_keys::{Canonicalizer, Expressions, Profile, SuffixList};

const DOCUMENT: &str = include_str!("../../../docs/canonicalisation.md");

#[test]
fn the_examples_of_the_document_hold() {
    let rows = DOCUMENT.lines().skip_while(|line| *line != "| written | canonical |").skip(2).take_while(|line| line.starts_with('|'));
    let mut count = 0;
    for row in rows {
        let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`')).skip(1);
        let (written, want) = (cells.next().expect("a cell"), cells.next().expect("a cell"));
        let mut canonicalizer = Canonicalizer::new();
        let url = canonicalizer.url(written.as_bytes()).expect(written);
        assert_eq!(format!("{}{}", url.host_text, url.path_query), want, "{written}");
        count += 1;
    }
    assert!(count >= 8, "{count} rows");
}

#[test]
fn the_expressions_of_the_document_hold() {
    let suffixes = Arc::new(SuffixList::from_normal("co.uk\nuk\n").expect("a list in normal form"));
    for profile in [Profile::GSB_V4, Profile::gsb_v5(suffixes), Profile::EXACT] {
        let under = format!("under {}: hosts", profile.scheme.name());
        let line = DOCUMENT.lines().find(|line| line.contains(&under)).expect("the example");
        let quoted: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        let mut canonicalizer = Canonicalizer::new();
        let url = canonicalizer.url(quoted[0].as_bytes()).expect("a URL");
        let expressions = Expressions::new(&url, &profile);
        let got: Vec<&str> = expressions.hosts.iter().chain(&expressions.paths).copied().collect();
        assert_eq!(got, quoted[1..]);
    }
}
