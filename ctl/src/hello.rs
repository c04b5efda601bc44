//! `verdictctl hello`: what the daemon says of itself.

use crate::answer::write_json;
use crate::daemon::{Connection, Daemon};
use crate::exit::{Failure, Outcome};
use crate::text;
use serde::Serialize;
use std::io::Write;
use verdict_wire::{Hello, Scheme};

/// Print the daemon's version, limits, generation and profile
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// One JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Serialize)]
struct Document {
    endpoint: String,
    server: String,
    protocol: u8,
    protocol_min: u8,
    protocol_max: u8,
    generation: String,
    profile: ProfileJson,
    limits: LimitsJson,
}

#[derive(Serialize)]
struct ProfileJson {
    scheme: String,
    host_labels_max: u8,
    path_prefixes_max: u8,
}

#[derive(Serialize)]
struct LimitsJson {
    frame_bytes_max: u32,
    keys_max: u32,
    key_bytes_max: u32,
    requests_in_flight_max: u32,
}

/// Asks and prints. The hash key is not printed: who has it can make keys that collide.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let mut daemon = Daemon::connect(&arguments.connection)?;
    let hello = daemon.call(|client| client.hello())?;
    let document = document(daemon.endpoint(), &hello);
    if arguments.json {
        write_json(out, &document)?;
        return Ok(Outcome::Done);
    }
    let Document { endpoint, server, protocol, protocol_min, protocol_max, generation, profile, limits } = document;
    writeln!(out, "endpoint        {endpoint}")?;
    writeln!(out, "server          {server}")?;
    writeln!(out, "protocol        {protocol} (speaks {protocol_min} to {protocol_max})")?;
    writeln!(out, "generation      {generation}{}", if hello.generation == 0 { " (no snapshot)" } else { "" })?;
    writeln!(
        out,
        "profile         {}, host labels up to {}, path prefixes up to {}",
        profile.scheme, profile.host_labels_max, profile.path_prefixes_max
    )?;
    writeln!(out, "frame           up to {}, {} keys", text::bytes(limits.frame_bytes_max.into()), limits.keys_max)?;
    writeln!(out, "key             up to {}", text::bytes(limits.key_bytes_max.into()))?;
    writeln!(out, "in flight       up to {} requests on a connection", limits.requests_in_flight_max)?;
    Ok(Outcome::Done)
}

fn document(endpoint: String, hello: &Hello) -> Document {
    let scheme =
        Scheme::from_raw(hello.profile.scheme).map_or_else(|| format!("unknown ({})", hello.profile.scheme), |scheme| scheme.to_string());
    Document {
        endpoint,
        server: text::visible(hello.server.as_bytes()),
        protocol: hello.version,
        protocol_min: hello.version_min,
        protocol_max: hello.version_max,
        generation: format!("{:016x}", hello.generation),
        profile: ProfileJson { scheme, host_labels_max: hello.profile.host_labels_max, path_prefixes_max: hello.profile.path_prefixes_max },
        limits: LimitsJson {
            frame_bytes_max: hello.limits.frame_bytes_max,
            keys_max: hello.limits.keys_max,
            key_bytes_max: hello.limits.key_bytes_max,
            requests_in_flight_max: hello.limits.requests_in_flight_max,
        },
    }
}
