//! Any bytes, as a server and as a client would read them.
#![no_main]

#[path = "../src/again.rs"]
mod again;
#[path = "../src/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::bytes(data));
