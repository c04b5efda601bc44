//! The configuration file: TOML, unknown keys refused, every error at once.
//!
//! ```toml
//! [snapshot]
//! path = "/var/lib/verdictd/current.snap"
//!
//! [listen]
//! tcp = ["127.0.0.1:7700"]
//! unix = "/run/verdictd/verdictd.sock"
//! admin = "127.0.0.1:7701"
//! ```
//! Everything has a default but `snapshot.path`, or in its place `snapshot.directory` and `snapshot.keys`; `verdictd --print-config` shows the effective values.

use crate::driver::Choice;
use crate::limits::Limits;
use crate::shadow::ShadowConfig;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The most that `overlay.entries_max` may be.
const ENTRIES_MAX: usize = 100_000;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Section `[snapshot]`.
    pub snapshot: SnapshotConfig,
    /// Section `[listen]`.
    #[serde(default)]
    pub listen: Listen,
    /// Section `[overlay]`.
    #[serde(default)]
    pub overlay: OverlayConfig,
    /// Section `[models]`.
    #[serde(default)]
    pub models: ModelsConfig,
    /// Section `[shadow]`.
    #[serde(default)]
    pub shadow: ShadowConfig,
    /// Section `[shards]`.
    #[serde(default)]
    pub shards: Shards,
    /// Section `[limits]`.
    #[serde(default)]
    pub limits: Limits,
    /// Section `[log]`.
    #[serde(default)]
    pub log: Log,
}

/// What is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotConfig {
    /// The snapshot file. Read at start and at SIGHUP, verified, copied into memory of our own: the file may be replaced at any time.
    /// Memory: its size, twice while a swap lasts. Nobody signs it. Either this or `directory`.
    pub path: PathBuf,
    /// A published directory (`verdictctl publish`), which is watched: what is newer, signed and sound is served without being told.
    pub directory: PathBuf,
    /// Files of public keys; a manifest must be signed by one of them. Needed with `directory`, refused with `path`.
    pub keys: Vec<PathBuf>,
    /// Where the daemon keeps three generations, the highest epoch, and what it never takes again. Only with `directory`. Default /var/lib/verdictd.
    /// Disk: three snapshots.
    pub state: PathBuf,
    /// Questions with known answers of this node's own, asked beside those of the manifest; empty = none. Default none.
    pub canaries: PathBuf,
    /// How often the directory is looked at though no change was told of, on average. Default 30 s.
    pub poll_s: u64,
    /// Answers are marked stale when the data is older: since its manifest was signed, or without one since its `as_of` (or, if that is not stated,
    /// since it was loaded). 0 = only when the manifest expires. Default 0.
    pub stale_after_s: u64,
    /// A larger snapshot is refused before it is read. Default 68719476736 (64 GiB).
    pub bytes_max: u64,
    /// The name by which stages of a roll-out draw this node; empty = the host's name. Default empty.
    pub node: String,
}

impl Default for SnapshotConfig {
    fn default() -> Self {
        SnapshotConfig {
            path: PathBuf::new(),
            directory: PathBuf::new(),
            keys: Vec::new(),
            state: PathBuf::from("/var/lib/verdictd"),
            canaries: PathBuf::new(),
            poll_s: 30,
            stale_after_s: 0,
            bytes_max: 64 << 30,
            node: String::new(),
        }
    }
}

impl SnapshotConfig {
    /// Whether what is served comes from a watched directory, signed.
    pub fn is_signed(&self) -> bool {
        !self.directory.as_os_str().is_empty()
    }

    fn check(&self) -> Vec<String> {
        let (path, directory) = (!self.path.as_os_str().is_empty(), self.is_signed());
        let mut wrong = Vec::new();
        match (path, directory) {
            (false, false) => wrong.push("snapshot.path or snapshot.directory must be set".into()),
            (true, true) => wrong.push("snapshot.path and snapshot.directory are both set: one of them is served".into()),
            (true, false) if !self.keys.is_empty() => {
                wrong.push(
                    "snapshot.keys is set, and a file at snapshot.path has no signature: publish it, and set snapshot.directory".into(),
                );
            }
            (false, true) if self.keys.is_empty() => {
                wrong.push("snapshot.directory needs snapshot.keys: nothing unsigned is served from it".into());
            }
            _ => {}
        }
        if !(1..=86_400).contains(&self.poll_s) {
            wrong.push(format!("snapshot.poll_s = {} is not within 1..=86400", self.poll_s));
        }
        if directory && self.state.as_os_str().is_empty() {
            wrong.push("snapshot.state must name a directory that the daemon may write".into());
        }
        wrong
    }
}

/// Where is listened. Loopback unless the operator says otherwise; never UDP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// TCP addresses of the binary protocol; every shard listens on each (SO_REUSEPORT). Default 127.0.0.1:7700. Port 0 lets the kernel choose.
    pub tcp: Vec<SocketAddr>,
    /// Path of the Unix socket; empty = none. Default none.
    pub unix: PathBuf,
    /// Permissions of the Unix socket, octal. Default "0660".
    pub unix_mode: String,
    /// Address of metrics and health. Default 127.0.0.1:7701.
    pub admin: SocketAddr,
    /// Path of the control socket (`verdictctl block`); empty = none. Default none.
    pub control: PathBuf,
    /// Permissions of the control socket, octal: who may open it may block and unblock. Default "0600".
    pub control_mode: String,
}

impl Default for Listen {
    fn default() -> Self {
        Listen {
            tcp: vec![SocketAddr::from(([127, 0, 0, 1], 7700))],
            unix: PathBuf::new(),
            unix_mode: "0660".into(),
            admin: SocketAddr::from(([127, 0, 0, 1], 7701)),
            control: PathBuf::new(),
            control_mode: "0600".into(),
        }
    }
}

impl Listen {
    /// `unix_mode` as a number.
    ///
    /// # Errors
    /// A sentence that names the key, when it is not octal or exceeds 0777.
    pub fn unix_mode_bits(&self) -> Result<u32, String> {
        mode_bits("listen.unix_mode", &self.unix_mode)
    }

    /// `control_mode` as a number.
    ///
    /// # Errors
    /// A sentence that names the key, when it is not octal or exceeds 0777.
    pub fn control_mode_bits(&self) -> Result<u32, String> {
        mode_bits("listen.control_mode", &self.control_mode)
    }

    fn check(&self) -> Vec<String> {
        let mut wrong: Vec<String> = [self.unix_mode_bits(), self.control_mode_bits()].into_iter().filter_map(Result::err).collect();
        if self.tcp.is_empty() && self.unix.as_os_str().is_empty() {
            wrong.push("listen.tcp and listen.unix are both empty: nobody could ask".into());
        }
        // sockaddr_un holds 107 bytes and a final zero; the temporary name used while binding is longer by UNIX_SUFFIX.
        for (name, path) in [("listen.unix", &self.unix), ("listen.control", &self.control)] {
            if path.as_os_str().len() > 107 - crate::listener::UNIX_SUFFIX.len() {
                wrong.push(format!("{name} is longer than {} bytes", 107 - crate::listener::UNIX_SUFFIX.len()));
            }
        }
        if !self.control.as_os_str().is_empty() && self.control == self.unix {
            wrong.push("listen.control and listen.unix are the same path".into());
        }
        wrong
    }
}

fn mode_bits(name: &str, mode: &str) -> Result<u32, String> {
    let bits = u32::from_str_radix(mode.trim_start_matches("0o"), 8).ok().filter(|bits| *bits <= 0o777);
    bits.ok_or_else(|| format!("{name} = {mode:?} is not an octal mode such as \"0660\""))
}

/// What operators block and unblock by hand, for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OverlayConfig {
    /// Where the journal of acts lies. Default: `snapshot.state`, where `snapshot.directory` is served; else it must be set, or nothing can be blocked.
    pub directory: PathBuf,
    /// Entries at a time. Default 10000. Costs about 300 bytes each, and a millisecond an act for 10000.
    pub entries_max: usize,
}

impl Default for OverlayConfig {
    fn default() -> Self {
        OverlayConfig { directory: PathBuf::new(), entries_max: 10_000 }
    }
}

/// Small models, asked about URLs, hosts and files that are unknown to tables and operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsConfig {
    /// A published registry (`verdictctl models publish`): `models.toml`, its signature and its models. Looked at when one of the first two changes, when a
    /// model expires and at SIGHUP; one that is refused again every few seconds. Default empty: no models.
    pub directory: PathBuf,
    /// Files of public keys; the registry must be signed by one of them. Default empty: those of `snapshot.keys`.
    pub keys: Vec<PathBuf>,
    /// Names of models whose word may be *malicious*, where the registry has a threshold for that. Default none: *suspicious* is the most they say.
    pub may_block: Vec<String>,
    /// Microseconds after a request was read at which it is answered without what is not scored yet, unless its caller says. Default 1000.
    pub budget_us: u64,
    /// The most that a caller may say. Default 20000. Whoever waits for the same shard waits as long.
    pub budget_us_max: u64,
    /// Bytes of each shard that remember what models said, 16 a key. Default 1048576.
    pub cache_bytes: usize,
    /// Show keys of which models on trial say otherwise at /models of the admin listener. Default false: they are counted only.
    pub sample_keys: bool,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        ModelsConfig {
            directory: PathBuf::new(),
            keys: Vec::new(),
            may_block: Vec::new(),
            budget_us: 1_000,
            budget_us_max: 20_000,
            cache_bytes: 1 << 20,
            sample_keys: false,
        }
    }
}

impl ModelsConfig {
    /// Whether there are to be any.
    pub fn wanted(&self) -> bool {
        !self.directory.as_os_str().is_empty()
    }

    fn check(&self, keys: &[PathBuf]) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.wanted() && self.keys.is_empty() && keys.is_empty() {
            wrong.push("models.directory needs models.keys or snapshot.keys: no unsigned model is asked".into());
        }
        if !(1..=1_000_000).contains(&self.budget_us_max) || !(1..=self.budget_us_max).contains(&self.budget_us) {
            wrong.push(format!(
                "models.budget_us = {} is not within 1..=budget_us_max = {}, which is at most 1000000",
                self.budget_us, self.budget_us_max
            ));
        }
        if self.cache_bytes > 1 << 30 {
            wrong.push(format!("models.cache_bytes = {} is more than 1073741824 a shard", self.cache_bytes));
        }
        wrong
    }
}

/// One shard is one thread with one executor, pinned to one CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shards {
    /// How many. Default 0: one for each CPU this process may use.
    pub count: usize,
    /// On which CPUs, by number. Default empty: the first `count` that this process may use (affinity masks and cpusets are honoured).
    pub cpus: Vec<usize>,
    /// How a shard speaks to the kernel: `ring` (an io_uring of its own), `streams` (the executor's sockets), `epoll`, or `auto`, the default:
    /// epoll, which measured best. One that is named and not to be had ends the start with 78.
    pub driver: Choice,
}

/// How much is said on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info` or `debug`. Default `info`. Looked-up keys are never logged.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".into() }
    }
}

/// Why a configuration is refused: one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The file, as it was named.
    pub path: PathBuf,
    /// All that is wrong.
    pub reasons: Vec<String>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, reason) in self.reasons.iter().enumerate() {
            let end = if index + 1 < self.reasons.len() { "\n" } else { "" };
            write!(out, "{}: {reason}{end}", self.path.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

impl Config {
    /// Defaults, serving the given snapshot.
    pub fn serving(snapshot: impl Into<PathBuf>) -> Self {
        Config {
            snapshot: SnapshotConfig { path: snapshot.into(), ..SnapshotConfig::default() },
            listen: Listen::default(),
            overlay: OverlayConfig::default(),
            models: ModelsConfig::default(),
            shadow: ShadowConfig::default(),
            shards: Shards::default(),
            limits: Limits::default(),
            log: Log::default(),
        }
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it; syntax errors and unknown keys come with line and column.
    pub fn load(path: &Path) -> Result<Self, Refused> {
        let refuse = |reason: String| Refused { path: path.to_owned(), reasons: vec![reason] };
        let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        let config: Config = toml::from_str(&text).map_err(|error| refuse(error.to_string().trim_end().to_owned()))?;
        let reasons = config.check();
        if reasons.is_empty() { Ok(config) } else { Err(Refused { path: path.to_owned(), reasons }) }
    }

    /// What is wrong with the values, all of it.
    pub fn check(&self) -> Vec<String> {
        let mut wrong = self.snapshot.check();
        wrong.extend(self.limits.check());
        wrong.extend(self.listen.check());
        wrong.extend(self.models.check(&self.snapshot.keys));
        wrong.extend(self.shadow.check());
        if !self.listen.control.as_os_str().is_empty() && self.journal_directory().is_none() {
            wrong.push("listen.control is set, and acts need a journal: add [overlay] directory = \"/var/lib/verdictd\"".into());
        }
        if !self.listen.control.as_os_str().is_empty() && self.log_level() == Some(tracing::Level::ERROR) {
            wrong.push(
                "log.level = \"error\" leaves out who blocked and unblocked what: with listen.control it must be \"warn\" or more".into(),
            );
        }
        if !(1..=ENTRIES_MAX).contains(&self.overlay.entries_max) {
            wrong.push(format!("overlay.entries_max = {} is not within 1..={ENTRIES_MAX}", self.overlay.entries_max));
        }
        if self.shards.count > 0 && !self.shards.cpus.is_empty() && self.shards.count != self.shards.cpus.len() {
            wrong.push(format!("shards.count = {} but shards.cpus names {} CPUs", self.shards.count, self.shards.cpus.len()));
        }
        if self.log_level().is_none() {
            wrong.push(format!("log.level = {:?} is none of error, warn, info, debug", self.log.level));
        }
        wrong
    }

    /// Where the overlay's journal lies, if anywhere.
    pub fn journal_directory(&self) -> Option<PathBuf> {
        match (self.overlay.directory.as_os_str().is_empty(), self.snapshot.is_signed()) {
            (false, _) => Some(self.overlay.directory.clone()),
            (true, true) => Some(self.snapshot.state.clone()),
            (true, false) => None,
        }
    }

    /// The level as tracing knows it.
    pub fn log_level(&self) -> Option<tracing::Level> {
        match self.log.level.as_str() {
            "error" => Some(tracing::Level::ERROR),
            "warn" => Some(tracing::Level::WARN),
            "info" => Some(tracing::Level::INFO),
            "debug" => Some(tracing::Level::DEBUG),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, Refused> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("verdictd-config-{}-{}.toml", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        let config = Config::load(&path);
        std::fs::remove_file(&path).unwrap();
        config
    }

    #[test]
    fn needs_only_a_snapshot() {
        let config = load("[snapshot]\npath = \"a.snap\"\n").unwrap();
        assert_eq!(config, Config::serving("a.snap"));
    }

    #[test]
    fn refuses_an_unknown_key_with_its_line() {
        let error = load("[snapshot]\npath = \"a.snap\"\n[limits]\nconections_max = 5\n").unwrap_err().to_string();
        assert!(error.contains("conections_max") && error.contains("line 4"), "{error}");
    }

    #[test]
    fn reports_all_errors_at_once() {
        let text =
            "[snapshot]\npath = \"a\"\n[listen]\ntcp = []\nunix_mode = \"9\"\n[limits]\nconnections_max = 0\n[log]\nlevel = \"loud\"\n";
        let error = load(text).unwrap_err();
        assert_eq!(error.reasons.len(), 4, "{error}");
    }

    #[test]
    fn nothing_unsigned_is_served_where_keys_are_configured() {
        let check = |text: &str, what: &str| {
            let error = load(&format!("[snapshot]\n{text}")).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        check("", "snapshot.path or snapshot.directory must be set");
        check("path = \"a\"\ndirectory = \"b\"\nkeys = [\"k\"]\n", "both set");
        check("path = \"a\"\nkeys = [\"k\"]\n", "has no signature");
        check("directory = \"b\"\n", "needs snapshot.keys");
        check("path = \"a\"\npoll_s = 0\n", "poll_s = 0");
        assert!(load("[snapshot]\ndirectory = \"b\"\nkeys = [\"k\"]\n").unwrap().snapshot.is_signed());
    }

    #[test]
    fn acts_need_a_journal_and_a_log_that_tells_them() {
        let check = |text: &str, what: &str| {
            let error = load(&format!("[snapshot]\npath = \"a\"\n[listen]\ncontrol = \"c\"\n{text}")).unwrap_err();
            assert!(error.reasons.len() == 1 && error.reasons[0].contains(what), "{error}");
        };
        check("", "acts need a journal");
        check("[overlay]\ndirectory = \"d\"\n[log]\nlevel = \"error\"\n", "log.level = \"error\" leaves out");
    }

    #[test]
    fn models_need_a_key_and_a_budget_that_can_be() {
        let check = |text: &str, what: &str| {
            let error = load(&format!("[snapshot]\npath = \"a\"\n[models]\n{text}")).unwrap_err();
            assert!(error.reasons.len() == 1 && error.reasons[0].contains(what), "{error}");
        };
        check("directory = \"m\"\n", "models.directory needs models.keys");
        check("budget_us = 30000\n", "budget_us = 30000 is not within");
        check("cache_bytes = 2000000000\n", "models.cache_bytes");
        assert!(load("[snapshot]\npath = \"a\"\n[models]\ndirectory = \"m\"\nkeys = [\"k\"]\n").unwrap().models.wanted());
    }

    #[test]
    fn what_it_prints_it_reads_back() {
        let config = Config::serving("/x.snap");
        let text = toml::to_string(&config).unwrap();
        assert_eq!(load(&text).unwrap(), config);
    }
}
