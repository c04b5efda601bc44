#![no_main]
//! Any bytes where a load balancer's PROXY header is expected.

#[path = "../proxy.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
