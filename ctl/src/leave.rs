//! `verdictctl leave` and `verdictctl join`: a daemon is taken out of its balancers' hands before it is restarted, and given back if it is not.
//!
//! Meanwhile it answers whatever it is still asked, and says in each reply that the asker should go elsewhere.

use crate::answer::write_json;
use crate::block::parse_reason;
use crate::control::{Control, Done};
use crate::exit::{Failure, Outcome};
use std::io::Write;
use std::time::{Duration, Instant};
use verdict_wire::{Act, ActRequest, Class};

/// Between two looks at the connections that are left.
const LOOK: Duration = Duration::from_millis(200);

/// Send this node's traffic elsewhere, and serve on: /readyz says 503, replies say "draining", quiet connections are closed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl leave --reason 'upgrade to 0.2' --wait 30
  verdictctl leave --reason 'odd answers, ticket 4713'

The daemon serves on until it is stopped or told to join; one that is started again takes traffic.

Exit status: 0 every shard says so, and with --wait nobody is connected any more; 69 the daemon cannot be reached; 75 some are still connected.")]
pub struct LeaveArguments {
    /// Why, for whoever asks later: one line, at most 128 bytes
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: String,
    /// Return when nobody is connected any more, after so many seconds at the latest
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u32>,
    /// One JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    control: Control,
}

/// Take traffic again after `leave`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: verdictctl join --reason 'it was the network'

Exit status: 0 every shard serves, and /readyz says 200; 69 the daemon cannot be reached.")]
pub struct JoinArguments {
    /// Why, for whoever asks later: one line, at most 128 bytes
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: String,
    /// One JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    control: Control,
}

/// Leaves and tells.
pub fn leave(arguments: &LeaveArguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let began = Instant::now();
    let mut done = act(Act::Leave, &arguments.reason, &arguments.control)?;
    let wait = arguments.wait.map(|seconds| Duration::from_secs(seconds.into()));
    while wait.is_some_and(|wait| done.entries > 0 && began.elapsed() < wait) {
        std::thread::sleep(LOOK);
        done = act(Act::Leave, &arguments.reason, &arguments.control)?;
    }
    if wait.is_some() && done.entries > 0 {
        return Err(Failure::Temporary(format!("told to leave, and {} still connected", done.entries)));
    }
    tell(&done, arguments.json, out)
}

/// Joins and tells.
pub fn join(arguments: &JoinArguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    tell(&act(Act::Join, &arguments.reason, &arguments.control)?, arguments.json, out)
}

fn act(act: Act, reason: &str, control: &Control) -> Result<Done, Failure> {
    control.act(&ActRequest { act, kind: None, class: Class::Unknown, ttl_s: 0, key: b"", reason }, |_| ())
}

fn tell(done: &Done, json: bool, out: &mut dyn Write) -> Result<Outcome, Failure> {
    match json {
        true => write_json(out, done)?,
        false => writeln!(out, "{}", done.text)?,
    }
    Ok(Outcome::Done)
}
