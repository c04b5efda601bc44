//! Which published snapshot is served: verified from the signature to the last canary, kept for the next start, and taken back when it does harm.
//!
//! ```text
//! look  DIR/manifest ─► signature ─► epoch, expiry, stage ─► quarantine? ─► parts, structure ─► canaries ─► STATE ─► shards
//! start STATE, newest first: not in quarantine, fewer than three failed starts, verified as if it came from DIR; else the one before; else DIR
//! ```
//! Nothing here knows shards or sockets: `look` and `start` are called by whoever loads (control/, lib.rs), off the shards' way.

pub mod preview;
mod state;
pub mod watch;

pub use state::{GENERATIONS, GOOD_AFTER, TRIALS_MAX};
pub(crate) use state::{sync_directory, write_atomically};

use crate::config::SnapshotConfig;
use crate::switches::{Pin, Which};
use state::{Kept, StateDirectory};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use verdict_simd::Selected;
use verdict_tables::Snapshot;
use verdict_tables::manifest::epoch;
use verdict_tables::manifest::{Canary, Directory, KeySet, Manifest, Refusal, Why, check_canaries, hex, read_canaries};
use verdict_wire::Outcome;

/// What a manifest says about what is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Of its manifest.
    pub epoch: u64,
    /// Unix seconds.
    pub created_s: u64,
    /// Unix seconds.
    pub expires_s: u64,
    /// An operator put it back.
    pub rollback: bool,
}

impl Terms {
    fn of(manifest: &Manifest) -> Self {
        let &Manifest { epoch, created_s, expires_s, rollback, .. } = manifest;
        Terms { epoch, created_s, expires_s, rollback }
    }
}

/// What came of a look.
pub enum Look {
    /// Nothing that was not known.
    Nothing,
    /// What is served, confirmed by a newer manifest.
    Renewed(Terms),
    /// Meant for other nodes first: served are the terms of before.
    NotOurStage,
    /// To be served.
    New(Box<Snapshot>, Terms),
}

/// Why something was not taken.
#[derive(Debug)]
pub struct Problem {
    /// Its kind, for the metric.
    pub why: Why,
    /// For people.
    pub text: String,
    /// It was told before, word for word.
    pub again: bool,
}

/// Why the daemon cannot start from a directory.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Keys or canaries as configured.
    #[error("{0}")]
    Config(String),
    /// The state directory.
    #[error("snapshot.state: {0}")]
    State(#[from] io::Error),
    /// What an operator has pinned cannot be served, and nothing else may be.
    #[error("pinned to {pin}, which cannot be served: {why}. Nothing else is served in its place: repair it, or take the line `pin` out by moving {} away and switching off again what it says is off", file.display())]
    Pinned {
        /// What was pinned.
        pin: Pin,
        /// Why not.
        why: String,
        /// Where that is written down.
        file: PathBuf,
    },
    /// Nothing to serve.
    #[error("no snapshot to serve: {}: {refusal}{kept}", path.display())]
    Nothing {
        /// The published directory.
        path: PathBuf,
        /// Why not what is there.
        refusal: Box<Refusal>,
        /// What became of the kept generations.
        kept: String,
    },
}

impl TrustError {
    /// Whether the same start may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            TrustError::Config(_) | TrustError::Pinned { .. } => false,
            TrustError::State(_) => true,
            TrustError::Nothing { refusal, .. } => refusal.why() == Why::Io,
        }
    }
}

/// The published directory, the keys, and the daemon's own state.
pub struct Trust {
    directory: Directory,
    keys: KeySet,
    canaries: Vec<Canary>,
    node: String,
    bytes_max: u64,
    backend: Selected,
    state: StateDirectory,
    serving: [u8; 32],
    told: String,
}

impl Trust {
    /// Reads keys and canaries, and opens the state directory.
    ///
    /// # Errors
    /// Mistakes in the files; a state directory that cannot be written or is in use.
    pub fn open(config: &SnapshotConfig, backend: Selected) -> Result<Self, TrustError> {
        let (keys, canaries) = configured(config)?;
        Ok(Trust {
            directory: Directory::new(&config.directory),
            keys,
            canaries,
            node: if config.node.is_empty() { host_name() } else { config.node.clone() },
            bytes_max: config.bytes_max,
            backend,
            state: StateDirectory::open(&config.state)?,
            serving: [0; 32],
            told: String::new(),
        })
    }

    /// The directory that is watched.
    pub fn path(&self) -> &Path {
        &self.directory.path
    }

    /// How many snapshots are never taken again.
    pub fn quarantined(&self) -> u64 {
        self.state.quarantined_count()
    }

    /// What is pinned, if something is; else the newest kept generation that may be served; else what is published.
    ///
    /// # Errors
    /// When there is nothing of that.
    pub fn start(&mut self, pin: Option<&Pin>) -> Result<(Snapshot, Terms), TrustError> {
        let mut kept = self.state.kept(&self.keys);
        kept.retain(|kept| pin.is_none_or(|pin| pin.sha256 == kept.manifest.sha256));
        let mut told = String::new();
        for (index, candidate) in kept.iter().enumerate() {
            let sha256 = &candidate.manifest.sha256;
            let is_there_another = kept[index + 1..].iter().any(|other| other.manifest.sha256 != *sha256);
            match self.start_kept(&candidate.manifest, &candidate.snapshot, is_there_another) {
                Ok(snapshot) => return Ok((snapshot, Terms::of(&candidate.manifest))),
                Err(refusal) => {
                    tracing::error!(epoch = candidate.manifest.epoch, "a kept generation is not served: {refusal}");
                    told += &format!("; kept epoch {}: {refusal}", candidate.manifest.epoch);
                }
            }
        }
        if let Some(&pin) = pin {
            let why = if kept.is_empty() { "it is not kept any more".to_owned() } else { told.trim_start_matches("; ").to_owned() };
            return Err(TrustError::Pinned { pin, why, file: self.state.path().join(crate::switches::FILE) });
        }
        match self.published() {
            Ok(Look::New(snapshot, terms)) => {
                self.state.begin(&self.serving)?;
                Ok((*snapshot, terms))
            }
            Ok(_) => Err(TrustError::Nothing {
                path: self.directory.path.clone(),
                refusal: Box::new(Refusal::Malformed {
                    at: 100,
                    what: "a stage that includes this node: it is meant for others, and nothing older is kept",
                }),
                kept: told,
            }),
            Err(refusal) => Err(TrustError::Nothing { path: self.directory.manifest(), refusal: Box::new(refusal), kept: told }),
        }
    }

    fn start_kept(&mut self, manifest: &Manifest, path: &Path, is_there_another: bool) -> Result<Snapshot, Refusal> {
        self.refuse_quarantined(&manifest.sha256)?;
        let io = |error| Refusal::Io { path: path.to_owned(), error };
        if self.state.failed_starts(&manifest.sha256) >= TRIALS_MAX && is_there_another {
            let why = format!("{TRIALS_MAX} starts with it did not last {} s", GOOD_AFTER.as_secs());
            self.state.quarantine(&manifest.sha256, &why).map_err(io)?;
            return Err(Refusal::Quarantined { sha256: hex(&manifest.sha256), why });
        }
        self.state.begin(&manifest.sha256).map_err(io)?;
        let snapshot = Snapshot::load(path)?;
        self.hold_against(&snapshot, manifest)?;
        self.serving = manifest.sha256;
        Ok(snapshot)
    }

    /// One of the kept generations, verified again. `Look::Nothing`: it is what is served.
    ///
    /// # Errors
    /// There is no such one, or it must not be served; and which there are.
    pub fn kept(&mut self, which: Which) -> Result<(Look, Pin), (Outcome, String)> {
        let mut kept = self.state.kept(&self.keys);
        kept.retain(|kept| kept.snapshot.exists());
        // Newest first: of what is served the newest manifest.
        let now = kept.iter().find(|kept| kept.manifest.sha256 == self.serving).map_or(u64::MAX, |kept| kept.manifest.epoch);
        let fits = |manifest: &Manifest| match which {
            Which::Generation(generation) => manifest.generation == generation,
            Which::Epoch(epoch) => manifest.epoch == epoch,
            Which::Previous => manifest.sha256 != self.serving && manifest.epoch < now,
        };
        let Some(chosen) = kept.iter().find(|kept| fits(&kept.manifest)) else {
            let shown = |kept: &Kept| Pin { sha256: kept.manifest.sha256, epoch: kept.manifest.epoch }.to_string();
            let there: Vec<String> = kept.iter().map(shown).collect();
            let what = if which == Which::Previous { "nothing older than what is served is kept" } else { "no such generation is kept" };
            return Err((Outcome::NotThere, format!("{what}: there are {}", there.join("; "))));
        };
        let manifest = &chosen.manifest;
        let pin = Pin { sha256: manifest.sha256, epoch: manifest.epoch };
        if pin.sha256 == self.serving {
            return Ok((Look::Nothing, pin));
        }
        let load = || {
            self.refuse_quarantined(&manifest.sha256)?;
            let snapshot = Snapshot::load(&chosen.snapshot)?;
            self.hold_against(&snapshot, manifest)?;
            Ok::<_, Refusal>(snapshot)
        };
        let snapshot = load().map_err(|refusal| (Outcome::Refused, format!("{pin}: {refusal}")))?;
        self.serving = pin.sha256;
        Ok((Look::New(Box::new(snapshot), Terms::of(manifest)), pin))
    }

    /// What was found is not served after all: this is.
    pub fn serves(&mut self, sha256: &[u8; 32]) {
        self.serving = *sha256;
    }

    fn hold_against(&self, snapshot: &Snapshot, manifest: &Manifest) -> Result<(), Refusal> {
        if snapshot.sha256() != &manifest.sha256 {
            return Err(Refusal::Another { what: "sha256", got: hex(snapshot.sha256()), stated: hex(&manifest.sha256) });
        }
        check_canaries(self.backend, snapshot, &manifest.canaries)?;
        check_canaries(self.backend, snapshot, &self.canaries)
    }

    fn refuse_quarantined(&self, sha256: &[u8; 32]) -> Result<(), Refusal> {
        match self.state.quarantined(sha256) {
            Some(why) => Err(Refusal::Quarantined { sha256: hex(sha256), why }),
            None => Ok(()),
        }
    }

    /// Looks whether something newer is published, and verifies and keeps it.
    ///
    /// # Errors
    /// Why it is not taken; what is served stays.
    pub fn look(&mut self) -> Result<Look, Problem> {
        match self.published() {
            Ok(look) => {
                self.told.clear();
                Ok(look)
            }
            Err(refusal) => {
                let text = refusal.to_string();
                let again = text == self.told;
                self.told.clone_from(&text);
                Err(Problem { why: refusal.why(), text, again })
            }
        }
    }

    fn published(&mut self) -> Result<Look, Refusal> {
        let signed = self.directory.read_manifest()?;
        let (manifest, _) = Manifest::verify(&signed, &self.keys)?;
        let floor = self.state.floor;
        if manifest.epoch == floor.epoch && manifest.sha256 == floor.sha256 && self.serving == manifest.sha256 {
            return Ok(Look::Nothing);
        }
        epoch::check(&manifest, &floor, now_s())?;
        self.refuse_quarantined(&manifest.sha256)?;
        if !manifest.is_for_node(&self.node) {
            return Ok(Look::NotOurStage);
        }
        let io = |error| Refusal::Io { path: PathBuf::from("snapshot.state"), error };
        if manifest.sha256 == self.serving {
            self.state.renew(&manifest, &signed).map_err(io)?;
            self.prune();
            return Ok(Look::Renewed(Terms::of(&manifest)));
        }
        if manifest.snapshot_bytes > self.bytes_max {
            return Err(Refusal::TooLarge { got: manifest.snapshot_bytes, most: self.bytes_max });
        }
        let sound = self.directory.assemble(&manifest).and_then(|snapshot| self.hold_against(&snapshot, &manifest).map(|()| snapshot));
        let snapshot = match sound {
            Ok(snapshot) => snapshot,
            Err(refusal) => {
                if refusal.is_of_the_snapshot() {
                    self.state.quarantine(&manifest.sha256, &refusal.to_string()).map_err(io)?;
                }
                return Err(refusal);
            }
        };
        self.state.keep(&manifest, &signed, snapshot.as_bytes()).map_err(io)?;
        self.serving = manifest.sha256;
        self.prune();
        Ok(Look::New(Box::new(snapshot), Terms::of(&manifest)))
    }

    /// What is not needed any more costs room on the disk, nothing else.
    fn prune(&mut self) {
        if let Err(error) = self.state.prune(&self.keys, &self.serving) {
            tracing::warn!("old generations stay in the state directory: {error}");
        }
    }

    /// What is served has served long enough, or was ended in order: the next start need not count this one.
    pub fn good(&mut self) {
        if let Err(error) = self.state.good() {
            tracing::warn!("a good start cannot be written down: {error}");
        }
    }
}

/// Keys and canaries from the files that the configuration names.
fn configured(config: &SnapshotConfig) -> Result<(KeySet, Vec<Canary>), TrustError> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|error| TrustError::Config(format!("{}: {error}", path.display())));
    let keys = read_keys(&config.keys).map_err(|why| TrustError::Config(format!("snapshot.keys: {why}")))?;
    let canaries = match config.canaries.as_os_str().is_empty() {
        true => Vec::new(),
        false => read_canaries(&read(&config.canaries)?)
            .map_err(|why| TrustError::Config(format!("snapshot.canaries: {}: {why}", config.canaries.display())))?,
    };
    Ok((keys, canaries))
}

/// Public keys from files.
///
/// # Errors
/// Which file cannot be read, or which line is no key.
pub fn read_keys(paths: &[PathBuf]) -> Result<KeySet, String> {
    let mut texts = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        texts.push((path.display().to_string(), text));
    }
    KeySet::from_texts(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())))
}

/// Unix seconds of now: for what is signed, never for timers.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
