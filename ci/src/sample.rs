//! The sample compiled, served, and asked on without a pause: for the steps that look at a daemon at work.
//!
//! ```text
//!  questions.tsv ─► 4 connections, kept, one batch a time ─► listen.http, POST /v1/lookup
//!                └► verdictctl ask, once                  ─► listen.tcp: the answers are as they should be
//! ```

use crate::child::Log;
use crate::demo;
use crate::release;
use crate::workspace::{Workspace, create};
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use xtask::server::{AUTO, More, Server};

/// Connections that ask.
pub const CONNECTIONS: usize = 4;
/// Two show that numbers are kept by shard.
pub const SHARDS: usize = 2;
/// Opens its live page; on loopback, for as long as the step runs.
pub const TOKEN: &str = "of-the-sample-on-loopback";
/// Between two batches of a connection: the machine has other things to do.
const PAUSE: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(60);

/// A daemon under load; dropped, the daemon is killed and with its connections ends the load.
pub struct Served {
    /// The daemon.
    pub server: Server,
    ended: Arc<AtomicBool>,
    load: Vec<JoinHandle<io::Result<()>>>,
}

impl Served {
    /// Its files lie in `target/xtask/STEP/`.
    pub fn start(workspace: &Workspace, log: &Log, step: &str) -> Result<Self, String> {
        let programs = release::build_logged(workspace, log)?;
        let directory = directory(workspace, step)?;
        let snapshot = directory.join("sample.snap");
        log.run(&mut demo::compile(workspace, &programs, &snapshot), LIMIT)?;
        let token = directory.join("token");
        std::fs::write(&token, TOKEN).map_err(|error| format!("{}: {error}", token.display()))?;
        let more = More { http: true, token: Some(token) };
        let server = Server::start_with(&programs.verdictd, &directory, &snapshot, SHARDS, AUTO, &more)?;
        log.run(&mut demo::ask(workspace, &programs, &format!("tcp:{}", server.tcp)), LIMIT)?;
        let request: Arc<str> = request(workspace)?.into();
        let ended = Arc::new(AtomicBool::new(false));
        let ask = |_| {
            let (request, ended, http) = (Arc::clone(&request), Arc::clone(&ended), server.http);
            thread::spawn(move || ask(http, &request, &ended))
        };
        let load = (0..CONNECTIONS).map(ask).collect();
        Ok(Served { server, ended, load })
    }

    /// Ends the load, then the daemon; an answer that did not come is an error here.
    pub fn stop(mut self) -> Result<(), String> {
        self.ended.store(true, Ordering::Relaxed);
        for connection in std::mem::take(&mut self.load) {
            let asked = connection.join().map_err(|_| "a thread of the load panicked".to_owned())?;
            asked.map_err(|error| format!("the load: {error}\n{}", self.server.last_words()))?;
        }
        self.server.stop().map(drop)
    }
}

/// Relative to the root where that is possible, as for the demo: the path of a Unix socket may not exceed 107 bytes.
fn directory(workspace: &Workspace, step: &str) -> Result<PathBuf, String> {
    let directory = create(workspace.target.join("xtask").join(step))?;
    std::env::set_current_dir(&workspace.root).map_err(|error| format!("{}: {error}", workspace.root.display()))?;
    Ok(workspace.shown(&directory).to_owned())
}

/// All questions of the sample as one batch.
fn request(workspace: &Workspace) -> Result<String, String> {
    let path = workspace.root.join(demo::QUESTIONS);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let body = json!({ "keys": questions(&text) }).to_string();
    let head =
        format!("POST /v1/lookup HTTP/1.1\r\nHost: load\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    Ok(head + &body)
}

fn questions(text: &str) -> Vec<Value> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split('\t').next()).filter(|key| !key.is_empty()).map(|key| json!({ "key": key })).collect()
}

fn ask(http: SocketAddr, request: &str, ended: &AtomicBool) -> io::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(http)?);
    stream.get_ref().set_read_timeout(Some(Duration::from_secs(10)))?;
    while !ended.load(Ordering::Relaxed) {
        stream.get_mut().write_all(request.as_bytes())?;
        read_answer(&mut stream)?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Reads one reply to its end; it must be a 200 with a length.
fn read_answer(stream: &mut impl BufRead) -> io::Result<()> {
    let (mut first, mut length) = (String::new(), None);
    stream.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if line.trim_end().is_empty() {
            break;
        }
        if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            length = value.trim().parse::<u64>().ok();
        }
    }
    let length =
        length.filter(|_| first.contains(" 200 ")).ok_or_else(|| io::Error::other(format!("not a reply: {:?}", first.trim_end())))?;
    let read = io::copy(&mut stream.by_ref().take(length), &mut io::sink())?;
    if read == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_the_first_column_without_remarks() {
        assert_eq!(questions("# why\nb.test\tclean\tx\n\na.test\tunknown"), [json!({"key": "b.test"}), json!({"key": "a.test"})]);
    }

    #[test]
    fn only_a_whole_good_reply_is_one() {
        let read = |mut text: &[u8]| read_answer(&mut text).map_err(|error| error.to_string());
        assert_eq!(read(b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 2\r\n\r\n{}"), Ok(()));
        assert!(read(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\n{}").unwrap_err().contains("503"));
        assert!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}").is_err());
        assert!(read(b"").is_err());
    }
}
