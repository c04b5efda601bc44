//! The null server on one epoll set: one read and one write for each connection that is ready.
//!
//! A connection whose answers do not fit into the socket is watched for room and not read from until they do.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::event::epoll;

use super::{Inbox, Voice, outbox};

/// The listener's event data; connections have their index.
const LISTENER: u64 = u64::MAX;

struct Connection {
    stream: TcpStream,
    inbox: Inbox,
    out: Vec<u8>,
    written: usize,
    /// Waits for room in the socket, and for nothing else.
    is_full: bool,
}

pub(super) fn serve(voice: Voice, address: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&set, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    ready(listener.local_addr()?);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
    loop {
        events.clear();
        match epoll::wait(&set, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let data = event.data.u64();
            if data == LISTENER {
                accept(&listener, voice, &set, &mut connections)?;
                continue;
            }
            let slot = &mut connections[data as usize];
            // A connection that breaks is its peer's affair; closing it takes it out of the set.
            if slot.as_mut().is_some_and(|connection| !connection.turn(&set, data).unwrap_or(false)) {
                *slot = None;
            }
        }
    }
}

fn accept(listener: &TcpListener, voice: Voice, set: &OwnedFd, connections: &mut Vec<Option<Connection>>) -> io::Result<()> {
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let at = connections.iter().position(Option::is_none).unwrap_or(connections.len());
        epoll::add(set, &stream, epoll::EventData::new_u64(at as u64), epoll::EventFlags::IN)?;
        let connection = Some(Connection { stream, inbox: Inbox::new(voice), out: outbox(), written: 0, is_full: false });
        match connections.get_mut(at) {
            Some(slot) => *slot = connection,
            None => connections.push(connection),
        }
    }
    Ok(())
}

impl Connection {
    /// Whether it goes on.
    fn turn(&mut self, set: &OwnedFd, data: u64) -> io::Result<bool> {
        if !self.is_full {
            match self.stream.read(self.inbox.room()) {
                Ok(0) => return Ok(false),
                Ok(read) => self.inbox.answer_all(read, &mut self.out)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        let is_full = !self.flush()?;
        if is_full != self.is_full {
            let watched = if is_full { epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
            epoll::modify(set, &self.stream, epoll::EventData::new_u64(data), watched)?;
            self.is_full = is_full;
        }
        Ok(true)
    }

    /// Whether all is written.
    fn flush(&mut self) -> io::Result<bool> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(true)
    }
}
