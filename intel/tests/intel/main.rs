//! Every test of this crate but those that need a program of their own: one program compiles and links once.

mod aggregate;
#[path = "../common/mod.rs"]
mod common;
mod corpus;
mod formats;
mod gates;
mod manual;
mod packages;
mod public;
mod publish;
mod real;
mod sample;
mod store;
mod vectors;
