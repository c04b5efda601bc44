//! verdict-perf: is it right, is it fast, and how do we know?
//!
//! ```text
//! data ─► rules ─┬─► oracle ──────────────► expected ┐
//!                └─► snapshot ─► verdictd ─► answers ─┴─► replay: zero differences
//! questions ─► frames ─► fleet (many connections, one thread) ─► load (open loop), closed (saturation), soak (hostile peers, swaps)
//! differential: ours against two browsers' parsers, a million mutated URLs
//! prefixes ─► snapshot, rivals ─► addresses: ten million equal answers
//! bench: peers, echo, latency, tables, keys, each a definition in perf/definitions and a record in perf/records
//!                                                                                └─► plot: the same as SVG
//! flame: samples of a daemon under load, or of a kernel, as an SVG; stalls: when a shared host took a CPU away
//! ```
//! Nothing of the product depends on this crate; it depends on whatever it measures. Random choices come from one printed seed.
#![forbid(unsafe_code)]

pub mod addresses;
pub mod bench;
pub mod data;
pub mod differential;
pub mod flame;
pub mod fleet;
pub mod frame;
pub mod null_server;
pub mod oracle;
pub mod plot;
pub mod prefixes;
pub mod process;
pub mod questions;
pub mod registry;
pub mod replay;
pub mod report;
pub mod rivals;
pub mod rules;
pub mod seed;
pub mod soak;
pub mod spawn;
pub mod stalls;
pub mod targets;
pub mod workload;
