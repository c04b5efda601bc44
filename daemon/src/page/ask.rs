//! `/explain?key=…`: one key, told by a shard as EXPLAIN tells it, with the names of the feeds that say so.
//!
//! ```text
//!  admin ── kind by its look ──► mailbox ──► shard: explains between two turns ──► EXPLANATION and its snapshot ──► JSON, as /v1/explain has it
//! ```
//! The shard decides, so the answer is what whoever asks it gets: overlay, switches and models included. One question at a time is under way, so
//! that the admin listener cannot be made to load a shard: 14 µs of it for each question.

use crate::control::State;
use crate::edge::http::json;
use crate::mailbox::ToShard;
use crate::pipeline::describe;
use crossbeam::channel::{Receiver, TryRecvError, bounded};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};
use verdict_keys::{Kind, Question};
use verdict_tables::Snapshot;
use verdict_wire::{Explained, Frames, Reply};

/// A shard looks into its mailbox between turns.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Longer keys are refused by the protocol too.
const KEY_BYTES_MAX: usize = verdict_wire::KEY_BYTES_MAX;

/// What a shard sends back.
pub struct Told {
    /// An EXPLANATION.
    pub frame: Vec<u8>,
    /// What it is of.
    pub snapshot: Arc<Snapshot>,
}

/// A key to be asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    text: String,
    kind: Kind,
    key: Vec<u8>,
}

impl Asked {
    /// From the query of a request: `key=` and percent-encoded text.
    ///
    /// # Errors
    /// Why it is no question.
    pub fn of(query: &str) -> Result<Self, String> {
        let key = query.split('&').find_map(|pair| pair.strip_prefix("key=")).ok_or("a key is missing: /explain?key=example.test")?;
        let text = decoded(key).ok_or("the key is not percent-encoded UTF-8")?;
        if text.len() > KEY_BYTES_MAX {
            return Err(format!("the key has more than {KEY_BYTES_MAX} bytes"));
        }
        let question = Question::detect(&text).map_err(|reason| format!("the key is none: {reason}"))?;
        let (kind, key) = question.key().ok_or("that is an address prefix: ask for one address of it")?;
        let key = key.as_ref().to_vec();
        Ok(Asked { text, kind, key })
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            b'+' => b' ',
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

thread_local! {
    static UNDER_WAY: Cell<bool> = const { Cell::new(false) };
}

/// Asks the first shard. The document, or status and text of a refusal.
pub async fn answer(asked: Asked, state: &State) -> Result<String, (u16, String)> {
    let mailbox = state.asked_of.get().ok_or((503, "no shard is there yet\n".to_owned()))?;
    if UNDER_WAY.replace(true) {
        return Err((503, "another key is being explained: ask again\n".into()));
    }
    let _end = End;
    let kind = asked.kind;
    let (reply, told) = bounded(1);
    mailbox.send(ToShard::Explain { kind: kind as u8, key: asked.key, reply });
    let told = wait(&told).await.ok_or((503, "the shard does not answer\n".to_owned()))?;
    let explained = explained(&told.frame).ok_or((500, "the explanation cannot be read: a defect\n".to_owned()))?;
    let body = json::explained((&asked.text, kind), &explained, |id| describe(&told.snapshot, id));
    String::from_utf8(body).map_err(|_| (500, "the explanation is no text: a defect\n".into()))
}

/// Past the deadline of the request its future is dropped, wherever it is.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        UNDER_WAY.set(false);
    }
}

async fn wait(told: &Receiver<Told>) -> Option<Told> {
    let until = Instant::now() + PATIENCE;
    loop {
        match told.try_recv() {
            Ok(told) => return Some(told),
            Err(TryRecvError::Empty) if Instant::now() < until => crate::tasks::sleep(LOOK_EVERY).await,
            Err(_) => return None,
        }
    }
}

fn explained(frame: &[u8]) -> Option<Explained> {
    match Frames::within(frame, verdict_wire::FRAME_BYTES_MAX).next()?.ok()?.reply().ok()? {
        Reply::Explanation(explanation) => Some(explanation.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_by_their_look_and_what_is_none_says_why() {
        let check = |query: &str, text: &str, kind, key: &[u8]| {
            assert_eq!(Asked::of(query), Ok(Asked { text: text.into(), kind, key: key.to_vec() }), "{query}");
        };
        check("key=evil.test", "evil.test", Kind::Host, b"evil.test");
        check("x=1&key=http%3A%2F%2Fa.test%2F%3Fb%3D%26c", "http://a.test/?b=&c", Kind::Url, b"http://a.test/?b=&c");
        check("key=192.0.2.7", "192.0.2.7", Kind::Ipv4, &[192, 0, 2, 7]);
        for (query, why) in [
            ("", "missing"),
            ("key=", "none"),
            ("key=%", "percent"),
            ("key=%ff", "percent"),
            ("key=%4", "percent"),
            ("key=192.0.2.0/24", "prefix"),
        ] {
            let error = Asked::of(query).unwrap_err();
            assert!(error.contains(why), "{query}: {error}");
        }
        assert!(Asked::of(&format!("key={}", "a".repeat(KEY_BYTES_MAX + 1))).unwrap_err().contains("bytes"));
    }
}
