//! `verdictctl lookup KEY…`: what does the daemon say of these, and why?
//!
//! Keys of the command line are one question and get one generation. With `-` each batch of lines that is there is asked at once, so that
//! both a file of millions and `tail -f` work; memory stays at one batch. With `--file` the keys are files of this machine: `lookup/files.rs`.

mod files;
mod pe;

use crate::answer::{self, AnswerJson};
use crate::columns::Table;
use crate::daemon::{Answered, Connection, Daemon, Records};
use crate::exit::{Failure, Outcome};
use crate::question::{KindChoice, Question, kind_name};
use crate::text;
use files::FileRead;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use verdict_wire::FeatureSet;

/// Lines of standard input that are read before they are asked.
const LINES_MAX: usize = 1024;
/// A line that is longer is cut here and asked so: it is unparseable either way.
const LINE_BYTES_MAX: usize = verdict_wire::KEY_BYTES_MAX + 1;

/// Ask what the daemon knows of URLs, hosts, addresses, files or their hashes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl lookup http://example.test/a 192.0.2.1 44d88612fea8a8f36de82e1278abb02f
  verdictctl lookup --connect /run/verdictd/verdictd.sock --describe example.test
  verdictctl lookup --file ~/Downloads/*
  zcat access.log.gz | cut -d' ' -f7 | verdictctl lookup --json -

A file is asked by its SHA-256. Of a Windows program (PE) 49 fields of its headers go along, for models that read them; the file itself stays here.

Exit status: 0 nothing malicious or suspicious, 1 something is; else 65 if a key is no key, 75 if one was not judged; 66 a file cannot be read; `verdictctl --help` has the others.")]
pub struct Arguments {
    /// URL, host, IPv4 or IPv6 address, SHA-256, SHA-1 or MD5; `-` reads one a line from standard input
    #[arg(required_unless_present = "files", conflicts_with = "files", value_name = "KEY")]
    keys: Vec<OsString>,
    /// Ask for these files, instead of keys
    #[arg(long = "file", value_name = "FILE", num_args = 1.., conflicts_with = "kind")]
    files: Vec<PathBuf>,
    /// Take keys as this kind instead of by their look
    #[arg(long, value_enum, default_value_t = KindChoice::Auto)]
    kind: KindChoice,
    /// One line of JSON per key
    #[arg(long)]
    json: bool,
    /// Print the whole record behind each verdict
    #[arg(long, conflicts_with = "json")]
    describe: bool,
    /// Do not shorten long keys
    #[arg(long, conflicts_with = "json")]
    wide: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Asks and prints.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    if !arguments.files.is_empty() {
        return files(arguments, out);
    }
    let from_stdin = arguments.keys.iter().any(|key| key == "-");
    if from_stdin && arguments.keys.len() > 1 {
        return Err(Failure::Usage("`-` takes all keys from standard input: give no others".to_owned()));
    }
    if from_stdin {
        return stdin(arguments, out);
    }
    let questions = arguments.keys.iter().map(|key| Question::new(key.as_bytes(), arguments.kind)).collect::<Result<Vec<_>, _>>()?;
    let mut session = Session::new(arguments, out)?;
    session.ask(&questions)?;
    session.end()
}

fn files(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let files = arguments.files.iter().map(|path| FileRead::read(path)).collect::<Result<Vec<_>, _>>()?;
    files.iter().filter_map(FileRead::broken).for_each(|why| eprintln!("verdictctl: {why}"));
    let questions: Vec<Question> = files.iter().map(FileRead::question).collect();
    let mut session = Session::new(arguments, out)?;
    let answered = session.daemon.ask_files(&files.iter().map(FileRead::asked).collect::<Vec<_>>())?;
    session.tell(&questions, &files, &answered)?;
    session.end()
}

fn stdin(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let mut session = Session::new(arguments, out)?;
    let mut input = BufReader::with_capacity(256 << 10, io::stdin().lock());
    let mut number = 0;
    loop {
        let lines = read_lines(&mut input).map_err(|error| Failure::Input(format!("standard input, after line {number}: {error}")))?;
        let mut questions = Vec::with_capacity(lines.len());
        for line in &lines {
            number += 1;
            if line.is_empty() {
                continue;
            }
            match Question::new(line, arguments.kind) {
                Ok(question) => questions.push(question),
                Err(failure) => {
                    session.ask(&questions)?;
                    return Err(Failure::Usage(format!("standard input, line {number}: {failure}")));
                }
            }
        }
        session.ask(&questions)?;
        if lines.is_empty() {
            return session.end();
        }
    }
}

/// The lines that are there, at least one unless the input has ended.
fn read_lines(input: &mut BufReader<impl io::Read>) -> io::Result<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    while lines.len() < LINES_MAX && (lines.is_empty() || input.buffer().contains(&b'\n')) {
        match read_line(input)? {
            Some(line) => lines.push(line),
            None => break,
        }
    }
    Ok(lines)
}

/// The next line without its end; what is past LINE_BYTES_MAX is skipped.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut any = false;
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(any.then_some(line));
        }
        any = true;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        line.extend_from_slice(&part[..part.len().min(LINE_BYTES_MAX - line.len())]);
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(Some(line));
        }
    }
}

/// One connection, what it has printed, and what that amounts to.
struct Session<'a> {
    arguments: &'a Arguments,
    out: &'a mut dyn Write,
    daemon: Daemon,
    records: Records,
    table: Table,
    outcome: Outcome,
}

impl<'a> Session<'a> {
    fn new(arguments: &'a Arguments, out: &'a mut dyn Write) -> Result<Self, Failure> {
        let first = if arguments.files.is_empty() { ["KEY", "KIND"] } else { ["FILE", "ASKED BY"] };
        let table = Table::new(&[first[0], first[1], "ANSWER", ">SCORE", "CATEGORIES", "FLAGS", ">ID", "WHY"]);
        let daemon = Daemon::connect(&arguments.connection)?;
        Ok(Self { arguments, out, daemon, records: Records::default(), table, outcome: Outcome::Done })
    }

    fn ask(&mut self, questions: &[Question]) -> Result<(), Failure> {
        if questions.is_empty() {
            return Ok(());
        }
        let answered = self.daemon.ask_together(questions)?;
        self.tell(questions, &[], &answered)
    }

    /// `files`: what the questions are about, where they are files.
    fn tell(&mut self, questions: &[Question], files: &[FileRead], answered: &[Answered]) -> Result<(), Failure> {
        self.daemon.describe(answered, &mut self.records)?;
        self.outcome = answer::worse(self.outcome, answer::outcome(answered));
        if self.arguments.json {
            self.print_json(questions, files, answered)?
        } else {
            self.print_table(questions, files, answered)?
        }
        self.out.flush()?;
        Ok(())
    }

    fn print_json(&mut self, questions: &[Question], files: &[FileRead], answered: &[Answered]) -> Result<(), Failure> {
        #[derive(serde::Serialize)]
        struct Line<'a> {
            #[serde(flatten)]
            answer: AnswerJson,
            #[serde(skip_serializing_if = "Option::is_none")]
            file: Option<&'a FileRead>,
        }
        for (at, (question, one)) in questions.iter().zip(answered).enumerate() {
            answer::write_json(self.out, &Line { answer: AnswerJson::new(question, one, self.records.of(one)), file: files.get(at) })?;
        }
        Ok(())
    }

    fn print_table(&mut self, questions: &[Question], files: &[FileRead], answered: &[Answered]) -> Result<(), Failure> {
        let columns_max = if self.arguments.wide { usize::MAX } else { text::KEY_COLUMNS_MAX };
        let asked_by = |file: &FileRead| if file.features() == FeatureSet::None { "sha256" } else { "sha256, headers" };
        for (at, (question, one)) in questions.iter().zip(answered).enumerate() {
            let Answered { answer, .. } = *one;
            self.table.row([
                text::shortened(&question.visible(), columns_max).into(),
                files.get(at).map_or(kind_name(question.kind), asked_by).into(),
                answer::word_cell(answer),
                answer.score().to_string().into(),
                answer.categories().to_string().into(),
                answer.flags().to_string().into(),
                if answer.id() == 0 { "-".to_owned() } else { answer.id().to_string() }.into(),
                answer::why(question, one, self.records.of(one)).into(),
            ]);
        }
        self.table.write_rows(self.out)?;
        if let Some(Answered { generation, time, .. }) = answered.first() {
            writeln!(
                self.out,
                "{}, generation {generation:016x}, {}",
                text::counted(answered.len(), if files.is_empty() { "key" } else { "file" }),
                text::duration(*time)
            )?;
        }
        if self.arguments.describe {
            self.print_records(answered)?
        }
        Ok(())
    }

    fn print_records(&mut self, answered: &[Answered]) -> Result<(), Failure> {
        let mut printed = BTreeSet::new();
        for one in answered {
            let Some(record) = self.records.of(one) else { continue };
            if printed.insert((one.generation, one.answer.id())) {
                writeln!(self.out)?;
                answer::write_record(self.out, one.generation, one.answer.id(), record)?;
            }
        }
        Ok(())
    }

    fn end(self) -> Result<Outcome, Failure> {
        Ok(self.outcome)
    }
}
