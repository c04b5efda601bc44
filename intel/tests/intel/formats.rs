//! The same list in twelve formats says the same: urlhaus-filter of two days, as its makers published it.
//!
//! Formats for names leave out addresses and pages, and names with what lies below them are refused where a registry owns the name; so files are
//! compared within groups that were made of the same rows. A rule is compared by what it names: whether names below are covered is each format's own.

use crate::common::{self, Named};
use std::collections::BTreeSet;
use std::path::Path;
use verdict_intel::config::Feed;
use verdict_intel::detect::detect;
use verdict_intel::open::open;
use verdict_intel::plan;
use verdict_intel::scan::scan;

fn named(path: &Path) -> BTreeSet<String> {
    let opened = open(path).unwrap();
    let detected = detect(&path.display().to_string(), &opened.head, opened.whole).unwrap();
    let feed = Feed::new("feed", path);
    let mut named = Named::default();
    let (counts, outcome) = scan(plan(&feed, detected.format), opened.into_reader(), &mut named);
    outcome.unwrap();
    println!(
        "{:<70} {:<16} {:>7} rows {:>7} rules",
        path.display().to_string().rsplit("feeds/").next().unwrap(),
        detected.format.name(),
        counts.rows,
        named.0.len()
    );
    assert!(counts.adds_up() && counts.kept > 1000, "{counts:?}");
    named.0
}

/// Every file of a group names what the first one names, but for `differences_max` of them.
fn check(directory: &Path, names: &[&str], differences_max: usize) {
    let first = named(&directory.join(names[0]));
    for name in &names[1..] {
        let other = named(&directory.join(name));
        let different: Vec<&String> = first.symmetric_difference(&other).collect();
        let shown: Vec<_> = different.iter().take(12).collect();
        assert!(different.len() <= differences_max, "{} and {name}: {} differ: {shown:?}", names[0], different.len());
    }
}

#[test]
fn the_same_list_in_twelve_formats_says_the_same() {
    let Some(data) = common::data() else { return };
    for (day, late) in [("20210601", 0), ("20220314", 0)] {
        let directory = data.join("feeds/urlhaus-filter").join(day);
        let names = [
            "urlhaus-filter-hosts-online.txt.gz",
            "urlhaus-filter-dnsmasq-online.conf.gz",
            "urlhaus-filter-unbound-online.conf.gz",
            "urlhaus-filter-bind-online.conf.gz",
            "urlhaus-filter-rpz-online.conf.gz",
            "urlhaus-filter-online.tpl.gz",
        ];
        check(&directory, &names, late);
        check(&directory, &["urlhaus-filter-domains-online.txt.gz", "urlhaus-filter-agh-online.txt.gz"], 0);
        let pages = [
            "urlhaus-filter-ag-online.txt.gz",
            "urlhaus-filter-vivaldi-online.txt.gz",
            "urlhaus-filter-online.txt.gz",
            "urlhaus-filter-suricata-online.rules.gz",
            "urlhaus-filter-snort2-online.rules.gz",
            "urlhaus-filter-snort3-online.rules.gz",
        ];
        check(&directory, &pages, 0);
    }
}
