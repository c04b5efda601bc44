//! Brings feeds from where they are published to the files that `compile` reads.
//!
//! ```text
//! feeds.toml ─► due? (state beside each file) ─► ask (conditional GET, TAXII pages, MISP) ─► a new file beside the old ─► check ─► rename
//!                    jitter, back-off               time, bytes and redirects bounded                                       │ wrong: the old one stays
//! ```
//! - Whatever goes wrong, the last good file stays as it is: a new one gets its name in one step, after it arrived whole and a reader of ours made
//!   rules of it.
//! - What a server may cost is bounded: seconds, bytes, redirects, pages.
//! - A secret goes to the host it is for and to no other, never over plain HTTP, never into a log, an error or the state.
//! - The only crate with an async runtime beside the executor of the shards; neither the compiler of feeds nor the daemon links it.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod body;
mod client;
mod error;
mod http;
mod land;
mod misp;
mod run;
mod schedule;
mod state;
mod taxii;

pub use error::Error;
pub use run::{Outcome, Wanted, What, run};
pub use state::State;
