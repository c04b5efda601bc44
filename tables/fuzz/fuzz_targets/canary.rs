//! Must fail within seconds: some lie is believed and changes an answer. If this one passes, lies no longer reach the lookup.
#![no_main]

#[path = "../src/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|lies: Vec<drive::Lie>| {
    let Some(answers) = drive::lies(&lies) else { return };
    assert!(drive::lies(&[]).as_ref() == Some(&answers), "a lie was believed");
});
