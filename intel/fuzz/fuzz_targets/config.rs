//! Any text as feeds.toml: a configuration or mistakes with lines, no panic.
#![no_main]

use std::path::Path;
use verdict_intel::Config;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Err(mistakes) = Config::parse(text, "feeds.toml", Path::new("/nowhere")) {
        assert!(!mistakes.mistakes.is_empty());
    }
});
