//! The committee of zipnet: the replicated log, rounds, vouching, and serving the broadcast log.
//!
//! [`state`] is what the log adds up to and [`core`] what one server does about it, both pure; [`raft`] replicates the
//! log; [`server`] is the process around them.

pub mod cli;
pub mod core;
pub mod entry;
pub mod metrics;
pub mod raft;
pub mod server;
pub mod state;

pub use server::{Pulse, Server, ServerConfig};
