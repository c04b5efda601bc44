//! What a manifest must be beside signed: newer than everything before it, not past its time, and for this reader.
//!
//! The highest epoch ever adopted is kept by whoever adopts (the daemon's state directory), and raised only after everything else was checked:
//! a forged or broken manifest cannot move it.

use super::parse::Manifest;
use super::refusal::Refusal;
use crate::layout;

/// How far an epoch may jump. A stolen key, or a typing mistake, cannot use up all numbers at once.
pub const JUMP_MAX: u64 = 1_000_000;

/// What was adopted last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    /// Highest epoch; 0 before the first.
    pub epoch: u64,
    /// The snapshot that came with it.
    pub sha256: [u8; 32],
}

/// Whether it may follow `floor` at this time. The same manifest again is fine.
pub fn check(manifest: &Manifest, floor: &Floor, now_s: u64) -> Result<(), Refusal> {
    let (min, max) = manifest.formats;
    if !(min..=max).contains(&layout::VERSION) {
        return Err(Refusal::Format { min, max, known: layout::VERSION });
    }
    if manifest.epoch < floor.epoch {
        return Err(Refusal::Older { got: manifest.epoch, known: floor.epoch });
    }
    if manifest.epoch == floor.epoch && manifest.sha256 != floor.sha256 {
        return Err(Refusal::Reused { epoch: floor.epoch });
    }
    if floor.epoch != 0 && manifest.epoch - floor.epoch > JUMP_MAX {
        return Err(Refusal::EpochJump { got: manifest.epoch, known: floor.epoch, most: JUMP_MAX });
    }
    if manifest.expires_s < now_s {
        return Err(Refusal::Expired { ago_s: now_s - manifest.expires_s });
    }
    Ok(())
}
