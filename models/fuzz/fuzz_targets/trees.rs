//! Any bytes as a file of trees.
#![no_main]

#[path = "../src/trees_any.rs"]
mod trees_any;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = trees_any::trees_any(bytes);
});
