//! An agent for HAProxy's SPOE: SPOP 2.0, pipelined, on the shards.
//!
//! ```text
//!  HAProxy     HELLO ─► ◄─ HELLO      NOTIFY 1 ─► NOTIFY 2 ─► ◄─ ACK 1 ◄─ ACK 2      DISCONNECT ─► ◄─ DISCONNECT
//!  frame.rs    where a frame ends     data.rs      numbers, strings, values           hello.rs      how a connection begins and ends
//!  notify.rs   messages, arguments    question.rs  which of them are keys             ack.rs        answers as variables
//! ```
//! Of what HAProxy's older engine has, neither fragmentation nor answers by another connection are offered: 3.1 has dropped both. A whole NOTIFY is
//! answered by one generation. No allocation once the buffers have grown, but for models' names.

pub mod ack;
pub mod config;
pub mod data;
pub mod frame;
pub mod hello;
pub mod mapping;
pub mod notify;
pub mod question;

pub use config::SpopConfig;
pub use mapping::Mapping;

use super::super::pipeline::{self, Pipeline, Taken, Told, Turn, rule_kind_on_wire};
use crate::driver::Output;
use crate::edge::guard::peer::Permission;
use ack::{Ack, Asked, Records};
use frame::{Frame, Kind, Status};
use hello::Hello;
use question::Question;
use verdict_simd::Backend;
use verdict_wire as wire;
use wire::Answer;

/// What is remembered of a connection between its requests.
#[derive(Debug, Default)]
pub struct Session {
    /// Of frames, once agreed upon.
    frame_bytes_max: Option<u32>,
}

/// How a request is answered once its verdicts are known.
#[derive(Debug)]
pub enum Reply {
    /// AGENT-HELLO.
    Hello(Hello),
    /// AGENT-DISCONNECT, the last frame.
    Disconnect(Status),
    /// ACK.
    Ack(Ack),
}

impl Session {
    /// How many bytes behind `input` would make the frame whole that begins there.
    pub fn missing(&self, input: &[u8]) -> usize {
        let most = frame::LENGTH_BYTES + config::FRAME_BYTES_MOST;
        frame::bytes_wanted(input).min(most).saturating_sub(input.len())
    }
}

impl Reply {
    /// Writes it behind what is there.
    pub fn write(&self, answers: &[Answer], told: &Told<'_>, output: &mut Vec<u8>) {
        match self {
            Reply::Hello(hello) => hello.answer(output),
            Reply::Disconnect(status) => hello::disconnect(output, *status),
            Reply::Ack(ack) => ack.write(answers, told, &told.edges.spop, output),
        }
    }
}

impl Records for Told<'_> {
    fn generation(&self) -> u64 {
        self.snapshot.generation()
    }

    fn rule(&self, id: u32) -> Option<(wire::RuleKind, u32)> {
        if self.models.is_some_and(|models| models.named(id).is_some()) {
            return Some((wire::RuleKind::Model, 0));
        }
        self.snapshot.describe(id).map(|known| (rule_kind_on_wire(known.rule_kind), known.ttl_s))
    }

    fn sources(&self, id: u32, each: &mut dyn FnMut(&str)) {
        if let Some((_, sources)) = self.models.and_then(|models| models.describe(id)) {
            return sources.iter().for_each(|source| each(source));
        }
        if let Some(known) = self.snapshot.describe(id) {
            known.sources().for_each(|source| each(source.name));
        }
    }
}

impl<B: Backend> Pipeline<B> {
    /// Takes the whole frames at the start of `input`.
    pub(crate) fn take_spop(
        &mut self,
        turn: &Turn<'_>,
        connection: u32,
        session: &mut Session,
        input: &[u8],
        output: &mut Output,
        late: bool,
    ) -> Taken {
        let (mut taken, mut notified) = (Taken::default(), false);
        loop {
            let bytes_max = session.frame_bytes_max.map_or(turn.edges.spop.frame_bytes_max, |bytes| bytes as usize);
            let rest = &input[taken.consumed..];
            let frame = match frame::next(rest, bytes_max) {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    // All that came is answered: now HAProxy loses nothing, or next to nothing, and goes elsewhere.
                    if turn.draining && rest.is_empty() && notified {
                        self.reply(turn, connection, Reply::Disconnect(Status::Normal));
                        taken.finished = true;
                    }
                    return taken;
                }
                Err(status) => return self.give_up(turn, connection, status, taken),
            };
            if output.unsent() > turn.limits.out_bytes_max || self.is_full() {
                taken.more = true;
                return taken;
            }
            taken.consumed += frame.bytes;
            notified |= frame.kind == Kind::Notify;
            match self.spop_frame(turn, connection, session, &frame, late) {
                Ok(true) => {}
                Ok(false) => {
                    taken.finished = true;
                    return taken;
                }
                Err(status) => return self.give_up(turn, connection, status, taken),
            }
        }
    }

    /// Whether another frame may follow.
    fn spop_frame(
        &mut self,
        turn: &Turn<'_>,
        connection: u32,
        session: &mut Session,
        frame: &Frame<'_>,
        late: bool,
    ) -> Result<bool, Status> {
        match (frame.kind, session.frame_bytes_max) {
            (Kind::Hello, None) => {
                let hello = Hello::read(frame.payload, turn.edges.spop.frame_bytes_max)?;
                turn.metrics.spop_hello.add(1);
                session.frame_bytes_max = Some(hello.frame_bytes_max as u32);
                if turn.draining && hello.healthcheck {
                    self.reply(turn, connection, Reply::Disconnect(Status::Resource));
                    return Ok(false);
                }
                self.reply(turn, connection, Reply::Hello(hello));
                Ok(!hello.healthcheck)
            }
            (Kind::Notify, _) if !turn.peer.may.has(Permission::Lookup) => Err(Status::NotPermitted),
            (Kind::Notify, Some(frame_bytes_max)) => {
                let mut question = std::mem::take(&mut self.question);
                let read = question.read(&turn.edges.spop, frame.payload);
                if let Ok(asked) = read {
                    let ack = Ack { stream: frame.stream, frame: frame.frame, frame_bytes_max, late, asked };
                    self.notified(turn, connection, &question, ack);
                }
                self.question = question;
                read.map(|_| true)
            }
            (Kind::Disconnect, _) => {
                turn.metrics.spop_disconnects.add(1);
                self.reply(turn, connection, Reply::Disconnect(Status::Normal));
                Ok(false)
            }
            (Kind::Other(_), _) => Ok(true),
            (Kind::Hello, Some(_)) | (Kind::Notify, None) => Err(Status::Invalid),
        }
    }

    fn notified(&mut self, turn: &Turn<'_>, connection: u32, question: &Question, ack: Ack) {
        turn.metrics.spop_notifies.add(1);
        if !ack.late {
            return self.ask(turn, connection, question.keys(), turn.edges.spop.budget_us, pipeline::Reply::Spop(Reply::Ack(ack)));
        }
        turn.metrics.keys_overloaded.add(ack.asked.count.into());
        let asked = Asked { count: 0, ..ack.asked };
        self.reply(turn, connection, Reply::Ack(Ack { asked, ..ack }));
    }

    fn reply(&mut self, turn: &Turn<'_>, connection: u32, reply: Reply) {
        self.ask(turn, connection, std::iter::empty(), 0, pipeline::Reply::Spop(reply));
    }

    #[cold]
    fn give_up(&mut self, turn: &Turn<'_>, connection: u32, status: Status, taken: Taken) -> Taken {
        turn.metrics.spop_refused.add(1);
        self.reply(turn, connection, Reply::Disconnect(status));
        Taken { malformed: true, ..taken }
    }
}
