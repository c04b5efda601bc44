//! `[gates]`: what a snapshot is held against before it gets its name.
//!
//! ```toml
//! [gates]
//! never_block = "never-block.txt"              # must be there, with its sentinels, and hold this many
//! never_block_entries_min = 100
//! never_block_sentinels = ["www.example.com"]
//! canary_good = "good.txt"                     # what must not be listed
//! canary_bad = "bad.txt"                       # what must be
//! top_sites = { off = true, reason = "no list of ours" }
//! shrink_max = { limit = "50%", reason = "the partner halves his list on Mondays" }
//! ```
//! Whoever writes `[gates]` names every list or says why not. A limit other than the default, and a gate that is off, need a reason, which every
//! report repeats. Without `[gates]` the limits hold, and the lists are those that are compiled in.

use super::walk::{Value, Walk, integer};
use crate::gates::Gate;
use std::collections::BTreeMap;
use std::path::PathBuf;
use toml::de::DeTable;

/// A share in millionths.
pub type Share = u32;

/// One.
pub const WHOLE: Share = 1_000_000;

/// `[gates]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gates {
    /// Files of entries, by the gate that needs them.
    pub lists: BTreeMap<Gate, PathBuf>,
    /// The never-block list must hold so many entries.
    pub never_block_entries_min: u64,
    /// And these.
    pub never_block_sentinels: Vec<String>,
    /// Limits of gates that have one.
    pub limits: BTreeMap<Gate, Share>,
    /// Why a limit is another than the default.
    pub reasons: BTreeMap<Gate, String>,
    /// Gates that are off, and why.
    pub off: BTreeMap<Gate, String>,
}

impl Default for Gates {
    fn default() -> Self {
        let limits = Gate::ALL.into_iter().filter_map(|gate| Some((gate, gate.default_limit()?)));
        Gates {
            lists: BTreeMap::new(),
            never_block_entries_min: 100,
            never_block_sentinels: Vec::new(),
            limits: limits.collect(),
            reasons: BTreeMap::new(),
            off: BTreeMap::new(),
        }
    }
}

impl Gates {
    /// The limit of a gate that has one.
    pub fn limit(&self, gate: Gate) -> Share {
        self.limits.get(&gate).copied().unwrap_or(WHOLE)
    }
}

impl Walk<'_> {
    pub(super) fn gates(&mut self, value: &Value<'_>) -> Gates {
        let mut gates = Gates::default();
        let Some(table) = value.get_ref().as_table() else {
            self.mistake(value, "gates is a table: [gates]".into());
            return gates;
        };
        let own = ["never_block_entries_min", "never_block_sentinels"];
        let known: Vec<&str> = Gate::ALL.into_iter().filter_map(Gate::key).chain(own).collect();
        self.each(table, "[gates]", &known, |walk, key, value| match key {
            "never_block_entries_min" => match integer(value) {
                Some(number) => gates.never_block_entries_min = number,
                None => walk.mistake(value, format!("{key} is a whole number")),
            },
            "never_block_sentinels" => gates.never_block_sentinels = walk.strings(value, key),
            _ => {
                if let Some(gate) = Gate::ALL.into_iter().find(|gate| gate.key() == Some(key)) {
                    walk.gate(gate, key, value, &mut gates);
                }
            }
        });
        for gate in Gate::ALL.into_iter().filter(|gate| gate.needs_list()) {
            let key = gate.key().unwrap_or_default();
            if !table.contains_key(key) {
                self.mistake(value, format!("[gates] needs {key}: a file, or {{ off = true, reason = \"...\" }}"));
            }
        }
        gates
    }

    fn gate(&mut self, gate: Gate, key: &str, value: &Value<'_>, gates: &mut Gates) {
        if let Some(path) = value.get_ref().as_str().filter(|_| gate.needs_list()) {
            gates.lists.insert(gate, self.directory().join(path));
            return;
        }
        let Some(table) = value.get_ref().as_table() else {
            let list = if gate.needs_list() { "a file, " } else { "" };
            let limit = if gate.default_limit().is_some() { "{ limit = \"10%\", reason = \"...\" }, " } else { "" };
            return self.mistake(value, format!("{key} is {list}{limit}or {{ off = true, reason = \"...\" }}"));
        };
        let (mut off, mut limit, mut reason) = (false, None, None);
        self.each(table, key, &["file", "limit", "off", "reason"], |walk, name, value| match name {
            "file" if gate.needs_list() => {
                if let Some(path) = walk.string(value, "file") {
                    gates.lists.insert(gate, walk.directory().join(&path));
                }
            }
            "limit" if gate.default_limit().is_some() => limit = walk.share(value),
            "off" => off = walk.boolean(value, "off").unwrap_or_default(),
            "reason" => reason = walk.string(value, "reason"),
            _ => walk.mistake(value, format!("{key} has no {name}")),
        });
        self.decide(gate, value, table, gates, (off, limit, reason));
    }

    fn decide(
        &mut self,
        gate: Gate,
        value: &Value<'_>,
        table: &DeTable<'_>,
        gates: &mut Gates,
        (off, limit, reason): (bool, Option<Share>, Option<String>),
    ) {
        if (off || limit.is_some()) && reason.is_none() && !table.contains_key("reason") {
            self.mistake(value, "a gate that is off, or has another limit, needs a reason".into());
        }
        let reason = reason.unwrap_or_default();
        if off {
            gates.off.insert(gate, reason);
        } else if let Some(limit) = limit {
            gates.limits.insert(gate, limit);
            gates.reasons.insert(gate, reason);
        }
    }

    /// `"30%"`, `"0.01%"`.
    fn share(&mut self, value: &Value<'_>) -> Option<Share> {
        let share = value.get_ref().as_str().and_then(share_of);
        if share.is_none() {
            self.mistake(value, "a limit is a percentage with at most four digits after the point: \"30%\", \"0.01%\"".into());
        }
        share
    }
}

/// Millionths of a percentage.
fn share_of(text: &str) -> Option<Share> {
    let (whole, part) = text.strip_suffix('%')?.split_once('.').unwrap_or((text.strip_suffix('%')?, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 5 || part.len() > 4 || !digits(whole) || !digits(part) {
        return None;
    }
    let part: Share = format!("{part:0<4}").parse().ok()?;
    Some(whole.parse::<Share>().ok()? * (WHOLE / 100) + part)
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use std::path::Path;

    fn parse(text: &str) -> Result<Gates, Vec<usize>> {
        let text = format!("{text}\n[[feed]]\nname = \"a\"\npath = \"a\"\n");
        Config::parse(&text, "feeds.toml", Path::new("/in"))
            .map(|config| config.gates)
            .map_err(|mistakes| mistakes.mistakes.iter().map(|mistake| mistake.line).collect())
    }

    const OFF: &str = "{ off = true, reason = \"none\" }";

    #[test]
    fn reads_lists_limits_and_reasons() {
        let gates = parse(&format!(
            "[gates]\nnever_block = \"never.txt\"\nnever_block_entries_min = 3\nnever_block_sentinels = [\"a.example\"]\ncanary_good = {OFF}\n\
             canary_bad = {{ file = \"/bad.txt\", limit = \"90.5%\", reason = \"young\" }}\ntop_sites = {OFF}\nshrink_max = {{ limit = \"0.01%\", reason = \"x\" }}"
        ))
        .unwrap();
        assert_eq!(gates.lists[&Gate::NeverBlock], Path::new("/in/never.txt"));
        assert_eq!(gates.lists[&Gate::CanaryBad], Path::new("/bad.txt"));
        assert_eq!((gates.never_block_entries_min, gates.never_block_sentinels.as_slice()), (3, &["a.example".to_owned()][..]));
        assert_eq!([gates.limit(Gate::CanaryBad), gates.limit(Gate::Shrink), gates.limit(Gate::Growth)], [905_000, 100, 1_000_000]);
        assert_eq!(gates.reasons[&Gate::CanaryBad], "young");
        assert_eq!(gates.off.keys().copied().collect::<Vec<_>>(), [Gate::CanaryGood, Gate::TopSites]);
    }

    #[test]
    fn lists_are_named_or_off_with_a_reason() {
        assert_eq!(parse("[gates]").unwrap_err(), [1, 1, 1, 1]);
        let all =
            |one: &str| parse(&format!("[gates]\nnever_block = {OFF}\ncanary_good = {OFF}\ncanary_bad = {OFF}\ntop_sites = {OFF}\n{one}"));
        assert!(all("").is_ok());
        for wrong in [
            "shrink_max = \"10%\"",
            "shrink_max = { limit = \"10%\" }",
            "shrink_max = { limit = 10, reason = \"x\" }",
            "shrink_max = { limit = \"1e3%\", reason = \"x\" }",
            "shrink_max = { file = \"x\", reason = \"x\" }",
            "growth_max = { off = true }",
            "breadth = \"x\"",
            "colour = 1",
        ] {
            assert_eq!(all(wrong).unwrap_err(), [6], "{wrong}");
        }
    }
}
