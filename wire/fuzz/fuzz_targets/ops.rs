//! Any sequence of encodings, damage and arrivals.
#![no_main]

#[path = "../src/again.rs"]
mod again;
#[path = "../src/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|ops: Vec<drive::Op>| drive::ops(&ops));
