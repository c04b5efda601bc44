#![no_main]
//! Any bytes as what HAProxy sends to an agent.

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check_spop(bytes));
