//! Any bytes as a manifest, a key file, a list of canaries.
#![no_main]

#[path = "../src/manifest.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    body::manifest(bytes);
});
