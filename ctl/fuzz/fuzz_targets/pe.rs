//! Any bytes as a file whose headers are looked at.
#![no_main]

#[path = "../../src/lookup/pe.rs"]
mod pe;
#[path = "../src/pe_any.rs"]
mod pe_any;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(pe_any::pe_any(bytes)));
