//! What each subcommand takes and prints; the work itself is in the library.

pub mod addresses;
pub mod bench;
pub mod differential;
pub mod flamegraph;
pub mod large;
pub mod load;
pub mod plot;
pub mod replay;
pub mod soak;
