//! `verdictctl top`: what a daemon does now, in a terminal. It reads `/status` of the admin listener, as the live page does, and looks again and again.

use crate::exit::{Failure, Outcome};
use crate::text;
use crate::tls::{Tls, TlsArguments, Trouble};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

/// Connecting, and each read.
const PATIENCE: Duration = Duration::from_secs(5);
/// A status of a thousand models is smaller.
const REPLY_BYTES_MAX: u64 = 4 << 20;

/// Watch a daemon: rates, latency, verdicts, shards, feeds
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl top --admin /run/verdictd/admin.sock
  verdictctl top --admin 192.0.2.1:7701 --token-file admin.token --interval 5
  verdictctl top --admin node-1.example:7701 --tls-ca ca.pem --token-file admin.token
  verdictctl top --count 1

Rates are of the time between two looks; latency is inside the daemon, from ready to read until handed to the kernel. Ctrl-C ends it.

Exit status: 0 done, 3 a certificate is not trusted, 69 nobody answers there, 76 it is no verdictd, or it does not let you.")]
pub struct Arguments {
    /// Admin listener of the daemon: HOST:PORT, or the path of its Unix socket (admin.unix)
    #[arg(long, value_name = "ADDRESS", env = "VERDICT_ADMIN", hide_env_values = true, default_value = "127.0.0.1:7701")]
    admin: String,
    /// A file with the admin token; a Unix socket wants none
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Seconds between two looks
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    interval: f64,
    /// End after so many pictures; 0 is never
    #[arg(long, default_value_t = 0, value_name = "N")]
    count: u64,
    #[command(flatten)]
    tls: TlsArguments,
}

/// Where the admin listener is, and how it lets us in.
struct Admin<'a> {
    address: &'a str,
    token: Option<String>,
    tls: Option<Tls>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("0.1 to 3600 seconds".into()),
    }
}

#[derive(Debug, Deserialize)]
struct Status {
    version: String,
    backend: String,
    driver: String,
    state: String,
    stale: bool,
    uptime_s: f64,
    time_s: u64,
    answers: BTreeMap<String, u64>,
    requests: u64,
    latency: Latency,
    snapshot: Snapshot,
    sources: Vec<Source>,
    shards: Vec<Shard>,
}

#[derive(Debug, Deserialize)]
struct Latency {
    bounds_s: Vec<f64>,
    counts: Vec<u64>,
}

#[derive(Debug, Deserialize)]
struct Snapshot {
    generation: String,
    rules: u64,
    as_of_s: u64,
}

#[derive(Debug, Deserialize)]
struct Source {
    name: String,
    rules: u64,
    newest_s: u64,
}

#[derive(Debug, Deserialize)]
struct Shard {
    answers: u64,
    turn_s: f64,
    connections: u64,
}

/// Looks twice, shows what lies between, and again.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let token = arguments.token_file.as_deref().map(read_token).transpose()?;
    let admin = Admin { address: &arguments.admin, token, tls: arguments.tls.read()? };
    let again = std::io::stdout().is_terminal() && arguments.count != 1;
    let mut before = look(&admin)?;
    let mut shown = 0;
    while arguments.count == 0 || shown < arguments.count {
        sleep(Duration::from_secs_f64(arguments.interval));
        let now = look(&admin)?;
        // To the upper left, and what was there is gone.
        let clear = if again { "\x1b[H\x1b[2J" } else { "" };
        write!(out, "{clear}{}", picture(&before, &now))?;
        out.flush()?;
        (before, shown) = (now, shown + 1);
    }
    Ok(Outcome::Done)
}

fn read_token(path: &std::path::Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("--token-file {}: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}

fn look(admin: &Admin<'_>) -> Result<Status, Failure> {
    let whom = text::visible(admin.address.as_bytes());
    let unavailable = |error: &std::io::Error| Failure::Unavailable(format!("{whom}: {error} (is that listen.admin of a verdictd?)"));
    let reply = get(admin).map_err(|error| Trouble::of(&error, &whom).unwrap_or_else(|| unavailable(&error)))?;
    let refused = |why: &str| Failure::Protocol(format!("{whom}: {}", text::visible(why.trim().as_bytes())));
    // An alert, of whatever version.
    if reply.starts_with(&[0x15, 3]) {
        return Err(refused("it speaks TLS, and was asked in the open: give --tls-ca FILE"));
    }
    let (status, body) = parted(&reply).ok_or_else(|| refused("that is no HTTP (is that listen.admin of a verdictd?)"))?;
    match status {
        200 => serde_json::from_str(body).map_err(|error| refused(&format!("what it says is no status: {error}"))),
        401 | 403 => Err(refused(&format!(
            "{status}: it wants a token, --token-file FILE, or ask its Unix socket, --admin /run/verdictd/admin.sock"
        ))),
        _ => Err(refused(&format!("{status} {body}"))),
    }
}

/// One request, one connection, to its end.
fn get(admin: &Admin<'_>) -> std::io::Result<Vec<u8>> {
    if admin.address.starts_with('/') {
        let stream = UnixStream::connect(admin.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        return ask(stream, "localhost", None);
    }
    let address = admin.address.to_socket_addrs()?.next().ok_or_else(|| std::io::Error::other("no address of that name"))?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    match &admin.tls {
        Some(tls) => ask(tls.shake_hands(stream, admin.address)?, admin.address, admin.token.as_deref()),
        None => ask(stream, admin.address, admin.token.as_deref()),
    }
}

fn ask(mut stream: impl Read + Write, host: &str, token: Option<&str>) -> std::io::Result<Vec<u8>> {
    let authorization = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    let request = format!("GET /status HTTP/1.1\r\nHost: {host}\r\n{authorization}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut reply = Vec::new();
    match stream.take(REPLY_BYTES_MAX).read_to_end(&mut reply) {
        // Whoever refuses what it cannot read closes with some of it unread.
        Err(error) if reply.is_empty() => Err(error),
        _ => Ok(reply),
    }
}

/// Status and body of a reply.
fn parted(reply: &[u8]) -> Option<(u16, &str)> {
    let (head, body) = std::str::from_utf8(reply).ok()?.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body))
}

fn picture(before: &Status, now: &Status) -> String {
    let span = (now.uptime_s - before.uptime_s).max(1e-3);
    let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / span;
    let answers: u64 = now.answers.values().zip(before.answers.values()).map(|(now, before)| now.saturating_sub(*before)).sum();
    let counts: Vec<u64> = now.latency.counts.iter().zip(&before.latency.counts).map(|(now, before)| now.saturating_sub(*before)).collect();
    let quantile = |share| quantile(&now.latency.bounds_s, &counts, share).map_or("-".into(), duration);
    let visible = |text: &str| text::visible(text.as_bytes());
    let mut text = heading(now);
    let connections: u64 = now.shards.iter().map(|shard| shard.connections).sum();
    let _ = writeln!(
        text,
        "answers/s {:>12}   requests/s {:>10}   connections {connections:>6}",
        text::grouped((answers as f64 / span) as u64),
        text::grouped(rate(now.requests, before.requests) as u64)
    );
    let _ = writeln!(
        text,
        "latency   p50 {:>9}   p90 {:>9}   p99 {:>9}   p99.9 {:>9}",
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(0.999)
    );
    let mix = now.answers.iter().map(|(class, count)| (class, count.saturating_sub(before.answers.get(class).copied().unwrap_or(0))));
    let mix: Vec<String> = mix
        .filter(|(_, count)| *count > 0)
        .map(|(class, count)| format!("{} {:.1} %", visible(class), 100.0 * count as f64 / answers as f64))
        .collect();
    let _ = writeln!(text, "verdicts  {}\n", if mix.is_empty() { "none asked".into() } else { mix.join("   ") });
    lists(before, now, span, &mut text);
    text
}

/// What is served, since when, by what.
fn heading(now: &Status) -> String {
    let visible = |text: &str| text::visible(text.as_bytes());
    let mut text = String::new();
    let stale = if now.stale { ", stale" } else { "" };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "verdictd {} {} {}  {}{stale}  up {}",
        visible(&now.version),
        visible(&now.backend),
        visible(&now.driver),
        visible(&now.state),
        age(now.uptime_s)
    );
    let described = if now.snapshot.as_of_s == 0 { "-".into() } else { age(now.time_s.saturating_sub(now.snapshot.as_of_s) as f64) };
    let _ = writeln!(
        text,
        "generation {}  rules {}  data of {described} ago\n",
        visible(&now.snapshot.generation),
        text::grouped(now.snapshot.rules)
    );
    text
}

/// Shards and feeds.
fn lists(before: &Status, now: &Status, span: f64, text: &mut String) {
    let _ = writeln!(text, "{:>5} {:>12} {:>7} {:>12}", "SHARD", "ANSWERS/S", "BUSY", "CONNECTIONS");
    for (number, (now, before)) in now.shards.iter().zip(&before.shards).enumerate() {
        let busy = 100.0 * (now.turn_s - before.turn_s) / span;
        let _ = writeln!(
            text,
            "{number:>5} {:>12} {busy:>5.1} % {:>12}",
            text::grouped((now.answers.saturating_sub(before.answers) as f64 / span) as u64),
            now.connections
        );
    }
    let _ = writeln!(text, "\n{:>14} {:>9}  FEED", "ENTRIES", "NEWEST");
    for source in &now.sources {
        let newest = if source.newest_s == 0 { "-".into() } else { age(now.time_s.saturating_sub(source.newest_s) as f64) };
        let _ = writeln!(text, "{:>14} {newest:>9}  {}", text::grouped(source.rules), text::visible(source.name.as_bytes()));
    }
}

/// The value below which this share lies, between two bounds by interpolation; beyond the last bound, that bound.
fn quantile(bounds: &[f64], counts: &[u64], share: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    let mut rank = share * total as f64;
    let mut low = 0.0;
    for (bound, count) in bounds.iter().zip(counts) {
        if *count > 0 && rank <= *count as f64 {
            return Some(low + (bound - low) * rank / *count as f64);
        }
        rank -= *count as f64;
        low = *bound;
    }
    bounds.last().copied().filter(|_| total > 0)
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

fn age(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(malicious: u64, uptime_s: f64) -> Status {
        let text = format!(
            r#"{{"version":"1","backend":"b","driver":"epoll","state":"ready","stale":false,"uptime_s":{uptime_s},"time_s":200000,"answers":{{"malicious":{malicious},"unknown":0}},
            "requests":{malicious},"latency":{{"bounds_s":[0.00001,0.0001],"counts":[0,{malicious},0]}},"snapshot":{{"generation":"0f","rules":5000,"as_of_s":0}},
            "sources":[{{"name":"a\u001bfeed","rules":7,"newest_s":100000}}],"shards":[{{"answers":{malicious},"turn_s":{},"connections":3}}]}}"#,
            uptime_s / 2.0
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks_and_names_are_made_fit_to_print() {
        let picture = picture(&status(1000, 10.0), &status(5000, 12.0));
        let (rate, rules) = (text::grouped(2000), text::grouped(5000));
        for part in [&*rate, "malicious 100.0 %", "50.0 %", "55 µs", &*rules, "28 h"] {
            assert!(picture.contains(part), "{part} is not in\n{picture}");
        }
        assert!(!picture.contains('\u{1b}'), "{picture}");
    }

    #[test]
    fn quantiles_lie_between_bounds() {
        assert_eq!(quantile(&[1.0, 2.0], &[0, 0, 0], 0.5), None);
        assert_eq!(quantile(&[1.0, 2.0], &[0, 4, 0], 0.5), Some(1.5));
        assert_eq!(quantile(&[1.0, 2.0], &[1, 1, 8], 0.99), Some(2.0));
    }
}
