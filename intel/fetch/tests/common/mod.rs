//! A server that says what a test tells it to, byte by byte, and remembers what it was asked; and a directory of a test's own.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use verdict_fetch::{Outcome, Wanted, run};
use verdict_intel::Config;

/// One request: its head, line by line, names of headers in lower case.
pub type Request = Vec<String>;

pub struct Server {
    pub address: SocketAddr,
    pub asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request with the bytes that `answer` gives for it, and closes.
    pub fn start(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (heard, answer) = (asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heard, answer) = (heard.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &heard, &*answer));
            }
        });
        Server { address, asked }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn serve(stream: TcpStream, asked: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> Vec<u8>) {
    let mut request = Request::new();
    for line in BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let line = match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
            None => line,
        };
        request.push(line);
    }
    let bytes = answer(&request);
    asked.lock().unwrap().push(request);
    // Some tests hang up in the middle.
    let _ = (&stream).write_all(&bytes);
    let _ = stream.shutdown(Shutdown::Write);
}

/// An answer of this status with these header lines and this body.
pub fn answer(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n", body.len()).into_bytes();
    for header in headers {
        bytes.extend(format!("{header}\r\n").bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("verdict-fetch-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    /// A feeds.toml of one feed at `file`, with these lines in `[feed.fetch]`.
    pub fn config(&self, file: &str, fetch: &str) -> Config {
        let text = format!("[[feed]]\nname = \"feed\"\npath = \"{file}\"\n[feed.fetch]\n{fetch}\n");
        Config::parse(&text, "feeds.toml", &self.0).unwrap()
    }

    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.join(file)).unwrap()
    }

    /// What is there but `expected`, and the state of it.
    pub fn others(&self, expected: &str) -> Vec<String> {
        let names = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name != expected && *name != format!("{expected}.fetch")).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Fetches the one feed, due or not, with a check that refuses what holds `refuse me`.
pub fn fetch(config: &Config) -> Outcome {
    fetch_when(config, true)
}

pub fn fetch_when(config: &Config, now: bool) -> Outcome {
    let check = |_: &verdict_intel::Feed, path: &Path| match std::fs::read(if path.is_dir() {
        path.join("manifest.json")
    } else {
        path.to_owned()
    })
    .unwrap()
    {
        bytes if bytes.windows(9).any(|window| window == b"refuse me") => Err("no rule in it".to_owned()),
        _ => Ok(()),
    };
    let wanted = Wanted { config, names: &[], now, check: &check };
    let mut told = 0;
    let mut outcomes = run(&wanted, &mut |_| told += 1).unwrap();
    assert_eq!((outcomes.len(), told), (1, 1));
    outcomes.remove(0)
}
