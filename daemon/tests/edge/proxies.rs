//! The example configurations of docs/balancers, run by the real nginx and the real Caddy: each does what its comments say.
//!
//! ```text
//!  this test ──► proxy (the example, with other ports) ──┬──► a daemon, an impostor that says 200 to everything, or nobody
//!                                                        └──► an application of ours that tells what it was sent
//! ```

use crate::authz::{Http, Response, serve};
use crate::support::{Scratch, free, stop};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use verdictd::edge::http::{Ask, SrcFrom};

/// A server that answers every request, whatever it is, on a thread for each connection.
struct Application {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Application {
    /// Answers 200 with the request's own head as the body.
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = asked.clone();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let asked = counted.clone();
                std::thread::spawn(move || echo(stream, &asked));
            }
        });
        Application { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn echo(mut stream: TcpStream, asked: &AtomicUsize) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
            Ok(bytes) => request.extend_from_slice(&buffer[..bytes]),
        }
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", request.len());
    let _ = stream.write_all(&[head.as_bytes(), &request].concat());
}

/// A proxy of Debian's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Nginx,
    Caddy,
}

impl Program {
    /// Whether it is installed; told where it is not.
    fn is_there(self) -> bool {
        static SEEN: OnceLock<[bool; 2]> = OnceLock::new();
        let runs = |name: &str, version: &str| {
            let ran = Command::new(name).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
            ran.is_ok_and(|status| status.success())
        };
        let there = SEEN.get_or_init(|| [runs("/usr/sbin/nginx", "-v"), runs("caddy", "version")])[self as usize];
        if !there {
            println!("SKIPPED: {} is not installed", ["nginx", "caddy"][self as usize]);
        }
        there
    }

    fn command(self, config: &Path, scratch: &Scratch) -> Command {
        match self {
            Program::Nginx => {
                let mut command = Command::new("/usr/sbin/nginx");
                let globals = format!("daemon off; worker_processes 1; pid {};", scratch.join("nginx.pid").display());
                command.args(["-e", "stderr", "-g", &globals, "-c"]).arg(config);
                command
            }
            Program::Caddy => {
                let mut command = Command::new("caddy");
                command.env("HOME", scratch.join("home")).args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
                command
            }
        }
    }
}

/// A running proxy.
struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Proxy {
    /// The example of that name, asking at `verdict`.
    fn start(program: Program, example: &str, verdict: SocketAddr, application: SocketAddr) -> Self {
        let scratch = Scratch::new();
        let address = free();
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/balancers").join(example);
        let text = std::fs::read_to_string(&path).unwrap();
        let placed = [(":7702", verdict), (":8081", application), (":8080", address)];
        let text = placed.into_iter().fold(text, |text, (from, to)| {
            assert!(text.contains(from), "{example} has no {from}");
            text.replace(from, &format!(":{}", to.port()))
        });
        let config = scratch.join("config");
        std::fs::write(&config, text).unwrap();
        let said = std::fs::File::create(scratch.join("said")).unwrap();
        let mut child = program.command(&config, &scratch).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn().unwrap();
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = child.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > Duration::from_secs(30) {
                let _ = child.kill();
                panic!("{example} does not listen ({ended:?}): {}", std::fs::read_to_string(scratch.join("said")).unwrap());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Proxy { child, address }
    }

    /// What a client of the proxy gets; `fields` end in `\n` each.
    fn ask(&self, request: &str, host: &str, fields: &str) -> Response {
        let mut http = Http::connect(self.address);
        http.ask(&format!("{request} HTTP/1.1\nHost: {host}\n{fields}\n"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // A kill would leave nginx's worker behind.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).to_lowercase()
}

/// What holds while the daemon answers, fail open or closed.
fn asks_and_obeys(program: Program, example: &str) {
    let (scratch, application) = (Scratch::new(), Application::start());
    let daemon = serve(&scratch, |_| ());
    let proxy = Proxy::start(program, example, daemon.http[0], application.address);
    // What the application sees is our word, not the client's.
    let passed = proxy.ask("GET /a?b", "unknown.test", "X-Verdict: clean\nX-Verdict-Categories: spam\n");
    assert_eq!(passed.status, 200, "{example}");
    assert!(text(&passed).starts_with("get /a?b ") && text(&passed).contains("x-verdict: unknown\r\n"), "{example}: {}", text(&passed));
    assert!(!text(&passed).contains("clean") && !text(&passed).contains("spam"), "{example}: {}", text(&passed));
    let odd = proxy.ask("GET /", "odd.test", "");
    assert!(
        odd.status == 200 && text(&odd).contains("x-verdict: suspicious\r\n") && text(&odd).contains("x-verdict-categories: malware\r\n")
    );
    let body = proxy.ask("POST /", "unknown.test", "Content-Length: 5\n\nhello");
    assert_eq!(body.status, 200, "{example}");
    let before = application.asked();
    assert_eq!(proxy.ask("GET /", "www.evil.test", "").status, 403, "{example}");
    assert_eq!(proxy.ask("POST /bad.php?x", "shared.test", "Transfer-Encoding: chunked\n\n0\n").status, 403, "{example}");
    let spoofed = "X-Original-URI: /good\nX-Original-URL: http://good.test/\nX-Forwarded-Uri: /good\nX-Forwarded-Host: good.test\n";
    assert_eq!(proxy.ask("GET /bad.php", "shared.test", spoofed).status, 403, "{example}");
    assert_eq!(application.asked(), before, "{example}: what is refused does not reach the application");
    // An impostor that says 200 without our header is nobody's yes.
    let impostor = Application::start();
    let deceived = Proxy::start(program, example, impostor.address, application.address);
    let response = deceived.ask("GET /", "unknown.test", "X-Verdict: clean\n");
    assert!(response.status == 503 && impostor.asked() == 1, "{example}: {response:?}");
    assert_eq!(application.asked(), before, "{example}: an impostor lets nothing through");
    // Nobody there: as the example promises.
    stop(daemon);
    let gone = proxy.ask("GET /", "unknown.test", "X-Verdict: clean\n");
    if example.contains("fail-open") {
        assert!(gone.status == 200 && text(&gone).contains("x-verdict: none\r\n"), "{example}: {gone:?}");
        assert!(!text(&gone).contains("clean"), "{example}: {gone:?}");
    } else {
        assert!(gone.status >= 500, "{example}: {gone:?}");
        assert_eq!(application.asked(), before, "{example}: nothing passes without a verdict");
    }
    // No verdict, and said so: 503, because this daemon is to be told a client's address in the field that the example does not send.
    let daemon = serve(&scratch, |config| {
        config.http.ask = vec![Ask::Src];
        config.http.src_from = if program == Program::Nginx { SrcFrom::XForwardedFor } else { SrcFrom::XRealIp };
    });
    let without = Proxy::start(program, example, daemon.http[0], application.address);
    let (before, response) = (application.asked(), without.ask("GET /", "unknown.test", ""));
    if example.contains("fail-open") {
        assert!(response.status == 200 && text(&response).contains("x-verdict: error\r\n"), "{example}: {response:?}");
    } else {
        let failed = if program == Program::Nginx { 500 } else { 503 };
        assert!(response.status == failed && application.asked() == before, "{example}: {response:?}");
    }
    stop(daemon);
}

#[test]
fn nginx_fails_closed() {
    if Program::Nginx.is_there() {
        asks_and_obeys(Program::Nginx, "nginx/fail-closed.conf");
    }
}

#[test]
fn nginx_fails_open() {
    if Program::Nginx.is_there() {
        asks_and_obeys(Program::Nginx, "nginx/fail-open.conf");
    }
}

/// `auth_request` wants no body: nginx does not read one, and so cannot use the connection again.
#[test]
fn nginx_keeps_its_connection_whatever_the_answer() {
    if !Program::Nginx.is_there() {
        return;
    }
    for example in ["nginx/fail-closed.conf", "nginx/fail-open.conf"] {
        let (scratch, application) = (Scratch::new(), Application::start());
        let daemon = serve(&scratch, |_| ());
        let proxy = Proxy::start(Program::Nginx, example, daemon.http[0], application.address);
        for (path, host, status) in [("GET /", "www.evil.test", 403), ("GET /", "unknown.test", 200), ("POST /bad.php", "shared.test", 403)]
        {
            (0..20).for_each(|_| assert_eq!(proxy.ask(path, host, "").status, status, "{example}: {path} {host}"));
        }
        let accepted: u64 = daemon.metrics.shards.iter().map(|shard| shard.accepted.get()).sum();
        assert_eq!(accepted, 1, "{example}");
        stop(daemon);
    }
}

#[test]
fn caddy_fails_closed() {
    if Program::Caddy.is_there() {
        asks_and_obeys(Program::Caddy, "caddy/fail-closed.caddyfile");
    }
}

#[test]
fn caddy_fails_open() {
    if Program::Caddy.is_there() {
        asks_and_obeys(Program::Caddy, "caddy/fail-open.caddyfile");
    }
}
