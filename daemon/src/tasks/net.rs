//! Sockets of the control thread's tasks: TCP and Unix are one here, since accept, read, write and shutdown are all that is done with them.

use super::Watched;
use futures_lite::{AsyncRead, AsyncWrite};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, Shutdown, SocketFlags};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A listening socket.
#[derive(Debug)]
pub struct Listener(Watched);

impl Listener {
    /// Wants a socket that listens and does not block.
    pub fn new(socket: OwnedFd) -> Self {
        Listener(Watched::new(socket))
    }

    /// Where a TCP listener listens.
    ///
    /// # Errors
    /// What the kernel says; of a Unix socket that it has no such address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        SocketAddr::try_from(net::getsockname(self.0.get())?).map_err(io::Error::other)
    }

    /// The next connection.
    ///
    /// # Errors
    /// What accept says, such as that no descriptor is left.
    pub async fn accept(&self) -> io::Result<Stream> {
        let accept = |socket: &OwnedFd| net::accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        let socket = std::future::poll_fn(|context| self.0.poll(PollFlags::IN, context, accept)).await?;
        Ok(Stream(Watched::new(socket)))
    }
}

/// A connection.
#[derive(Debug)]
pub struct Stream(Watched);

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll(PollFlags::IN, context, |socket| net::recv(socket, &mut *into, RecvFlags::DONTWAIT).map(|(bytes, _)| bytes))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll(PollFlags::OUT, context, |socket| net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))
    }

    /// Nothing is kept back.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends what we send; the peer may still be read.
    fn poll_close(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match net::shutdown(self.0.get(), Shutdown::Write) {
            Ok(()) | Err(Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}
