#![no_main]
//! Any bytes as what an HTTP client sends.

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check_http(bytes));
