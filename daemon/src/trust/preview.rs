//! What a start would find to serve, for whoever only asks: nothing is written, and the lock of the state directory is not taken.

use super::state::{Kept, StateDirectory};
use super::{TrustError, configured, host_name, now_s};
use crate::config::SnapshotConfig;
use crate::host::doctor::{Finding, Level};
use crate::switches::{FILE, Pin};
use std::collections::BTreeSet;
use verdict_simd::Selected;
use verdict_tables::Snapshot;
use verdict_tables::manifest::{Canary, Directory, KeySet, Manifest, Refusal, check_canaries, epoch, hex};

/// The generation that is published, verified as the daemon would.
///
/// # Errors
/// Why it would not be taken.
pub fn published(config: &SnapshotConfig, backend: Selected) -> Result<u64, TrustError> {
    let preview = Preview::of(config, backend)?;
    preview.published().map(|(manifest, _)| manifest.generation).map_err(|refusal| preview.nothing(refusal, String::new()))
}

/// Keys, what is kept, what is published: a line each, in the order in which a start needs them.
pub fn examine(config: &SnapshotConfig, pin: Option<&Pin>, backend: Selected) -> Vec<Finding> {
    match Preview::of(config, backend) {
        Ok(mut preview) => {
            let kept = preview.state.kept(&preview.keys);
            vec![preview.of_keys(), preview.of_state(&kept, pin), preview.of_published(&kept)]
        }
        Err(error) => vec![Finding { level: Level::Missing, subject: "keys", text: error.to_string() }],
    }
}

struct Preview<'a> {
    config: &'a SnapshotConfig,
    keys: KeySet,
    canaries: Vec<Canary>,
    state: StateDirectory,
    /// What is wrong with its file.
    damage: Option<String>,
    backend: Selected,
}

impl<'a> Preview<'a> {
    fn of(config: &'a SnapshotConfig, backend: Selected) -> Result<Self, TrustError> {
        let (keys, canaries) = configured(config)?;
        let (state, damage) = StateDirectory::peek(&config.state)?;
        Ok(Preview { config, keys, canaries, state, damage, backend })
    }

    fn nothing(&self, refusal: Refusal, kept: String) -> TrustError {
        TrustError::Nothing { path: Directory::new(&self.config.directory).manifest(), refusal: Box::new(refusal), kept }
    }

    fn of_keys(&self) -> Finding {
        let own = if self.canaries.is_empty() { String::new() } else { format!(", {} canaries of this node", self.canaries.len()) };
        Finding { level: Level::Ok, subject: "keys", text: format!("{} of publishers{own}", self.keys.ids().count()) }
    }

    fn of_state(&self, kept: &[Kept], pin: Option<&Pin>) -> Finding {
        let different: BTreeSet<[u8; 32]> = kept.iter().map(|kept| kept.manifest.sha256).collect();
        let (level, text) = match (pin, &self.damage) {
            (Some(pin), _) => match self.pinned(kept, pin) {
                Ok(()) => (Level::Ok, format!("pinned to {pin}, which is kept and sound")),
                Err(why) => {
                    let error = TrustError::Pinned { pin: *pin, why, file: self.config.state.join(FILE) };
                    (Level::Missing, error.to_string())
                }
            },
            (None, Some(why)) => (Level::Advice, format!("{why}; the kept manifests say which epoch was the highest")),
            (None, None) => (Level::Ok, format!("{} generations are kept, highest epoch {}", different.len(), self.state.floor.epoch)),
        };
        Finding { level, subject: "state", text }
    }

    fn of_published(&self, kept: &[Kept]) -> Finding {
        let finding = |level, text| Finding { level, subject: "snapshot", text };
        let instead =
            || kept.iter().find(|kept| self.sound(&kept.manifest, || Snapshot::load(&kept.snapshot).map_err(Refusal::from)).is_ok());
        match self.published() {
            Ok((manifest, true)) => {
                finding(Level::Ok, format!("generation {:016x}, signed, epoch {}", manifest.generation, manifest.epoch))
            }
            Ok((manifest, false)) => match instead() {
                Some(kept) => {
                    let (epoch, ours) = (manifest.epoch, kept.manifest.epoch);
                    finding(Level::Ok, format!("epoch {epoch} is for other nodes first; epoch {ours}, which is kept, is served"))
                }
                None => finding(Level::Missing, format!("epoch {} is for other nodes first, and nothing older is kept", manifest.epoch)),
            },
            Err(refusal) => {
                let instead =
                    instead().map_or(String::new(), |kept| format!("; epoch {}, which is kept, would be served", kept.manifest.epoch));
                finding(Level::Missing, self.nothing(refusal, instead).to_string())
            }
        }
    }

    /// Its manifest, and whether it is meant for this node.
    fn published(&self) -> Result<(Manifest, bool), Refusal> {
        let directory = Directory::new(&self.config.directory);
        let (manifest, _) = Manifest::verify(&directory.read_manifest()?, &self.keys)?;
        epoch::check(&manifest, &self.state.floor, now_s())?;
        let node = if self.config.node.is_empty() { host_name() } else { self.config.node.clone() };
        if !manifest.is_for_node(&node) {
            return Ok((manifest, false));
        }
        if manifest.snapshot_bytes > self.config.bytes_max {
            return Err(Refusal::TooLarge { got: manifest.snapshot_bytes, most: self.config.bytes_max });
        }
        self.sound(&manifest, || directory.assemble(&manifest))?;
        Ok((manifest, true))
    }

    fn pinned(&self, kept: &[Kept], pin: &Pin) -> Result<(), String> {
        let kept = kept.iter().find(|kept| kept.manifest.sha256 == pin.sha256).ok_or("it is not kept any more")?;
        self.sound(&kept.manifest, || Snapshot::load(&kept.snapshot).map_err(Refusal::from)).map_err(|refusal| refusal.to_string())
    }

    /// Whether these bytes would be served under this manifest.
    fn sound(&self, manifest: &Manifest, bytes: impl FnOnce() -> Result<Snapshot, Refusal>) -> Result<(), Refusal> {
        if let Some(why) = self.state.quarantined(&manifest.sha256) {
            return Err(Refusal::Quarantined { sha256: hex(&manifest.sha256), why });
        }
        let snapshot = bytes()?;
        if snapshot.sha256() != &manifest.sha256 {
            return Err(Refusal::Another { what: "sha256", got: hex(snapshot.sha256()), stated: hex(&manifest.sha256) });
        }
        check_canaries(self.backend, &snapshot, &manifest.canaries)?;
        check_canaries(self.backend, &snapshot, &self.canaries)
    }
}
