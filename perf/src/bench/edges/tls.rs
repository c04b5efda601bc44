//! TLS beside plain connections: the same frames of 100 URLs to two listeners of one kind, lookups per second of the server's CPU time.

use std::io;
use std::path::Path;
use std::process::Command;

use super::Bench;
use crate::bench::cost::{self, Demand, Side};
use crate::fleet::{Binary, Trust};
use crate::report::{Figure, How};

const BATCH: usize = 100;
const DEMAND: Demand = Demand { connections: 8, in_flight: 4 };

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let directory = std::env::temp_dir().join(format!("verdict-perf-tls-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let made = certificate(&directory);
    let result = match made {
        Ok(()) => beside(bench, &directory),
        Err(error) => {
            bench.notes.push(format!("tls_vs_plain_b{BATCH} is left out: no certificate could be made: {error}"));
            Ok(())
        }
    };
    std::fs::remove_dir_all(&directory)?;
    result
}

fn beside(bench: &mut Bench<'_>, directory: &Path) -> io::Result<()> {
    let pool = bench.urls.frames(BATCH);
    let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
    let sections = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\non = [\"SECOND\"]\n");
    let daemon = bench.daemon(&sections)?;
    let trust = Trust::of(&certificate)?;
    let sides = [
        Side::new("plain", daemon.address, daemon.pid(), pool.clone(), Binary),
        Side::new("tls", daemon.second, daemon.pid(), pool, Binary).over(trust),
    ];
    let (costs, discarded) = cost::rounds(&sides, DEMAND, bench.size.times, bench.runs())?;
    bench.discarded = bench.discarded.and(discarded);
    let figure = |at: usize| {
        let name = format!("tls_{}_b{BATCH}_ns", sides[at].name);
        Figure::new(name, "CPU-ns/key", How::Measured, "", costs[at].keys_per_cpu_s.iter().map(|rate| 1e9 / rate).collect())
    };
    let ratio = costs[1].keys_per_cpu_s.iter().zip(&costs[0].keys_per_cpu_s).map(|(tls, plain)| tls / plain).collect();
    bench.figures.push(Figure::new(format!("tls_vs_plain_b{BATCH}"), "ratio of keys/CPU-s", How::Measured, "plain connections", ratio));
    bench.figures.extend([figure(0), figure(1)]);
    daemon.stop()
}

/// Its own authority: ECDSA P-256, for `localhost`.
fn certificate(directory: &Path) -> io::Result<()> {
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(directory)
        .output()?;
    if output.status.success() { Ok(()) } else { Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())) }
}
