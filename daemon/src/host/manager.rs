//! The service manager's notification socket: sd_notify(3), one datagram a message.
//!
//! Its address is a path, or with a leading `@` a name in the abstract space. Nothing here can fail a start or a lookup: a manager that does not
//! listen is not told.

use rustix::time::{ClockId, clock_gettime};
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A manager whose queue is full for longer does not want to know.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who started us, and wants to be told.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Manager {
    /// The one that `NOTIFY_SOCKET` names, if any.
    pub fn from_environment() -> Option<Self> {
        Self::at(&std::env::var_os("NOTIFY_SOCKET")?)
    }

    /// The one at this address.
    pub fn at(address: &OsStr) -> Option<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            _ => SocketAddr::from_pathname(address),
        };
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_write_timeout(Some(PATIENCE)).ok()?;
        Some(Manager { socket, address: address.ok()? })
    }

    /// Start, or a reload, is done.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={}", line(status)));
    }

    /// A reload has begun. The time tells the manager which of two messages is the later (systemd 253 wants it).
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let now_us = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000;
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS=reloading"));
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=draining");
    }

    /// A line for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.say(&format!("STATUS={}", line(status)));
    }

    /// All is well.
    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    fn say(&self, message: &str) {
        // Whoever should hear this may be gone: there is nobody to tell that.
        let _ = self.socket.send_to_addr(message.as_bytes(), &self.address);
    }
}

/// A line break would begin another assignment.
fn line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_hears_each_message_at_a_path_and_in_the_abstract_space() {
        let path = std::env::temp_dir().join(format!("verdictd-notify-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let name = format!("verdictd-notify-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        for (listening, address) in [
            (UnixDatagram::bind(&path).unwrap(), path.as_os_str().to_owned()),
            (UnixDatagram::bind_addr(&abstract_address).unwrap(), format!("@{name}").into()),
        ] {
            let manager = Manager::at(&address).unwrap();
            manager.ready("two\nlines");
            manager.reloading();
            let mut buffer = [0; 256];
            let mut hear = || {
                let bytes = listening.recv(&mut buffer).unwrap();
                String::from_utf8(buffer[..bytes].to_vec()).unwrap()
            };
            assert_eq!(hear(), "READY=1\nSTATUS=two lines");
            assert!(hear().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_manager_that_does_not_listen_holds_nothing_up() {
        let begun = std::time::Instant::now();
        Manager::at(OsStr::new("/nowhere/at/all")).unwrap().ready("x");
        assert!(begun.elapsed() < PATIENCE);
    }
}
