//! Lies with true checksums: refused, or harmless to every lookup.
#![no_main]

#[path = "../src/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|lies: Vec<drive::Lie>| {
    drive::lies(&lies);
});
