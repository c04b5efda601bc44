//! Asks a snapshot as the daemon does, and says which lines are behind an answer.

use super::lists::Entry;
use crate::store::{Store, StoreError};
use std::net::IpAddr;
use verdict_keys::{Batch, Canonicalizer, Digest, Host, Kind};
use verdict_simd::Backend;
use verdict_tables::{Class, Rule, Scratch, Snapshot, Verdict, fingerprint, lookup};

/// Questions of one batch, as in a frame of the largest size.
const BATCH: usize = 4096;
/// Lines that are told of one answer.
const LINES_MAX: usize = 3;

/// Asks one snapshot.
pub struct Asker<'s, B> {
    backend: B,
    snapshot: &'s Snapshot,
    batch: Batch,
    scratch: Scratch,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The 8 bytes.
    pub verdict: Verdict,
}

impl Asked {
    /// It is malicious or suspicious.
    pub fn listed(self) -> bool {
        matches!(self.verdict.class(), Some(Class::Malicious | Class::Suspicious))
    }

    /// For people: the class, or why there is none.
    pub fn word(self) -> &'static str {
        use verdict_tables::Status;
        match (self.verdict.status(), self.verdict.class()) {
            (Some(Status::Ok), Some(class)) => class.name(),
            (Some(status), _) => status.name(),
            (None, _) => "unknown",
        }
    }
}

impl<'s, B: Backend> Asker<'s, B> {
    /// Of this snapshot.
    pub fn new(backend: B, snapshot: &'s Snapshot) -> Self {
        Self { backend, snapshot, batch: Batch::with_capacity(BATCH), scratch: Scratch::default() }
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &'s Snapshot {
        self.snapshot
    }

    /// One answer for each question, in order.
    pub fn ask<'q>(&mut self, questions: impl IntoIterator<Item = (Kind, &'q [u8])>) -> Vec<Asked> {
        let mut answers = Vec::new();
        let mut questions = questions.into_iter().peekable();
        let mut verdicts = [Verdict::default(); BATCH];
        while questions.peek().is_some() {
            self.batch.clear();
            self.batch.keep_texts(self.snapshot.reads_texts());
            for (kind, key) in questions.by_ref().take(BATCH) {
                self.batch.push(self.backend, self.snapshot.schedule(), self.snapshot.profile(), kind, key);
            }
            let verdicts = &mut verdicts[..self.batch.items().len()];
            lookup(self.backend, self.snapshot, &self.batch, &mut self.scratch, verdicts);
            answers.extend(verdicts.iter().map(|verdict| Asked { verdict: *verdict }));
        }
        answers
    }

    /// The sources behind an answer, by name.
    pub fn sources(&self, asked: Asked) -> Vec<&'s str> {
        let described = self.snapshot.describe(asked.verdict.verdict_id());
        described.map_or(Vec::new(), |described| described.sources().map(|source| source.name).collect())
    }

    /// The lines behind an answer that lists something: of every rule that could match it and says so; else the sources.
    pub fn lines(&self, entry: &Entry, asked: Asked, store: Option<&mut Store>) -> Result<Vec<String>, StoreError> {
        let mut told = Vec::new();
        if let Some(store) = store {
            for fingerprint in could_match(entry.kind, &entry.key) {
                for vote in store.votes_of(fingerprint)?.votes {
                    if told.len() < LINES_MAX && !vote.revoked && !vote.allow && Some(vote.class) == asked.verdict.class() {
                        told.push(format!("{}:{}", store.feeds()[vote.feed].file, vote.line));
                    }
                }
            }
        }
        if told.is_empty() {
            told.extend(self.sources(asked).into_iter().take(LINES_MAX).map(str::to_owned));
        }
        Ok(told)
    }
}

/// Fingerprints of the rules that can match a question; signatures apart.
fn could_match(kind: Kind, key: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    let mut push = |rule: Rule<'_>| found.extend(fingerprint(rule).ok());
    match (kind, key.len()) {
        (Kind::Ipv4, 4) => networks(IpAddr::from([key[0], key[1], key[2], key[3]]), &mut push),
        (Kind::Ipv6, 16) => networks(IpAddr::from(<[u8; 16]>::try_from(key).unwrap_or_default()), &mut push),
        (Kind::Sha256 | Kind::Sha1 | Kind::Md5, _) => {
            let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            if let Ok(digest) = Digest::parse(&hex) {
                push(Rule::File(digest));
            }
        }
        _ => web(kind, key, &mut push),
    }
    found
}

fn networks(address: IpAddr, push: &mut dyn FnMut(Rule<'_>)) {
    let (width, bits) = match address {
        IpAddr::V4(v4) => (32u8, u128::from(v4.to_bits()) << 96),
        IpAddr::V6(v6) => (128, v6.to_bits()),
    };
    for length in (0..=width).rev() {
        let network = if length == 0 { 0 } else { bits & (u128::MAX << (128 - u32::from(length))) };
        let network = if width == 32 { IpAddr::from(((network >> 96) as u32).to_be_bytes()) } else { IpAddr::from(network.to_be_bytes()) };
        push(Rule::Net { network, bits: length });
    }
}

fn web(kind: Kind, key: &[u8], push: &mut dyn FnMut(Rule<'_>)) {
    let mut canonicalizer = Canonicalizer::new();
    let (host, path_query, address) = if kind == Kind::Host {
        match canonicalizer.host(key) {
            Ok((Host::Name(name), _)) => (name.to_owned(), None, None),
            Ok((Host::Address(address), _)) => (String::new(), None, Some(address)),
            Err(_) => return,
        }
    } else {
        match canonicalizer.url(key) {
            Ok(url) => {
                let address = if let Host::Address(address) = url.host { Some(address) } else { None };
                (url.host_text.to_owned(), Some(url.path_query.to_owned()), address)
            }
            Err(_) => return,
        }
    };
    if let Some(address) = address {
        networks(address, push);
    }
    if host.is_empty() {
        return;
    }
    let ends = host.char_indices().filter(|(_, character)| *character == '.').map(|(at, _)| at + 1);
    let hosts: Vec<&str> = std::iter::once(0).chain(ends).map(|at| &host[at..]).collect();
    for (place, host) in hosts.iter().enumerate() {
        for subdomains in [false, true].into_iter().filter(|subdomains| *subdomains || place == 0) {
            push(Rule::Host { host, subdomains });
            let Some(path_query) = &path_query else { continue };
            let path = path_query.split('?').next().unwrap_or_default();
            for path_query in [path_query.as_str(), path] {
                push(Rule::Url { host, path_query, prefix: false, subdomains });
            }
            for (at, _) in path.char_indices().filter(|(_, character)| *character == '/') {
                push(Rule::Url { host, path_query: &path[..=at], prefix: true, subdomains });
            }
        }
    }
}
