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

mod listen;
mod models;
mod snapshot;

pub use listen::Listen;
pub(crate) use listen::mode_bits;
pub use models::ModelsConfig;
pub use snapshot::SnapshotConfig;

use crate::driver::Choice;
use crate::edge::guard::config::{self as guard, AdminConfig, ClientConfig, ProxyConfig, TlsConfig};
use crate::edge::http::HttpConfig;
use crate::edge::spop::SpopConfig;
use crate::host::credentials;
use crate::limits::Limits;
use crate::log::Format;
use crate::shadow::ShadowConfig;
use serde::{Deserialize, Serialize};
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
    /// Section `[http]`.
    #[serde(default)]
    pub http: HttpConfig,
    /// Section `[spop]`.
    #[serde(default)]
    pub spop: SpopConfig,
    /// Section `[tls]`.
    #[serde(default)]
    pub tls: TlsConfig,
    /// Section `[proxy]`.
    #[serde(default)]
    pub proxy: ProxyConfig,
    /// Sections `[[clients]]`.
    #[serde(default)]
    pub clients: Vec<ClientConfig>,
    /// Section `[admin]`.
    #[serde(default)]
    pub admin: AdminConfig,
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

/// One shard is one thread with one executor, pinned to one CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shards {
    /// How many. Default 0: one for each CPU this process may use.
    pub count: usize,
    /// On which CPUs, by number. Default empty: the first `count` that this process may use (affinity masks and cpusets are honoured).
    pub cpus: Vec<usize>,
    /// How a shard speaks to the kernel: `ring` (an io_uring of its own), `streams` (the executor's sockets), `epoll` (parked in the executor's ring),
    /// `plain` (epoll, and no io_uring anywhere), or `auto`, the default: epoll, which measured best; where the host denies io_uring, plain, which the
    /// log, `/readyz` and `verdictd_build_info` then say. One that is named and not to be had ends the start with 78.
    pub driver: Choice,
}

/// How much is said, and in which form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info` or `debug`. Default `info`. Looked-up keys are never logged.
    pub level: String,
    /// `auto`, `text`, `json` or `journald`. Default `auto`: the journal's own protocol where standard error leads to it, else text.
    pub format: Format,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".into(), format: Format::Auto }
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
            http: HttpConfig::default(),
            spop: SpopConfig::default(),
            tls: TlsConfig::default(),
            proxy: ProxyConfig::default(),
            clients: Vec::new(),
            admin: AdminConfig::default(),
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
        let mut config: Config = toml::from_str(&text).map_err(|error| refuse(error.to_string().trim_end().to_owned()))?;
        let mut reasons = Vec::new();
        credentials::resolve_all(config.secrets(), &mut reasons);
        reasons.extend(config.check());
        if reasons.is_empty() { Ok(config) } else { Err(Refused { path: path.to_owned(), reasons }) }
    }

    /// Files that may come from the service manager, as `credential:NAME`: whatever is secret, or decides whom or what to believe.
    fn secrets(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let TlsConfig { certificate, key, client_ca, client_crls, on: _ } = &mut self.tls;
        let keys = self.snapshot.keys.iter_mut().chain(&mut self.models.keys).chain(client_crls);
        keys.chain([&mut self.snapshot.canaries, &mut self.admin.token, certificate, key, client_ca])
    }

    /// What is wrong with the values, all of it.
    pub fn check(&self) -> Vec<String> {
        let mut wrong = self.snapshot.check();
        wrong.extend(self.limits.check());
        wrong.extend(self.listen.check());
        wrong.extend(guard::check(self));
        wrong.extend(self.http.check());
        wrong.extend(self.spop.check());
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
    fn every_file_that_is_secret_may_be_a_credential() {
        let text = "[snapshot]\npath = \"a\"\ncanaries = \"credential:a/1\"\n[models]\nkeys = [\"credential:a/2\"]\n\
                    [tls]\ncertificate = \"credential:a/3\"\nkey = \"credential:a/4\"\nclient_ca = \"credential:a/5\"\n\
                    client_crls = [\"credential:a/6\"]\n[admin]\ntoken = \"credential:a/7\"\n";
        // A name with a slash is none, whatever the environment: so each of them was looked at.
        let error = load(text).unwrap_err();
        for number in 1..=7 {
            let reason = format!("credential:a/{number}: a credential's name has no slash");
            assert!(error.reasons.contains(&reason), "{reason} is not in {error}");
        }
    }

    #[test]
    fn what_it_prints_it_reads_back() {
        let config = Config::serving("/x.snap");
        let text = toml::to_string(&config).unwrap();
        assert_eq!(load(&text).unwrap(), config);
    }
}
