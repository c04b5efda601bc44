//! Any bytes in any format: no panic, every row accounted for, every rule canonical.
#![no_main]

#[path = "../src/read_any.rs"]
mod read_any;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    read_any::read_any(input);
});
