//! `verdictctl ask FILE`: questions with the answers they must get.
//!
//! A line is `question TAB expected TAB why`: the question by its look, the expected class (`unknown`, `clean`, `suspicious`, `malicious`) or status
//! (`unparseable`, …), and a remark for people. Lines that begin with `#` and empty lines are skipped. All questions go through one
//! connection, a frame each, so that the time of each is its own; this is the smoke test of an installation.

use crate::answer::{self, AnswerJson};
use crate::columns::{ALARM, Cell, FINE, Table};
use crate::daemon::{Answered, Connection, Daemon, Records};
use crate::exit::{Failure, Outcome};
use crate::question::{KindChoice, Question};
use crate::text;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use verdict_wire::{Class, Status};

/// Ask a file of questions whose answers are known, and compare
#[derive(Debug, clap::Args)]
#[command(after_help = "\
FILE has a question a line: QUESTION <tab> EXPECTED <tab> WHY. EXPECTED is unknown, clean, suspicious or malicious, or a status without a
verdict: unparseable, unsupported, overloaded, error. Lines that begin with # are skipped.

Exit status: 0 every answer as expected, 1 an answer differs; `verdictctl --help` has the others.")]
pub struct Arguments {
    /// The questions
    file: PathBuf,
    /// One JSON document
    #[arg(long)]
    json: bool,
    /// Do not shorten long questions
    #[arg(long, conflicts_with = "json")]
    wide: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A line of the file.
struct Case {
    line: usize,
    question: Question,
    expected: &'static str,
    remark: String,
}

/// Asks, compares and prints.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let cases = read(&arguments.file)?;
    let questions: Vec<Question> = cases.iter().map(|case| case.question.clone()).collect();
    let mut daemon = Daemon::connect(&arguments.connection)?;
    let (answered, time) = daemon.ask_each(&questions)?;
    let mut records = Records::default();
    daemon.describe(&answered, &mut records)?;
    if arguments.json {
        print_json(out, &cases, &answered, &records)?
    } else {
        print_table(arguments, out, &cases, &answered, &records, time)?
    }
    let as_expected = cases.iter().zip(&answered).all(|(case, one)| case.met_by(one));
    Ok(if as_expected { Outcome::Done } else { Outcome::Found })
}

impl Case {
    fn met_by(&self, answered: &Answered) -> bool {
        answer::word(answered.answer) == self.expected
    }
}

fn read(file: &Path) -> Result<Vec<Case>, Failure> {
    let shown = text::path(file);
    let content = std::fs::read(file).map_err(|error| Failure::Input(format!("{shown}: {error}")))?;
    let mut cases = Vec::new();
    for (index, line) in content.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let case = parse(index + 1, line).map_err(|reason| Failure::Data(format!("{shown}:{}: {reason}", index + 1)))?;
        cases.push(case);
    }
    if cases.is_empty() {
        return Err(Failure::Data(format!("{shown}: no questions in it")));
    }
    Ok(cases)
}

fn parse(line: usize, bytes: &[u8]) -> Result<Case, String> {
    let mut fields = bytes.splitn(3, |&byte| byte == b'\t');
    let typed = fields.next().unwrap_or_default();
    let expected = fields.next().ok_or("no tab and expected answer after the question")?;
    let expected = expected_word(expected).ok_or_else(|| {
        let known = words().collect::<Vec<_>>().join(", ");
        format!("`{}` is no answer; known are {known}", text::visible(expected))
    })?;
    let question = Question::new(typed, KindChoice::Auto).map_err(|failure| failure.to_string())?;
    Ok(Case { line, question, expected, remark: text::visible(fields.next().unwrap_or_default()) })
}

/// Classes, and statuses that come without one.
fn words() -> impl Iterator<Item = &'static str> {
    Class::ALL
        .iter()
        .map(|class| class.name())
        .chain(Status::ALL.iter().filter(|&&status| status != Status::Ok).map(|status| status.name()))
}

fn expected_word(field: &[u8]) -> Option<&'static str> {
    words().find(|word| word.as_bytes() == field.trim_ascii())
}

fn print_table(
    arguments: &Arguments,
    out: &mut dyn Write,
    cases: &[Case],
    answered: &[Answered],
    records: &Records,
    time: Duration,
) -> Result<(), Failure> {
    let columns_max = if arguments.wide { usize::MAX } else { text::KEY_COLUMNS_MAX };
    let mut table = Table::new(&["", "QUESTION", "ANSWER", "EXPECTED", "WHY", ">TIME"]);
    for (case, one) in cases.iter().zip(answered) {
        let mark = if case.met_by(one) { Cell::from("ok").coloured(FINE) } else { Cell::from("DIFFERS").coloured(ALARM) };
        table.row([
            mark,
            text::shortened(&case.question.visible(), columns_max).into(),
            answer::word_cell(one.answer),
            case.expected.into(),
            answer::why(&case.question, one, records.of(one)).into(),
            text::duration(one.time).into(),
        ]);
    }
    table.write_rows(out)?;
    let differing = cases.iter().zip(answered).filter(|(case, one)| !case.met_by(one));
    for (case, one) in differing.clone() {
        let remark = if case.remark.is_empty() { String::new() } else { format!(": {}", case.remark) };
        let (shown, got) = (text::path(&arguments.file), answer::word(one.answer));
        writeln!(out, "{shown}:{}: {}: {got}, expected {}{remark}", case.line, case.question.visible(), case.expected)?;
    }
    let generations: BTreeSet<String> = answered.iter().map(|one| format!("{:016x}", one.generation)).collect();
    let plural = if generations.len() == 1 { "" } else { "s" };
    let generations = generations.into_iter().collect::<Vec<_>>().join(", ");
    let met = cases.len() - differing.count();
    let (asked, time) = (text::counted(cases.len(), "question"), text::duration(time));
    writeln!(out, "{asked}, {met} as expected, generation{plural} {generations}, in all {time}")?;
    Ok(())
}

#[derive(Serialize)]
struct Document {
    questions: Vec<CaseJson>,
    asked: usize,
    differing: usize,
}

#[derive(Serialize)]
struct CaseJson {
    line: usize,
    expected: &'static str,
    remark: String,
    as_expected: bool,
    answer: AnswerJson,
}

fn print_json(out: &mut dyn Write, cases: &[Case], answered: &[Answered], records: &Records) -> Result<(), Failure> {
    let questions = cases
        .iter()
        .zip(answered)
        .map(|(case, one)| CaseJson {
            line: case.line,
            expected: case.expected,
            remark: case.remark.clone(),
            as_expected: case.met_by(one),
            answer: AnswerJson::new(&case.question, one, records.of(one)),
        })
        .collect::<Vec<_>>();
    let differing = questions.iter().filter(|case| !case.as_expected).count();
    answer::write_json(out, &Document { asked: questions.len(), differing, questions })?;
    Ok(())
}
