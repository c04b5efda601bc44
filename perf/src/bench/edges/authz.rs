//! HTTP authorization beside null HTTP servers: the same requests over the same connections, responses of the same length.
//!
//! ```text
//! GET /auth/nginx HTTP/1.1 ... ─► verdictd: head, URL, keys, verdict ─► 200 or 403
//!                              ─► null: the next blank line          ─► always the same 200
//! authz_vs_null_http = requests per CPU-second, ours ÷ those of the best null server
//! ```
//! One request under way on each of many connections is what balancers do; `_pipelined` has eight, where moving bytes is cheap and looking at them is not.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Bench;
use crate::bench::cost::{self, Demand, Side};
use crate::bench::servers::Peer;
use crate::fleet::{Dialect, Http};
use crate::null_server::Twin;
use crate::report::{Figure, How};

const CASES: [(&str, Demand); 2] =
    [("", Demand { connections: 64, in_flight: 1 }), ("_pipelined", Demand { connections: 16, in_flight: 8 })];

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let pool = bench.urls.requests(encode);
    bench.notes.push(format!("authorization: {} different requests of {:.0} bytes", pool.len(), pool.bytes_per_request()));
    let daemon = bench.daemon("")?;
    let reply_bytes = reply_bytes(daemon.http, pool.request(0).0)?;
    let nulls =
        Twin::ALL.map(|twin| Peer::null_http_server(&bench.setting.verdict_perf, twin, reply_bytes, bench.cpu).map(|peer| (twin, peer)));
    let nulls = nulls.into_iter().collect::<io::Result<Vec<_>>>()?;
    let mut sides = vec![Side::new("verdictd", daemon.http, daemon.pid(), pool.clone(), Http { judges: true })];
    sides.extend(nulls.iter().map(|(twin, peer)| Side::new(twin.name(), peer.address, peer.pid(), pool.clone(), Http { judges: false })));
    for (name, demand) in CASES {
        let (costs, discarded) = cost::rounds(&sides, demand, bench.size.times, bench.runs())?;
        bench.discarded = bench.discarded.and(discarded);
        let figure = |(side, costs): (&Side<'_>, &cost::Costs)| {
            let title = format!("authz_{}{name}_per_cpu_s", side.name);
            Figure::new(title, "requests/CPU-s", How::Measured, side.name, costs.keys_per_cpu_s.clone())
        };
        let figures: Vec<Figure> = sides.iter().zip(&costs).map(figure).collect();
        let (ours, nulls) = figures.split_at(1);
        let best = nulls.iter().max_by(|a, b| a.median.total_cmp(&b.median));
        bench.figures.extend(
            best.map(|null| Figure::ratio(format!("authz_vs_null_http{name}"), &format!("null HTTP, {}", null.peer), &ours[0], null)),
        );
        bench.figures.extend(figures.iter().cloned());
    }
    daemon.stop()
}

/// What nginx sends for a browser's request, as the example configuration has it.
fn encode(out: &mut Vec<u8>, host: &str, path: &str) {
    out.extend_from_slice(b"GET /auth/nginx HTTP/1.1\r\nHost: ");
    out.extend_from_slice(host.as_bytes());
    out.extend_from_slice(b"\r\nX-Original-URI: ");
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(
        b"\r\nX-Real-IP: 192.0.2.7\r\nUser-Agent: Mozilla/5.0 (X11; Linux aarch64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
          Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
          Accept-Encoding: gzip, deflate, br\r\n\r\n",
    );
}

/// How long a response of ours is.
fn reply_bytes(address: SocketAddr, request: &[u8]) -> io::Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(request)?;
    let (mut reply, mut filled) = ([0; 8192], 0);
    loop {
        filled += stream.read(&mut reply[filled..])?;
        if let Some(bytes) = (Http { judges: false }).reply_bytes(&reply[..filled])? {
            return Ok(bytes);
        }
        if filled == reply.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a response without an end"));
        }
    }
}
