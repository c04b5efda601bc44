//! The host that the daemon runs on: who manages it, what it was handed, and what it lacks.
//!
//! ```text
//! NOTIFY_SOCKET          ◄── manager.rs     READY, RELOADING, STOPPING, STATUS
//! WATCHDOG_USEC          ◄── watchdog.rs    WATCHDOG=1 while every shard and the control thread show life
//! LISTEN_FDS             ──► activation.rs  sockets that outlive a restart
//! CREDENTIALS_DIRECTORY  ──► credentials.rs keys and tokens
//! doctor.rs              what a host lacks, all of it, with remedies
//! reload.rs              who waits until a reload is done, and what came of it
//! ```
//! Without a manager none of this costs or changes anything.

pub mod activation;
pub mod credentials;
pub mod doctor;
pub mod manager;
pub mod reload;
pub mod watchdog;

use activation::Inherited;
use manager::Manager;
use std::io;
use std::sync::Arc;

/// What the process was started with.
#[derive(Default)]
pub struct Host {
    /// Who wants to be told.
    pub manager: Option<Arc<Manager>>,
    /// Sockets to listen on.
    pub inherited: Inherited,
}

impl Host {
    /// As the environment says. Sockets are taken once: a second call finds none.
    ///
    /// # Errors
    /// When a socket was handed down that cannot be listened on.
    pub fn from_environment() -> io::Result<Self> {
        Ok(Host { manager: Manager::from_environment().map(Arc::new), inherited: Inherited::from_environment()? })
    }
}
