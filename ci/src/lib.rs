//! What `cargo xtask` and the emulated ARM machine share: a daemon started from files, asked, and stopped.
//!
//! ```text
//!  cargo xtask demo   (this machine)         ─┐
//!                                             ├─►  server: config, start, /readyz, ask over TCP, ask over the Unix socket, SIGTERM
//!  arm-init           (PID 1 of the ARM one)  ─┘
//! ```
//! One flow for both, so that what passes here is what is asked there. Nothing in this package links a crate of the house: the xtask sees
//! verdictd as an operator does, through its programs, files and sockets.
#![forbid(unsafe_code)]

pub mod server;
