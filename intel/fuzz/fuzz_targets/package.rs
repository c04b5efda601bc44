//! Any bytes as a package of files: errors, no panic, bounded answers.
#![no_main]

#[path = "../src/package_any.rs"]
mod package_any;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    package_any::package_any(input);
});
