//! Models from the outside: written by hand, by the trainer, and by nobody in their right mind.

mod equal;
mod form;
mod golden;
mod mutate;
mod write;

/// ONNX Runtime, if it is here: tests that need it say that they skip.
pub fn runtime(test: &str) -> Option<verdict_models::runtime::Runtime> {
    let beside = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/onnxruntime/libonnxruntime.so");
    let path = std::env::var_os(verdict_models::runtime::VARIABLE).map_or(beside, Into::into);
    if !path.exists() {
        println!(
            "{test}: skipped, ONNX Runtime is not here: `cargo xtask onnxruntime` brings it, or {} names it",
            verdict_models::runtime::VARIABLE
        );
        return None;
    }
    Some(verdict_models::runtime::Runtime::load(&path).expect("what is there can be loaded"))
}
