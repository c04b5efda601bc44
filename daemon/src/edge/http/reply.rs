//! What is sent: the verdict of an authorization as status and fields, and everything else as JSON.
//!
//! ```text
//!  HTTP/1.1 403 Forbidden                     200, 403 or 503: what a balancer understands, and nothing else
//!  X-Verdict: malicious                       class, or why there is none: unparseable, unsupported, overloaded, error
//!  X-Verdict-Score: 90
//!  X-Verdict-Categories: malware|c2           none: `-`. Every field is in every reply, so that a balancer which copies them
//!  X-Verdict-Sources: feed one, feed two      always overwrites what its own client sent under these names
//!  X-Verdict-Flags: -
//!  X-Verdict-Key: url                         which of the keys decided
//!  X-Verdict-Generation: 8c3f05a1d2e4b697
//!  X-Verdict-Reason: -                        what the balancer did not send, or sent unreadably
//!  Cache-Control: max-age=60
//! ```
//! An authorization is written from small values into the output as it stands: nothing is allocated, nothing is formatted.

use super::authz::{KEYS_MAX, Trouble};
use super::config::{Act, Ask, Policy};
use super::json::Lookup;
use crate::pipeline::Told;
use std::borrow::Cow;
use verdict_wire::{Answer, Class, Status};

/// Bytes of `X-Verdict-Sources`.
const SOURCES_BYTES_MAX: usize = 192;

/// How a request is answered once its verdicts are known.
#[derive(Debug)]
pub enum Reply {
    /// An authorization.
    Authorization(Authorization),
    /// Answers of the JSON API.
    Lookup(Box<Lookup>),
    /// What was known at once.
    Said(Said),
    /// The body of a request is welcome.
    Continue,
}

/// An authorization; small, so that thousands wait for nothing but their verdicts.
#[derive(Clone, Copy, Debug)]
pub struct Authorization {
    /// What each answer is about.
    pub asked: [Option<Ask>; KEYS_MAX],
    /// Why nothing was asked.
    pub instead: Option<Instead>,
    /// What answers mean.
    pub policy: Policy,
    /// Whether a refusal has a body.
    pub explains: bool,
    /// How the response ends.
    pub ending: Ending,
}

/// Why nothing was asked.
#[derive(Clone, Copy, Debug)]
pub enum Instead {
    /// The request waited for too long.
    Late,
    /// The request is not one that can be asked about.
    Trouble(Trouble),
}

/// How a response ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending {
    /// The request was HEAD: the length is told, the body is not sent.
    pub head: bool,
    /// The connection ends.
    pub close: bool,
}

/// A response that asks nothing.
#[derive(Debug)]
pub struct Said {
    /// 200, or what is wrong.
    pub status: u16,
    /// JSON.
    pub body: Cow<'static, [u8]>,
    /// `Allow`, where the method is wrong.
    pub allow: &'static str,
    /// How it ends.
    pub ending: Ending,
}

impl Reply {
    /// Writes it behind what is there.
    pub fn write(&self, answers: &[Answer], told: &Told<'_>, output: &mut Vec<u8>) {
        match self {
            Reply::Authorization(authorization) => authorization.write(answers, told, output),
            Reply::Lookup(lookup) => {
                let late = lookup.late;
                let body = lookup.render(answers, told);
                let said = Said { status: if late { 503 } else { 200 }, body: body.into(), allow: "", ending: lookup.ending };
                told.metrics.http_api.add(1);
                said.write(told.draining, output);
            }
            Reply::Said(said) => {
                let counter = if said.status == 200 { &told.metrics.http_api } else { &told.metrics.http_refused };
                counter.add(1);
                said.write(told.draining, output);
            }
            Reply::Continue => output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"),
        }
    }
}

impl Said {
    fn write(&self, draining: bool, output: &mut Vec<u8>) {
        output.extend_from_slice(status_line(self.status));
        output.extend_from_slice(b"Content-Type: application/json\r\nCache-Control: no-store\r\n");
        if !self.allow.is_empty() {
            field(output, b"Allow: ", self.allow.as_bytes());
        }
        if self.status == 503 {
            output.extend_from_slice(b"Retry-After: 1\r\n");
        }
        self.ending.write(draining, &self.body, output);
    }
}

impl Ending {
    fn write(self, draining: bool, body: &[u8], output: &mut Vec<u8>) {
        if self.close || draining {
            output.extend_from_slice(b"Connection: close\r\n");
        }
        output.extend_from_slice(b"Content-Length: ");
        number(output, body.len() as u64);
        output.extend_from_slice(b"\r\n\r\n");
        if !self.head {
            output.extend_from_slice(body);
        }
    }
}

impl Authorization {
    fn write(&self, answers: &[Answer], told: &Told<'_>, output: &mut Vec<u8>) {
        let (place, answer) = worst(answers, self.instead);
        let act = self.policy.act(answer);
        let (status, body, counter): (u16, &[u8], _) = match act {
            Act::Allow => (200, b"", &told.metrics.http_allowed),
            Act::Deny => (403, b"refused by verdictd\n", &told.metrics.http_denied),
            Act::Error => (503, b"no verdict\n", &told.metrics.http_failed),
        };
        let body = if self.explains { body } else { b"" };
        counter.add(1);
        output.extend_from_slice(status_line(status));
        let ok = answer.status() == Status::Ok;
        let word = if ok { answer.class().name() } else { answer.status().name() };
        field(output, b"X-Verdict: ", word.as_bytes());
        output.extend_from_slice(b"X-Verdict-Score: ");
        number(output, answer.score().into());
        output.extend_from_slice(b"\r\n");
        names(output, b"X-Verdict-Categories: ", answer.categories().names());
        let ttl_s = self.record(answer, told, output);
        names(output, b"X-Verdict-Flags: ", answer.flags().names());
        field(output, b"X-Verdict-Key: ", self.asked.get(place).copied().flatten().map_or("-", Ask::name).as_bytes());
        output.extend_from_slice(b"X-Verdict-Generation: ");
        hexadecimal(output, told.snapshot.generation());
        output.extend_from_slice(b"\r\nX-Verdict-Reason: ");
        self.reason(output);
        if status == 503 {
            output.extend_from_slice(b"\r\nRetry-After: 1");
        }
        match ttl_s {
            0 => output.extend_from_slice(b"\r\nCache-Control: no-store\r\n"),
            ttl_s => {
                output.extend_from_slice(b"\r\nCache-Control: max-age=");
                number(output, ttl_s.into());
                output.extend_from_slice(b"\r\n");
            }
        }
        if !body.is_empty() {
            output.extend_from_slice(b"Content-Type: text/plain\r\n");
        }
        self.ending.write(told.draining, body, output);
    }

    /// Who says so; returns how long it may be kept.
    fn record(&self, answer: Answer, told: &Told<'_>, output: &mut Vec<u8>) -> u32 {
        output.extend_from_slice(b"X-Verdict-Sources: ");
        let unlisted = if matches!(answer.status(), Status::Ok | Status::Unparseable) { self.policy.cache_unlisted_s } else { 0 };
        let ttl_s = if answer.status() != Status::Ok || answer.id() == 0 {
            output.push(b'-');
            unlisted
        } else if let Some((model, _)) = told.models.and_then(|models| models.model(models.named(answer.id())?.0)) {
            visible(output, "model ", SOURCES_BYTES_MAX);
            visible(output, &model.name, SOURCES_BYTES_MAX);
            unlisted
        } else if let Some(record) = told.snapshot.describe(answer.id()) {
            let end = output.len() + SOURCES_BYTES_MAX;
            for (place, source) in record.sources().enumerate() {
                let left = end.saturating_sub(output.len());
                if left < 3 {
                    break;
                }
                visible(output, if place == 0 { "" } else { ", " }, left);
                visible(output, source.name, left - 2);
            }
            record.ttl_s.min(self.policy.cache_s_max)
        } else {
            output.push(b'-');
            unlisted
        };
        output.extend_from_slice(b"\r\n");
        ttl_s
    }

    fn reason(&self, output: &mut Vec<u8>) {
        match self.instead {
            None => output.push(b'-'),
            Some(Instead::Late) => output.extend_from_slice(b"it waited for too long"),
            Some(Instead::Trouble(Trouble::Missing(field))) => {
                output.extend_from_slice(b"missing: ");
                output.extend_from_slice(field.as_bytes());
            }
            Some(Instead::Trouble(Trouble::Unreadable(what))) => {
                output.extend_from_slice(b"unreadable: ");
                output.extend_from_slice(what.as_bytes());
            }
        }
    }
}

impl Policy {
    /// What an answer means for the request.
    pub fn act(&self, answer: Answer) -> Act {
        match (answer.status(), answer.class()) {
            (Status::Ok, Class::Malicious) => Act::Deny,
            (Status::Ok, Class::Suspicious) => self.suspicious,
            (Status::Ok, Class::Clean | Class::Unknown) => Act::Allow,
            (Status::Unparseable, _) => self.unparseable,
            (Status::Unsupported | Status::Overloaded | Status::Error, _) => self.failed,
        }
    }
}

/// The answer that decides, and its place: malicious before no verdict before suspicious before the rest; the first of equals.
fn worst(answers: &[Answer], instead: Option<Instead>) -> (usize, Answer) {
    match instead {
        Some(Instead::Late) => return (KEYS_MAX, Answer::without_verdict(Status::Overloaded)),
        Some(Instead::Trouble(Trouble::Missing(_))) => return (KEYS_MAX, Answer::without_verdict(Status::Error)),
        Some(Instead::Trouble(Trouble::Unreadable(_))) => return (KEYS_MAX, Answer::without_verdict(Status::Unparseable)),
        None => {}
    }
    let rank = |answer: &Answer| match (answer.status(), answer.class()) {
        (Status::Ok, Class::Malicious) => 5,
        (Status::Error | Status::Unsupported | Status::Overloaded, _) => 4,
        (Status::Unparseable, _) => 3,
        (Status::Ok, Class::Suspicious) => 2,
        // Whoever lets a host through has said something, whoever knows nothing has not.
        (Status::Ok, Class::Clean) => 1,
        (Status::Ok, Class::Unknown) => 0,
    };
    let mut found = (KEYS_MAX, Answer::without_verdict(Status::Error));
    for (place, answer) in answers.iter().enumerate() {
        if place == 0 || rank(answer) > rank(&found.1) {
            found = (place, *answer);
        }
    }
    found
}

fn status_line(status: u16) -> &'static [u8] {
    match status {
        200 => b"HTTP/1.1 200 OK\r\n",
        403 => b"HTTP/1.1 403 Forbidden\r\n",
        404 => b"HTTP/1.1 404 Not Found\r\n",
        405 => b"HTTP/1.1 405 Method Not Allowed\r\n",
        413 => b"HTTP/1.1 413 Content Too Large\r\n",
        415 => b"HTTP/1.1 415 Unsupported Media Type\r\n",
        417 => b"HTTP/1.1 417 Expectation Failed\r\n",
        431 => b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
        501 => b"HTTP/1.1 501 Not Implemented\r\n",
        503 => b"HTTP/1.1 503 Service Unavailable\r\n",
        505 => b"HTTP/1.1 505 HTTP Version Not Supported\r\n",
        _ => b"HTTP/1.1 400 Bad Request\r\n",
    }
}

/// `name` ends in `: `.
fn field(output: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    output.extend_from_slice(name);
    output.extend_from_slice(value);
    output.extend_from_slice(b"\r\n");
}

fn names(output: &mut Vec<u8>, name: &[u8], mut values: impl Iterator<Item = &'static str>) {
    output.extend_from_slice(name);
    output.extend_from_slice(values.next().unwrap_or("-").as_bytes());
    for value in values {
        output.push(b'|');
        output.extend_from_slice(value.as_bytes());
    }
    output.extend_from_slice(b"\r\n");
}

/// What others named, fit for a field: printable ASCII, at most so many bytes.
fn visible(output: &mut Vec<u8>, text: &str, bytes_max: usize) {
    let printable = |byte: u8| if byte.is_ascii_graphic() || byte == b' ' { byte } else { b'?' };
    output.extend(text.bytes().take(bytes_max).map(printable));
}

fn number(output: &mut Vec<u8>, value: u64) {
    let mut digits = [0; 20];
    let (mut at, mut left) = (digits.len(), value);
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    output.extend_from_slice(&digits[at..]);
}

fn hexadecimal(output: &mut Vec<u8>, value: u64) {
    output.extend((0..16).rev().map(|digit| b"0123456789abcdef"[(value >> (4 * digit)) as usize & 15]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::http::config::HttpConfig;
    use verdict_wire::{Categories, Flags};

    fn verdict(class: Class) -> Answer {
        Answer::new(class, 1, Categories::NONE, Flags::NONE, 0)
    }

    #[test]
    fn numbers_are_written_as_people_write_them() {
        for value in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
            out.clear();
            hexadecimal(&mut out, value);
            assert_eq!(out, format!("{value:016x}").into_bytes());
        }
    }

    #[test]
    fn names_of_strangers_cannot_break_a_field() {
        let mut out = Vec::new();
        visible(&mut out, "a\r\nSet-Cookie: x\u{e9}\u{0}", 100);
        assert_eq!(out, b"a??Set-Cookie: x???");
    }

    #[test]
    fn the_worst_answer_decides_and_no_verdict_is_never_clean() {
        let without = Answer::without_verdict;
        let check = |answers: &[Answer], place: usize| assert_eq!(worst(answers, None).0, place, "{answers:?}");
        check(&[verdict(Class::Unknown), verdict(Class::Malicious)], 1);
        check(&[without(Status::Error), verdict(Class::Malicious)], 1);
        check(&[verdict(Class::Clean), without(Status::Unparseable)], 1);
        check(&[verdict(Class::Suspicious), without(Status::Overloaded), verdict(Class::Clean)], 1);
        check(&[verdict(Class::Unknown), verdict(Class::Clean)], 1);
        check(&[verdict(Class::Unknown), verdict(Class::Unknown)], 0);
        assert_eq!(worst(&[], None).1.status(), Status::Error);
    }

    #[test]
    fn what_an_answer_means_can_be_chosen_but_for_malicious_clean_and_unknown() {
        let policy = HttpConfig::default().policy();
        let without = Answer::without_verdict;
        assert_eq!(policy.act(verdict(Class::Malicious)), Act::Deny);
        assert_eq!(policy.act(verdict(Class::Suspicious)), Act::Allow);
        assert_eq!(policy.act(verdict(Class::Clean)), Act::Allow);
        assert_eq!(policy.act(verdict(Class::Unknown)), Act::Allow);
        assert_eq!(policy.act(without(Status::Unparseable)), Act::Deny);
        for status in [Status::Unsupported, Status::Overloaded, Status::Error] {
            assert_eq!(policy.act(without(status)), Act::Error);
        }
        let policy = Policy { suspicious: Act::Deny, unparseable: Act::Error, failed: Act::Allow, ..policy };
        assert_eq!(policy.act(verdict(Class::Suspicious)), Act::Deny);
        assert_eq!(policy.act(without(Status::Unparseable)), Act::Error);
        assert_eq!(policy.act(without(Status::Error)), Act::Allow);
    }
}
