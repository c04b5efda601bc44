//! What makes a snapshot worth serving to somebody who did not build it: a signed list of its parts.
//!
//! ```text
//!  DIR/manifest ──► signature ──► epoch, expiry, format ──► DIR/parts/<sha256> ──► one copy in memory ──► structure ──► canaries ──► served
//!                   by any of     newer than any before      each of the stated     Snapshot, as from     the stated     questions with
//!                   our keys      not past, one that we      size and checksum      a file                SHA-256        known answers
//!                                 read
//! ```
//! Whoever publishes (intel) and whoever serves (the daemon) run the same code from the first byte of the manifest to the last canary, so what
//! passed here was tested as it will be served. Signing and writing are not here: nothing that serves can sign.
//!
//! FORMAT.md has the bytes, `layout.rs` too. Nothing of a manifest is interpreted before its signature holds, except where the signature stands.

mod canary;
mod directory;
pub mod epoch;
mod keys;
pub mod layout;
mod parse;
mod refusal;
mod seal;

pub use canary::{Canary, Expected, check_canaries, read_canaries};
pub use directory::{Directory, PARTS, hex, part_name, read_bounded, unhex};
pub use keys::{KeyId, KeySet, PublicKey};
pub use parse::{Manifest, Part, Signature, is_one, signatures_of, unverified};
pub use refusal::{Refusal, Why};
pub use seal::{Purpose, SEAL_BYTES_MAX, Seal, SealRefusal};
