//! Authorization as each balancer asks for it: requests as documented, replayed byte by byte, and what comes back.

use crate::listening::every_listener;
use crate::support::{Scratch, start, stop, vote, write_rules};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;
use verdict_tables::{Class, Rule};
use verdictd::Daemon;
use verdictd::config::Config;
use verdictd::edge::http::{Act, Ask};

every_driver! { each_balancer_is_answered_by_its_contract, }

/// A connection that speaks HTTP/1.1.
pub struct Http {
    stream: TcpStream,
    received: Vec<u8>,
}

/// One response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub fields: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Response {
    /// A field by its name in lower case; empty if it is not there.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Http {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Http { stream, received: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next response; `None` at the end of the connection. `head`: it answers HEAD and has no body.
    pub fn response(&mut self, head: bool) -> Option<Response> {
        loop {
            if let Some((response, bytes)) = read(&self.received, head) {
                self.received.drain(..bytes);
                return Some(response);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                // The executor's timers are signals to the whole process.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => {
                    assert!(self.received.is_empty(), "cut off within {}", self.received.escape_ascii());
                    return None;
                }
                Ok(bytes) => self.received.extend_from_slice(&buffer[..bytes]),
            }
        }
    }

    /// Lines end in `\n` here.
    pub fn ask(&mut self, request: &str) -> Response {
        self.send(request.replace('\n', "\r\n").as_bytes());
        self.response(request.starts_with("HEAD")).expect("a response")
    }
}

fn read(bytes: &[u8], head: bool) -> Option<(Response, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = text.split("\r\n");
    let status: u16 = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    let field = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let fields: BTreeMap<String, String> = lines.filter_map(field).collect();
    let length = if status == 100 { 0 } else { fields["content-length"].parse().unwrap() };
    let body = bytes.get(end..end + if head { 0 } else { length })?.to_vec();
    Some((Response { status, fields, body: body.clone() }, end + body.len()))
}

/// Rules of every class: `evil.test`, `odd.test`, `good.test`, a URL, a network.
pub fn rules(config: &Config) {
    let host = |host| Rule::Host { host, subdomains: true };
    let allow = verdict_tables::Vote { allow: true, ..vote(0, Class::Clean) };
    let network = Rule::Net { network: Ipv4Addr::new(192, 0, 2, 0).into(), bits: 24 };
    let url = Rule::Url { host: "shared.test", path_query: "/bad.php", prefix: false, subdomains: false };
    let bad = vote(0, Class::Malicious);
    write_rules(
        &config.snapshot.path,
        &[(host("evil.test"), bad), (host("odd.test"), vote(0, Class::Suspicious)), (host("good.test"), allow), (url, bad), (network, bad)],
    );
}

/// A daemon with these rules, changed as wanted.
pub fn serve(scratch: &Scratch, change: impl FnOnce(&mut Config)) -> Daemon {
    let mut config = every_listener(scratch);
    rules(&config);
    change(&mut config);
    assert_eq!(config.check(), Vec::<String>::new());
    start(&config)
}

/// Requests as documented by each balancer; `{host}` and `{path}` are of the request that they ask about.
const NGINX: &str = "GET /auth/nginx HTTP/1.1\nHost: {host}\nX-Original-URI: {path}\nX-Real-IP: 198.51.100.7\n\n";
const NGINX_1_0: &str =
    "GET /auth/nginx HTTP/1.0\nHost: {host}\nX-Original-URI: {path}\nConnection: close\nUser-Agent: curl/7.88.1\nAccept: */*\n\n";
const INGRESS_NGINX: &str = "GET /auth/ingress-nginx HTTP/1.1\nHost: verdictd.example\nX-Request-ID: 6f1d\nX-Original-URL: https://{host}{path}\n\
     X-Original-Method: POST\nX-Sent-From: nginx-ingress-controller\nX-Real-IP: 198.51.100.7\nX-Forwarded-For: 198.51.100.7\n\
     X-Auth-Request-Redirect: {path}\nUser-Agent: curl/7.88.1\nAccept: */*\n\n";
const ENVOY: &str = "POST /auth/envoy{path} HTTP/1.1\nhost: {host}\ncontent-length: 0\nx-envoy-internal: true\nx-forwarded-for: 198.51.100.7\n\
     x-envoy-expected-rq-timeout-ms: 200\nauthorization: Bearer abc\n\n";
const TRAEFIK: &str = "GET /auth/traefik HTTP/1.1\nHost: 127.0.0.1:7702\nUser-Agent: Go-http-client/1.1\nAccept: */*\nX-Forwarded-For: 198.51.100.7\n\
     X-Forwarded-Host: {host}\nX-Forwarded-Method: GET\nX-Forwarded-Port: 443\nX-Forwarded-Proto: https\nX-Forwarded-Server: edge\n\
     X-Forwarded-Uri: {path}\nX-Real-Ip: 198.51.100.7\nAccept-Encoding: gzip\n\n";
const CADDY: &str = "GET /auth/caddy HTTP/1.1\nHost: 127.0.0.1:7702\nUser-Agent: curl/7.88.1\nAccept: */*\nX-Forwarded-For: 198.51.100.7\n\
     X-Forwarded-Host: {host}\nX-Forwarded-Method: PUT\nX-Forwarded-Proto: https\nX-Forwarded-Uri: {path}\nAccept-Encoding: gzip\n\n";
const APISIX: &str = "GET /auth/apisix HTTP/1.1\nHost: 127.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Method: GET\nX-Forwarded-Host: {host}\n\
     X-Forwarded-Uri: {path}\nX-Forwarded-For: 198.51.100.7\nUser-Agent: lua-resty-http/0.17.1 (Lua) ngx_lua/10026\n\n";
const BALANCERS: [&str; 7] = [NGINX, NGINX_1_0, INGRESS_NGINX, ENVOY, TRAEFIK, CADDY, APISIX];

fn of(form: &str, host: &str, path: &str) -> String {
    form.replace("{host}", host).replace("{path}", path)
}

fn each_balancer_is_answered_by_its_contract() {
    let scratch = Scratch::new();
    let daemon = serve(&scratch, |_| ());
    for form in BALANCERS {
        let mut kept = Http::connect(daemon.http[0]);
        let mut ask = |host, path| {
            if form == NGINX_1_0 {
                kept = Http::connect(daemon.http[0]);
            }
            kept.ask(&of(form, host, path))
        };
        let bad = ask("www.evil.test", "/any?thing");
        assert_eq!((bad.status, bad.field("x-verdict"), bad.field("x-verdict-score")), (403, "malicious", "90"), "{form}");
        assert_eq!((bad.field("x-verdict-categories"), bad.field("x-verdict-sources")), ("malware", "unit test"));
        assert_eq!((bad.field("x-verdict-key"), bad.field("cache-control")), ("url", "max-age=60"));
        let reads_heads_alone = [NGINX, NGINX_1_0, INGRESS_NGINX].contains(&form);
        assert_eq!((bad.body.is_empty(), bad.fields.contains_key("content-type")), (reads_heads_alone, !reads_heads_alone), "{form}");
        let unknown = ask("unknown.test", "/");
        assert_eq!((unknown.status, unknown.field("x-verdict"), unknown.body.len()), (200, "unknown", 0), "{form}");
        assert_eq!((unknown.field("x-verdict-sources"), unknown.field("cache-control")), ("-", "max-age=5"));
        assert_eq!(unknown.field("x-verdict-generation").len(), 16);
        let odd = ask("odd.test", "/x");
        assert_eq!((odd.status, odd.field("x-verdict")), (200, "suspicious"), "{form}");
        let good = ask("good.test", "/x");
        assert_eq!((good.status, good.field("x-verdict"), good.field("x-verdict-flags")), (200, "clean", "allowlisted"));
        assert_eq!(ask("shared.test", "/bad.php").status, 403, "{form}");
        assert_eq!(ask("shared.test", "/./ok/..//bad.php?x").status, 403, "{form}");
        assert_eq!(ask("shared.test", "/good.php").status, 200, "{form}");
        assert_eq!(ask("192.0.2.77:8443", "/").status, 403, "{form}");
        let names: Vec<&String> = unknown.fields.keys().filter(|name| name.starts_with("x-verdict")).collect();
        let every = |response: &Response| names.iter().all(|name| response.fields.contains_key(*name));
        assert!(names.len() == 8 && every(&bad) && every(&odd) && every(&good), "{names:?}");
    }
    stop(daemon);
}

#[test]
fn what_is_not_malicious_means_what_the_operator_chose() {
    let scratch = Scratch::new();
    let daemon = serve(&scratch, |config| {
        config.http.ask = vec![Ask::Url, Ask::Src];
        (config.http.suspicious, config.http.unparseable, config.http.failed) = (Act::Deny, Act::Error, Act::Allow);
        (config.http.cache_s_max, config.http.cache_unlisted_s) = (7200, 0);
    });
    let mut http = Http::connect(daemon.http[0]);
    let mut ask = |host, path| http.ask(&of(TRAEFIK, host, path));
    let odd = ask("odd.test", "/");
    assert_eq!((odd.status, odd.field("x-verdict"), odd.field("cache-control")), (403, "suspicious", "max-age=3600"));
    let unreadable = ask("unknown.test", "/a#b");
    assert_eq!((unreadable.status, unreadable.field("x-verdict")), (503, "unparseable"));
    assert_eq!(unreadable.field("x-verdict-reason"), "unreadable: the path");
    let unparseable = ask("[2001:db8::1%25eth0]", "/");
    assert_eq!((unparseable.status, unparseable.field("x-verdict")), (503, "unparseable"), "{unparseable:?}");
    let unknown = ask("unknown.test", "/");
    assert_eq!((unknown.status, unknown.field("cache-control")), (200, "no-store"));
    // The client's address decides, though the URL is listed as good.
    let src = http.ask(&of(TRAEFIK, "good.test", "/").replace("198.51.100.7", "203.0.113.1, 192.0.2.9"));
    assert_eq!((src.status, src.field("x-verdict"), src.field("x-verdict-key")), (403, "malicious", "src"));
    let missing = http.ask(&of(TRAEFIK, "good.test", "/").replace("X-Forwarded-For", "X-Forwarded-From"));
    assert_eq!((missing.status, missing.field("x-verdict"), missing.field("x-verdict-reason")), (200, "error", "missing: X-Forwarded-For"));
    stop(daemon);
}

#[test]
fn without_the_fields_of_its_balancer_authorization_fails() {
    let scratch = Scratch::new();
    let daemon = serve(&scratch, |_| ());
    let mut http = Http::connect(daemon.http[0]);
    for path in ["/auth", "/auth/nginx", "/auth/ingress-nginx", "/auth/traefik", "/auth/caddy", "/auth/apisix"] {
        let response = http.ask(&format!("GET {path} HTTP/1.1\nHost: balancer.example\n\n"));
        assert_eq!((response.status, response.field("x-verdict"), response.field("cache-control")), (503, "error", "no-store"), "{path}");
        assert!(response.field("x-verdict-reason").starts_with("missing: X-") && response.field("retry-after") == "1");
    }
    // What no path of ours begins with is never an answer.
    for path in ["/authz", "/auth/", "/auth/haproxy", "/", "/auth/envoyx", "*"] {
        assert_eq!(http.ask(&format!("OPTIONS {path} HTTP/1.1\nHost: balancer.example\n\n")).status, 404, "{path}");
    }
    stop(daemon);
}

#[test]
fn requests_are_answered_in_order_whatever_they_carry() {
    let scratch = Scratch::new();
    let daemon = serve(&scratch, |_| ());
    let mut http = Http::connect(daemon.http[0]);
    let mut wanted = Vec::new();
    let mut requests = String::new();
    for number in 0..700 {
        let host = if number % 3 == 0 { "evil.test" } else { "unknown.test" };
        wanted.push((if number % 3 == 0 { 403 } else { 200 }, number % 5 == 2));
        let method = if number % 5 == 2 { "HEAD" } else { "POST" };
        let (fields, body) = match number % 4 {
            0 => ("Content-Length: 5\n", "hello"),
            1 => ("Transfer-Encoding: chunked\n", "5;x=y\nhello\n0\nTrailer: t\n\n"),
            2 => ("", ""),
            _ => ("", "\n"),
        };
        requests.push_str(&format!("{method} /auth/envoy/{number} HTTP/1.1\nHost: {host}\n{fields}\n{body}"));
    }
    http.send(requests.replace('\n', "\r\n").as_bytes());
    for (number, (status, head)) in wanted.into_iter().enumerate() {
        assert_eq!(http.response(head).unwrap().status, status, "request {number}");
    }
    // Whoever waits to be told that a body is welcome is told.
    http.send(b"POST /auth/envoy/ HTTP/1.1\r\nHost: evil.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(http.response(false).unwrap().status, 100);
    http.send(b"helloGET /auth/envoy/ HTTP/1.1\r\nHost: good.test\r\nConnection: close\r\n\r\nGET /ignored HTTP/1.1\r\n");
    assert_eq!(http.response(false).unwrap().status, 403);
    let last = http.response(false).unwrap();
    assert_eq!((last.status, last.field("connection")), (200, "close"));
    assert!(http.response(false).is_none());
    stop(daemon);
}

#[test]
fn a_request_that_two_readers_could_read_differently_is_refused_with_its_connection() {
    let scratch = Scratch::new();
    let daemon = serve(&scratch, |config| config.http.body_bytes_max = 1000);
    let long = format!("GET /auth/nginx HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(40_000));
    let many = format!("GET /auth/nginx HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(200));
    for (request, status) in [
        ("GET /auth/nginx HTTP/1.1\r\n\r\n", 400),
        ("GET /auth/nginx HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /auth/nginx HTTP/1.1\nHost: a\n\n", 400),
        ("GET /auth/nginx HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        ("GET /auth/nginx HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400),
        ("GET /auth/nginx HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        ("GET /auth/nginx HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET /auth/nginx HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("GET /auth/nginx HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        ("GET /auth/nginx HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
        ("GET /auth/nginx HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET /auth/nginx HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400),
        ("GET /auth/nginx HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n", 400),
        ("GET  /auth/nginx HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /auth/nginx HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n", 400),
        ("POST /auth/nginx HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", 413),
        ("POST /auth/nginx HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3E9\r\n", 413),
        ("POST /auth/nginx HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
        (long.as_str(), 431),
        (many.as_str(), 431),
        ("\u{16}\u{3}\u{1}\u{0}\n", 400),
    ] {
        let mut http = Http::connect(daemon.http[0]);
        // The first is answered by its own rules, and only the first.
        http.send(b"GET /auth/envoy/ HTTP/1.1\r\nHost: good.test\r\n\r\n");
        http.send(request.as_bytes());
        assert_eq!(http.response(false).unwrap().status, 200);
        let refused = http.response(false).unwrap_or_else(|| panic!("no response to {}", request.escape_debug()));
        assert_eq!((refused.status, refused.field("connection")), (status, "close"), "{}", request.escape_debug());
        assert!(refused.body.starts_with(b"{\"error\":"), "{refused:?}");
        assert!(http.response(false).is_none(), "after {}", request.escape_debug());
    }
    stop(daemon);
}
