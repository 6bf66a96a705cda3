//! A whole deployment of real processes on loopback, for the end-to-end tests: relay, servers, aggregator, daemons.

mod bins;
mod daemon;
mod deployment;
pub mod man;
mod process;
mod wait;

pub use bins::bin;
pub use daemon::{Daemon, Message};
pub use deployment::{Deployment, DeploymentConfig};
pub use process::Process;
pub use wait::until;
