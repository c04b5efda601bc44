//! Sockets that the service manager holds and hands down (sd_listen_fds): a restart closes none of them, so no connection is refused meanwhile.
//!
//! ```text
//! verdictd.socket: ListenStream=127.0.0.1:7700 ──► one socket ──► every shard accepts from it, as from the Unix socket
//!                  the same line N times, ReusePort=yes ──► N sockets ──► shard i takes number i mod N
//! ```
//! A socket is known by its address: it takes the place of the one that the configuration would have bound there. One that the configuration does not
//! name ends the start: it would take connections that nobody answers.

use rustix::net::{getsockname, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// What was handed down and is not used yet.
#[derive(Debug, Default)]
pub struct Inherited {
    tcp: Vec<(SocketAddr, OwnedFd)>,
    unix: Vec<(PathBuf, OwnedFd)>,
}

impl Inherited {
    /// What `LISTEN_FDS` counts, if it is meant for this process.
    ///
    /// # Errors
    /// A socket that is neither TCP nor a Unix stream socket with a path, or does not listen.
    pub fn from_environment() -> io::Result<Self> {
        let mut passed = listenfd::ListenFd::from_env();
        let mut own = Inherited::default();
        for index in 0..passed.len() {
            let odd = |why: String| io::Error::new(io::ErrorKind::InvalidInput, format!("socket {index} of LISTEN_FDS: {why}"));
            // Asking for the wrong kind is an error and leaves it there.
            if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
                own.add_tcp(listener.into()).map_err(|error| odd(error.to_string()))?;
            } else if let Ok(Some(listener)) = passed.take_unix_listener(index) {
                own.add_unix(listener).map_err(|error| odd(error.to_string()))?;
            } else {
                return Err(odd("neither a TCP nor a Unix stream listener: ListenStream= is what works".into()));
            }
        }
        Ok(own)
    }

    fn add_tcp(&mut self, socket: OwnedFd) -> io::Result<()> {
        if !sockopt::socket_acceptconn(&socket)? {
            return Err(io::Error::other("it does not listen"));
        }
        rustix::io::ioctl_fionbio(&socket, true)?;
        let address = SocketAddr::try_from(getsockname(&socket)?).map_err(io::Error::other)?;
        self.tcp.push((address, socket));
        Ok(())
    }

    fn add_unix(&mut self, listener: UnixListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let path = address.as_pathname().ok_or_else(|| io::Error::other("a Unix socket without a path"))?;
        self.unix.push((path.to_owned(), listener.into()));
        Ok(())
    }

    /// Those bound to this address, in the order in which they came.
    pub fn take_tcp(&mut self, address: SocketAddr) -> Vec<OwnedFd> {
        let (taken, left) = std::mem::take(&mut self.tcp).into_iter().partition(|(bound, _)| *bound == address);
        self.tcp = left;
        let taken: Vec<(SocketAddr, OwnedFd)> = taken;
        taken.into_iter().map(|(_, socket)| socket).collect()
    }

    /// The one at this path.
    pub fn take_unix(&mut self, path: &Path) -> Option<UnixListener> {
        let at = self.unix.iter().position(|(bound, _)| bound == path)?;
        Some(self.unix.swap_remove(at).1.into())
    }

    /// Every one must have been taken.
    ///
    /// # Errors
    /// The addresses that nothing in the configuration names.
    pub fn refuse_rest(&self) -> io::Result<()> {
        let tcp = self.tcp.iter().map(|(address, _)| address.to_string());
        let left: Vec<String> = tcp.chain(self.unix.iter().map(|(path, _)| path.display().to_string())).collect();
        if left.is_empty() {
            return Ok(());
        }
        let (left, why) = (left.join(", "), "the socket unit listens there, and [listen] of the configuration does not");
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{left}: {why}: make them agree")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_socket_is_found_by_its_address_and_one_that_nothing_names_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, twin) = (listener.local_addr().unwrap(), listener.try_clone().unwrap());
        let path = std::env::temp_dir().join(format!("verdictd-inherit-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut inherited = Inherited::default();
        inherited.add_tcp(listener.into()).unwrap();
        inherited.add_tcp(twin.into()).unwrap();
        inherited.add_unix(UnixListener::bind(&path).unwrap()).unwrap();
        assert_eq!(inherited.take_tcp(SocketAddr::from(([127, 0, 0, 1], 9))).len(), 0);
        assert_eq!(inherited.take_tcp(address).len(), 2);
        let error = inherited.refuse_rest().unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(inherited.take_unix(&path).is_some());
        inherited.refuse_rest().unwrap();
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_socket_that_does_not_listen_is_refused() {
        let bound = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
        rustix::net::bind(&bound, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        assert!(Inherited::default().add_tcp(bound).unwrap_err().to_string().contains("does not listen"));
    }
}
