//! The JSON API's forms. They are a promise: keys are added, never renamed or removed. openapi.json describes them, and the words are those of
//! `verdictctl lookup --json`. The live page's `/explain` is the API's explanation (page/ask.rs).

use super::reply::Ending;
use crate::pipeline::{Told, kind_name};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::IpAddr;
use verdict_keys::{Digest, Kind};
use verdict_wire::{Answer, Description, Explained, ExplainedMatch, ExplanationFlags, MatchFlags, MatchOn, Status};

/// Characters of a key: no URL is longer (`verdict_keys::URL_BYTES_MAX`). In a query each may be written as twelve bytes, and a head is bounded.
pub const KEY_CHARACTERS_MAX: usize = 8192;
/// The same in a query.
pub const QUERY_CHARACTERS_MAX: usize = 2048;

/// What a key is said to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Said {
    /// By its look.
    #[default]
    Auto,
    /// A URL, with or without a scheme.
    Url,
    /// A host name or address as a host.
    Host,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A file's digest in hexadecimal: SHA-256, SHA-1 or MD5.
    Hash,
}

impl Said {
    /// By its name.
    pub fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"auto" => Said::Auto,
            b"url" => Said::Url,
            b"host" => Said::Host,
            b"ip" => Said::Ip,
            b"hash" => Said::Hash,
            _ => return None,
        })
    }
}

/// One key of a request.
#[derive(Debug)]
pub struct Question {
    /// As it was asked.
    text: String,
    kind: Kind,
    /// As LOOKUP has it; of no key of its kind if it is none.
    bytes: Vec<u8>,
}

impl Question {
    /// A key that cannot be what it is said to be gets the answer *unparseable*, as every other that cannot be read.
    pub fn new(said: Said, text: &str) -> Self {
        let (kind, bytes) = match said {
            Said::Url => (Kind::Url, text.as_bytes().to_vec()),
            Said::Host => (Kind::Host, text.as_bytes().to_vec()),
            Said::Ip => match text.trim().parse() {
                Ok(IpAddr::V4(address)) => (Kind::Ipv4, address.octets().to_vec()),
                Ok(IpAddr::V6(address)) => (Kind::Ipv6, address.octets().to_vec()),
                Err(_) => (Kind::Ipv4, Vec::new()),
            },
            Said::Hash => match Digest::parse(text.trim()) {
                Ok(digest) => (digest.kind(), digest.as_bytes().to_vec()),
                Err(_) => (Kind::Sha256, Vec::new()),
            },
            Said::Auto => match verdict_keys::Question::detect(text).map(|found| found.key()) {
                Ok(Some((kind, key))) => (kind, key.as_ref().to_vec()),
                // A prefix is a rule, not a question.
                Ok(None) => (Kind::Ipv4, Vec::new()),
                Err(_) => (Kind::Host, Vec::new()),
            },
        };
        Question { text: text.to_owned(), kind, bytes }
    }

    /// Its key goes into the batch; what is left of it goes into the reply.
    pub fn take_key(&mut self) -> (Kind, Vec<u8>) {
        (self.kind, std::mem::take(&mut self.bytes))
    }

    /// As it was asked.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Kind and bytes as LOOKUP has them.
    pub fn key(&self) -> (Kind, &[u8]) {
        (self.kind, &self.bytes)
    }
}

/// The body of a POST.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch<'a> {
    /// What is asked.
    #[serde(borrow)]
    pub keys: Vec<Asked<'a>>,
    /// Microseconds that models may take; 0 is as configured. A whole number, which JSON may write as `5.0`.
    #[serde(default)]
    pub budget_us: f64,
}

/// One key of a POST.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked<'a> {
    /// What it is said to be.
    #[serde(default)]
    pub kind: Said,
    /// Its text.
    #[serde(borrow)]
    pub key: Cow<'a, str>,
}

/// A request of the API that waits for its answers.
#[derive(Debug)]
pub struct Lookup {
    /// What was asked.
    pub questions: Vec<Question>,
    /// One key was asked for by GET, so one object is the answer.
    pub single: bool,
    /// It waited for too long, and nothing was asked.
    pub late: bool,
    /// How the response ends.
    pub ending: Ending,
}

impl Lookup {
    /// The body of the response.
    pub fn render(&self, answers: &[Answer], told: &Told<'_>) -> Vec<u8> {
        let overloaded = Answer::without_verdict(Status::Overloaded);
        let answers = answers.iter().copied().chain(std::iter::repeat_n(overloaded, if self.late { self.questions.len() } else { 0 }));
        let answers: Vec<AnswerJson<'_>> =
            self.questions.iter().zip(answers).map(|(question, answer)| AnswerJson::new(question, answer, told)).collect();
        let generation = format!("{:016x}", told.snapshot.generation());
        match (self.single, answers.first()) {
            (true, Some(answer)) => render(&Single { answer, generation }),
            _ => render(&Many { generation, answers }),
        }
    }
}

#[derive(Serialize)]
struct Single<'a> {
    #[serde(flatten)]
    answer: &'a AnswerJson<'a>,
    generation: String,
}

#[derive(Serialize)]
struct Many<'a> {
    generation: String,
    answers: Vec<AnswerJson<'a>>,
}

#[derive(Serialize)]
struct AnswerJson<'a> {
    question: &'a str,
    kind: &'static str,
    status: &'static str,
    /// Null unless the status is ok.
    class: Option<&'static str>,
    score: u8,
    categories: Vec<&'static str>,
    flags: Vec<&'static str>,
    verdict_id: u32,
    /// Null where no rule matched.
    record: Option<RecordJson>,
}

impl<'a> AnswerJson<'a> {
    fn new(question: &'a Question, answer: Answer, told: &Told<'_>) -> Self {
        AnswerJson {
            question: &question.text,
            kind: kind_name(question.kind),
            status: answer.status().name(),
            class: (answer.status() == Status::Ok).then(|| answer.class().name()),
            score: answer.score(),
            categories: answer.categories().names().collect(),
            flags: answer.flags().names().collect(),
            verdict_id: answer.id(),
            record: RecordJson::of(answer, |id| told.describe(id)),
        }
    }
}

/// What stands behind a verdict id, and all its sources.
pub type Record = (Description, Vec<String>);

/// The same as it is told.
#[derive(Serialize)]
struct RecordJson {
    rule: &'static str,
    class: &'static str,
    score: u8,
    confidence: u8,
    categories: Vec<&'static str>,
    flags: Vec<&'static str>,
    sources: Vec<String>,
    first_seen: Option<String>,
    last_seen: Option<String>,
    ttl_s: u32,
}

impl RecordJson {
    fn of(answer: Answer, describe: impl Fn(u32) -> Option<Record>) -> Option<Self> {
        if answer.status() != Status::Ok || answer.id() == 0 {
            return None;
        }
        let (description, sources) = describe(answer.id())?;
        Some(Self::new(&description, sources))
    }

    fn new(description: &Description, sources: Vec<String>) -> Self {
        RecordJson {
            rule: description.rule_kind().name(),
            class: description.class().name(),
            score: description.score,
            confidence: description.confidence,
            categories: description.categories().names().collect(),
            flags: description.flags().names().collect(),
            sources,
            first_seen: date(description.first_seen_day),
            last_seen: date(description.last_seen_day),
            ttl_s: description.ttl_s,
        }
    }
}

/// How a key is read and what matches it.
#[derive(Serialize)]
struct ExplainedJson<'a> {
    question: &'a str,
    kind: &'static str,
    status: &'static str,
    /// Null for a key that is none.
    canonical: Option<&'a str>,
    /// The exact host, then its suffixes, longest first.
    hosts: Vec<&'a str>,
    /// With query, without, then prefixes, longest first.
    paths: &'a [String],
    /// The winner first.
    matches: Vec<MatchJson<'a>>,
    /// More rules match than are told.
    matches_cut: bool,
    /// Why there is no verdict; which operator's act decides; what models say.
    reason: &'a str,
    generation: String,
}

#[derive(Serialize)]
struct MatchJson<'a> {
    wins: bool,
    /// An operator has switched it off: it decides nothing.
    off: bool,
    /// host, url, network, signature, key or other.
    on: &'static str,
    /// What of the key it is about.
    text: Cow<'a, str>,
    class: &'static str,
    score: u8,
    categories: Vec<&'static str>,
    flags: Vec<&'static str>,
    verdict_id: u32,
    record: Option<RecordJson>,
}

/// The body of an explanation of a key: its text as it was asked, and its kind.
pub fn explained((question, kind): (&str, Kind), explained: &Explained, describe: impl Fn(u32) -> Option<Record>) -> Vec<u8> {
    let match_of = |found: &ExplainedMatch| {
        let answer = found.found.answer;
        let host = explained.hosts.get(usize::from(found.found.host)).map_or("", |(host, _)| host);
        let path = explained.paths.get(usize::from(found.found.path)).map_or("", String::as_str);
        MatchJson {
            wins: found.found.flags().contains(MatchFlags::WINS),
            off: found.found.flags().contains(MatchFlags::OFF),
            on: found.found.on().name(),
            text: match found.found.on() {
                MatchOn::Host => host.to_owned().into(),
                MatchOn::Url => format!("{host}{path}").into(),
                MatchOn::Network => {
                    let (first, last) = found.found.network();
                    format!("{first}-{last}").into()
                }
                MatchOn::Signature => found.signature.clone().into(),
                MatchOn::Key | MatchOn::Other => explained.canonical.clone().into(),
            },
            class: answer.class().name(),
            score: answer.score(),
            categories: answer.categories().names().collect(),
            flags: answer.flags().names().collect(),
            verdict_id: answer.id(),
            record: RecordJson::of(answer, &describe),
        }
    };
    render(&ExplainedJson {
        question,
        kind: kind_name(kind),
        status: explained.status.name(),
        canonical: (explained.status == Status::Ok).then_some(explained.canonical.as_str()),
        hosts: explained.hosts.iter().map(|(host, _)| host.as_str()).collect(),
        paths: &explained.paths,
        matches: explained.matches.iter().map(match_of).collect(),
        matches_cut: explained.flags.contains(ExplanationFlags::MATCHES_CUT),
        reason: &explained.reason,
        generation: format!("{:016x}", explained.generation),
    })
}

/// What is wrong, for people.
pub fn error(why: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct ErrorJson<'a> {
        error: &'a str,
    }
    render(&ErrorJson { error: why })
}

/// One line.
fn render(value: &impl Serialize) -> Vec<u8> {
    // These forms have text keys and no numbers that JSON lacks, so this does not fail.
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    body
}

/// The date of a day since 1970-01-01; day 0 stands for none.
fn date(day: u16) -> Option<String> {
    (day != 0).then(|| crate::overlay::Utc(u64::from(day) * 86_400_000).to_string()[..10].to_owned())
}
