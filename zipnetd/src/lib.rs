//! The daemon: takes messages from programs on this host over a Unix socket and publishes them in rounds so that nobody,
//! the operators included, can tell which of the participants wrote which.
//!
//! [`core`] decides, and does no I/O; [`client`] runs it on a network and a store; [`control`] is the socket; `dev` is a
//! whole network in one process. `main` reads as a checklist.

pub mod cli;
pub mod client;
pub mod config;
pub mod control;
pub mod core;
pub mod daemon;
#[cfg(feature = "dev")]
mod dev;
pub mod failure;
pub mod identity;
pub mod metrics;
pub mod reload;
pub mod service;
pub mod telemetry;
