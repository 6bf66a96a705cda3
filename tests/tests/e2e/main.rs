//! End to end: real binaries, real sockets, a real mosaik network on loopback.
#![allow(clippy::unwrap_used)]

mod agents;
mod attested;
mod dev;
mod docs;
mod filling;
mod gossip;
mod identity;
mod instances;
mod processes;
mod promises;
mod rolling;
mod sigkill;
mod stall;
mod standing;
