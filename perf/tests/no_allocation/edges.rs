//! What is spoken beside the binary protocol: authorizations over HTTP, HAProxy's NOTIFYs, and what TLS adds.
//!
//! Connections are opened, and HELLOs exchanged, before anything is counted. Of TLS nothing is promised: rustls allocates for
//! each record, in and out. How often, and that it is no more often for a long one, is measured without a daemon.

use super::{ACTED, COUNTS, HELD, MISSED, ROUNDS, WARM_UP, counted, is_text};
use rustls::ClientConnection;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use stats_alloc::Stats;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use verdict_keys::Kind;
use verdict_perf::data::Corpus;
use verdict_perf::questions;
use verdict_perf::rules::RuleSet;
use verdict_perf::seed::Rng;
use verdictd::edge::guard::config::TlsConfig;
use verdictd::edge::guard::material::Material;
use verdictd::edge::guard::tls::Tls;
use verdictd::edge::spop::config::Variable;
use verdictd::edge::spop::data::{Value, put_number, put_text, put_value};

/// Connections that ask at a time.
const CLIENTS: usize = 8;
/// Everything that HAProxy can be told.
pub const VARIABLES: [Variable; 12] = {
    use Variable::*;
    [Status, Class, Score, Categories, Source, Sources, Generation, Key, Rule, Ttl, Flags, Each]
};
/// What rustls 0.23 allocates for a record that comes and one that goes, measured.
const RECORD_ALLOCATIONS_MAX: usize = 12;

/// Requests in one piece, and when all of their replies are there.
pub struct Asked {
    /// Said and answered once, when a connection begins; may be empty.
    opening: Vec<u8>,
    requests: Vec<u8>,
    count: usize,
    /// How many replies begin in these bytes, where they end with a whole one.
    replies: fn(&[u8]) -> Option<usize>,
}

impl Asked {
    /// Rounds of all of it on several connections; the replies of one, which have the same length each time.
    pub fn allocates_nothing(&self, address: SocketAddr, what: &str) -> Vec<u8> {
        let mut clients: Vec<(TcpStream, Vec<u8>)> = (0..CLIENTS).map(|_| self.connect(address)).collect();
        let mut round = || {
            for (stream, replies) in &mut clients {
                stream.write_all(&self.requests).expect("written");
                stream.read_exact(replies).expect("answered");
            }
        };
        let mut change = Stats::default();
        for _ in 0..COUNTS {
            (0..WARM_UP).for_each(|_| round());
            change = counted(|| (0..ROUNDS).for_each(|_| round()));
            if change.allocations + change.reallocations == 0 {
                break;
            }
        }
        println!("{what}: {} requests, {change:?}", ROUNDS * CLIENTS * self.count);
        assert_eq!((change.allocations, change.reallocations, change.bytes_allocated), (0, 0, 0), "{what}: {change:?}");
        let (_, replies) = clients.swap_remove(0);
        assert_eq!((self.replies)(&replies), Some(self.count), "{what}: the last round is whole");
        replies
    }

    /// With the replies of a first round.
    fn connect(&self, address: SocketAddr) -> (TcpStream, Vec<u8>) {
        let mut stream = TcpStream::connect(address).expect("the daemon listens");
        stream.set_nodelay(true).expect("a TCP socket");
        let mut ask = |requests: &[u8], count: usize| {
            stream.write_all(requests).expect("written");
            let (mut replies, mut buffer) = (Vec::new(), [0; 64 * 1024]);
            while (self.replies)(&replies) != Some(count) {
                match stream.read(&mut buffer) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Ok(0) => panic!("closed after {} bytes", replies.len()),
                    read => replies.extend_from_slice(&buffer[..read.expect("answered")]),
                }
            }
            replies
        };
        if !self.opening.is_empty() {
            ask(&self.opening, 1);
        }
        let replies = ask(&self.requests, self.count);
        (stream, replies)
    }
}

/// Authorizations as balancers ask for them: listed and not, by every form, with bodies, and such that cannot be asked about. The last one is answered
/// without a body.
pub fn authorizations(set: &RuleSet, corpus: &Corpus, rng: &Rng) -> Asked {
    let (mut requests, mut count) = (Vec::new(), 0);
    let mut ask = |request: String| {
        requests.extend_from_slice(request.as_bytes());
        count += 1;
    };
    let questions = questions::about(set, &corpus.benign, 400, rng);
    let texts = questions.iter().filter(|(kind, bytes)| *kind == Kind::Host as u8 && bytes.is_ascii());
    for (number, (_, host)) in texts.enumerate() {
        let host = String::from_utf8_lossy(host);
        let src = if number % 3 == 0 { "192.0.2.7" } else { "2001:db8::7" };
        let body = ["\r\n", "Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"][number % 3];
        ask(match number % 4 {
            0 => format!("GET /auth/nginx HTTP/1.1\r\nHost: {host}\r\nX-Original-URI: /a?{number}\r\nX-Forwarded-For: {src}\r\n\r\n"),
            1 => format!("POST /auth/envoy/a/{number} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {src}\r\n{body}"),
            2 => format!(
                "GET /auth/traefik HTTP/1.1\r\nHost: v\r\nX-Forwarded-Host: {host}\r\nX-Forwarded-Uri: /b\r\nX-Forwarded-For: a, {src}\r\n\r\n"
            ),
            _ => format!("GET /auth/traefik HTTP/1.1\r\nHost: v\r\nX-Forwarded-Host: {host}\r\nX-Forwarded-Uri: b#c\r\n\r\n"),
        });
    }
    ask("GET /auth/envoy/ HTTP/1.1\r\nHost: nobody.example\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n".to_owned());
    Asked { opening: Vec::new(), requests, count, replies: responses }
}

fn responses(bytes: &[u8]) -> Option<usize> {
    bytes.ends_with(b"\r\n\r\n").then(|| occurrences(bytes, b"HTTP/1.1 "))
}

/// How often this stands there.
pub fn occurrences(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).filter(|window| *window == wanted).count()
}

/// NOTIFYs of one to three arguments, of several messages at times, with every kind of key: listed, not, such that cannot be asked about, and what operators act on.
pub fn notifies(set: &RuleSet, corpus: &Corpus, rng: &Rng) -> Asked {
    let questions = questions::about(set, &corpus.benign, 1_200, rng);
    let acted = [&ACTED[..], &HELD, &MISSED].concat().into_iter().map(|(kind, bytes)| (kind as u8, bytes));
    let asked = questions.iter().filter(|(kind, bytes)| !is_text(*kind) || bytes.is_ascii());
    let keys: Vec<(u8, &[u8])> = asked.chain(acted).collect();
    let (mut requests, mut count) = (Vec::new(), 0);
    let mut rest = &keys[..];
    while !rest.is_empty() {
        let (some, others) = rest.split_at(rest.len().min(1 + count % 3));
        let mut payload = Vec::new();
        for message in some.chunks(1 + count % 2) {
            put_text(&mut payload, b"check");
            payload.push(message.len() as u8);
            message.iter().for_each(|(kind, key)| argument(&mut payload, *kind, key));
        }
        frame(&mut requests, 3, [1 + count as u64, 1 + count as u64 % 300], &payload);
        (rest, count) = (others, count + 1);
    }
    let mut payload = Vec::new();
    for (name, value) in [
        ("supported-versions", Value::Text(b"2.0")),
        ("max-frame-size", Value::Number(16_380)),
        ("capabilities", Value::Text(b"pipelining,async")),
    ] {
        put_text(&mut payload, name.as_bytes());
        put_value(&mut payload, value);
    }
    let mut opening = Vec::new();
    frame(&mut opening, 1, [0, 0], &payload);
    Asked { opening, requests, count, replies: frames }
}

/// As HAProxy types it.
fn argument(payload: &mut Vec<u8>, kind: u8, key: &[u8]) {
    let (name, value) = match kind {
        kind if kind == Kind::Url as u8 => ("url", Value::Text(key)),
        kind if kind == Kind::Host as u8 => ("host", Value::Text(key)),
        kind if kind == Kind::Ipv4 as u8 => ("src", key.try_into().map_or(Value::Null, Value::Ipv4)),
        kind if kind == Kind::Ipv6 as u8 => ("src", key.try_into().map_or(Value::Null, Value::Ipv6)),
        kind if kind == Kind::Sha256 as u8 => ("sha256", Value::Binary(key)),
        kind if kind == Kind::Sha1 as u8 => ("sha1", Value::Binary(key)),
        _ => ("md5", Value::Binary(key)),
    };
    put_text(payload, name.as_bytes());
    put_value(payload, value);
}

fn frame(out: &mut Vec<u8>, kind: u8, ids: [u64; 2], payload: &[u8]) {
    let mut body = vec![kind, 0, 0, 0, 1];
    ids.into_iter().for_each(|id| put_number(&mut body, id));
    body.extend_from_slice(payload);
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(&body);
}

/// None of them a DISCONNECT.
fn frames(mut bytes: &[u8]) -> Option<usize> {
    let mut count = 0;
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (body, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        assert_ne!(body[0], 102, "{}", body.escape_ascii());
        (bytes, count) = (rest, count + 1);
    }
    bytes.is_empty().then_some(count)
}

/// Records of a request and a reply, as shards take and make them, of several sizes.
pub fn a_record_of_tls_allocates_little(directory: &Path) {
    let Some((certificate, key)) = certificate(directory) else { return };
    let config = TlsConfig { certificate: certificate.clone(), key, ..TlsConfig::default() };
    let material = Material::read(&config).expect("a certificate and its key");
    let (mut client, mut server) = (client(&certificate), Tls::new(material.config).expect("the server's side"));
    let (mut held, mut plain, mut wire) = (Vec::new(), Vec::new(), Vec::new());
    while client.is_handshaking() || !server.is_open() {
        while client.wants_write() {
            client.write_tls(&mut held).expect("to memory");
        }
        server.open(&mut held, &mut plain, &mut wire).expect("it shakes hands");
        let mut records = &wire[..];
        while !records.is_empty() {
            client.read_tls(&mut records).expect("from memory");
            client.process_new_packets().expect("it shakes hands");
        }
        wire.clear();
    }
    for bytes in [100, 1_000, 16_000] {
        let said = vec![b'x'; bytes];
        let records: Vec<Vec<u8>> = (0..WARM_UP + ROUNDS)
            .map(|_| {
                client.writer().write_all(&said).expect("a buffer");
                let mut record = Vec::new();
                client.write_tls(&mut record).expect("to memory");
                record
            })
            .collect();
        let mut exchange = |record: &[u8]| {
            held.extend_from_slice(record);
            server.open(&mut held, &mut plain, &mut wire).expect("it is decrypted");
            assert_eq!(plain, said);
            server.seal(&mut held, &said, &mut wire).expect("it is encrypted");
            assert!(wire.len() > bytes && held.is_empty());
            plain.clear();
            wire.clear();
        };
        records[..WARM_UP].iter().for_each(|record| exchange(record));
        let change = counted(|| records[WARM_UP..].iter().for_each(|record| exchange(record)));
        let each = (change.allocations + change.reallocations) / ROUNDS;
        println!("TLS: {each} allocations for a record of {bytes} bytes and one in reply, {change:?}");
        assert!(each <= RECORD_ALLOCATIONS_MAX, "{change:?}");
    }
}

fn client(certificate: &Path) -> ClientConnection {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).expect("a certificate")).expect("one that can be trusted");
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a client")
}

/// For `localhost`, its own authority; says so where it cannot be made.
fn certificate(directory: &Path) -> Option<(std::path::PathBuf, std::path::PathBuf)> {
    let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split(' '));
    openssl.args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).stdout(Stdio::null()).stderr(Stdio::null());
    match openssl.status() {
        Ok(status) if status.success() => Some((certificate, key)),
        _ => {
            println!("SKIPPED: what TLS allocates: certificates need the command openssl");
            None
        }
    }
}
