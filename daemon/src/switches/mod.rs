//! What an operator has switched off on this node, and what it is pinned to: it holds until it is taken back, through restarts too.
//!
//! ```text
//! verdictctl switch ─► control socket ─► desk ─► file: on disk ─► every shard ─► "done"
//!   feed NAME, rule KIND   answers as if they had never been compiled (tables/src/switch.rs)
//!   model NAME             it is not asked
//!   overlay                blocks and unblocks are kept, and do not hold
//!   enforcement            every answer is *unknown*, flagged monitor
//!   updates, or a pin      nothing newer is taken (control/)
//! ```
//! Whatever is off costs a lookup nothing: shards get other tables of answers, or one bit, between two turns. What is off is told by `/readyz`, the
//! metrics, EXPLAIN, and `verdictctl switch list`.

pub mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use verdict_tables::{Off, RuleKind};

/// The file in its directory.
pub const FILE: &str = "switches";
/// Parts that may be off at a time.
pub const PARTS_MAX: usize = 1024;

/// What can be off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Every answer is *unknown*.
    Enforcement,
    /// Nothing newer is taken.
    Updates,
    /// Operators' acts do not hold.
    Overlay,
    /// A source of the snapshot, by its name.
    Feed(String),
    /// A kind of rules.
    Rule(RuleKind),
    /// A model, by its name.
    Model(String),
}

impl Part {
    /// The sorts of parts, as `sort` counts them.
    pub const SORTS: [&'static str; 6] = ["enforcement", "updates", "overlay", "feed", "rule", "model"];

    /// As people and messages name it.
    ///
    /// # Errors
    /// What it should have been.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(' ').unwrap_or((text, "")) {
            ("enforcement", "") => Ok(Part::Enforcement),
            ("updates", "") => Ok(Part::Updates),
            ("overlay", "") => Ok(Part::Overlay),
            ("feed", name) if !name.is_empty() => Ok(Part::Feed(name.to_owned())),
            ("model", name) if !name.is_empty() => Ok(Part::Model(name.to_owned())),
            ("rule", name) => {
                let kind = RuleKind::ALL.into_iter().find(|kind| kind.name() == name);
                let kinds = || RuleKind::ALL.map(RuleKind::name).join(", ");
                kind.map(Part::Rule).ok_or_else(|| format!("`{name}` is no kind of rules: {} are", kinds()))
            }
            _ => Err(format!("`{text}` is no part: feed NAME, rule KIND, model NAME, overlay, enforcement and updates are")),
        }
    }

    /// Its place in `SORTS`.
    pub fn sort(&self) -> usize {
        match self {
            Part::Enforcement => 0,
            Part::Updates => 1,
            Part::Overlay => 2,
            Part::Feed(_) => 3,
            Part::Rule(_) => 4,
            Part::Model(_) => 5,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(Self::SORTS[self.sort()])?;
        match self {
            Part::Feed(name) | Part::Model(name) => write!(out, " {name}"),
            Part::Rule(kind) => write!(out, " {}", kind.name()),
            Part::Enforcement | Part::Updates | Part::Overlay => Ok(()),
        }
    }
}

/// Which of the kept generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// By its name.
    Generation(u64),
    /// By its manifest.
    Epoch(u64),
    /// The newest before the one that is served.
    Previous,
}

impl Which {
    /// As messages name it.
    ///
    /// # Errors
    /// What it should have been.
    pub fn parse(text: &str) -> Result<Self, String> {
        let which = match text.split_once(' ').unwrap_or((text, "")) {
            ("generation", hex) => u64::from_str_radix(hex, 16).ok().map(Which::Generation),
            ("epoch", number) => number.parse().ok().map(Which::Epoch),
            ("previous", "") => Some(Which::Previous),
            _ => None,
        };
        which.ok_or_else(|| {
            format!("`{text}` names no generation: `generation` and up to 16 hexadecimal digits, `epoch` and a number, or `previous`")
        })
    }
}

/// Who has done it, when and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The user.
    pub uid: u32,
    /// The process.
    pub pid: u32,
    /// One line.
    pub reason: String,
}

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "since {} by uid {}, pid {}: {}", crate::overlay::Utc(self.at_ms), self.uid, self.pid, self.reason)
    }
}

/// A generation that is served and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Of the snapshot.
    pub sha256: [u8; 32],
    /// Of its manifest.
    pub epoch: u64,
}

impl Pin {
    /// The name of its generation.
    pub fn generation(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.sha256;
        u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "generation {:016x}, epoch {}", self.generation(), self.epoch)
    }
}

/// Everything that holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// What is off.
    pub off: BTreeMap<Part, Mark>,
    /// What it is pinned to.
    pub pin: Option<(Pin, Mark)>,
}

impl Switches {
    /// What the snapshot is without.
    pub fn of_tables(&self) -> Off {
        let mut off = Off::default();
        for part in self.off.keys() {
            match part {
                Part::Feed(name) => _ = off.sources.insert(name.clone()),
                Part::Rule(kind) => _ = off.kinds.insert(*kind),
                _ => {}
            }
        }
        off
    }

    /// Models that are not asked.
    pub fn models(&self) -> BTreeSet<String> {
        let name = |part: &Part| if let Part::Model(name) = part { Some(name.clone()) } else { None };
        self.off.keys().filter_map(name).collect()
    }

    /// Whether this part is.
    pub fn is_off(&self, part: &Part) -> bool {
        self.off.contains_key(part)
    }

    /// Whether nothing newer is taken.
    pub fn is_frozen(&self) -> bool {
        self.pin.is_some() || self.is_off(&Part::Updates)
    }

    /// How many of a sort are off.
    pub fn count(&self, sort: usize) -> u64 {
        self.off.keys().filter(|part| part.sort() == sort).count() as u64
    }

    /// A line for everything that holds, for `/readyz`.
    pub fn notes(&self) -> String {
        let mut notes = String::new();
        for (part, mark) in &self.off {
            let told = format!("off: {part}, {mark}");
            notes += &format!("{}\n", told.escape_debug());
        }
        if let Some((pin, mark)) = &self.pin {
            notes += &format!("pinned: {pin}, {}\n", mark.to_string().escape_debug());
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_named_as_it_is_read() {
        let kinds = RuleKind::ALL.map(|kind| format!("rule {}", kind.name()));
        let others = ["feed a b", "feed größer", "model url-1", "overlay", "enforcement", "updates"].map(str::to_owned);
        let mut sorts = BTreeSet::new();
        for text in kinds.iter().chain(&others) {
            let part = Part::parse(text).unwrap();
            assert_eq!(part.to_string(), *text);
            assert!(text.starts_with(Part::SORTS[part.sort()]));
            sorts.insert(part.sort());
        }
        assert_eq!(sorts.len(), Part::SORTS.len());
        for text in ["", "feed", "feed ", "rule", "rule hosts", "overlay now", "models", "Overlay", " overlay"] {
            assert!(Part::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_generation_is_named_in_three_ways() {
        assert_eq!(Which::parse("generation 00ff"), Ok(Which::Generation(255)));
        assert_eq!(Which::parse("epoch 17"), Ok(Which::Epoch(17)));
        assert_eq!(Which::parse("previous"), Ok(Which::Previous));
        for text in ["", "generation", "generation x", "epoch", "epoch -1", "previous one", "17"] {
            assert!(Which::parse(text).is_err(), "{text:?}");
        }
    }
}
