//! Requests for load and benches: real URL strings, listed and unlisted in a stated share, or keys of a mix of kinds.

use verdict_keys::{Canonicalizer, Kind};

use crate::data::{Corpus, Meant};
use crate::fleet::Pool;
use crate::frame::{self, FRAME_BYTES_MAX, HEAD_BYTES};
use crate::questions::{self, Questions};
use crate::rules::RuleSet;
use crate::seed::Rng;

/// Frames of `batch` questions each, cut from a list of questions that is used in turn.
pub fn frames(questions: &Questions, batch: usize, count: usize) -> Pool {
    let mut pool = Pool::default();
    let mut next = 0;
    for _ in 0..count {
        let (mut indices, mut bytes) = (Vec::with_capacity(batch), HEAD_BYTES);
        while indices.len() < batch {
            let at = next % questions.len();
            bytes += frame::question_bytes(questions.get(at));
            if bytes > FRAME_BYTES_MAX {
                break;
            }
            indices.push(at);
            next += 1;
        }
        pool.push(indices.len(), |out| frame::lookup(out, 0, indices.iter().map(|&at| questions.get(at))));
    }
    pool
}

/// Questions of one kind or of all, about these rules.
pub fn questions_of(kind: Option<Kind>, corpus: &Corpus, set: &RuleSet, count: usize, rng: &Rng) -> Questions {
    let mut wanted = Questions::default();
    let mut round = 0;
    while wanted.len() < count && round < 64 {
        let some = questions::about(set, &corpus.benign, count, &rng.fork(&format!("round {round}")));
        for (found, bytes) in some.iter().filter(|(found, _)| kind.is_none_or(|kind| kind as u8 == *found)) {
            if wanted.len() < count {
                wanted.push(found, bytes);
            }
        }
        round += 1;
    }
    wanted
}

/// URL strings that any server can hold as keys: at most 250 bytes, no spaces or controls (the limits of memcached's text protocol).
pub struct UrlStrings {
    /// In the table, and in the peer's cache.
    pub listed: Vec<Box<str>>,
    /// In neither.
    pub unlisted: Vec<Box<str>>,
}

impl UrlStrings {
    /// Distinct listed URLs; every other one, and all benign URLs that are not listed, stay out of the table.
    pub fn of(corpus: &Corpus) -> Self {
        let mut seen = std::collections::HashSet::new();
        // Whole URLs that any server can be asked, and that have a verdict: a few rows of the lists are no URL of the web.
        let mut canonicalizer = Canonicalizer::new();
        let mut fits = |text: &str| {
            let plain = text.len() <= 250 && text.contains("://") && text.bytes().all(|byte| byte.is_ascii_graphic());
            plain && canonicalizer.url(text.as_bytes()).is_ok()
        };
        let mut strings = UrlStrings { listed: Vec::new(), unlisted: Vec::new() };
        for row in corpus.indicators.iter().filter(|row| row.meant == Meant::Url) {
            if fits(&row.text) && seen.insert(&*row.text) {
                let side = if seen.len().is_multiple_of(2) { &mut strings.listed } else { &mut strings.unlisted };
                side.push(row.text.clone());
            }
        }
        strings
    }

    /// `count` strings, half of them listed, in a seeded order.
    pub fn mixed(&self, count: usize, rng: &mut Rng) -> Vec<&str> {
        let mut pick = || {
            let side = if rng.one_in(2) { &self.listed } else { &self.unlisted };
            &**rng.pick(side)
        };
        (0..count).map(|_| pick()).collect()
    }

    /// Mean length in bytes.
    pub fn mean_bytes(&self) -> f64 {
        let all = self.listed.iter().chain(&self.unlisted);
        all.clone().map(|text| text.len()).sum::<usize>() as f64 / all.count().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_hold_the_asked_batch_and_stay_within_the_protocol() {
        let mut questions = Questions::default();
        questions.push(1, &[b'a'; 8_000]);
        assert_eq!(frames(&questions, 100, 3).keys_per_request(), 100.0);
        let pool = frames(&questions, 4_096, 2);
        assert!(pool.bytes_per_request() <= FRAME_BYTES_MAX as f64 && pool.keys_per_request() > 100.0);
    }

    #[test]
    fn url_strings_are_distinct_and_split_in_two() {
        let strings = UrlStrings::of(&Corpus::generated(5_000, &Rng::new(2)));
        let all: std::collections::HashSet<_> = strings.listed.iter().chain(&strings.unlisted).collect();
        assert_eq!(all.len(), strings.listed.len() + strings.unlisted.len());
        assert!(strings.listed.len().abs_diff(strings.unlisted.len()) <= 1 && all.len() > 500);
        assert!(strings.mean_bytes() > 10.0);
    }

    #[test]
    fn questions_of_one_kind_are_of_that_kind() {
        let corpus = Corpus::generated(500, &Rng::new(2));
        let set = RuleSet::from_corpus(&corpus);
        let questions = questions_of(Some(Kind::Sha1), &corpus, &set, 300, &Rng::new(3));
        assert_eq!(questions.len(), 300);
        assert!(questions.iter().all(|(kind, _)| kind == Kind::Sha1 as u8));
    }
}
