//! Any bytes as golden vectors.
#![no_main]

#[path = "../src/texts_any.rs"]
mod texts_any;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = texts_any::golden_any(bytes);
});
