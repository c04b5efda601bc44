//! A server that does nothing with what it is asked: the price of moving the bytes.
//!
//! ```text
//! connection ─► read ─► for each complete frame: an ANSWERS of the right size, all unknown ─► write
//! blocking   one thread a connection            epoll   one thread, one set            io_uring   one thread, one ring
//! ```
//! All frames of one read are answered by one write, which is the least that a server with this transport can do; whatever the daemon
//! costs more than this, it spends on verdicts. Questions are counted from the header and never looked at. Three twins, because the
//! cheapest way to move bytes differs with their number: a figure beside the null server is beside the cheapest of them.

mod blocking;
mod epoll;
mod ring;

use std::io;
use std::net::SocketAddr;

use clap::ValueEnum;

use crate::frame::{self, HEAD_BYTES, KEYS_MAX, Received};

/// The generation in every answer.
pub const GENERATION: u64 = 0x6C6C_756E;

/// How the bytes are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Twin {
    /// A thread a connection, which sleeps in read.
    Blocking,
    /// One thread, one epoll set.
    Epoll,
    /// One thread, one io_uring.
    #[value(name = "io_uring")]
    IoUring,
}

impl Twin {
    /// All of them.
    pub const ALL: [Twin; 3] = [Twin::Blocking, Twin::Epoll, Twin::IoUring];

    /// As figures name it.
    pub fn name(self) -> &'static str {
        match self {
            Twin::Blocking => "blocking",
            Twin::Epoll => "epoll",
            Twin::IoUring => "io_uring",
        }
    }
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// The daemon's frames: as many *unknown* as were asked.
    Frames,
    /// HTTP/1.1: a request ends at its first blank line and has no body; every one gets the same response of so many bytes.
    Http {
        /// Of a whole response, at least `HTTP_BYTES_MIN`.
        reply_bytes: usize,
    },
}

/// The shortest response that can be padded to any length.
pub const HTTP_BYTES_MIN: usize = 64;

/// Listens and serves until the process ends; `ready` is told the address.
pub fn serve(twin: Twin, voice: Voice, address: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    match twin {
        Twin::Blocking => blocking::serve(voice, address, ready),
        Twin::Epoll => epoll::serve(voice, address, ready),
        Twin::IoUring => ring::serve(voice, address, ready),
    }
}

/// Bytes that came and are not answered yet, of one connection.
struct Inbox {
    bytes: Vec<u8>,
    filled: usize,
    /// The response of HTTP; empty where frames are spoken.
    response: Vec<u8>,
}

impl Inbox {
    fn new(voice: Voice) -> Self {
        let response = match voice {
            Voice::Frames => Vec::new(),
            Voice::Http { reply_bytes } => response(reply_bytes),
        };
        Inbox { bytes: vec![0u8; frame::FRAME_BYTES_MAX + 64 * 1024], filled: 0, response }
    }

    /// Where the next bytes go.
    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// Answers every complete request, `read` more bytes being there.
    fn answer_all(&mut self, read: usize, out: &mut Vec<u8>) -> io::Result<()> {
        self.filled += read;
        let mut taken = 0;
        if !self.response.is_empty() {
            while let Some(end) = memchr::memmem::find(&self.bytes[taken..self.filled], b"\r\n\r\n") {
                out.extend_from_slice(&self.response);
                taken += end + 4;
            }
            self.bytes.copy_within(taken..self.filled, 0);
            self.filled -= taken;
            return Ok(());
        }
        while let Some(received) = Received::first(&self.bytes[taken..self.filled]).map_err(io::Error::other)? {
            answer(&received, out);
            taken += received.bytes();
        }
        self.bytes.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        Ok(())
    }
}

/// One response of exactly so many bytes.
fn response(bytes: usize) -> Vec<u8> {
    let (head, tail) = ("HTTP/1.1 200 OK\r\nX-Null: ", "\r\nContent-Length: 0\r\n\r\n");
    let padding = bytes.max(HTTP_BYTES_MIN) - head.len() - tail.len();
    [head, &"-".repeat(padding), tail].concat().into_bytes()
}

/// Room for the largest answer.
fn outbox() -> Vec<u8> {
    Vec::with_capacity(HEAD_BYTES + 8 + 8 * KEYS_MAX)
}

fn answer(received: &Received<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    frame::unknown_answers(out, received.request_id, GENERATION, received.count);
    if received.kind == frame::PING {
        out[start + 4] = frame::PONG;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn answers_every_frame_with_as_many_unknowns() {
        Twin::ALL.into_iter().for_each(answers_in_order);
    }

    fn answers_in_order(twin: Twin) {
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || serve(twin, Voice::Frames, ([127, 0, 0, 1], 0).into(), |address| send.send(address).unwrap()));
        let address = receive.recv().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let mut request = Vec::new();
        for id in 1..=3u32 {
            frame::lookup(&mut request, id, (0..id).map(|_| (2u8, &b"a.example"[..])));
        }
        // In two pieces, the cut within a header.
        stream.write_all(&request[..50]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        stream.write_all(&request[50..]).unwrap();
        let mut reply = vec![0; 3 * (HEAD_BYTES + 8) + 6 * 8];
        stream.read_exact(&mut reply).unwrap();
        let mut rest = &reply[..];
        for id in 1..=3u32 {
            let received = Received::first(rest).unwrap().unwrap();
            assert_eq!((received.request_id, received.generation()), (id, Some(GENERATION)));
            assert_eq!(received.answers().map(|answers| answers.len()), Some(id as usize));
            rest = &rest[received.bytes()..];
        }
        assert_eq!(crate::spawn::generation(address).unwrap(), GENERATION);
    }

    #[test]
    fn every_head_gets_the_same_response() {
        for twin in Twin::ALL {
            let (send, receive) = std::sync::mpsc::channel();
            let voice = Voice::Http { reply_bytes: 200 };
            std::thread::spawn(move || serve(twin, voice, ([127, 0, 0, 1], 0).into(), |address| send.send(address).unwrap()));
            let mut stream = TcpStream::connect(receive.recv().unwrap()).unwrap();
            let requests = "GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n".repeat(3);
            stream.write_all(&requests.as_bytes()[..60]).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
            stream.write_all(&requests.as_bytes()[60..]).unwrap();
            let mut reply = vec![0; 600];
            stream.read_exact(&mut reply).unwrap();
            assert!(reply.chunks(200).all(|one| one == response(200)), "{twin:?}");
        }
    }

    #[test]
    fn a_peer_that_does_not_read_gets_everything_in_the_end() {
        for twin in Twin::ALL {
            let (send, receive) = std::sync::mpsc::channel();
            std::thread::spawn(move || serve(twin, Voice::Frames, ([127, 0, 0, 1], 0).into(), |address| send.send(address).unwrap()));
            let mut stream = TcpStream::connect(receive.recv().unwrap()).unwrap();
            let mut request = Vec::new();
            frame::lookup(&mut request, 1, (0..4_000).map(|_| (2u8, &b"a"[..])));
            let frames = 400;
            let mut writing = stream.try_clone().unwrap();
            let writer = std::thread::spawn(move || (0..frames).try_for_each(|_| writing.write_all(&request)));
            std::thread::sleep(std::time::Duration::from_millis(200));
            let mut reply = vec![0; HEAD_BYTES + 8 + 8 * 4_000];
            for _ in 0..frames {
                stream.read_exact(&mut reply).unwrap();
                assert_eq!(Received::first(&reply).unwrap().unwrap().count, 4_000, "{twin:?}");
            }
            writer.join().unwrap().unwrap();
        }
    }
}
