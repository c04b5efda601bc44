//! verdictd: answers, from memory, whether a URL, host, address or file is safe.
//!
//! ```text
//!  main ── preflight ── load + verify snapshot ── bind ──┬── shard 0 ─ CPU a ┐  each: epoll over its connections, one batch a turn,
//!                                                         ├── shard 1 ─ CPU b ┤  no lock, no allocation, no await inside it (shard.rs)
//!                                                         └── control ────────┘  signals, swap by message, admin HTTP (control/)
//! ```
//! The daemon knows nothing about feeds: snapshot files, a registry of models and operators' acts are its only inputs, verified before use. This library is the
//! daemon without its `main`, so that tests and benches can run it in their own process.
#![deny(unsafe_code)] // but for driver/sys.rs

pub mod admin;
pub mod background;
pub mod check;
pub mod config;
pub mod connection;
pub mod control;
pub mod driver;
pub mod edge;
mod explain;
pub mod histogram;
pub mod host;
pub mod inline;
pub mod limits;
pub mod listener;
mod lock;
pub mod log;
pub mod mailbox;
pub mod metrics;
pub mod nearness;
pub mod nodes;
pub mod overlay;
pub mod page;
pub mod pages;
pub mod pipeline;
pub mod preflight;
pub mod probes;
pub mod shadow;
pub mod shard;
pub mod slab;
pub mod source;
pub mod switches;
pub mod tasks;
pub mod threads;
pub mod trust;

use background::Background;
use config::Config;
use control::{Control, Requests, State};
use edge::guard::admin::AdminDoor;
use edge::guard::keeper::Keeper as Certificates;
use edge::guard::material::Material;
use edge::guard::{self, Gate};
use edge::{Edges, Protocol};
use host::Host;
use host::reload::Reloads;
use host::watchdog::{self, Watchdog, Watched};
use inline::keeper::{Keeper, Looked};
use listener::{Family, Listener, UnixPath};
use mailbox::Mailbox;
use metrics::Metrics;
use nearness::Bounded;
use nodes::Nodes;
use overlay::desk::Desk;
use overlay::door::Door;
use preflight::Machine;
use shadow::Trial;
use shadow::page::Seen;
use shard::ShardSetup;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use switches::Switches;
use threads::Thread;
use verdict_simd::Selected;
use verdict_tables::Snapshot;

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The machine denies what is needed.
    #[error("{0}")]
    Preflight(#[from] preflight::Refusal),
    /// The snapshot cannot be read or is refused.
    #[error("snapshot {}: {error}", path.display())]
    Snapshot {
        /// As configured.
        path: PathBuf,
        /// What tables said.
        error: verdict_tables::Error,
    },
    /// Nothing that is published there can be served.
    #[error("{0}")]
    Trust(#[from] trust::TrustError),
    /// The journal of the overlay is damaged or cannot be written.
    #[error("{0}")]
    Journal(#[from] overlay::journal::JournalError),
    /// What is switched off cannot be read, and nothing is served as if all were on.
    #[error("{0}")]
    Switches(#[from] switches::file::SwitchesError),
    /// The keys of models, or the state of their registry, cannot be read.
    #[error("{0}")]
    Models(String),
    /// A certificate, key or authority cannot be read, or they do not fit.
    #[error("tls: {0}")]
    Tls(String),
    /// A socket, thread or ring could not be made.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Sockets that were handed down are not those of the configuration.
    #[error("{0}")]
    Sockets(std::io::Error),
    /// The executor could not be made.
    #[error("executor: {0}")]
    Executor(String),
    /// `VERDICT_BACKEND` names something this machine does not have.
    #[error("{0}")]
    Backend(#[from] verdict_simd::BackendUnavailable),
}

/// A running daemon.
pub struct Daemon {
    requests: Requests,
    threads: Vec<Thread>,
    /// Addresses really bound, in the order of `listen.tcp`.
    pub tcp: Vec<SocketAddr>,
    /// The same of `listen.http`.
    pub http: Vec<SocketAddr>,
    /// The same of `listen.spop`.
    pub spop: Vec<SocketAddr>,
    /// Where metrics and health answer.
    pub admin: SocketAddr,
    /// Every number of the daemon.
    pub metrics: Arc<Metrics>,
    /// Ends before the sockets' paths go.
    _door: Option<Door>,
    _watchdog: Option<Watchdog>,
    /// Ends when the shards have.
    _trial: Option<Trial>,
    _unix: [Option<UnixPath>; 3],
}

impl Daemon {
    /// Preflight, load, bind, serve. Returns when every shard accepts. With `signals`, SIGHUP, SIGTERM and SIGINT are handled; they must have been
    /// blocked on the calling thread before it made any other.
    ///
    /// # Errors
    /// The first thing that failed; nothing is left behind.
    pub fn start(config: &Config, signals: bool) -> Result<Self, StartError> {
        let machine = preflight::check(&config.shards, config.limits.connections_max)?;
        let backend = verdict_simd::detect()?;
        let host = if signals { Host::from_environment().map_err(StartError::Sockets)? } else { Host::default() };
        let first = First::find(config, backend)?;
        let source = first.source.clone();
        let served = Self::serve(config, signals, &machine, backend, first, host);
        if served.is_err() {
            // A port that is taken says nothing about the snapshot: no failed start of it.
            source.good();
        }
        served
    }

    fn serve(
        config: &Config,
        signals: bool,
        machine: &Machine,
        backend: Selected,
        first: First,
        mut host: Host,
    ) -> Result<Self, StartError> {
        let First { snapshot, terms, source, switches } = first;
        let shards = machine.cpus.len();
        let nodes = Nodes::of(&machine.cpus);
        let snapshot = nodes.copies(snapshot).map_err(|error| StartError::Snapshot { path: source.shown().into(), error })?;
        let driver = machine.driver;
        let (mut listeners, bound) =
            listener::tcp_for_shards(&config.listen.addresses(), shards, limits::LISTEN_BACKLOG, &mut host.inherited)?;
        let bound = |protocol| bound.iter().filter(|bound| bound.protocol == protocol).map(|bound| bound.address).collect();
        let unix = share_unix(config, &mut listeners, &mut host)?;
        host.inherited.refuse_rest().map_err(StartError::Sockets)?;
        guard::mark(config, &mut listeners);
        let tls = config.tls.wanted().then(|| Material::read(&config.tls)).transpose().map_err(StartError::Tls)?;
        let (control_socket, control_path) = unix_socket(&config.listen.control, config.listen.control_mode_bits())?.unzip();
        let (admin_socket, admin_path) = unix_socket(&config.admin.unix, config.admin.unix_mode_bits())?.unzip();
        listener::refuse_taken(config.listen.admin)?;
        let metrics = Metrics::new(shards, verdict_simd::Backend::name(backend), driver.name());
        let mut daemon = Daemon {
            requests: Requests::new()?,
            threads: Vec::new(),
            tcp: bound(Protocol::Binary),
            http: bound(Protocol::Http),
            spop: bound(Protocol::Spop),
            admin: config.listen.admin,
            metrics,
            _door: None,
            _watchdog: None,
            _trial: None,
            _unix: [unix, control_path, admin_path],
        };
        let (started, running) = (Instant::now(), Arc::new(AtomicU32::new(shards as u32)));
        let (metrics, requests) = (daemon.metrics.clone(), daemon.requests.clone());
        let desk = Arc::new(Desk::open(config, backend, (snapshot.clone(), switches), metrics, running.clone(), requests)?);
        let connections = Arc::new(AtomicUsize::new(0));
        let edges = Arc::new(Edges::of(config));
        let models = Keeper::open(config, shards).map_err(StartError::Models)?.map(|mut keeper| {
            let looked = keeper.look(trust::now_s());
            (keeper, looked)
        });
        if let Some((_, Looked::New(served))) = &models {
            desk.know_models(served.names());
        }
        let background = Background::beside(&machine.cpus);
        let trial = Trial::start(&config.shadow, backend, daemon.metrics.clone(), background.clone())?;
        let mut mailboxes = Vec::new();
        for (number, listeners) in listeners.into_iter().enumerate() {
            let mailbox = Mailbox::new()?;
            mailboxes.push(mailbox.clone());
            let (answers, overlaid) = desk.first(number);
            let setup = ShardSetup {
                snapshot: answers,
                overlaid,
                models: match &models {
                    Some((_, Looked::New(served))) => Some(served.clone()),
                    _ => None,
                },
                tap: trial.as_ref().and_then(|trial| trial.tap(number)),
                number,
                limits: config.limits.clone(),
                edges: edges.clone(),
                tls: tls.as_ref().map(|material| material.config.clone()),
                listeners,
                mailbox,
                metrics: daemon.metrics.shards[number].clone(),
                times: daemon.metrics.times[number].clone(),
                driver,
                connections: connections.clone(),
                near: daemon.metrics.control.near(Bounded::Connections).clone(),
                started,
            };
            let end = ShardEnd { running: running.clone(), requests: daemon.requests.clone() };
            let thread = Thread::shard(driver, machine.cpus[number], &format!("shard-{number}"), move || async move {
                let _end = end;
                if let Err(error) = setup.run(backend).await {
                    tracing::error!(shard = number, "shard ended: {error}");
                }
            });
            daemon.keep(thread)?;
        }
        desk.attach(mailboxes.clone());
        let (requests, stale_after_s, bytes_max) = (daemon.requests.clone(), config.snapshot.stale_after_s, config.snapshot.bytes_max);
        let poll = Duration::from_secs(config.snapshot.poll_s);
        let watched = config.snapshot.is_signed().then(|| (config.snapshot.directory.clone(), poll));
        let without_ring = machine.without_ring.as_ref().map(ToString::to_string);
        if let Some(why) = &without_ring {
            tracing::warn!(driver = driver.name(), "runs without io_uring: {why}");
        }
        let (control_desk, reloads) = (desk.clone(), Reloads::new(host.manager.clone()));
        let on_trial = trial.as_ref().map(|trial| Seen::new(trial.shared().clone()));
        daemon._trial = trial;
        let door = AdminDoor::of(config, tls.as_ref().map(|material| material.config.clone())).map_err(StartError::Tls)?;
        let certificates = Certificates { tls: tls.map(|material| (config.tls.clone(), material)), token: config.admin.token.clone() };
        daemon.spawn_control(started, signals, door, admin_socket, move |state| {
            if let Some(shard) = mailboxes.first() {
                let _ = state.asked_of.set(shard.clone()); // it is empty
            }
            let _ = state.desk.set(Arc::downgrade(&control_desk)); // it is empty
            if let Some(seen) = on_trial {
                let _ = state.shadow.set(seen); // it is empty
            }
            state.without_ring.replace(without_ring);
            let _ = state.wake.set(requests.clone()); // it is empty
            Control {
                requests,
                reloads,
                shards: mailboxes,
                snapshot,
                desk: control_desk,
                nodes,
                terms,
                source,
                watched,
                models,
                certificates: Some(certificates),
                poll,
                stale_after_s,
                bytes_max,
                background,
                running,
                state,
            }
        })?;
        daemon.wait_until_serving()?;
        if desk.has_journal() {
            daemon._door = Some(Door::open(control_socket, desk, daemon.requests.clone())?);
        }
        if let Some(manager) = host.manager {
            let watched = Watched { metrics: daemon.metrics.clone(), requests: daemon.requests.clone(), started };
            manager.ready(&watched.status());
            daemon._watchdog = Some(Watchdog::start(manager, watched, watchdog::interval_from_environment())?);
        }
        Ok(daemon)
    }

    /// If a thread could not be had, those that run already are told to end.
    fn keep(&mut self, thread: Result<Thread, String>) -> Result<(), StartError> {
        self.threads.push(thread.map_err(|error| self.abandon(&error))?);
        Ok(())
    }

    /// The control thread, and the address that its admin listener got.
    fn spawn_control(
        &mut self,
        started: Instant,
        signals: bool,
        door: AdminDoor,
        unix: Option<UnixListener>,
        control: impl FnOnce(Rc<State>) -> Control + Send + 'static,
    ) -> Result<(), StartError> {
        let (address, metrics) = (self.admin, self.metrics.clone());
        let (bound, admin) = std::sync::mpsc::channel();
        let thread = Thread::control(move || async move {
            let state = Rc::new(State::since(metrics, door, started));
            if let Some(unix) = unix {
                tasks::spawn(admin::serve(tasks::net::Listener::new(unix.into()), true, state.clone()));
            }
            match listener::admin(address) {
                Ok(listener) => {
                    let _ = bound.send(listener.local_addr());
                    tasks::spawn(admin::serve(listener, false, state.clone()));
                }
                Err(error) => drop(bound.send(Err(error))),
            }
            control(state).run(signals).await;
        });
        self.keep(thread)?;
        match admin.recv() {
            Ok(Ok(address)) => self.admin = address,
            Ok(Err(error)) => return Err(self.abandon(&error)),
            Err(error) => return Err(StartError::Executor(error.to_string())),
        }
        Ok(())
    }

    /// A shard shows its generation once its sockets are watched.
    fn wait_until_serving(&self) -> Result<(), StartError> {
        for _ in 0..10_000 {
            if self.metrics.shards.iter().all(|shard| shard.generation.get() != 0) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.requests.drain();
        Err(StartError::Executor("a shard did not come up; its reason is in the log".into()))
    }

    fn abandon(&self, error: &dyn std::fmt::Display) -> StartError {
        self.requests.drain();
        StartError::Executor(error.to_string())
    }

    /// Reads, verifies and adopts the snapshot file again, as SIGHUP does. Returns at once; see `metrics`.
    pub fn reload(&self) {
        self.requests.reload();
    }

    /// Finishes what was asked, then ends, as SIGTERM does. Returns at once; `join` waits.
    pub fn drain(&self) {
        self.requests.drain();
    }

    /// Waits until every thread has ended.
    ///
    /// # Errors
    /// The first thread that panicked or whose executor failed.
    pub fn join(self) -> Result<(), StartError> {
        let mut outcome = Ok(());
        for thread in self.threads {
            if let Err(error) = thread.join() {
                outcome = outcome.and(Err(StartError::Executor(error.to_string())));
            }
        }
        outcome
    }
}

/// What is served first, and where the next comes from.
struct First {
    snapshot: Snapshot,
    terms: Option<trust::Terms>,
    source: source::Source,
    switches: Switches,
}

impl First {
    fn find(config: &Config, backend: Selected) -> Result<Self, StartError> {
        let switches = config.journal_directory().map(|directory| switches::file::read(&directory)).transpose()?.unwrap_or_default();
        if config.snapshot.is_signed() {
            let mut trust = trust::Trust::open(&config.snapshot, backend)?;
            let (snapshot, terms) = trust.start(switches.pin.as_ref().map(|(pin, _)| pin))?;
            let source = source::Source::Directory(Arc::new(std::sync::Mutex::new(trust)));
            return Ok(First { snapshot, terms: Some(terms), source, switches });
        }
        let path = config.snapshot.path.clone();
        tracing::warn!(path = %path.display(), "served unsigned: anybody who can write the file decides the answers; see snapshot.directory and snapshot.keys");
        let snapshot = Snapshot::load(&path).map_err(|error| StartError::Snapshot { path: path.clone(), error })?;
        Ok(First { snapshot, terms: None, source: source::Source::File(path), switches })
    }
}

/// Binds the Unix socket, if one is configured, and gives every shard its end of it; with the path to remove afterwards.
fn share_unix(config: &Config, shards: &mut [Vec<Listener>], host: &mut Host) -> std::io::Result<Option<UnixPath>> {
    if config.listen.unix.as_os_str().is_empty() {
        return Ok(None);
    }
    let mode = config.listen.unix_mode_bits().map_err(std::io::Error::other)?;
    let (listener, path) = match host.inherited.take_unix(&config.listen.unix) {
        Some(listener) => (listener, None), // its path is not ours
        None => listener::unix(&config.listen.unix, mode).map(|(listener, path)| (listener, Some(path)))?,
    };
    for shard in shards {
        shard.push(Listener {
            socket: listener.try_clone()?.into(),
            family: Family::Unix,
            protocol: Protocol::Binary,
            gate: Gate::default(),
        });
    }
    Ok(path)
}

/// Binds a socket of the control plane, if one is configured; with the path to remove afterwards.
fn unix_socket(path: &Path, mode: Result<u32, String>) -> std::io::Result<Option<(UnixListener, UnixPath)>> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    listener::unix(path, mode.map_err(std::io::Error::other)?).map(Some)
}

/// Tells control that a shard has ended, however it ended.
struct ShardEnd {
    running: Arc<AtomicU32>,
    requests: Requests,
}

impl Drop for ShardEnd {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::AcqRel);
        self.requests.shard_ended();
    }
}
