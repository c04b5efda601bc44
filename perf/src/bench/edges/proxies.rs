//! What asking verdictd adds to a request's time in real proxies: HAProxy by SPOE, nginx by `auth_request`.
//!
//! ```text
//! generator ─► proxy, plain ─► 200          the same process, two ports, the same pace
//!           ─► proxy, asking ─► 200 or 403  added = p99 of these - p99 of those, pair by pair
//!                  └─► verdictd, on the proxy's CPU
//! ```
//! The pace is half of what the asking port does in a closed loop. The responses come from the proxy itself, so that nothing else is measured.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Bench;
use crate::bench::unexpected;
use crate::fleet::{self, Http, Outcome, Pace, Plan, Pool};
use crate::report::{Figure, How};
use crate::spawn::{Daemon, free_address};

const CONNECTIONS: usize = 32;
/// Runs in a closed loop, of which the best says what half of saturation is.
const SATURATIONS: usize = 3;

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    for (name, program, configure) in
        [("spoe", "haproxy", haproxy as fn(&Path, &Daemon, [SocketAddr; 2]) -> io::Result<Command>), ("nginx", "nginx", nginx)]
    {
        if Command::new(program).arg("-v").output().is_err() {
            bench.notes.push(format!("{name}_added_p99_us is left out: {program} is not installed"));
            continue;
        }
        let daemon = bench.daemon("")?;
        beside(bench, name, &daemon, configure)?;
        daemon.stop()?;
    }
    Ok(())
}

fn beside(
    bench: &mut Bench<'_>,
    name: &str,
    daemon: &Daemon,
    configure: fn(&Path, &Daemon, [SocketAddr; 2]) -> io::Result<Command>,
) -> io::Result<()> {
    let [plain, asking] = [free_address()?, free_address()?];
    let proxy = Proxy::start(bench.cpu, [plain, asking], |directory| configure(directory, daemon, [plain, asking]))?;
    let pool = bench.urls.requests(encode);
    let closed = |address, judges| fleet::run(&plan(bench, address, Pace::Closed { in_flight: 1 }), &pool, &Http { judges });
    // The most of a few: what a neighbour takes makes a saturation lower than it is, and the pace with it.
    let mut saturations = [0.0f64; 2];
    for _ in 0..SATURATIONS {
        let (alone, with) = (closed(plain, false)?, closed(asking, true)?);
        as_foretold(name, &with)?;
        let reached = [alone, with].map(|outcome| outcome.answered as f64 / outcome.elapsed.as_secs_f64());
        saturations.iter_mut().zip(reached).for_each(|(most, reached)| *most = most.max(reached));
    }
    let pace = saturations[1] / 2.0;
    bench.notes.push(format!(
        "{name}: {:.0} requests/s plain, {:.0} asking, in a closed loop of {CONNECTIONS} connections; pace {pace:.0}",
        saturations[0], saturations[1]
    ));
    let (mut added, mut medians, mut samples) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    for round in 0..bench.runs() {
        let mut us = [[0.0; 2]; 2];
        for turn in 0..2 {
            let at = (round + turn) % 2;
            let outcome = open(bench, [plain, asking][at], at == 1, pace, &pool)?;
            as_foretold(name, &outcome)?;
            us[at] = [0.5, 0.99].map(|quantile| outcome.latency.value_at_quantile(quantile) as f64 / 1e3);
        }
        medians.push(us[1][0] - us[0][0]);
        added.push(us[1][1] - us[0][1]);
        samples.iter_mut().zip(us).for_each(|(samples, us)| samples.push(us[1]));
    }
    drop(proxy);
    let figure = |what: &str, samples| Figure::new(format!("{name}_{what}_us"), "us", How::Measured, "the same proxy, plain", samples);
    let [plain, asking] = samples;
    bench.figures.extend([
        figure("added_p99", added),
        figure("added_p50", medians),
        figure("plain_p99", plain),
        figure("asking_p99", asking),
    ]);
    Ok(())
}

fn plan(bench: &Bench<'_>, address: SocketAddr, pace: Pace) -> Plan {
    Plan {
        warm_up: Duration::from_secs_f64(bench.size.times.warm_up),
        duration: Duration::from_secs_f64(bench.size.times.seconds),
        ..Plan::new(address, CONNECTIONS, pace)
    }
}

fn open(bench: &mut Bench<'_>, address: SocketAddr, judges: bool, per_second: f64, pool: &Pool) -> io::Result<Outcome> {
    // A proxy has one request of a client under way on a connection; others wait for it, and their wait is latency.
    let plan = Plan { in_flight_max: 1, spins: bench.cpu.is_some(), ..plan(bench, address, Pace::Open { per_second }) };
    bench.punctual(&plan, pool, &Http { judges })
}

/// A response that the oracle does not foretell ends the bench.
fn as_foretold(name: &str, outcome: &Outcome) -> io::Result<()> {
    match outcome.tally.wrong {
        0 => Ok(()),
        wrong => Err(unexpected(&format!("{name}: of {} responses, the wrong ones", outcome.answered), wrong as f64)),
    }
}

fn encode(out: &mut Vec<u8>, host: &str, path: &str) {
    for part in ["GET ", path, " HTTP/1.1\r\nHost: ", host, "\r\nUser-Agent: verdict-perf\r\nAccept: */*\r\n\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// A proxy of our own for the time of a bench, with its directory.
struct Proxy {
    child: Child,
    directory: PathBuf,
}

impl Proxy {
    fn start(cpu: Option<usize>, ports: [SocketAddr; 2], configure: impl FnOnce(&Path) -> io::Result<Command>) -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("verdict-perf-proxy-{}-{}", std::process::id(), ports[0].port()));
        std::fs::create_dir(&directory)?;
        let command = configure(&directory)?;
        let mut pinned = match cpu {
            Some(cpu) => {
                let mut pinned = Command::new("taskset");
                pinned.args(["-c", &cpu.to_string()]).arg(command.get_program());
                pinned
            }
            None => Command::new(command.get_program()),
        };
        let log = std::fs::File::create(directory.join("log"))?;
        pinned.args(command.get_args()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut proxy = Proxy { child: pinned.spawn()?, directory };
        for _ in 0..500 {
            if ports.iter().all(|port| std::net::TcpStream::connect(port).is_ok()) {
                // Its health checks have to find verdictd first.
                std::thread::sleep(Duration::from_millis(1_200));
                return Ok(proxy);
            }
            if proxy.child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let log = std::fs::read_to_string(proxy.directory.join("log")).unwrap_or_default();
        Err(io::Error::other(format!("the proxy did not come up:\n{log}")))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // nginx's master takes its worker with it only when it is asked to end.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The shipped description of messages; two sites that answer by themselves.
fn haproxy(directory: &Path, daemon: &Daemon, [plain, asking]: [SocketAddr; 2]) -> io::Result<Command> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/balancers/haproxy/verdictd-spoe.conf");
    let messages = std::fs::read_to_string(&shipped).map_err(|error| io::Error::other(format!("{}: {error}", shipped.display())))?;
    let (spoe, path) = (directory.join("spoe.conf"), directory.join("haproxy.cfg"));
    std::fs::write(&spoe, messages.replace("\"$VERDICTD_WAIT\"", "1s"))?;
    let config = format!(
        "global\n    nbthread 1\n    maxconn 2000\n\
         defaults\n    mode http\n    timeout connect 2s\n    timeout client 30s\n    timeout server 30s\n\
         frontend plain\n    bind {plain}\n    http-request return status 200\n\
         frontend asking\n    bind {asking}\n    filter spoe engine verdictd config {}\n\
         \x20   http-request return status 403 if {{ var(txn.verdict.class) -m str malicious }}\n\
         \x20   http-request return status 500 unless {{ var(txn.verdict.status) -m str ok }}\n    http-request return status 200\n\
         backend verdictd\n    mode tcp\n    option spop-check\n    timeout connect 500ms\n    timeout server 1m\n    server one {} check inter 500ms\n",
        spoe.display(),
        daemon.spop
    );
    std::fs::write(&path, config)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(path);
    Ok(command)
}

/// One worker; what is allowed is an empty file.
fn nginx(directory: &Path, daemon: &Daemon, [plain, asking]: [SocketAddr; 2]) -> io::Result<Command> {
    let root = directory.join("root");
    std::fs::create_dir(&root)?;
    std::fs::write(root.join("ok"), b"")?;
    let (at, root, path) = (directory.display(), root.display(), directory.join("nginx.conf"));
    let user = if rustix::process::getuid().is_root() { "user root;\n" } else { "" };
    let config = format!(
        "{user}daemon off;\nworker_processes 1;\npid {at}/pid;\nerror_log stderr;\nevents {{ worker_connections 2000; }}\n\
         http {{\n    access_log off;\n    keepalive_requests 100000000;\n    client_body_temp_path {at}/body;\n    proxy_temp_path {at}/proxy;\n\
         \x20   fastcgi_temp_path {at}/fastcgi;\n    uwsgi_temp_path {at}/uwsgi;\n    scgi_temp_path {at}/scgi;\n\
         \x20   upstream verdictd {{ server {}; keepalive 64; keepalive_requests 100000000; }}\n\
         \x20   server {{ listen {plain}; root {root}; location / {{ try_files /ok =404; }} }}\n\
         \x20   server {{\n        listen {asking};\n        root {root};\n        location / {{ auth_request /verdict; try_files /ok =404; }}\n\
         \x20       location = /verdict {{\n            internal;\n            proxy_pass http://verdictd/auth/nginx;\n            proxy_http_version 1.1;\n\
         \x20           proxy_set_header Connection \"\";\n            proxy_set_header Host $http_host;\n            proxy_set_header X-Original-URI $request_uri;\n\
         \x20           proxy_pass_request_body off;\n            proxy_set_header Content-Length \"\";\n        }}\n    }}\n}}\n",
        daemon.http
    );
    std::fs::write(&path, config)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(directory).arg("-c").arg(path);
    Ok(command)
}
