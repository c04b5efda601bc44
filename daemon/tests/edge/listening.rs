//! Every listener of a daemon, each on a port that the kernel chose.

use crate::support::{Scratch, config, start, stop};
use std::net::{Ipv4Addr, SocketAddr};
use verdictd::config::Config;

/// As `support::config`, with a listener of every kind.
pub fn every_listener(scratch: &Scratch) -> Config {
    let mut config = config(scratch);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    (config.listen.http, config.listen.spop) = (vec![any], vec![any]);
    config
}

#[test]
fn each_listener_has_its_own_port() {
    let scratch = Scratch::new();
    let daemon = start(&every_listener(&scratch));
    let mut ports: Vec<u16> = [&daemon.tcp, &daemon.http, &daemon.spop].iter().map(|bound| bound[0].port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() == 3 && ports[0] != 0, "{ports:?}");
    stop(daemon);
}
