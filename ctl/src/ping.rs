//! `verdictctl ping`: is it there, and how far away?
//!
//! One frame at a time on one connection, so each figure is a round trip through kernel, shard and back, with nothing else in the way.

use crate::answer::write_json;
use crate::daemon::{Connection, Daemon};
use crate::exit::{Failure, Outcome};
use crate::text;
use serde::Serialize;
use std::io::Write;
use std::time::{Duration, Instant};

/// Measure round trips
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// One JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Serialize)]
struct Document {
    endpoint: String,
    generation: String,
    count: usize,
    min_us: f64,
    median_us: f64,
    max_us: f64,
}

/// Measures and prints.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let mut daemon = Daemon::connect(&arguments.connection)?;
    let mut times = Vec::with_capacity(arguments.count as usize);
    let mut generation = 0;
    for number in 0..arguments.count {
        let begun = Instant::now();
        generation = daemon.call(|client| client.ping(&number.to_le_bytes()))?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let (min, median, max) = (times[0], median(&times), times[times.len() - 1]);
    if arguments.json {
        let us = |time: Duration| time.as_nanos() as f64 / 1e3;
        let generation = format!("{generation:016x}");
        let document = Document {
            endpoint: daemon.endpoint(),
            generation,
            count: times.len(),
            min_us: us(min),
            median_us: us(median),
            max_us: us(max),
        };
        write_json(out, &document)?;
        return Ok(Outcome::Done);
    }
    let [min, median, max] = [min, median, max].map(text::duration);
    writeln!(out, "{}: {}, min {min}, median {median}, max {max}", daemon.endpoint(), text::counted(times.len(), "round trip"))?;
    writeln!(out, "generation {generation:016x}")?;
    Ok(Outcome::Done)
}

/// Of sorted times, at least one.
fn median(sorted: &[Duration]) -> Duration {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_median_of_odd_and_even_numbers() {
        let times = |numbers: &[u64]| numbers.iter().map(|&n| Duration::from_nanos(n)).collect::<Vec<_>>();
        assert_eq!(median(&times(&[7])), Duration::from_nanos(7));
        assert_eq!(median(&times(&[1, 3, 9])), Duration::from_nanos(3));
        assert_eq!(median(&times(&[1, 3, 5, 9])), Duration::from_nanos(4));
    }
}
