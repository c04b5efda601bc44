//! What is spoken beside the binary protocol, by real daemons on real sockets, and by the real proxies where they are installed.
#![allow(missing_docs)]

#[allow(unused_macros)]
#[macro_use]
#[path = "../support/mod.rs"]
mod support;
mod api;
mod authz;
mod certificates;
mod front;
mod guard;
mod haproxy;
mod listening;
mod proxies;
mod spoe;
mod switches;
mod upgrade;
mod visitors;
