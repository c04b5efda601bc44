//! Any bytes as an explain store: errors, no panic, bounded answers.
#![no_main]

#[path = "../src/store_any.rs"]
mod store_any;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    store_any::store_any(input);
});
