//! Every test of this crate but those that need a program of their own: one program compiles and links once.

#[path = "../common/mod.rs"]
mod common;
mod corruption;
mod determinism;
mod false_positives;
mod fuzz_corpus;
mod hashed;
mod manifest;
mod model;
mod smoke;
mod switches;
