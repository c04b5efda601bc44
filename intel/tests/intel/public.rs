//! The feeds.toml that is shipped for public feeds: it parses as it is, and with everything enabled.

use std::collections::HashSet;
use std::path::Path;
use verdict_intel::Config;

fn text() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("public/feeds.toml")).unwrap()
}

fn parse(text: &str) -> Config {
    Config::parse(text, "feeds.toml", Path::new("")).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn what_needs_no_key_is_enabled_and_nothing_that_needs_one_is() {
    let config = parse(&text());
    assert!(config.feeds.len() >= 5, "{}", config.feeds.len());
    for feed in &config.feeds {
        let fetch = feed.fetch.as_ref().unwrap_or_else(|| panic!("{} is fetched from nowhere", feed.name));
        assert!(fetch.secret.is_none() && fetch.url.starts_with("https://"), "{}", feed.name);
        assert!(!feed.licence.is_empty(), "{} has no licence", feed.name);
    }
}

#[test]
fn each_feed_is_right_when_it_is_enabled() {
    let all = parse(&text().replace("enabled = false", "enabled = true"));
    let paths: HashSet<_> = all.feeds.iter().map(|feed| &feed.path).collect();
    assert_eq!(paths.len(), all.feeds.len(), "two feeds would land in one file");
    assert!(all.feeds.iter().any(|feed| feed.fetch.as_ref().is_some_and(|fetch| fetch.secret.is_some())));
}
