//! Models from the outside: written by hand, by the trainer, and by nobody in their right mind.

mod equal;
mod example;
mod form;
mod gate;
mod golden;
mod mutate;
mod node;
mod real;
mod texts;
mod trees;
mod write;

/// ONNX Runtime, if it is here: tests that need it say that they skip.
pub fn runtime(test: &str) -> Option<verdict_models::runtime::Runtime> {
    let Some(path) = std::env::var_os(verdict_models::runtime::VARIABLE).map(std::path::PathBuf::from) else {
        println!(
            "{test}: SKIPPED, ONNX Runtime is not here: {} names its library, which the wheel `onnxruntime` holds",
            verdict_models::runtime::VARIABLE
        );
        return None;
    };
    Some(verdict_models::runtime::Runtime::load(&path).expect("what is there can be loaded"))
}
