//! Every test of this crate but those that need a program of their own: one program compiles and links once.

mod client;
#[path = "../common/mod.rs"]
mod common;
mod fuzz_corpus;
mod protocol_md;
mod round_trip;
mod vectors;
