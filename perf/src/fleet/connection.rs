//! One connection of the generator: bytes that wait to go out, bytes that came in, requests that are under way.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Sent;

pub(super) struct Connection {
    pub stream: TcpStream,
    pub outbox: Vec<u8>,
    sent_to: usize,
    pub inbox: Vec<u8>,
    pub filled: usize,
    pub under_way: VecDeque<Sent>,
    /// Meant starts of scheduled requests that found the connection full.
    pub held: VecDeque<u64>,
    pub next_id: u32,
    /// The kernel tells when it takes bytes again.
    pub watches_room: bool,
}

/// Room for replies; larger than any single reply of a run.
const INBOX_BYTES: usize = 1 << 20;

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            outbox: Vec::with_capacity(1 << 20),
            sent_to: 0,
            inbox: vec![0; INBOX_BYTES],
            filled: 0,
            under_way: VecDeque::with_capacity(1024),
            held: VecDeque::new(),
            next_id: 1,
            watches_room: false,
        })
    }

    pub fn send(&mut self) -> io::Result<()> {
        while self.sent_to < self.outbox.len() {
            match self.stream.write(&self.outbox[self.sent_to..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.sent_to += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        self.outbox.drain(..self.sent_to);
        self.sent_to = 0;
        Ok(())
    }

    /// One receive: is there anything new?
    pub fn receive(&mut self) -> io::Result<bool> {
        if self.filled == self.inbox.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a reply is longer than any should be"));
        }
        match self.stream.read(&mut self.inbox[self.filled..]) {
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("closed by the server with {} requests unanswered", self.under_way.len()),
            )),
            Ok(read) => {
                self.filled += read;
                Ok(true)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
