//! Who may see what on the admin listener.
//!
//! ```text
//!  /livez /readyz /metrics     whoever reaches the listener: probes and scrapers; and /, a page without a number in it
//!  everything else             the token · root, the daemon's user, a client with `admin` on the Unix socket · a certificate of such a client
//! ```
//! Tokens are compared by their digests, in a time that says nothing about where they differ. Nothing here changes anything, whoever asks.

use super::peer::{May, Permission, of_user};
use super::{Doors, Gate, Guard, config};
use crate::config::Config;
use crate::driver::Output;
use crate::tasks::net::Stream;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use rustls::ServerConfig;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What probes and scrapers need, and nobody need be kept from.
const FREE: [&str; 5] = ["/", "/livez", "/readyz", "/startupz", "/metrics"];
/// A shorter token can be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// A longer one does not fit a request's head.
const TOKEN_BYTES_MAX: usize = 1024;

/// The rules of one daemon; on the control thread.
#[derive(Debug, Default)]
pub struct AdminDoor {
    gate: Gate,
    doors: Doors,
    /// SHA-256 of the token.
    token: RefCell<Option<[u8; 32]>>,
    tls: RefCell<Option<Arc<ServerConfig>>>,
}

/// A page is not shown: a token would open it, and this was none, or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied;

impl AdminDoor {
    /// As configured, and checked.
    ///
    /// # Errors
    /// About the token's file.
    pub fn of(config: &Config, tls: Option<Arc<ServerConfig>>) -> Result<Self, String> {
        let gate = Gate {
            proxy: config::names_admin(&config.proxy.on, config.listen.admin),
            tls: config.tls.wanted() && config::names_admin(&config.tls.on, config.listen.admin),
            users: false,
        };
        let token = read_token(&config.admin.token)?;
        Ok(AdminDoor { gate, doors: Doors::of(config), token: RefCell::new(token), tls: RefCell::new(tls) })
    }

    /// Another token from now on.
    pub fn take_token(&self, token: Option<[u8; 32]>) {
        self.token.replace(token);
    }

    /// Other certificates from now on.
    pub fn take_tls(&self, tls: Arc<ServerConfig>) {
        self.tls.replace(Some(tls));
    }

    /// Whether this caller sees that page. `authorization` is the header's value.
    ///
    /// # Errors
    /// How it could.
    pub fn allows(&self, may: May, path: &str, authorization: Option<&[u8]>) -> Result<(), Denied> {
        if FREE.contains(&path) || may.has(Permission::Admin) {
            return Ok(());
        }
        let Some(own) = *self.token.borrow() else { return Err(Denied) };
        let shown = authorization.and_then(bearer).map(|token| <[u8; 32]>::from(Sha256::digest(token)));
        // All 32 bytes, whatever the first ones say.
        let differs = shown.map(|shown| shown.iter().zip(&own).fold(0, |bits, (a, b)| bits | (a ^ b)));
        if differs == Some(0) { Ok(()) } else { Err(Denied) }
    }

    /// A caller who has just connected, over TCP or, as a user, to the Unix socket.
    ///
    /// # Errors
    /// When it may not connect at all, or the kernel does not say who it is.
    pub fn greet(&self, stream: Stream, users: bool) -> io::Result<Caller> {
        if users {
            let user = rustix::net::sockopt::socket_peercred(&stream)?;
            let (uid, own) = (user.uid.as_raw(), rustix::process::geteuid().as_raw());
            let may = if uid == 0 || uid == own { May::ALL } else { of_user(&self.doors.clients, uid, user.gid.as_raw()).0 };
            return Ok(Caller { stream, may, guard: None, input: Vec::new() });
        }
        let guard =
            Guard::new(self.gate, &self.doors, self.tls.borrow().as_ref(), &stream, 0).map_err(|refused| io::Error::other(refused.why))?;
        Ok(Caller { stream, may: May::ASK, guard, input: Vec::new() })
    }
}

/// The token of `Bearer TOKEN`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// SHA-256 of the token in a file; `None` where no file is configured.
///
/// # Errors
/// Which file, and what is wrong with it.
pub fn read_token(path: &Path) -> Result<Option<[u8; 32]>, String> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(|error| format!("admin.token: {}: {error}", path.display()))?;
    let token = bytes.trim_ascii();
    if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&token.len()) || !token.iter().all(u8::is_ascii_graphic) {
        return Err(format!("admin.token: {}: not {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} visible ASCII characters", path.display()));
    }
    Ok(Some(Sha256::digest(token).into()))
}

/// One connection to the admin listener, whatever stands before it.
pub struct Caller {
    stream: Stream,
    may: May,
    guard: Option<Box<Guard>>,
    /// Read, and not fetched yet.
    input: Vec<u8>,
}

impl Caller {
    /// What it may.
    pub fn may(&self) -> May {
        self.guard.as_ref().map_or(self.may, |guard| guard.peer.may)
    }

    /// The next bytes of its request; 0 at their end.
    ///
    /// # Errors
    /// When the connection is lost, or not let in.
    pub async fn read(&mut self, doors: &AdminDoor, room: &mut [u8]) -> io::Result<usize> {
        let Some(guard) = self.guard.as_deref_mut() else { return self.stream.read(room).await };
        let mut chunk = [0; 4096];
        while self.input.is_empty() {
            let bytes = self.stream.read(&mut chunk).await?;
            if bytes == 0 {
                return Ok(0);
            }
            guard.held.extend_from_slice(&chunk[..bytes]);
            let taken = guard.take(&doors.doors, &mut self.input);
            self.stream.write_all(&guard.wire.bytes).await?;
            guard.wire = Output::default();
            taken.map_err(|refused| io::Error::other(refused.why))?;
        }
        let bytes = self.input.len().min(room.len());
        room[..bytes].copy_from_slice(&self.input[..bytes]);
        self.input.drain(..bytes);
        Ok(bytes)
    }

    /// Says all of this, and ends.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn finish(mut self, reply: Vec<u8>) -> io::Result<()> {
        let mut output = Output { bytes: reply, ..Output::default() };
        match self.guard.as_deref_mut().filter(|guard| guard.seals()) {
            None => self.stream.write_all(&output.bytes).await?,
            Some(guard) => loop {
                if !guard.seal(&mut output, true) {
                    return Err(io::Error::other("too much was sent under one key"));
                }
                if guard.wire.bytes.is_empty() {
                    break;
                }
                self.stream.write_all(&guard.wire.bytes).await?;
                guard.wire = Output::default();
            },
        }
        self.stream.close().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(token: Option<&str>) -> AdminDoor {
        let door = AdminDoor::default();
        door.take_token(token.map(|token| Sha256::digest(token).into()));
        door
    }

    #[test]
    fn probes_and_scrapers_need_no_token() {
        for path in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(door(None).allows(May::NOTHING, path, None), Ok(()));
        }
    }

    #[test]
    fn everything_else_needs_the_token_and_no_other() {
        let door = door(Some("0123456789abcdef"));
        let ask = |value: &str| door.allows(May::ASK, "/models", Some(value.as_bytes()));
        assert_eq!(ask("Bearer 0123456789abcdef"), Ok(()));
        assert_eq!(ask("bearer  0123456789abcdef "), Ok(()));
        for wrong in
            ["", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Basic 0123456789abcdef", "0123456789abcdef"]
        {
            assert_eq!(ask(wrong), Err(Denied), "{wrong}");
        }
        assert_eq!(door.allows(May::ASK, "/models", None), Err(Denied));
        assert_eq!(door.allows(May::ASK, "/metrics/", None), Err(Denied), "only these paths, to the byte");
        assert_eq!(door.allows(May::of(&[Permission::Admin]), "/models", None), Ok(()));
    }

    #[test]
    fn without_a_token_nobody_has_one() {
        let door = door(None);
        assert_eq!(door.allows(May::ASK, "/models", Some(b"Bearer 0123456789abcdef")), Err(Denied));
        assert_eq!((door.allows(May::ALL, "/models", None), door.allows(May::ASK, "/", None)), (Ok(()), Ok(())));
    }

    #[test]
    fn a_token_that_can_be_guessed_is_refused() {
        let path = std::env::temp_dir().join(format!("verdictd-token-{}", std::process::id()));
        for (text, ok) in
            [("short", false), ("0123456789abcdef\n", true), ("0123456789 abcdef", false), ("", false), (&"x".repeat(1025), false)]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_token(&path).is_ok(), ok, "{text:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(read_token(&path).unwrap_err().contains("verdictd-token-"));
    }
}
