//! The explanation for people, at 3 a.m.: first what was answered, then what was asked, then who said so, line by line.
//!
//! Canonical text is printable ASCII by construction; everything that a feed, a file name or a daemon wrote is shown escaped.

use super::reading::{Expression, Reading, RuleMatch, Vote};
use crate::columns::{ALARM, Cell, FINE, NOTICE, Table};
use crate::exit::Failure;
use crate::text;
use std::io::Write;
use verdict_tables::Class;

/// Expressions that are shown one by one.
const EXPRESSIONS_MAX: usize = 40;

/// Prints all of it.
pub fn write(out: &mut dyn Write, reading: &Reading) -> Result<(), Failure> {
    writeln!(out, "question    {}", text::visible(reading.question.as_bytes()))?;
    writeln!(out, "kind        {}", reading.kind)?;
    if let Some(reason) = &reading.unparseable {
        writeln!(out, "canonical   none: {reason}")?;
        return Ok(());
    }
    writeln!(out, "canonical   {}", reading.canonical.as_deref().unwrap_or_default())?;
    if let (Some(asked), Some(generation)) = (&reading.asked, &reading.generation) {
        writeln!(out, "asked       {asked}, generation {generation}")?;
        if let Some(store) = &reading.store {
            writeln!(out, "lines from  {store}")?;
        }
        write_answer(out, reading)?;
    }
    write_expressions(out, reading)?;
    if !reading.matches.is_empty() {
        writeln!(out)?;
        let mut table = Table::new(&["", "MATCHES", "RULE", "CLASS", ">SCORE", "CATEGORIES", "FLAGS", ">ID", "SOURCES"]);
        reading.matches.iter().for_each(|one| table.row(row(one)));
        table.write_rows(out)?;
        for one in &reading.matches {
            write_rule(out, one)?;
        }
    }
    if reading.matches_cut {
        writeln!(out, "\nmore rules match than the daemon tells")?;
    }
    if let Some(note) = &reading.store_note {
        writeln!(out, "\nnote: {note}")?;
    }
    Ok(())
}

fn write_answer(out: &mut dyn Write, reading: &Reading) -> Result<(), Failure> {
    let Some(winner) = reading.winner() else {
        match reading.models.is_empty() {
            true if !reading.matches.is_empty() => writeln!(out, "answer      unknown: whatever matches is switched off")?,
            true => writeln!(out, "answer      unknown: no rule matches")?,
            false => writeln!(out, "answer      no rule matches; models were asked:")?,
        }
        for line in &reading.models {
            writeln!(out, "  {line}")?;
        }
        return Ok(());
    };
    let style = class_style(winner.found.class);
    let id = winner.verdict_id.map_or(String::new(), |id| format!(", verdict {id}"));
    write!(out, "answer      {style}{}{style:#}, score {}", winner.class, winner.score)?;
    for part in [&winner.categories, &winner.flags] {
        if !part.is_empty() {
            write!(out, ", {}", part.join("|"))?;
        }
    }
    writeln!(out, "{id}")?;
    if let Some(overlay) = &reading.overlay {
        writeln!(out, "operator    {overlay}")?;
    }
    Ok(())
}

/// What was asked, and what was not, where that is not too much.
fn write_expressions(out: &mut dyn Write, reading: &Reading) -> Result<(), Failure> {
    let nobody = reading.asked.is_none();
    let matching: Vec<&str> = reading.matches.iter().map(|one| one.on.trim_end_matches('…')).collect();
    let mut shown = 0;
    let mut write_one = |out: &mut dyn Write, expression: &Expression| -> Result<(), Failure> {
        let whole = format!("{}{}", expression.host, expression.path.as_deref().unwrap_or_default());
        let said = match (matching.contains(&whole.as_str()), expression.listed) {
            (true, _) => "  matches",
            (false, true) => "  listed for what stands under it",
            (false, false) => "",
        };
        shown += 1;
        if shown <= EXPRESSIONS_MAX {
            writeln!(
                out,
                "{}{whole}{said}",
                if shown == 1 { if nobody { "would ask   " } else { "expressions " } } else { "            " }
            )?;
        }
        Ok(())
    };
    let asked = |expression: &&Expression| nobody || expression.asked;
    reading.expressions.iter().filter(asked).try_for_each(|expression| write_one(out, expression))?;
    if shown > EXPRESSIONS_MAX {
        writeln!(out, "            and {} more (--json has all)", shown - EXPRESSIONS_MAX)?;
    }
    let left = reading.expressions.iter().filter(|expression| !asked(expression)).count();
    if left > 0 {
        writeln!(out, "not asked   {} of host and path: no rules of their kind stand under these hosts", text::counted(left, "pair"))?;
    }
    Ok(())
}

fn row(one: &RuleMatch) -> [Cell; 9] {
    [
        match (one.wins, one.off) {
            (true, _) => "wins",
            (_, true) => "off",
            _ => "",
        }
        .into(),
        one.on.clone().into(),
        one.rule.into(),
        Cell::from(one.class).coloured(class_style(one.found.class)),
        one.score.to_string().into(),
        or_dash(&one.categories).into(),
        or_dash(&one.flags).into(),
        one.verdict_id.map_or("-".to_owned(), |id| id.to_string()).into(),
        one.sources.iter().map(|name| text::visible(name.as_bytes())).collect::<Vec<_>>().join(", ").into(),
    ]
}

/// Why it wins or loses, and who said so.
fn write_rule(out: &mut dyn Write, one: &RuleMatch) -> Result<(), Failure> {
    writeln!(
        out,
        "\n{} {} {}",
        if one.wins {
            "wins "
        } else if one.off {
            "off  "
        } else {
            "loses"
        },
        one.rule,
        one.on
    )?;
    writeln!(out, "      because {}", one.why)?;
    if let Some(note) = &one.note {
        writeln!(out, "      note: {note}")?;
    }
    for vote in &one.votes {
        write_vote(out, vote)?;
    }
    if one.votes_cut {
        writeln!(out, "      and more lines of the same rule")?;
    }
    Ok(())
}

fn write_vote(out: &mut dyn Write, vote: &Vote) -> Result<(), Failure> {
    let Vote { feed, file, line, says, score, confidence, .. } = vote;
    write!(out, "      {file}:{line}  {feed} says {says}, score {score}, confidence {confidence}")?;
    if !vote.categories.is_empty() {
        write!(out, ", {}", vote.categories.join("|"))?;
    }
    for (what, day) in [("since", &vote.first_seen), ("until", &vote.last_seen)] {
        if let Some(day) = day {
            write!(out, ", {what} {day}")?;
        }
    }
    writeln!(out, "; {}", vote.why)?;
    if let Some(reference) = &vote.reference {
        writeln!(out, "        see {reference}")?;
    }
    match (&vote.text, &vote.text_note) {
        (Some(text), _) => writeln!(out, "        | {text}")?,
        (None, Some(note)) => writeln!(out, "        (no text: {note})")?,
        (None, None) => {}
    }
    Ok(())
}

fn class_style(class: Class) -> anstyle::Style {
    match class {
        Class::Malicious => ALARM,
        Class::Suspicious => NOTICE,
        Class::Clean => FINE,
        Class::Unknown => anstyle::Style::new(),
    }
}

fn or_dash(names: &[&str]) -> String {
    if names.is_empty() { "-".to_owned() } else { names.join("|") }
}
