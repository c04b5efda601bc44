//! An answer and its record in words, and as JSON. The JSON is a promise: keys are added, never renamed or removed.

use crate::columns::{ALARM, Cell, FINE, NOTICE};
use crate::daemon::Answered;
use crate::exit::Outcome;
use crate::question::{Question, kind_name};
use crate::text;
use serde::Serialize;
use std::io::{self, Write};
use verdict_wire::{Answer, Class, Described, DescriptionFlags, Flags, RuleKind, Status};

/// `malicious`, or why there is no verdict: `unparseable`.
pub fn word(answer: Answer) -> &'static str {
    match answer.status() {
        Status::Ok => answer.class().name(),
        status => status.name(),
    }
}

/// The word, coloured by how much it matters.
pub fn word_cell(answer: Answer) -> Cell {
    let style = match (answer.status(), answer.class()) {
        (Status::Ok, Class::Malicious) => ALARM,
        (Status::Ok, Class::Suspicious) => NOTICE,
        (Status::Ok, Class::Clean) => FINE,
        (Status::Ok, Class::Unknown) => return word(answer).into(),
        _ => NOTICE,
    };
    Cell::from(word(answer)).coloured(style)
}

/// What the whole of the answers means for the exit status: something bad was found, else something was not judged, else nothing.
pub fn outcome<'a>(answered: impl IntoIterator<Item = &'a Answered>) -> Outcome {
    let of_one = |answer: Answer| match answer.status() {
        Status::Ok if answer.class() >= Class::Suspicious => Outcome::Found,
        Status::Ok => Outcome::Done,
        Status::Unparseable | Status::Unsupported => Outcome::Unparseable,
        Status::Overloaded | Status::Error => Outcome::TryAgain,
    };
    answered.into_iter().map(|one| of_one(one.answer)).fold(Outcome::Done, worse)
}

/// The one of two outcomes that the exit status tells.
pub fn worse(one: Outcome, other: Outcome) -> Outcome {
    let rank = |outcome| match outcome {
        Outcome::Done => 0,
        Outcome::Unparseable => 1,
        Outcome::TryAgain => 2,
        Outcome::Found => 3,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// Which sources and kind of rule an answer comes from; for an answer without a rule, why there is none.
pub fn why(question: &Question, answered: &Answered, record: Option<&Described>) -> String {
    match answered.answer.status() {
        Status::Ok if answered.answer.flags().contains(Flags::FROM_DELTA) => "an operator says so: `explain` tells who and why".to_owned(),
        Status::Ok if answered.answer.id() == 0 => "no rule matches".to_owned(),
        Status::Ok => match record {
            None => "its snapshot was replaced meanwhile: ask again".to_owned(),
            Some(record) if record.description.is_absent() => "the daemon has no record of this id".to_owned(),
            Some(record) if record.description.rule_kind() == RuleKind::Model => format!("model {}", sources(record)),
            Some(record) => format!("{} of {}", rule_phrase(record.description.rule_kind()), sources(record)),
        },
        Status::Unparseable => {
            question.unparseable().map_or_else(|| format!("not a {}", kind_name(question.kind)), |reason| reason.to_string())
        }
        Status::Unsupported => "the daemon does not know keys of this kind".to_owned(),
        Status::Overloaded => "the daemon had no capacity: ask again".to_owned(),
        Status::Error => "the daemon failed: see its log".to_owned(),
    }
}

fn rule_phrase(kind: RuleKind) -> &'static str {
    match kind {
        RuleKind::Other => "rule",
        RuleKind::Host => "host rule",
        RuleKind::HostBelow => "host rule with subdomains",
        RuleKind::Url => "URL rule",
        RuleKind::UrlBelow => "URL rule with subdomains",
        RuleKind::UrlPrefix => "path rule",
        RuleKind::UrlPrefixBelow => "path rule with subdomains",
        RuleKind::Network => "address rule",
        RuleKind::File => "hash rule",
        RuleKind::HostSubstring => "signature in the host",
        RuleKind::UrlSubstring => "signature in the URL",
        RuleKind::HostToken => "token signature in the host",
        RuleKind::UrlToken => "token signature in the URL",
        RuleKind::Model => "model",
    }
}

/// The names of all sources that voted, fit to print.
fn sources(record: &Described) -> String {
    let mut text = record.sources.iter().map(|name| text::visible(name.as_bytes())).collect::<Vec<_>>().join(", ");
    if record.description.flags().contains(DescriptionFlags::SOURCES_CUT) {
        text.push_str(", and more");
    }
    text
}

/// A record, a line per fact.
pub fn write_record(out: &mut dyn Write, generation: u64, id: u32, record: &Described) -> io::Result<()> {
    let description = &record.description;
    if description.is_absent() {
        return writeln!(out, "verdict {id}: no such id in generation {generation:016x}");
    }
    let class = description.class();
    writeln!(out, "verdict {id}: {class}, score {}, confidence {}", description.score, description.confidence)?;
    writeln!(out, "  rule        {}", rule_phrase(description.rule_kind()))?;
    writeln!(out, "  sources     {}", sources(record))?;
    writeln!(out, "  categories  {}", description.categories())?;
    writeln!(out, "  flags       {}", description.flags())?;
    writeln!(out, "  seen        {}", seen(description.first_seen_day, description.last_seen_day))?;
    writeln!(out, "  keep for    {} s", description.ttl_s)?;
    writeln!(out, "  generation  {generation:016x}")
}

fn seen(first: u16, last: u16) -> String {
    match (date(first), date(last)) {
        (None, None) => "no date in the feed".to_owned(),
        (Some(first), None) => format!("first {first}"),
        (None, Some(last)) => format!("last {last}"),
        (Some(first), Some(last)) => format!("{first} to {last}"),
    }
}

/// The date of a day since 1970-01-01; day 0 stands for none.
fn date(day: u16) -> Option<String> {
    (day != 0).then(|| crate::date::from_day(day.into()))
}

/// One answer as a line of JSON.
#[derive(Debug, Serialize)]
pub struct AnswerJson {
    question: String,
    kind: &'static str,
    status: &'static str,
    /// Null unless the status is ok.
    class: Option<&'static str>,
    score: u8,
    categories: Vec<&'static str>,
    flags: Vec<&'static str>,
    verdict_id: u32,
    /// 16 hexadecimal digits: JSON numbers have 53 bits.
    generation: String,
    time_us: f64,
    /// Null where no rule matched or its record is gone.
    record: Option<RecordJson>,
}

/// What stands behind a verdict id, as JSON.
#[derive(Debug, Serialize)]
pub struct RecordJson {
    rule: &'static str,
    class: &'static str,
    score: u8,
    confidence: u8,
    categories: Vec<&'static str>,
    flags: Vec<&'static str>,
    sources: Vec<String>,
    sources_complete: bool,
    first_seen: Option<String>,
    last_seen: Option<String>,
    ttl_s: u32,
}

impl AnswerJson {
    /// Bytes of a question that are not UTF-8 are shown as `\xNN`.
    pub fn new(question: &Question, answered: &Answered, record: Option<&Described>) -> Self {
        let Answered { answer, generation, time } = *answered;
        Self {
            question: std::str::from_utf8(&question.typed).map_or_else(|_| question.visible(), str::to_owned),
            kind: kind_name(question.kind),
            status: answer.status().name(),
            class: (answer.status() == Status::Ok).then(|| answer.class().name()),
            score: answer.score(),
            categories: answer.categories().names().collect(),
            flags: answer.flags().names().collect(),
            verdict_id: answer.id(),
            generation: format!("{generation:016x}"),
            time_us: time.as_nanos() as f64 / 1e3,
            record: record.filter(|record| !record.description.is_absent()).map(RecordJson::new),
        }
    }
}

impl RecordJson {
    /// All that is known of one.
    pub fn new(record: &Described) -> Self {
        let description = &record.description;
        Self {
            rule: description.rule_kind().name(),
            class: description.class().name(),
            score: description.score,
            confidence: description.confidence,
            categories: description.categories().names().collect(),
            flags: description.flags().names().filter(|&name| name != "sources-cut").collect(),
            sources: record.sources.clone(),
            sources_complete: !description.flags().contains(DescriptionFlags::SOURCES_CUT),
            first_seen: date(description.first_seen_day),
            last_seen: date(description.last_seen_day),
            ttl_s: description.ttl_s,
        }
    }
}

/// Writes a value as one line of JSON.
pub fn write_json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    writeln!(out)
}

/// `wire` and `tables` know nothing of each other, and say the same: this command sees both.
#[cfg(test)]
mod tests {
    use super::*;
    use verdict_wire::{Categories, Flags, KeyKind};

    #[test]
    fn an_answer_of_the_tables_reads_the_same_on_the_wire() {
        for &class in Class::ALL {
            for &(category, _, name) in Categories::ALL {
                for &(flag, _, _) in Flags::ALL {
                    let answer = Answer::new(class, 90, category, flag, 0x01_02_03);
                    let id = [answer.id[0], answer.id[1], answer.id[2]];
                    let categories = u16::from_le_bytes(answer.categories);
                    let verdict =
                        verdict_tables::Verdict { outcome: answer.outcome, score: answer.score, categories, flags: answer.flags, id };
                    assert_eq!(verdict.status(), Some(verdict_tables::Status::Ok));
                    assert_eq!(verdict.class().map(verdict_tables::Class::name), Some(class.name()));
                    assert_eq!(verdict.category_names().collect::<Vec<_>>(), [name]);
                    assert_eq!((verdict.flags, verdict.verdict_id()), (flag.0, answer.id()));
                }
            }
        }
        assert_eq!(Categories::ALL.len(), verdict_tables::category::NAMES.len());
    }

    #[test]
    fn a_status_of_the_tables_reads_the_same_on_the_wire() {
        for &status in Status::ALL {
            let outcome = Answer::without_verdict(status).outcome;
            let verdict = verdict_tables::Verdict { outcome, ..Default::default() };
            assert_eq!(verdict.status().map(verdict_tables::Status::name), Some(status.name()));
        }
    }

    #[test]
    fn kinds_have_one_number_and_one_name_everywhere() {
        assert_eq!(KeyKind::ALL.len(), verdict_keys::Kind::ALL.len());
        for (on_wire, kind) in KeyKind::ALL.iter().zip(verdict_keys::Kind::ALL) {
            assert_eq!((on_wire.raw(), on_wire.name()), (kind as u8, kind_name(kind)));
        }
        let names: Vec<&str> = KeyKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names, ["url", "host", "ipv4", "ipv6", "sha256", "sha1", "md5"]);
    }

    #[test]
    fn flags_of_the_tables_have_the_names_of_the_wire() {
        assert_eq!((Flags::ALLOWLISTED.0, Flags::OVERRIDDEN.0), (verdict_tables::flag::ALLOWLISTED, verdict_tables::flag::OVERRIDDEN));
        assert_eq!((Flags::STALE.0, Flags::FROM_MODEL.0), (verdict_tables::flag::STALE, verdict_tables::flag::FROM_MODEL));
    }
}
