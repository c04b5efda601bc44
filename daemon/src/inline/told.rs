//! What models say of one key, for people: every model that is asked, its heads, and the pieces of the text that count most.
//!
//! ```text
//! model url 3 (enforce) says suspicious, score 98: phishing 4.12 (suspicious from 3.90), malware -6.50 (from 4.80)
//!   strongest: "secure-login" +2.31, "verify" +0.90
//! ```
//! How much a piece counts is how far the head's logit falls when the text is asked about without it: one more question a piece, so there is a bound on all
//! pieces of an explanation.

use super::{Inline, heard};
use std::fmt::Write;
use verdict_keys::Spelling;
use verdict_models::native::{HEADS_MAX, Scorer};
use verdict_models::registry::{Entry, Says, Subject, tld};
use verdict_simd::Backend;

/// Pieces that are tried, over all models, and those that are told of each.
const PIECES_MAX: usize = 64;
const PIECES_TOLD: usize = 5;

impl Inline {
    /// A line or two for each model that is asked about this text.
    pub fn tell<B: Backend>(&mut self, backend: B, text: &Spelling<'_>, told: &mut String) {
        let served = self.served.clone();
        let subject = if text.is_url { Subject::Url } else { Subject::Host };
        let mut waiting: Vec<u16> = served.node().router().first(subject, tld(text.host)).to_vec();
        let mut pieces_left = PIECES_MAX;
        while !waiting.is_empty() {
            let place = waiting.remove(0);
            let (Some((model, loaded)), Some(Some(scorer))) = (served.model(place), self.scorers.get_mut(usize::from(place))) else {
                continue;
            };
            let logits = logits(backend, scorer, text.host, text.rest);
            let logits = &logits[..loaded.evaluator.heads()];
            let said = heard(&served, place, model, logits, text.host);
            let damped = if said.damped { ", weakened: the host is popular" } else { "" };
            let (says, score) = (name(said.word.says), said.word.score);
            let _ = write!(told, "model {} {} ({}) says {says}, score {score}{damped}:", model.name, model.version, model.mode.name());
            heads(model, logits, told);
            strongest(backend, scorer, text, (usize::from(said.word.head), logits), &mut pieces_left, told);
            waiting.extend(served.node().router().after(place, logits, tld(text.host)));
            waiting.sort_unstable();
        }
    }
}

fn logits<B: Backend>(backend: B, scorer: &mut Scorer, host: &[u8], rest: &[u8]) -> [f32; HEADS_MAX] {
    let (mut sums, mut logits) = ([0; HEADS_MAX], [0.0; HEADS_MAX]);
    let heads = scorer.evaluator().heads();
    scorer.score(backend, std::iter::once((host, rest)), &mut sums[..heads]);
    for (head, logit) in logits[..heads].iter_mut().enumerate() {
        *logit = scorer.evaluator().logit(head, sums[head]);
    }
    logits
}

fn heads(model: &Entry, logits: &[f32], told: &mut String) {
    for (number, (head, logit)) in model.heads.iter().zip(logits).enumerate() {
        let _ = write!(told, "{} {} {logit:.2}", if number == 0 { "" } else { "," }, head.name);
        if let Some(from) = head.suspicious {
            let _ = write!(told, " (suspicious from {from:.2})");
        }
    }
    told.push('\n');
}

fn strongest<B: Backend>(
    backend: B,
    scorer: &mut Scorer,
    text: &Spelling<'_>,
    (head, whole): (usize, &[f32]),
    pieces_left: &mut usize,
    told: &mut String,
) {
    let mut found: Vec<(f32, &[u8])> = Vec::new();
    let pieces = pieces(text.host).map(|piece| (true, piece)).chain(pieces(text.rest).map(|piece| (false, piece)));
    for (of_host, (from, to)) in pieces.take(*pieces_left) {
        *pieces_left -= 1;
        let part = if of_host { text.host } else { text.rest };
        let without = [&part[..from], &part[to..]].concat();
        let logits = if of_host { logits(backend, scorer, &without, text.rest) } else { logits(backend, scorer, text.host, &without) };
        found.push((whole[head] - logits[head], &part[from..to]));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut separator = "  strongest: ";
    for (counts, piece) in found.iter().take(PIECES_TOLD).filter(|(counts, _)| *counts > 0.0) {
        let _ = write!(told, "{separator}\"{}\" +{counts:.2}", piece.escape_ascii());
        separator = ", ";
    }
    if separator == ", " {
        told.push('\n');
    }
}

/// Runs of letters, digits and hyphens, as places.
fn pieces(text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let of_piece = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        at += text[at..].iter().position(of_piece)?;
        let from = at;
        at += text[at..].iter().position(|byte| !of_piece(byte)).unwrap_or(text.len() - at);
        Some((from, at))
    })
}

pub(super) fn name(says: Says) -> &'static str {
    match says {
        Says::Nothing => "nothing",
        Says::Suspicious => "suspicious",
        Says::Malicious => "malicious",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_words_with_their_hyphens() {
        let text = b"a-b.example/..x?y=12";
        let found: Vec<&[u8]> = pieces(text).map(|(from, to)| &text[from..to]).collect();
        assert_eq!(found, [&b"a-b"[..], b"example", b"x", b"y", b"12"]);
        assert_eq!(pieces(b"./?").count(), 0);
    }
}
