//! One input of the reader's fuzz target: the first byte chooses format and terms, the rest is the feed.
//! Shared with intel/tests/corpus.rs, so that what the fuzzer checks and what the test replays cannot part.

use verdict_intel::config::{Action, Feed};
use verdict_intel::detect::detect;
use verdict_intel::judge::Expect;
use verdict_intel::read::Said;
use verdict_intel::read::table::{Column, Columns, Header, Role};
use verdict_intel::scan::{Visitor, scan};
use verdict_intel::{Counts, Format, Reason, plan, vote};
use verdict_tables::{Builder, Rule, Source};

/// Every rule must be one that the table takes, or refuses as out of reach: anything else is our canonical form gone wrong.
struct Checker {
    builder: Builder,
    source: u16,
    feed: Feed,
    format: Format,
    lines: u64,
    told: u64,
}

impl Visitor for Checker {
    fn rule(&mut self, line: u64, rule: Rule<'_>, said: &Said, _reference: Option<&[u8]>) -> Result<(), Reason> {
        assert!(line > 0 && line <= self.lines.max(1), "line {line} of {}", self.lines);
        match self.builder.add(rule, vote(&self.feed, self.format, self.source, said)) {
            Ok(()) => Ok(()),
            Err(verdict_tables::Error::Unreachable(_)) => Err(Reason::Unreachable),
            Err(error) => panic!("{rule:?}: {error}"),
        }
    }

    fn rejected(&mut self, line: u64, _reason: Reason, part: bool, excerpt: &[u8]) {
        assert!(line > 0 && line <= self.lines.max(1), "line {line} of {}", self.lines);
        assert!(excerpt.len() <= verdict_intel::limits::EXCERPT_BYTES);
        self.told += u64::from(!part);
    }
}

/// Reads one input; panics where something does not hold.
pub fn read_any(input: &[u8]) -> Counts {
    let Some((&choice, bytes)) = input.split_first() else { return Counts::default() };
    let _ = detect("fuzz.txt", bytes, choice & 1 == 0);
    let format = Format::ALL[usize::from(choice >> 2) % Format::ALL.len()];
    let header = [Header::Row, Header::Comment, Header::None][usize::from(choice) % 3];
    let roles = [
        (1, Role::Indicator(Expect::Any)),
        (2, Role::Type),
        (3, Role::FirstSeen),
        (4, Role::Confidence),
        (5, Role::Tags),
        (6, Role::Class),
        (7, Role::Reference),
    ];
    let columns =
        Columns { delimiter: b',', quotes: true, header, roles: roles.map(|(number, role)| (Column::Number(number), role)).to_vec() };
    let action = if choice & 2 == 2 { Action::Allow } else { Action::Block };
    let feed =
        Feed { columns: (format == Format::Csv).then_some(columns), prefixes: choice & 1 == 1, action, ..Feed::new("fuzz", "fuzz.txt") };
    let mut builder = Builder::new(verdict_intel::config::Snapshot::default().scheme, b"", 0);
    let source = builder.source(Source { name: "fuzz", licence: "" });
    let lines = bytes.split(|&byte| byte == b'\n').count() as u64;
    let mut checker = Checker { builder, source, feed: feed.clone(), format, lines, told: 0 };
    let (counts, _) = scan(plan(&feed, format), bytes, &mut checker);
    assert!(counts.adds_up(), "{counts:?}");
    assert_eq!(counts.rejected_rows(), checker.told, "each rejected row is told once");
    assert_eq!(counts.rules.total(), checker.builder.votes());
    counts
}
