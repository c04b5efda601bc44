//! Which registry is asked: read, verified and refused off the shards' way; the last good one stays.
//!
//! ```text
//! DIR/models.toml changed, SIGHUP, a poll, a model's expiry ─► signature, sequence, every file ─► Served ─► to all shards, between two turns
//! ```
//! A registry whose sequence is lower than one that was served before is refused, so that nobody puts an old one back; the highest is kept on disk where the
//! daemon has a directory for its state. A daemon without models, or with a registry that it refuses, answers by its tables.

use super::served::Served;
use crate::background::Background;
use crate::config::{Config, ModelsConfig};
use crate::control::{Requests, State};
use crate::limits::TICK_MS;
use crate::mailbox::{Mailbox, ToShard};
use crate::tasks;
use crate::trust::now_s;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};
use verdict_models::node::{self, Node};
use verdict_models::registry::Mode;
use verdict_tables::category;
use verdict_tables::manifest::{KeySet, Purpose, Seal};

/// Where the highest sequence is kept.
const SEQUENCE: &str = "models.sequence";

/// When the registry and its signature were written, and how long they are.
type Stamps = [Option<(SystemTime, u64)>; 2];

/// Reads registries, one look at a time.
pub struct Keeper {
    settings: ModelsConfig,
    keys: KeySet,
    shards: usize,
    state: Option<PathBuf>,
    /// Whether the highest sequence is written down.
    keeps: bool,
    served: Option<Arc<Served>>,
    /// Those before, until no shard has them any more.
    before: Option<Arc<Served>>,
    /// The file as it was last looked at.
    seen: Stamps,
    /// Unix seconds at which the next of the models expires.
    expiry_s: u64,
    highest: u64,
    told: String,
}

/// What came of a look.
#[derive(Debug)]
pub enum Looked {
    /// Nothing that was not known.
    Same,
    /// To be asked from now on.
    New(Arc<Served>),
    /// Not asked, and why. `again`: as told before.
    Refused {
        /// For people.
        why: String,
        /// It was told before, word for word.
        again: bool,
    },
}

impl Keeper {
    /// None where no models are configured.
    ///
    /// # Errors
    /// Keys that cannot be read.
    pub fn open(config: &Config, shards: usize) -> Result<Option<Self>, String> {
        if !config.models.wanted() {
            return Ok(None);
        }
        let paths = if config.models.keys.is_empty() { &config.snapshot.keys } else { &config.models.keys };
        let keys = crate::trust::read_keys(paths).map_err(|why| format!("models.keys: {why}"))?;
        let state = config.journal_directory().map(|directory| directory.join(SEQUENCE));
        let highest = state.as_deref().map(read_sequence).transpose()?.unwrap_or(0);
        let settings = config.models.clone();
        Ok(Some(Self {
            settings,
            keys,
            shards,
            state,
            keeps: true,
            served: None,
            before: None,
            seen: [None; 2],
            expiry_s: u64::MAX,
            highest,
            told: String::new(),
        }))
    }

    /// The same for whoever only looks: nothing is written.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_to_look(config: &Config) -> Result<Option<Self>, String> {
        Ok(Self::open(config, 1)?.map(|keeper| Self { keeps: false, ..keeper }))
    }

    /// Reads and verifies what is there. Takes as long as that takes.
    pub fn look(&mut self, now_s: u64) -> Looked {
        let seen = self.stamps();
        match self.read(now_s) {
            Ok(found) => {
                (self.seen, self.told) = (seen, String::new());
                let Some(served) = found else { return Looked::Same };
                self.before = self.served.replace(served.clone());
                Looked::New(served)
            }
            Err(why) => {
                self.seen = seen;
                let again = why == self.told;
                self.told.clone_from(&why);
                Looked::Refused { why, again }
            }
        }
    }

    /// Whether a look could find something: a file has changed since, or a model has expired.
    pub fn is_due(&self, now_s: u64) -> bool {
        self.stamps() != self.seen || now_s >= self.expiry_s
    }

    fn stamps(&self) -> Stamps {
        [node::FILE, node::SEAL].map(|name| {
            let file = std::fs::metadata(self.settings.directory.join(name)).ok()?;
            Some((file.modified().ok()?, file.len()))
        })
    }

    fn read(&mut self, now_s: u64) -> Result<Option<Arc<Served>>, String> {
        let verify = |text: &[u8], seal: &[u8]| match Seal::verify_file(Purpose::Models, text, seal, &self.keys) {
            Ok((seal, _)) => Ok(seal.sequence),
            Err(refusal) => Err(refusal.to_string()),
        };
        let node = Node::load(&self.settings.directory, &category::NAMES, &verify, now_s).map_err(|error| error.to_string())?;
        let sequence = node.registry().sequence;
        if sequence < self.highest {
            return Err(format!(
                "{}: sequence {sequence}, and {} was served before: an older registry is not put back, publish it with a higher one",
                self.settings.directory.display(),
                self.highest
            ));
        }
        let unknown = self.settings.may_block.iter().find(|name| !node.registry().models.iter().any(|model| model.name == **name));
        if let Some(name) = unknown {
            return Err(format!("models.may_block names `{name}`, which is none of the registry's models"));
        }
        let loaded = |node: &Node| (0..node.registry().models.len() as u16).map(|place| node.model(place).is_some()).collect::<Vec<_>>();
        let models = node.registry().models.iter();
        self.expiry_s = models.map(|model| model.expires_s).filter(|&expires_s| expires_s > now_s).min().unwrap_or(u64::MAX);
        if let Some(served) = &self.served
            && served.node().sha256() == node.sha256()
            && loaded(served.node()) == loaded(&node)
        {
            return Ok(None);
        }
        if let Some(path) = self.state.as_deref().filter(|_| self.keeps && sequence > self.highest) {
            write_sequence(path, sequence).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        self.highest = sequence;
        Ok(Some(Served::new(node, &self.settings, self.shards, self.served.as_deref())))
    }
}

/// Looks whenever a look could find something, and tells the shards. Ends with the executor; `poll` is between two looks at a directory whose registry is
/// refused, in which a model's file may have come meanwhile.
pub async fn keep(keeper: Keeper, shards: Vec<Mailbox>, background: Background, poll: Duration, state: Rc<State>) {
    let (keeper, mut looked_at) = (Arc::new(Mutex::new(keeper)), Instant::now());
    loop {
        tasks::sleep(Duration::from_millis(TICK_MS)).await;
        let asked = state.models_asked.get();
        let told = Asked { state: &state, asked };
        let (due, refused) = {
            let keeper = keeper.lock().unwrap_or_else(PoisonError::into_inner);
            (keeper.is_due(now_s()), !keeper.told.is_empty())
        };
        if !(asked || due || refused && looked_at.elapsed() >= poll.min(Duration::from_secs(5))) {
            continue;
        }
        looked_at = Instant::now();
        state.models_looking.set(asked);
        state.models_asked.set(false);
        let (own, (done, found)) = (keeper.clone(), channel());
        let look = move || own.lock().unwrap_or_else(PoisonError::into_inner).look(now_s());
        if background.start(look, move |looked| drop(done.send(looked))).is_err() {
            state.models_asked.set(asked);
            continue; // no thread to be had: at the next tick
        }
        let looked = loop {
            match found.try_recv() {
                Ok(looked) => break looked.ok(),
                Err(TryRecvError::Disconnected) => break None,
                Err(TryRecvError::Empty) => tasks::sleep(Duration::from_millis(5)).await,
            }
        };
        let Some(looked) = looked else { continue };
        if let Looked::New(served) = &looked {
            // Before anybody can have an answer of theirs.
            state.desk.get().and_then(Weak::upgrade).into_iter().for_each(|desk| desk.know_models(served.names()));
            shards.iter().for_each(|shard| shard.send(ToShard::Models(served.clone())));
        }
        note(&looked, &state);
        drop((looked, told));
        let before = keeper.lock().unwrap_or_else(PoisonError::into_inner).before.take();
        // None of the shards may be the last who has them: giving back hundreds of megabytes takes milliseconds.
        if let Some(before) = before {
            let sent = Instant::now();
            while Arc::strong_count(&before) > 1 && sent.elapsed() < Duration::from_secs(10) {
                tasks::sleep(Duration::from_millis(5)).await;
            }
            // Without a thread they go here.
            let _ = background.start(move || drop(before), |_| ());
        }
    }
}

/// A look; when it is over, whoever waits for it is told.
struct Asked<'a> {
    state: &'a State,
    asked: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.asked {
            self.state.models_looking.set(false);
            self.state.wake.get().into_iter().for_each(Requests::wake);
        }
    }
}

/// Log, metrics, `/readyz`, `/models`.
pub fn note(looked: &Looked, state: &State) {
    match looked {
        Looked::Same => {}
        Looked::New(served) => {
            let [enforced, on_trial] = counts(served);
            tracing::info!(sequence = served.node().registry().sequence, enforced, on_trial, "models adopted");
            served.node().notes().iter().for_each(|note| tracing::warn!("models: {note}"));
            state.metrics.control.models.iter().zip([enforced, on_trial]).for_each(|(gauge, count)| gauge.set(count));
            state.models.replace(Some(served.clone()));
            state.models_note.replace(String::new());
        }
        Looked::Refused { again: true, .. } => {}
        Looked::Refused { why, .. } => {
            tracing::error!("models refused, those before are asked on: {why}");
            state.metrics.control.models_refused.add(1);
            state.models_note.replace(format!("models refused: {}\n", why.escape_debug()));
        }
    }
}

/// How many models of a registry are enforced, and how many on trial.
pub fn counts(served: &Served) -> [u64; 2] {
    let count = |mode: Mode| {
        let models = served.node().registry().models.iter().enumerate();
        models.filter(|(place, model)| model.mode == mode && served.node().model(*place as u16).is_some()).count() as u64
    };
    [count(Mode::Enforce), count(Mode::Shadow)]
}

fn read_sequence(path: &Path) -> Result<u64, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(|_| format!("{}: {:?} is no sequence of a registry", path.display(), text.trim())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Whole or not at all.
fn write_sequence(path: &Path, sequence: u64) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let written = path.with_extension("sequence.new");
    std::fs::write(&written, format!("{sequence}\n"))?;
    std::fs::File::open(&written)?.sync_all()?;
    std::fs::rename(&written, path)
}
