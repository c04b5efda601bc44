//! ACK: the answers of one NOTIFY as variables of HAProxy's.
//!
//! ```text
//!  payload  action*      set-var    1 │ 3 │ scope u8 │ name string │ typed value      unset-var    2 │ 2 │ scope u8 │ name string
//! ```
//! Of several keys the worst answers: malicious, suspicious, clean, unknown; the higher score among equals; the first among those. `status` is *ok* only
//! if every key was judged. Where none was, `class` is unset: what is not judged is not *unknown*. Actions that the frame has no room for are left out, so
//! they stand in the order of the configuration.

use super::config::{Scope, Variable};
use super::data::{Value, put_value};
use super::frame::{ACK, LENGTH_BYTES, begin, finish};
use super::mapping::Mapping;
use std::io::Write;
use verdict_wire as wire;
use wire::{Answer, Flags};

/// Keys of one NOTIFY; more are not asked, and `status` says so.
pub const KEYS_MAX: usize = 16;

/// A joined text: its length stands in one byte.
const JOINED_BYTES_MAX: usize = 239;

const SET_VAR: u8 = 1;
const UNSET_VAR: u8 = 2;

/// What a NOTIFY asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// By number, for each key.
    pub arguments: [u8; KEYS_MAX],
    /// How many keys.
    pub count: u8,
    /// There were more.
    pub too_many: bool,
    /// Where variables are set.
    pub scope: Scope,
}

/// Everything that an ACK needs to know beside the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Of the NOTIFY.
    pub stream: u64,
    /// Of the NOTIFY.
    pub frame: u64,
    /// As agreed.
    pub frame_bytes_max: u32,
    /// It waited for too long, and was not asked.
    pub late: bool,
    /// What was.
    pub asked: Asked,
}

/// Where verdict ids are looked up.
pub trait Records {
    /// Of the generation that answered.
    fn generation(&self) -> u64;
    /// The kind of rule behind an id, and the seconds for which its verdict may be kept.
    fn rule(&self, id: u32) -> Option<(wire::RuleKind, u32)>;
    /// The names of the sources behind an id.
    fn sources(&self, id: u32, each: &mut dyn FnMut(&str));
}

/// The answer that speaks for all.
struct Worst {
    status: &'static str,
    /// With the number of its argument.
    answer: Option<(Answer, u8)>,
}

impl Worst {
    fn of(ack: &Ack, answers: &[Answer]) -> Self {
        let mut status = if ack.late {
            Some(wire::Status::Overloaded)
        } else if ack.asked.too_many {
            Some(wire::Status::Unsupported)
        } else {
            None
        };
        let mut worst: Option<(Answer, u8)> = None;
        for (answer, argument) in answers.iter().zip(ack.asked.arguments) {
            let judged = answer.status() == wire::Status::Ok;
            status = status.max(Some(answer.status()));
            let weight = |answer: &Answer| (answer.class(), answer.score());
            if judged && worst.is_none_or(|(before, _)| weight(answer) > weight(&before)) {
                worst = Some((*answer, argument));
            }
        }
        Worst { status: status.map_or("none", wire::Status::name), answer: worst }
    }
}

impl Ack {
    /// Appends the frame.
    pub fn write(&self, answers: &[Answer], records: &impl Records, mapping: &Mapping, out: &mut Vec<u8>) {
        let start = begin(out, ACK, self.stream, self.frame);
        let mut actions = Actions { out, start, bytes_max: self.frame_bytes_max as usize, scope: self.asked.scope };
        let worst = Worst::of(self, answers);
        for variable in &mapping.variables {
            match *variable {
                Variable::Each => {
                    for (answer, argument) in answers.iter().zip(self.asked.arguments) {
                        actions.each(*answer, mapping.name(argument));
                    }
                }
                Variable::Status => actions.set(&["status"], Value::Text(worst.status.as_bytes())),
                Variable::Generation => actions.write(&["generation"], |out| {
                    let _ = write!(out, "{:016x}", records.generation()); // a vector takes everything
                }),
                variable => match worst.answer {
                    Some((answer, argument)) => actions.told(variable, answer, mapping.name(argument), records),
                    None => actions.unset(variable.name()),
                },
            }
        }
        finish(out, start);
    }
}

/// The actions of one frame, as many as it has room for.
struct Actions<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    bytes_max: usize,
    scope: Scope,
}

impl Actions<'_> {
    fn told(&mut self, variable: Variable, answer: Answer, argument: &str, records: &impl Records) {
        let name = [variable.name()];
        let id = answer.id();
        match variable {
            Variable::Class => self.set(&name, Value::Text(answer.class().name().as_bytes())),
            Variable::Score => self.set(&name, Value::Number(answer.score().into())),
            Variable::Categories => self.write(&name, |out| answer.categories().names().for_each(|text| join(out, text))),
            Variable::Flags => self.write(&name, |out| answer.flags().names().for_each(|text| join(out, text))),
            Variable::Key => self.set(&name, Value::Text(argument.as_bytes())),
            Variable::Source => {
                let mut first = true;
                self.write(&name, |out| {
                    sources(answer, records, &mut |text| {
                        if std::mem::take(&mut first) {
                            join(out, text)
                        }
                    })
                });
            }
            Variable::Sources => self.write(&name, |out| sources(answer, records, &mut |text| join(out, text))),
            Variable::Rule => match records.rule(id) {
                Some((rule, _)) => self.set(&name, Value::Text(rule.name().as_bytes())),
                None => self.unset(variable.name()),
            },
            Variable::Ttl => match records.rule(id) {
                Some((_, ttl_s)) => self.set(&name, Value::Number(ttl_s.into())),
                None => self.unset(variable.name()),
            },
            Variable::Status | Variable::Generation | Variable::Each => {}
        }
    }

    fn each(&mut self, answer: Answer, name: &str) {
        if answer.status() == wire::Status::Ok {
            self.set(&[name, "_class"], Value::Text(answer.class().name().as_bytes()));
            self.set(&[name, "_score"], Value::Number(answer.score().into()));
        } else {
            self.set(&[name, "_class"], Value::Text(answer.status().name().as_bytes()));
        }
    }

    fn set(&mut self, name: &[&str], value: Value<'_>) {
        self.act(SET_VAR, 3, name, |out| put_value(out, value));
    }

    fn unset(&mut self, name: &str) {
        self.act(UNSET_VAR, 2, &[name], |_| {});
    }

    /// A text of up to `JOINED_BYTES_MAX` bytes that is written where it is sent from.
    fn write(&mut self, name: &[&str], text: impl FnOnce(&mut Joined<'_>)) {
        self.act(SET_VAR, 3, name, |out| {
            put_value(out, Value::Text(b""));
            let length = out.len() - 1;
            let mut joined = Joined { start: out.len(), out };
            text(&mut joined);
            let Joined { start, out } = joined;
            out[length] = (out.len() - start) as u8;
        });
    }

    /// One action, or none where it does not fit.
    fn act(&mut self, action: u8, arguments: u8, name: &[&str], value: impl FnOnce(&mut Vec<u8>)) {
        let before = self.out.len();
        self.out.extend_from_slice(&[action, arguments, self.scope as u8, name.iter().map(|part| part.len()).sum::<usize>() as u8]);
        name.iter().for_each(|part| self.out.extend_from_slice(part.as_bytes()));
        value(self.out);
        if self.out.len() - self.start - LENGTH_BYTES > self.bytes_max {
            self.out.truncate(before);
        }
    }
}

/// A text that grows to `JOINED_BYTES_MAX`.
struct Joined<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
}

impl Write for Joined<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Appends `,text`, whole or not at all.
fn join(joined: &mut Joined<'_>, text: &str) {
    let bytes = joined.out.len() - joined.start;
    let comma = usize::from(bytes > 0);
    if bytes + comma + text.len() <= JOINED_BYTES_MAX {
        joined.out.extend_from_slice(&b","[..comma]);
        joined.out.extend_from_slice(text.as_bytes());
    }
}

/// What an operator blocked by hand has no record, and one source.
fn sources(answer: Answer, records: &impl Records, each: &mut dyn FnMut(&str)) {
    match answer.id() {
        0 if answer.flags().contains(Flags::FROM_DELTA) => each("operator"),
        0 => {}
        id => records.sources(id, each),
    }
}

const _: () = assert!(64 + "_class".len() < 240, "the length of a name stands in one byte");
