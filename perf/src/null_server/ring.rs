//! The null server on a ring: multishot accept and receive into provided buffers, one send for each connection and turn; the daemon's own ring, so
//! that what differs from the daemon is the looking at keys and nothing else.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use verdictd::driver::sys::{Completion, Ring, Sizes};

use super::{Inbox, Voice, outbox};

/// The listener's slot; connections have the others.
const LISTENER: u32 = 0;
const SIZES: Sizes = Sizes { submissions: 256, completions: 1_024, buffers: 256, buffer_bytes: 32 * 1024 };

struct Connection {
    socket: OwnedFd,
    inbox: Inbox,
    out: Vec<u8>,
    sends: bool,
    ended: bool,
}

pub(super) fn serve(voice: Voice, address: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let mut ring = Ring::new(SIZES)?;
    ring.accept(listener.as_raw_fd(), LISTENER)?;
    ready(listener.local_addr()?);
    let mut connections: Vec<Option<Connection>> = vec![None];
    loop {
        ring.enter(1, Duration::from_secs(1))?;
        while let Some(completion) = ring.take_completion() {
            match completion {
                Completion::Accepted(_, accepted, more) => {
                    if let Ok(socket) = accepted {
                        adopt(&mut ring, voice, &mut connections, socket)?;
                    }
                    if !more {
                        ring.accept(listener.as_raw_fd(), LISTENER)?;
                    }
                }
                Completion::Received(slot, read, buffer, more) => {
                    received(&mut ring, &mut connections[slot as usize], slot, read, buffer, more)?
                }
                Completion::Sent(slot, sent) => {
                    if let Some(connection) = &mut connections[slot as usize] {
                        connection.ended |= sent.is_err();
                        connection.sends = !connection.ended && ring.send_on(connection.socket.as_raw_fd(), slot)?;
                    }
                }
                Completion::Ready(..) | Completion::Other => (),
            }
        }
        for (slot, place) in connections.iter_mut().enumerate() {
            let Some(connection) = place else { continue };
            if !connection.sends && !connection.ended && !connection.out.is_empty() {
                ring.send(connection.socket.as_raw_fd(), slot as u32, &mut connection.out)?;
                connection.sends = true;
            }
        }
    }
}

fn adopt(ring: &mut Ring, voice: Voice, connections: &mut Vec<Option<Connection>>, socket: OwnedFd) -> io::Result<()> {
    rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
    // Slots are never used again: a late completion of one that ended must not be taken for another's. A bench has a few hundred.
    let slot = connections.len() as u32;
    ring.receive(socket.as_raw_fd(), slot)?;
    connections.push(Some(Connection { socket, inbox: Inbox::new(voice), out: outbox(), sends: false, ended: false }));
    Ok(())
}

fn received(
    ring: &mut Ring,
    place: &mut Option<Connection>,
    slot: u32,
    read: Result<usize, rustix::io::Errno>,
    buffer: Option<u16>,
    more: bool,
) -> io::Result<()> {
    let Some(connection) = place else { return Ok(()) };
    match (read, buffer) {
        (Ok(bytes @ 1..), Some(buffer)) => {
            connection.inbox.room()[..bytes].copy_from_slice(ring.bytes(buffer));
            connection.ended |= connection.inbox.answer_all(bytes, &mut connection.out).is_err();
        }
        // All buffers were taken: those of this turn are given back before the next.
        (Err(rustix::io::Errno::NOBUFS), _) => (),
        _ => connection.ended = true,
    }
    if let Some(buffer) = buffer {
        ring.give_back(buffer);
    }
    if connection.ended && !more {
        *place = None;
    } else if !more {
        ring.receive(connection.socket.as_raw_fd(), slot)?;
    }
    Ok(())
}
