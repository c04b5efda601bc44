//! Listening sockets: TCP, one for each shard on the same port (SO_REUSEPORT), and one Unix socket that all shards accept from.
//!
//! The Unix socket is bound under a temporary name and renamed over the final one, so that a client finds either the old socket or the new one;
//! a path on which another process still answers is refused.

use crate::edge::Protocol;
use crate::edge::guard::Gate;
use crate::host::activation::Inherited;
use crate::limits::RECEIVE_BUFFER_BYTES;
use crate::tasks;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Appended to the final path while the Unix socket is being bound.
pub const UNIX_SUFFIX: &str = ".new";

/// Half-open peers are found after this much silence, and given up after `TCP_USER_TIMEOUT_MS` of it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const TCP_USER_TIMEOUT_MS: u32 = 60_000;

/// A listener of one shard.
#[derive(Debug)]
pub struct Listener {
    /// Non-blocking, listening.
    pub socket: OwnedFd,
    /// Which options an accepted connection gets.
    pub family: Family,
    /// What is spoken on them.
    pub protocol: Protocol,
    /// What stands before them.
    pub gate: Gate,
}

/// Where is listened, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// As asked for, or as the kernel chose it.
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// What kind of peer a listener takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// TCP, IPv4 or IPv6.
    Tcp,
    /// Unix stream socket.
    Unix,
}

impl Listener {
    /// The next connection that waits, or `None`.
    ///
    /// # Errors
    /// What accept says, except that a connection which was reset before it was taken is skipped.
    pub fn accept(&self) -> io::Result<Option<OwnedFd>> {
        loop {
            match net::accept_with(&self.socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => {
                    if self.family == Family::Tcp {
                        // Best effort: a peer that is already gone refuses options, and the first recv will say so.
                        let _ = tune(&socket);
                    }
                    return Ok(Some(socket));
                }
                Err(error) if error == rustix::io::Errno::AGAIN => return Ok(None),
                Err(rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR | rustix::io::Errno::PROTO) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn tune(socket: &OwnedFd) -> io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_user_timeout(socket, TCP_USER_TIMEOUT_MS)?;
    Ok(())
}

/// One TCP listener; every shard makes its own on the same address.
///
/// # Errors
/// What the kernel says of socket, bind or listen.
pub fn tcp(Bound { address, protocol }: Bound, backlog: i32) -> io::Result<Listener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    // Before listen, so that accepted sockets have it from their first segment on; it also ends the kernel's own tuning, which goes to megabytes.
    sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, backlog)?;
    Ok(Listener { socket, family: Family::Tcp, protocol, gate: Gate::default() })
}

/// All TCP listeners: `[shard][address]`. Port 0 is chosen once, by the first shard's listener. An address whose socket was handed down is not bound: shards
/// accept from that one, or in turn from several. With the addresses really bound.
///
/// # Errors
/// The address and what the kernel said of it.
pub fn tcp_for_shards(
    addresses: &[Bound],
    shards: usize,
    backlog: i32,
    inherited: &mut Inherited,
) -> io::Result<(Vec<Vec<Listener>>, Vec<Bound>)> {
    let mut listeners: Vec<Vec<Listener>> = (0..shards).map(|_| Vec::new()).collect();
    let mut bound = Vec::new();
    for wanted in addresses {
        let sockets = inherited.take_tcp(wanted.address);
        if !sockets.is_empty() {
            for (shard, socket) in listeners.iter_mut().zip(sockets.iter().cycle()) {
                shard.push(Listener { socket: socket.try_clone()?, family: Family::Tcp, protocol: wanted.protocol, gate: Gate::default() });
            }
            bound.push(*wanted);
            continue;
        }
        refuse_taken(wanted.address)?;
        let Bound { mut address, protocol } = *wanted;
        for shard in &mut listeners {
            let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on tcp {address}: {error}"));
            let listener = tcp(Bound { address, protocol }, backlog).map_err(named)?;
            if address.port() == 0 {
                address = SocketAddr::try_from(net::getsockname(&listener.socket)?).map_err(io::Error::other)?;
            }
            shard.push(listener);
        }
        bound.push(Bound { address, protocol });
    }
    Ok((listeners, bound))
}

/// The admin listener.
///
/// # Errors
/// What the kernel says of socket, bind or listen.
pub fn admin(address: SocketAddr) -> io::Result<tasks::net::Listener> {
    let Listener { socket, .. } = tcp(Bound { address, protocol: Protocol::Http }, 128)?;
    Ok(tasks::net::Listener::new(socket))
}

/// SO_REUSEPORT would let two daemons of one user share a port in silence: a plain bind first finds out.
///
/// # Errors
/// The address and what the kernel said of it.
pub fn refuse_taken(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    match TcpListener::bind(address) {
        Ok(_closed_at_once) => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("cannot listen on tcp {address}: {error}"))),
    }
}

/// The Unix listener, and the path to remove at exit.
///
/// # Errors
/// `AddrInUse` where another process answers on the path; else what the kernel said.
pub fn unix(path: &Path, mode: u32) -> io::Result<(UnixListener, UnixPath)> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on unix {}: {error}", path.display()));
    if UnixStream::connect(path).is_ok() {
        return Err(named(io::Error::new(io::ErrorKind::AddrInUse, "another process answers there")));
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(UNIX_SUFFIX);
    let temporary = PathBuf::from(temporary);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(named(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&temporary).map_err(named)?;
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(mode)).map_err(named)?;
    listener.set_nonblocking(true).map_err(named)?;
    std::fs::rename(&temporary, path).map_err(named)?;
    Ok((listener, UnixPath(path.to_owned())))
}

/// Removes the socket's path when the daemon ends.
#[derive(Debug)]
pub struct UnixPath(PathBuf);

impl Drop for UnixPath {
    fn drop(&mut self) {
        // Best effort at exit: the next start replaces a stale socket anyway.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("verdictd-{name}-{}", std::process::id()))
    }

    #[test]
    fn shards_share_the_port_that_the_kernel_chose() {
        let any = Bound { address: SocketAddr::from(([127, 0, 0, 1], 0)), protocol: Protocol::Binary };
        let (listeners, bound) = tcp_for_shards(&[any], 3, 16, &mut Inherited::default()).unwrap();
        assert_eq!(listeners.len(), 3);
        assert_ne!(bound[0].address.port(), 0);
        let error = tcp_for_shards(&bound, 1, 16, &mut Inherited::default()).unwrap_err();
        assert!(error.to_string().contains(&bound[0].address.to_string()), "a taken port is refused: {error}");
    }

    #[test]
    fn replaces_a_stale_unix_socket_and_refuses_a_live_one() {
        let path = scratch("unix");
        drop(UnixListener::bind(&path).unwrap());
        let (_listener, guard) = unix(&path, 0o600).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(unix(&path, 0o600).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(guard);
        assert!(!path.exists());
    }
}
