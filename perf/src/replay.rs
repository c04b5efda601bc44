//! A million questions to a running daemon, each answer compared with the naive oracle: zero differences, or the first ten explained.
//!
//! ```text
//! corpus ─► rules ─┬─► snapshot ─► verdictd (spawned, or already running on it)
//!                  └─► oracle                    ▲ frames of 1 to 4096 mixed questions, several under way, several connections
//! questions ───────────┴── expected ══ compare ══╧ answers
//! ```
//! Beside the plain questions go pre-hashed ones, hashed here with the snapshot's own key, as a client would that learnt it by HELLO.
//! Also held: all frames name the one generation, and one verdict id always stands for one and the same answer.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use verdict_keys::Canonicalizer;
use verdict_simd::{Backend, Domain, Hash128, HashSchedule, Key128, seal};

use crate::frame::{self, Answer, Received};
use crate::oracle::{Expected, Oracle};
use crate::questions::{Questions, kind_name};
use crate::rules::{RuleSet, Subject};
use crate::seed::Rng;

/// How the questions are put.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Connections, each with its own share of the frames.
    pub connections: usize,
    /// Frames under way on each.
    pub in_flight: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Questions answered.
    pub asked: usize,
    /// Frames they went in.
    pub frames: usize,
    /// Answers by kind byte, then by status and class.
    pub answers: HashMap<(&'static str, u8, u8), usize>,
    /// The first ten differences, each in a few lines.
    pub differences: Vec<String>,
    /// How many there were in all.
    pub different: usize,
    /// From the first frame to the last answer.
    pub elapsed: Duration,
}

/// A question with keys that the client hashed.
#[derive(Clone, Debug)]
pub struct HashedQuestion {
    key: [u8; 16],
    place: u32,
    expected: Expected,
    text: String,
}

/// What one frame asks.
#[derive(Clone, Debug)]
enum Ask {
    Plain(Range<usize>),
    Hashed(Range<usize>),
}

/// Everything that is asked and what must come back.
pub struct Script {
    questions: Questions,
    expected: Vec<Expected>,
    hashed: Vec<HashedQuestion>,
    frames: Vec<Ask>,
    generation: u64,
}

impl Script {
    /// Asks the oracle, and cuts the questions into frames of varying size.
    pub fn new(oracle: &Oracle, questions: Questions, mut hashed: Vec<HashedQuestion>, generation: u64, rng: &Rng) -> Self {
        let mut canonicalizer = Canonicalizer::new();
        let expected = questions.iter().map(|(kind, bytes)| oracle.answer(&mut canonicalizer, kind, bytes)).collect();
        hashed.sort_by_key(|question| question.place);
        let mut rng = rng.fork("frames");
        let mut frames = cut(questions.len(), &mut rng, |range| fits(&questions, range)).into_iter().map(Ask::Plain).collect::<Vec<_>>();
        for place in 0..4 {
            let part =
                hashed.partition_point(|question| question.place < place)..hashed.partition_point(|question| question.place <= place);
            let ranges = cut(part.len(), &mut rng, |_| true);
            frames.extend(ranges.into_iter().map(|range| Ask::Hashed(part.start + range.start..part.start + range.end)));
        }
        for at in (1..frames.len()).rev() {
            frames.swap(at, rng.below(at + 1));
        }
        Script { questions, expected, hashed, frames, generation }
    }

    fn encode(&self, out: &mut Vec<u8>, number: usize) {
        match &self.frames[number] {
            Ask::Plain(range) => frame::lookup(out, number as u32, range.clone().map(|index| self.questions.get(index))),
            Ask::Hashed(range) => {
                let keys: Vec<[u8; 16]> = self.hashed[range.clone()].iter().map(|question| question.key).collect();
                frame::lookup_hashed(out, number as u32, self.generation, self.hashed[range.start].place, &keys);
            }
        }
    }

    fn expected(&self, number: usize) -> Vec<Expected> {
        match &self.frames[number] {
            Ask::Plain(range) => self.expected[range.clone()].to_vec(),
            Ask::Hashed(range) => self.hashed[range.clone()].iter().map(|question| question.expected).collect(),
        }
    }

    /// Kind and text of one question of a frame, and the rules that the oracle saw.
    fn explain(&self, oracle: &Oracle, number: usize, index: usize) -> (&'static str, String) {
        match &self.frames[number] {
            Ask::Plain(range) => {
                let (kind, bytes) = self.questions.get(range.start + index);
                let text = if (1..=2).contains(&kind) { bytes.escape_ascii().to_string() } else { hex(bytes) };
                let matches = oracle.explain(&mut Canonicalizer::new(), kind, bytes).join("\n    ");
                (kind_name(kind), format!("{} {text}\n    {matches}", kind_name(kind)))
            }
            Ask::Hashed(range) => ("hashed", self.hashed[range.start + index].text.clone()),
        }
    }

    fn kind(&self, number: usize, index: usize) -> &'static str {
        match &self.frames[number] {
            Ask::Plain(range) => kind_name(self.questions.get(range.start + index).0),
            Ask::Hashed(_) => "hashed",
        }
    }

    /// How many questions.
    pub fn len(&self) -> usize {
        self.questions.len() + self.hashed.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Ranges that cover `0..count`: mostly small, some as large as the protocol allows; halved until they `fit`.
fn cut(count: usize, rng: &mut Rng, fits: impl Fn(Range<usize>) -> bool) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < count {
        let wanted = match rng.below(10) {
            0..2 => 1,
            2..5 => 1 + rng.below(16),
            5..9 => 1 + rng.below(256),
            _ => 1 + rng.below(frame::KEYS_MAX),
        };
        let mut size = wanted.min(count - at);
        while size > 1 && !fits(at..at + size) {
            size /= 2;
        }
        ranges.push(at..at + size);
        at += size;
    }
    ranges
}

fn fits(questions: &Questions, range: Range<usize>) -> bool {
    let body: usize = range.map(|index| frame::question_bytes(questions.get(index))).sum();
    frame::HEAD_BYTES + body <= frame::FRAME_BYTES_MAX
}

/// Expressions of `count` rules, and of names and paths beside them, hashed with the snapshot's key.
pub fn hashed_questions<B: Backend>(
    backend: B,
    schedule: &HashSchedule,
    oracle: &Oracle,
    set: &RuleSet,
    count: usize,
    rng: &Rng,
) -> Vec<HashedQuestion> {
    let mut rng = rng.fork("hashed questions");
    let mut hashed = Vec::with_capacity(count);
    while hashed.len() < count && !set.rules.is_empty() {
        let place = rng.below(4) as u32;
        let (host, path) = match &set.rules[rng.below(set.rules.len())].0 {
            Subject::Host { host, .. } => (host.clone(), None),
            Subject::Url { host, path_query, .. } => (host.clone(), Some(path_query.clone())),
            Subject::Net { .. } | Subject::File(_) | Subject::Signature { .. } => continue,
        };
        let (host, path) = match rng.below(4) {
            0 => (format!("a.{host}"), path),
            1 => (host, path.map(|path| format!("{path}x"))),
            _ => (host, path),
        };
        let key = expression_key(backend, schedule, &host, path.as_deref());
        let expected = oracle.answer_expression(&host, path.as_deref(), place);
        let text = format!("hashed{} {host}{}", ["", " suffix", " prefix", " suffix prefix"][place as usize], path.unwrap_or_default());
        hashed.push(HashedQuestion { key, place, expected, text });
    }
    hashed
}

/// host key = seal(hash(Host, text)); URL expression key = seal(hash(Host, text) * K + hash(Path, path and query)).
fn expression_key<B: Backend>(backend: B, schedule: &HashSchedule, host: &str, path: Option<&str>) -> [u8; 16] {
    let host: Hash128 = backend.hash(schedule, Domain::Host, host.as_bytes());
    let key = match path {
        None => seal(host),
        Some(path) => {
            let mut keys = [Key128::default()];
            backend.pair(schedule, host, &[backend.hash(schedule, Domain::Path, path.as_bytes())], &mut keys);
            keys[0]
        }
    };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&key.lo.to_le_bytes());
    bytes[8..].copy_from_slice(&key.hi.to_le_bytes());
    bytes
}

/// Puts every frame of the script to the server and compares.
pub fn run(address: SocketAddr, script: &Script, oracle: &Oracle, manner: Manner) -> io::Result<Report> {
    let started = Instant::now();
    let mut report = Report { frames: script.frames.len(), ..Report::default() };
    let mut records: HashMap<u32, Expected> = HashMap::new();
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| -> io::Result<()> {
        for first in 0..manner.connections {
            let tell = tell.clone();
            scope.spawn(move || {
                let numbers = (first..script.frames.len()).step_by(manner.connections);
                if let Err(error) = converse(address, script, numbers, manner.in_flight, &tell) {
                    let _ = tell.send(Err(error)); // Nobody listens once the first error is known.
                }
            });
        }
        drop(tell);
        for result in told {
            let (number, generation, answers): (usize, u64, Vec<Answer>) = result?;
            if generation != script.generation {
                return Err(io::Error::other(format!(
                    "frame {number} was answered by generation {generation:016x}, not by {:016x}",
                    script.generation
                )));
            }
            report.compare(script, oracle, &mut records, number, &answers);
        }
        Ok(())
    })?;
    report.elapsed = started.elapsed();
    if report.asked != script.len() {
        return Err(io::Error::other(format!("{} of {} questions were answered", report.asked, script.len())));
    }
    Ok(report)
}

impl Report {
    fn compare(&mut self, script: &Script, oracle: &Oracle, records: &mut HashMap<u32, Expected>, number: usize, answers: &[Answer]) {
        let expected = script.expected(number);
        for (index, (expected, answer)) in expected.iter().zip(answers).enumerate() {
            *self.answers.entry((script.kind(number, index), answer.told.status, answer.told.class as u8)).or_default() += 1;
            let recorded = *records.entry(answer.verdict_id).or_insert(answer.told);
            // Id 0 names no record: unknown, unparseable and unsupported share it.
            let same_record = answer.verdict_id == 0 || recorded == answer.told;
            if *expected != answer.told || !same_record {
                self.different += 1;
                if self.differences.len() < 10 {
                    let (_, what) = script.explain(oracle, number, index);
                    let record =
                        if same_record { String::new() } else { format!("\n  but verdict id {} was {recorded:?}", answer.verdict_id) };
                    self.differences.push(format!(
                        "frame {number}, answer {index}: {what}\n  expected {expected:?}\n  answered {:?}{record}",
                        answer.told
                    ));
                }
            }
        }
        self.asked += answers.len();
    }
}

type Told = io::Result<(usize, u64, Vec<Answer>)>;

/// One connection: a thread that writes while no more than `in_flight` frames are unanswered, and this one, which reads.
fn converse(
    address: SocketAddr,
    script: &Script,
    numbers: impl Iterator<Item = usize> + Clone + Send,
    in_flight: usize,
    tell: &mpsc::Sender<Told>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    let mut writer = stream.try_clone()?;
    let (permit, permitted) = mpsc::sync_channel::<()>(in_flight);
    let to_write = numbers.clone();
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || -> io::Result<()> {
            let mut out = Vec::new();
            for number in to_write {
                if permit.send(()).is_err() {
                    return Ok(()); // The reader gave up and says why.
                }
                out.clear();
                script.encode(&mut out, number);
                writer.write_all(&out)?;
            }
            Ok(())
        });
        let reading = numbers.into_iter().try_for_each(|number| {
            let told = read_answers(&mut stream, number)?;
            let _ = permitted.recv(); // Its request was written, so its permit is there.
            tell.send(Ok(told)).map_err(|_| io::Error::other("another connection failed"))
        });
        drop(permitted);
        if reading.is_err() {
            let _ = stream.shutdown(std::net::Shutdown::Both); // Wakes the writer.
        }
        let writing = writing.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked")));
        reading.and(writing)
    })
}

fn read_answers(stream: &mut TcpStream, number: usize) -> io::Result<(usize, u64, Vec<Answer>)> {
    let mut bytes = vec![0; frame::HEAD_BYTES];
    stream.read_exact(&mut bytes)?;
    let frame_bytes = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    if !(frame::HEAD_BYTES..=frame::FRAME_BYTES_MAX).contains(&frame_bytes) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a reply of {frame_bytes} bytes")));
    }
    bytes.resize(frame_bytes, 0);
    stream.read_exact(&mut bytes[frame::HEAD_BYTES..])?;
    let received = Received::first(&bytes).map_err(io::Error::other)?.ok_or(io::ErrorKind::InvalidData)?;
    if received.request_id != number as u32 {
        return Err(io::Error::other(format!("reply to request {} where {number} was due", received.request_id)));
    }
    match (received.generation(), received.answers()) {
        (Some(generation), Some(answers)) => Ok((number, generation, answers.collect())),
        _ => {
            Err(io::Error::other(format!("request {number} got a frame of kind {:#04x}: {}", received.kind, received.body.escape_ascii())))
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use verdict_keys::{Profile, Scheme};

    fn oracle() -> Oracle {
        let profile = Profile { scheme: Scheme::Full, host_labels_max: 8, path_prefixes_max: 8, suffixes: None };
        let rules = vec![(
            Subject::Host { host: "bad.example".into(), subdomains: true },
            crate::data::vote(0, verdict_tables::Class::Malicious, 9, 1),
        )];
        Oracle::new(&RuleSet { rules, ..RuleSet::default() }, profile)
    }

    fn null_server() -> SocketAddr {
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            crate::null_server::serve(
                crate::null_server::Twin::Blocking,
                crate::null_server::Voice::Frames,
                ([127, 0, 0, 1], 0).into(),
                |address| send.send(address).unwrap(),
            )
        });
        receive.recv().unwrap()
    }

    fn script(questions: &[&str], generation: u64) -> Script {
        let mut list = Questions::default();
        for question in questions {
            list.push(2, question.as_bytes());
        }
        Script::new(&oracle(), list, Vec::new(), generation, &Rng::new(1))
    }

    const MANNER: Manner = Manner { connections: 2, in_flight: 3 };

    #[test]
    fn a_server_that_knows_nothing_differs_exactly_where_something_is_known() {
        let names: Vec<String> =
            (0..500).map(|number| format!("n{number}.{}.example", if number % 5 == 0 { "bad" } else { "good" })).collect();
        let script = script(&names.iter().map(String::as_str).collect::<Vec<_>>(), crate::null_server::GENERATION);
        let report = run(null_server(), &script, &oracle(), MANNER).unwrap();
        assert_eq!((report.asked, report.different, report.differences.len()), (500, 100, 10));
        assert!(report.differences[0].contains("bad.example"), "{}", report.differences[0]);
    }

    #[test]
    fn another_generation_ends_the_replay() {
        let error = run(null_server(), &script(&["a.example"], 1), &oracle(), MANNER).unwrap_err();
        assert!(error.to_string().contains("generation"), "{error}");
    }

    #[test]
    fn frames_cover_every_question_once_and_respect_the_protocol() {
        let mut questions = Questions::default();
        for _ in 0..9_000 {
            questions.push(1, &[b'a'; 1_000]);
        }
        let ranges = cut(questions.len(), &mut Rng::new(4), |range| fits(&questions, range));
        assert_eq!(ranges.iter().map(Range::len).sum::<usize>(), 9_000);
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(ranges.iter().all(|range| range.len() <= frame::KEYS_MAX && fits(&questions, range.clone())));
        assert!(ranges.iter().any(|range| range.len() > 500) && ranges.iter().any(|range| range.len() == 1));
    }
}
