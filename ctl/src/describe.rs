//! `verdictctl describe ID…`: what stands behind verdict ids.

use crate::answer::{self, RecordJson};
use crate::daemon::{Connection, Daemon};
use crate::exit::{Failure, Outcome};
use serde::Serialize;
use std::io::Write;

/// Print the records behind verdict ids
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An id belongs to a generation: another snapshot may use the same number for something else. --generation makes the daemon refuse if
it serves another one by now.

Exit status: 0 all were found, 1 an id does not exist; `verdictctl --help` has the others.")]
pub struct Arguments {
    /// Verdict ids, as `lookup` prints them
    #[arg(required = true, value_name = "ID", value_parser = clap::value_parser!(u32).range(1..=i64::from(verdict_wire::VERDICT_ID_MAX)))]
    ids: Vec<u32>,
    /// The generation that the ids are of, 16 hexadecimal digits; else the one that is served now
    #[arg(long, value_parser = parse_generation)]
    generation: Option<u64>,
    /// One line of JSON per id
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

fn parse_generation(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| "not a generation: write up to 16 hexadecimal digits".to_owned())
}

#[derive(Serialize)]
struct Line {
    verdict_id: u32,
    generation: String,
    /// Null if the generation has no such id.
    record: Option<RecordJson>,
}

/// Asks and prints.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let mut daemon = Daemon::connect(&arguments.connection)?;
    let generation = match arguments.generation {
        Some(generation) => generation,
        None => daemon.call(|client| client.ping(&[]))?,
    };
    let records = daemon.call(|client| client.describe(generation, &arguments.ids))?;
    for (index, (&id, record)) in arguments.ids.iter().zip(&records).enumerate() {
        if arguments.json {
            let known = !record.description.is_absent();
            let record = known.then(|| RecordJson::new(record));
            answer::write_json(out, &Line { verdict_id: id, generation: format!("{generation:016x}"), record })?;
            continue;
        }
        if index > 0 {
            writeln!(out)?;
        }
        answer::write_record(out, generation, id, record)?;
    }
    let all_known = records.iter().all(|record| !record.description.is_absent());
    Ok(if all_known { Outcome::Done } else { Outcome::Found })
}
