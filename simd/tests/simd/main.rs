//! Every test of this crate: one program compiles and links once.

mod equal;
mod reference;
mod vectors;
