//! `[listen]`: where is listened, and with which permissions.

use crate::edge::Protocol;
use crate::listener::Bound;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A shard keeps a bit for each of its listeners.
const ADDRESSES_MAX: usize = 60;

/// Where is listened. Loopback unless the operator says otherwise; never UDP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// TCP addresses of the binary protocol; every shard listens on each (SO_REUSEPORT). Default 127.0.0.1:7700. Port 0 lets the kernel choose.
    pub tcp: Vec<SocketAddr>,
    /// TCP addresses of HTTP: authorization for proxies, and JSON. Default none.
    pub http: Vec<SocketAddr>,
    /// TCP addresses of SPOP, for HAProxy's SPOE. Default none.
    pub spop: Vec<SocketAddr>,
    /// Path of the Unix socket; empty = none. Default none.
    pub unix: PathBuf,
    /// Permissions of the Unix socket, octal. Default "0660".
    pub unix_mode: String,
    /// Address of metrics and health. Default 127.0.0.1:7701.
    pub admin: SocketAddr,
    /// Path of the control socket (`verdictctl block`); empty = none. Default none.
    pub control: PathBuf,
    /// Permissions of the control socket, octal: who may open it may block and unblock. Default "0600".
    pub control_mode: String,
}

impl Default for Listen {
    fn default() -> Self {
        Listen {
            tcp: vec![SocketAddr::from(([127, 0, 0, 1], 7700))],
            http: Vec::new(),
            spop: Vec::new(),
            unix: PathBuf::new(),
            unix_mode: "0660".into(),
            admin: SocketAddr::from(([127, 0, 0, 1], 7701)),
            control: PathBuf::new(),
            control_mode: "0600".into(),
        }
    }
}

impl Listen {
    /// All TCP addresses of the shards, and what is spoken there.
    pub fn addresses(&self) -> Vec<Bound> {
        let of = |addresses: &[SocketAddr], protocol| addresses.iter().map(move |&address| Bound { address, protocol }).collect::<Vec<_>>();
        [of(&self.tcp, Protocol::Binary), of(&self.http, Protocol::Http), of(&self.spop, Protocol::Spop)].concat()
    }

    /// `unix_mode` as a number.
    ///
    /// # Errors
    /// A sentence that names the key, when it is not octal or exceeds 0777.
    pub fn unix_mode_bits(&self) -> Result<u32, String> {
        mode_bits("listen.unix_mode", &self.unix_mode)
    }

    /// `control_mode` as a number.
    ///
    /// # Errors
    /// A sentence that names the key, when it is not octal or exceeds 0777.
    pub fn control_mode_bits(&self) -> Result<u32, String> {
        mode_bits("listen.control_mode", &self.control_mode)
    }

    pub(super) fn check(&self) -> Vec<String> {
        let mut wrong: Vec<String> = [self.unix_mode_bits(), self.control_mode_bits()].into_iter().filter_map(Result::err).collect();
        if self.tcp.is_empty() && self.unix.as_os_str().is_empty() {
            wrong.push("listen.tcp and listen.unix are both empty: nobody could ask".into());
        }
        if self.addresses().len() > ADDRESSES_MAX {
            wrong.push(format!(
                "listen.tcp, listen.http and listen.spop name {} addresses, more than {ADDRESSES_MAX}",
                self.addresses().len()
            ));
        }
        // sockaddr_un holds 107 bytes and a final zero; the temporary name used while binding is longer by UNIX_SUFFIX.
        for (name, path) in [("listen.unix", &self.unix), ("listen.control", &self.control)] {
            if path.as_os_str().len() > 107 - crate::listener::UNIX_SUFFIX.len() {
                wrong.push(format!("{name} is longer than {} bytes", 107 - crate::listener::UNIX_SUFFIX.len()));
            }
        }
        if !self.control.as_os_str().is_empty() && self.control == self.unix {
            wrong.push("listen.control and listen.unix are the same path".into());
        }
        wrong
    }
}

pub(crate) fn mode_bits(name: &str, mode: &str) -> Result<u32, String> {
    let bits = u32::from_str_radix(mode.trim_start_matches("0o"), 8).ok().filter(|bits| *bits <= 0o777);
    bits.ok_or_else(|| format!("{name} = {mode:?} is not an octal mode such as \"0660\""))
}
