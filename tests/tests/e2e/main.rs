//! End to end: real binaries, real sockets, a real mosaik network on loopback.

mod dev;
mod gossip;
mod instances;
mod processes;
mod promises;
mod sigkill;
mod stall;
mod standing;
