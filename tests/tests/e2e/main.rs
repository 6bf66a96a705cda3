//! End to end: real binaries, real sockets, a real mosaik network on loopback.

mod dev;
mod processes;
mod sigkill;
