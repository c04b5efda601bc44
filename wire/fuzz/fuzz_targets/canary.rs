//! A target that must fail: it panics on a LOOKUP of one host key. If a minute of fuzzing does not find one, the fuzzing of this crate is broken.
#![no_main]

#[path = "../src/again.rs"]
mod again;
#[path = "../src/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::canary(data));
