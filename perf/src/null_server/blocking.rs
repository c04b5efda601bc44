//! The null server with a thread a connection: sleeping in read costs a wake-up, and nothing else.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::{Inbox, Voice, outbox};

pub(super) fn serve(voice: Voice, address: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    ready(listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        // A connection that breaks is its peer's affair.
        std::thread::spawn(move || converse(stream, voice).ok());
    }
    Ok(())
}

fn converse(mut stream: TcpStream, voice: Voice) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut inbox, mut out) = (Inbox::new(voice), outbox());
    loop {
        let read = stream.read(inbox.room())?;
        if read == 0 {
            return Ok(());
        }
        out.clear();
        inbox.answer_all(read, &mut out)?;
        stream.write_all(&out)?;
    }
}
