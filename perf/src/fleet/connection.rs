//! One connection of the generator: bytes that wait to go out, bytes that came in, requests that are under way; encrypted where the plan says so.

use rustls::ClientConnection;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Sent, Trust};

pub(super) struct Connection {
    pub stream: TcpStream,
    secure: Option<Box<ClientConnection>>,
    pub outbox: Vec<u8>,
    /// Bytes of `outbox` that the kernel has taken already.
    sent_to: usize,
    pub inbox: Vec<u8>,
    pub filled: usize,
    pub under_way: VecDeque<Sent>,
    /// Meant starts of scheduled requests that found the connection full.
    pub held: VecDeque<u64>,
    pub next_id: u32,
    /// The kernel tells when it takes bytes again.
    pub watches_room: bool,
    /// It may take bytes now.
    pub has_room: bool,
}

/// Room for replies; larger than any single reply of a run.
const INBOX_BYTES: usize = 1 << 20;

impl Connection {
    pub fn open(address: SocketAddr, trust: Option<&Trust>) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        let secure = trust.map(|trust| trust.shake_hands(&mut stream)).transpose()?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            secure,
            outbox: Vec::with_capacity(1 << 20),
            sent_to: 0,
            inbox: vec![0; INBOX_BYTES],
            filled: 0,
            under_way: VecDeque::with_capacity(1024),
            held: VecDeque::new(),
            next_id: 1,
            watches_room: false,
            has_room: true,
        })
    }

    /// Whether the kernel has not taken everything yet.
    pub fn has_to_send(&self) -> bool {
        !self.outbox.is_empty() || self.secure.as_ref().is_some_and(|secure| secure.wants_write())
    }

    pub fn send(&mut self) -> io::Result<()> {
        if let Some(secure) = &mut self.secure {
            io::Write::write_all(&mut secure.writer(), &self.outbox)?;
            self.outbox.clear();
            while secure.wants_write() {
                match secure.write_tls(&mut self.stream) {
                    Ok(_) => (),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        }
        while self.sent_to < self.outbox.len() {
            match self.stream.write(&self.outbox[self.sent_to..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.sent_to += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.has_room = false;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        self.forget_sent();
        Ok(())
    }

    /// Moves what is left to the front, when that is not more than what is gone: under overload megabytes wait, and leave by the packet.
    fn forget_sent(&mut self) {
        if self.sent_to >= self.outbox.len() - self.sent_to {
            self.outbox.drain(..self.sent_to);
            self.sent_to = 0;
        }
    }

    /// One receive: is there anything new?
    pub fn receive(&mut self) -> io::Result<bool> {
        if self.filled == self.inbox.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a reply is longer than any should be"));
        }
        let read = match &mut self.secure {
            Some(secure) => decrypted(secure, &mut self.stream, &mut self.inbox[self.filled..]),
            None => self.stream.read(&mut self.inbox[self.filled..]),
        };
        match read {
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

/// One receive, and all that became plain by it.
fn decrypted(secure: &mut ClientConnection, stream: &mut TcpStream, room: &mut [u8]) -> io::Result<usize> {
    if secure.read_tls(stream)? == 0 {
        return Ok(0);
    }
    secure.process_new_packets().map_err(io::Error::other)?;
    let mut filled = 0;
    while filled < room.len() {
        match secure.reader().read(&mut room[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    if filled == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(filled) }
}
