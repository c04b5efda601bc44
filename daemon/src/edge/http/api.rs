//! The JSON API: what is asked, and which requests are none.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/lookup?key=K` (`&kind=url\|host\|ip\|hash`) | the verdict on one key, with the record behind it |
//! | `POST /v1/lookup` `{"keys": [{"key": K, "kind": ..}, ..]}` | verdicts on many, all of one generation |
//! | `GET /v1/explain?key=K` | how the key is read, and every rule that matches it |
//! | `GET /openapi.json` | all this, for programs |
//!
//! A parameter or field that is not known is an error: a slip of the pen must not ask another question. Nothing here changes anything.

use super::To;
use super::head::{Field, Head, Refusal};
use super::json::{self, Batch, KEY_CHARACTERS_MAX, Lookup, QUERY_CHARACTERS_MAX, Question, Said as Kind};
use super::reply::{Reply, Said};
use super::session::plain;
use crate::pipeline::{self, Pipeline};
use std::borrow::Cow;
use verdict_simd::Backend;
use verdict_wire as wire;

const OPENAPI: &str = include_str!("openapi.json");
const ONLY_GET: Refusal = Refusal { status: 405, why: "only GET here" };
const GET_OR_POST: Refusal = Refusal { status: 405, why: "only GET and POST here" };
const NOT_FOUND: Refusal = Refusal { status: 404, why: "try /auth, /v1/lookup, /v1/explain or /openapi.json" };

impl Refusal {
    /// The methods that are there, where the one asked for is not.
    pub fn allow(&self) -> &'static str {
        match *self {
            ONLY_GET => "GET, HEAD",
            GET_OR_POST => "GET, HEAD, POST",
            _ => "",
        }
    }
}

impl<B: Backend> Pipeline<B> {
    /// False if it has to wait for another turn.
    pub(super) fn api(&mut self, to: &To<'_>, head: &Head<'_>, body: &[u8]) -> bool {
        let (path, query) = head.target.split_once('?').unwrap_or((head.target, ""));
        let get = matches!(head.method, "GET" | "HEAD");
        let done = match path {
            _ if !to.turn.edges.http.api => Err(NOT_FOUND),
            "/openapi.json" if get => {
                self.say(to, Reply::Said(Said { status: 200, body: OPENAPI.as_bytes().into(), allow: "", ending: to.ending }));
                Ok(true)
            }
            "/v1/lookup" if get => question(query).map(|question| self.look_up(to, vec![question], true, 0)),
            "/v1/lookup" if head.method == "POST" => self.batch(to, head, body),
            "/v1/explain" if get => question(query).map(|question| self.tell(to, &question)),
            "/v1/lookup" => Err(GET_OR_POST),
            "/v1/explain" | "/openapi.json" => Err(ONLY_GET),
            _ => Err(NOT_FOUND),
        };
        done.unwrap_or_else(|refusal| {
            self.refuse(to, refusal);
            true
        })
    }

    fn look_up(&mut self, to: &To<'_>, mut questions: Vec<Question>, single: bool, budget_us: u32) -> bool {
        if to.late {
            to.turn.metrics.keys_overloaded.add(questions.len() as u64);
            self.say(to, Reply::Lookup(Box::new(Lookup { questions, single, late: true, ending: to.ending })));
            return true;
        }
        let keys: Vec<(verdict_keys::Kind, Vec<u8>)> = questions.iter_mut().map(Question::take_key).collect();
        let keys = keys.iter().map(|(kind, bytes)| (Some(*kind), &bytes[..]));
        let lookup = Box::new(Lookup { questions, single, late: false, ending: to.ending });
        self.ask(to.turn, to.connection, keys, budget_us, pipeline::Reply::Http(Reply::Lookup(lookup)));
        true
    }

    fn batch(&mut self, to: &To<'_>, head: &Head<'_>, body: &[u8]) -> Result<bool, Refusal> {
        if !is_json(head.content_type) {
            return Err(Refusal { status: 415, why: "Content-Type must be application/json" });
        }
        let config = &to.turn.edges.http;
        let body = plain(head, body, config.body_bytes_max);
        let batch: Batch<'_> = match serde_json::from_slice(&body) {
            Ok(batch) => batch,
            Err(error) => {
                let body = Cow::from(json::error(&format!("the body is not as /openapi.json has it: {error}")));
                self.say(to, Reply::Said(Said { status: 400, body, allow: "", ending: to.ending }));
                return Ok(true);
            }
        };
        if batch.keys.is_empty() || batch.keys.len() > config.keys_per_request_max {
            return Err(Refusal::bad("keys are none, or more than http.keys_per_request_max"));
        }
        if batch.keys.iter().any(|asked| asked.key.chars().count() > KEY_CHARACTERS_MAX) {
            return Err(Refusal::bad("a key is longer than 8192 characters"));
        }
        if batch.budget_us.fract() != 0.0 || !(0.0..=f64::from(u32::MAX)).contains(&batch.budget_us) {
            return Err(Refusal::bad("budget_us is a whole number from 0 to 4294967295"));
        }
        let questions = batch.keys.iter().map(|asked| Question::new(asked.kind, &asked.key)).collect();
        Ok(self.look_up(to, questions, false, batch.budget_us as u32))
    }

    fn tell(&mut self, to: &To<'_>, question: &Question) -> bool {
        if to.late {
            self.refuse(to, Refusal { status: 503, why: "it waited for too long" });
            return true;
        }
        let (kind, key) = question.key();
        let mut frame = Vec::new();
        if !self.explain_now(to.turn, to.connection, 0, kind as u8, key, &mut frame) {
            return false;
        }
        let explanation = wire::Frames::new(&frame).next().and_then(Result::ok);
        let Some(Ok(wire::Reply::Explanation(explanation))) = explanation.map(|frame| frame.reply()) else {
            // What we wrote we can read.
            self.refuse(to, Refusal { status: 503, why: "the explanation cannot be read" });
            return true;
        };
        let told = self.told(to.turn);
        let body = json::explained((question.text(), kind), &explanation.to_owned(), |id| told.describe(id));
        self.say(to, Reply::Said(Said { status: 200, body: body.into(), allow: "", ending: to.ending }));
        true
    }
}

fn is_json(content_type: Field<'_>) -> bool {
    let Field::One(value) = content_type else { return false };
    value.split(|byte| *byte == b';').next().is_some_and(|media| media.trim_ascii().eq_ignore_ascii_case(b"application/json"))
}

/// The key of a query: `key`, and `kind` if its look does not tell.
fn question(query: &str) -> Result<Question, Refusal> {
    let (mut key, mut kind) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = match name {
            "key" => &mut key,
            "kind" => &mut kind,
            _ => return Err(Refusal::bad("only key and kind can be asked with; & and = within a key are written %26 and %3D")),
        };
        if place.replace(unescape(value)).is_some() {
            return Err(Refusal::bad("key or kind is there twice; & and = within a key are written %26 and %3D"));
        }
    }
    let key = key.ok_or(Refusal::bad("key is missing: /v1/lookup?key=example.com"))?;
    let key = String::from_utf8_lossy(&key);
    if key.is_empty() || key.chars().count() > QUERY_CHARACTERS_MAX {
        return Err(Refusal::bad("key has 1 to 2048 characters here; POST takes longer ones"));
    }
    let kind = kind.map_or(Some(Kind::Auto), |kind| Kind::named(&kind)).ok_or(Refusal::bad("kind is one of auto, url, host, ip, hash"))?;
    Ok(Question::new(kind, &key))
}

/// `+` is a space, `%41` is `A`; an escape that is none is itself.
fn unescape(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16));
    let (bytes, mut plain, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let (byte, step) = match (bytes[at], digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => ((high * 16 + low) as u8, 3),
            (b'+', ..) => (b' ', 1),
            (byte, ..) => (byte, 1),
        };
        plain.push(byte);
        at += step;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_one_key_and_a_kind_at_most() {
        let key = |query: &str| question(query).map(|question| format!("{:?}", question.key())).map_err(|refusal| refusal.status);
        assert_eq!(key("key=a.test").unwrap(), format!("{:?}", (verdict_keys::Kind::Host, b"a.test")));
        assert_eq!(
            key("key=http%3A%2F%2Fa.test/%3Fx%3D1%26y+z").unwrap(),
            format!("{:?}", (verdict_keys::Kind::Url, b"http://a.test/?x=1&y z"))
        );
        assert_eq!(key("kind=host&key=192.0.2.1").unwrap(), format!("{:?}", (verdict_keys::Kind::Host, b"192.0.2.1")));
        assert_eq!(key("kind=ip&key=a").unwrap(), format!("{:?}", (verdict_keys::Kind::Ipv4, b"")));
        for query in
            ["", "kind=url", "key=", "key=a&key=b", "key=a&x=b", "key=http://a.test/?x=1&y=2", "key=a&kind=urls", "key=a&kind=url&kind=url"]
        {
            assert_eq!(key(query), Err(400), "{query}");
        }
    }

    #[test]
    fn escapes_are_read_once() {
        assert_eq!(unescape("%41%2b+%2541%zz%4"), b"A+ %41%zz%4");
    }
}
