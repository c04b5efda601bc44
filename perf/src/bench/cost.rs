//! What a server pays for a key: requests under way all the time, keys per second of the server's own CPU time.
//!
//! ```text
//! round 1: A B C │ round 2: B C A │ round 3: C A B │ ...      one generator, one server at a time, the others idle
//! ```
//! A run that says nothing is discarded and done again, at most `RETRIES` times a round; how many and why goes into the record.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::unexpected;
use crate::fleet::{self, Dialect, Outcome, Pace, Plan, Pool, Trust};

/// Runs that may be done again, of one server in one round.
const RETRIES: usize = 4;

/// How hard a server is asked.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demand {
    /// How many.
    pub connections: usize,
    /// Requests on each.
    pub in_flight: usize,
}

/// How long.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// Measured.
    pub seconds: f64,
    /// Before that.
    pub warm_up: f64,
}

/// Runs that were not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    /// The generator started requests later than it meant to.
    pub generator_lagged: usize,
    /// Other processes used the CPUs.
    #[serde(default)]
    pub neighbours: usize,
    /// The server's clock did not advance.
    pub clock_stood_still: usize,
    /// The server answered *overloaded*: it was kept from its CPU.
    pub overloaded: usize,
}

impl Discarded {
    /// All of them.
    pub fn total(&self) -> usize {
        self.generator_lagged + self.neighbours + self.clock_stood_still + self.overloaded
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Discarded {
            generator_lagged: self.generator_lagged + other.generator_lagged,
            neighbours: self.neighbours + other.neighbours,
            clock_stood_still: self.clock_stood_still + other.clock_stood_still,
            overloaded: self.overloaded + other.overloaded,
        }
    }
}

/// Asks a server by a plan.
type Run<'a> = Box<dyn Fn(&Plan) -> io::Result<Outcome> + 'a>;

/// One server as it is asked.
pub struct Side<'a> {
    /// As figures name it.
    pub name: &'a str,
    address: SocketAddr,
    pid: u32,
    run: Run<'a>,
    requests: usize,
    trust: Option<&'static Trust>,
}

impl<'a> Side<'a> {
    /// A server that speaks this dialect.
    pub fn new<D: Dialect + 'a>(name: &'a str, address: SocketAddr, pid: u32, pool: Pool, dialect: D) -> Self {
        let requests = pool.len();
        Side { name, address, pid, run: Box::new(move |plan| fleet::run(plan, &pool, &dialect)), requests, trust: None }
    }

    /// The same over encrypted connections.
    pub fn over(self, trust: &'static Trust) -> Self {
        Side { trust: Some(trust), ..self }
    }
}

/// Of one server, a value a round.
#[derive(Clone, Debug, Default)]
pub struct Costs {
    /// Keys per second of its CPU time.
    pub keys_per_cpu_s: Vec<f64>,
    /// Its CPU time as a share of the wall clock: well below one, the generator was the slower end.
    pub cpu_share: Vec<f64>,
}

/// All servers in turn, `rounds` times.
pub fn rounds(sides: &[Side<'_>], demand: Demand, times: Times, rounds: usize) -> io::Result<(Vec<Costs>, Discarded)> {
    let mut costs = vec![Costs::default(); sides.len()];
    let mut discarded = Discarded::default();
    for round in 0..rounds {
        for turn in 0..sides.len() {
            let at = (round + turn) % sides.len();
            let outcome = measured(&sides[at], demand, times, round, &mut discarded)?;
            let cpu = outcome.server_cpu.unwrap_or_default().as_secs_f64();
            costs[at].keys_per_cpu_s.push(outcome.keys as f64 / cpu);
            costs[at].cpu_share.push(cpu / outcome.elapsed.as_secs_f64());
        }
    }
    Ok((costs, discarded))
}

fn measured(side: &Side<'_>, demand: Demand, times: Times, round: usize, discarded: &mut Discarded) -> io::Result<Outcome> {
    let mut plan = Plan {
        warm_up: Duration::from_secs_f64(times.warm_up),
        duration: Duration::from_secs_f64(times.seconds),
        server_pid: Some(side.pid),
        // Not the same keys in every round: those at the front would stay in caches.
        first: side.requests / 10 * round,
        trust: side.trust,
        ..Plan::new(side.address, demand.connections, Pace::Closed { in_flight: demand.in_flight })
    };
    for _ in 0..=RETRIES {
        let outcome = (side.run)(&plan)?;
        if outcome.tally.wrong > outcome.tally.overloaded || outcome.tally.odd > 0 {
            return Err(unexpected(&format!("{}: {:?}; the wrong share", side.name, outcome.tally), wrong_share(&outcome)));
        }
        if outcome.tally.overloaded > 0 {
            discarded.overloaded += 1;
        } else if outcome.server_cpu.is_none_or(|cpu| cpu.is_zero()) {
            discarded.clock_stood_still += 1;
            plan.duration *= 2;
        } else {
            return Ok(outcome);
        }
    }
    Err(io::Error::other(format!("{}: {RETRIES} runs in a row say nothing: {discarded:?}", side.name)))
}

fn wrong_share(outcome: &Outcome) -> f64 {
    outcome.tally.wrong as f64 / outcome.checked_keys.max(1) as f64
}
