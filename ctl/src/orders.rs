//! `verdictctl reload` and `verdictctl drain`: what a signal would ask of the daemon, with an answer.
//!
//! SIGHUP returns before anything was looked at, and nobody is told that a snapshot was refused; `reload` returns when every shard answers by what is
//! there, or says why it does not.

use crate::answer::write_json;
use crate::block::parse_reason;
use crate::control::{Control, DEADLINE};
use crate::exit::{Failure, Outcome};
use crate::text;
use std::io::Write;
use std::time::Duration;
use verdict_wire::{Act, ActRequest, Class};

/// Look again at snapshot, models, rules on trial and certificates, and return when what is there is served
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl reload
  verdictctl reload --wait 600

What SIGHUP asks for, with an answer. Whatever of it must not be used leaves what was before in its place, and the status is 3.

Exit status: 0 served by every shard; 3 refused: the message says why; 69 the daemon cannot be reached; 75 it lasts longer than --wait, and goes on.")]
pub struct ReloadArguments {
    /// Seconds to wait for it
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=900))]
    wait: u32,
    /// One JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    control: Control,
}

/// Let the daemon finish what it was asked, accept nothing more, and end
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: verdictctl drain --reason 'kernel update'

What SIGTERM asks for. /readyz says 503 from now on, so that load balancers go elsewhere; connections are closed as they become idle. The daemon ends by
itself after that, with status 0, at the latest after limits.drain_deadline_ms; systemd does not start it again by itself.

Exit status: 0 draining; 69 the daemon cannot be reached.")]
pub struct DrainArguments {
    /// Why, for the log
    #[arg(long, value_name = "TEXT", value_parser = parse_reason, default_value = "asked for")]
    reason: String,
    /// One JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    control: Control,
}

/// Reloads and tells.
pub fn reload(arguments: &ReloadArguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let wait = Duration::from_secs(arguments.wait.into());
    let done = arguments.control.told_within(wait, &order(Act::Reload, ""), |_| ())?;
    if arguments.json {
        write_json(out, &done)?;
    } else {
        writeln!(out, "{}", done.text)?;
        writeln!(out, "served by every shard after {}", text::duration(Duration::from_micros(done.took_us.into())))?;
    }
    Ok(Outcome::Done)
}

/// Drains and tells.
pub fn drain(arguments: &DrainArguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let done = arguments.control.told_within(DEADLINE, &order(Act::Drain, &arguments.reason), |_| ())?;
    if arguments.json {
        write_json(out, &done)?
    } else {
        writeln!(out, "{}", done.text)?
    }
    Ok(Outcome::Done)
}

fn order(act: Act, reason: &str) -> ActRequest<'_> {
    ActRequest { act, kind: None, class: Class::Unknown, ttl_s: 0, key: b"", reason }
}
