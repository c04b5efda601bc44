//! A server that does nothing with what it is asked: the price of moving the bytes.
//!
//! ```text
//! connection ─► one blocking thread: read ─► for each complete frame: an ANSWERS of the right size, all unknown ─► write
//! ```
//! All frames of one read are answered by one write, which is the least that a server with this transport can do; whatever the daemon
//! costs more than this, it spends on verdicts. Questions are counted from the header and never looked at.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::frame::{self, HEAD_BYTES, KEYS_MAX, Received};

/// The generation in every answer.
pub const GENERATION: u64 = 0x6C6C_756E;

/// Listens and serves until the process ends; `ready` is told the address.
pub fn serve(address: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    ready(listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        // A connection that breaks is its peer's affair.
        std::thread::spawn(move || converse(stream).ok());
    }
    Ok(())
}

fn converse(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut inbox = vec![0u8; frame::FRAME_BYTES_MAX + 64 * 1024];
    let mut filled = 0;
    let mut outbox = Vec::with_capacity(HEAD_BYTES + 8 + 8 * KEYS_MAX);
    loop {
        match stream.read(&mut inbox[filled..])? {
            0 => return Ok(()),
            read => filled += read,
        }
        let mut taken = 0;
        outbox.clear();
        while let Some(received) = Received::first(&inbox[taken..filled]).map_err(io::Error::other)? {
            answer(&received, &mut outbox);
            taken += received.bytes();
        }
        inbox.copy_within(taken..filled, 0);
        filled -= taken;
        stream.write_all(&outbox)?;
    }
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
    use super::*;

    #[test]
    fn answers_every_frame_with_as_many_unknowns() {
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || serve(([127, 0, 0, 1], 0).into(), |address| send.send(address).unwrap()));
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
}
