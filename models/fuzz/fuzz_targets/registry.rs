//! Any bytes as a registry of models.
#![no_main]

#[path = "../src/texts_any.rs"]
mod texts_any;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = texts_any::registry_any(bytes);
});
