//! Parts that are switched off and on, and the generation that is pinned: the desk's other kind of act.
//!
//! ```text
//! off, on   judge ─► switches file, on disk ─► snapshot without what is off, overlay or none, one bit ─► every shard ─► wait for all ─► confirm
//! pin       control thread: load a kept generation ─► switches file, on disk ─► adopt ─► confirm
//! ```
//! What cannot be written down does not hold. An act that is on disk when the daemon dies holds at its next start.

use super::{Desk, Done, Live, SHARDS_DEADLINE, locked, refused, wall_ms};
use crate::control::PinAsk;
use crate::mailbox::ToShard;
use crate::switches::{Mark, PARTS_MAX, Part, Pin, Switches, Which, file};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use verdict_wire::{Act, ActRequest, Outcome};

/// How long loading a kept generation may take; the answer then says that it goes on.
const PIN_DEADLINE: Duration = Duration::from_secs(12);
/// Names that a refusal tells.
const NAMES_TOLD: usize = 20;

type Judged = Result<String, (Outcome, String)>;

impl Desk {
    /// Judges, writes down, enforces, waits.
    pub fn switch(&self, request: &ActRequest<'_>, uid: u32, pid: u32) -> Done {
        let began = Instant::now();
        let name = String::from_utf8_lossy(request.key);
        let mark = Mark { at_ms: wall_ms(), uid, pid, reason: request.reason.to_owned() };
        let judged = match request.act {
            Act::Pin => self.pin(&name, mark),
            Act::On if name == "pin" => self.change(|switches, _| unpin(switches)),
            _ => Part::parse(&name).map_err(refused).and_then(|part| {
                let is_loading = self.metrics.control.switches.loading.get() != 0;
                self.change(|switches, live| match request.act {
                    Act::Off => off(switches, live, is_loading, part, mark),
                    _ => on(switches, &part),
                })
            }),
        };
        let (outcome, text) = judged.map_or_else(|other| other, |text| (Outcome::Done, text));
        let numbers = &self.metrics.control;
        // Whoever holds this counts.
        let journal = locked(&self.journal);
        match outcome {
            Outcome::Done => numbers.switches.acted(request.act).add(1),
            _ => numbers.overlay_refused.add(1),
        }
        drop(journal);
        if outcome == Outcome::Done && request.act == Act::On && matches!(&*name, "pin" | "updates") {
            self.requests.reload();
        }
        let (took, entries) = (began.elapsed(), locked(&self.live).switches.off.len());
        let (act, result, took_us) = (request.act.name(), outcome.name(), took.as_micros() as u64);
        tracing::warn!(act, part = %name, reason = ?request.reason, uid, pid, result, text, entries, took_us, "switch");
        Done { outcome, text, entries, took }
    }

    /// Whether nothing newer is to be taken.
    pub fn is_frozen(&self) -> bool {
        locked(&self.live).switches.is_frozen()
    }

    /// What holds.
    pub fn switches(&self) -> Switches {
        locked(&self.live).switches.clone()
    }

    /// Names of models that an operator may switch off.
    pub fn know_models(&self, names: impl Iterator<Item = String>) {
        locked(&self.live).models.extend(names);
    }

    /// Writes down what `amend` makes of the switches, and enforces it.
    fn change(&self, amend: impl FnOnce(&mut Switches, &Live) -> Judged) -> Judged {
        let journal = locked(&self.journal);
        let (text, switches) = {
            let live = locked(&self.live);
            let mut switches = live.switches.clone();
            (amend(&mut switches, &live)?, switches)
        };
        self.write(&switches)?;
        let (version, before) = {
            let mut live = locked(&self.live);
            live.switches = switches;
            let switched = live.compiled.switched(&live.switches.of_tables());
            let before = std::mem::replace(&mut live.served, switched);
            (self.publish_switched(&mut live), before)
        };
        let taken = self.wait_for_shards(version);
        // Not before: no shard is the last to have it.
        drop((before, journal));
        match taken {
            true => Ok(text),
            false => Err((
                Outcome::Failed,
                format!("it is written down and holds, but a shard has not taken it within {SHARDS_DEADLINE:?}: see /livez"),
            )),
        }
    }

    fn write(&self, switches: &Switches) -> Result<(), (Outcome, String)> {
        let directory = self.directory.as_deref().ok_or_else(|| refused(super::NO_JOURNAL.to_owned()))?;
        file::write(directory, switches).map_err(|error| {
            self.metrics.control.overlay_journal_errors.add(1);
            (Outcome::Failed, format!("nothing changed, since it cannot be written down: {error}"))
        })
    }

    fn publish_switched(&self, live: &mut Live) -> u64 {
        self.compile(live);
        live.overlaid.version += 1;
        for (number, shard) in live.shards.iter().enumerate() {
            shard.send(ToShard::Switch(live.served.near(number).clone(), live.overlaid.clone()));
        }
        self.note_switches(live);
        live.overlaid.version
    }

    /// Gauges.
    pub(super) fn note_switches(&self, live: &Live) {
        let numbers = &self.metrics.control.switches;
        for (sort, gauge) in numbers.off.iter().enumerate() {
            gauge.set(live.switches.count(sort));
        }
        numbers.pinned.set(live.switches.pin.is_some().into());
        numbers.verdicts_off.set(live.served.verdicts_off() as u64);
    }

    /// Asks the control thread, which knows how to load and adopt.
    fn pin(&self, name: &str, mark: Mark) -> Judged {
        let which = Which::parse(name).map_err(refused)?;
        let (done, answer) = channel();
        if !self.requests.pin(PinAsk { which, mark, done }) {
            return Err((Outcome::Failed, "another pin is under way: ask again in a moment".to_owned()));
        }
        match answer.recv_timeout(PIN_DEADLINE) {
            Ok(judged) => judged,
            Err(RecvTimeoutError::Timeout) => Err((
                Outcome::Failed,
                format!("it is still being loaded after {PIN_DEADLINE:?}; `verdictctl switch list` tells when it holds"),
            )),
            Err(RecvTimeoutError::Disconnected) => Err((Outcome::Failed, "the daemon ends".to_owned())),
        }
    }

    /// The control thread's part: writes the pin down, before what is pinned is adopted.
    ///
    /// # Errors
    /// When it cannot be written: then it is as it was.
    pub fn write_pin(&self, pin: Pin, mark: Mark) -> Result<(), String> {
        let _one_at_a_time = locked(&self.journal);
        let mut switches = self.switches();
        switches.pin = Some((pin, mark));
        self.write(&switches).map_err(|(_, text)| text)?;
        let mut live = locked(&self.live);
        live.switches.pin = switches.pin;
        self.note_switches(&live);
        Ok(())
    }
}

fn unpin(switches: &mut Switches) -> Judged {
    match switches.pin.take() {
        None => Err((Outcome::NotThere, "no generation is pinned".to_owned())),
        Some((pin, mark)) if switches.is_frozen() => Ok(format!("no longer pinned to {pin} ({mark}); but updates are off: thaw them too")),
        Some((pin, mark)) => Ok(format!("no longer pinned to {pin} ({mark}); what is published is taken again")),
    }
}

fn on(switches: &mut Switches, part: &Part) -> Judged {
    let Some(mark) = switches.off.remove(part) else {
        return Err((Outcome::NotThere, format!("{part} is not off")));
    };
    Ok(match (&switches.pin, part) {
        (Some((pin, _)), Part::Updates) => format!("updates: on again, were off {mark}; but it is pinned to {pin}: unpin it too"),
        _ => format!("{part}: on again, was off {mark}"),
    })
}

fn off(switches: &mut Switches, live: &Live, is_loading: bool, part: Part, mark: Mark) -> Judged {
    let before = switches.off.get(&part);
    if before.is_none() && switches.off.len() >= PARTS_MAX {
        return Err(refused(format!("{PARTS_MAX} parts are off: switch some on")));
    }
    // A name that nobody has would switch nothing off, at a time when nobody reads twice. What is off already stays nameable.
    let told = |names: Vec<&str>| {
        let more = if names.len() > NAMES_TOLD { ", …" } else { "" };
        if names.is_empty() {
            "there is none".to_owned()
        } else {
            format!("there are {}{more}", names[..names.len().min(NAMES_TOLD)].join(", "))
        }
    };
    match &part {
        Part::Feed(name) if before.is_none() => {
            let names: Vec<&str> = live.compiled.sources().map(|source| source.name).collect();
            if !names.contains(&name.as_str()) {
                return Err(refused(format!("no feed `{name}` is in what is served: {}", told(names))));
            }
        }
        Part::Model(name) if !live.models.contains(name) => {
            return Err(refused(format!("no model `{name}` is loaded: {}", told(live.models.iter().map(String::as_str).collect()))));
        }
        _ => {}
    }
    let again = before.map_or(String::new(), |before| format!(" (and was, {before})"));
    let what = match &part {
        Part::Enforcement => ": every answer is unknown, flagged monitor",
        Part::Updates if is_loading => ": nothing newer is taken, but for what is being loaded at this moment",
        Part::Updates => ": nothing newer is taken",
        Part::Overlay => ": blocks and unblocks are kept, and do not hold",
        Part::Feed(_) | Part::Rule(_) | Part::Model(_) => "",
    };
    let text = format!("{part}: off{what}, {mark}{again}");
    switches.off.insert(part, mark);
    Ok(text)
}
