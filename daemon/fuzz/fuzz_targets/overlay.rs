#![no_main]
//! Any bytes as the overlay's journal, or as messages of the control socket.

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check_overlay(bytes));
