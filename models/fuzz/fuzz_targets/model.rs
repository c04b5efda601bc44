//! Any bytes as a model file.
#![no_main]

#[path = "../src/model_any.rs"]
mod model_any;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = model_any::model_any(bytes);
});
