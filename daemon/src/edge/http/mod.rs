//! HTTP/1.1 for balancers and people: may this request pass (`/auth...`), and what is known of this key (`/v1/...`).
//!
//! ```text
//!  bytes ─ session.rs ─► whole requests ─ head.rs, body.rs: read strictly
//!                              ├ /auth...        authz.rs: URL and keys ──┐ keys into      reply.rs: 200, 403 or 503 with X-Verdict-*
//!                              ├ /v1/lookup      json.rs: questions ──────┘ the batch ───► json.rs: answers
//!                              └ /v1/explain, /openapi.json, what is wrong ──────────────► at once, in its turn
//! ```
//! The statuses of authorization are 200, 403 and 503, whatever happens: a balancer reads anything else in its own way. A request that is no HTTP is refused
//! with 4xx or 5xx and its connection; no balancer reads one of these as *allow*.

mod api;
mod authz;
mod body;
mod config;
mod head;
pub(crate) mod json;
mod reply;
mod session;

pub use config::{Act, Ask, HttpConfig, SrcFrom};
pub use reply::Reply;
pub use session::Session;

use crate::driver::Output;
use crate::edge::guard::peer::Permission;
use crate::pipeline::{self, Pipeline, Taken, Turn};
use authz::{Form, Trouble};
use head::{Head, Refusal};
use reply::{Authorization, Ending, Instead, Said};
use session::Step;
use std::borrow::Cow;
use verdict_simd::Backend;

const NOT_PERMITTED: Refusal = Refusal { status: 403, why: "this client may not ask that" };

/// What a client needs for this path.
fn permission(target: &str) -> Permission {
    if target.starts_with("/v1/explain") { Permission::Explain } else { Permission::Lookup }
}

/// What the shard keeps for the next request of any connection.
#[derive(Debug, Default)]
pub struct Scratch {
    keys: authz::Scratch,
}

/// Where an answer goes.
struct To<'a> {
    turn: &'a Turn<'a>,
    connection: u32,
    ending: Ending,
    late: bool,
}

impl<B: Backend> Pipeline<B> {
    /// Takes the whole requests at the start of `input`.
    pub(crate) fn take_http(
        &mut self,
        turn: &Turn<'_>,
        connection: u32,
        session: &mut Session,
        input: &[u8],
        output: &mut Output,
        late: bool,
    ) -> Taken {
        let mut taken = Taken::default();
        let mut to = To { turn, connection, ending: Ending::default(), late };
        loop {
            let rest = &input[taken.consumed..];
            let step = session.next(rest, turn.edges.http.body_bytes_max);
            let full = self.is_full() || output.unsent() > turn.limits.out_bytes_max;
            match step {
                Ok(Step::Wait) => return taken,
                Ok(Step::Empty) => taken.consumed += 2,
                Ok(Step::Continue) => self.say(&to, Reply::Continue),
                _ if full => {
                    taken.more = true;
                    return taken;
                }
                Ok(Step::Request { head, body, bytes }) => {
                    to.ending = Ending { head: head.method == "HEAD", close: head.close };
                    if !self.http_request(&to, &head, body) {
                        taken.more = true;
                        return taken;
                    }
                    session.accept();
                    taken.consumed += bytes;
                    if head.close || turn.draining {
                        taken.finished = true;
                        return taken;
                    }
                }
                Err(refusal) => {
                    to.ending = Ending { head: false, close: true };
                    self.refuse(&to, refusal);
                    taken.malformed = true;
                    return taken;
                }
            }
        }
    }

    /// False if it has to wait for another turn.
    fn http_request(&mut self, to: &To<'_>, head: &Head<'_>, body: &[u8]) -> bool {
        if !to.turn.peer.may.has(permission(head.target)) {
            self.refuse(to, NOT_PERMITTED);
            return true;
        }
        match Form::of(head.target) {
            Some(form) => self.authorize(to, form, head),
            None => return self.api(to, head, body),
        }
        true
    }

    fn authorize(&mut self, to: &To<'_>, form: Form, head: &Head<'_>) {
        let config = &to.turn.edges.http;
        let (policy, explains) = (config.policy(), form.shows_bodies(&head.told));
        let mut authorization = Authorization { asked: Default::default(), instead: None, policy, explains, ending: to.ending };
        // Its buffers are needed while the batch is written to.
        let mut keys = std::mem::take(&mut self.http.keys);
        keys.source = to.turn.peer.source;
        if to.late {
            to.turn.metrics.keys_overloaded.add(config.ask.len() as u64);
            authorization.instead = Some(Instead::Late);
        } else if let Err(trouble) = keys.fill(config, form, head.target, &head.told) {
            if matches!(trouble, Trouble::Unreadable(_)) {
                to.turn.metrics.keys_unparseable.add(1);
            }
            authorization.instead = Some(Instead::Trouble(trouble));
        }
        if authorization.instead.is_some() {
            self.say(to, Reply::Authorization(authorization));
        } else {
            authorization.asked = keys.asked();
            let reply = pipeline::Reply::Http(Reply::Authorization(authorization));
            self.ask(to.turn, to.connection, keys.keys(), 0, reply);
        }
        self.http.keys = keys;
    }

    /// What needs no lookup, in its turn all the same.
    fn say(&mut self, to: &To<'_>, reply: Reply) {
        self.ask(to.turn, to.connection, std::iter::empty(), 0, pipeline::Reply::Http(reply));
    }

    #[cold]
    fn refuse(&mut self, to: &To<'_>, refusal: Refusal) {
        let body = Cow::from(json::error(refusal.why));
        self.say(to, Reply::Said(Said { status: refusal.status, body, allow: refusal.allow(), ending: to.ending }));
    }
}
