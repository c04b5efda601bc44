//! The models of one registry, as all shards share them: immutable, but for what each shard counts.
//!
//! Answers name a model's head by a verdict id from [`IDS_FROM`] on, where no snapshot has any. The ids of one registry are not those of the one before,
//! so an answer that was given before a change is described as *absent*, never as another model's.

use crate::config::ModelsConfig;
use crate::metrics::Count;
use crossbeam::queue::ArrayQueue;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use verdict_models::native::HEADS_MAX;
use verdict_models::node::{Loaded, Node};
use verdict_models::registry::{Entry, Mode, Says};
use verdict_wire as wire;

/// Verdict ids from here on belong to models: the last 65,536.
pub const IDS_FROM: u32 = 0xFF_0000;
const IDS: u32 = 1 << 16;

/// Disagreements of models on trial that wait to be read; more are counted only.
const SAMPLES: usize = 64;
/// Bytes of a sampled key that are kept.
pub const SAMPLE_BYTES: usize = 128;

/// What one shard counts of one model.
#[derive(Debug, Default)]
pub struct Counts {
    /// Keys scored.
    pub rows: Count,
    /// Nanoseconds that took.
    pub nanoseconds: Count,
    /// Keys of which it said something.
    pub spoke: Count,
    /// Keys that its share of CPU did not afford.
    pub over_share: Count,
    /// Keys whose answers had to go out before.
    pub late: Count,
    /// On trial: keys of which it said something other than the answer.
    pub disagreed: Count,
    /// Words that were weakened because the host is popular.
    pub damped: Count,
}

/// A key of which a model on trial says otherwise.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Place of the model.
    pub place: u16,
    /// Its score, 0 to 100.
    pub score: u8,
    /// What it would have said.
    pub says: Says,
    /// The beginning of the canonical text.
    pub text: [u8; SAMPLE_BYTES],
    /// How much of it.
    pub bytes: u8,
}

/// Models as they are served.
#[derive(Debug)]
pub struct Served {
    node: Node,
    first_id: u32,
    /// Whether the operator lets this model say *malicious*, by place.
    may_block: Vec<bool>,
    /// By shard, then by place.
    counts: Vec<Vec<Counts>>,
    samples: ArrayQueue<Sample>,
    /// The latest ones, for people; no shard comes here.
    kept: Mutex<VecDeque<Sample>>,
    settings: ModelsConfig,
}

impl Served {
    /// After another registry, if there was one.
    pub fn new(node: Node, settings: &ModelsConfig, shards: usize, before: Option<&Served>) -> Arc<Self> {
        let models = &node.registry().models;
        let may_block = models.iter().map(|model| settings.may_block.contains(&model.name)).collect();
        let counts = (0..shards).map(|_| models.iter().map(|_| Counts::default()).collect()).collect();
        let first_id = before.map_or(0, |before| (before.first_id + before.ids()) % IDS);
        Arc::new(Self {
            may_block,
            counts,
            first_id,
            node,
            samples: ArrayQueue::new(SAMPLES),
            kept: Mutex::default(),
            settings: settings.clone(),
        })
    }

    /// The models themselves.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Of all models of the registry: what an operator may switch off.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.node.registry().models.iter().map(|model| model.name.clone())
    }

    /// As the operator set it.
    pub fn settings(&self) -> &ModelsConfig {
        &self.settings
    }

    /// A model that is asked.
    #[inline]
    pub fn model(&self, place: u16) -> Option<(&Entry, &Loaded)> {
        Some((self.node.registry().models.get(usize::from(place))?, self.node.model(place)?))
    }

    /// Whether the model answers nobody.
    #[inline]
    pub fn on_trial(&self, place: u16) -> bool {
        self.node.registry().models.get(usize::from(place)).is_none_or(|model| model.mode != Mode::Enforce)
    }

    /// Whether the operator lets it say *malicious*.
    #[inline]
    pub fn may_block(&self, place: u16) -> bool {
        self.may_block.get(usize::from(place)).copied().unwrap_or(false)
    }

    /// The numbers of one shard, by place.
    pub fn counts(&self, shard: usize) -> &[Counts] {
        self.counts.get(shard).map(Vec::as_slice).unwrap_or_default()
    }

    /// A number of one model, over all shards.
    pub fn total(&self, place: usize, of: impl Fn(&Counts) -> &Count) -> u64 {
        self.counts.iter().filter_map(|shard| shard.get(place)).map(|counts| of(counts).get()).sum()
    }

    /// Where shards leave disagreements; what is too much is dropped.
    pub fn leave(&self, sample: Sample) {
        let _ = self.samples.push(sample);
    }

    /// The latest disagreements, oldest first.
    pub fn disagreements(&self) -> Vec<Sample> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sample) = self.samples.pop() {
            if kept.len() == SAMPLES {
                kept.pop_front();
            }
            kept.push_back(sample);
        }
        kept.iter().cloned().collect()
    }

    /// What a head means.
    #[inline]
    pub fn categories(&self, place: u16, head: u8) -> u16 {
        let model = self.node.registry().models.get(usize::from(place));
        model.and_then(|model| model.heads.get(usize::from(head))).map_or(0, |head| head.categories)
    }

    /// The verdict id of a head.
    #[inline]
    pub fn id(&self, place: u16, head: u8) -> u32 {
        IDS_FROM + (self.first_id + u32::from(place) * HEADS_MAX as u32 + u32::from(head)) % IDS
    }

    /// The head that the id names, if it is of this registry.
    pub fn named(&self, id: u32) -> Option<(u16, u8)> {
        let number = id.checked_sub(IDS_FROM)?.wrapping_sub(self.first_id) % IDS;
        if number >= self.ids() {
            return None;
        }
        let (place, head) = ((number / HEADS_MAX as u32) as u16, (number % HEADS_MAX as u32) as u8);
        let model = self.node.registry().models.get(usize::from(place))?;
        (usize::from(head) < model.heads.len()).then_some((place, head))
    }

    /// What stands behind an id of ours.
    pub fn describe(&self, id: u32) -> Option<(wire::Description, [String; 2])> {
        let (place, head) = self.named(id)?;
        let model = self.node.registry().models.get(usize::from(place))?;
        let meaning = &model.heads[usize::from(head)];
        let class = match (meaning.suspicious, meaning.malicious.filter(|_| self.may_block(place))) {
            (_, Some(_)) => wire::Class::Malicious,
            (Some(_), None) => wire::Class::Suspicious,
            (None, None) => wire::Class::Unknown,
        };
        let fixed = wire::Description {
            id,
            class: class.raw(),
            rule_kind: wire::RuleKind::Model.raw(),
            categories: meaning.categories,
            ..wire::Description::default()
        };
        Some((fixed, [format!("{}@{}", model.name, model.version), meaning.name.clone()]))
    }

    fn ids(&self) -> u32 {
        (self.node.registry().models.len() * HEADS_MAX) as u32
    }
}
