//! Every test of this crate but those that need a program of their own: one program compiles and links once.

#[path = "../../fuzz/check.rs"]
mod check;
#[path = "../common/mod.rs"]
mod common;
mod documented;
mod properties;
mod real_urls;
mod safebrowsing;
mod suffixes;
mod traps;
mod whatwg;
