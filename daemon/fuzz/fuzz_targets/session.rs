#![no_main]
//! Any bytes, cut anywhere, through the daemon's pipeline.

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
