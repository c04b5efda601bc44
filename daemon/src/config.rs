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
//! Everything but `snapshot.path` has a default; `verdictd --print-config` shows the effective values.

use crate::driver::Choice;
use crate::limits::Limits;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Section `[snapshot]`.
    pub snapshot: SnapshotConfig,
    /// Section `[listen]`.
    #[serde(default)]
    pub listen: Listen,
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
#[serde(deny_unknown_fields)]
pub struct SnapshotConfig {
    /// The snapshot file. Read at start and at SIGHUP, verified, copied into memory of our own: the file may be replaced at any time.
    /// Memory: its size, twice while a swap lasts.
    pub path: PathBuf,
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
}

impl Default for Listen {
    fn default() -> Self {
        Listen {
            tcp: vec![SocketAddr::from(([127, 0, 0, 1], 7700))],
            unix: PathBuf::new(),
            unix_mode: "0660".into(),
            admin: SocketAddr::from(([127, 0, 0, 1], 7701)),
        }
    }
}

impl Listen {
    /// `unix_mode` as a number.
    ///
    /// # Errors
    /// A sentence that names the key, when it is not octal or exceeds 0777.
    pub fn unix_mode_bits(&self) -> Result<u32, String> {
        u32::from_str_radix(self.unix_mode.trim_start_matches("0o"), 8)
            .ok()
            .filter(|bits| *bits <= 0o777)
            .ok_or_else(|| format!("listen.unix_mode = {:?} is not an octal mode such as \"0660\"", self.unix_mode))
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
            snapshot: SnapshotConfig { path: snapshot.into() },
            listen: Listen::default(),
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
        let mut wrong = self.limits.check();
        if self.listen.tcp.is_empty() && self.listen.unix.as_os_str().is_empty() {
            wrong.push("listen.tcp and listen.unix are both empty: nobody could ask".into());
        }
        if let Err(reason) = self.listen.unix_mode_bits() {
            wrong.push(reason);
        }
        // sockaddr_un holds 107 bytes and a final zero; the temporary name used while binding is longer by UNIX_SUFFIX.
        if self.listen.unix.as_os_str().len() > 107 - crate::listener::UNIX_SUFFIX.len() {
            wrong.push(format!("listen.unix is longer than {} bytes", 107 - crate::listener::UNIX_SUFFIX.len()));
        }
        if self.shards.count > 0 && !self.shards.cpus.is_empty() && self.shards.count != self.shards.cpus.len() {
            wrong.push(format!("shards.count = {} but shards.cpus names {} CPUs", self.shards.count, self.shards.cpus.len()));
        }
        if self.log_level().is_none() {
            wrong.push(format!("log.level = {:?} is none of error, warn, info, debug", self.log.level));
        }
        wrong
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
    fn what_it_prints_it_reads_back() {
        let config = Config::serving("/x.snap");
        let text = toml::to_string(&config).unwrap();
        assert_eq!(load(&text).unwrap(), config);
    }
}
